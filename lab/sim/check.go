package sim

import (
	"fmt"
	"strconv"
	"time"

	"github.com/redis-watchdog/redis-watchdog/watchdog"
)

// violation is a promise that was seen broken.
type violation struct {
	kind string // overlap, late_read, stuck, needless, term, stale, lost, held
	at   watchdog.Instant
	text string
}

// checker watches the world from above: it sees every clock and every cut.
type checker struct {
	w     *World
	found *violation

	barred    watchdog.Instant // benign runs: since when the master does not take writes
	shutSince watchdog.Instant // planned runs: since when nobody takes writes
	freeSince watchdog.Instant // likewise: and nothing is under way that would excuse it
	goodSince watchdog.Instant

	promotions int
}

func (c *checker) report(kind, format string, args ...any) {
	if c.found != nil {
		return
	}
	c.found = &violation{kind, c.w.now, fmt.Sprintf(format, args...)}
	c.w.logf("!!!!", "%s: %s", kind, c.found.text)
	c.w.done = true
}

// watched is whether anything is promised of r.
func (c *checker) watched(r *redis) bool {
	return c.w.Watched[r.id] && c.w.now >= c.w.daemons[r.id].guards
}

// observe is called whenever a Redis may have begun or ended to answer.
func (c *checker) observe(r *redis) {
	if !c.watched(r) || c.w.now < c.w.WatchFrom {
		return
	}
	if r.writing {
		for _, o := range c.w.redis {
			if o != r && c.watched(o) && o.canWrite() {
				c.report("overlap", "R%d and R%d both acknowledge writes", r.id, o.id)
			}
		}
	}
	if r.writing {
		r.tenure = true
	}
	if r.reading && r.role == master && r.tenure && !c.openedLate(r) && !c.heldUp(r) {
		for _, o := range c.w.redis {
			// The newer promotion stands, and nobody typed it.
			if o != r && o.up && o.role == master && o.promotion > r.promotion && !o.forced && c.w.now.Sub(o.promotedAt) > c.w.ReadSlack && !c.unheard(o, r) {
				c.report("late_read", "R%d answers reads as a master although R%d was promoted %v ago", r.id, o.id, c.w.now.Sub(o.promotedAt))
			}
		}
	}
	c.needless(r)
	c.planned(r)
}

// planned: in a planned failover the old master answers reads for as long as
// nobody accepts writes, and no longer.
func (c *checker) planned(r *redis) {
	for _, o := range c.w.redis {
		old, next := r, o
		if r.by != nil && r.writing {
			old, next = o, r
		}
		if old != next && next.by != nil && next.writing && old.reading && old.role == master && old.tenure && old.promotion < next.promotion && c.watched(old) {
			c.report("late_read", "R%d answers reads as a master although R%d, promoted by %s, accepts writes", old.id, next.id, next.by.name)
		}
	}
}

// commanded judges a planned failover at its end.
func (c *checker) commanded(o *command) {
	c.w.outcomes[o.outcome]++
	if o.outcome != handedOver || o.promoted == nil || c.w.now < c.w.WatchFrom {
		return
	}
	if from := c.w.redis[o.from]; !c.w.has(o.had, from.acked) {
		c.report("lost", "%s is done, and R%d acknowledged up to %v what R%d does not have (%v)", o.name, o.from, from.acked, o.to, o.had.at)
	}
}

// letGo holds, in runs with planned failovers alone, that writers are let go:
// soon when nothing is under way, and in any case before long.
func (c *checker) letGo() {
	w := c.w
	if w.kind != plannedRun || w.now < w.WatchFrom {
		return
	}
	busy := w.etcd.order.stop
	for _, r := range w.redis {
		if r.writing {
			c.shutSince, c.freeSince = 0, 0
			return
		}
		busy = busy || r.role == master && r.by != nil && w.now.Sub(r.promotedAt) < 3*sec // named in a second, and granted
	}
	for _, s := range w.sents {
		busy = busy || s.failover != none && s.failover <= waitPromotion
	}
	if c.shutSince == 0 {
		c.shutSince = w.now
	}
	switch {
	case busy:
		c.freeSince = 0
	case c.freeSince == 0:
		c.freeSince = w.now
	case w.now.Sub(c.freeSince) > w.LetGo:
		c.report("held", "nobody takes writes for %v, and nothing is under way for %v", w.now.Sub(c.shutSince), w.now.Sub(c.freeSince))
	}
	if w.now.Sub(c.shutSince) > w.FailoverTimeout+w.DownAfter+20*sec {
		c.report("held", "nobody takes writes for %v", w.now.Sub(c.shutSince))
	}
}

// openedLate: the way out of the unfence rule has its price, see FINDINGS.md.
func (c *checker) openedLate(r *redis) bool {
	d := c.w.daemons[r.id]
	m := d.core.Memory
	return m.OpenedLate == strconv.Itoa(r.runID) && d.now().Sub(m.OpenedAt) < 18*sec
}

// heldUp: an opening was on its way to r, in the tenth of a millisecond that takes,
// when r stood still, and was executed when it woke. The fence behind it bounds that.
func (c *checker) heldUp(r *redis) bool {
	if r.heldUp == 0 || c.w.now.Sub(r.heldUp) > openFor+20*ms {
		return false
	}
	c.w.heldUp = true
	return true
}

// unheard: o's promotion was cut off together with the few Sentinels that know
// of it; the majority goes on with r.
func (c *checker) unheard(o, r *redis) bool {
	n := 0
	for _, s := range c.w.sents {
		if s.up && s.shown() == r.id {
			n++
		}
	}
	return c.w.now.Sub(o.promotedAt) > 3*sec && 2*n > len(c.w.sents)
}

// operator is what only a person can end, and is told to: adopt, or unfence
// --force.
func (c *checker) operator() bool {
	for _, d := range c.w.daemons {
		if d == nil || !d.up {
			continue
		}
		a, f := d.core.Memory.Agreement, d.core.Sentinels
		if lead := idOf(f.Master); lead >= 0 && !c.w.Watched[lead] {
			return true // nobody is beside it to repair anything
		}
		if why := d.core.Verdict.Reason; why == "data_behind" || why == "replicas_forgotten" || f.Master != "" && f.Master != a.Master && f.Epoch <= a.Epoch ||
			d.fact.Role == watchdog.Replica && f.Master == f.Self && d.fact.Offset < f.ReplicaOffset {
			return true
		}
	}
	return false
}

func (c *checker) promoted(r *redis) {
	r.promotedAt, r.tenure = c.w.now, false
	c.promotions++
	if r.role == nowhere || r.shut {
		c.stale(r, "promoted by Sentinel")
	}
}

func (c *checker) synced(*redis) {}

func (c *checker) opened(r *redis) { c.stale(r, "opened by its watchdog") }

// stale: what acknowledged clients' writes last is not overtaken by older data
// while it can be reached.
func (c *checker) stale(r *redis, how string) {
	for _, o := range c.w.redis {
		if o == r || o.answers() != watchdog.Up || !c.w.reach(r.host, o.host) {
			continue
		}
		if c.w.last(o.data) > c.w.last(r.data) && c.w.now >= c.w.WatchFrom && c.watched(r) && c.watched(o) && o.priority != 0 && o.role != nowhere && !(o.role == replica && !o.link.up && o.shut) {
			c.report("stale", "R%d is %s although R%d has newer writes (line %d over %d)", r.id, how, o.id, c.w.last(o.data), c.w.last(r.data))
		}
	}
}

// needless holds promise 6 in runs whose faults it names.
func (c *checker) needless(r *redis) {
	if c.w.kind != harmlessRun || r.id != 0 || c.w.only == wakesLate {
		return
	}
	if r.role == master && r.frozen {
		c.barred = 0 // it answers nobody, and that is not our doing
		return
	}
	if r.role != master || !r.reading {
		c.report("needless", "R%d stopped answering (role %s) in a run with harmless faults", r.id, r.role)
	}
	switch {
	case r.writing:
		c.barred = 0
	case r.locked:
		c.report("needless", "writers of R%d got errors in a run with harmless faults", r.id)
	case c.barred == 0:
		c.barred = c.w.now
	case c.w.now.Sub(c.barred) > c.w.HeldAtMost:
		c.report("needless", "writers of R%d held for %v in a run with harmless faults", r.id, c.w.now.Sub(c.barred))
	}
}

// agreed: (generation, epoch) never goes back.
func (c *checker) agreed(was watchdog.Agreement, p watchdog.Proposal) {
	if p.Compare(was.Term) <= 0 {
		c.report("term", "agreement %v %s replaced by %v %s", was.Term, was.Master, p.Term, p.Master)
	}
}

// whole is whether the group is as it should be: one master that serves, the
// others its replicas.
func (c *checker) whole() string {
	var lead *redis
	for _, r := range c.w.redis {
		switch {
		case !r.up:
			return fmt.Sprintf("R%d is down", r.id)
		case r.role == nowhere:
			return fmt.Sprintf("R%d is fenced", r.id)
		case r.role == master && lead != nil:
			return fmt.Sprintf("R%d and R%d are masters", lead.id, r.id)
		case r.role == master:
			lead = r
		}
		if !r.reading {
			return fmt.Sprintf("R%d answers no reads", r.id)
		}
	}
	if lead == nil {
		return "nobody is master"
	}
	if !lead.writing {
		return fmt.Sprintf("R%d takes no writes (locked=%v)", lead.id, lead.locked)
	}
	for _, r := range c.w.redis {
		if !c.w.Watched[r.id] && r != lead && r.role == replica && r.link.up {
			continue // nobody re-points it when a RESET has made Sentinel forget it
		}
		if r != lead && (r.following != lead.id || !r.link.up) {
			return fmt.Sprintf("R%d follows R%d (link up %v), the master is R%d", r.id, r.following, r.link.up, lead.id)
		}
		if r != lead && c.watched(r) && !r.locked && c.w.Policy.BornLocked && !c.w.Breakage.noLock {
			return fmt.Sprintf("replica R%d is not locked", r.id)
		}
		if want := 100; r.priority != want && !c.w.Veto[r.id] {
			return fmt.Sprintf("R%d is left with priority %d", r.id, r.priority)
		}
	}
	return ""
}

// steady watches the end of a run: whole in time, and staying so.
func (c *checker) steady() {
	w := c.w
	if w.healed == 0 || w.now < w.healed {
		return
	}
	limit := w.StuckAfter
	if why := c.whole(); why == "" {
		if c.goodSince == 0 {
			c.goodSince = w.now
		}
		if w.now.Sub(c.goodSince) > 25*time.Second && w.now.Sub(w.healed) > 30*time.Second {
			w.done = true
		}
		return
	} else if c.goodSince = 0; w.now.Sub(w.healed) > limit {
		if c.operator() {
			w.logf("----", "left to the operator: %s", why)
			w.done = true
			return
		}
		c.report("stuck", "%v after all was healed: %s", limit, why)
	}
}
