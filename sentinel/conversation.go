package sentinel

// One Sentinel process: a connection that polls, for all groups that take part,
// and one that is told of events.

import (
	"context"
	"math/rand/v2"
	"runtime"
	"time"

	"github.com/redis-watchdog/redis-watchdog/watchdog"
	"github.com/redis-watchdog/redis-watchdog/watchdog/signal"
)

const (
	backoffMin = 50 * time.Millisecond
	backoffMax = time.Second
	// lateAfter is when a poll that is not answered yet is news: others have to be
	// heard in its place.
	lateAfter = 100 * time.Millisecond
)

// heard is what a conversation brings to a Watcher: one of these.
type heard struct {
	p      *party
	answer Answer
	err    error // the poll, or the attempt to connect, came to nothing
	met    bool  // a new connection: runID and at are set
	runID  string
	// process is run_id of its INFO; empty: not told.
	process    string
	at         watchdog.Address
	subscribed bool  // it will be told of events
	deaf       error // why it will not
}

// same says that o tells of the same as h, so that the later one is enough.
func (h *heard) same(o *heard) bool {
	return h.p == o.p && h.met == o.met && h.subscribed == o.subscribed && (h.deaf != nil) == (o.deaf != nil) && (h.err != nil) == (o.err != nil)
}

// identity is who is at the other end.
type identity struct {
	runID, process string
	host, port     string // where it was reached
}

// conversation is with one Sentinel process, until its context ends.
type conversation struct {
	set *Conversations
	access
	cancel context.CancelFunc
	done   chan struct{} // closed when it has ended
	ask    signal.Signal // somebody is due
	hurry  signal.Signal // somebody new waits for the connection

	// Under Conversations.mu.
	parties    []*party
	groups     map[string][]*party // by the name of the group
	spaced     []*party            // those whose group's name is no single word
	due        []*party
	up         bool // connected: who is asked for will be answered, or told why not
	late       bool // the poll under way takes longer than lateAfter
	remote     string
	who        identity
	subscribed bool
	deaf       error

	// Of run alone.
	pause time.Duration // before the next attempt
	batch []asked
	last  *party  // that was asked on this connection
	out   [][]any // the commands of the batch
}

// run polls until ctx ends.
func (c *conversation) run(ctx context.Context) {
	for ctx.Err() == nil {
		l, err := c.connect(ctx, false)
		connected := err == nil
		if connected {
			c.use(ctx, l)
		} else {
			c.down(err, nil)
		}
		wait := time.NewTimer(c.pause/2 + rand.N(c.pause))
		select {
		case <-ctx.Done():
		case <-wait.C:
		case <-c.hurry:
		}
		wait.Stop()
		c.pause = min(2*c.pause, backoffMax)
		if !connected {
			c.set.mu.Lock()
			c.set.scatter(c, true)
			c.set.mu.Unlock()
		}
	}
}

// use talks over one connection until it fails, and says so to whom it concerns.
func (c *conversation) use(ctx context.Context, l *link) {
	defer l.close()
	defer context.AfterFunc(ctx, func() { l.raw.Close() })()
	good, culprit, err := c.talk(ctx, l)
	if good {
		c.pause = backoffMin
	}
	if !good {
		culprit = nil // nobody was answered: it is not one group's
	}
	if err != nil {
		c.down(err, culprit)
	}
}

// down says that the connection is lost, or could not be made: to all, or only to
// the culprit, with whose answer it broke. The others are asked anew as soon as
// there is another. Those that were refused have been told.
func (c *conversation) down(err error, culprit *party) {
	c.set.mu.Lock()
	defer c.set.mu.Unlock()
	c.up, c.late = false, false
	for _, p := range c.parties {
		if culprit != nil && culprit != p || err == errAllRefused {
			continue
		}
		p.waits = false
		p.w.post(heard{p: p, err: err})
	}
	c.set.scatter(c, false)
}

// keep calls f again and again until ctx ends, at once after f was any good and
// with a growing, jittered pause while it is none.
func keep(ctx context.Context, f func() (good bool, err error)) {
	pause := backoffMin
	for ctx.Err() == nil {
		good, _ := f()
		if good {
			pause = backoffMin
		}
		wait := time.NewTimer(pause/2 + rand.N(pause))
		select {
		case <-ctx.Done():
		case <-wait.C:
		}
		wait.Stop()
		pause = min(2*pause, backoffMax)
	}
}

// talk polls over one connection until it fails. Good: anybody was answered. The
// culprit is whose answer the connection broke with; nil: that is nobody's.
func (c *conversation) talk(ctx context.Context, l *link) (good bool, culprit *party, err error) {
	who, err := l.greet(ctx)
	if err != nil {
		return false, nil, err
	}
	if !c.open(l.remote, who) {
		return true, nil, nil
	}
	c.last = nil
	late := time.AfterFunc(time.Hour, c.isLate)
	late.Stop()
	defer late.Stop()
	for {
		if c.take(); len(c.batch) == 0 {
			select {
			case <-ctx.Done():
				return good, nil, context.Cause(ctx)
			case <-c.ask:
			}
			if c.several() {
				runtime.Gosched() // those that are due at the same beat are about to say so
			}
			continue
		}
		late.Reset(lateAfter)
		answered, culprit, err := c.pollOnce(ctx, l)
		late.Stop()
		c.inTime()
		good = good || answered
		if err != nil {
			return good, culprit, err // what follows on this connection means nothing
		}
	}
}

func (c *conversation) several() bool {
	c.set.mu.Lock()
	defer c.set.mu.Unlock()
	return len(c.parties) > 1
}

func (c *conversation) isLate() {
	c.set.mu.Lock()
	defer c.set.mu.Unlock()
	c.late = c.up
	for _, p := range c.parties {
		if p.waits {
			p.w.again.Raise()
		}
	}
}

func (c *conversation) inTime() {
	c.set.mu.Lock()
	defer c.set.mu.Unlock()
	c.late = false
}

// open makes the connection that of all who take part; a connection that was
// replaced is a hint, so all are due. False: there is a conversation with that
// Sentinel already, and they are in that one now.
func (c *conversation) open(remote string, who identity) bool {
	c.set.mu.Lock()
	defer c.set.mu.Unlock()
	c.remote, c.who = remote, who
	if o := c.set.other(c); o != nil {
		for len(c.parties) > 0 {
			c.set.move(c.parties[0], o)
		}
		c.set.drop(c)
		return false
	}
	c.up = true
	for _, p := range c.parties {
		c.introduce(p)
	}
	return true
}

// introduce tells a party whom it talks to, and has it ask. Under mu.
func (c *conversation) introduce(p *party) {
	met := heard{p: p, met: true, runID: c.who.runID, process: c.who.process}
	if c.who.host != "" {
		met.at = p.w.names.Address(c.who.host, c.who.port)
	}
	p.w.post(met)
	p.wants(true)
	c.ask.Raise()
}
