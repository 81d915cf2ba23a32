package daemon

import (
	"testing"
	"time"

	"github.com/redis-watchdog/redis-watchdog/watchdog"
	"github.com/redis-watchdog/redis-watchdog/watchdog/signal"
)

// Six changes in a row are each judged by a young report; in the long run there
// is one a minute.
func TestYoungReportsAreAskedForSixAtOnceAndOneAMinute(t *testing.T) {
	var f facing
	now := watchdog.Instant(time.Hour)
	asked := func(d time.Duration) (n int) {
		for end := now.Add(d); now < end; now = now.Add(5 * time.Second) {
			if f.mayConfirm(now) {
				n++
			}
		}
		return n
	}
	for _, c := range []struct {
		pause, during time.Duration
		want          int
	}{{0, 30 * time.Second, 6}, {0, 30 * time.Second, 0}, {0, time.Hour, 60}, {time.Hour, 30 * time.Second, 6}} {
		now = now.Add(c.pause)
		if got := asked(c.during); got != c.want {
			t.Errorf("after a pause of %v, %d are asked for in %v, want %d", c.pause, got, c.during, c.want)
		}
	}
}

// A report answers one request, and every replica makes one: an answer to a
// request made after ours is as young as one to ours, any other is not.
func TestAnAnswerToALaterRequestIsAsYoung(t *testing.T) {
	s := &reporter{since: requests{own: "ours"}, asked: signal.New()}
	s.ask("before")
	for _, id := range []string{"", "before", "after"} {
		if s.asYoung(id) {
			t.Errorf("%q is as young before our own was heard", id)
		}
	}
	s.ask("ours")
	s.ask(confirmation + "after")
	s.ask("a preflight's")
	for id, want := range map[string]bool{"": false, "before": false, "ours": true, confirmation + "after": true, "a preflight's": true} {
		if got := s.asYoung(id); got != want {
			t.Errorf("%q is as young: %v, want %v", id, got, want)
		}
	}
	// Our own is not for us; the others' are, a preflight's first.
	if got := s.pending(); got != "a preflight's" {
		t.Errorf("pending: %q", got)
	}
}
