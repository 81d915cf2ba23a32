package watched

import (
	"cmp"
	"fmt"
	"slices"
	"time"

	"github.com/redis-watchdog/redis-watchdog/lab"
	"github.com/redis-watchdog/redis-watchdog/watchdog"
)

// Sides is clients on several hosts: on each a writer and a reader that know
// one Redis and no other, and a writer and a reader that follow the Sentinels,
// their own host's first.
type Sides struct{ writers, readers []*lab.Load }

// Sides starts them. The one Redis is the one that is about to be old.
func (w *World) Sides(old *lab.Redis, hosts ...*lab.Host) *Sides {
	w.T.Helper()
	c := &Sides{}
	for _, h := range hosts {
		near := slices.Clone(w.Group.Sentinels)
		slices.SortStableFunc(near, func(a, b *lab.Sentinel) int {
			return -cmp.Compare(distance(a, h), distance(b, h))
		})
		known := lab.LoadConfig{Name: h.Name + "-known", To: old, Connections: 2, Rate: 60}
		found := lab.LoadConfig{Name: h.Name + "-found", Sentinels: near, Group: w.Group.Name, As: old, Connections: 2, Rate: 60}
		c.writers = append(c.writers, h.Writer(known), h.Writer(found))
		c.readers = append(c.readers, h.Reader(known), h.Reader(found))
	}
	return c
}

func distance(s *lab.Sentinel, h *lab.Host) int {
	if s.Host == h {
		return 1
	}
	return 0
}

// Writer and Reader are one host's that know the old Redis alone, in the order
// in which the hosts were given.
func (c *Sides) Writer(host int) *lab.Load { return c.writers[2*host] }
func (c *Sides) Reader(host int) *lab.Load { return c.readers[2*host] }

// Writes and Reads are all answers so far, in the order they were received.
func (c *Sides) Writes() lab.Trace { return merge(c.writers, (*lab.Load).Trace) }
func (c *Sides) Reads() lab.Trace  { return merge(c.readers, (*lab.Load).Trace) }

// Stop ends them all.
func (c *Sides) Stop() (writes, reads lab.Trace) {
	return merge(c.writers, (*lab.Load).Stop), merge(c.readers, (*lab.Load).Stop)
}

func merge(loads []*lab.Load, of func(*lab.Load) lab.Trace) lab.Trace {
	var all lab.Trace
	for _, d := range loads {
		all = append(all, of(d)...)
	}
	slices.SortStableFunc(all, func(a, b lab.Answer) int { return cmp.Compare(a.Received, b.Received) })
	return all
}

// Change is a change of master that a cut brought about, as clients on every
// side saw it and the Redis themselves showed it, on one clock.
type Change struct {
	Old, New *lab.Redis
	Cut      watchdog.Instant // right before it
	Whole    watchdog.Instant // right after it: nothing passes any more
	Healed   watchdog.Instant

	Fenced   lab.RoleChange // the old one was made a replica of nowhere; At is zero: never
	Down     lab.RoleChange // the old one ended, or hung; At is zero: never
	Promoted lab.RoleChange // the new one turned master
	Rejoined lab.RoleChange // the old one was a replica in step, after the heal; At is zero: never

	Acked lab.Trace // writes that were sent to the old one when the cut was whole, and that it acknowledged
	Lost  lab.Trace // of all acknowledged writes: those the new one does not have, with all healed

	OverlappingWrites lab.Trace
	OverlappingReads  lab.Trace
	Shut              lab.Trace // whatever the old one answered of what was sent between its fence and its being a replica in step
	Failed            lab.Trace // after the cut, what a client beside the old one, who knows no other, was refused
}

// Cutting is a Change in the making.
type Cutting struct {
	Sides *Sides

	w          *World
	old        *lab.Redis
	roles      []*lab.RoleWatch
	cut, whole watchdog.Instant
	healed     watchdog.Instant // zero: not yet
}

// BeforeCut starts clients beside the master, on every other host with a Redis
// and on those given, and watches every role. Cut is next.
func (w *World) BeforeCut(others ...*lab.Host) *Cutting {
	w.T.Helper()
	old := w.Group.Master()
	hosts := []*lab.Host{old.Host}
	for _, h := range append(slices.Clone(w.Hosts), others...) {
		if h != old.Host {
			hosts = append(hosts, h)
		}
	}
	c := &Cutting{w: w, old: old, roles: w.Group.WatchRoles(), Sides: w.Sides(old, hosts...)}
	begun := lab.Now()
	for _, d := range append(slices.Clone(c.Sides.writers), c.Sides.readers...) {
		d.WaitOK(begun, 20*time.Second)
	}
	return c
}

// Old is the master that is cut off.
func (c *Cutting) Old() *lab.Redis { return c.old }

// Cut makes the cut.
func (c *Cutting) Cut(what string, cut func()) {
	c.cut = c.w.Mark("%s", what)
	cut()
	c.whole = lab.Now()
}

// WaitWritten waits until a client has written to another Redis than the old
// one, and is that answer.
func (c *Cutting) WaitWritten() lab.Answer {
	c.w.T.Helper()
	var first lab.Answer
	c.w.Eventually("a write is acknowledged by a new master", time.Minute, func() error {
		writes := c.Sides.Writes().AckedAfter(c.cut)
		for _, a := range writes {
			if a.Redis != c.old.Address {
				first = a
				return nil
			}
		}
		return fmt.Errorf("%d after the cut, all by the old one", len(writes))
	})
	return first
}

// Mend only takes the cuts away: for what has to be done before Heal.
func (c *Cutting) Mend() {
	if c.healed == 0 {
		c.healed = lab.Now()
		c.w.Heal()
	}
}

// Heal heals, waits until every Redis is master or in step and every client is
// served again by whom the Sentinels name, and adds up.
func (c *Cutting) Heal() Change {
	c.w.T.Helper()
	w := c.w
	c.Mend()
	healed := c.healed
	w.Group.WaitReplicas()
	served := lab.Now()
	for i, d := range c.Sides.writers {
		if i%2 == 1 {
			d.WaitOK(served, time.Minute)
		}
	}
	writes, reads := c.Sides.Stop()
	out := Change{Old: c.old, New: w.Group.Master(), Cut: c.cut, Whole: c.whole, Healed: healed}
	out.Acked = writes.On(c.old.Address).Sent(c.whole, watchdog.Never).OK()
	var old, promoted *lab.RoleWatch
	for i, r := range w.Group.Redis {
		switch r {
		case c.old:
			old = c.roles[i]
		case out.New:
			promoted = c.roles[i]
		}
	}
	out.Lost = lab.Lost(writes, out.New)
	out.Failed = merge(c.Sides.writers[:1], (*lab.Load).Trace).Received(c.cut, watchdog.Never).Failed()
	if promoted == nil {
		return out // nobody was
	}
	out.Fenced, _ = old.First(c.cut, func(r lab.Role) bool { return r.Name == "slave" && r.Following == "127.0.0.1:0" })
	out.Down, _ = old.First(c.cut, func(r lab.Role) bool { return r.Name == "" })
	out.Promoted, out.Rejoined = promoted.BecameMaster(c.cut), old.BecameReplica(healed)
	if out.Rejoined.At == 0 { // a host that was frozen heals itself: it may be faster than we are
		out.Rejoined = old.BecameReplica(c.cut)
	}
	out.OverlappingWrites = lab.OverlappingWrites(writes.On(c.old.Address), writes.On(out.New.Address))
	out.OverlappingReads = lab.OverlappingReads(reads, c.old, old, out.Promoted)
	if out.Fenced.At != 0 {
		until := watchdog.Never
		if out.Rejoined.At != 0 {
			until = out.Rejoined.After
		}
		out.Shut = append(writes, reads...).On(c.old.Address).OK().
			Sent(out.Fenced.At, until).Received(0, until)
	}
	return out
}

// After is how long after the cut something was, as a share of d.
func (c Change) After(at watchdog.Instant, d time.Duration) float64 {
	return float64(at.Sub(c.Cut)) / float64(d)
}

// Sum is the change in one line, its times as shares of d.
func (c Change) Sum(d time.Duration) string {
	return fmt.Sprintf("last write %.2f D after the cut, fenced %.2f D, promoted %.2f D, rejoined %.2f D after the heal; "+
		"%d acknowledged beside the old after the cut, %d lost; overlap %d writes, %d reads; %d answers while shut",
		c.After(c.LastAcked(), d), c.After(c.Fenced.At, d), c.After(c.Promoted.At, d),
		float64(c.Rejoined.At.Sub(c.Healed))/float64(d), len(c.Acked), len(c.Lost),
		len(c.OverlappingWrites), len(c.OverlappingReads), len(c.Shut))
}

// LastAcked is when the old one acknowledged its last write: the client's view
// of the hold, or the cut itself.
func (c Change) LastAcked() watchdog.Instant {
	return c.Cut.Max(c.Acked.LastOK().Received)
}

// FirstError is the first answer that told a client beside the old one that it
// is served no more; zero: none. It is when clients saw the fence, which the
// watch on the role may see later.
func (c Change) FirstError() lab.Answer {
	for _, a := range c.Failed {
		if a.Kind != lab.TimedOut {
			return a
		}
	}
	return lab.Answer{}
}
