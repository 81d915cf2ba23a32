package sentinel

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/redis-watchdog/redis-watchdog/watchdog"
)

const (
	us    = watchdog.Address("10.0.0.1:6379")
	other = watchdog.Address("10.0.0.2:6379")
	third = watchdog.Address("10.0.0.3:6379")

	sec  = watchdog.Instant(time.Second)
	t0   = 1000 * sec
	down = 5 * time.Second // down-after
)

// group is a State with n Sentinels s1..sn that have nothing wrong with them.
type group struct {
	*State
	n int
}

func newGroup(n int) group {
	g := group{&State{FreshFor: 2 * time.Second, ListFor: 5 * time.Second}, n}
	for i := range n {
		g.Add(key(i), peer(i).Address)
	}
	g.Settle(1)
	return g
}

func key(i int) string { return fmt.Sprintf("10.0.1.%d:26379", i+1) }

func peer(i int) Peer {
	return Peer{RunID: fmt.Sprintf("id%d", i+1), Address: watchdog.Address(key(i)), Dial: key(i)}
}

// says is a full answer of Sentinel i that finds nothing wrong.
func (g group) says(i int, at watchdog.Instant, named watchdog.Address, epoch uint64) Answer {
	a := Answer{SentAt: at, Named: named, Full: true, Master: Instance{
		Address: named, RunID: "run" + string(named), DownAfter: down, Reported: watchdog.Master,
		Epoch: epoch, Others: g.n - 1, Quorum: 2, FailoverTimeout: 180 * time.Second,
	}}
	for _, r := range []watchdog.Address{us, other, third} {
		if r != named {
			a.Replicas = append(a.Replicas, Instance{Address: r, RunID: "run" + string(r), Reported: watchdog.Replica, Priority: 100, InfoAge: time.Second})
		}
	}
	for j := range g.n {
		if j != i {
			a.Sentinels = append(a.Sentinels, peer(j))
		}
	}
	return a
}

func (g group) hear(t *testing.T, i int, a Answer) watchdog.Announcement {
	t.Helper()
	hint, fault := g.Hear(key(i), a)
	if fault != "" {
		t.Fatalf("answer of %s refused: %s", key(i), fault)
	}
	g.Settle(a.SentAt)
	return hint
}

// all makes every Sentinel name master.
func (g group) all(t *testing.T, at watchdog.Instant, master watchdog.Address, epoch uint64) {
	t.Helper()
	for i := range g.n {
		g.hear(t, i, g.says(i, at, master, epoch))
	}
}

// The newest word on each replica counts, and of those the oldest.
func TestReplicasToldAtIsTheOldestOfTheNewest(t *testing.T) {
	for _, c := range []struct {
		name string
		ages [2][2]int // seconds of the two replicas' INFO, at two Sentinels; 0: never
		flag Flag      // of the second replica, at both
		want watchdog.Instant
	}{
		{"the second is older", [2][2]int{{1, 9}, {7, 4}}, 0, t0 - 4*sec},
		{"the first is older", [2][2]int{{3, 2}, {5, 4}}, 0, t0 - 3*sec},
		{"never told to anybody", [2][2]int{{1, 0}, {1, 0}}, 0, 1},
		{"one that is down tells nothing", [2][2]int{{1, 0}, {1, 9}}, FlagSDown, t0 - sec},
		{"one that nobody is connected to has told nothing yet", [2][2]int{{1, 0}, {1, 9}}, FlagDisconnected, 1},
	} {
		g := newGroup(2)
		for i, ages := range c.ages {
			a := g.says(i, t0, us, 7)
			for j := range ages {
				a.Replicas[j].InfoAge = time.Duration(ages[j]) * time.Second
			}
			a.Replicas[1].Flags |= c.flag
			g.hear(t, i, a)
		}
		if got := g.Tally(us, t0+sec/2).ReplicasToldAt; got != c.want {
			t.Errorf("%s: got %d, want %d", c.name, got, c.want)
		}
	}
}

// TiltAt is when those that were not in TILT last were too few to promote anybody.
func TestTiltAtIsWhenTooFewCouldAct(t *testing.T) {
	for _, c := range []struct {
		name   string
		known  int
		quorum int
		tilted []int // Sentinels that showed TILT, the first at t0 - 1 s, the next at t0 - 2 s, ...
		silent []int
		want   watchdog.Instant
	}{
		{"none", 3, 2, nil, nil, 0},
		{"one of three leaves a majority", 3, 2, []int{1}, nil, 0},
		{"two of three do not: since the second", 3, 2, []int{1, 2}, nil, t0 - 2*sec},
		{"of three the second newest counts", 3, 2, []int{0, 1, 2}, nil, t0 - 2*sec},
		{"the only one", 1, 1, []int{0}, nil, t0 - sec},
		{"one of three, beside one that is silent", 3, 2, []int{1}, []int{2}, t0 - sec},
		{"a silent one's is not counted", 3, 2, []int{1, 2}, []int{2}, t0 - sec},
		{"one of three, where the quorum is all", 3, 3, []int{1}, nil, t0 - sec},
	} {
		g := newGroup(c.known)
		for i := range c.known {
			for j, one := range c.tilted {
				if one == i {
					a := g.says(i, t0.Add(-time.Duration(j+1)*time.Second), us, 7)
					a.Tilt, a.Master.Quorum = true, c.quorum
					g.hear(t, i, a)
				}
			}
			if !slices.Contains(c.silent, i) {
				a := g.says(i, t0, us, 7)
				a.Master.Quorum = c.quorum
				g.hear(t, i, a)
			}
		}
		for _, i := range c.silent {
			g.Members[i].Last.SentAt = 1 // long ago
		}
		if got := g.Tally(us, t0+sec/2); got.TiltAt != c.want {
			t.Errorf("%s: got %d, want %d", c.name, got.TiltAt, c.want)
		}
	}
}

func TestTallyOfAHealthyGroup(t *testing.T) {
	g := newGroup(3)
	g.all(t, t0, us, 7)
	got := g.Tally(us, t0+sec/2)
	want := watchdog.Sentinels{Self: us, SentAt: t0, Known: 3, Answering: 3, Quorum: 2, DownAfter: down, Longest: down,
		Master: us, Epoch: 7, Votes: 3, NamedSince: t0, E: t0.Add(down), EFrom: t0,
		RoleTerm: watchdog.Never, Unanimous: true, MaxEpoch: 7, Listed: 2, Replicas: 2, ReplicasToldAt: t0 - sec}
	if got != want {
		t.Errorf("got  %+v\nwant %+v", got, want)
	}
}

// Each case changes one thing of a group of three that named us at t0, and is
// tallied half a second later.
func TestTallyChangesWithOneSentinel(t *testing.T) {
	now := t0 + sec/2
	tests := []struct {
		name   string
		answer func(a *Answer) // of s1, at now
		check  func(s watchdog.Sentinels) bool
	}{
		{"a PING without an answer brings only the smallest e_i nearer", func(a *Answer) { a.Master.PingAge, a.Master.PongAge = 4*time.Second, 5*time.Second },
			func(s watchdog.Sentinels) bool { return s.E == t0.Add(down) && !s.Accused }},
		{"s_down alone is no quorum", func(a *Answer) { a.Master.Flags, a.Master.PongAge = FlagSDown, 6*time.Second },
			func(s watchdog.Sentinels) bool { return s.E == t0.Add(down) && s.Accused && s.Master == us }},
		{"o_down at one is now", func(a *Answer) { a.Master.Flags = FlagSDown | FlagODown },
			func(s watchdog.Sentinels) bool { return s.E == now && s.Accused }},
		{"s_down for being a replica does not accuse", func(a *Answer) {
			a.Master.Flags, a.Master.Reported, a.Master.RoleFor = FlagSDown, watchdog.Replica, 26*time.Second
		}, func(s watchdog.Sentinels) bool { return !s.Accused && s.RoleTerm == watchdog.Never }},
		{"s_down for PINGs does, also while it is a replica for a moment", func(a *Answer) {
			a.Master.Flags, a.Master.Reported, a.Master.RoleFor = FlagSDown, watchdog.Replica, time.Second
		}, func(s watchdog.Sentinels) bool { return s.Accused }},
		{"but not in TILT", func(a *Answer) {
			a.Master.Flags, a.Master.Reported, a.Master.RoleFor, a.Tilt = FlagSDown, watchdog.Replica, time.Second, true
		}, func(s watchdog.Sentinels) bool { return !s.Accused }},
		{"a failover before the promotion is now", func(a *Answer) { a.Master.Flags, a.Master.Failover = FlagFailover, FailoverWaitPromo },
			func(s watchdog.Sentinels) bool { return s.E == now && s.Failover && !s.Unanimous }},
		{"a failover in a state we do not know is one before the promotion", func(a *Answer) {
			a.Master.Flags, a.Master.Failover = FlagFailover, parseFailover("coordinated")
		}, func(s watchdog.Sentinels) bool { return s.E == now && s.Failover }},
		{"the role term of one is no quorum's", func(a *Answer) { a.Master.Reported, a.Master.RoleFor = watchdog.Replica, 24*time.Second },
			func(s watchdog.Sentinels) bool { return s.RoleTerm == watchdog.Never && s.E == t0.Add(down) }},
		{"without its role term a Sentinel counts by its PINGs", func(a *Answer) {
			a.Master.Reported, a.Master.RoleFor, a.Master.Quorum = watchdog.Replica, 24*time.Second, 1
		}, func(s watchdog.Sentinels) bool { return s.EByPings == t0.Add(down) }},
		{"and there is no such E where no role term is", func(a *Answer) { a.Master.Quorum = 1 },
			func(s watchdog.Sentinels) bool { return s.E == t0.Add(down) && s.EByPings == 0 }},
		{"nor in a failover", func(a *Answer) {
			a.Master.Reported, a.Master.RoleFor, a.Master.Quorum = watchdog.Replica, 24*time.Second, 1
			a.Master.Flags, a.Master.Failover = FlagFailover, FailoverWaitPromo
		}, func(s watchdog.Sentinels) bool { return s.E == now && s.EByPings == 0 }},
		{"the role term is the shorter of the two", func(a *Answer) {
			a.Master.Reported, a.Master.RoleFor, a.Master.Quorum = watchdog.Replica, 24*time.Second, 1
		}, func(s watchdog.Sentinels) bool { return s.RoleTerm == now+sec && s.E == now+sec }},
		{"TILT counts", func(a *Answer) { a.Tilt = true },
			func(s watchdog.Sentinels) bool { return s.Votes == 3 && s.Answering == 3 }},
		{"one that names another does not renew", func(a *Answer) { a.Named, a.Master.Address, a.Master.Epoch = other, other, 1 },
			func(s watchdog.Sentinels) bool {
				return s.Votes == 2 && s.Master == us && s.E == t0.Add(down) && !s.Unanimous
			}},
		{"one that does not know the group answers", func(a *Answer) { *a = Answer{SentAt: a.SentAt} },
			func(s watchdog.Sentinels) bool { return s.Answering == 3 && s.Votes == 2 && s.E == t0.Add(down) }},
		{"the smallest quorum counts", func(a *Answer) { a.Master.Quorum, a.Master.PingAge, a.Master.PongAge = 1, 3*time.Second, 4*time.Second },
			func(s watchdog.Sentinels) bool {
				return s.Quorum == 1 && s.E == now.Add(2*time.Second) && s.EFrom == t0
			}},
		{"the smallest down-after counts", func(a *Answer) { a.Master.DownAfter = 3 * time.Second },
			func(s watchdog.Sentinels) bool { return s.DownAfter == 3*time.Second && s.E == t0.Add(down) }},
		{"a replica that says master is another master", func(a *Answer) { a.Replicas[1].Reported = watchdog.Master },
			func(s watchdog.Sentinels) bool { return s.OtherMaster == third }},
		{"a dead one that said master is none", func(a *Answer) { a.Replicas[1].Reported, a.Replicas[1].Flags = watchdog.Master, FlagSDown },
			func(s watchdog.Sentinels) bool { return s.OtherMaster == "" }},
		{"one names more Sentinels", func(a *Answer) { a.Master.Others = 4 },
			func(s watchdog.Sentinels) bool {
				return s.Known == 5 && s.Votes == 3 && s.Master == us && !s.Unanimous && s.E == t0.Add(down)
			}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			g := newGroup(3)
			g.all(t, t0, us, 7)
			a := g.says(0, now, us, 7)
			tt.answer(&a)
			g.hear(t, 0, a)
			if s := g.Tally(us, now); !tt.check(s) {
				t.Errorf("got %+v", s)
			}
		})
	}
}

func TestTallyPromotionStepByStep(t *testing.T) {
	g := newGroup(3)
	g.all(t, t0, us, 1)
	dead := func(i int, at watchdog.Instant, f Flag) Answer {
		a := g.says(i, at, us, 1)
		a.Master.PingAge, a.Master.PongAge, a.Master.Flags = 5500*time.Millisecond, 6*time.Second, f
		return a
	}
	g.hear(t, 0, dead(0, t0+6*sec, FlagSDown))
	g.hear(t, 1, dead(1, t0+6*sec, FlagSDown|FlagODown))
	g.hear(t, 2, g.says(2, t0+6*sec, us, 1))
	if s := g.Tally(other, t0+6*sec); s.Master != us || s.DownVotes != 0 || s.Promoting || s.Failover {
		t.Errorf("before the failover: %+v", s)
	}
	// The leader is s2; it waits for the promotion.
	lead := dead(1, t0+7*sec, FlagSDown|FlagODown|FlagFailover)
	lead.Master.Failover = FailoverWaitPromo
	lead.Replicas[0].Flags = FlagPromoted
	g.hear(t, 1, lead)
	if s := g.Tally(other, t0+7*sec); !s.Promoting || !s.Failover || s.Master != us {
		t.Errorf("while it waits for the promotion: %+v", s)
	}
	if s := g.Tally(us, t0+7*sec); s.E > t0+7*sec {
		t.Errorf("E of the old master is %v later than now", s.E.Sub(t0+7*sec))
	}
	// It saw the replica as master: it names it and describes the old one.
	lead.SentAt, lead.Named, lead.Master.Epoch, lead.Master.Failover = t0+8*sec, other, 2, FailoverReconf
	lead.Replicas[0].Reported = watchdog.Master
	if hint := g.hear(t, 1, lead); hint != (watchdog.Announcement{Sentinel: "id2", Epoch: 2, Master: other}) {
		t.Errorf("hint is %+v", hint)
	}
	if hint := g.hear(t, 1, lead); hint.Epoch != 0 {
		t.Errorf("hinted twice: %+v", hint)
	}
	s := g.Tally(other, t0+8*sec)
	if s.Failover || !s.Promoting || s.OtherMaster != "" || s.Master != "" && s.Master != us {
		t.Errorf("past the promotion: %+v", s)
	}
	if e := g.member(key(1)).term(other); e == nil || e.End != (t0+8*sec).Add(down) {
		t.Errorf("the leader that names us is no PONG: %+v", e)
	}
	// The observers follow: majority at s1, unanimous with s3.
	g.hear(t, 0, g.says(0, t0+8*sec+1, other, 2))
	s = g.Tally(other, t0+8*sec+1)
	if s.Master != other || s.Epoch != 2 || s.Votes != 2 || s.Former != us || s.DownVotes != 2 || s.NamedSince != t0+8*sec+1 {
		t.Errorf("at the majority: %+v", s)
	}
	g.hear(t, 2, g.says(2, t0+8*sec+2, other, 2))
	g.hear(t, 1, g.says(1, t0+9*sec, other, 2))
	s = g.Tally(other, t0+9*sec)
	if !s.Unanimous || s.Promoting || s.DownVotes != 2 || s.NamedSince != t0+8*sec+1 {
		t.Errorf("at the end: %+v", s)
	}
	if s := g.Tally(us, t0+9*sec); s.E > t0+9*sec {
		t.Errorf("the old master's E is in the future: %+v", s)
	}
}

func TestTallyWithoutAnswers(t *testing.T) {
	t.Run("never any", func(t *testing.T) {
		g := newGroup(3)
		if s := g.Tally(us, t0); s.E != 0 || s.Quorum != 0 || s.Known != 3 || s.Master != "" {
			t.Errorf("got %+v", s)
		}
	})
	t.Run("one never answered: past, and no quorum", func(t *testing.T) {
		g := newGroup(3)
		g.hear(t, 0, g.says(0, t0, us, 1))
		g.hear(t, 1, g.says(1, t0+1, us, 1))
		if s := g.Tally(us, t0+1); s.Master != us || s.E != t0.Add(down) || s.Unanimous {
			t.Errorf("got %+v", s)
		}
	})
	t.Run("two of five never answered us and others hear them, quorum 2: past", func(t *testing.T) {
		g := newGroup(5)
		for i := range 3 {
			g.hear(t, i, g.says(i, t0, us, 1))
		}
		if s := g.Tally(us, t0); s.Master != us || s.E != 0 {
			t.Errorf("got %+v", s)
		}
	})
	t.Run("two of five are dead and never forgotten, quorum 2: no matter", func(t *testing.T) {
		g := newGroup(5)
		dead := func(n int, heard time.Duration) {
			for i := range n {
				a := g.says(i, t0+watchdog.Instant(n), us, 1)
				for j := range a.Sentinels {
					if a.Sentinels[j].RunID == "id4" || a.Sentinels[j].RunID == "id5" {
						a.Sentinels[j].PongAge, a.Sentinels[j].HelloAge = time.Hour, heard
					}
				}
				g.hear(t, i, a)
			}
		}
		dead(3, time.Hour)
		if s := g.Tally(us, t0+3); s.Known != 5 || s.Votes != 3 || s.E != (t0+3).Add(down) || s.EFrom != t0+3 {
			t.Errorf("got %+v", s)
		}
		if !g.Relies(t0 + 3) {
			t.Error("the lists are not asked with every poll")
		}
		if s := g.Tally(us, t0.Add(g.FreshFor)+4); s.E != 0 {
			t.Errorf("the answers are old, and still: %+v", s)
		}
		dead(3, time.Second)
		if s := g.Tally(us, t0+3); s.E != 0 {
			t.Errorf("both are heard again: %+v", s)
		}
	})
	t.Run("the same without a majority that answers: past", func(t *testing.T) {
		g := newGroup(4)
		for i := range 2 {
			a := g.says(i, t0, us, 1)
			for j := range a.Sentinels {
				a.Sentinels[j].PongAge, a.Sentinels[j].HelloAge = time.Hour, time.Hour
			}
			g.hear(t, i, a)
		}
		if s := g.Tally(us, t0); s.E != 0 {
			t.Errorf("got %+v", s)
		}
	})
	t.Run("two that are new are given time to be asked", func(t *testing.T) {
		g := newGroup(3)
		g.all(t, t0, us, 1)
		five := group{g.State, 5}
		g.hear(t, 0, five.says(0, t0+1, us, 1))
		for i := 1; i < 3; i++ {
			g.hear(t, i, g.says(i, t0+1, us, 1))
		}
		if s := g.Tally(us, t0+1); s.Known != 5 || s.E <= t0+sec {
			t.Errorf("at once: %+v", s)
		}
		g.hear(t, 0, five.says(0, t0+3*sec, us, 1))
		for i := 1; i < 3; i++ {
			g.hear(t, i, g.says(i, t0+3*sec, us, 1))
		}
		if s := g.Tally(us, t0+3*sec); s.E != 0 {
			t.Errorf("after they were given time: %+v", s)
		}
	})
	t.Run("cut off: E stays, the majority goes, EFrom tells", func(t *testing.T) {
		g := newGroup(3)
		g.all(t, t0, us, 1)
		now := t0.Add(g.FreshFor) + 1
		g.Settle(now)
		if s := g.Tally(us, now); s.Master != "" || s.Answering != 0 || s.E != t0.Add(down) || s.EFrom != t0 {
			t.Errorf("got %+v", s)
		}
	})
	t.Run("an edge of freshness", func(t *testing.T) {
		g := newGroup(3)
		g.all(t, t0, us, 1)
		now := t0.Add(g.FreshFor)
		g.Settle(now)
		if s := g.Tally(us, now); s.Master != us || s.NamedSince != t0 {
			t.Errorf("got %+v", s)
		}
	})
	t.Run("a break makes the name new", func(t *testing.T) {
		g := newGroup(3)
		g.all(t, t0, us, 1)
		g.Settle(t0 + 10*sec)
		g.all(t, t0+11*sec, us, 1)
		if s := g.Tally(us, t0+11*sec); s.NamedSince != t0+11*sec || s.Former != "" {
			t.Errorf("got %+v", s)
		}
	})
	t.Run("EFrom is the older of the two that E rests on", func(t *testing.T) {
		g := newGroup(3)
		g.all(t, t0, us, 1)
		g.hear(t, 2, g.says(2, t0+sec, us, 1))
		if s := g.Tally(us, t0+sec); s.E != t0.Add(down) || s.EFrom != t0 {
			t.Errorf("got %+v", s)
		}
		g.hear(t, 1, g.says(1, t0+2*sec, us, 1))
		if s := g.Tally(us, t0+2*sec); s.E != (t0+sec).Add(down) || s.EFrom != t0+sec {
			t.Errorf("a silent one spoils it: %+v", s)
		}
	})
	t.Run("a failover seen before the silence goes on", func(t *testing.T) {
		g := newGroup(3)
		g.all(t, t0, us, 1)
		a := g.says(0, t0, us, 1)
		a.Master.Flags, a.Master.Failover, a.Master.FailoverTimeout = FlagFailover, FailoverWaitPromo, 20*time.Second
		g.hear(t, 0, a)
		for _, tt := range []struct {
			after time.Duration
			now   bool
		}{{25 * time.Second, true}, {31 * time.Second, false}} {
			now := t0.Add(tt.after)
			g.hear(t, 1, g.says(1, now, us, 1))
			g.hear(t, 2, g.says(2, now, us, 1))
			if s := g.Tally(us, now); (s.E <= now) != tt.now {
				t.Errorf("after %v: E in %v", tt.after, s.E.Sub(now))
			}
		}
	})
	t.Run("s_down is remembered for a while", func(t *testing.T) {
		g := newGroup(3)
		for i := range 2 {
			a := g.says(i, t0, us, 1)
			a.Master.Flags, a.Master.PongAge = FlagSDown, 6*time.Second
			g.hear(t, i, a)
		}
		for _, at := range []watchdog.Instant{t0 + 5*sec, t0 + 5*sec + 1} {
			// The first is not heard: it may hold it down still, and the second remembers.
			g.hear(t, 1, g.says(1, at, us, 1))
			g.hear(t, 2, g.says(2, at, us, 1))
			if s := g.Tally(us, at); (s.E <= at) != (at == t0+5*sec) || s.Accused {
				t.Errorf("after %v: E in %v, %+v", at.Sub(t0), s.E.Sub(at), s)
			}
		}
	})
}

func TestNobodyToPromote(t *testing.T) {
	none := func(g group, i int, at watchdog.Instant) Answer {
		a := g.says(i, at, us, 1)
		for j := range a.Replicas {
			a.Replicas[j].Priority = 0
		}
		return a
	}
	run := func(t *testing.T, g group) {
		for at := t0; at <= t0+11*sec; at += sec {
			for i := range g.n {
				g.hear(t, i, none(g, i, at))
			}
			s := g.Tally(us, at)
			if (s.E == watchdog.Never) != (at == t0+11*sec) {
				t.Fatalf("after %v: E in %v", at.Sub(t0), s.E.Sub(at))
			}
			if want := at.Add(down); s.E == watchdog.Never && s.EOnce != want || s.E != watchdog.Never && s.EOnce != 0 {
				t.Fatalf("after %v: E in %v, EOnce in %v", at.Sub(t0), s.E.Sub(at), s.EOnce.Sub(at))
			}
		}
	}
	at := t0 + 12*sec
	tests := []struct {
		name  string
		then  func(t *testing.T, g group)
		never bool
	}{
		{"o_down without a replica", func(t *testing.T, g group) {
			a := none(g, 0, at)
			a.Master.Flags, a.Master.PongAge = FlagSDown|FlagODown, 9*time.Second
			g.hear(t, 0, a)
		}, true},
		{"an election without a replica", func(t *testing.T, g group) {
			a := none(g, 0, at)
			a.Master.Flags, a.Master.Failover = FlagSDown|FlagODown|FlagFailover, FailoverWaitStart
			g.hear(t, 0, a)
		}, true},
		{"a replica was selected before", func(t *testing.T, g group) {
			a := none(g, 0, at)
			a.Master.Flags, a.Master.Failover = FlagFailover, FailoverSendNoOne
			g.hear(t, 0, a)
		}, false},
		{"one Sentinel knows a replica", func(t *testing.T, g group) { g.hear(t, 2, g.says(2, at, us, 1)) }, false},
		{"one Sentinel names another", func(t *testing.T, g group) { g.hear(t, 2, g.says(2, at, other, 0)) }, false},
		{"silence", func(t *testing.T, g group) { g.Settle(t0 + 14*sec) }, false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			g := newGroup(3)
			run(t, g)
			tt.then(t, g)
			now := max(at, g.Tally(us, at).SentAt)
			if tt.name == "silence" {
				now = t0 + 14*sec
			}
			s := g.Tally(us, now)
			if (s.E == watchdog.Never) != tt.never {
				t.Errorf("E is %v: %+v", s.E, s)
			}
			// What it is as soon as one turns up: one o_down is enough to promote it.
			if (s.EOnce != 0) != tt.never || tt.never && s.EOnce > now {
				t.Errorf("EOnce is %v at %v: %+v", s.EOnce, now, s)
			}
		})
	}
}

func TestKnownGrowsAtOnceAndShrinksLate(t *testing.T) {
	g := newGroup(3)
	g.all(t, t0, us, 1)
	five := group{g.State, 5}
	g.hear(t, 0, five.says(0, t0, us, 1))
	if g.Known() != 5 || len(g.Members) != 5 {
		t.Fatalf("known %d, members %d after one named five", g.Known(), len(g.Members))
	}
	shrunk := watchdog.Instant(0)
	for at := t0 + sec; at < t0+200*sec && shrunk == 0; at += sec {
		g.all(t, at, us, 1)
		if g.Known() == 3 {
			shrunk = at
		}
	}
	if d := shrunk.Sub(t0); d < shrinkAfter || d > shrinkAfter*2+10*time.Second {
		t.Errorf("shrunk after %v", d)
	}
	if len(g.Members) != 3 {
		t.Errorf("%d members are left", len(g.Members))
	}
	g.SetKnown(5)
	if g.Known() != 5 {
		t.Errorf("known %d after the agreement said 5", g.Known())
	}
	// Half of the old number is not more than half.
	for at := t0 + 300*sec; at < t0+400*sec; at += sec {
		g.hear(t, 0, g.says(0, at, us, 1))
		g.hear(t, 1, g.says(1, at, us, 1))
	}
	if g.Known() != 5 {
		t.Errorf("known %d: two of five made it smaller", g.Known())
	}
	for at := t0 + 400*sec; at < t0+470*sec; at += sec {
		g.all(t, at, us, 1)
	}
	g.SetKnown(5) // the same number again
	if g.Known() != 3 {
		t.Errorf("known %d, want 3 after three of five showed it", g.Known())
	}
}

func TestResetEmptiesAListForSeconds(t *testing.T) {
	g := newGroup(3)
	g.all(t, t0, us, 1)
	for i := range 3 {
		a := g.says(i, t0+sec, us, 1)
		a.Sentinels, a.Replicas, a.Master.Others = nil, nil, 0
		g.hear(t, i, a)
	}
	if s := g.Tally(us, t0+sec); s.Known != 3 || s.Master != us || s.E == watchdog.Never {
		t.Errorf("got %+v", s)
	}
}

func TestADeadSentinelIsNeverForgottenWhileNamed(t *testing.T) {
	g := newGroup(3)
	for at := t0; at < t0+200*sec; at += sec {
		g.hear(t, 0, g.says(0, at, us, 1))
		g.hear(t, 1, g.says(1, at, us, 1))
	}
	if g.Known() != 3 || len(g.Members) != 3 {
		t.Errorf("known %d, members %d", g.Known(), len(g.Members))
	}
}

func TestOneSentinelUnderTwoAddressesIsOne(t *testing.T) {
	s := &State{FreshFor: 2 * time.Second, ListFor: 5 * time.Second}
	s.Add("sentinel-a:26379", "")
	s.Add(key(1), peer(1).Address)
	s.Settle(1)
	g := group{s, 2}
	g.hear(t, 1, g.says(1, t0, us, 1)) // names 10.0.1.1
	if len(s.Members) != 3 || s.Known() != 3 {
		t.Fatalf("members %d, known %d before they met", len(s.Members), s.Known())
	}
	s.Met("sentinel-a:26379", "id1", "", "192.168.0.1:26379") // behind NAT: only the run id tells
	s.Settle(t0)
	if len(s.Members) != 2 || s.Known() != 2 || s.member("sentinel-a:26379") == nil {
		t.Errorf("members %+v, known %d", s.Members, s.Known())
	}
	g.hear(t, 1, g.says(1, t0+sec, us, 1))
	if len(s.Members) != 2 || s.Known() != 2 {
		t.Errorf("members %+v, known %d after it was named again", s.Members, s.Known())
	}
}

func TestSelf(t *testing.T) {
	g := newGroup(3)
	g.all(t, t0, other, 1)
	for _, tt := range []struct {
		runID     string
		announced watchdog.Address
		want      watchdog.Address
	}{
		{"run" + string(us), "", us},
		{"run" + string(us), third, us},
		{"new", us, us},
		{"new", "10.9.9.9:6379", ""},
		{"", "", ""},
	} {
		if got := g.Self(tt.runID, tt.announced); got != tt.want {
			t.Errorf("Self(%q, %q) = %q, want %q", tt.runID, tt.announced, got, tt.want)
		}
	}
	if got := g.Addresses(); len(got) != 3 {
		t.Errorf("addresses %v", got)
	}
}

func TestUnusableAnswers(t *testing.T) {
	g := newGroup(1)
	for name, spoil := range map[string]func(a *Answer){
		"torn":             func(a *Answer) { a.Named = other },
		"torn the other":   func(a *Answer) { a.Master.Flags, a.Master.Failover = FlagFailover, FailoverReconf },
		"nameless":         func(a *Answer) { a.Nameless = "no epoch" },
		"nobody described": func(a *Answer) { a.Master = Instance{} },
	} {
		a := g.says(0, t0, us, 1)
		spoil(&a)
		if _, fault := g.Hear(key(0), a); fault == "" {
			t.Errorf("%s: used", name)
		}
	}
	if s := g.Tally(us, t0); s.E != 0 || s.Answering != 0 {
		t.Errorf("an unusable answer counted: %+v", s)
	}
}

// Whom a Sentinel names is a vote, whatever else of its answer makes no sense;
// how long it would have to miss that master is what it told before.
func TestVagueAnswerIsAVoteAndNoEvidence(t *testing.T) {
	for name, spoil := range map[string]func(a *Answer){
		"PONG to come":            func(a *Answer) { a.Master.PongAge = -time.Second },
		"role told in the future": func(a *Answer) { a.Master.Reported, a.Master.RoleFor = watchdog.Replica, -time.Second },
		"no down-after":           func(a *Answer) { a.Master.DownAfter = 0 },
		"no quorum":               func(a *Answer) { a.Master.Quorum = 0 },
		"no role":                 func(a *Answer) { a.Master.Reported = watchdog.RoleUnknown },
	} {
		t.Run(name, func(t *testing.T) {
			g := newGroup(3)
			g.all(t, t0, us, 1)
			before := g.Tally(us, t0)
			for i := range 3 {
				a := g.says(i, t0+sec, us, 1)
				spoil(&a)
				g.hear(t, i, a)
			}
			got := g.Tally(us, t0+sec)
			if got.Votes != 3 || got.Answering != 3 || got.Master != us || got.DownAfter != down || got.Quorum != 2 {
				t.Errorf("got %+v; want three votes for us", got)
			}
			if got.E != before.E || got.EFrom != before.EFrom {
				t.Errorf("E %v from %v, want %v from %v as before", got.E, got.EFrom, before.E, before.EFrom)
			}
			if f := g.ghosts("mymaster", t0+sec); len(f) != 1 || f[0].ID != "sentinel_unclear" {
				t.Errorf("faults %+v", f)
			}
		})
	}
	g := newGroup(3)
	for i := range 3 {
		a := g.says(i, t0, us, 1)
		a.Master.Others, a.Master.RoleFor = 1<<30, -time.Hour // of a master that is one nothing rests on it
		g.hear(t, i, a)
	}
	if got := g.Tally(us, t0); got.Known != 3 || got.Votes != 3 || got.E != t0.Add(down) {
		t.Errorf("got %+v; want three of three, and E a down-after ahead", got)
	}
}

// REMOVE on all, MONITOR a moment later: a Sentinel that does not know the
// group promotes nobody, and E is what it was.
func TestRemoveOnAllKeepsE(t *testing.T) {
	g := newGroup(3)
	g.all(t, t0, us, 1)
	before := g.Tally(us, t0)
	for i := range 3 {
		g.hear(t, i, Answer{SentAt: t0 + sec, Full: true})
	}
	after := g.Tally(us, t0+sec)
	if after.E != before.E || after.Quorum != before.Quorum || after.DownAfter != before.DownAfter || after.Master != "" {
		t.Errorf("got E %v, quorum %d, D %v, master %q, was %+v", after.E, after.Quorum, after.DownAfter, after.Master, before)
	}
}
