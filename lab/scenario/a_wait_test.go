package scenario

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/redis-watchdog/redis-watchdog/lab"
	"github.com/redis-watchdog/redis-watchdog/lab/watched"
	"github.com/redis-watchdog/redis-watchdog/watchdog"
)

// TestClientsWaitNoLongerThanWithSentinelAlone kills the masters of two like
// groups at the same moment, again and again until each has one Redis left:
// one group has watchdogs, the other has Sentinel alone. Both bear the noise of
// the machine, and Sentinel's own dice.
func TestClientsWaitNoLongerThanWithSentinelAlone(t *testing.T) {
	t.Parallel()
	waitsOfPairs(t, 1)
}

const redisOfPair = 4

func waitsOfPairs(t *testing.T, times int) {
	d := downAfter
	var waited, opened [2][]time.Duration // guarded, alone
	for range times {
		o := watched.Options{Hosts: redisOfPair, Sentinels: []string{"a", "b", "c"}, Group: lab.GroupConfig{DownAfter: d}}
		guarded := startBereft(t, o)
		o.Unguarded = true
		alone := startBereft(t, o)
		for range redisOfPair - 1 {
			guarded.ready()
			alone.ready()
			killed := []watchdog.Instant{guarded.kill(), alone.kill()}
			for i, g := range []*bereft{guarded, alone} {
				wait, open := g.wait(killed[i])
				waited[i], opened[i] = append(waited[i], wait), append(opened[i], open)
			}
		}
	}
	t.Logf("clients waited, guarded %v, alone %v; from the promotion to the first write, guarded %v, alone %v",
		waited[0], waited[1], opened[0], opened[1])
	// When Sentinel promotes is a matter of its dice (a ping period, an
	// election's delay): room for them. What follows the promotion is ours.
	if with, without := median(waited[0]), median(waited[1]); with > without+d/2 {
		t.Errorf("clients waited %v (median), with Sentinel alone %v", with, without)
	}
	if with, without := median(opened[0]), median(opened[1]); with > without+d/4 {
		t.Errorf("the first write came %v after the promotion (median), with Sentinel alone %v", with, without)
	}
}

func median(d []time.Duration) time.Duration {
	d = slices.Sorted(slices.Values(d))
	return d[len(d)/2]
}

// bereft is a group that loses one master after the other for good.
type bereft struct {
	*watched.World
	client *lab.Load
	roles  []*lab.RoleWatch
	master *lab.Redis
}

func startBereft(t *testing.T, o watched.Options) *bereft {
	w := watched.Start(t, o)
	return &bereft{World: w, roles: w.Group.WatchRoles(),
		client: w.Hosts[0].Writer(lab.LoadConfig{Name: "client", Sentinels: w.Group.Sentinels})}
}

// ready waits until the failover before is over for everybody that is left.
func (g *bereft) ready() {
	g.Eventually("the group that is left is in step", time.Minute, func() error {
		master := g.Group.Named()
		if master == nil {
			return fmt.Errorf("nobody is named")
		}
		for _, r := range g.Group.Redis {
			if r != master && r.Running() {
				if err := follows(r, master); err != nil {
					return err
				}
			}
		}
		for _, s := range g.Group.Sentinels {
			if flags := s.State(g.Group.Name)["flags"]; flags != "master" || s.Master(g.Group.Name) != master.Address {
				return fmt.Errorf("%s: the master %s is %s", s.Name, s.Master(g.Group.Name), flags)
			}
		}
		g.master = master
		return nil
	})
	g.client.WaitOK(lab.Now(), 20*time.Second)
}

func (g *bereft) kill() watchdog.Instant { return g.master.Kill() }

// wait is how long the client waited for its next write, and how much of that
// was after the promotion.
func (g *bereft) wait(killed watchdog.Instant) (whole, open time.Duration) {
	next := g.client.WaitOK(killed, time.Minute)
	trace := g.client.Trace()
	last := trace.Received(0, killed).LastOK()
	first := trace.AckedAfter(killed).FirstOK()
	for i, r := range g.Group.Redis {
		if r.Address == next.Redis {
			return first.Received.Sub(last.Received), first.Received.Sub(g.roles[i].BecameMaster(killed).At)
		}
	}
	g.T.Fatalf("%s acknowledged, and is no Redis of the group", next.Redis)
	return 0, 0
}
