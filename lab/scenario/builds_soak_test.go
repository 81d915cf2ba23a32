//go:build soak

package scenario

import (
	"testing"
	"time"

	"github.com/redis-watchdog/redis-watchdog/lab"
	"github.com/redis-watchdog/redis-watchdog/lab/builds"
	"github.com/redis-watchdog/redis-watchdog/lab/watched"
)

// TestEveryBuildIsGuardedSoak has the main cases on the builds that `make test`
// does not run: a master that is killed, one that is cut off, a planned failover.
func TestEveryBuildIsGuardedSoak(t *testing.T) {
	for _, b := range []builds.Build{builds.Redis60, builds.Redis80, builds.Valkey81, builds.Valkey9} {
		start := func(t *testing.T) *watched.World {
			t.Helper()
			var w *watched.World
			c := b.Use(t, lab.GroupConfig{DownAfter: downAfter, FailTimeout: 10 * time.Second}, func() *lab.Lab {
				if w == nil {
					return nil
				}
				return w.Lab
			})
			w = watched.Start(t, watched.Options{Group: c})
			return w
		}
		t.Run(b.Name+"/killed", func(t *testing.T) { masterKilled(t, start(t)) })
		t.Run(b.Name+"/cut off", func(t *testing.T) {
			w := start(t)
			g := w.BeforeCut()
			g.Cut("cut: the master sees nobody", func() { silently(w, g.Old().Host) })
			g.WaitWritten()
			w.Pause(shortOutage)
			c := g.Heal()
			w.WaitGuarded()
			t.Logf("%s", c.Sum(downAfter))
			if b == builds.Redis60 { // its CLIENT PAUSE has no WRITE: it is locked instead of held
				contractOfFence(t, c)
				return
			}
			contractOfCutOff(t, c, downAfter)
		})
		t.Run(b.Name+"/planned", func(t *testing.T) { plannedLosesNothing(t, start(t)) })
	}
}
