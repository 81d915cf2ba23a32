package scenario

import (
	"testing"
	"time"

	"github.com/redis-watchdog/redis-watchdog/lab"
	"github.com/redis-watchdog/redis-watchdog/lab/watched"
)

// Case e: the Sentinels and the replicas cannot reach the master, and so
// promote another, while etcd, the watchdogs' hold on it and the clients of a
// further host can. Those clients see both masters: nothing but the fence keeps
// them from writing to both.

const redisPort = 6379

// unseen runs such a cut. The hosts b and c have the Sentinels' majority and
// the replicas, d, e and f have etcd and clients.
func unseen(t *testing.T, cut func(w *watched.World, a, b, c *lab.Host)) watched.Change {
	t.Helper()
	w := watched.Start(t, watched.Options{
		Etcd:  []string{"d", "e", "f"},
		Group: lab.GroupConfig{DownAfter: downAfter, FailTimeout: 10 * time.Second},
	})
	c := w.BeforeCut(w.Host("d"))
	w.Narrate()
	c.Cut("cut: Sentinels and replicas cannot reach the master", func() { cut(w, w.Hosts[0], w.Hosts[1], w.Hosts[2]) })
	c.WaitWritten()
	w.Pause(shortOutage)
	change := c.Heal()
	w.WaitGuarded()
	t.Logf("%s", change.Sum(downAfter))
	contractOfFence(t, change)
	return change
}

// TestMasterUnseenBySentinels cuts all between the master's host and theirs:
// the master's watchdog has etcd, and no word of the majority.
func TestMasterUnseenBySentinels(t *testing.T) {
	t.Parallel()
	unseen(t, func(w *watched.World, a, b, c *lab.Host) { w.CutBoth(a, b, c) })
}

// TestMasterUnseenWhileWatchdogHearsSentinels cuts nothing but Redis' port: the
// master's watchdog hears every Sentinel grow uneasy.
func TestMasterUnseenWhileWatchdogHearsSentinels(t *testing.T) {
	t.Parallel()
	unseen(t, func(w *watched.World, a, b, c *lab.Host) {
		w.CutPorts(a, b, redisPort)
		w.CutPorts(a, c, redisPort)
	})
}

// TestMasterHearsSentinelsOneWay and TestSentinelsHearMasterOneWay cut one way
// only: what is sent arrives, and is never answered.
func TestMasterHearsSentinelsOneWay(t *testing.T) {
	t.Parallel()
	unseen(t, func(w *watched.World, a, b, c *lab.Host) { w.Cut(a, b); w.Cut(a, c) })
}

func TestSentinelsHearMasterOneWay(t *testing.T) {
	t.Parallel()
	unseen(t, func(w *watched.World, a, b, c *lab.Host) { w.Cut(b, a); w.Cut(c, a) })
}
