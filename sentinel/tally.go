package sentinel

// The pure tally. State folds the answers of all Sentinels; Tally reads it from
// the point of view of one local Redis. Nothing here asks for the time.

import (
	"slices"
	"time"

	"github.com/redis-watchdog/redis-watchdog/watchdog"
)

const (
	downMemory   = 5 * time.Second  // an s_down shown this recently still counts with the others
	roleGrace    = 20 * time.Second // twice Sentinel's INFO period: sentinelCheckSubjectivelyDown
	electionTime = 10 * time.Second // SENTINEL_ELECTION_TIMEOUT, the most an election takes
	noneFor      = 11 * time.Second // longer than Sentinel's INFO period: a Sentinel that was just reset knows no replica for as long
	maxTerms     = 16               // addresses remembered per Sentinel
)

// Term is what one Sentinel has said about one Redis as its master.
type Term struct {
	Of     watchdog.Address
	SentAt watchdog.Instant // of the answer that last renewed End; zero: never
	Epoch  uint64           // at which it last named it
	// End is e_i: before it, this Sentinel cannot hold the Redis down.
	End watchdog.Instant
	// RoleEnd is the part of End that comes of role-reported slave; Never:
	// none.
	RoleEnd watchdog.Instant
	// ByPings is End without that part.
	ByPings watchdog.Instant
	DownAt  watchdog.Instant // of the last answer that showed it s_down; zero: never
	Down    bool             // the last answer that described it showed it s_down, and surely so
}

// Member is one known Sentinel.
type Member struct {
	Key        string // names its conversation: the first address it was found under
	Configured bool
	RunID      string           // SENTINEL MYID, or as others name it; empty: not known
	process    string           // run_id of its INFO, another at every start; empty: not known
	Address    watchdog.Address // resolved; empty: never connected, nor named by others
	Dials      []string         // where to find it, best first

	places   []place          // where it lists others, to tell two that have one id
	Last     Answer           // the newest usable answer; zero SentAt: never answered
	ListedAt watchdog.Instant // of the answer the lists in Last are from; zero: never
	Tilt     bool             // likewise

	Terms         []Term
	pings         []pinged         // of those of our Redis that it pings
	failoverUntil watchdog.Instant // a failover was seen: if it cannot be asked, it may promote until then
	noneSince     watchdog.Instant // since when its lists have shown no replica that can be promoted
	ghostSince    watchdog.Instant // since when nobody names it
	backAt        watchdog.Instant // of the answer that ended a silence longer than its e_i
	tiltAt        watchdog.Instant // of the newest answer that showed TILT
	quorum        int              // of its last answer that named a master: REMOVE and MONITOR
	downAfter     time.Duration    // take the group away for a moment, not its e_i
	metAt         watchdog.Instant // when another first named it, or it was added; zero: long ago
	hinted        uint64           // the highest epoch it was the author of an announcement for, plus one
}

// State is everything that was heard. The zero State is usable after FreshFor,
// ListFor and ClockRateError are set.
type State struct {
	FreshFor       time.Duration // an answer older than this is none
	ListFor        time.Duration // the same for its lists, which are asked less often
	ClockRateError float64       // by which part of itself a down-after may be shorter on the Sentinel's clock
	// Began is when this State was made: those that were added then are given the
	// time to be asked, as those that others name later are. Zero: they are not.
	Began watchdog.Instant

	Members  []Member
	known    known
	now      watchdog.Instant // of the last Settle or answer
	runIDs   []runID          // the last of every Redis named
	told     []runID          // where a run id was in an earlier life
	aliases  []alias          // of names that cannot be resolved
	recalled []Remembered     // of an earlier life, and not met yet
	vouched  []vouched

	// The majority as Settle found it. named is the last one there was, also
	// while there is none.
	majority   bool
	named      watchdog.Address
	epoch      uint64
	namedSince watchdog.Instant
	former     watchdog.Address
	votes      int
}

func (s *State) fresh(m *Member, now watchdog.Instant) bool {
	return m.Last.SentAt > 0 && now.Sub(m.Last.SentAt) <= s.FreshFor
}

func (s *State) freshLists(m *Member, now watchdog.Instant) bool {
	return s.fresh(m, now) && m.ListedAt > 0 && now.Sub(m.ListedAt) <= s.ListFor
}

func (s *State) member(key string) *Member {
	for i := range s.Members {
		if s.Members[i].Key == key {
			return &s.Members[i]
		}
	}
	return nil
}

func (m *Member) term(of watchdog.Address) *Term {
	for i := range m.Terms {
		if m.Terms[i].Of == of {
			return &m.Terms[i]
		}
	}
	return nil
}

// termFor is term, made if there was none. The one renewed longest ago is
// forgotten for it; what is forgotten is past, the safe reading.
func (m *Member) termFor(of watchdog.Address) *Term {
	if t := m.term(of); t != nil {
		return t
	}
	t := Term{Of: of, RoleEnd: watchdog.Never}
	if len(m.Terms) < maxTerms {
		m.Terms = append(m.Terms, t)
		return &m.Terms[len(m.Terms)-1]
	}
	oldest := 0
	for i := range m.Terms {
		if m.Terms[i].SentAt < m.Terms[oldest].SentAt {
			oldest = i
		}
	}
	m.Terms[oldest] = t
	return &m.Terms[oldest]
}

// Hear folds one answer of the Sentinel whose conversation is key. It returns
// what is wrong with an answer that it did not use, and an announcement if the
// answer names another master at a newer epoch than the majority last did.
func (s *State) Hear(key string, a Answer) (hint watchdog.Announcement, fault string) {
	m := s.member(key)
	if m == nil || a.SentAt < m.Last.SentAt {
		return hint, ""
	}
	s.identify(&a)
	if fault = a.fault(); fault != "" {
		return hint, fault
	}
	if !a.Asked {
		a.Denied = m.Last.Denied
	}
	if !a.Full {
		a.Replicas, a.Sentinels, a.Unread = m.Last.Replicas, m.Last.Sentinels, m.Last.Unread
	} else {
		m.hearLists(&a, s.ListFor)
		s.learnRunIDs(&a)
	}
	m.Last = a
	if a.Named == "" {
		return hint, ""
	}
	if a.Master.Quorum > 0 {
		m.quorum = a.Master.Quorum
	}
	if a.Master.DownAfter > 0 {
		m.downAfter = a.Master.DownAfter
	}
	m.hearTerms(&a, s.ClockRateError)
	m.failoverUntil = 0
	if a.Master.failing() {
		m.failoverUntil = a.SentAt.Add(a.Master.FailoverTimeout + electionTime)
	}
	s.now = s.now.Max(a.SentAt)
	if a.Full {
		m.hearPlaces(a.Sentinels, a.SentAt)
		s.meet(a.Sentinels, a.SentAt)
		m = s.member(key) // meet may have moved it
	}
	if s.named != "" && a.Named != s.named && a.Master.Epoch > s.epoch && a.Master.Epoch >= m.hinted {
		m.hinted = a.Master.Epoch + 1
		hint = watchdog.Announcement{Sentinel: m.Name(), Epoch: a.Master.Epoch, Master: a.Named}
	}
	return hint, ""
}

// Name is its run id, or where it is found while that is not known.
func (m *Member) Name() string {
	if m.RunID != "" {
		return m.RunID
	}
	return m.Key
}

func (m *Member) hearLists(a *Answer, gap time.Duration) {
	none := !slices.ContainsFunc(a.Replicas, func(r Instance) bool { return r.Priority != 0 }) &&
		!slices.ContainsFunc(a.Unread, func(l LeftOut) bool { return l.Candidate })
	switch {
	case !none:
		m.noneSince = 0
	case m.noneSince == 0 || a.SentAt.Sub(m.ListedAt) > 3*gap:
		m.noneSince = a.SentAt
	}
	m.ListedAt, m.Tilt = a.SentAt, a.Tilt
	if a.Tilt {
		m.tiltAt = a.SentAt
	}
}

// hearTerms renews e_i for the Redis this answer names, and for nobody else.
//
// An answer that names another proves nothing about how long this Sentinel
// would have to miss us first, so an older e_i is kept and runs out. It is not
// cut short if the other is named at no higher epoch: that Sentinel is behind
// (it was away during a failover), knows no master under our address and so can
// neither hold us down nor vote against us; when it catches up, its clock for
// us starts anew, later than the e_i kept here. If the other is named at a
// higher epoch, then it *has been* promoted, or this Sentinel lies: its e_i is
// over, and being one of many it decides nothing alone.
func (m *Member) hearTerms(a *Answer, rate float64) {
	in := &a.Master
	switch {
	case a.vague() != "":
		// A vote, and no more.
	case in.past():
		// The leader, its failover past wait_promotion. It describes the old
		// master still, and will begin to count anew for the one it names when
		// it ends the failover (sentinelResetMaster), which is after this
		// answer: as good as a PONG now.
		t := m.termFor(a.Named)
		*t = Term{Of: a.Named, SentAt: a.SentAt, Epoch: in.Epoch, RoleEnd: watchdog.Never,
			End: a.SentAt.Add(shorten(in.DownAfter, 0, rate))}
		t.ByPings = t.End
	default:
		t := m.termFor(a.Named)
		if t.SentAt != 0 && t.End < a.SentAt && a.SentAt.Sub(t.SentAt) > time.Second {
			m.backAt = a.SentAt
		}
		t.SentAt, t.Epoch, t.RoleEnd = a.SentAt, in.Epoch, watchdog.Never
		t.End = a.SentAt.Add(shorten(in.DownAfter, in.unheard(), rate))
		t.ByPings = t.End
		if in.Reported == watchdog.Replica {
			t.RoleEnd = a.SentAt.Add(shorten(in.DownAfter+roleGrace, in.RoleFor, rate))
			t.End = t.End.Min(t.RoleEnd)
		}
	}
	t := m.termFor(in.Address)
	down := in.Flags&(FlagSDown|FlagODown) != 0
	if t.Down = down && in.surely(); down {
		t.DownAt = a.SentAt
		t.End = t.End.Min(a.SentAt)
	}
	for i := range m.Terms {
		if t := &m.Terms[i]; t.Of != a.Named && in.Epoch > t.Epoch {
			t.End = t.End.Min(a.SentAt)
		}
	}
}

// shorten is what is left of a term of the Sentinel's after age, on a clock
// that may run faster than ours. It may be negative.
func shorten(term, age time.Duration, rate float64) time.Duration {
	return term - age - time.Duration(rate*float64(term))
}

// Settle brings what time and several answers together change up to now: how
// many Sentinels are known, and the majority. To be called after Hear, and now
// and then without: silence changes things too.
func (s *State) Settle(now watchdog.Instant) {
	s.now = now
	s.count(now)
	best, votes := s.poll(now)
	s.votes = votes
	if votes*2 <= s.known.n {
		s.majority = false
		return
	}
	s.vouch(best, now)
	if s.majority && best.Named == s.named && best.Master.Epoch == s.epoch {
		return
	}
	if s.named != "" && s.named != best.Named {
		s.former = s.named
	}
	if best.Master.Epoch < s.epoch {
		for i := range s.Members {
			s.Members[i].hinted = 0 // the epochs begin anew, and so do the announcements
		}
	}
	s.majority, s.named, s.epoch, s.namedSince = true, best.Named, best.Master.Epoch, 0
	for i := range s.Members {
		if m := &s.Members[i]; s.fresh(m, now) && sameVote(&m.Last, best) {
			s.namedSince = s.namedSince.Max(m.Last.SentAt)
		}
	}
}

// vouched is when a majority was last known to name a Redis: more than half of
// the known Sentinels did in answers asked for then or later.
type vouched struct {
	of watchdog.Address
	at watchdog.Instant
}

// vouch notes that a majority says what best says.
func (s *State) vouch(best *Answer, now watchdog.Instant) {
	var room [8]watchdog.Instant
	asked := room[:0]
	for i := range s.Members {
		if m := &s.Members[i]; s.fresh(m, now) && sameVote(&m.Last, best) {
			asked = append(asked, m.Last.SentAt)
		}
	}
	slices.Sort(asked)
	v := vouched{best.Named, asked[len(asked)-(s.known.n/2+1)]}
	i := slices.IndexFunc(s.vouched, func(o vouched) bool { return o.of == v.of })
	switch {
	case i >= 0:
		s.vouched[i].at = max(s.vouched[i].at, v.at)
		return
	case len(s.vouched) == maxTerms:
		s.vouched = slices.Delete(s.vouched, 0, 1)
	}
	s.vouched = append(s.vouched, v)
}

func sameVote(a, b *Answer) bool {
	return a.Named == b.Named && a.Master.Epoch == b.Master.Epoch
}

// poll finds what most Sentinels say alike.
func (s *State) poll(now watchdog.Instant) (best *Answer, votes int) {
	for i := range s.Members {
		m := &s.Members[i]
		if !s.fresh(m, now) || m.Last.Named == "" {
			continue
		}
		n := 0
		for j := range s.Members {
			if o := &s.Members[j]; s.fresh(o, now) && sameVote(&o.Last, &m.Last) {
				n++
			}
		}
		if n > votes {
			best, votes = &m.Last, n
		}
	}
	return best, votes
}

// Tally is what the Sentinels say at now from the point of view of the Redis
// they call self (see Self). It changes nothing.
func (s *State) Tally(self watchdog.Address, now watchdog.Instant) watchdog.Sentinels {
	t := watchdog.Sentinels{Self: self, Known: s.known.n, Votes: s.votes, Former: s.former, RoleTerm: watchdog.Never}
	if s.majority && resolved(s.named) {
		t.Master, t.Epoch, t.NamedSince = s.named, s.epoch, s.namedSince
	}
	if !resolved(self) {
		t.Self = ""
	}
	quiet := true
	var room [8]watchdog.Instant
	roles := room[:0] // the role terms of those that answer and name self
	for i := range s.Members {
		m := &s.Members[i]
		s.tallyConfig(&t, m)
		t.BackAt = t.BackAt.Max(m.backAt)
		if f := m.term(s.former); f != nil && s.former != "" && f.Down && m.Last.Named != s.former {
			t.DownVotes++
		}
		if !s.fresh(m, now) {
			continue
		}
		t.Answering++
		a := &m.Last
		t.MaxEpoch = max(t.MaxEpoch, a.Master.Epoch)
		if a.Named == "" {
			continue
		}
		t.Failover = t.Failover || a.Master.failing()
		quiet = quiet && !a.Master.Has(FlagFailover) && a.Master.Failover == FailoverNone
		if self == "" {
			continue
		}
		if term := m.term(self); a.Named == self && term != nil {
			roles = append(roles, term.RoleEnd)
		}
		t.Accused = t.Accused || a.accuses(self)
		t.Erring = t.Erring || a.Master.Address == self && a.Master.erring()
	}
	if t.Quorum > 0 && len(roles) >= t.Quorum {
		slices.Sort(roles)
		t.RoleTerm = roles[t.Quorum-1]
	}
	s.tallyTilt(&t, now)
	t.Unanimous = quiet && t.Master != "" && t.Answering == t.Known && s.votes == t.Known
	s.tallyReplicas(&t, self, now)
	s.tallyEnd(&t, self, now)
	return t
}
