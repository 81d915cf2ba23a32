package sentinel

// One write to a Sentinel: the polls of all groups that are due, and what comes of
// each. Each group's answer is its own: one that is refused, makes no sense, or
// breaks the connection is that group's alone, as far as can be told.

import (
	"bytes"
	"errors"
	"fmt"
	"net"
	"slices"
	"time"

	"github.com/redis-watchdog/redis-watchdog/watchdog"
	"github.com/redis-watchdog/redis-watchdog/watchdog/resp"
)

// maxWrite is how many bytes of commands leave in one write. Sentinel reads 16 KB
// at a time, and turns to its timers in between: the commands of one group would
// then tell of two moments.
const maxWrite = 8 << 10

// asked is a party whose poll is under way.
type asked struct {
	p    *party
	full bool
}

func (a asked) commands() []byte {
	if a.full {
		return a.p.w.full
	}
	return a.p.w.lean
}

func (a asked) replies() int {
	if a.full {
		return fullReplies
	}
	return leanReplies
}

// take makes those that are due, as many as one write holds, the batch. Whose
// answer broke the connection last time is asked when nobody else is due, alone.
func (c *conversation) take() {
	c.set.mu.Lock()
	defer c.set.mu.Unlock()
	c.batch = c.batch[:0]
	size := 0
	var spoiler *party
	now := time.Time{} // asked for only if it matters
	c.due = slices.DeleteFunc(c.due, func(p *party) bool {
		switch {
		case p.reading:
			return false
		case p.spoils > 0 && len(c.parties) > 1:
			if now.IsZero() {
				now = time.Now()
			}
			if spoiler == nil && !now.Before(p.until) {
				spoiler = p
			}
			return false
		}
		one := asked{p, p.full || p.unquiet}
		if size += len(one.commands()); len(c.batch) > 0 && size > maxWrite {
			return false // nor is anybody after it: everybody's turn comes
		}
		c.batch = append(c.batch, one)
		p.due, p.full = false, false
		return true
	})
	if len(c.batch) == 0 && spoiler != nil {
		c.due = slices.DeleteFunc(c.due, func(p *party) bool { return p == spoiler })
		c.batch = append(c.batch, asked{spoiler, spoiler.full || spoiler.unquiet})
		spoiler.due, spoiler.full = false, false
	}
}

// errAllRefused: the Sentinel lets nobody ask any more. Another connection may be
// let in by what has changed.
var errAllRefused = fmt.Errorf("%w: every group", errRefused)

// pollOnce asks the batch. Good: anybody was answered. After an error what follows
// on this connection means nothing; the culprit is whose answer that began with.
func (c *conversation) pollOnce(conn net.Conn, r *replies) (good bool, culprit *party, err error) {
	// Nothing may have come unasked: a connection out of step answers the
	// question before this one.
	if r.reset(); len(r.got()) != 0 {
		if c.last != nil {
			c.last.spoil()
		}
		return false, c.last, fmt.Errorf("%w: bytes that were not asked for", errProtocol)
	}
	c.out, c.last = c.out[:0], c.batch[len(c.batch)-1].p
	timeout := time.Duration(0)
	full := slices.ContainsFunc(c.batch, func(a asked) bool { return a.full })
	if full {
		c.out = resp.Append(c.out, "INFO", infoSection)
	}
	for _, a := range c.batch {
		c.out = append(c.out, a.commands()...)
		timeout = max(timeout, a.p.w.pollTimeout())
	}
	sentAt := c.set.now()
	if err := send(conn, timeout, c.out); err != nil {
		return false, nil, err
	}
	var of process
	if full {
		i, err := r.next()
		if err != nil {
			return false, nil, fmt.Errorf("read poll: %w", err)
		}
		of = parseProcess(r, i)
	}
	began := full // to answer
	for i, a := range c.batch {
		r.reset()
		answered, err := c.hear(r, a, sentAt, of)
		began = began || len(r.got()) > 0
		if err != nil {
			if errors.Is(err, errProtocol) || began && isTimeout(err) {
				culprit = a.p
				culprit.spoil()
				if i > 0 { // or the one before was sent more than it was asked for
					c.batch[i-1].p.spoil()
				}
			}
			return good, culprit, err
		}
		good = good || answered
	}
	if !good && c.allRefused() {
		return false, nil, errAllRefused
	}
	return good, nil, nil
}

// spoil has the party asked apart from the others for a while.
func (p *party) spoil() {
	p.spoils = min(max(2*p.spoils, backoffMin), backoffMax)
	p.until = time.Now().Add(p.spoils)
}

func (c *conversation) allRefused() bool {
	c.set.mu.Lock()
	defer c.set.mu.Unlock()
	return !slices.ContainsFunc(c.parties, func(p *party) bool { return !p.refused })
}

// hear reads what a party is answered. The error is one of the connection.
func (c *conversation) hear(r *replies, a asked, sentAt watchdog.Instant, of process) (answered bool, err error) {
	var room [fullReplies]int
	at, err := readAll(r, room[:a.replies()])
	if err != nil {
		return false, fmt.Errorf("read poll: %w", err)
	}
	if err := inStep(r, at[1], a.p.w.cfg.Group); err != nil {
		return false, err
	}
	names := glance{resolver: a.p.w.names}
	answer, err := parse(r, at, &names, of)
	a.p.refused = errors.Is(err, errRefused)
	switch {
	case a.p.refused:
		c.conclude(a.p, heard{p: a.p, err: err}, false)
		return false, nil
	case err != nil:
		return false, err
	}
	a.p.spoils = 0
	if names.missed {
		c.readSlowly(a, bytes.Clone(r.got()[:r.at]), sentAt, of)
		return true, nil
	}
	answer.SentAt = sentAt
	c.answer(a, answer)
	return true, nil
}

// inStep says that a reply to SENTINEL MASTER is about the group it was asked for.
// (Sentinel tells the name first.)
func inStep(r *replies, i int, group string) error {
	v := r.vals[i]
	if v.kind != '*' || v.n < 2 || r.vals[i+1].kind != '$' || r.vals[i+2].kind != '$' {
		return nil // an error, or what parse finds out
	}
	if name := r.text(r.vals[i+2]); string(r.text(r.vals[i+1])) == "name" && string(name) != group {
		return fmt.Errorf("%w: SENTINEL MASTER %q is answered for %.60q", errProtocol, group, name)
	}
	return nil
}

// answer brings a party its answer. One that is out of the ordinary has it asked
// at once for its lists, as far as they were not.
func (c *conversation) answer(a asked, answer Answer) {
	again := a.p.look(&answer)
	c.conclude(a.p, heard{p: a.p, answer: answer}, again && !a.full)
}

// conclude ends the poll of a party.
func (c *conversation) conclude(p *party, h heard, again bool) {
	c.set.mu.Lock()
	defer c.set.mu.Unlock()
	if p.c == nil {
		return // it has left meanwhile
	}
	p.reading, p.waits = false, p.due
	p.w.post(h)
	if again {
		p.wants(true)
	}
	if p.due {
		p.c.ask.Raise()
	}
}

// readSlowly reads an answer with names that were never looked up, beside the
// others' polls: looking them up takes up to a second each. Until then the party is
// not asked again.
func (c *conversation) readSlowly(a asked, text []byte, sentAt watchdog.Instant, of process) {
	c.set.mu.Lock()
	defer c.set.mu.Unlock()
	if a.p.c != c {
		return // it has left meanwhile, and waits for nobody any more
	}
	a.p.reading = true
	a.p.w.wg.Go(func() {
		r := &replies{src: bytes.NewReader(text)}
		at, err := readAll(r, make([]int, a.replies()))
		var answer Answer
		if err == nil {
			answer, err = parse(r, at, a.p.w.names, of)
		}
		if err != nil {
			panic(fmt.Sprintf("sentinel: what was read once cannot be read again: %v", err))
		}
		answer.SentAt = sentAt
		c.answer(a, answer)
	})
}

// readAll reads as many replies as at has room for, and says where they are.
func readAll(r *replies, at []int) ([]int, error) {
	for i := range at {
		var err error
		if at[i], err = r.next(); err != nil {
			return nil, err
		}
	}
	return at, nil
}

// look says whether an answer is out of the ordinary, so that the lists are
// worth asking at once, and remembers it: while it lasts every poll is full.
func (p *party) look(a *Answer) (again bool) {
	m := &a.Master
	lists := [2]int{m.Others, m.Replicas}
	odd := m.Flags != 0 || m.Failover != FailoverNone || m.Reported != watchdog.Master || a.fault() != "" || a.Named == ""
	again = odd || lists != p.lists
	p.unquiet, p.lists = odd, lists
	return again
}
