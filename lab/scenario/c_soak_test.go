//go:build soak

package scenario

import (
	"testing"
	"time"

	"github.com/redis-watchdog/redis-watchdog/lab"
	"github.com/redis-watchdog/redis-watchdog/lab/watched"
)

// The issue's own lengths. Ten minutes are longer than every term of Sentinel
// (failover-timeout, role terms, INFO) and of the watchdog.
func TestCoordinatorLostForAMinute(t *testing.T) {
	t.Parallel()
	certifiedOutages(t, time.Minute, outages())
}

func TestCoordinatorLostForTenMinutes(t *testing.T) {
	for _, o := range outages() {
		t.Run(o.name, func(t *testing.T) {
			t.Parallel()
			certifiedOutages(t, 10*time.Minute, []outage{o})
		})
	}
}

// With the stricter rule a long outage is a failover of Sentinel's: to it, a
// master that refuses is a replica, and down after D + 20 s. The successor is
// as locked as the master was shut; but there is one failover, not one after
// the other.
func TestCoordinatorLostRefuseForTenMinutes(t *testing.T) {
	t.Parallel()
	refusedOutage(t, 10*time.Minute)
}

func TestCoordinatorLostRefuseForAMinute(t *testing.T) {
	t.Parallel()
	refusedOutage(t, time.Minute)
}

func refusedOutage(t *testing.T, length time.Duration) {
	o := apart()
	o.Policy = map[string]string{"coordinator_lost": "refuse"}
	w := watched.Start(t, o)
	first := w.WaitServing()
	clients := w.Crowd()
	quiet := w.Churn()
	lost := w.Mark("etcd killed")
	w.Etcd.Kill()
	first.WaitPhase("refuse")
	second := w.Group.WaitMaster(w.Group.Replicas(first.Redis)...)
	watchdogOf(w, second).WaitPhase("lock")
	w.Pause(length - lab.Now().Sub(lost))
	if n := quiet.Counts(); n.Switches != len(w.Group.Sentinels) {
		t.Errorf("%v without etcd: %s; want one +switch-master a Sentinel", length, n)
	}
	back := w.Mark("etcd is back")
	w.Etcd.Restart()
	if got := w.WaitServing(); got.Redis != second {
		t.Errorf("%s serves, want %s", got.Name, second.Name)
	}
	w.WaitGuarded()
	clients.WaitOK(lab.Now())
	writes, reads := clients.Stop()
	t.Logf("writes: %s; reads: %s; %s", writes, reads, quiet.Counts())
	if n := writes.Received(lost.Add(downAfter), back).OK(); len(n) != 0 {
		t.Errorf("%d writes were acknowledged without etcd, want 0", len(n))
	}
	if n := lab.Lost(writes, second); len(n) != 0 {
		t.Errorf("%d acknowledged writes are lost, want 0: nothing was cut but etcd", len(n))
	}
}
