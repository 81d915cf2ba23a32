package sentinel

// Who the Sentinels of the group are, and how many: the denominator.

import (
	"slices"
	"time"

	"github.com/redis-watchdog/redis-watchdog/watchdog"
)

// shrinkAfter is how long a smaller number must be shown: SENTINEL RESET
// empties a list for seconds.
const shrinkAfter = 60 * time.Second

// known is the denominator and its memory.
type known struct {
	n      int              // in force
	agreed int              // as the agreement last told
	low    int              // the largest of the smaller numbers shown since lowAt
	lowAt  watchdog.Instant // zero: no smaller number is being shown
}

// Known is how many Sentinels are known.
func (s *State) Known() int { return s.known.n }

// SetKnown tells the number the agreement holds. It can only raise ours. The
// same number told again is no news: else it would undo every shrinking.
func (s *State) SetKnown(n int) {
	if n < 0 || n > maxSentinels || n == s.known.agreed {
		return
	}
	s.known.agreed = n
	s.known.n = max(s.known.n, n)
}

// Add makes a configured Sentinel known under where it is dialled. The address
// is empty while the name is not resolved.
func (s *State) Add(dial string, at watchdog.Address) {
	if s.member(dial) == nil {
		s.Members = append(s.Members, Member{Key: dial, Configured: true, Address: at, Dials: []string{dial}, metAt: s.Began})
	}
}

// Met tells under which resolved address the Sentinel of key answered, and its
// run id (empty: it is too old to tell). If that is one known already (found by
// host name in the configuration and by IP from another Sentinel), the two
// become one: the configured one, or the earlier. The process (run_id of its
// INFO, empty: not told) tells one that is found at two addresses from two that
// have one id.
func (s *State) Met(key, runID, process string, at watchdog.Address) {
	m := s.member(key)
	if m == nil {
		return
	}
	if process != "" {
		m.process = process
	}
	if runID != "" {
		m.RunID = runID
	}
	if at != "" {
		m.Address = at
	}
	mine := false // o comes after m
	for i := range s.Members {
		o := &s.Members[i]
		if o == m {
			mine = true
			continue
		}
		if !sameSentinel(o, m) || twins(o, m) || s.mayBeTwins(o, m) {
			continue
		}
		if m.Configured && !o.Configured || m.Configured == o.Configured && mine {
			s.merge(m, o)
		} else {
			s.merge(o, m)
		}
		return
	}
}

func sameSentinel(a, b *Member) bool {
	return a.RunID != "" && a.RunID == b.RunID || a.Address != "" && a.Address == b.Address
}

// merge keeps the newer words of the two.
func (s *State) merge(keep, drop *Member) {
	if drop.Last.SentAt > keep.Last.SentAt {
		keep.Last, keep.ListedAt, keep.Tilt, keep.Terms = drop.Last, drop.ListedAt, drop.Tilt, drop.Terms
		keep.failoverUntil, keep.noneSince = drop.failoverUntil, drop.noneSince
		keep.quorum, keep.downAfter = drop.quorum, drop.downAfter
	}
	if len(keep.pings) == 0 {
		keep.pings = drop.pings
	}
	keep.hinted = max(keep.hinted, drop.hinted)
	if keep.RunID == "" {
		keep.RunID = drop.RunID
	}
	if keep.process == "" {
		keep.process = drop.process
	}
	if keep.Address == "" {
		keep.Address = drop.Address
	}
	for _, d := range drop.Dials {
		keep.dial(d)
	}
	key := drop.Key
	s.Members = slices.DeleteFunc(s.Members, func(m Member) bool { return m.Key == key })
	// It was counted twice. If the number was right all the same, count raises
	// it again.
	if s.known.n > s.known.agreed {
		s.known.n--
	}
}

// dial adds one more place to find it; the first stays the first.
func (m *Member) dial(at string) {
	if slices.Contains(m.Dials, at) {
		return
	}
	if len(m.Dials) >= 4 {
		m.Dials = slices.Delete(m.Dials, 1, 2)
	}
	m.Dials = append(m.Dials, at)
}

// meet makes those that a Sentinel names known. They are the same as one known
// by address, else by run id: a Sentinel set up anew at its old address has
// another run id, and one that moved keeps its own.
func (s *State) meet(peers []Peer, at watchdog.Instant) {
	for _, p := range peers {
		if p.Address == "" {
			continue // nobody could ask it
		}
		i := slices.IndexFunc(s.Members, func(m Member) bool { return m.Address == p.Address })
		if i < 0 && p.RunID != "" && s.alternates(p.RunID, at) == nil {
			i = slices.IndexFunc(s.Members, func(m Member) bool { return m.RunID == p.RunID })
		}
		switch {
		case i >= 0:
			m := &s.Members[i]
			if m.RunID == "" {
				m.RunID = p.RunID
			}
			m.dial(p.Dial)
		case len(s.Members) < maxSentinels && s.member(p.Dial) == nil:
			s.Members = append(s.Members, Member{Key: p.Dial, RunID: p.RunID, Address: p.Address, Dials: []string{p.Dial}, metAt: at})
			s.recallMet(&s.Members[len(s.Members)-1])
		}
	}
}

func (m *Member) is(p Peer) bool {
	return p.Address != "" && p.Address == m.Address || p.RunID != "" && p.RunID == m.RunID
}

func (s *State) names(m *Member, now watchdog.Instant) bool {
	return slices.ContainsFunc(s.Members, func(o Member) bool {
		return s.freshLists(&o, now) && slices.ContainsFunc(o.Last.Sentinels, m.is)
	})
}

// count brings the denominator up to now. It grows at once; it shrinks when
// every Sentinel that can be asked, and more than half of the old number, have
// shown the smaller number for shrinkAfter. One that nobody names any more is
// forgotten after as long; a dead one that is still named never is.
func (s *State) count(now watchdog.Instant) {
	s.reunite(now)
	shown, answering := 0, 0
	want := 0
	for i := range s.Members {
		m := &s.Members[i]
		fresh := s.fresh(m, now)
		if fresh {
			answering++
			want = max(want, m.Last.Master.others()+1)
		}
		if fresh || m.Configured || s.names(m, now) {
			shown++
			m.ghostSince = 0
		} else if m.ghostSince == 0 {
			m.ghostSince = now
		}
	}
	k := &s.known
	want = max(want, shown)
	sure := answering*2 > k.n
	if !sure {
		for i := range s.Members {
			if s.Members[i].ghostSince != 0 {
				s.Members[i].ghostSince = now
			}
		}
	}
	s.Members = slices.DeleteFunc(s.Members, func(m Member) bool {
		return m.ghostSince != 0 && now.Sub(m.ghostSince) >= shrinkAfter
	})
	switch {
	case want >= k.n:
		k.n, k.lowAt = want, 0
	case !sure:
		k.lowAt = 0
	case k.lowAt == 0:
		k.low, k.lowAt = want, now
	default:
		k.low = max(k.low, want)
		if now.Sub(k.lowAt) >= shrinkAfter {
			k.n, k.lowAt = k.low, 0
		}
	}
}
