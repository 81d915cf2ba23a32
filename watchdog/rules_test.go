package watchdog

// The rules that have edges: each table edits one value of a valid case and
// looks at both sides.

import (
	"testing"
	"time"
)

const ruleNow = Instant(5000 * time.Second)

// ruled is the policy the tables use: the configuration's defaults.
func ruled() Policy { return Policy{CoordinatorLost: CoordinatorLostServe, BornLocked: true} }

// serving is a healthy granted master A at D = 5 s, told all at ruleNow.
func serving() State {
	s := New(ruleNow.Add(-time.Hour), Memory{})
	for _, e := range []Event{
		Redis{SentAt: ruleNow, SeenAt: ruleNow, Answer: Up, Role: Master, RunID: "r1", Offset: 100},
		Sentinels{
			Self: "A", SentAt: ruleNow, Known: 3, Answering: 3, Quorum: 2, DownAfter: 5 * time.Second,
			Master: "A", Epoch: 4, Votes: 3, NamedSince: ruleNow.Add(-time.Minute), MaxEpoch: 4, Unanimous: true,
			E: ruleNow.Add(4500 * time.Millisecond), EFrom: ruleNow, RoleTerm: Never, Replicas: 2, ReplicaOffset: 100,
		},
		Coordinator{
			RoundAt: ruleNow, Membership: Member, Agreement: Agreement{Term{1, 4}, "A"}, Listed: true,
			Grant: Grant{Ours: true, RenewedAt: ruleNow, Until: ruleNow.Add(3920 * time.Millisecond), Holder: "A", Last: "A"},
		},
	} {
		s = Next(ruled(), s, ruleNow, e)
	}
	return s
}

// decided is the verdict on s at now, after nothing but time.
func decided(s State, now Instant) Verdict { return Next(ruled(), s, now, Tick{}).Verdict }

func TestTruthIsTheNewerAndAConflictNamesNobody(t *testing.T) {
	known := Agreement{Term{2, 4}, "A"}
	for _, c := range []struct {
		name     string
		known    Agreement
		majority Agreement
		want     Agreement
		conflict bool
	}{
		{"nothing known, nobody says anything", Agreement{}, Agreement{}, Agreement{}, false},
		{"nothing known", Agreement{}, Agreement{Term{0, 4}, "A"}, Agreement{Term{0, 4}, "A"}, false},
		{"no majority", known, Agreement{}, known, false},
		{"the same", known, Agreement{Term{0, 4}, "A"}, known, false},
		{"failover", known, Agreement{Term{0, 5}, "B"}, Agreement{Term{2, 5}, "B"}, false},
		{"epoch rose", known, Agreement{Term{0, 5}, "A"}, Agreement{Term{2, 5}, "A"}, false},
		{"epochs began anew", known, Agreement{Term{0, 0}, "A"}, known, false},
		{"equal epoch, another address", known, Agreement{Term{0, 4}, "B"}, Agreement{Term: known.Term}, true},
	} {
		var s State
		s.Memory.Agreement = c.known
		s.Sentinels.Master, s.Sentinels.Epoch = c.majority.Master, c.majority.Epoch
		if got, conflict := s.truth(); got != c.want || conflict != c.conflict {
			t.Errorf("%s: got %v:%q conflict %v, want %v:%q %v", c.name, got.Term, got.Master, conflict, c.want.Term, c.want.Master, c.conflict)
		}
	}
}

func TestTruthWithARecordThatContradictsWhatIsRemembered(t *testing.T) {
	s := serving()
	s.Coordinator.Agreement.Master = "B" // the same term
	s.Sentinels.Master = ""
	if got, conflict := s.truth(); !conflict || got.Master != "" {
		t.Errorf("got %v:%q conflict %v, want a conflict", got.Term, got.Master, conflict)
	}
}

// TestALapsedGrantIsOpenedOnceItsHolderCannotServe: by row 11 it may serve
// without a lease as long as Sentinels name it.
func TestALapsedGrantIsOpenedOnceItsHolderCannotServe(t *testing.T) {
	const d = 5 * time.Second
	lapsed := func() State { // A was named a moment ago, after B's grant lapsed
		s := serving()
		s.Memory.Granted, s.grantKept = "", false
		s.Coordinator.Grant = Grant{Last: "B"}
		s.Sentinels.NamedSince, s.Sentinels.Former = ruleNow, "B"
		s.Sentinels.E, s.Sentinels.EFrom = Never, ruleNow
		return s
	}
	for _, c := range []struct {
		name string
		edit func(*State)
		at   time.Duration
		want GrantWant
	}{
		{"named for D less a nanosecond", func(*State) {}, d - 1, GrantLeave},
		{"named for D", func(*State) {}, d, GrantClaim},
		{"a Sentinel has a longer down-after", func(s *State) { s.Sentinels.Longest = d + time.Second }, d + time.Second - 1, GrantLeave},
		{"named for the longest down-after", func(s *State) { s.Sentinels.Longest = d + time.Second }, d + time.Second, GrantClaim},
		{"quorum saw it down", func(s *State) { s.Sentinels.DownVotes = 2 }, 0, GrantClaim},
		{"one too few saw it down", func(s *State) { s.Sentinels.DownVotes = 1 }, d - 1, GrantLeave},
		{"quorum saw another down", func(s *State) { s.Sentinels.DownVotes, s.Sentinels.Former = 2, "C" }, d - 1, GrantLeave},
		{"no quorum is known", func(s *State) { s.Sentinels.DownVotes, s.Sentinels.Quorum = 0, 0 }, d - 1, GrantLeave},
		{"it gave it up", func(s *State) { s.Coordinator.Grant.GivenUp = true }, 0, GrantClaim},
		{"it was ours", func(s *State) { s.Coordinator.Grant.Last, s.Sentinels.Former = "A", "" }, 0, GrantClaim},
		{"it was ours, says a restored etcd", func(s *State) { s.Coordinator.Grant.Last = "A" }, d - 1, GrantLeave},
		{"it was ours, and D has passed", func(s *State) { s.Coordinator.Grant.Last = "A" }, d, GrantClaim},
		{"it was nobody's", func(s *State) { s.Coordinator.Grant.Last, s.Sentinels.Former = "", "" }, 0, GrantClaim},
		{"etcd has forgotten whose it was", func(s *State) { s.Coordinator.Grant.Last = "" }, d - 1, GrantLeave},
		{"somebody holds it", func(s *State) { s.Coordinator.Grant.Holder = "B" }, d, GrantLeave},
		{"the record names another", func(s *State) { s.Coordinator.Agreement.Master = "B" }, d, GrantLeave},
		{"the record is behind", func(s *State) { s.Coordinator.Agreement.Epoch = 3 }, d, GrantLeave},
		{"the group is a stranger's", func(s *State) { s.Coordinator.Membership = Stranger }, d, GrantLeave},
		{"no majority", func(s *State) { s.Sentinels.Master = "" }, d, GrantLeave},
		{"E - A has passed", func(s *State) { s.Sentinels.E = ruleNow }, d, GrantLeave},
		{"Redis hangs", func(s *State) { s.Redis.SentAt = ruleNow.Add(d - d/2 - 1) }, d, GrantLeave},
		{"Redis answered D/2 ago", func(s *State) { s.Redis.SentAt = ruleNow.Add(d - d/2) }, d, GrantClaim},
	} {
		s := lapsed()
		s.Redis.SentAt = ruleNow.Add(c.at)
		c.edit(&s)
		if got := decided(s, ruleNow.Add(c.at)); got.Want.Grant != c.want {
			t.Errorf("%s: got %v (row %d %s), want %v", c.name, got.Want.Grant, got.Row, got.Reason, c.want)
		}
	}
}

// TestALyingSentinelHoldsWritersAMomentInThirtySeconds, whatever it repeats.
func TestALyingSentinelHoldsWritersAMomentInThirtySeconds(t *testing.T) {
	for _, c := range []struct {
		name  string
		epoch func(second int) uint64
		holds int // in 65 s
	}{
		{"the same every second", func(int) uint64 { return 9 }, 1},
		{"rising every second", func(n int) uint64 { return uint64(9 + n) }, 3},
		{"no newer than what is known", func(int) uint64 { return 4 }, 0},
		{"falling", func(n int) uint64 { return uint64(900 - n) }, 1},
	} {
		s, holds, held := serving(), 0, time.Duration(0)
		const turn = 50 * time.Millisecond
		for at := time.Duration(0); at < 65*time.Second; at += turn {
			now := ruleNow.Add(at)
			s = Next(ruled(), s, now, refreshed(s.Sentinels, now))
			s = Next(ruled(), s, now, renewed(s.Coordinator, now))
			was := s.Verdict.Row
			if at%time.Second == 0 {
				s = Next(ruled(), s, now, Announced{Announcement{"liar", c.epoch(int(at / time.Second)), "B"}})
			}
			if s.Verdict.Row == RowHint {
				held += turn
				if was != RowHint {
					holds++
				}
			}
		}
		if holds != c.holds || held > time.Duration(c.holds)*ruled().Timing(5*time.Second).HintHold {
			t.Errorf("%s: got %d holds, %v in all, want %d of at most D/10", c.name, holds, held, c.holds)
		}
	}
}

func TestManyLyingSentinelsDoNotHoldLongerThanHalfD(t *testing.T) {
	s, held, longest := serving(), time.Duration(0), time.Duration(0)
	const turn = 50 * time.Millisecond
	for n := range 400 {
		now := ruleNow.Add(time.Duration(n) * turn)
		s = Next(ruled(), s, now, refreshed(s.Sentinels, now))
		s = Next(ruled(), s, now, renewed(s.Coordinator, now))
		s = Next(ruled(), s, now, Announced{Announcement{string(rune('a' + n/6)), 9, "B"}})
		if s.Verdict.Want.Gate.Access == Hold {
			held += turn
		} else {
			held = 0
		}
		longest = max(longest, held)
	}
	if longest > 2500*time.Millisecond+turn || longest == 0 {
		t.Errorf("longest hold: got %v, want some and at most 2.5s", longest)
	}
}

func refreshed(f Sentinels, now Instant) Sentinels {
	f.SentAt, f.EFrom, f.E = now, now, now.Add(4500*time.Millisecond)
	return f
}

func renewed(c Coordinator, now Instant) Coordinator {
	c.RoundAt, c.Grant.RenewedAt, c.Grant.Until = now, now, now.Add(3920*time.Millisecond)
	return c
}

// doubtBegins is the E whose last stretch, in which row 10 holds the writers,
// begins at now.
func doubtBegins(now Instant) Instant {
	t := Policy{}.Timing(5 * time.Second)
	return now.Add(t.Act + t.doubtFor())
}

func TestUnfenceRuleClauseByClause(t *testing.T) {
	fenced := func() State { // all clauses hold, the grant was claimed anew
		s := serving()
		s.grantKept = false
		s.Redis.Role, s.Redis.Refusing = Nowhere, true
		s.Memory.Role, s.Memory.Fenced, s.Memory.FencedAt = Nowhere, "r1", ruleNow.Add(-10*time.Second)
		s.Sentinels.NamedSince = ruleNow.Add(-unbrokenToOpen)
		s.Sentinels.RoleTerm = ruleNow.Add(roleTermToOpen + 1)
		return s
	}
	for _, c := range []struct {
		name string
		edit func(*State)
		want string // the reason; empty: it opens
	}{
		{"all clauses hold", func(*State) {}, ""},
		{"the grant is not ours", func(s *State) { s.Coordinator.Grant.Ours = false }, "no_grant"},
		{"the grant ends now", func(s *State) { s.Coordinator.Grant.Until = ruleNow }, "no_grant"},
		{"the coordinator is not fresh", func(s *State) { s.Coordinator.Grant.RenewedAt = ruleNow.Add(-625*time.Millisecond - 1) }, "no_grant"},
		{"the coordinator is just fresh", func(s *State) { s.Coordinator.Grant.RenewedAt = ruleNow.Add(-625 * time.Millisecond) }, ""},
		{"Redis does not answer", func(s *State) { s.Redis.Answer = Silent }, "redis_silent"},
		{"Redis loads", func(s *State) { s.Redis.Answer = Loading }, "redis_silent"},
		{"no majority", func(s *State) { s.Sentinels.Master = "" }, "no_majority"},
		{"a majority at an older epoch", func(s *State) { s.Sentinels.Epoch = 3 }, "no_majority"},
		{"a majority for 3 s less a nanosecond", func(s *State) { s.Sentinels.NamedSince++ }, "majority_too_young"},
		{"a young majority, but the grant never left us", func(s *State) { s.Sentinels.NamedSince, s.grantKept = ruleNow, true }, ""},
		{"a failover runs", func(s *State) { s.Sentinels.Failover = true }, "failover_running"},
		{"a Sentinel shows a higher epoch", func(s *State) { s.Sentinels.MaxEpoch = 5 }, "higher_epoch_seen"},
		{"a replica says it is master", func(s *State) { s.Sentinels.OtherMaster = "B" }, "other_master_seen"},
		{"held down with a stale PONG", func(s *State) { s.Sentinels.Accused = true }, "held_down"},
		{"the doubt before E - A begins now", func(s *State) { s.Sentinels.E = doubtBegins(ruleNow) }, "sentinels_do_not_certify"},
		{"the doubt begins in a nanosecond", func(s *State) { s.Sentinels.E = doubtBegins(ruleNow) + 1 }, ""},
		{"the role term is 11 s ahead", func(s *State) { s.Sentinels.RoleTerm-- }, "left_to_sentinel"},
		{"way out: fenced for 40 s", func(s *State) {
			s.Sentinels.RoleTerm, s.Memory.FencedAt = ruleNow, ruleNow.Add(-40*time.Second)
		}, ""},
		{"way out a nanosecond early", func(s *State) {
			s.Sentinels.RoleTerm, s.Memory.FencedAt = ruleNow, ruleNow.Add(-40*time.Second+1)
		}, "left_to_sentinel"},
		{"way out, but a failover runs", func(s *State) {
			s.Sentinels.RoleTerm, s.Memory.FencedAt, s.Sentinels.Failover = ruleNow, ruleNow.Add(-40*time.Second), true
		}, "failover_running"},
		{"no way out past another master", func(s *State) {
			s.Sentinels.OtherMaster, s.Memory.FencedAt = "B", ruleNow.Add(-time.Hour)
		}, "other_master_seen"},
		{"another run id, as new as the replicas", func(s *State) { s.Memory.Fenced = "r0" }, ""},
		{"another run id, a replica not heard since", func(s *State) { s.Memory.Fenced, s.Sentinels.ReplicasToldAt = "r0", s.Memory.FencedAt-1 }, "replicas_not_heard"},
		{"another run id, behind a replica", func(s *State) { s.Memory.Fenced, s.Redis.Offset = "r0", 99 }, "data_behind"},
		{"another run id, behind, but forced", func(s *State) {
			s.Memory.Fenced, s.Redis.Offset, s.Coordinator.Orders.Unfence = "r0", 99, true
		}, ""},
		{"the truth names another", func(s *State) { s.Sentinels.Master, s.Sentinels.Epoch = "B", 5 }, "rejoining"},
		{"a conflict", func(s *State) { s.Sentinels.Master = "B" }, "nobody_named"},
	} {
		s := fenced()
		c.edit(&s)
		got := decided(s, ruleNow)
		if open := got.Want.Gate.Open; open != (c.want == "") || c.want != "" && got.Reason != c.want {
			t.Errorf("%s: got open %v, %s, want %q", c.name, open, got.Reason, c.want)
		}
	}
}

// TestAnIsolatedMasterHoldsNoLongerThanEachBound: D/2 and E - A, whatever L is;
// where L counts, L - A or one round of polls, too. Open at the bound less a
// nanosecond, shut at it. The fence stands armed before E meanwhile.
func TestAnIsolatedMasterHoldsNoLongerThanEachBound(t *testing.T) {
	const ms = time.Millisecond
	high := func(s *State) { s.Sentinels.Quorum = 3 }
	for _, c := range []struct {
		name string
		edit func(*State)
		hold time.Duration // from ruleNow
		arm  time.Duration // likewise
		stop time.Duration // likewise; zero: never
	}{
		{"D/2 after the hold began", func(s *State) { s.Coordinator.Grant.Until = ruleNow }, 2500 * ms, 9950 * ms, 9750 * ms},
		{"the same before L", func(s *State) { s.Coordinator.Grant.Until = ruleNow.Add(time.Minute) }, 2500 * ms, 9950 * ms, 9750 * ms},
		{"L comes first and bounds nothing", func(s *State) { s.Coordinator.Grant.Until = ruleNow.Add(1000 * ms) }, 2500 * ms, 9950 * ms, 9750 * ms},
		{"E - A", func(s *State) { s.Sentinels.E = ruleNow.Add(1250 * ms) }, 1000 * ms, 1200 * ms, 1250 * ms},
		{"E is never: D/2", func(s *State) { s.Sentinels.E = Never }, 2500 * ms, 2500 * ms, 0},
		{"a quorum above the majority: L - A", func(s *State) { high(s); s.Coordinator.Grant.Until = ruleNow.Add(2000 * ms) }, 1750 * ms, 1750 * ms, 2000 * ms},
		{"the same, L - A is past: a round of polls", func(s *State) { high(s); s.Coordinator.Grant.Until = ruleNow.Add(100 * ms) }, 500 * ms, 500 * ms, 750 * ms},
		{"the same, L - A is nearer than that", func(s *State) { high(s); s.Coordinator.Grant.Until = ruleNow.Add(300 * ms) }, 500 * ms, 500 * ms, 750 * ms},
		{"the same, E - A is nearer than that", func(s *State) {
			high(s)
			s.Coordinator.Grant.Until, s.Sentinels.E = ruleNow.Add(100*ms), ruleNow.Add(500*ms)
		}, 250 * ms, 250 * ms, 500 * ms},
	} {
		s := serving()
		s.Sentinels.E = ruleNow.Add(10 * time.Second)
		s.Sentinels.Master, s.Sentinels.EFrom = "", ruleNow.Add(-time.Minute)
		s.Coordinator.RoundAt, s.Coordinator.Grant.RenewedAt = ruleNow.Add(-time.Minute), ruleNow.Add(-time.Minute)
		c.edit(&s)
		s = Next(ruled(), s, ruleNow, Tick{})
		until := ruleNow.Add(c.hold)
		if g := s.Want().Gate; g.Access != Hold || g.Arm != ruleNow.Add(c.arm) {
			t.Errorf("%s: got %v armed in %v, want a hold armed in %v", c.name, g.Access, g.Arm.Sub(ruleNow), c.arm)
		}
		s = Next(ruled(), s, until-1, Tick{})
		if got := s.Want().Gate.Access; got != Hold {
			t.Errorf("%s, a nanosecond before: got %v, want hold", c.name, got)
		}
		s = Next(ruled(), s, until, Tick{})
		stop := Never
		if c.stop != 0 {
			stop = ruleNow.Add(c.stop)
		}
		if g := s.Want().Gate; g.Access != Refuse || g.StopBy != stop {
			t.Errorf("%s, at it: got %v stop at %v, want refuse, stop at %v", c.name, g.Access, g.StopBy.Sub(ruleNow), stop.Sub(ruleNow))
		}
		s = Next(ruled(), s, until.Add(time.Second), Tick{})
		if got := s.Want().Gate.Access; got != Refuse {
			t.Errorf("%s, a second later: got %v, want it to stay refused", c.name, got)
		}
	}
}

func TestFreshEndsAfterSuspectAfter(t *testing.T) {
	s := serving()
	edge := ruleNow.Add(625 * time.Millisecond)
	if got := decided(s, edge); got.Row != RowServe {
		t.Errorf("at suspect_after: got row %d, want 9", got.Row)
	}
	if got := decided(s, edge+1); got.Row != RowCertified {
		t.Errorf("a nanosecond later: got row %d, want 11", got.Row)
	}
	edge = ruleNow.Add(937500 * time.Microsecond)
	if got := decided(s, edge+1); got.Row != RowIsolated {
		t.Errorf("once the Sentinels are no longer fresh: got row %d, want 12", got.Row)
	}
}

func TestNextRefusesAnEventThatIsNone(t *testing.T) {
	defer func() {
		if recover() == nil {
			t.Error("got no panic for a nil event")
		}
	}()
	Next(Policy{}, State{}, 1, nil)
}

func TestTheZeroPolicyIsTheStricterOne(t *testing.T) {
	s := serving()
	now := ruleNow.Add(3670 * time.Millisecond) // L - A
	s.Sentinels = refreshed(s.Sentinels, now)
	if got := Next(Policy{}, s, now, Tick{}).Want().Gate.Access; got != Refuse {
		t.Errorf("coordinator lost until L - A: got %v, want refuse", got)
	}
	if got := Next(Policy{}, s, now-1, Tick{}).Want().Gate.Access; got != Serve {
		t.Errorf("a nanosecond before: got %v, want serve", got)
	}
}

// A PING does not tell whom a Sentinel names. What E counts of them arms the
// fence no later than another may have been granted: by the lease, or by a
// majority's word.
func TestPingsArmNoLaterThanAGrantMayBeAnothers(t *testing.T) {
	const d = 5 * time.Second
	lease := ruleNow.Add(3920 * time.Millisecond)
	for _, c := range []struct {
		name string
		edit func(*State)
		row  Row
		arm  Instant // before Armed is taken off
	}{
		{"a majority names us", func(s *State) { s.Sentinels.Vouched = ruleNow.Add(d - 1) }, RowServe, ruleNow.Add(4500 * time.Millisecond)},
		{"it named us a while ago", func(s *State) { s.Sentinels.Vouched = ruleNow.Add(4 * time.Second) }, RowServe, ruleNow.Add(4 * time.Second)},
		{"it never did: the lease", func(s *State) { s.Sentinels.Master, s.Sentinels.Votes = "", 1 }, RowServe, lease},
		{"no PINGs: E alone", func(s *State) { s.Sentinels.Pinged = false }, RowServe, ruleNow.Add(4500 * time.Millisecond)},
		{"etcd is away, a majority names us", func(s *State) {
			s.Coordinator.Grant.RenewedAt -= Instant(time.Minute)
			s.Coordinator.Grant.Until -= Instant(time.Minute)
			s.Sentinels.Vouched = ruleNow.Add(4 * time.Second)
		}, RowCertified, ruleNow.Add(4 * time.Second)},
		{"etcd is away, and it named us a while ago", func(s *State) {
			s.Coordinator.Grant.RenewedAt -= Instant(time.Minute)
			s.Coordinator.Grant.Until -= Instant(time.Minute)
			s.Coordinator.RoundAt -= Instant(time.Minute)
			s.Sentinels.Master, s.Sentinels.Votes, s.Sentinels.Vouched = "", 1, ruleNow.Add(time.Second)
		}, RowIsolated, ruleNow.Add(time.Second)},
	} {
		s := serving()
		s.Sentinels.Pinged, s.Sentinels.EAsked, s.Sentinels.EAskedFrom = true, ruleNow, ruleNow
		c.edit(&s)
		got := decided(s, ruleNow)
		if want := c.arm.Add(-ruled().Timing(d).Armed); got.Row != c.row || got.Want.Gate.Arm != want {
			t.Errorf("%s: row %d %s armed in %v, want row %d in %v", c.name, got.Row, got.Reason, got.Want.Gate.Arm.Sub(ruleNow), c.row, want.Sub(ruleNow))
		}
	}
}

// A watchdog that is started anew on a busy host hears one Sentinel in its first
// second and neither etcd nor the others, whose PINGs it remembers. What the life
// before it knew when it armed the fence holds all the same.
func TestPingsAfterARestartTakeNothingFromWhatWasKnown(t *testing.T) {
	const armed = 2400 * time.Millisecond // from now
	before := serving()
	before.Memory.Deadline = ruleNow.Add(armed)
	for _, c := range []struct {
		name string
		late time.Duration
		edit func(*Sentinels)
		want Access
	}{
		{"nobody answers yet", 0, func(s *Sentinels) { *s = Sentinels{Self: s.Self, SentAt: s.SentAt, Known: s.Known} }, Hold},
		{"one answers, the PINGs of the others count", 0, func(*Sentinels) {}, Hold},
		{"what was known is past", armed, func(*Sentinels) {}, Refuse},
		{"it shows a failover", 0, func(s *Sentinels) { s.Failover, s.E = true, s.SentAt }, Refuse},
		{"it is accused", 0, func(s *Sentinels) { s.Accused, s.E = true, s.SentAt }, Refuse},
	} {
		now := ruleNow.Add(c.late)
		said := Sentinels{
			Self: "A", SentAt: now, Known: 3, Answering: 1, Quorum: 2, DownAfter: 5 * time.Second, MaxEpoch: 4, RoleTerm: Never,
			E: now.Add(4 * time.Second), EFrom: now, Pinged: true, Votes: 1,
		}
		c.edit(&said)
		s := New(ruleNow.Add(-startGrace), before.Memory)
		s = Next(ruled(), s, now, Redis{SentAt: now, SeenAt: now, Answer: Up, Role: Master, RunID: "r1", Offset: 100}, said)
		got := s.Verdict
		if got.Row != RowIsolated || got.Want.Gate.Access != c.want {
			t.Errorf("%s: row %d %s: %v, want %v in row %d", c.name, got.Row, got.Reason, got.Want.Gate.Access, c.want, RowIsolated)
		}
		if arm := got.Want.Gate.Arm; arm > before.Memory.Deadline {
			t.Errorf("%s: armed %v later than was known", c.name, arm.Sub(before.Memory.Deadline))
		}
	}
}

// Beside a Redis that is fenced, or was a moment ago, only answers tell what role
// a Sentinel remembers.
func TestPingsTellNothingOfAFence(t *testing.T) {
	pinged := serving()
	pinged.Sentinels.Pinged, pinged.Sentinels.EAsked, pinged.Sentinels.Vouched = true, ruleNow.Add(-time.Second), ruleNow.Add(4*time.Second)
	for _, c := range []struct {
		name string
		edit func(*State)
		want bool // E is what the PINGs say
	}{
		{"a master since long", func(*State) {}, true},
		{"fenced", func(s *State) { s.Redis.Role = Nowhere }, false},
		{"opened 11 s ago less a nanosecond", func(s *State) { s.Memory.OpenedAt = ruleNow.Add(1 - roleTermToOpen) }, false},
		{"opened 11 s ago", func(s *State) { s.Memory.OpenedAt = ruleNow.Add(-roleTermToOpen) }, true},
	} {
		s := pinged
		c.edit(&s)
		if got := s.witnessed(ruleNow); got.Pinged != c.want || (got.E == pinged.Sentinels.E) != c.want {
			t.Errorf("%s: E in %v, pinged %v; want the PINGs' %v", c.name, got.E.Sub(ruleNow), got.Pinged, c.want)
		}
	}
}

// A master that woke past its fence is opened while nobody could be promoted. Whether
// it serves at once hangs on whether a Sentinel could promote the first that turns up.
func TestOpenedWhileNobodyCanBePromoted(t *testing.T) {
	for _, c := range []struct {
		name string
		once time.Duration // EOnce, from now; 0: it is not told
		role time.Duration // RoleTerm, from now; 0: Never
		want string
	}{
		{"all hear it", 4500 * time.Millisecond, 0, "granted"},
		{"and were told that it is a replica", 4500 * time.Millisecond, 24 * time.Second, "granted"},
		{"the next one that can be would be promoted", -1, 24 * time.Second, "opened_not_yet_certified"},
		{"it is not known", 0, 24 * time.Second, "opened_not_yet_certified"},
	} {
		s, f := serving(), serving().Sentinels
		f.E, f.EOnce, f.RoleTerm, f.Replicas = Never, 0, Never, 0
		if c.once != 0 {
			f.EOnce = ruleNow.Add(c.once)
		}
		if c.role != 0 {
			f.RoleTerm = ruleNow.Add(c.role)
		}
		s.Verdict = Verdict{Row: RowElse, Want: Want{Gate: Gate{Access: Refuse}}} // as it was while Redis stood still
		shut := s.Redis
		shut.Role = Nowhere
		s = Next(ruled(), s, ruleNow, shut, f)
		if s.Verdict.Reason != "unfencing" {
			t.Errorf("%s: %s while it is shut", c.name, s.Verdict.Reason)
		}
		open := shut
		open.Role, open.Locked = Master, true
		if s = Next(ruled(), s, ruleNow, open); s.Verdict.Reason != c.want {
			t.Errorf("%s: got %s, want %s", c.name, s.Verdict.Reason, c.want)
		}
	}
}
