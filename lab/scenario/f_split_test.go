package scenario

import (
	"testing"
	"time"

	"github.com/redis-watchdog/redis-watchdog/lab"
	"github.com/redis-watchdog/redis-watchdog/lab/watched"
	"github.com/redis-watchdog/redis-watchdog/watchdog"
)

// Case f: a cut leaves the Sentinels' majority on one side and etcd's on the
// other. The Sentinels decide who is master after the heal, and etcd who may
// write: neither side has both.

func split(t *testing.T) *watched.World {
	t.Helper()
	return watched.Start(t, watched.Options{
		Etcd:  []string{"d", "e", "f"},
		Group: lab.GroupConfig{DownAfter: downAfter, FailTimeout: 10 * time.Second},
	})
}

// TestMasterWithEtcdApartFromSentinels: the master keeps etcd, and the Sentinels
// promote another, who stays locked because it has no etcd. So nobody writes
// until the heal, and no more is thrown away than was acknowledged before the
// master noticed.
func TestMasterWithEtcdApartFromSentinels(t *testing.T) {
	t.Parallel()
	w := split(t)
	c := w.BeforeCut(w.Host("d"))
	w.Narrate()
	a, b := w.Hosts[0], w.Hosts[1:]
	c.Cut("cut: the master has etcd, the others the Sentinels", func() {
		w.Partition(append(w.Lab.Hosts("d", "e", "f"), a), b)
	})
	promoted := w.Group.WaitMaster(w.Group.Redis[1:]...)
	for _, d := range w.Watchdogs {
		if d.Redis == promoted {
			d.WaitPhase("lock")
			w.Pause(shortOutage)
			if s := d.Status(); s.Phase != "lock" || s.GrantOurs {
				t.Errorf("the promoted one shows phase %s, grant %v; want lock and none, for want of etcd", s.Phase, s.GrantOurs)
			}
		}
	}
	before := lab.Now()
	change := c.Heal()
	w.WaitGuarded()
	t.Logf("%s", change.Sum(downAfter))
	contractOfFence(t, change)
	if change.New != promoted {
		t.Errorf("%s is master after the heal, %s was promoted in the cut", change.New.Name, promoted.Name)
	}
	if early := c.Sides.Writes().On(promoted.Address).OK().Received(0, before); len(early) > 0 {
		t.Errorf("the promoted one acknowledged %d writes without etcd", len(early))
	}
}

// TestMasterWithSentinelsApartFromEtcd: the Sentinels' majority certifies the
// master, so it serves on without etcd, for longer than its lease lasts. On
// etcd's side nobody is promoted, and of what was written nothing is lost.
func TestMasterWithSentinelsApartFromEtcd(t *testing.T) {
	t.Parallel()
	w := split(t)
	c := w.BeforeCut(w.Host("d"))
	w.Narrate()
	near, far := w.Hosts[:2], w.Hosts[2]
	c.Cut("cut: the master has the Sentinels, the others etcd", func() {
		w.Partition(near, append(w.Lab.Hosts("d", "e", "f"), far))
	})
	master := w.Watchdogs[0]
	master.WaitPhase("serve")
	w.Pause(2*downAfter + shortOutage)
	if s := master.Status(); s.Phase != "serve" || s.Reason != "certified_by_sentinels" {
		t.Errorf("the master shows %s (%s), want serve (certified_by_sentinels)", s.Phase, s.Reason)
	}
	change := c.Heal()
	w.WaitGuarded()
	writes := c.Sides.Writes()
	t.Logf("%d writes acknowledged after the cut, %d lost", len(change.Acked), len(change.Lost))
	if change.New != change.Old {
		t.Errorf("%s is master, %s was", change.New.Name, change.Old.Name)
	}
	if len(change.Lost) > 0 {
		t.Errorf("the heal threw %d acknowledged writes away", len(change.Lost))
	}
	if len(change.Failed) > 0 {
		t.Errorf("the writer beside the certified master was refused %d times, first: %s %s", len(change.Failed), change.Failed[0].Kind, change.Failed[0].Text)
	}
	for _, r := range w.Group.Redis {
		if others := writes.On(r.Address).OK(); r != change.New && len(others) > 0 {
			t.Errorf("%s acknowledged %d writes", r.Name, len(others))
		}
	}
	if change.Acked.Received(change.Healed.Add(-shortOutage), watchdog.Never) == nil {
		t.Errorf("nothing was written in the last %v of the cut", shortOutage)
	}
}
