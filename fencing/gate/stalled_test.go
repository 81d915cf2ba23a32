package gate

import (
	"slices"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/redis-watchdog/redis-watchdog/watchdog"
)

// stalls are those that a gate has told of.
type stalls struct {
	mu  sync.Mutex
	all []Stall
}

func (s *stalls) tell(one Stall) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.all = append(s.all, one)
}

func (s *stalls) told() []Stall {
	s.mu.Lock()
	defer s.mu.Unlock()
	return append([]Stall{}, s.all...)
}

// sees waits until one like this is told. Of a busy machine there may be others.
func (s *stalls) sees(t *testing.T, what string, like func(Stall) bool) Stall {
	t.Helper()
	var one Stall
	eventually(t, what+" is told", func() bool {
		i := slices.IndexFunc(s.told(), like)
		if i >= 0 {
			one = s.told()[i]
		}
		return i >= 0
	})
	return one
}

func TestStallIsToldOnceWhenItIsOver(t *testing.T) {
	t.Parallel()
	s, seen := startRedis(t), &stalls{}
	l := startGate(t, s, func(c *Config) { c.Stalled = seen.tell })
	l.serve(time.Hour)
	r := l.sees("an armed fence", func(r watchdog.Redis) bool { return r.ArmedFor != 0 })

	begun := bootTime()
	if err := s.standStill(1200 * time.Millisecond); err != nil {
		t.Fatal(err)
	}
	end := bootTime()
	within := func(one Stall) bool { return one.From < end && one.From.Add(one.For) > begun }
	one := seen.sees(t, "the stall", within)
	if one.RunID != r.RunID || one.Fired {
		t.Errorf("got %+v of %s", one, r.RunID)
	}
	l.sees("a later answer", func(now watchdog.Redis) bool { return now.SentAt > end })
	if n := len(slices.DeleteFunc(seen.told(), func(one Stall) bool { return !within(one) })); n != 1 {
		t.Errorf("one stall is told %d times: %+v", n, seen.told())
	}

	// One that is killed while it stands still was no stall: it does not answer any more.
	s.signal(syscall.SIGSTOP)
	l.sees("silence", func(r watchdog.Redis) bool { return r.Answer == watchdog.Silent })
	killed := bootTime()
	s.kill()
	s.start()
	l.sees("another run", func(now watchdog.Redis) bool { return now.Answer == watchdog.Up && now.RunID != r.RunID })
	for _, one := range seen.told() {
		if one.From < killed && one.From.Add(one.For) > killed {
			t.Errorf("a restart is told as a stall: %+v", one)
		}
	}
}

func TestStallPastTheFenceSaysThatItFired(t *testing.T) {
	t.Parallel()
	s, seen := startRedis(t), &stalls{}
	l := startGate(t, s, func(c *Config) { c.Stalled = seen.tell })
	stop := l.serve(time.Second)
	l.sees("an armed fence", func(r watchdog.Redis) bool { return r.ArmedFor != 0 })
	if err := s.standStill(2 * time.Second); err == nil {
		t.Error("the script's connection outlived the fence")
	}
	stop()
	seen.sees(t, "a stall in which the fence fired", func(one Stall) bool { return one.Fired })
}

// Whoever was not run itself cannot say that Redis stood still for as long.
func TestTimeInWhichTheWatchdogWasNotRunIsTold(t *testing.T) {
	for _, c := range []struct {
		took []time.Duration
		want time.Duration
	}{
		{nil, 0},
		{[]time.Duration{lookTimeout, lookTimeout + sleptLeast}, 0},
		{[]time.Duration{lookTimeout, lookTimeout + 5*time.Second, lookTimeout}, 5 * time.Second},
	} {
		var d debt
		d.owes("r", 7)
		for _, took := range c.took {
			d.sleptIn(took, lookTimeout)
		}
		if d.owes("r", 8); d.slept != c.want || d.since != 7 {
			t.Errorf("%v: got %+v, want slept %v since 7", c.took, d, c.want)
		}
		if d.owes("another run", 9); d != (debt{runID: "another run", since: 9}) {
			t.Errorf("of another run: %+v", d)
		}
	}
}
