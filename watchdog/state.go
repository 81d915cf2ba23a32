package watchdog

// State: all the core knows. Next folds an event into it and decides anew.

import "fmt"

// Memory is what must survive a restart of the watchdog. Its owner stores it
// whenever it changes, off the fence path, and hands it to New. Its Instants
// and run ids are of one boot: on another boot its owner passes Rebooted.
type Memory struct {
	Enrolled  bool      // this host has held the group's grant, or its Redis carries a fence of ours
	Self      Address   // how the Sentinels called us
	RunID     string    // of the Redis last seen
	Role      Role      // which it had
	Agreement Agreement // the newest we know was made

	Granted string // run id under which the last grant was ours, neither given up nor deposed since; empty: none

	Promoted     string  // run id that turned master under our eyes and not by us
	PromotedAt   Instant // when that was seen
	PromotedOver Term    // the truth's term at that moment

	Fenced   string  // run id of the Redis that served under our eyes and then was fenced
	FencedAt Instant // when the fence was first seen

	// Peers: the Sentinels list other Redis of the group. What they once listed
	// stands until they have listed none for peersForgotten while we served:
	// a SENTINEL RESET forgets replicas, and finds them again through a master
	// that serves, and no other.
	Peers bool

	// InStep is the run id of the Redis whose data has been in step with a master
	// of the record's history, or was served under a grant, since it started.
	InStep  string
	History string // master_replid of that data, when last seen
	Root    string // the record's history that it was held against; Redis tells only the last two of its own

	OpenedLate string  // run id of the Redis that the way out of the unfence rule opened; empty: none
	OpenedAt   Instant // when that was seen

	StopUntil Instant // until when a planned failover stops the writers; zero: none does

	Deadline Instant // when the armed fence was last wanted to fire; zero: none (an orderly stop took it down)
}

// Rebooted is what of m holds on another boot: no Instant and no run id does.
func (m Memory) Rebooted() Memory {
	return Memory{Enrolled: m.Enrolled, Self: m.Self, Agreement: m.Agreement, Peers: m.Peers}
}

// hint is one Sentinel's last unchecked announcement.
type hint struct {
	sentinel string
	epoch    uint64
	at       Instant
}

// State is comparable and copied by assignment. The zero State knows nothing
// and refuses nobody: it has not been told which Redis it stands beside.
type State struct {
	StartedAt   Instant
	Redis       Redis
	Sentinels   Sentinels
	Coordinator Coordinator
	Memory      Memory
	Vetoed      bool

	hints     [16]hint
	hintUntil Instant // writers are held for an unchecked announcement until then

	LateAt       Instant // when the watchdog was last not run in time; zero: it always was
	HoldSince    Instant // since when, in one stretch, the verdict is to hold the writers; zero: it is not
	RefuseSince  Instant // since when, in one stretch, the verdict is to refuse; zero: it is not
	ClaimSince   Instant // since when, in one stretch, row 13 holds; zero: it does not
	AnswersSince Instant // since when, in one stretch, our Redis answers (Up); zero: it does not
	// StoodFrom is when our Redis last answered before it stood still, for the last
	// time: until AnswersSince, if it answers again. What follows within
	// Timing.Uncertified of that is the same stall, for the fence that fires on the
	// wake cuts our connections, too. Zero: it never stood still in this life of the
	// watchdog; what came before the first answer is not known to be a stall.
	StoodFrom Instant
	// FiredAt is when the armed fence was seen to have fired although the verdict
	// was to serve or to hold: Redis stood still until its time was past. It is
	// zero where that is not so, or where E - A has passed since: until then what
	// would have served is not in doubt, and the fence is undone at once, except in
	// the last moment (heardAgain) of that time.
	FiredAt     Instant
	StopSince   Instant // since when, in one stretch, a planned failover stops the writers; zero: it does not
	AgreedSince Instant // since when the record and the majority name the same; zero: they do not
	StrayedAt   Instant // when our replica was first seen to follow whom it follows now
	AloneSince  Instant // since when, in one stretch, we serve and the Sentinels list nobody beside us; zero: they do
	UnfitSince  Instant // since when, in one stretch, its data may not be given to clients; zero: it may
	OddSince    Instant // since when, unchanged, the majority says otherwise than the newest agreement at no higher epoch; zero: it does not
	odd         [2]Agreement
	answeredAt  Instant // when our Redis was last seen to answer (Up); zero: never
	grantKept   bool    // the grant never left us since this Redis last served
	inherited   Instant // the deadline that an earlier life of this watchdog armed; zero: none
	Verdict     Verdict
}

// New is the state of a watchdog that starts beside a Redis at now.
func New(now Instant, m Memory) State {
	s := State{StartedAt: now, Memory: m, inherited: m.Deadline}
	s.Redis.Role, s.Redis.RunID = m.Role, m.RunID
	s.Verdict = Verdict{Row: RowStart, Reason: "starting", Want: Want{Gate: Gate{Access: Leave, Arm: m.Deadline}}}
	return s
}

// Want is what the newest decision wants.
func (s State) Want() Want { return s.Verdict.Want }

// Self is our own address as the Sentinels call it; empty: never told.
func (s State) Self() Address { return s.Memory.Self }

// Next folds the events into the state and then decides, once: what came
// together is decided on together, or the stale half of the evidence would
// decide while its fresh other half lies next to it. It is pure: the same
// arguments give the same State.
func Next(p Policy, s State, now Instant, events ...Event) State {
	for _, e := range events {
		s = s.fold(p, now, e)
	}
	s.Verdict = s.withPlannedFailover(p, now, decide(p, s, now))
	return s.remember(p, now)
}

func (s State) fold(p Policy, now Instant, e Event) State {
	switch e := e.(type) {
	case Tick:
	case Late:
		s.LateAt = now
	case Redis:
		s = s.sawRedis(now, e).stood(p, now)
	case Sentinels:
		s = s.sawSentinels(now, e)
	case Coordinator:
		s = s.sawCoordinator(now, e)
	case Announced:
		s = s.heard(p, now, e.Announcement)
	case Vetoed:
		s.Vetoed = e.Veto
	default:
		panic(fmt.Sprintf("watchdog: event %T is not one of the closed set", e))
	}
	return s
}

// sawRedis keeps role and run id of the last answer that told them, and marks
// the moment a replica turned master by another hand than ours: only Sentinel
// or a person does that, and fencing it then would abort Sentinel's failover.
func (s State) sawRedis(now Instant, r Redis) State {
	m := &s.Memory
	if r.Role == RoleUnknown {
		r.Role = s.Redis.Role
	}
	if r.RunID == "" {
		r.RunID = s.Redis.RunID
	}
	if r.Role == Master && m.Role == Replica && r.RunID == m.RunID {
		s = s.markPromoted(now, r.RunID)
	}
	if r.Role == Master && m.Role == Nowhere && r.RunID == m.RunID && s.Verdict.Want.Gate.Open {
		m.OpenedLate, m.OpenedAt = "", now
		f := s.witnessed(now)
		e := f.E
		if e == Never { // for now: whoever holds it down still would promote the first that can be
			e = f.EOnce
		}
		if s.FiredAt == 0 && (f.RoleTerm.Sub(now) <= roleTermToOpen || e <= now) {
			m.OpenedLate = r.RunID
		}
	}
	if r.Role == Nowhere && m.Role == Master && r.RunID == m.RunID && m.Fenced != r.RunID {
		m.Fenced, m.FencedAt = r.RunID, now
		if a := s.Verdict.Want.Gate.Access; a == Serve || a == Hold {
			s.FiredAt = now
		}
	}
	if r.Role == Nowhere && (m.Role != Nowhere || m.FencedAt == 0 || r.RunID != m.RunID) {
		m.FencedAt = now
	}
	if r.Role == Master || r.Role == Replica {
		m.Fenced, m.FencedAt = "", 0
	}
	if r.Role == Replica {
		// A replica's past as a master is over: the fence, the grant, the mark.
		m.Granted, m.Promoted, m.PromotedAt = "", "", 0
	}
	if r.Role == Nowhere {
		m.Enrolled = true
		m.Promoted, m.PromotedAt = "", 0
	}
	if r.RunID != m.RunID && m.Promoted != r.RunID {
		m.Promoted, m.PromotedAt = "", 0
	}
	if r.Role != RoleUnknown {
		m.Role, m.RunID = r.Role, r.RunID
	}
	if r.Following != s.Redis.Following || r.Role != s.Redis.Role || r.Following == "" && r.LinkUp != s.Redis.LinkUp {
		s.StrayedAt = now
	}
	s.Redis = r
	return s.inStep().shownPromoted(now)
}

// stood keeps since when our Redis answers, and since when it did not before.
func (s State) stood(p Policy, now Instant) State {
	switch up := s.Redis.Answer == Up; {
	case up && s.AnswersSince == 0:
		s.AnswersSince = now
	case up:
		s.answeredAt = now
	case s.AnswersSince != 0:
		if t := p.Timing(s.Sentinels.DownAfter); s.StoodFrom == 0 || now.Sub(s.AnswersSince) >= t.Uncertified {
			s.StoodFrom = s.answeredAt.Max(s.AnswersSince)
		}
		s.AnswersSince = 0
	}
	return s
}

// shownPromoted marks a master that a Sentinel shows as promoted, whichever of
// the two was heard first: a watchdog that starts now has not seen the replica.
func (s State) shownPromoted(now Instant) State {
	if s.Sentinels.Promoting && s.Redis.Role == Master && s.Memory.Granted != s.Redis.RunID && s.Memory.Promoted == "" && s.Redis.RunID != "" {
		return s.markPromoted(now, s.Redis.RunID)
	}
	return s
}

func (s State) markPromoted(now Instant, runID string) State {
	m := &s.Memory
	over, _ := s.truth()
	m.Promoted, m.PromotedAt, m.PromotedOver = runID, now, over.Term
	m.Granted = ""
	return s
}

// newcomer says that this host has never been a member of its group in etcd:
// the watchdog has just been installed, or its coordinator was wrong from the
// start. Nothing is guarded here yet.
func (s State) newcomer() bool {
	return !s.Memory.Enrolled && s.Memory.Agreement.Master == "" && s.Coordinator.Membership != Member
}

func (s State) sawSentinels(now Instant, f Sentinels) State {
	if f.Self != "" {
		s.Memory.Self = f.Self
	}
	s.Memory.Peers = s.Memory.Peers || f.Listed > 0
	s.Sentinels = f
	return s.shownPromoted(now).agreed(now)
}

func (s State) sawCoordinator(now Instant, c Coordinator) State {
	if c.Membership == Stranger {
		// Another group of the same name: its word is no word about us.
		c = Coordinator{Membership: Stranger}
	}
	s.Coordinator = c
	if c.Membership == Member && c.Agreement.Compare(s.Memory.Agreement.Term) > 0 {
		s.Memory.Agreement = c.Agreement
	}
	if h := c.Grant.Holder; h != "" && s.Memory.Self != "" && h != s.Memory.Self {
		s.Memory.Granted = "" // somebody else holds it: ours is history
	}
	return s.inStep().agreed(now)
}

// agreed keeps since when the record and the majority name the same master,
// and since when they contradict each other in the same way. A majority that
// is merely behind (a failover it has not heard of yet) contradicts for a
// moment, however long it has named its own.
func (s State) agreed(now Instant) State {
	known, said := s.Memory.Agreement, Agreement{Term{0, s.Sentinels.Epoch}, s.Sentinels.Master}
	switch pair := [2]Agreement{known, said}; {
	case said.Master == "" || known.Master == "" || said.Epoch > known.Epoch ||
		said.Master == known.Master && said.Epoch == known.Epoch:
		s.OddSince, s.odd = 0, [2]Agreement{}
	case s.OddSince == 0 || s.odd != pair:
		s.OddSince, s.odd = now, pair
	}
	switch a, maj := s.Memory.Agreement, s.Sentinels; {
	case maj.Master == "" || a.Master != maj.Master || a.Epoch != maj.Epoch:
		s.AgreedSince = 0
	case s.AgreedSince == 0:
		s.AgreedSince = now
	}
	return s
}

// heard takes an announcement as a hint: the Sentinels are polled at once, and
// writers wait for a moment, once per Sentinel and epoch. A Sentinel whose
// last hint came to nothing is not held for again for a while, or one that
// lies every second would stop all writes.
func (s State) heard(p Policy, now Instant, a Announcement) State {
	known, _ := s.truth()
	if a.Master == "" || a.Master == s.Memory.Self || a.Epoch <= known.Epoch {
		return s
	}
	slot, oldest := -1, 0
	for i, h := range s.hints {
		if h.sentinel == a.Sentinel {
			slot = i
			break
		}
		if h.at < s.hints[oldest].at {
			oldest = i
		}
	}
	if slot >= 0 {
		h := s.hints[slot]
		if a.Epoch <= h.epoch || now.Sub(h.at) < hintTerm {
			return s
		}
	} else {
		slot = oldest
	}
	s.hints[slot] = hint{a.Sentinel, a.Epoch, now}
	t := p.Timing(s.Sentinels.DownAfter)
	s.hintUntil = now.Add(t.HintHold)
	if s.HoldSince != 0 { // one Sentinel after the other: never longer than D/2
		s.hintUntil = s.hintUntil.Min(s.HoldSince.Add(t.DownAfter / 2))
	}
	return s
}

// granted says whether the grant is in force. One from before our promotion is
// not: it is left from our time as the master before, and another may have held
// it since.
func (s State) granted(now Instant) bool {
	g, m := s.Coordinator.Grant, s.Memory
	if m.Promoted != "" && m.Promoted == s.Redis.RunID && g.RenewedAt <= m.PromotedAt {
		return false
	}
	return g.Ours && now < g.Until
}

// remember keeps what the next decision needs of this one.
func (s State) remember(p Policy, now Instant) State {
	m, v := &s.Memory, s.Verdict
	if v.Want.Gate.Access == Hold {
		if s.HoldSince == 0 {
			s.HoldSince = now
		}
	} else {
		s.HoldSince = 0
	}
	if v.Reason == "planned_failover" || v.Want.Gate.Beneath {
		if s.StopSince == 0 {
			s.StopSince = now
		}
	} else {
		s.StopSince = 0
	}
	if v.Want.Gate.Access == Refuse {
		if s.RefuseSince == 0 {
			s.RefuseSince = now
		}
	} else {
		s.RefuseSince = 0
	}
	if v.Row == RowClaim {
		if s.ClaimSince == 0 {
			s.ClaimSince = now
		}
	} else {
		s.ClaimSince = 0
	}
	switch {
	case s.Redis.Role == RoleUnknown || s.Data().Good():
		s.UnfitSince = 0
	case s.UnfitSince == 0:
		s.UnfitSince = now
	}
	if s.FiredAt != 0 && (s.Redis.Role != Nowhere || v.Row != RowFenced || now >= look(p, s, now).act) {
		s.FiredAt = 0
	}
	held := s.granted(now)
	if held && s.Redis.Role == Master && s.Redis.RunID != "" && v.Row != RowDeposed {
		m.Enrolled, m.Granted = true, s.Redis.RunID
		m.InStep, m.History, m.Root = s.Redis.RunID, s.Redis.Position.ID, s.Redis.Position.ID
		m.Promoted, m.PromotedAt = "", 0
		s.grantKept = true
	}
	if !held {
		s.grantKept = false
	}
	switch f := s.Sentinels; {
	case !held || s.Redis.Role != Master || f.Listed > 0 || 2*f.Answering <= f.Known:
		s.AloneSince = 0
	case s.AloneSince == 0:
		s.AloneSince = now
	case now.Sub(s.AloneSince) >= peersForgotten:
		m.Peers = false
	}
	if v.Row == RowDeposed || v.Want.Grant == GrantGiveUp {
		m.Granted = ""
		s.grantKept = false
	}
	if s.Coordinator.RoundAt != 0 { // what an earlier life was ordered stands until etcd is heard
		m.StopUntil = 0
		if h := s.Coordinator.Orders.PlannedFailover; s.StopSince != 0 && h.inForce(now) {
			m.StopUntil = h.Until
		}
	}
	m.Deadline = v.Want.Gate.Arm
	return s
}
