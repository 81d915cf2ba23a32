package scenario

// Case p: the incident, replayed. A replica restarted with an older, smaller
// maxmemory holds everything and looks healthy; promoted, it throws most of it
// away, everywhere.

import (
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/redis-watchdog/redis-watchdog/lab"
	"github.com/redis-watchdog/redis-watchdog/lab/watched"
	"github.com/redis-watchdog/redis-watchdog/watchdog/agent"
)

const incidentKeys = 31000

// populate writes 30,000 keys that expire some day and 1,000 that do not: 37 MB.
func populate(t *testing.T, w *watched.World, master *lab.Redis) {
	t.Helper()
	for from := 1; from < incidentKeys; from += 1000 { // a long script is a hung Redis
		master.Do("EVAL", "for i=ARGV[1],ARGV[1]+999 do if i<=1000 then redis.call('SET','p:'..i,string.rep('x',1000)) else redis.call('SET','t:'..i,string.rep('x',1000),'EX',36000) end end", "0", from)
	}
	w.Eventually("every Redis has every key", 30*time.Second, func() error {
		for _, r := range w.Group.Redis {
			if n := keys(r); n != incidentKeys {
				return fmt.Errorf("%s has %d keys", r.Name, n)
			}
		}
		return nil
	})
}

func keys(r *lab.Redis) int64 {
	reply, err := r.Try("DBSIZE")
	n, ok := reply.(int64)
	if err != nil || !ok {
		return -1
	}
	return n
}

// restartSmall is the replica restarted with what redis.conf had all along.
func restartSmall(t *testing.T, r *lab.Redis) {
	t.Helper()
	f, err := os.OpenFile(r.ConfigFile, os.O_APPEND|os.O_WRONLY, 0o644)
	if err == nil {
		_, err = f.WriteString("\nmaxmemory 12mb\nmaxmemory-policy volatile-lru\n")
		f.Close()
	}
	if err != nil {
		t.Fatal(err)
	}
	r.Kill()
	r.Restart()
}

// Sentinel alone loses the data, so that the test below is one of something.
func TestIncidentWithoutUs(t *testing.T) {
	t.Parallel()
	w := watched.Start(t, watched.Options{Unguarded: true})
	populate(t, w, w.Group.Redis[0])
	small := w.Group.Redis[2]
	restartSmall(t, small)
	w.Group.WaitReplicas()
	if n := keys(small); n != incidentKeys {
		t.Fatalf("as a replica it has %d keys, want %d", n, incidentKeys)
	}
	w.Group.Redis[1].Do("CONFIG", "SET", "replica-priority", "0")
	w.Group.WaitStable()
	w.Group.Failover()
	w.Group.WaitMaster(small)
	w.Eventually("keys are gone", 20*time.Second, func() error {
		if n := keys(small); n == incidentKeys {
			return fmt.Errorf("all %d are there", n)
		}
		return nil
	})
	t.Logf("%d of %d keys are left", keys(small), incidentKeys)
}

func TestIncidentIsVetoedAndMended(t *testing.T) {
	t.Parallel()
	w := watched.Start(t, watched.Options{})
	master, other, small := w.Group.Redis[0], w.Group.Redis[1], w.Group.Redis[2]
	for _, r := range w.Group.Redis { // as a production host would have it
		r.Do("CONFIG", "SET", "maxmemory", "100mb", "maxmemory-policy", "volatile-lru")
		r.Do("CONFIG", "REWRITE")
	}
	populate(t, w, master)
	restartSmall(t, small)
	s := w.Watchdogs[2].WaitFor("stands vetoed at every Sentinel", func(s agent.Status) bool {
		return s.Veto && s.VetoSeen && slices.Contains(s.VetoReasons, "memory_limit_running")
	})
	t.Logf("vetoed for %v", s.VetoReasons)

	// By hand, around us, with nobody else to promote.
	other.Do("CONFIG", "SET", "replica-priority", "0")
	w.Eventually("SENTINEL FAILOVER finds nobody", 30*time.Second, func() error {
		_, err := w.Group.Sentinels[0].Try("SENTINEL", "FAILOVER", w.Group.Name)
		if err == nil || !strings.Contains(err.Error(), "NOGOODSLAVE") {
			return fmt.Errorf("it answers %v", err)
		}
		return nil
	})
	other.Do("CONFIG", "SET", "replica-priority", "100")
	// A Sentinel that had not asked for the priorities yet tried, in vain: while
	// it did, the master was shut.
	if w.Group.WaitMaster(w.Group.Redis...) != master {
		t.Fatalf("%s is %s", master.Name, master.Role())
	}
	w.WaitGuarded()
	w.Eventually("the Sentinels see the other again", 30*time.Second, func() error {
		for _, s := range w.Group.Sentinels {
			for _, r := range s.Replicas(w.Group.Name) {
				if strings.HasSuffix(r["name"], fmt.Sprint(other.Port)) && r["ip"] == other.Host.IP && r["slave-priority"] != "100" {
					return fmt.Errorf("%s shows priority %s", s.Name, r["slave-priority"])
				}
			}
		}
		return nil
	})

	// The master dies: the safe one takes over, with everything.
	master.Kill()
	w.Group.WaitMaster(other)
	if n := keys(other); n != incidentKeys {
		t.Errorf("the new master has %d keys, want %d", n, incidentKeys)
	}
	master.Restart()
	w.WaitGuarded()
	w.Group.WaitReplicas()

	// The preflight names both numbers and the remedy, and mends it.
	text, code := w.Watchdogs[0].CLI("preflight", w.Group.Name, "--to", small.Address)
	if code == 0 || !strings.Contains(text, "memory_limit_running") || !strings.Contains(text, "12582912") || !strings.Contains(text, "used_memory") || !strings.Contains(text, "CONFIG SET maxmemory") {
		t.Errorf("preflight ended with %d:\n%s", code, text)
	}
	text, _ = w.Watchdogs[0].CLI("preflight", w.Group.Name, "--to", small.Address, "--fix", "--yes")
	w.Watchdogs[2].WaitFor("is no longer vetoed", func(s agent.Status) bool { return !s.Veto && len(s.VetoReasons) == 0 })
	t.Logf("--fix:\n%s", text)
	out, code := planned(t, w.Watchdogs[0], w.Group.Name, small)
	if code != 0 {
		t.Fatalf("failover ended with %d: %+v", code, out)
	}
	for _, id := range out.Forced {
		if strings.HasPrefix(id, "memory_limit") {
			t.Errorf("%s still blocked", id)
		}
	}
	w.WaitGuarded()
	if n := keys(small); n != incidentKeys {
		t.Errorf("after the failover there are %d keys, want %d", n, incidentKeys)
	}
}
