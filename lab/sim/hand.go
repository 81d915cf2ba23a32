package sim

import (
	"strconv"
	"time"

	"github.com/redis-watchdog/redis-watchdog/watchdog"
)

// hand makes the newest Gate true, one step at a time, as package fencing/gate
// does. Only the fence overtakes a step that is under way.
type hand struct {
	step    int // the one under way; 0: none
	steps   int
	fencing int // run id of the Redis whose fence is queued and unanswered
	leaving leaving
	armed   armedFence
	killed  bool
	dirty   bool // CONFIG REWRITE is due
	paused  watchdog.Instant
}

// leaving is the step away from a fence that has not been answered.
type leaving struct {
	step  int
	run   string // of the Redis
	opens bool   // it makes it a master
}

type armedFence struct {
	at   watchdog.Instant // fires at the latest
	left time.Duration    // what was left when it was armed
}

// openFor is the gate's: for how long the fence is armed that goes with an opening.
const openFor = sec

func (d *daemon) apply() {
	g, f, h := d.core.Want().Gate, d.fact, &d.hand
	switch v := d.core.Verdict; {
	case d.w.Breakage.noRow6 && v.Row == watchdog.RowPromoted:
		g = watchdog.Gate{Access: watchdog.Refuse, StopBy: watchdog.Never}
	case d.w.Breakage.noRow7 && v.Row == watchdog.RowDeposed:
		g = watchdog.Gate{Access: watchdog.Leave}
	case d.w.Breakage.noStop && v.Reason == "planned_failover":
		g.Access, g.Beneath = watchdog.Serve, false
	case d.w.Breakage.noHold && g.Access == watchdog.Hold:
		g.Access = watchdog.Serve
	}
	if f.SeenAt == 0 {
		return
	}
	if g.Access == watchdog.Refuse {
		d.refuse(g, f)
	} else {
		h.killed = false
		if h.leaving.opens && h.leaving.run == f.RunID && !(g.Access == watchdog.Lock && g.Open) {
			d.queueFence(f) // a fenced Redis stays fenced without Open
		}
	}
	if h.step != 0 || f.Answer != watchdog.Up || h.fencing != 0 {
		return
	}
	h.steps++
	h.step = h.steps
	if !d.nextStep(g, f) {
		h.step = 0
		return
	}
	step := h.step
	d.after(sec, func() { d.finish(step) })
}

func (d *daemon) finish(step int) {
	if d.hand.step == step {
		d.hand.step = 0
		d.poll()
	}
}

// do is one step: commands at Redis, then a look at what it became.
func (d *daemon) do1(what string, fn func(r *redis)) bool {
	step, r := d.hand.step, d.r
	if what != "pause" {
		d.w.logf(d.name, "gate: %s", what)
	}
	d.ask(&r.proc, func() func() {
		if r.answers() == watchdog.Up {
			fn(r)
			r.seen()
		}
		return func() { d.finish(step) }
	})
	return true
}

// leave is a step away from the fence. A fence sent while it is unanswered
// waits behind it on the same connection: Redis serves nobody in between.
// then runs when it was answered; nil: nothing does.
func (d *daemon) leave(what string, opens bool, fn func(r *redis), then func()) bool {
	step := d.hand.step
	d.hand.leaving = leaving{step, d.fact.RunID, opens}
	d.w.logf(d.name, "gate: %s", what)
	r := d.r
	d.ask(&r.proc, func() func() {
		if r.answers() == watchdog.Up {
			fn(r)
			if d.hand.fencing == r.runID {
				r.fence()
			}
			r.seen()
		}
		return func() {
			if d.hand.leaving.step == step {
				d.hand.leaving = leaving{}
			}
			if then != nil {
				then()
			}
			d.finish(step)
		}
	})
	return true
}

// refuse queues the fence at once, and ends a Redis that is not seen to refuse
// in time.
func (d *daemon) refuse(g watchdog.Gate, f watchdog.Redis) {
	h, r := &d.hand, d.r
	shut := f.Role == watchdog.Nowhere && f.Refusing && h.leaving.run != f.RunID
	if shut || f.Answer == watchdog.Absent || f.Role == watchdog.Replica && f.Answer == watchdog.Up && !g.AnyRole {
		return
	}
	d.queueFence(f)
	stopBy := g.StopBy
	// What was seen before a fence was sent that has not been answered tells nothing.
	silent := f.Answer == watchdog.Silent || f.Answer == watchdog.Busy || strconv.Itoa(h.fencing) == f.RunID
	if silent && h.armed.at != 0 {
		stopBy = g.StopArmed
	}
	if stopBy != watchdog.Never && d.now() >= stopBy && f.Answer != watchdog.Loading && !h.killed {
		h.killed = true
		d.w.logf(d.name, "gate: stop (SIGKILL)")
		d.after(d.w.between(2*ms, 20*ms), func() {
			r.die("stopped by its watchdog")
			d.w.supervise(r)
		})
	}
}

func (d *daemon) queueFence(f watchdog.Redis) {
	run, _ := strconv.Atoi(f.RunID)
	if d.hand.fencing == run {
		return
	}
	d.hand.fencing = run
	d.w.logf(d.name, "gate: fence sent")
	if d.hand.leaving.step == 0 {
		d.sendFence(run)
	} else { // one connection: never ahead of it
		d.after(200*time.Microsecond, func() { d.sendFence(run) })
	}
}

func (d *daemon) sendFence(run int) {
	r := d.r
	d.ask(&r.proc, func() func() {
		ok := r.answers() == watchdog.Up && r.runID == run
		if ok {
			r.w.logf(r.name, "fence runs (was %s)", r.role)
			r.fence()
		}
		return func() {
			switch {
			case d.hand.fencing != run:
			case ok:
				d.hand.fencing, d.hand.dirty = 0, true
				d.poll()
			default:
				d.after(20*ms, func() {
					if d.hand.fencing == run {
						d.hand.fencing = 0
						d.apply()
					}
				})
			}
		}
	})
	// A connection whose Redis is gone is noticed.
	d.after(200*ms, func() { d.watchFence(run) })
}

func (d *daemon) watchFence(run int) {
	switch {
	case d.hand.fencing != run:
	case !d.r.up || d.r.runID != run:
		d.hand.fencing = 0
	default:
		d.after(200*ms, func() { d.watchFence(run) })
	}
}

// nextStep begins the next step towards g; false: there is none.
func (d *daemon) nextStep(g watchdog.Gate, f watchdog.Redis) bool {
	h, r := &d.hand, d.r
	if g.Access != watchdog.Refuse && f.Role == watchdog.Master {
		if d.armStep(g, f) {
			return true
		}
	}
	prio := 100
	if g.Veto {
		prio = 0
	}
	switch g.Access {
	case watchdog.Hold:
		switch {
		case f.Role != watchdog.Master:
		case (!f.Locked || g.Beneath) && d.now().Sub(h.paused) >= 100*ms:
			h.paused = d.now()
			return d.do1("pause", func(r *redis) { r.pause(300 * ms) })
		case g.Beneath && !f.Locked && !d.w.Breakage.noLock && !d.w.Breakage.noBeneath:
			h.dirty = true
			return d.do1("lock", func(r *redis) { r.locked = true })
		}
	case watchdog.Lock:
		switch {
		case f.Role == watchdog.Nowhere && g.Open:
			h.dirty = true
			// XREAD and the fence go with it, in one write. It counts from when
			// Redis executes them.
			left, armed := min(g.Arm.Sub(d.now())-15*ms, openFor), false
			arm := g.Arm != 0 && !d.w.Breakage.noArm && !d.w.Breakage.openBare
			if arm && left < 40*ms {
				return false
			}
			sent := d.w.now
			d.w.opening(d.host)
			return d.leave("open", true, func(r *redis) {
				if r.role == nowhere {
					r.locked = true
					if d.hand.fencing != r.runID { // else it is shut again at once
						r.w.check.opened(r)
						r.heldUp = 0
						if d.w.now.Sub(sent) > ms { // it stood still while that was on its way
							r.heldUp = d.w.now
						}
					}
					r.follow(master, 0)
					r.shut, r.priority = false, 100
					if arm && r.cover(r.arm(left)) {
						armed = true
					}
				}
			}, func() {
				if armed {
					h.armed = armedFence{d.now().Add(left), left}
					d.fact.ArmedFor = h.armed.at
				}
			})
		case f.Role != watchdog.Nowhere && !f.Locked && !d.w.Breakage.noLock:
			h.dirty = true
			return d.do1("lock", func(r *redis) { r.locked = true })
		case f.Held && f.Role == watchdog.Master:
			return d.do1("unpause", func(r *redis) { r.unpause() })
		}
	case watchdog.Serve:
		switch {
		case f.Role != watchdog.Master:
		case f.Locked:
			return d.do1("unlock", func(r *redis) { r.locked = false })
		case f.Held:
			return d.do1("unpause", func(r *redis) { r.unpause() })
		case r.shut || r.priority != 100:
			h.dirty = true
			return d.do1("restore", func(r *redis) { r.shut, r.priority = false, 100 })
		}
	case watchdog.Follow:
		to := idOf(g.Master)
		switch {
		case f.Role == watchdog.Nowhere && g.Master != "" && to != d.id:
			return d.leave("follow R"+strconv.Itoa(to), false, func(r *redis) {
				if r.role == nowhere {
					r.locked = true
					r.follow(replica, to)
				}
			}, nil)
		case f.Role != watchdog.Replica:
		case !f.Locked && !g.Unlocked && !d.w.Breakage.noLock:
			h.dirty = true
			return d.do1("lock", func(r *redis) { r.locked = true })
		case g.Master != "" && g.Master != f.Following:
			return d.do1("re-point R"+strconv.Itoa(to), func(r *redis) {
				if r.role == replica {
					r.follow(replica, to)
				}
			})
		case (f.LinkUp || !r.shut) && (r.shut || r.priority != prio):
			h.dirty = true
			return d.do1("restore", func(r *redis) {
				if r.role == replica {
					r.shut, r.priority = false, prio
				}
			})
		case f.Held:
			return d.do1("unpause", func(r *redis) { r.unpause() })
		}
	}
	if h.dirty {
		h.dirty = false
		return d.do1("config rewrite", func(r *redis) { r.rewrite() })
	}
	return false
}

// armStep arms, puts off or takes down the armed fence.
func (d *daemon) armStep(g watchdog.Gate, f watchdog.Redis) bool {
	h, now := &d.hand, d.now()
	if d.w.Breakage.noArm {
		return false
	}
	if g.Arm == 0 {
		if h.armed.at == 0 {
			return false
		}
		h.armed = armedFence{}
		return d.do1("disarm", func(r *redis) { r.disarm(0) })
	}
	if g.Arm.Sub(now) < 40*ms {
		return false // nearer than that it is the fencer's
	}
	if a := h.armed; a.at != 0 && a.at <= g.Arm && g.Arm.Sub(a.at) < min(max(a.left/16, 20*ms), 200*ms) {
		return false
	}
	arm := g.Arm.Min(now.Add(time.Hour))
	left := arm.Sub(now) - 20*ms
	step, r := h.step, d.r
	run := f.RunID
	d.ask(&r.proc, func() func() {
		if r.answers() != watchdog.Up || r.role != master {
			return func() { d.finish(step) }
		}
		id := r.arm(left)
		return func() {
			seen := d.now()
			d.ask(&r.proc, func() func() {
				ok := strconv.Itoa(r.runID) == run && r.cover(id)
				if ok {
					r.disarm(id)
				}
				return func() {
					if ok {
						d.hand.armed = armedFence{seen.Add(left), left}
						d.guards = min(d.guards, d.w.now)
						d.fact.ArmedFor = d.hand.armed.at
					}
					d.finish(step)
				}
			})
		}
	})
	return true
}
