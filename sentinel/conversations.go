package sentinel

// Who takes part in which conversation: one is with one Sentinel process, for all
// groups of this process that reach it in the same way.

import (
	"context"
	"crypto/tls"
	"net"
	"net/netip"
	"slices"
	"sync"
	"time"

	"github.com/redis-watchdog/redis-watchdog/watchdog"
	"github.com/redis-watchdog/redis-watchdog/watchdog/signal"
)

// Conversations are those that the Watchers of one process share. Whoever makes
// them waits for them, when the last of those Watchers has ended.
type Conversations struct {
	now func() watchdog.Instant
	wg  sync.WaitGroup

	// mu guards who takes part and what was asked for. It is held for no I/O; a
	// Watcher's own lock may be held before it, never after.
	mu  sync.Mutex
	all map[access]*conversation
}

// NewConversations makes an empty set; now is the clock by which evidence is dated.
func NewConversations(now func() watchdog.Instant) *Conversations {
	return &Conversations{now: now, all: make(map[access]*conversation)}
}

// Wait returns when every conversation is over. Each ends with its last group.
func (s *Conversations) Wait() { s.wg.Wait() }

// access is how a Sentinel is reached. Two groups with the same access share a
// conversation; where anything differs they stay apart, for what the one may ask
// the other may not.
type access struct {
	host string // an IP in its one spelling, or a name in lower case
	port string
	credentials
}

type credentials struct {
	username, password string
	// tls is compared as a pointer: whoever has several groups with the same
	// settings hands in one Config for them.
	tls  *tls.Config
	name string // that the certificate is for; empty: no TLS, or the Config has it
}

// party is one group's part in a conversation.
type party struct {
	w   *Watcher
	key string // of the Sentinel, among the group's

	// Under Conversations.mu.
	c       *conversation // nil: it has left
	dials   []string
	next    int  // of dials
	due     bool // asked for, and not sent yet
	full    bool // what was asked for shall be a full poll
	waits   bool // asked for, and not answered yet
	reading bool // its answer names hosts that are being looked up

	// Of whoever polls: the conversation's goroutine, or who reads while reading.
	unquiet bool // the last answer was out of the ordinary
	lists   [2]int
	refused bool // the last poll was
	// spoils: the connection broke with what it was answered. It is asked when all
	// others have been, alone, and not before until.
	spoils time.Duration
	until  time.Time
}

// at is where the party looks for its Sentinel now, as it was spelled to it.
// Under mu, as access.
func (p *party) at() string { return p.dials[p.next%len(p.dials)] }

func (p *party) access() access {
	at := p.at()
	host, port, err := net.SplitHostPort(at)
	if err != nil {
		host = at // New and the parser let nothing else in; dialling it says why
	}
	cfg := &p.w.cfg
	a := access{host: newHost(host).text, port: port, credentials: credentials{password: cfg.Password, tls: cfg.TLS}}
	if cfg.Password != "" {
		a.username = cfg.Username // without a password there is no AUTH
	}
	if cfg.TLS != nil && cfg.TLS.ServerName == "" {
		a.name = a.host
	}
	return a
}

// poll asks for a poll; false: not connected.
func (p *party) poll(full bool) bool {
	s := p.w.talks
	s.mu.Lock()
	defer s.mu.Unlock()
	if p.c == nil {
		return false
	}
	p.wants(full)
	p.c.ask.Raise()
	return p.c.up
}

// wants has the party asked for with the next write. Under mu.
func (p *party) wants(full bool) {
	p.full = p.full || full
	p.waits = true
	if !p.due {
		p.due = true
		p.c.due = append(p.c.due, p)
	}
}

// late says that it waits for an answer that others have to be heard in place of.
func (p *party) late() bool {
	s := p.w.talks
	s.mu.Lock()
	defer s.mu.Unlock()
	return p.c != nil && p.c.late && p.waits
}

// dialsAre tells where to look for its Sentinel when the connection is lost.
func (p *party) dialsAre(dials []string) {
	s := p.w.talks
	s.mu.Lock()
	defer s.mu.Unlock()
	p.dials = append(p.dials[:0], dials...)
}

// join has the party take part in its conversation, which is begun if it is the
// first.
func (s *Conversations) join(p *party) {
	s.mu.Lock()
	defer s.mu.Unlock()
	c := s.with(p.access(), backoffMin)
	s.enter(c, p)
	if !c.up {
		c.hurry.Raise()
	}
}

// leave takes the party out. The conversation that ended with it; nil: it goes on.
func (s *Conversations) leave(p *party) *conversation {
	s.mu.Lock()
	defer s.mu.Unlock()
	c := p.c
	if c == nil {
		return nil
	}
	s.exit(p)
	if len(c.parties) > 0 {
		return nil
	}
	s.drop(c)
	return c
}

// with is the conversation of that access; pause is how long a new one waits
// after its first failure. Under mu, as all below.
func (s *Conversations) with(a access, pause time.Duration) *conversation {
	if c := s.all[a]; c != nil {
		return c
	}
	c := &conversation{
		set: s, access: a, pause: pause, ask: signal.New(), hurry: signal.New(),
		done: make(chan struct{}), groups: make(map[string][]*party),
	}
	var ctx context.Context
	ctx, c.cancel = context.WithCancel(context.Background())
	s.all[a] = c
	s.wg.Go(func() {
		defer close(c.done)
		listening := make(chan struct{})
		go func() { defer close(listening); c.listen(ctx) }()
		c.run(ctx)
		<-listening
	})
	return c
}

func (s *Conversations) enter(c *conversation, p *party) {
	p.c = c
	c.parties = append(c.parties, p)
	c.groups[p.w.cfg.Group] = append(c.groups[p.w.cfg.Group], p)
	if spaced(p.w.cfg.Group) {
		c.spaced = append(c.spaced, p)
	}
	switch {
	case c.subscribed:
		p.w.post(heard{p: p, subscribed: true})
	case c.deaf != nil:
		p.w.post(heard{p: p, deaf: c.deaf})
	}
	if c.up {
		c.introduce(p)
	}
}

func (s *Conversations) exit(p *party) {
	c, group := p.c, p.w.cfg.Group
	is := func(o *party) bool { return o == p }
	c.parties = slices.DeleteFunc(c.parties, is)
	c.due = slices.DeleteFunc(c.due, is)
	c.spaced = slices.DeleteFunc(c.spaced, is)
	if c.groups[group] = slices.DeleteFunc(c.groups[group], is); len(c.groups[group]) == 0 {
		delete(c.groups, group)
	}
	p.c, p.due, p.waits = nil, false, false // what is being read is read to its end
}

func (s *Conversations) drop(c *conversation) {
	c.cancel()
	if s.all[c.access] == c {
		delete(s.all, c.access)
	}
}

// move takes a party from where it is to another conversation.
func (s *Conversations) move(p *party, to *conversation) {
	s.exit(p)
	s.enter(to, p)
}

// other is a conversation with the same Sentinel that is spelled otherwise; nil:
// there is none.
func (s *Conversations) other(c *conversation) *conversation {
	if _, err := netip.ParseAddrPort(c.remote); err != nil {
		return nil
	}
	for _, o := range s.all {
		if o != c && o.up && o.remote == c.remote && o.credentials == c.credentials {
			return o
		}
	}
	return nil
}

// scatter sends home whoever is a guest: it took part only because this was the
// same Sentinel, and where that is found again is not known now. With onward they
// all look at the next of their addresses first.
func (s *Conversations) scatter(c *conversation, onward bool) {
	for _, p := range slices.Clone(c.parties) {
		if onward {
			p.next++
		}
		if a := p.access(); a != c.access {
			s.move(p, s.with(a, c.pause))
		}
	}
	if len(c.parties) == 0 {
		s.drop(c)
	}
}
