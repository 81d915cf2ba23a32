package scenario

// Case k, continued: replicas come, groups without replicas or with one
// Sentinel.

import (
	"testing"
	"time"

	"github.com/redis-watchdog/redis-watchdog/lab"
	"github.com/redis-watchdog/redis-watchdog/lab/watched"
	"github.com/redis-watchdog/redis-watchdog/watchdog/agent"
)

// A replica and its watchdog are added to a running group: it is locked for
// the day it is promoted, and on that day it serves like any other.
func TestReplicaAdded(t *testing.T) {
	t.Parallel()
	o := watched.Options{Hosts: 2, Group: lab.GroupConfig{DownAfter: downAfter, FailTimeout: 10 * time.Second}}
	w := watched.Start(t, o)
	old := w.WaitServing()
	clients := w.Crowd(w.Hosts[1])
	quiet := w.Churn()

	w.Mark("a replica is added, Sentinel's favourite")
	added := w.Lab.Host("d").Redis(lab.RedisConfig{ReplicaOf: old.Redis, Lines: []string{"replica-priority 1"}})
	daemon := w.Guard(added, o)
	w.WaitGuarded()
	s := daemon.WaitPhase("follow")
	if s.Master != old.Redis.Address || s.Address != added.Address {
		t.Errorf("the new watchdog shows %s and master %s, want %s and %s", s.Address, s.Master, added.Address, old.Redis.Address)
	}
	if lock := added.Config("min-replicas-to-write"); lock != "1000000" {
		t.Errorf("min-replicas-to-write of the new replica is %s: it is not locked for its promotion", lock)
	}
	clients.WaitOK(lab.Now())
	writes, reads := clients.Writes(), clients.Reads()
	noticedNothing(t, w, writes, reads)
	if n := quiet.Counts(); !n.Quiet() {
		t.Errorf("%s; want none of it", n)
	}

	w.Group.WaitStable()
	w.Mark("the master dies")
	killed := old.Redis.Kill()
	if promoted := w.Group.WaitMaster(added, w.Group.Redis[1]); promoted != added {
		t.Fatalf("%s was promoted, want the added one", promoted.Name)
	}
	w.WaitServing(daemon)
	clients.WaitOK(lab.Now())
	writes, _ = clients.Stop()
	if n := len(writes.On(added.Address).AckedAfter(killed)); n == 0 {
		t.Errorf("the added Redis acknowledged nothing after its promotion: %s", writes)
	}
	lossIsTheWindow(t, lab.Lost(writes, added), killed)
}

// Nobody can be promoted in a group without replicas: E is never, and no
// silence of the Sentinels' PINGs makes a deadline. A master that hung is
// fenced, as its grant has lapsed, and opens by itself. The first replica
// brings E back.
func TestGroupWithoutReplicas(t *testing.T) {
	t.Parallel()
	w := watched.Start(t, watched.Options{Hosts: 1, Sentinels: []string{"x", "y", "z"}, Etcd: []string{"x", "y", "z"},
		Group: lab.GroupConfig{DownAfter: downAfter, FailTimeout: 10 * time.Second}})
	master := w.WaitServing()
	clients := w.Crowd()
	quiet := w.Churn()
	never := func(s agent.Status) bool { return s.EarliestPromotion == -1 && s.Phase == "serve" && s.Deadline > 0 }
	master.WaitFor("shows that nobody can be promoted", never)
	restartAll(w, 9)
	w.Mark("etcd killed")
	w.Etcd.Kill()
	master.WaitFor("serves by the word of the Sentinels", func(s agent.Status) bool {
		return s.Phase == "serve" && s.Reason == "certified_by_sentinels" && s.GrantRemaining == 0
	})
	w.Pause(downAfter)
	w.Etcd.Restart()
	w.WaitGuarded()
	clients.WaitOK(lab.Now())
	noticedNothing(t, w, clients.Writes(), clients.Reads())
	if n := quiet.Counts(); !n.Quiet() {
		t.Errorf("%s; want none of it", n)
	}

	w.Mark("the first replica")
	replica := w.Lab.Host("b").Redis(lab.RedisConfig{ReplicaOf: master.Redis})
	master.WaitFor("shows an E", func(s agent.Status) bool {
		return s.EarliestPromotion > 0 && s.EarliestPromotion <= downAfter.Seconds()
	})
	w.Eventually("the replica is in step", time.Minute, func() error { return follows(replica, master.Redis) })
	clients.WaitOK(lab.Now())
	writes, reads := clients.Stop()
	noticedNothing(t, w, writes, reads)
}

// A master without replicas hangs for longer than its grant and down-after.
// Nobody took over, so it must come back by itself.
func TestLoneMasterHung(t *testing.T) {
	t.Parallel()
	w := watched.Start(t, watched.Options{Hosts: 1, Sentinels: []string{"x", "y", "z"}, Etcd: []string{"x", "y", "z"},
		Group: lab.GroupConfig{DownAfter: downAfter, FailTimeout: 10 * time.Second}})
	master := w.WaitServing()
	clients := w.Crowd()
	master.WaitFor("shows that nobody can be promoted", func(s agent.Status) bool { return s.EarliestPromotion == -1 })
	w.Mark("Redis is frozen")
	master.Redis.Stop()
	w.Pause(3 * downAfter)
	thawed := w.Mark("Redis goes on")
	master.Redis.Cont()
	w.WaitGuarded()
	clients.WaitOK(lab.Now())
	served := lab.Now()
	writes, reads := clients.Stop()
	t.Logf("writes: %s; reads: %s; served again %v after it went on", writes, reads, served.Sub(thawed))
	if lost := lab.Lost(writes, master.Redis); len(lost) != 0 {
		t.Errorf("%d acknowledged writes are lost, want 0", len(lost))
	}
}

// One Sentinel is a majority of one: it certifies, and it promotes alone.
func TestGroupWithOneSentinel(t *testing.T) {
	t.Parallel()
	w := watched.Start(t, watched.Options{Sentinels: []string{"b"}, Etcd: []string{"x", "y", "z"},
		Group: lab.GroupConfig{DownAfter: downAfter, FailTimeout: 10 * time.Second, Quorum: 1}})
	old := w.WaitServing()
	if s := old.Status(); s.SentinelsKnown != 1 || s.Quorum != 1 {
		t.Errorf("it knows %d Sentinels with quorum %d, want 1 and 1", s.SentinelsKnown, s.Quorum)
	}
	clients := w.Crowd()
	quiet := w.Churn()
	restartAll(w, 15)
	w.Mark("etcd killed")
	w.Etcd.Kill()
	old.WaitFor("serves by the word of the Sentinel", func(s agent.Status) bool {
		return s.Phase == "serve" && s.Reason == "certified_by_sentinels" && s.GrantRemaining == 0
	})
	w.Etcd.Restart()
	w.WaitGuarded()
	clients.WaitOK(lab.Now())
	noticedNothing(t, w, clients.Writes(), clients.Reads())
	if n := quiet.Counts(); !n.Quiet() {
		t.Errorf("%s; want none of it", n)
	}

	beside := beside(w)
	watches := w.Group.WatchRoles()
	cut := w.Mark("the master is cut off")
	w.Isolate(old.Host)
	promoted := w.Group.WaitMaster(w.Group.Replicas(old.Redis)...)
	w.WaitServing(watchdogOf(w, promoted))
	w.Pause(time.Second)
	oldWrites, oldReads := beside.of(w, old.Redis)
	newWrites, _ := beside.of(w, promoted)
	promotion := watches[indexOf(w, promoted)].BecameMaster(cut)
	heldThenRefused(t, oldWrites, oldReads, cut, promotion.After)
	if n := lab.OverlappingWrites(oldWrites, newWrites); len(n) != 0 {
		t.Errorf("%d writes overlap, want 0", len(n))
	}
	if n := lab.OverlappingReads(oldReads, old.Redis, nil, promotion); len(n) != 0 {
		t.Errorf("%d reads of the old master were answered after the promotion, want 0", len(n))
	}
}
