package sentinel

// E: the earliest instant at which the Sentinels could promote another than us
// by themselves. Promotion needs the leader and quorum-1 others to hold the
// master s_down, each by its own count (sentinel.c, sentinelCheckObjectivelyDown
// and sentinelStartFailoverIfNeeded); votes may come from Sentinels that see it
// up.

import (
	"cmp"
	"slices"

	"github.com/redis-watchdog/redis-watchdog/watchdog"
)

// end is one Sentinel's e_i and the send time of the answer it rests on.
type end struct{ at, from watchdog.Instant }

// tallyEnd sets E and EFrom. Sentinels that are known but never answered (or
// were never even met) count as past.
func (s *State) tallyEnd(t *watchdog.Sentinels, self watchdog.Address, now watchdog.Instant) {
	if self == "" || t.Quorum == 0 {
		return // the zero E is long past
	}
	var room [8]end
	ends := room[:0]
	danger, selected := false, false
	for i := range s.Members {
		m := &s.Members[i]
		ends = append(ends, m.end(self, now))
		d, sel := s.danger(m, self, now)
		danger, selected = danger || d, selected || sel
	}
	for len(ends) < t.Known {
		ends = append(ends, end{})
	}
	// By e_i, and of equal ones the older evidence first: what E rests on is
	// the q-th and those after it.
	slices.SortFunc(ends, func(a, b end) int {
		return cmp.Or(cmp.Compare(a.at, b.at), cmp.Compare(a.from, b.from))
	})
	q := min(t.Quorum, len(ends))
	t.E, t.EFrom = ends[q-1].at, ends[q-1].from
	for _, e := range ends[q:] {
		t.EFrom = t.EFrom.Min(e.from)
	}
	if from, ok := s.nobody(t, self, now); ok && !selected {
		t.E, t.EFrom = watchdog.Never, from
		return
	}
	if danger {
		t.E = t.E.Min(now)
	}
}

func (m *Member) end(self watchdog.Address, now watchdog.Instant) end {
	t := m.term(self)
	if t == nil || t.SentAt == 0 {
		return end{}
	}
	e := end{t.End, t.SentAt}
	if t.DownAt != 0 && now.Sub(t.DownAt) <= downMemory {
		e.at = e.at.Min(now)
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

// nobody says that no Sentinel could promote anybody, and since which answer
// at the latest. One Sentinel that knows a replica is enough to promote it, so
// all that ever answered must say so, a majority of them now, each naming us
// and for longer than a Sentinel needs to find its replicas again after a
// RESET. It stands only while the answers are fresh; after that E is what the
// PONGs say.
func (s *State) nobody(t *watchdog.Sentinels, self watchdog.Address, now watchdog.Instant) (watchdog.Instant, bool) {
	from, n := watchdog.Never, 0
	for i := range s.Members {
		m := &s.Members[i]
		if m.Last.SentAt == 0 {
			continue
		}
		if m.Last.Named != self || m.noneSince == 0 || m.ListedAt.Sub(m.noneSince) < noneFor {
			return 0, false
		}
		if !s.fresh(m, now) {
			continue
		}
		if !s.freshLists(m, now) || m.Last.Master.past() {
			return 0, false
		}
		from = from.Min(m.ListedAt)
		n++
	}
	return from, n*2 > t.Known
}
