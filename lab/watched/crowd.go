package watched

import (
	"slices"
	"time"

	"github.com/redis-watchdog/redis-watchdog/lab"
	"github.com/redis-watchdog/redis-watchdog/watchdog"
)

// Crowd is a writer and a reader on each of some hosts, all of which follow
// the Sentinels as a client library does.
type Crowd struct {
	w                *World
	writers, readers []*lab.Load
}

// Crowd starts clients on these hosts (none: on every host with a Redis), and
// returns when each has had an answer.
func (w *World) Crowd(hosts ...*lab.Host) *Crowd {
	w.T.Helper()
	if len(hosts) == 0 {
		hosts = w.Hosts
	}
	began := lab.Now()
	c := &Crowd{w: w}
	for _, h := range hosts {
		config := lab.LoadConfig{Sentinels: w.Group.Sentinels, Group: w.Group.Name, Connections: 2, Rate: 50}
		c.writers = append(c.writers, h.Writer(config))
		c.readers = append(c.readers, h.Reader(config))
	}
	c.WaitOK(began)
	return c
}

// WaitOK waits until every client got an OK for what it sent after t.
func (c *Crowd) WaitOK(t watchdog.Instant) {
	c.w.T.Helper()
	for _, d := range slices.Concat(c.writers, c.readers) {
		d.WaitOK(t, time.Minute)
	}
}

// Writes so far, of all writers, in the order they were received.
func (c *Crowd) Writes() lab.Trace { return together(c.writers) }

// Reads likewise.
func (c *Crowd) Reads() lab.Trace { return together(c.readers) }

// Stop ends all of them.
func (c *Crowd) Stop() (writes, reads lab.Trace) {
	for _, d := range slices.Concat(c.writers, c.readers) {
		d.Stop()
	}
	return c.Writes(), c.Reads()
}

func together(loads []*lab.Load) lab.Trace {
	var all lab.Trace
	for _, d := range loads {
		all = append(all, d.Trace()...)
	}
	slices.SortStableFunc(all, func(a, b lab.Answer) int { return int(a.Received - b.Received) })
	return all
}
