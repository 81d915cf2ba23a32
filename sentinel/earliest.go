package sentinel

// E: the earliest instant at which the Sentinels could promote another than us
// by themselves. Promotion needs the leader and quorum-1 others to hold the
// master s_down, each by its own count (sentinel.c, sentinelCheckObjectivelyDown
// and sentinelStartFailoverIfNeeded); votes may come from Sentinels that see it
// up.

import (
	"cmp"
	"slices"
	"time"

	"github.com/redis-watchdog/redis-watchdog/watchdog"
)

const (
	unheardFor = 3 * time.Second         // longer than the 2 s between two hellos
	metGrace   = 2500 * time.Millisecond // longer than it takes to be asked, or to be heard pinging
)

// end is one Sentinel's e_i and the send time of the answer it rests on. Before own
// it does not hold the master down itself; at may be earlier, for the others
// remember for a while that it did. Without the role that it remembers of us it
// would be byPings.
type end struct{ at, own, from, byPings watchdog.Instant }

// tallyEnd sets E and EFrom, and both as they are without the PINGs of those
// that we cannot ask. Sentinels that are known but never answered (or were never
// even met) count as past, but see heardNow and pinged.
func (s *State) tallyEnd(t *watchdog.Sentinels, self watchdog.Address, now watchdog.Instant) {
	if self == "" || t.Quorum == 0 {
		return // the zero E is long past
	}
	t.E, t.EFrom, t.EOnce, t.EByPings = s.endOf(t, self, now, t.Quorum > 1)
	if slices.ContainsFunc(s.Members, func(m Member) bool { return len(m.pings) > 0 }) {
		once := t.EOnce
		t.EAsked, t.EAskedFrom, t.EOnce, t.EByPings = s.endOf(t, self, now, false)
		if t.Pinged = t.EAsked != t.E || t.EAskedFrom != t.EFrom; !t.Pinged {
			t.EOnce = once
		}
	}
	if !t.Pinged {
		t.EAsked, t.EAskedFrom = 0, 0
		return
	}
	if i := slices.IndexFunc(s.vouched, func(v vouched) bool { return v.of == self }); i >= 0 {
		t.Vouched = s.vouched[i].at.Add(shorten(t.DownAfter, 0, 2*s.ClockRateError)) // whoever waits has a clock, too
	}
}

// endOf is E and EFrom, EOnce, and EByPings.
func (s *State) endOf(t *watchdog.Sentinels, self watchdog.Address, now watchdog.Instant, pings bool) (at, from, once, byPings watchdog.Instant) {
	var room, roomToo [8]end
	ends, heard := room[:0], roomToo[:0]
	danger, selected, silent := false, false, t.Known-len(s.Members)
	for i := range s.Members {
		m := &s.Members[i]
		e := m.end(self, now)
		if !s.fresh(m, now) {
			silent++
			if pings {
				p := s.pinged(m, self, t.DownAfter, now)
				e = end{e.at.Max(p.at), e.own.Max(p.own), e.from.Max(p.from), e.byPings.Max(p.at)}
			}
		} else if m.Last.Named == "" && m.term(self) == nil {
			// It knows no master of that name. Told of one now, it would begin to
			// count.
			at := m.Last.SentAt.Add(shorten(t.DownAfter, 0, s.ClockRateError))
			e = end{at, at, m.Last.SentAt, at}
		}
		ends = append(ends, e)
		if s.heardNow(m, t.DownAfter, now) && !(pings && m.arriving(self, now)) {
			heard = append(heard, e)
		}
		d, sel := s.danger(m, self, now)
		danger, selected = danger || d, selected || sel
	}
	for len(ends) < t.Known {
		ends = append(ends, end{})
	}
	for range s.heardUnmet(t.DownAfter, now) {
		heard = append(heard, end{})
	}
	at, from = earliest(ends, t.Quorum)
	// Fewer silent ones than the quorum need no such rule, and the lists that
	// it rests on are asked with every poll only where it is needed (Relies).
	if since, ok := s.listeners(t.Known, now); ok && silent >= t.Quorum && len(heard) < len(ends) {
		if e, also := earliest(heard, t.Quorum); e > at {
			at, from = e, also.Min(since)
		}
	}
	if danger {
		at = at.Min(now)
	}
	if s.nobody(t, self, now) && !selected {
		return watchdog.Never, from, at, 0
	}
	if !danger && slices.ContainsFunc(ends, func(e end) bool { return e.byPings > e.at }) {
		for i := range ends {
			ends[i].at, ends[i].own = ends[i].byPings, ends[i].own.Max(ends[i].byPings)
		}
		byPings, _ = earliest(ends, t.Quorum)
	}
	return at, from, 0, byPings
}

// earliest is the q-th smallest of the ends, and the q-th oldest of the
// answers: since then all but q-1 Sentinels have answered. That a Sentinel went
// silent takes nothing from its end, which it proved when it answered; so an
// old answer among the q-th end and those after it tells no lost contact.
//
// What others remember counts towards the quorum of one that holds the master
// down itself, and of nobody else (sentinelCheckObjectivelyDown): nothing begins
// before the first of them does.
func earliest(ends []end, q int) (at, from watchdog.Instant) {
	if len(ends) == 0 {
		return 0, 0
	}
	q = min(q, len(ends))
	slices.SortFunc(ends, func(a, b end) int { return cmp.Compare(a.from, b.from) })
	from = ends[q-1].from
	slices.SortFunc(ends, func(a, b end) int { return cmp.Compare(a.at, b.at) })
	first := slices.MinFunc(ends, func(a, b end) int { return cmp.Compare(a.own, b.own) }).own
	return ends[q-1].at.Max(first), from
}

// heardNow says that a Sentinel may have its part in a promotion now. A
// promotion needs the votes of more than half of the known Sentinels, so one of
// the listeners (a majority that answers us with its lists) must vote for it,
// and a Sentinel that none of them has heard of for some seconds, neither a
// PONG nor a hello, cannot ask: it is dead, replaced and never forgotten, or
// on the other side of a cut from all of them. Without this rule, two dead
// Sentinels that are still known would fence the healthy master of a group
// whose quorum is 2. It lasts as long as the answers are fresh; the first sign
// of life makes the Sentinel count again. One just named for the first time is
// given the time to be asked before it counts as past.
func (s *State) heardNow(m *Member, downAfter time.Duration, now watchdog.Instant) bool {
	if s.fresh(m, now) {
		return true
	}
	if m.metAt != 0 && m.Last.SentAt == 0 && now.Sub(m.metAt) <= metGrace {
		return false
	}
	return s.heardByOthers(m, downAfter, now)
}

func (s *State) heardByOthers(m *Member, downAfter time.Duration, now watchdog.Instant) bool {
	for i := range s.Members {
		o := &s.Members[i]
		if !s.freshLists(o, now) {
			continue
		}
		for _, p := range o.Last.Sentinels {
			if m.is(p) && p.heard(downAfter) {
				return true
			}
		}
	}
	return false
}

// heard says that the Sentinel that lists p has heard of it lately.
func (p Peer) heard(downAfter time.Duration) bool {
	silence := max(unheardFor, downAfter/2)
	return p.PongAge <= silence || p.HelloAge <= silence
}

// heardUnmet is how many Sentinels that one of the listeners has heard of lately
// cannot be asked for want of an address, and are no Member.
func (s *State) heardUnmet(downAfter time.Duration, now watchdog.Instant) int {
	most := 0
	for i := range s.Members {
		o := &s.Members[i]
		if !s.freshLists(o, now) {
			continue
		}
		n := 0
		for _, p := range o.Last.Sentinels {
			if p.Address == "" && p.heard(downAfter) && !slices.ContainsFunc(s.Members, func(m Member) bool { return m.is(p) }) {
				n++
			}
		}
		most = max(most, n)
	}
	return most
}

// listeners says whether more than half of the known Sentinels answer with
// their lists, and since when at the latest.
func (s *State) listeners(known int, now watchdog.Instant) (watchdog.Instant, bool) {
	from, n := watchdog.Never, 0
	for i := range s.Members {
		if m := &s.Members[i]; s.freshLists(m, now) {
			from = from.Min(m.ListedAt)
			n++
		}
	}
	return from, n*2 > known
}

// Relies says that E rests on what the lists show, so that they had better be
// asked with every poll.
func (s *State) Relies(now watchdog.Instant) bool {
	silent := s.known.n - len(s.Members)
	quorum := 0
	for i := range s.Members {
		m := &s.Members[i]
		if !s.fresh(m, now) {
			silent++
		} else if q := m.Last.Master.Quorum; q > 0 && (quorum == 0 || q < quorum) {
			quorum = q
		}
	}
	return quorum > 0 && silent >= quorum
}

func (m *Member) end(self watchdog.Address, now watchdog.Instant) end {
	t := m.term(self)
	if t == nil || t.SentAt == 0 {
		return end{}
	}
	e := end{t.End, t.End, t.SentAt, t.End}
	if t.End == t.RoleEnd {
		e.byPings = t.ByPings
	}
	if t.DownAt != 0 && now.Sub(t.DownAt) <= downMemory {
		e.at, e.byPings = e.at.Min(now), e.byPings.Min(now)
	}
	return e
}

// danger says that this Sentinel shows the master self o_down or in a failover
// that may still promote somebody, and whether that somebody is selected
// already. A failover it showed when last we could ask it may go on, for its
// election and failover-timeout at the longest. (A Sentinel that fails over a
// master of another address is behind: the majority that names us knows no
// master there to vote about.)
func (s *State) danger(m *Member, self watchdog.Address, now watchdog.Instant) (danger, selected bool) {
	in := &m.Last.Master
	if m.Last.Named == "" || in.Address != self {
		return false, false
	}
	failing := in.failing()
	if s.fresh(m, now) {
		danger = failing || in.Has(FlagODown)
	} else {
		failing = failing && now < m.failoverUntil
		danger = failing
	}
	return danger, failing && in.Failover >= FailoverSendNoOne
}

// nobody says that no Sentinel could promote anybody. One Sentinel that knows a replica is enough to promote it, so
// all that ever answered must say so, a majority of them now, each naming us
// and for longer than a Sentinel needs to find its replicas again after a
// RESET. It stands only while the answers are fresh; after that E is what the
// PONGs say.
func (s *State) nobody(t *watchdog.Sentinels, self watchdog.Address, now watchdog.Instant) bool {
	n := 0
	for i := range s.Members {
		m := &s.Members[i]
		if m.Last.SentAt == 0 {
			continue
		}
		if m.Last.Named != self || m.noneSince == 0 || m.ListedAt.Sub(m.noneSince) < noneFor {
			return false
		}
		if !s.fresh(m, now) {
			continue
		}
		if !s.freshLists(m, now) || m.Last.Master.past() {
			return false
		}
		n++
	}
	return n*2 > t.Known
}
