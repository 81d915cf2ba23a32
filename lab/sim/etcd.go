package sim

import (
	"slices"
	"time"

	"github.com/redis-watchdog/redis-watchdog/watchdog"
)

// etcd is the coordinator: one linearizable store on a host of its own, whose
// leases die late and never early.
type etcd struct {
	proc
	store
	leases  []lease
	nextID  int
	wait    time.Duration // added to every answer
	history []store       // for a restore
}

// store is what a snapshot holds.
type store struct {
	cluster   int
	rev       int64
	agreement watchdog.Agreement
	holder    int // by Redis; -1: nobody
	lease     int
	own       bool // it was let go by those who share theirs, and has one of its own
	last      holding
	granted   int     // changes of holder, lease or last: their mod revisions
	fenced    [8]bool // by the operator's order
	order     order
	answers   [8]orderAnswer
}

// holding is last/<group>.
type holding struct {
	holder          int // -1: nobody ever
	opened, givenUp bool
	before          int
	beforeGivenUp   bool
}

// predecessor is whom the next holder has to wait for.
func (h holding) predecessor() (int, bool) {
	if h.givenUp && !h.opened && h.before >= 0 {
		return h.before, h.beforeGivenUp
	}
	return h.holder, h.givenUp
}

type lease struct {
	id  int
	end watchdog.Instant
}

func newEtcd(w *World, host int) *etcd {
	e := &etcd{proc: proc{w: w, name: "etcd", host: host}}
	e.store = store{cluster: 1, rev: 1, holder: -1, last: holding{holder: -1, before: -1}}
	e.start()
	e.every(500*ms, 500*ms, e.expire)
	w.every(15*sec, 15*sec, func() { e.history = append(e.history, e.store) })
	return e
}

// boot starts it again: a new leader extends every lease.
func (e *etcd) boot() {
	if e.up {
		return
	}
	e.start()
	for i := range e.leases {
		e.leases[i].end = e.leases[i].end.Max(e.w.now.Add(2 * sec))
	}
	e.every(500*ms, 500*ms, e.expire)
}

func (e *etcd) expire() {
	e.leases = slices.DeleteFunc(e.leases, func(l lease) bool {
		if e.w.now < l.end {
			return false
		}
		if e.holder >= 0 && e.lease == l.id {
			e.w.logf(e.name, "grant of R%d lapses", e.holder)
			e.holder, e.lease = -1, 0
			e.rev++
			e.granted++
		}
		if e.order.id != 0 && e.order.lease == l.id {
			e.order, e.answers = order{}, [8]orderAnswer{}
			e.orderChanged("ends")
		}
		return true
	})
}

// request is one transaction of a watchdog.
type request struct {
	from     int
	want     watchdog.GrantWant
	lease    int
	granted  int // as it was read last
	opened   bool
	agreed   watchdog.Agreement // as it was read last
	proposal watchdog.Proposal
}

// shown is the answer.
type shown struct {
	store
	done bool // the compare held and the want was carried out
}

func (e *etcd) keepAlive(id int, ttl time.Duration) bool {
	for i := range e.leases {
		if e.leases[i].id == id {
			e.leases[i].end = e.w.now.Add(ttl)
			return true
		}
	}
	return false
}

func (e *etcd) grantLease(ttl time.Duration) int {
	e.nextID++
	e.leases = append(e.leases, lease{e.nextID, e.w.now.Add(ttl)})
	return e.nextID
}

// letGo puts the grant of a Redis, if it stands as it was read, under a lease of its own.
func (e *etcd) letGo(id, lease, granted int, lasts time.Duration) {
	if e.holder != id || e.lease != lease || e.granted != granted {
		return
	}
	e.lease, e.own = e.grantLease(lasts), true
	e.rev++
	e.granted++
	e.w.logf(e.name, "grant of R%d is let go", id)
}

func (e *etcd) txn(q request) shown {
	s := &e.store
	if p := q.proposal; p.Cause != watchdog.CauseNone && p.Replaces == s.agreement && p.Agreement != s.agreement {
		e.w.logf(e.name, "agreement %v by W%d (%v): %s -> %s", p.Term, q.from, p.Cause, s.agreement.Master, p.Master)
		e.w.check.agreed(s.agreement, p)
		s.agreement = p.Agreement
		s.rev++
	}
	done := false
	switch q.want {
	case watchdog.GrantRenew:
		done = s.holder == q.from && s.lease == q.lease && s.agreement == q.agreed
		if done && q.opened && !s.last.opened {
			s.last.opened = true
			s.rev++
			s.granted++
		}
	case watchdog.GrantClaim:
		if s.agreement == q.agreed && (s.holder < 0 || s.holder == q.from) && s.granted == q.granted && e.timeToLive(q.lease) > 0 {
			done = true
			s.holder, s.lease, s.own = q.from, q.lease, false
			if s.last.holder != q.from {
				b, g := s.last.predecessor()
				s.last = holding{holder: q.from, before: b, beforeGivenUp: g}
			}
			s.last.givenUp = false
			s.rev++
			s.granted++
			e.w.logf(e.name, "grant to R%d", q.from)
		}
	case watchdog.GrantGiveUp:
		if s.granted == q.granted && (s.holder == q.from || s.holder < 0 && s.last.holder == q.from) {
			done = true
			s.holder, s.lease = -1, 0
			s.last.givenUp = true
			s.rev++
			s.granted++
			e.w.logf(e.name, "grant given up by R%d", q.from)
		}
	}
	return shown{*s, done}
}

// restore puts an older snapshot back (the revision with it), or nothing at
// all.
func (e *etcd) restore(old store) {
	old.granted = e.granted + 1 // no compare holds over it
	e.store = old
	e.leases = nil
	e.holder, e.lease = -1, 0
	e.order, e.answers = order{}, [8]orderAnswer{}
}

func (e *etcd) empty() {
	rev := e.rev
	e.restore(store{cluster: e.cluster, rev: rev + 5, holder: -1, last: holding{holder: -1, before: -1}})
	e.w.logf(e.name, "emptied")
}

func (e *etcd) deleteGrant() {
	e.w.logf(e.name, "grant key of R%d deleted by hand", e.holder)
	e.holder, e.lease = -1, 0
	e.rev++
	e.granted++
}
