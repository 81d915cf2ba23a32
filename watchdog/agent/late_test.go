package agent

import (
	"testing"
	"time"

	"github.com/redis-watchdog/redis-watchdog/watchdog"
)

// A turn that comes late, by its timer or by what waits for it, is told to the core:
// what has come meanwhile may lie somewhere yet.
func TestATurnThatComesLateIsTold(t *testing.T) {
	const begun = watchdog.Instant(time.Hour)
	for _, c := range []struct {
		name          string
		due, came, at time.Duration // from begun; came zero: nothing did
		want          bool
	}{
		{"in time", time.Second, 0, time.Second, false},
		{"a little late", time.Second, 0, time.Second + lateLeast, false},
		{"its timer was late", time.Second, 0, time.Second + lateLeast + 1, true},
		{"woken by what came", time.Second, 200 * time.Millisecond, 200*time.Millisecond + lateLeast, false},
		{"what came had to wait", time.Second, 200 * time.Millisecond, 200*time.Millisecond + lateLeast + 1, true},
	} {
		now := begun
		n := New(Config{Now: func() watchdog.Instant { return now }})
		if c.came != 0 {
			now = begun.Add(c.came)
			n.Post(watchdog.Vetoed{})
		}
		now = begun.Add(c.at)
		state, _, _, _ := n.turnOnce(now, begun.Add(c.due))
		if got := state.LateAt == now; got != c.want {
			t.Errorf("%s: late %v, want %v", c.name, got, c.want)
		}
	}
}
