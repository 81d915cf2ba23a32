package agent

// The loop and its status, in time that the tests let pass.

import (
	"context"
	"errors"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/hashicorp/go-hclog"

	"github.com/redis-watchdog/redis-watchdog/watchdog"
)

// adapters note what the loop tells them.
type adapters struct {
	t      *testing.T
	clock  time.Time
	node   *Node
	gates  []told[watchdog.Gate]
	grants []told[GrantOrder]
	turns  []told[Turn]
	steps  []Step
	polls  int
	paces  []time.Duration
	runs   []string
}

// told is what was told, and when.
type told[T any] struct {
	at   watchdog.Instant
	what T
}

func (a *adapters) now() watchdog.Instant { return watchdog.Instant(time.Hour + time.Since(a.clock)) }

// Each asks the node for something, as the adapters do: the loop must hold no lock
// meanwhile.
func (a *adapters) free() { _ = a.node.Status(Extras{}) }
func (a *adapters) Want(g GrantOrder) {
	a.free()
	a.grants = append(a.grants, told[GrantOrder]{a.now(), g})
}
func (a *adapters) PollNow() { a.free(); a.polls++ }
func (a *adapters) Pace(d time.Duration) {
	a.free()
	a.paces = append(a.paces, d)
}
func (a *adapters) Identify(runID string) { a.free(); a.runs = append(a.runs, runID) }

// gates is the gate's side: its Want has another argument.
type gates struct{ *adapters }

func (a gates) Want(g watchdog.Gate) {
	a.free()
	a.gates = append(a.gates, told[watchdog.Gate]{a.now(), g})
}

// loop runs a Node in the bubble until the test ends.
func loop(t *testing.T) *adapters {
	a := &adapters{t: t, clock: time.Now()}
	a.node = New(Config{
		Group: "g", Name: "n", Policy: policy(), Now: a.now, Gate: gates{a}, Grant: a, Sentinels: a,
		Remember: func(watchdog.Memory) { a.free() }, OnStep: func(s Step) { a.steps = append(a.steps, s) },
		OnTurn: func(turn Turn) { a.turns = append(a.turns, told[Turn]{a.now(), turn}) }, Log: hclog.NewNullLogger(),
	})
	ctx, cancel := context.WithCancelCause(context.Background())
	cause, ended := errors.New("the test is over"), make(chan error)
	go func() { ended <- a.node.Run(ctx) }()
	t.Cleanup(func() {
		cancel(cause)
		if err := <-ended; err != cause {
			t.Errorf("the loop ended with %v, want the cause of its context", err)
		}
	})
	synctest.Wait()
	return a
}

func policy() watchdog.Policy {
	return watchdog.Policy{CoordinatorLost: watchdog.CoordinatorLostServe, BornLocked: true}
}

// healthy are the facts of a granted master A at D = 5 s, all asked for now.
func (a *adapters) healthy() (watchdog.Redis, watchdog.Sentinels, watchdog.Coordinator) {
	now := a.now()
	return watchdog.Redis{SentAt: now, SeenAt: now, Answer: watchdog.Up, Role: watchdog.Master, RunID: "r1", Offset: 100, ArmedFor: now.Add(3 * time.Second)},
		watchdog.Sentinels{
			Self: "A", SentAt: now, Known: 3, Answering: 3, Quorum: 2, DownAfter: 5 * time.Second,
			Master: "A", Epoch: 4, Votes: 3, NamedSince: now.Add(-time.Minute), MaxEpoch: 4, Unanimous: true,
			E: now.Add(4500 * time.Millisecond), EFrom: now, RoleTerm: watchdog.Never, Replicas: 2, ReplicaOffset: 100,
		},
		watchdog.Coordinator{
			RoundAt: now, Membership: watchdog.Member, Agreement: watchdog.Agreement{Term: watchdog.Term{Generation: 1, Epoch: 4}, Master: "A"}, Listed: true,
			Grant: watchdog.Grant{Ours: true, RenewedAt: now, Until: now.Add(3920 * time.Millisecond), Holder: "A", Last: "A"},
		}
}

// serve has the loop take in that all is well.
func (a *adapters) serve() {
	redis, sentinels, coordinator := a.healthy()
	a.node.Post(redis)
	a.node.Post(sentinels)
	a.node.Post(coordinator)
	synctest.Wait()
	if got := a.access(); got != watchdog.Serve {
		a.t.Fatalf("a healthy master is to %v (%s)", got, a.node.State().Verdict.Reason)
	}
}

// pass lets time pass, and the loop do what it does meanwhile. What the test has
// read of the adapters before, the loop writes after: both take the node's lock.
func (a *adapters) pass(d time.Duration) {
	_ = a.node.State()
	time.Sleep(d)
	synctest.Wait()
}

func (a *adapters) access() watchdog.Access { return a.gates[len(a.gates)-1].what.Access }

func TestLoopTurnsAtLeastOnceASecond(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := loop(t)
		a.pass(time.Minute)
		last := a.turns[0].at
		for _, turn := range a.turns[1:] {
			if d := turn.at.Sub(last); d > time.Second {
				t.Errorf("no turn for %v", d)
			}
			last = turn.at
		}
		if d := a.now().Sub(a.node.Turned()); d > time.Second || a.node.Overdue(time.Second) {
			t.Errorf("its last turn was %v ago", d)
		}
		if n := len(a.gates) + len(a.grants); n != 2 {
			t.Errorf("the gate and the grant were told %d times what had not changed", n)
		}
	})
}

// TestLoopActsWhenTimeIsUp: nothing comes any more, and what the loop then wants
// it wants within a millisecond of the instant that the core names as the next edge,
// and not before.
func TestLoopActsWhenTimeIsUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := loop(t)
		a.serve()
		for range 1000 {
			before, s := a.access(), a.node.State()
			if before == watchdog.Refuse {
				break
			}
			edge := watchdog.NextEdge(policy(), s, a.node.Turned())
			if left := edge.Sub(a.now()); left > 1 {
				a.pass(left - 1)
				if got := a.access(); got != before {
					t.Fatalf("to %v before the edge", got)
				}
			}
			a.pass(time.Millisecond + 1) // two turns are that far apart
			if at := a.node.Turned(); at < edge {
				t.Fatalf("its last turn was %v before the edge, now past", edge.Sub(at))
			}
		}
		var order []watchdog.Access
		for _, g := range a.gates {
			order = append(order, g.what.Access)
		}
		if got := order[len(order)-1]; got != watchdog.Refuse {
			t.Errorf("cut off from everybody, it ends with %v (%v)", got, order)
		}
		if !slices.Contains(order, watchdog.Hold) {
			t.Errorf("writers were never held: %v", order)
		}
	})
}

func TestTheNewestFactOfEachKindCounts(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := loop(t)
		a.serve()
		turns := len(a.turns)
		redis, sentinels, coordinator := a.healthy()
		older := redis
		older.Offset, redis.Offset = 1, 200
		sentinels.Votes, coordinator.Grant.Last = 2, "B"
		a.node.Post(older)
		a.node.Post(redis)
		a.node.Post(sentinels)
		a.node.Post(coordinator)
		synctest.Wait()
		s := a.node.State()
		if s.Redis.Offset != 200 || s.Sentinels.Votes != 2 || s.Coordinator.Grant.Last != "B" {
			t.Errorf("offset %d, %d votes, last grant %q: not the newest", s.Redis.Offset, s.Sentinels.Votes, s.Coordinator.Grant.Last)
		}
		if len(a.turns) == turns {
			t.Error("no turn for new facts")
		}
	})
}

// TestPostNeverBlocks: announcements wait for the loop, sixteen of them; a poll
// tells the rest.
func TestPostNeverBlocks(t *testing.T) {
	a := &adapters{t: t, clock: time.Now()}
	n := New(Config{Policy: policy(), Now: a.now})
	for range 3 * maxAnnouncements { // nobody runs the loop
		n.Post(watchdog.Announced{Announcement: watchdog.Announcement{Sentinel: "s", Epoch: 5, Master: "B"}})
	}
	if got := len(n.inbox.announced); got != maxAnnouncements {
		t.Errorf("%d announcements wait, want %d", got, maxAnnouncements)
	}
}

func TestATurnSaysHowLongTheOldestFactWaited(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := loop(t)
		a.serve()
		redis, _, _ := a.healthy()
		n := New(Config{Policy: policy(), Now: a.now})
		n.Post(redis)
		posted := a.now()
		a.pass(70 * time.Millisecond)
		n.Post(redis) // a newer one is not the oldest
		if _, _, turn, _ := n.turnOnce(a.now(), a.now()); turn.oldest != posted {
			t.Errorf("counted from %v after the oldest fact came", turn.oldest.Sub(posted))
		}
		if _, _, turn, _ := n.turnOnce(a.now(), a.now()); turn.oldest != 0 {
			t.Error("a turn that nothing came to counts a wait")
		}
	})
}

func TestAnotherPolicyIsDecidedByAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := loop(t)
		a.serve()
		redis, sentinels, coordinator := a.healthy()
		coordinator.RoundAt, coordinator.Grant.RenewedAt = coordinator.RoundAt.Add(-2*time.Second), coordinator.Grant.RenewedAt.Add(-2*time.Second)
		a.node.Post(redis)
		a.node.Post(sentinels)
		a.node.Post(coordinator)
		synctest.Wait()
		if row := a.node.State().Verdict.Row; row != watchdog.RowCertified {
			t.Fatalf("row %d without etcd, want %d", row, watchdog.RowCertified)
		}
		stricter := policy()
		stricter.CoordinatorLost = watchdog.CoordinatorLostRefuse
		a.pass(10 * time.Millisecond)
		at := a.now()
		a.node.SetPolicy(stricter)
		synctest.Wait()
		if turned := a.node.Turned(); turned != at {
			t.Errorf("the loop turned %v later", turned.Sub(at))
		}
		if got := a.gates[len(a.gates)-1]; got.at != at {
			t.Errorf("the gate was not told anything new at once: %+v", got.what)
		}
	})
}

// TestStepsAreTheChangesOfTheVerdict and nothing else: each begins where the one
// before it ended.
func TestStepsAreTheChangesOfTheVerdict(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := loop(t)
		a.serve()
		for range 20 { // all goes on well
			a.pass(300 * time.Millisecond)
			a.serve()
		}
		quiet := len(a.steps)
		if last := a.steps[quiet-1]; last.Row != int(watchdog.RowServe) || last.To != "serve" || last.Self != "A" || last.Votes != 3 || last.Term != "1/4" {
			t.Errorf("the last step is %+v", last)
		}
		a.pass(10 * time.Second)
		if len(a.steps) == quiet {
			t.Error("no step when everybody fell silent")
		}
		for i, s := range a.steps[1:] {
			if s.From != a.steps[i].To {
				t.Errorf("step %d begins with %s, the one before it ended with %s", i+1, s.From, a.steps[i].To)
			}
		}
	})
}

func TestStatusIsOfNow(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := loop(t)
		a.serve()
		since := time.Now()
		a.pass(250 * time.Millisecond)
		own := Fault{ID: "of_an_adapter", Severity: SeverityWarning}
		s := a.node.Status(Extras{Faults: []Fault{own}, Lag: -1})
		if s.CoordinatorAge != 0.25 || s.GrantRemaining != 3.67 || s.EarliestPromotion != 4.25 || s.Deadline != 2.75 {
			t.Errorf("ages: coordinator %v, grant %v, E %v, fence %v", s.CoordinatorAge, s.GrantRemaining, s.EarliestPromotion, s.Deadline)
		}
		if s.Phase != "serve" || !s.Since.Equal(since) || s.LagSeconds != -1 || !s.Guarded || !s.Ready || !slices.Contains(s.Faults, own) {
			t.Errorf("phase %s since %v, lag %v, guarded %v, ready %v, faults %v", s.Phase, s.Since, s.LagSeconds, s.Guarded, s.Ready, s.Faults)
		}
		// An error of an adapter is no guard; a build that lets scripts write is ready.
		for _, c := range []struct {
			id    string
			ready bool
		}{{"rights_config", false}, {FaultLockScripts, true}} {
			s := a.node.Status(Extras{Faults: []Fault{{ID: c.id, Severity: SeverityError}}})
			if s.Guarded || s.Ready != c.ready {
				t.Errorf("with %s: guarded %v, ready %v", c.id, s.Guarded, s.Ready)
			}
		}
		// A phase that lasts keeps its beginning; one that is another has its own.
		redis, _, _ := a.healthy()
		a.node.Post(redis)
		synctest.Wait()
		if s := a.node.Status(Extras{}); !s.Since.Equal(since) {
			t.Errorf("serving since %v, want %v", s.Since, since)
		}
		redis.Held = true
		a.node.Post(redis)
		synctest.Wait()
		if s := a.node.Status(Extras{}); s.Phase != "hold" || !s.Since.Equal(time.Now()) {
			t.Errorf("%s since %v, want hold since now", s.Phase, s.Since)
		}
	})
}

// TestAdaptersAreToldOnlyWhatIsNew: the pace once, the run id when it is another,
// and a poll when one is wanted, not with every turn in which it still is.
func TestAdaptersAreToldOnlyWhatIsNew(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := loop(t)
		a.serve()
		for range 10 {
			a.pass(100 * time.Millisecond)
			a.serve()
		}
		if !slices.Equal(a.runs, []string{"r1"}) {
			t.Errorf("run ids %v", a.runs)
		}
		if n := len(a.paces); n == 0 || a.paces[n-1] != policy().Timing(5*time.Second).Poll || len(slices.Compact(slices.Clone(a.paces))) != n {
			t.Errorf("paces %v", a.paces)
		}
		redis, _, _ := a.healthy()
		redis.RunID = "r2"
		a.node.Post(redis)
		synctest.Wait()
		if !slices.Equal(a.runs, []string{"r1", "r2"}) {
			t.Errorf("run ids %v", a.runs)
		}
		polls := a.polls
		a.node.Post(watchdog.Announced{Announcement: watchdog.Announcement{Sentinel: "s1", Epoch: 5, Master: "B"}})
		synctest.Wait()
		if a.polls != polls+1 {
			t.Errorf("%d polls for an announcement, want one", a.polls-polls)
		}
		held := a.access()
		a.node.Post(watchdog.Announced{Announcement: watchdog.Announcement{Sentinel: "s1", Epoch: 5, Master: "B"}})
		synctest.Wait()
		if a.polls != polls+1 || held != watchdog.Hold {
			t.Errorf("%d polls, and %v, for the same announcement again", a.polls-polls, held)
		}
	})
}
