package sim

import (
	"slices"
	"time"

	"github.com/redis-watchdog/redis-watchdog/watchdog"
)

// coordinator is the watchdog's conversation with etcd: rounds of a keep-alive
// and a transaction, counted from their start.
type coordinator struct {
	daemon *daemon
	fact   watchdog.Coordinator

	lease     int
	ttl       time.Duration
	rounds    int
	under     int // the round under way; 0: none
	begun     watchdog.Instant
	again     bool
	rev       int64
	granted   int // mod revisions of grant and last, as read last
	lostUntil watchdog.Instant

	hangs int              // the lease that our grant hangs on with those of our mates; 0: none
	asked watchdog.Instant // when its renewal was last asked for, or it was first seen
	given int              // as of which change of it the grant was let go; 0: it was not
	own   bool             // it has a lease of its own since

	order      watchdog.PlannedFailover // that stands, or stood
	orderLease int                      // its; 0: its end is not known
}

func (c *coordinator) hurry() {
	if c.under != 0 {
		c.again = true
		return
	}
	c.round()
}

func (c *coordinator) round() {
	d := c.daemon
	t := d.policy.Timing(d.core.Sentinels.DownAfter)
	now := d.now()
	if c.under != 0 && now.Sub(c.begun) < t.SuspectAfter {
		return
	}
	c.rounds++
	id := c.rounds
	c.under, c.begun, c.again = id, now, false
	want := d.core.Want()
	if want.Grant == watchdog.GrantRenew && (c.own || c.given != 0 && c.given == c.granted) {
		want.Grant = watchdog.GrantClaim // as that it is not renewed any more
	}
	q := request{
		from: d.id, want: want.Grant, lease: c.lease, granted: c.granted, agreed: c.fact.Agreement, proposal: want.Propose,
		opened: d.fact.Role == watchdog.Master && !d.fact.Locked && d.fact.Answer == watchdog.Up,
	}
	e := d.w.etcd
	switch want.Grant {
	case watchdog.GrantRenew:
		ttl := c.ttl
		c.asked = now
		d.ask(&e.proc, func() func() {
			ok := e.keepAlive(q.lease, ttl)
			return e.answer(d, func() {
				if c.under == id {
					c.transact(id, q, now, ok)
				}
			})
		})
	case watchdog.GrantClaim:
		ttl := t.LeaseTTL
		d.ask(&e.proc, func() func() {
			l := e.grantLease(ttl)
			return e.answer(d, func() {
				if c.under == id {
					q.lease = l
					c.ttl = ttl
					c.transact(id, q, now, true)
				}
			})
		})
	default:
		c.transact(id, q, now, true)
	}
}

// letGoAfter is package grant's.
const letGoAfter = 1500 * ms

// mates is what the other groups of the host do with the lease that their grants
// share with ours: it is renewed for them whatever we want, and ours is moved off it
// when we have not asked for a while.
func (c *coordinator) mates() {
	d, e := c.daemon, c.daemon.w.etcd
	if !d.w.Mates || c.hangs == 0 {
		return
	}
	now, ttl := d.now(), d.policy.Timing(d.core.Sentinels.DownAfter).LeaseTTL
	patience := time.Duration(letGoAfter)
	if w := d.core.Want().Grant; w == watchdog.GrantRenew || w == watchdog.GrantClaim {
		patience = max(patience, ttl)
	}
	lease, granted := c.hangs, c.granted
	gone := now.Sub(c.asked) >= patience && !d.w.Breakage.noLetGo
	if gone {
		c.given = granted
	}
	lasts := max(c.asked.Add(ttl).Sub(now), 2*sec)
	d.ask(&e.proc, func() func() {
		if e.keepAlive(lease, ttl) && gone {
			e.letGo(d.id, lease, granted, (lasts + sec - 1).Truncate(sec))
		}
		return nil
	})
}

// answer delays what etcd says while it is slow.
func (e *etcd) answer(to *daemon, fn func()) func() {
	if e.wait == 0 {
		return fn
	}
	wait := e.w.between(e.wait/2, e.wait)
	return func() { to.after(wait, fn) }
}

func (c *coordinator) transact(id int, q request, start watchdog.Instant, alive bool) {
	d, e := c.daemon, c.daemon.w.etcd
	d.ask(&e.proc, func() func() {
		s := e.txn(q)
		return e.answer(d, func() {
			if c.under != id {
				return // given up: its outcome is unknown
			}
			c.takeOrder(s, func() {
				if c.under != id {
					return
				}
				c.under = 0
				c.heard(q, s, start, alive)
				if c.again {
					c.round()
				}
			})
		})
	})
}

func (c *coordinator) heard(q request, s shown, start watchdog.Instant, alive bool) {
	d, f := c.daemon, &c.fact
	t := d.policy.Timing(d.core.Sentinels.DownAfter)
	if s.rev < c.rev {
		d.w.logf(d.name, "coordinator restored: revision %d after %d", s.rev, c.rev)
		*f = watchdog.Coordinator{Membership: watchdog.Member}
		c.lostUntil = d.now().Add(t.LeaseTTL)
	}
	c.rev = s.rev
	if d.now() < c.lostUntil {
		d.feed(*f)
		return
	}
	f.RoundAt = start
	if c.granted = s.granted; !s.done && s.granted != q.granted && q.want != watchdog.GrantLeave {
		c.again = true // the real round reads before it compares
	}
	f.Orders.Fence = s.fenced[d.id]
	f.Orders.PlannedFailover = c.order
	f.Agreement = s.agreement
	f.Behind = s.agreement.Compare(d.core.Memory.Agreement.Term) < 0
	f.Listed = slices.Contains(d.tally.Addresses(), s.agreement.Master)
	g := &f.Grant
	g.Holder, g.Last = "", ""
	if s.holder >= 0 {
		g.Holder = address(s.holder)
	}
	last, givenUp := s.last.predecessor()
	if last >= 0 {
		g.Last = address(last)
	}
	g.GivenUp = givenUp
	switch {
	case s.holder != d.id:
		g.Ours = false
	case s.done && q.want == watchdog.GrantClaim:
		c.lease = q.lease
		fallthrough
	case s.done && q.want == watchdog.GrantRenew && alive && s.lease == c.lease:
		g.Ours, g.RenewedAt, g.Until = true, start, start.Add(c.ttl-t.Margin)
	default:
		g.Ours = (s.lease == c.lease || s.own) && g.Ours
	}
	switch {
	case s.holder != d.id || s.own:
		c.hangs = 0
	case c.hangs != s.lease:
		c.hangs, c.asked = s.lease, start
	}
	c.own = s.holder == d.id && s.own
	d.feed(*f)
	d.follow(c.order)
}
