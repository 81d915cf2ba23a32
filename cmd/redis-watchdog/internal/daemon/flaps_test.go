package daemon

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/redis-watchdog/redis-watchdog/watchdog"
	"github.com/redis-watchdog/redis-watchdog/watchdog/agent"
)

func to(row watchdog.Row) agent.Step {
	return agent.Step{From: "serve", To: "serve", Row: int(row)}
}

// TestFlapsAreToldWithTheirNumber goes to and fro once a second for ten minutes, and
// then fences: little is told, none of it is lost, and the fence at once.
func TestFlapsAreToldWithTheirNumber(t *testing.T) {
	now := watchdog.Instant(time.Hour)
	var told []agent.Step
	f := newFlaps(func() watchdog.Instant { return now }, func(s agent.Step) { told = append(told, s) })
	const steps = 600
	last := watchdog.RowServe
	for i := range steps {
		last = watchdog.RowServe
		if i%2 == 0 {
			last = watchdog.RowCertified
		}
		f.take(to(last))
		if i < flapsAtOnce && (len(told) != i+1 || told[i].Row != int(last)) {
			t.Fatalf("step %d of the first %d: told %v", i, flapsAtOnce, told)
		}
		now = now.Add(time.Second)
		f.due()
	}
	if got, most := len(told), flapsAtOnce+10; got > most || got < most-1 {
		t.Errorf("%d were told in ten minutes, want %d", got, most)
	}
	fence := agent.Step{From: "serve", To: "refuse", Row: int(watchdog.RowDeposed)}
	f.take(fence)
	if n := len(told); told[n-1] != fence || told[n-2].Row != int(last) {
		t.Errorf("before the fence the newest verdict is told: %v", told[n-2:])
	}
	sum := 0
	for _, s := range told[:len(told)-1] {
		sum += 1 + s.Before
	}
	if sum != steps {
		t.Errorf("what was told stands for %d steps, want %d", sum, steps)
	}
	if f.due() != 0 {
		t.Error("something is held back still")
	}
	// In time it may be told at once again.
	now = now.Add(flapsAtOnce * flapsApart)
	told = nil
	for range flapsAtOnce {
		f.take(to(watchdog.RowServe))
	}
	if len(told) != flapsAtOnce {
		t.Errorf("after calm, %d of %d were told at once", len(told), flapsAtOnce)
	}
}

func TestOnlyWhatClientsDoNotNoticeIsHeldBack(t *testing.T) {
	for _, s := range []agent.Step{
		{From: "serve", To: "hold", Row: int(watchdog.RowUncertified)},
		{From: "hold", To: "serve", Row: int(watchdog.RowServe)},
		{From: "follow", To: "follow", Row: int(watchdog.RowReplica)},
		{From: "refuse", To: "refuse", Row: int(watchdog.RowFenced)},
		{From: "serve", To: "serve", Row: int(watchdog.RowMaintenance)},
	} {
		if flap(s) {
			t.Errorf("%+v is no flap", s)
		}
	}
}

// TestWhatIsHeldBackIsToldInItsTime runs the clock: a minute after it was held back it
// is told, and what is left is at the end.
func TestWhatIsHeldBackIsToldInItsTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		began := time.Now()
		told := make(chan agent.Step, 100)
		f := newFlaps(func() watchdog.Instant { return watchdog.Instant(time.Hour).Add(time.Since(began)) }, func(s agent.Step) { told <- s })
		ctx, cancel := context.WithCancel(t.Context())
		ended := make(chan error, 1)
		go func() { ended <- f.run(ctx) }()
		for range flapsAtOnce + 3 {
			f.take(to(watchdog.RowServe))
		}
		time.Sleep(flapsApart - 1)
		synctest.Wait()
		if len(told) != flapsAtOnce {
			t.Fatalf("%d told before the minute is over, want %d", len(told), flapsAtOnce)
		}
		time.Sleep(time.Millisecond)
		synctest.Wait()
		if len(told) != flapsAtOnce+1 {
			t.Fatalf("%d told after the minute, want %d", len(told), flapsAtOnce+1)
		}
		f.take(to(watchdog.RowCertified))
		cancel()
		if err := <-ended; !errors.Is(err, context.Canceled) {
			t.Fatal(err)
		}
		if len(told) != flapsAtOnce+2 {
			t.Errorf("%d told at the end, want %d", len(told), flapsAtOnce+2)
		}
	})
}
