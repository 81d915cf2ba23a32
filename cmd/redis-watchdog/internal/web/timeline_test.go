package web

import (
	"math"
	"testing"
	"time"

	"github.com/redis-watchdog/redis-watchdog/watchdog/agent"
)

func TestEpisodesAreToldFromTheNewestTermOn(t *testing.T) {
	const a, b = "10.0.0.1:6379", "10.0.0.2:6379"
	history := []agent.Step{
		stepAt(0, a, "lock", "serve", "granted", a, "1/1"),
		stepAt(time.Hour, a, "serve", "hold", "isolated", a, "1/1"),
		stepAt(time.Hour+time.Second, "", "leave", "leave", "starting", "", "0/0"), // whose it is is not known: no lane
		stepAt(time.Hour+2*time.Second, a, "hold", "refuse", "isolated", a, "1/1"),
		stepAt(time.Hour+3*time.Second, b, "lock", "serve", "granted", b, "1/2"),
		// The old master was cut off: what it writes is of a term long gone, and
		// no second failover.
		stepAt(time.Hour+4*time.Second, a, "refuse", "refuse", "nobody_vouches", a, "1/1"),
		stepAt(2*time.Hour, a, "refuse", "refuse", "nobody_vouches", a, "1/1"),
		stepAt(2*time.Hour+time.Second, a, "refuse", "follow", "rejoining", b, "1/2"),
		stepAt(3*time.Hour, b, "serve", "hold", "unchecked_announcement", b, "1/2"),
		stepAt(3*time.Hour+time.Second, b, "hold", "serve", "granted", b, "1/2"),
	}
	var got []string
	all := episodes(history)
	for _, e := range all {
		got = append(got, e.Kind+" | "+e.Title)
	}
	want := []string{
		"hold | Writers of " + b + " waited: unchecked_announcement",
		"fence | Fence of " + a + ": nobody_vouches",
		"failover | Failover: " + a + " → " + b,
		"change | " + a + ": granted",
	}
	if len(got) != len(want) {
		t.Fatalf("got %q, want %q", got, want)
	}
	for i := range want {
		if got[i] != want[i] {
			t.Errorf("episode %d: got %q, want %q", i, got[i], want[i])
		}
	}
	failover := all[2]
	if len(failover.Marks) != 1 || len(failover.Lanes) != 2 {
		t.Fatalf("got %d marks and %d lanes", len(failover.Marks), len(failover.Lanes))
	}
	for _, l := range failover.Lanes {
		at := 0.0
		for _, s := range l.Segments {
			if math.Abs(s.X-at) > 1e-6 || s.Width < 0 {
				t.Errorf("lane of %s: a segment begins at %v, the one before ends at %v", l.Node, s.X, at)
			}
			at = s.X + s.Width
		}
		if math.Abs(at-laneWidth) > 1e-6 {
			t.Errorf("lane of %s ends at %v, want %v", l.Node, at, laneWidth)
		}
	}
	if first := failover.Lanes[0].Segments[0].Access; first != "serve" {
		t.Errorf("before its first decision %s is shown as %q, want serve", a, first)
	}
}

func TestEpisodesAreBounded(t *testing.T) {
	var history []agent.Step
	for i := range 200 {
		history = append(history, stepAt(time.Duration(i)*time.Second, "10.0.0.1:6379", "serve", "hold", "isolated", "", ""))
	}
	all := episodes(history)
	if len(all) != 1 || len(all[0].Steps) != stepsShown || all[0].Left != 200-stepsShown {
		t.Fatalf("got %d episodes, %d steps, %d left out", len(all), len(all[0].Steps), all[0].Left)
	}
	same := episodes([]agent.Step{history[0], stepAt(time.Second, "10.0.0.1:6379", "hold", "hold", "unchecked_announcement", "", "")})
	if len(same[0].Steps) != 1 || same[0].Left != 1 {
		t.Errorf("a decision for another reason only: got %d steps, %d left out", len(same[0].Steps), same[0].Left)
	}
	history = nil
	for i := range 50 {
		history = append(history, stepAt(time.Duration(i)*time.Minute, "10.0.0.1:6379", "serve", "hold", "isolated", "", ""))
	}
	if all := episodes(history); len(all) != episodesShown {
		t.Errorf("got %d episodes, want %d", len(all), episodesShown)
	}
	if all := episodes(nil); len(all) != 0 {
		t.Errorf("got %d episodes of nothing", len(all))
	}
}
