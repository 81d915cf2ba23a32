//go:build soak

package scenario

import (
	"testing"
	"time"

	"github.com/redis-watchdog/redis-watchdog/lab"
	"github.com/redis-watchdog/redis-watchdog/lab/watched"
	"github.com/redis-watchdog/redis-watchdog/watchdog/agent"
)

// A minute after the others were told to forget it, the dead Sentinel counts
// no more, and the group can lose another one as if it had never been.
func TestSentinelRemovedForGood(t *testing.T) {
	t.Parallel()
	sentinelAddedAndRemoved(t, func(w *watched.World) {
		waitKnownLong(w, 3)
		w.Mark("another Sentinel dies")
		w.Group.Sentinels[2].Kill()
		w.Pause(2 * downAfter)
		for _, d := range w.Watchdogs {
			if s := d.Status(); s.SentinelsKnown != 3 || s.SentinelsAgreeing != 2 {
				t.Errorf("%s knows %d Sentinels and %d agree, want 3 and 2", d.Name, s.SentinelsKnown, s.SentinelsAgreeing)
			}
		}
		w.Group.Sentinels[2].Restart()
		w.Group.WaitStable()
	})
}

// A configured Sentinel moves to another host: the new one is added, the old
// one removed, the watchdogs' configuration follows and they are restarted.
// etcd still holds the larger number; it must not bind for ever.
func TestSentinelReplaced(t *testing.T) {
	t.Parallel()
	var configs []watched.Config
	w := watched.Start(t, watched.Options{
		Group:  lab.GroupConfig{DownAfter: downAfter, FailTimeout: 10 * time.Second},
		Config: func(c *watched.Config) { configs = append(configs, *c) },
	})
	clients := w.Crowd()
	quiet := w.Churn()
	added := addSentinel(w, "d")
	waitKnown(w, 4)
	w.Mark("the Sentinel of c is removed for good")
	w.Group.Sentinels[2].Kill()
	w.Group.Sentinels = []*lab.Sentinel{w.Group.Sentinels[0], w.Group.Sentinels[1], added}
	reset(w, w.Group.Sentinels...)
	w.Group.WaitStable()
	for i, d := range w.Watchdogs {
		var addresses []string
		for _, s := range w.Group.Sentinels {
			addresses = append(addresses, s.Address)
		}
		configs[i].Groups[0]["sentinels"] = addresses
		d.Write(configs[i])
		d.Term()
		d.Restart()
		w.WaitGuarded()
	}
	waitKnownLong(w, 3)
	w.WaitGuarded()
	clients.WaitOK(lab.Now())
	writes, reads := clients.Stop()
	noticedNothing(t, w, writes, reads)
	if n := quiet.Counts(); !n.Quiet() {
		t.Errorf("%s; want none of it", n)
	}
}

// waitKnownLong outlasts the minute for which a smaller number must be shown.
func waitKnownLong(w *watched.World, n int) {
	w.T.Helper()
	w.Pause(time.Minute)
	for _, d := range w.Watchdogs {
		d.WaitFor("knows the smaller number", func(s agent.Status) bool { return s.SentinelsKnown == n })
	}
}
