package field

// A stall of down-after-milliseconds less two seconds must change nothing for
// clients (docs/decision.md, "A stall is not a partition"), whatever else happens at
// that moment and whoever stands still.

import (
	"slices"
	"testing"
	"time"

	"github.com/redis-watchdog/redis-watchdog/lab"
	"github.com/redis-watchdog/redis-watchdog/lab/watched"
	"github.com/redis-watchdog/redis-watchdog/watchdog"
)

const (
	momentsD = 5 * time.Second
	bearable = momentsD - 2*time.Second
)

func moments(t *testing.T) *watched.World {
	return start(t, watched.Options{Systemd: true, Group: lab.GroupConfig{DownAfter: momentsD, FailTimeout: 10 * time.Second}})
}

// stopper is a process, or all of them.
type stopper interface {
	Stop() watchdog.Instant
	Cont() watchdog.Instant
}

// stops has a process stand still for so long.
func (s *story) stops(what string, d time.Duration, p stopper) {
	s.t.Helper()
	s.done(what + " stands still for " + d.String())
	p.Stop()
	s.Pause(d)
	p.Cont()
	s.settles(d)
}

// settles waits for whatever a stall of d would bring about after it: a failover
// comes by down-after-milliseconds and a tick, counted from its begin.
func (s *story) settles(d time.Duration) {
	s.t.Helper()
	s.Pause(max(momentsD-d, 0) + time.Second)
	s.WaitGuarded()
}

// host has the whole host stand still, as in a live migration: Redis, watchdog,
// Sentinel and its member of etcd, and the clients that stand on it.
func (s *story) host(h *lab.Host, d time.Duration) {
	s.t.Helper()
	s.done("host " + h.Name + " stands still for " + d.String())
	h.Freeze()
	s.Pause(d)
	h.Thaw()
	s.settles(d)
}

// A replica, a Sentinel, etcd's leader, the whole host of the master, one after the
// other: clients notice nothing but that the master's host is slow to answer, and
// nobody is failed over.
func TestWhoeverStandsStillForAWhile(t *testing.T) {
	t.Parallel()
	w := moments(t)
	s := begin(t, w)
	quiet := w.Churn()
	replica := w.Others(s.master)[0]
	s.stops("a replica", bearable, replica.Redis)
	s.stops("the Sentinel beside the master", bearable, w.Group.Sentinels[slices.Index(w.Hosts, s.master.Host)])
	leader := w.Etcd.Leader()
	if leader == nil {
		t.Fatal("etcd has no leader")
	}
	s.stops("the leader of etcd", bearable, leader)
	s.host(s.master.Host, bearable)
	s.unrefused()
	if n := quiet.Counts(); !n.Quiet() {
		t.Errorf("%s; want none of it", n)
	}
}
