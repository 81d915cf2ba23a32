package sentinel

// Sentinels that we cannot ask, and whose PINGs our Redis answers (package
// pings): what that proves of their e_i.
//
// Sentinel holds a master down when more than down-after has passed since the
// first PING it sent after the last PONG it took (sentinelCheckSubjectivelyDown,
// act_ping_time). A PONG to a PING that came in at t is taken after t. So once it
// has been taken, that Sentinel cannot hold our Redis down before t + down-after,
// whatever becomes of the PINGs after it (a second one while one is out does not
// count from itself).
//
// We know that the PONG has reached the Sentinel's host, not that the Sentinel
// has taken it. Until it has, at its next turn, it may hold the master down by a
// PING before: for one turn at the most. Alone that brings about nothing, for it
// has to ask another Sentinel, and hears its word at the next turn, where it
// holds the master down no more. So with a quorum of 1 such a Sentinel is not
// counted, and one that may have held the master down until now (its e_i has
// passed, or it was never heard) not before the word of that is forgotten too.

import (
	"net/netip"
	"slices"
	"time"

	"github.com/redis-watchdog/redis-watchdog/sentinel/pings"
	"github.com/redis-watchdog/redis-watchdog/watchdog"
)

const (
	// takenAfter is when a Sentinel has taken an answer that reached its host:
	// one that does not come to it for 2 s is in TILT, and holds nobody down.
	takenAfter = 2100 * time.Millisecond
	// rumour is how long others remember that it held the master down
	// (SENTINEL_ASK_PERIOD * 5).
	rumour = 5 * time.Second
	// pingEvery is the most that passes between two PINGs of a Sentinel that gets
	// its answers: until then silence is none.
	pingEvery = 1300 * time.Millisecond
	// infoAgain is when a Sentinel has had a newer INFO than it told of.
	infoAgain = 12 * time.Second
)

// pinged is what one Sentinel's PINGs at one of our Redis prove.
type pinged struct {
	of     watchdog.Address
	at     watchdog.Instant // of the newest PING that counts; zero: none does yet
	seenAt watchdog.Instant // when all that was sent to it had been acknowledged
	since  watchdog.Instant // since when its PINGs are heard without a break and do not count yet; zero: they do
	lapsed bool             // it had been heard before that
	// recalled: at is of an earlier life. That nothing was heard since is no sign:
	// nobody listened.
	recalled bool
}

// Pinged takes in what was heard of a Sentinel's PINGs at the Redis self.
func (s *State) Pinged(self watchdog.Address, pings []watchdog.Ping) {
	if self == "" {
		return
	}
	down := s.smallestDown()
	for _, p := range pings {
		i := slices.IndexFunc(s.Members, func(m Member) bool { return m.RunID != "" && m.RunID == p.Sentinel })
		if i >= 0 && s.alone(&s.Members[i], p.SeenAt) { // else it may be the other's
			s.Members[i].ping(self, p, down)
		}
	}
}

// smallestDown is the smallest down-after any Sentinel told; zero: none has.
func (s *State) smallestDown() (d time.Duration) {
	for i := range s.Members {
		if of := s.Members[i].downAfter; of > 0 && (d == 0 || of < d) {
			d = of
		}
	}
	return d
}

func (m *Member) ping(self watchdog.Address, p watchdog.Ping, down time.Duration) {
	if m.downAfter > 0 {
		down = m.downAfter
	}
	i := slices.IndexFunc(m.pings, func(t pinged) bool { return t.of == self })
	if i < 0 {
		if i = len(m.pings); i == maxTerms {
			m.pings = slices.Delete(m.pings, 0, 1)
			i--
		}
		m.pings = append(m.pings, pinged{of: self})
	}
	t := &m.pings[i]
	if down <= 0 || p.SeenAt < t.seenAt {
		return
	}
	p.At = p.At.Max(t.at)
	broken := p.SeenAt.Sub(t.at) >= down // it may have held us down
	// Its own word, that it could not yet hold us down, is as good as a PING.
	if own := m.term(self); own != nil && p.SeenAt < own.End {
		broken = false
		t.at = t.at.Max(p.At)
	}
	switch {
	case t.at != 0 && !broken:
		*t = pinged{of: self, at: p.At, seenAt: p.SeenAt}
		return
	case t.at != 0:
		*t = pinged{of: self, since: p.SeenAt, seenAt: p.SeenAt, lapsed: !t.recalled}
		return
	case t.since == 0 || p.SeenAt.Sub(t.seenAt) >= down:
		*t = pinged{of: self, since: p.SeenAt, seenAt: p.SeenAt, lapsed: t.lapsed || t.since != 0}
		return
	}
	t.seenAt = p.SeenAt
	wait := takenAfter
	if t.lapsed {
		wait += rumour
	}
	if p.At >= t.since && p.SeenAt.Sub(t.since) >= wait {
		*t = pinged{of: self, at: p.At, seenAt: p.SeenAt}
	}
}

// pinged is a Sentinel's e_i for self by its PINGs, and since when that is known;
// zero: they do not count. So much of its own word stands against them: that it
// named another at a newer epoch than self was ever named at (if the majority has
// not come to name self since: epochs may begin anew), and when it last told that
// self is a replica.
func (s *State) pinged(m *Member, self watchdog.Address, down time.Duration, now watchdog.Instant) end {
	i := slices.IndexFunc(m.pings, func(t pinged) bool { return t.of == self && t.at != 0 })
	if i < 0 {
		return end{}
	}
	p := m.pings[i]
	if m.downAfter > 0 {
		down = m.downAfter
	}
	e := end{at: p.at.Add(shorten(down, 0, s.ClockRateError)), from: p.at}
	if now.Sub(p.at) <= pingEvery {
		e.from = p.seenAt
	}
	epoch := uint64(0)
	if s.named == self {
		epoch = s.epoch
	}
	if t := m.term(self); t != nil {
		epoch = max(epoch, t.Epoch)
		if t.RoleEnd != watchdog.Never && p.at.Sub(t.SentAt) < infoAgain {
			e.at = e.at.Min(t.RoleEnd)
		}
		if t.DownAt != 0 && now.Sub(t.DownAt) <= downMemory {
			e.at = e.at.Min(now)
		}
	}
	older := s.majority && s.named == self && s.namedSince > m.Last.SentAt // than what the majority says
	if m.Last.Named != "" && m.Last.Named != self && m.Last.Master.Epoch > epoch && !older {
		return end{}
	}
	e.own = e.at // whether it held self down meanwhile its PINGs do not tell
	return e
}

// pinging says that it counts by its PINGs at one of our Redis.
func (m *Member) pinging(down time.Duration, now watchdog.Instant) bool {
	return slices.ContainsFunc(m.pings, func(t pinged) bool { return t.at != 0 && now.Sub(t.at) < down })
}

// arriving says that a Sentinel named for the first time just now is being heard
// by its PINGs, and that they do not count yet.
func (m *Member) arriving(self watchdog.Address, now watchdog.Instant) bool {
	return m.metAt != 0 && now.Sub(m.metAt) <= metGrace+takenAfter+pingEvery &&
		slices.ContainsFunc(m.pings, func(t pinged) bool { return t.of == self && t.since != 0 && !t.lapsed })
}

// Sentinels are those that are known now, for a pings.Listener. One that does
// not answer is of interest where another has heard of it lately, or where too
// few answer to tell; and only if so many do not that E hangs on one more.
func (w *Watcher) Sentinels() []pings.Sentinel {
	w.mu.Lock()
	defer w.mu.Unlock()
	now := w.cfg.Now()
	s := &w.state
	down := s.smallestDown()
	_, told := s.listeners(s.known.n, now)
	quorum, silent := 0, s.known.n-len(s.Members)
	all := make([]pings.Sentinel, 0, len(s.Members))
	for i := range s.Members {
		m := &s.Members[i]
		if m.quorum > 0 && (quorum == 0 || m.quorum < quorum) {
			quorum = m.quorum
		}
		one := pings.Sentinel{ID: m.RunID}
		if !s.fresh(m, now) || w.failing(m.Key) {
			silent++
			one.Unasked = !told || s.heardByOthers(m, down, now)
		}
		if ap, err := netip.ParseAddrPort(string(m.Address)); err == nil {
			one.Address = ap.Addr()
		}
		all = append(all, one)
	}
	for i := range all {
		all[i].Unasked = all[i].Unasked && silent+1 >= quorum
	}
	return all
}

// failing says that the last poll of a Sentinel failed, or is late.
func (w *Watcher) failing(key string) bool {
	n, p := w.notes[key], w.parties[key]
	return n != nil && n.kind != errorNone || p != nil && p.late()
}

// Pinged takes in what was heard of PINGs at this Redis. It never blocks.
func (l *Local) Pinged(pings []watchdog.Ping) {
	l.w.mu.Lock()
	l.w.state.Pinged(l.self, pings)
	l.w.mu.Unlock()
	l.w.again.Raise()
}
