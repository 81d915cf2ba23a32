package field

// What is typed at one Sentinel alone, and SENTINEL FAILOVER.

import (
	"fmt"
	"testing"
	"time"

	"github.com/redis-watchdog/redis-watchdog/lab"
	"github.com/redis-watchdog/redis-watchdog/lab/watched"
)

// TestOneSentinelIsSetOtherwise: somebody sets down-after-milliseconds or the
// quorum at one Sentinel, and not at the others. It is told which and how, and
// what is printed sets it right.
func TestOneSentinelIsSetOtherwise(t *testing.T) {
	t.Parallel()
	w := start(t, watched.Options{Systemd: true, Group: lab.GroupConfig{DownAfter: 5 * time.Second}})
	s := begin(t, w)
	one := w.Group.Sentinels[1]
	for _, c := range []struct{ set, fault, says string }{
		{"down-after-milliseconds 3000", "sentinel_down_after_differs", "5000 ms at 2 of them, 3000 ms at " + one.Address},
		{"down-after-milliseconds 60000", "sentinel_down_after_differs", "5000 ms at 2 of them, 60000 ms at " + one.Address},
		{"quorum 1", "sentinel_quorum", "1 at " + one.Address},
		{"quorum 3", "sentinel_quorum", "3 at " + one.Address},
		{"quorum 4", "sentinel_quorum", "4 at " + one.Address},
	} {
		s.types(one.Name, typed{"SENTINEL SET mymaster " + c.set}, one.Try)
		remedy := s.everybodyIsTold(c.fault, c.says)
		w.Pause(5 * time.Second) // it is served as it is
		s.done("as printed: " + remedy)
		s.paste(s.master, remedy)
		s.calm()
	}
	s.unrefused()
	s.failsOver()
}

// TestSentinelsMonitorAnew: SENTINEL REMOVE and MONITOR at one after the other, as
// a role does that sets everything up again; each has forgotten its epochs.
func TestSentinelsMonitorAnew(t *testing.T) {
	t.Parallel()
	w := start(t, watched.Options{Systemd: true})
	w.Group.Failover() // so that there is an epoch to forget
	w.WaitServing(w.Others(w.Watchdogs[0])...)
	w.Group.WaitReplicas()
	w.Group.WaitStable()
	w.WaitGuarded()
	s := begin(t, w)
	host, port := s.master.Host.IP, s.master.Redis.Port
	for _, one := range w.Group.Sentinels {
		s.types(one.Name, typed{
			"SENTINEL REMOVE mymaster",
			fmt.Sprintf("SENTINEL MONITOR mymaster %s %d 2", host, port),
			"SENTINEL SET mymaster down-after-milliseconds 3000", "SENTINEL SET mymaster failover-timeout 10000", "",
		}, one.Try)
		w.Group.WaitStable()
	}
	s.calm()
	s.unrefused()
	s.failsOver()
}

// TestFailoverIsTypedAgainAndAgain: SENTINEL FAILOVER at a Sentinel, and again as
// soon as Sentinel takes it. Nothing is ever written at two.
func TestFailoverIsTypedAgainAndAgain(t *testing.T) {
	t.Parallel()
	w := start(t, watched.Options{Systemd: true})
	for range 3 {
		c := w.BeforeCut()
		c.Cut("SENTINEL FAILOVER", func() { w.Group.Failover() })
		c.WaitWritten()
		change := c.Heal()
		t.Log(change.Sum(3 * time.Second))
		if n := len(change.OverlappingWrites); n > 0 {
			t.Errorf("%d writes overlap", n)
		}
		if change.New == change.Old {
			t.Fatal("nobody was promoted")
		}
		w.Group.WaitReplicas()
		w.Group.WaitStable()
	}
	s := begin(t, w)
	s.calm()
	s.unrefused()
	s.failsOver()
}
