//go:build soak

package scenario

import (
	"testing"
	"time"

	"github.com/redis-watchdog/redis-watchdog/lab"
	"github.com/redis-watchdog/redis-watchdog/lab/watched"
	"github.com/redis-watchdog/redis-watchdog/watchdog/agent"
)

// TestStandingVetoAsksOnceAMinuteSoak: a veto that stands costs no Redis of the
// group more than one CONFIG GET * a minute.
func TestStandingVetoAsksOnceAMinuteSoak(t *testing.T) {
	w := watched.StartIn(lab.Loopback(t), t, watched.Options{})
	w.Group.Redis[2].Do("CONFIG", "SET", "maxmemory", "1mb")
	w.Watchdogs[2].WaitFor("stands vetoed at every Sentinel", func(s agent.Status) bool { return s.Veto && s.VetoSeen })
	w.Pause(15 * time.Second) // until that is in every report
	seldomRead(t, w, 4*time.Minute, 4)
}
