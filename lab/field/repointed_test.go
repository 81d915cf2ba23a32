package field

import (
	"fmt"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/redis-watchdog/redis-watchdog/lab"
	"github.com/redis-watchdog/redis-watchdog/lab/watched"
)

// calls is how often Redis has executed a command since it was started.
func calls(r *lab.Redis, command string) int {
	text, _, _ := strings.Cut(strings.TrimPrefix(r.Info()["cmdstat_"+command], "calls="), ",")
	n, _ := strconv.Atoi(text) // not there: none
	return n
}

const fenced = "fenced: Redis refuses" // what the gate logs of each fence

// A firewall comes between the master's host and all others, for the ports of
// Sentinel and etcd: its watchdog can ask nobody, and fences it. The Sentinels
// reach its Redis all the same, and when another has been promoted they make it
// a replica, each of them once a second until it is one. That ends the fence:
// the watchdog must look before it fences what was fenced already.
func TestFencedRedisIsMadeAReplicaBySentinel(t *testing.T) {
	t.Parallel()
	w := start(t, watched.Options{Group: lab.GroupConfig{FailTimeout: 10 * time.Second}})
	s := begin(t, w)
	a, b, c := s.master, w.Others(s.master)[0], w.Others(s.master)[1]
	s.done("a firewall cuts the master's host from the others' Sentinels and etcd; SENTINEL FAILOVER")
	for _, other := range []*watched.Watchdog{b, c} {
		w.CutPorts(a.Host, other.Host, 26379, 2379, 2380)
	}
	a.WaitPhase("refuse")
	a.WaitLogged("the fence", 0, func(line string) bool { return strings.Contains(line, fenced) })
	w.Group.Sentinels[1].Do("SENTINEL", "FAILOVER", w.Group.Name)
	promoted := w.Group.WaitMaster(b.Redis, c.Redis)
	fences, rewrites := strings.Count(a.Text(), fenced), calls(a.Redis, "config|rewrite")
	w.Eventually("the old master is a replica in step", time.Minute, func() error {
		role := a.Redis.Role()
		if !role.Synced() || role.Following != promoted.Address {
			return fmt.Errorf("it is %s after %d fences and %d CONFIG REWRITEs", role,
				strings.Count(a.Text(), fenced), calls(a.Redis, "config|rewrite"))
		}
		return nil
	})
	a.WaitPhase("follow")
	w.Eventually("it has the operator's values", 20*time.Second, func() error {
		if prio, stale := a.Redis.Config("replica-priority"), a.Redis.Config("replica-serve-stale-data"); prio != "100" || stale != "yes" {
			return fmt.Errorf("replica-priority %s, replica-serve-stale-data %s", prio, stale)
		}
		return nil
	})
	fences, rewrites = strings.Count(a.Text(), fenced)-fences, calls(a.Redis, "config|rewrite")-rewrites
	t.Logf("fenced again %d times, %d CONFIG REWRITEs", fences, rewrites)
	if fences > 0 {
		t.Errorf("fenced again %d times, want none", fences)
	}
	// One each Sentinel's, and ours for what was restored.
	if rewrites > 6 {
		t.Errorf("%d CONFIG REWRITEs, want 6 at most", rewrites)
	}
	w.Heal()
	w.WaitGuarded()
}

// A replica and then the master are fenced by hand, and another is promoted. To
// Sentinel both are replicas of the wrong master, to be put right once a second
// as soon as its failover-timeout is over; each time would cut all connections,
// write redis.conf and ask the new master for its data.
func TestSentinelLeavesWhatIsFencedByHand(t *testing.T) {
	t.Parallel()
	w := start(t, watched.Options{Group: lab.GroupConfig{FailTimeout: 10 * time.Second}})
	s := begin(t, w)
	old, other, promoted := s.master, w.Others(s.master)[0], w.Others(s.master)[1]
	s.done("a replica and the master are fenced by hand; SENTINEL FAILOVER; nobody unfences them")
	for _, d := range []*watched.Watchdog{other, old} {
		if out, code := d.CLI("fence", w.Group.Name); code != 0 {
			t.Fatalf("fence: exit code %d: %s", code, out)
		}
	}
	w.Eventually("the remaining one is promoted", time.Minute, func() error {
		w.Group.Sentinels[0].Try("SENTINEL", "FAILOVER", w.Group.Name) // until every Sentinel knows the priorities
		if named := w.Group.Named(); named != promoted.Redis {
			return fmt.Errorf("named is %v", named)
		}
		return nil
	})
	promoted.WaitPhase("serve")
	w.Pause(25 * time.Second) // more than twice the failover-timeout
	for _, d := range []*watched.Watchdog{old, other} {
		if n := strings.Count(d.Text(), fenced); n > 3 { // a failover itself re-points it, once
			t.Errorf("%s was fenced %d times", d.Name, n)
		}
		if n := calls(d.Redis, "slaveof"); n > 2 {
			t.Errorf("%s was made a replica by Sentinel %d times", d.Name, n)
		}
		if n := calls(d.Redis, "config|rewrite"); n > 6 {
			t.Errorf("%s was rewritten %d times", d.Name, n)
		}
		if reply, err := d.Redis.Try("GET", "k"); err == nil {
			t.Errorf("%s answers GET with %v", d.Name, reply)
		}
		t.Logf("%s: %d fences, %d SLAVEOF of Sentinel, %d CONFIG REWRITE", d.Name,
			strings.Count(d.Text(), fenced), calls(d.Redis, "slaveof"), calls(d.Redis, "config|rewrite"))
	}
	for _, d := range []*watched.Watchdog{old, other} {
		if out, code := d.CLI("unfence", w.Group.Name); code != 0 {
			t.Fatalf("unfence: exit code %d: %s", code, out)
		}
	}
	w.WaitGuarded()
}
