package field

import (
	"errors"
	"slices"
	"testing"
	"time"

	"github.com/redis-watchdog/redis-watchdog/lab"
	"github.com/redis-watchdog/redis-watchdog/lab/watched"
	"github.com/redis-watchdog/redis-watchdog/watchdog/agent"
)

// The master hangs (a dead disk: it is stopped) and its host is cut off. It is
// run by no unit that is configured, and must not go on beside its successor all
// the same: it is killed, that is said, and whoever supervises it starts it again.
func TestRedisOfNoUnitIsKilledAndSaid(t *testing.T) {
	t.Parallel()
	w := start(t, watched.Options{Group: lab.GroupConfig{FailTimeout: 10 * time.Second}})
	s := begin(t, w)
	old := s.master
	s.done("the master hangs, and its host is cut off; no unit is configured; it is started again by hand")
	old.Redis.Stop()
	w.Isolate(old.Host)
	select {
	case <-old.Redis.Done():
	case <-time.After(time.Minute):
		t.Fatal("Redis was neither seen to refuse nor killed")
	}
	s.told(old, agent.FaultKilled, "was killed", "nodes[].unit", "start this Redis as you always do")
	promoted := w.WaitServing(w.Others(old)...)
	old.Redis.Restart()
	w.Rejoin(old.Host)
	w.WaitGuarded()
	w.Eventually("the old master is in step with the new one", time.Minute, func() error {
		if role := old.Redis.Role(); !role.Synced() || role.Following != promoted.Redis.Address {
			return errors.New(role.String())
		}
		return nil
	})
	old.WaitFor("no longer says that it was killed", func(st agent.Status) bool {
		return !slices.ContainsFunc(st.Faults, func(f agent.Fault) bool { return f.ID == agent.FaultKilled })
	})
}
