package watchdog

// Arbitrary histories. Each byte string is a policy and a sequence of edits of
// what the witnesses say; every event is held to the law.

import (
	"math/rand/v2"
	"testing"
	"time"
)

// history reads events out of bytes; past the end it reads zeros.
type history struct {
	data []byte
	at   int

	now Instant
	r   Redis
	f   Sentinels
	c   Coordinator
}

func (h *history) more() bool { return h.at < len(h.data) }

func (h *history) byte() byte {
	if !h.more() {
		return 0
	}
	h.at++
	return h.data[h.at-1]
}

func (h *history) n(below int) int { return int(h.byte()) % below }
func (h *history) yes() bool       { return h.byte()&1 == 1 }

func (h *history) address() Address { return [...]Address{"A", "B", "C", ""}[h.n(4)] }
func (h *history) run() string      { return [...]string{"r1", "r2", ""}[h.n(3)] }
func (h *history) epoch() uint64    { return uint64(4 + h.n(4)) }

func (h *history) down() time.Duration {
	return [...]time.Duration{5 * time.Second, 2 * time.Second, 3 * time.Second, 30 * time.Second}[h.n(4)]
}

func (h *history) agreement() Agreement {
	if h.n(8) == 7 {
		return Agreement{}
	}
	return Agreement{Term{uint64(1 + h.n(2)), h.epoch()}, [...]Address{"A", "B", "C"}[h.n(3)]}
}

func (h *history) position() Position {
	return [...]Position{{}, {ID: "h1", Offset: 1}, {ID: "h1", Offset: 2}, {ID: "h2", Offset: 3, Before: "h1", Until: 1}, {ID: "h9", Offset: 5}}[h.n(5)]
}

// later moves time: a turn, a step, or to one side of an edge of the verdict.
func (h *history) later(p Policy, s State) {
	t := p.Timing(s.Sentinels.DownAfter)
	edges := [...]Instant{
		s.Verdict.Want.Gate.Arm, s.Coordinator.Grant.Until, s.Coordinator.Grant.RenewedAt.Add(t.SuspectAfter),
		s.HoldSince.Add(t.DownAfter / 2), s.Memory.PromotedAt.Add(promotionTerm), s.hintUntil,
		s.Sentinels.EFrom.Add(t.Uncertified), s.Sentinels.E.Add(-t.Act),
		s.StopSince.Add(t.DownAfter / 2), s.Coordinator.Orders.PlannedFailover.Until,
		s.AnswersSince.Add(t.Uncertified), s.AnswersSince.Add(t.suspicious()), s.Sentinels.E.Add(-t.Act - t.doubtFor()),
		s.Sentinels.EByPings.Add(-t.Act - t.doubtFor()), s.Sentinels.E.Add(-t.Act - heardAgain),
	}
	switch k := h.n(16 + len(edges)); {
	case k < 8: // no time passes
	case k < 16:
		steps := [...]time.Duration{1, 50 * time.Millisecond, 99 * time.Millisecond, 400 * time.Millisecond, 625 * time.Millisecond, time.Second, 2500 * time.Millisecond, 41 * time.Second}
		h.now = h.now.Add(steps[k-8])
	default:
		edge := edges[k-16]
		if h.yes() {
			edge = edge.Add(-1)
		}
		if edge > h.now && edge < h.now.Add(time.Minute) {
			h.now = edge
		}
	}
}

func (h *history) event(p Policy) Event {
	switch h.n(12) {
	case 0:
		return [...]Event{Tick{}, Late{}}[h.n(2)]
	case 1:
		return Announced{Announcement{[...]string{"s1", "s2"}[h.n(2)], h.epoch(), h.address()}}
	case 2:
		return Vetoed{h.yes()}
	case 3, 4, 5:
		h.editRedis()
		return h.r
	case 6, 7, 8:
		h.editSentinels()
		return h.f
	}
	h.editCoordinator(p)
	return h.c
}

func (h *history) editRedis() {
	r := &h.r
	switch h.n(8) {
	case 0:
		r.Answer = [...]Answer{Up, Up, Up, Up, Up, Silent, Loading, Absent, Busy}[h.n(9)]
	case 1, 2:
		r.Role, r.Following = [...]Role{Master, Nowhere, Replica, Master, Nowhere}[h.n(5)], ""
		r.Refusing = r.Role == Nowhere && h.yes()
		if r.Role == Replica {
			r.Following = h.address()
		}
	case 3:
		r.RunID = h.run()
	case 4:
		r.Locked, r.Refusing = h.yes(), h.yes()
	case 5:
		r.Offset, r.StartedFenced = int64(h.n(3)), h.yes()
	case 6:
		r.Position, r.InStep, r.Empty = h.position(), h.yes(), h.n(4) == 3
	}
	r.SeenAt = h.now
	if r.Answer == Up || r.Answer == Loading || r.Answer == Busy {
		r.SentAt = h.now
	}
}

func (h *history) editSentinels() {
	f := &h.f
	f.SentAt = h.now
	if f.Known == 0 {
		*f = Sentinels{SentAt: h.now, Self: "A", Known: 3, Answering: 3, Quorum: 2, DownAfter: h.down(), Master: "A", Epoch: 4, NamedSince: h.now, RoleTerm: Never, Listed: 2, Replicas: 2}
	}
	named := Agreement{Term{0, f.Epoch}, f.Master}
	switch h.n(14) {
	case 0:
		f.Self = [...]Address{"A", "A", "B", ""}[h.n(4)]
	case 1:
		f.Master, f.Epoch = h.address(), h.epoch()
	case 2:
		f.Master = f.Self
	case 3:
		f.Answering = h.n(4)
	case 4:
		f.DownAfter = h.down()
	case 5:
		f.Failover, f.Promoting = h.yes(), h.yes()
	case 6:
		f.Accused, f.OtherMaster = h.yes(), [...]Address{"", "B"}[h.n(2)]
	case 7:
		f.MaxEpoch = h.epoch()
		f.RoleTerm = [...]Instant{Never, h.now.Add(roleTermToOpen), h.now.Add(24 * time.Second)}[h.n(3)]
	case 8:
		f.Former, f.DownVotes = h.address(), h.n(4)
	case 9:
		f.ReplicaOffset, f.BackAt = int64(h.n(3)), [...]Instant{0, h.now}[h.n(2)]
		f.ReplicasToldAt = [...]Instant{0, h.now}[h.n(2)]
		if f.BackAt == 0 && f.ReplicasToldAt == 0 {
			f.TiltAt = h.now
		}
	case 11:
		f.Listed = 2 - f.Listed
	case 10:
		f.E = [...]Instant{0, h.now, Never, h.now.Add(f.DownAfter)}[h.n(4)]
		f.EByPings = [...]Instant{0, f.E, h.now.Add(f.DownAfter)}[h.n(3)]
	}
	if f.Master != "" && f.Epoch == 0 {
		f.Epoch = 4
	}
	if 2*f.Answering <= f.Known {
		f.Master = ""
	}
	if f.Master == "" {
		f.Epoch, f.NamedSince = 0, 0
	} else if named != (Agreement{Term{0, f.Epoch}, f.Master}) {
		f.NamedSince = h.now
	}
	if f.Self != "" && f.Master == f.Self {
		f.E, f.EFrom = f.E.Max(h.now.Add(f.DownAfter-time.Second)), h.now
	}
	f.Votes, f.MaxEpoch = f.Answering, max(f.Epoch, f.MaxEpoch)
	if h.n(4) == 0 {
		f.MaxEpoch, f.Accused, f.Failover, f.OtherMaster = f.Epoch, false, false, ""
	}
	f.Unanimous = f.Master != "" && f.Answering == f.Known && !f.Failover
	if f.Pinged = h.n(4) == 0; f.Pinged {
		f.EAsked, f.EAskedFrom = h.now, h.now
		f.Vouched = [...]Instant{0, h.now, h.now.Add(f.DownAfter - time.Second)}[h.n(3)]
	}
}

func (h *history) editCoordinator(p Policy) {
	c, g := &h.c, &h.c.Grant
	t := p.Timing(h.f.DownAfter)
	stale := false
	switch h.n(16) {
	case 0:
		c.Membership = [...]Membership{Member, Member, Stranger, MembershipUnknown}[h.n(4)]
	case 1, 2:
		c.Agreement = h.agreement()
		if h.yes() { // as it is written most of the time: what the majority says
			c.Agreement = Agreement{Term{1, h.f.Epoch}, h.f.Master}
		}
	case 3, 4:
		g.Ours, g.Holder = true, h.f.Self
	case 5:
		g.Ours, g.Holder = false, [...]Address{"", "B", "C"}[h.n(3)]
	case 6:
		g.Last, g.GivenUp = h.address(), h.yes()
	case 7:
		c.Listed = h.yes()
	case 8:
		c.Orders.Fence, c.Orders.Unfence = h.n(8) == 7, h.yes()
	case 9:
		c.Orders.Maintenance = h.now.Add([...]time.Duration{-1, -1, -1, 5 * time.Second}[h.n(4)])
	case 10:
		c.Orders.Released = h.n(32) == 31
	case 12:
		c.Orders.PlannedFailover = PlannedFailover{}
	case 13:
		c.Orders.PlannedFailover = PlannedFailover{ID: "h", From: h.f.Self, To: h.address(), Stop: h.yes(), Forced: h.yes(),
			Until: h.now.Add([...]time.Duration{-1, time.Second, 5 * time.Second, 30 * time.Second}[h.n(4)])}
	case 14:
		c.Record = Record{Master: [...]Address{"A", "B"}[h.n(2)], Position: h.position(), Current: h.yes()}
	case 15:
		c.Elsewhere = [...]string{"", "other"}[h.n(2)]
		c.Disks = Disks{Of: h.r.Position, Missing: h.n(2), Better: [...]Address{"", "B"}[h.n(2)]}
	case 11:
		stale = true // the orders' local copy: the rest is as old as it was
	}
	if c.Membership == MembershipUnknown && h.n(4) != 3 {
		c.Membership = Member
	}
	if stale {
		return
	}
	c.RoundAt = h.now
	if g.Ours && h.n(4) != 3 {
		g.RenewedAt, g.Until = h.now, h.now.Add(t.LeaseTTL-t.Margin)
	}
}

// run plays a history to its end and counts the reasons it came by.
func (h *history) play(t *testing.T, seen map[string]int) {
	t.Helper()
	h.now = scriptStart
	h.r = Redis{Answer: Up, Role: Master, RunID: "r1"}
	h.c = Coordinator{Membership: Member, Agreement: Agreement{Term{1, 4}, "A"}}
	p := Policy{
		CoordinatorLost: CoordinatorLost(h.n(2)), SentinelsLost: SentinelsLost(h.n(4) / 3), BornLocked: h.yes(),
	}
	var m Memory
	if h.yes() {
		m = Memory{Enrolled: true, Self: "A", RunID: h.run(), Role: Role(h.n(4)), Agreement: h.agreement(), Granted: h.run(), Deadline: h.now.Add(h.down())}
	}
	s, l := New(h.now, m), newLaw()
	for h.more() {
		h.later(p, s)
		if h.n(64) == 63 { // the watchdog is started again
			s, l = New(h.now, s.Memory), newLaw()
		}
		was, e := s, h.event(p)
		s = Next(p, was, h.now, e)
		l.hold(t, p, was, h.now, e, s)
		if seen != nil {
			seen[s.Verdict.Reason]++
		}
	}
}

// TestNextHoldsTheLaw is FuzzNext with a seed: the same histories every time.
func TestNextHoldsTheLaw(t *testing.T) {
	seen, reasons := map[string]int{}, reasonsInSource(t)
	// Some reasons are rare: it goes on until it came by all of them, within reason.
	for seed := uint64(0); seed < 1500 || seed < 6000 && len(seen) < len(reasons); seed++ {
		random := rand.New(rand.NewPCG(seed, 26))
		data := make([]byte, 100+random.IntN(400))
		for i := range data {
			data[i] = byte(random.Uint32())
		}
		(&history{data: data}).play(t, seen)
		if t.Failed() {
			t.Fatalf("seed %d", seed)
		}
	}
	for reason, where := range reasons {
		if seen[reason] == 0 {
			t.Errorf("no history came by %q (%s): the law was not tried there", reason, where)
		}
	}
}

func FuzzNext(f *testing.F) {
	for seed := range uint64(8) {
		random := rand.New(rand.NewPCG(seed, 13))
		data := make([]byte, 200)
		for i := range data {
			data[i] = byte(random.Uint32())
		}
		f.Add(data)
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		(&history{data: data[:min(len(data), 2000)]}).play(t, nil)
	})
}
