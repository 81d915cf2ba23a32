package sim

import (
	"strconv"
	"time"

	"github.com/redis-watchdog/redis-watchdog/watchdog"
)

// The order for a planned failover: how etcd keeps it, and what a watchdog makes
// of it. It stands under a lease of its length.

// order is planned-failover/<group>.
type order struct {
	id       int // zero: none stands
	from, to int
	stop     bool // from's writers are to be stopped
	lease    int
}

// orderAnswer is planned-failover-answers/<group>/<address>.
type orderAnswer struct {
	id             int
	stop           bool
	up             bool
	role           watchdog.Role
	following      watchdog.Address
	linkUp, vetoed bool
	held, serving  bool
	offset         int64
}

// orderView is ReadPlannedFailover: all of it at one revision.
type orderView struct {
	order
	agreed  watchdog.Address
	holder  int
	answers [8]orderAnswer
}

func (e *etcd) viewOrder() orderView {
	return orderView{e.order, e.agreement.Master, e.holder, e.answers}
}

// beginOrder is BeginPlannedFailover, stopOrder StopPlannedFailover, endOrder
// EndPlannedFailover.
func (e *etcd) beginOrder(o order, lasts time.Duration) bool {
	if e.order.id != 0 || e.agreement.Master != address(o.from) || e.holder != o.from {
		return false
	}
	o.lease = e.grantLease(lasts)
	e.order, e.answers = o, [8]orderAnswer{}
	e.orderChanged("begun")
	return true
}

func (e *etcd) stopOrder(id int, lasts time.Duration) bool {
	if e.order.id != id {
		return false
	}
	e.order.stop, e.order.lease = true, e.grantLease(lasts)
	e.orderChanged("stops the writers")
	return true
}

func (e *etcd) endOrder(id int) {
	if e.order.id == id {
		e.order, e.answers = order{}, [8]orderAnswer{}
		e.orderChanged("taken back")
	}
}

// orderChanged is the watch: a hint to every watchdog.
func (e *etcd) orderChanged(what string) {
	e.rev++
	e.w.logf(e.name, "planned failover R%d -> R%d %s", e.order.from, e.order.to, what)
	for _, d := range e.w.daemons {
		if d != nil {
			e.tell(&d.proc, d.coord.hurry)
		}
	}
}

func (e *etcd) timeToLive(id int) time.Duration {
	for _, l := range e.leases {
		if l.id == id {
			return l.end.Sub(e.w.now).Truncate(sec)
		}
	}
	return 0
}

func (e *etcd) putAnswer(from, lease int, a orderAnswer) bool {
	if e.order.id != a.id || e.order.lease != lease {
		return false
	}
	e.answers[from] = a
	return true
}

// takeOrder is the Keeper's: an order whose end is not known yet is asked for
// its length, counted from before the question.
func (c *coordinator) takeOrder(s shown, then func()) {
	o := s.order
	if o.id == 0 && c.order.ID != "" && c.daemon.w.Breakage.noEnd {
		then()
		return
	}
	if o.id == 0 {
		c.order, c.orderLease = watchdog.PlannedFailover{}, 0
	}
	if o.id == 0 || o.lease == c.orderLease {
		then()
		return
	}
	d, e, sentAt, done := c.daemon, c.daemon.w.etcd, c.daemon.now(), false
	learn := func(ttl time.Duration) {
		if done {
			return
		}
		done = true
		if c.order, c.orderLease = (watchdog.PlannedFailover{}), 0; ttl > 0 {
			c.orderLease = o.lease
			c.order = watchdog.PlannedFailover{ID: strconv.Itoa(o.id), From: address(o.from), To: address(o.to), Stop: o.stop, Until: sentAt.Add(ttl)}
			if c.daemon.w.Breakage.noEnd {
				c.order.Until = watchdog.Never
			}
		} else {
			c.again = true
		}
		then()
	}
	d.ask(&e.proc, func() func() {
		ttl := e.timeToLive(o.lease)
		return e.answer(d, func() { learn(ttl) })
	})
	d.after(d.policy.Timing(d.core.Sentinels.DownAfter).Round, func() { learn(0) })
}

// follow looks often while an order stands.
func (d *daemon) follow(h watchdog.PlannedFailover) {
	news := h != d.order
	d.order = h
	if !news || h.ID == "" {
		return
	}
	d.poll()
	if !d.fast {
		d.fast = true
		d.look()
	}
}

func (d *daemon) look() {
	if d.order.ID == "" || d.now() >= d.order.Until {
		d.fast, d.order = false, watchdog.PlannedFailover{}
		return
	}
	d.poll()
	d.after(20*ms, d.look)
}

// answerOrder tells whoever gave the order what is seen.
func (d *daemon) answerOrder() {
	h, f := d.order, d.fact
	if h.ID == "" || d.answering {
		return
	}
	id, _ := strconv.Atoi(h.ID)
	a := orderAnswer{
		id: id, stop: h.Stop, up: f.Answer == watchdog.Up, role: f.Role, following: f.Following, linkUp: f.LinkUp,
		vetoed: d.priority == 0, offset: f.Offset,
		held:    h.Stop && f.Role == watchdog.Master && (f.Locked || d.w.Breakage.noBeneath && f.Held),
		serving: f.Role == watchdog.Master && !f.Held && !f.Locked,
	}
	lease := d.coord.orderLease
	if a == d.answered && lease == d.answeredUnder {
		return
	}
	d.answering = true
	e := d.w.etcd
	d.ask(&e.proc, func() func() {
		ok := e.putAnswer(d.id, lease, a)
		return e.answer(d, func() {
			d.answering = false
			if ok {
				d.answered, d.answeredUnder = a, lease
			}
		})
	})
	d.after(500*ms, func() { d.answering = false })
}
