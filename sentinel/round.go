package sentinel

// One write to a Sentinel: the polls of all groups that are due, and what comes of
// each. Each group's answer is its own: one that is refused, makes no sense, or
// breaks the connection is that group's alone, as far as can be told.

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/redis-watchdog/redis-watchdog/watchdog"
	"github.com/redis-watchdog/redis-watchdog/watchdog/redisclient"
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

func (a asked) poll() *poll {
	if a.full {
		return &a.p.w.full
	}
	return &a.p.w.lean
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
		if size += one.poll().bytes; len(c.batch) > 0 && size > maxWrite {
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
func (c *conversation) pollOnce(ctx context.Context, l *link) (good bool, culprit *party, err error) {
	c.out, c.last = c.out[:0], c.batch[len(c.batch)-1].p
	timeout := time.Duration(0)
	full := slices.ContainsFunc(c.batch, func(a asked) bool { return a.full })
	if full {
		c.out = append(c.out, []any{"INFO", infoSection})
	}
	for _, a := range c.batch {
		c.out = append(c.out, a.poll().commands...)
		timeout = max(timeout, a.p.w.pollTimeout())
	}
	came := l.bytes.Load()
	sentAt := c.set.now()
	answers, err := l.ask(ctx, timeout, c.out...)
	if errors.Is(err, redisclient.ErrUnasked) {
		c.last.spoil() // with whose answer it came
		return false, c.last, err
	}
	var of process
	if full && len(answers) > 0 {
		of, answers = parseProcess(answers[0]), answers[1:]
	}
	began := l.bytes.Load() != came // to answer
	for i, a := range c.batch {
		replies := answers[:min(len(a.poll().commands), len(answers))]
		answers = answers[len(replies):]
		failed := err // is the connection's, unless all is there that this one is answered
		if len(replies) == len(a.poll().commands) {
			var answered bool
			answered, failed = c.hear(a, replies, sentAt, of)
			good = good || answered
		}
		if failed != nil {
			if isGarbage(failed) || began && isTimeout(failed) {
				culprit = a.p
				culprit.spoil()
				if i > 0 { // or the one before was sent more than it was asked for
					c.batch[i-1].p.spoil()
				}
			}
			return good, culprit, failed
		}
	}
	if !good && c.allRefused() {
		return false, nil, errAllRefused
	}
	return good, nil, nil
}

// isGarbage says that err is an answer no Sentinel gives.
func isGarbage(err error) bool {
	return errors.Is(err, errProtocol) || errors.Is(err, redisclient.ErrGarbage)
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

// hear reads what a party is answered. After an error what follows on the
// connection means nothing.
func (c *conversation) hear(a asked, replies []redisclient.Answer, sentAt watchdog.Instant, of process) (answered bool, err error) {
	if err := inStep(replies[1], a.p.w.cfg.Group); err != nil {
		return false, err
	}
	names := glance{resolver: a.p.w.names}
	answer, err := parse(replies, &names, of)
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
		c.readSlowly(a, replies, sentAt, of)
		return true, nil
	}
	answer.SentAt = sentAt
	c.answer(a, answer)
	return true, nil
}

// inStep says that a reply to SENTINEL MASTER is about the group it was asked for.
// (Sentinel tells the name first.)
func inStep(r redisclient.Answer, group string) error {
	fields := r.List()
	if len(fields) < 2 || !isText(fields[0]) || !isText(fields[1]) {
		return nil // an error, or what parse finds out
	}
	if fields[0] == "name" && fields[1] != group {
		return fmt.Errorf("%w: SENTINEL MASTER %q is answered for %.60q", errProtocol, group, fields[1])
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
func (c *conversation) readSlowly(a asked, replies []redisclient.Answer, sentAt watchdog.Instant, of process) {
	c.set.mu.Lock()
	defer c.set.mu.Unlock()
	if a.p.c != c {
		return // it has left meanwhile, and waits for nobody any more
	}
	a.p.reading = true
	a.p.w.wg.Go(func() {
		answer, err := parse(replies, a.p.w.names, of)
		if err != nil {
			panic(fmt.Sprintf("sentinel: what was read once cannot be read again: %v", err))
		}
		answer.SentAt = sentAt
		c.answer(a, answer)
	})
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
