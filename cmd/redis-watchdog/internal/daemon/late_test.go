package daemon

import (
	"testing"
	"time"

	"github.com/redis-watchdog/redis-watchdog/watchdog"
)

func TestLatenessIsTheMostUntilItHasBeenInTimeForAWhile(t *testing.T) {
	var l lateness
	at := func(d time.Duration) watchdog.Instant { return watchdog.Instant(time.Hour + d) }
	want := func(now, want time.Duration) {
		t.Helper()
		if got := l.lately(at(now)); got != want {
			t.Errorf("at %v it was late by %v, want %v", now, got, want)
		}
	}
	want(0, 0)
	l.seen(lateLeast-1, at(0))
	want(0, 0)
	l.seen(lateLeast, at(0))
	want(0, lateLeast)
	l.seen(2*lateLeast, at(time.Second))
	l.seen(lateLeast, at(2*time.Second))
	want(time.Second+lateLasts, 2*lateLeast) // it was late again meanwhile
	want(2*time.Second+lateLasts-1, 2*lateLeast)
	want(2*time.Second+lateLasts, 0)
	l.seen(lateLeast, at(time.Minute))
	want(time.Minute, lateLeast)
}

func TestWhatIsForPeopleWaitsAndIsCountedButNotForEver(t *testing.T) {
	var l lateness
	p := patience{late: &l}
	now := watchdog.Instant(time.Hour)
	if p.waits(now) {
		t.Fatal("it waits though nobody was late")
	}
	waited, went := uint64(0), 0
	for began := now; now.Sub(began) < 3*latePatience; now = now.Add(time.Second) {
		l.seen(lateLeast, now)
		if p.waits(now) {
			waited++
		} else {
			went++
		}
	}
	if went != 2 || l.left.Load() != waited {
		t.Errorf("of a host that is late for three times as long as it waits: %d went, %d of %d left out were counted; want 2, all", went, l.left.Load(), waited)
	}
	now = now.Add(lateLasts)
	if p.waits(now) {
		t.Error("it waits though it is over")
	}
	l.seen(lateLeast, now.Add(time.Second))
	if !p.waits(now.Add(time.Second)) {
		t.Error("it does not wait when it begins anew")
	}
}
