package field

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/redis-watchdog/redis-watchdog/lab"
	"github.com/redis-watchdog/redis-watchdog/lab/builds"
	"github.com/redis-watchdog/redis-watchdog/lab/watched"
	"github.com/redis-watchdog/redis-watchdog/watchdog"
	"github.com/redis-watchdog/redis-watchdog/watchdog/agent"
)

const fullLimit = 32 << 20

// ordinary is a set-up in which nothing is wrong, however it looks to a check.
type ordinary struct {
	name    string
	set     map[string]string // at every Redis, and written down
	replica map[string]string // at the replicas, likewise
	typed   map[string]string // at every Redis, and not written down
	fill    func(testing.TB, *lab.Redis)
	drifts  bool // preflight blocks a planned failover, and nothing but that is lost
}

func ordinaries() []ordinary {
	limit := func(policy string) map[string]string {
		return map[string]string{"maxmemory": strconv.Itoa(fullLimit), "maxmemory-policy": policy}
	}
	return []ordinary{
		{name: "a cache, full", set: limit("allkeys-lru"), fill: fillCache},
		{name: "a store, full and a little over", set: limit("noeviction"), fill: fillStore},
		{name: "volatile-lru, full, and nothing expires", set: limit("volatile-lru"), fill: fillStore},
		{name: "limits that are a share of the hosts' memory, a cache, full", set: limit("allkeys-lfu"),
			replica: map[string]string{"maxmemory": strconv.Itoa(fullLimit - fullLimit/200)}, fill: fillCache},
		{name: "CONFIG SET on every node, never written to redis.conf", drifts: true,
			typed: map[string]string{"maxmemory": "64mb", "slowlog-log-slower-than": "1000"}, fill: fillSome},
	}
}

// TestOrdinarySetupsAreFailedOver: the master dies in set-ups in which every
// replica was vetoed once, so that nobody followed. With the watchdogs the group
// has a master that accepts commands about as soon as with Sentinel alone, with
// every key that the master had.
func TestOrdinarySetupsAreFailedOver(t *testing.T) {
	notOn(t, "lock_scripts blocks every planned failover there", builds.Redis60)
	down := 6 * time.Second
	o := watched.Options{Group: lab.GroupConfig{DownAfter: down, FailTimeout: 10 * time.Second}}
	guarded := start(t, o)
	o.Unguarded = true
	alone := start(t, o)
	var with, without []time.Duration
	for _, set := range ordinaries() {
		for _, w := range []*watched.World{guarded, alone} {
			set.up(t, w)
		}
		set.notVetoed(t, guarded)
		a, b := guarded.Group.Master(), alone.Group.Master()
		keys := map[*watched.World]int64{guarded: keysOf(a), alone: keysOf(b)}
		guarded.Mark("%s: the master dies", set.name)
		killedA, killedB := a.Kill(), b.Kill()
		with, without = append(with, replaced(t, guarded, a, killedA)), append(without, replaced(t, alone, b, killedB))
		t.Logf("%s: commands were taken again after %v, with Sentinel alone after %v", set.name, with[len(with)-1], without[len(without)-1])
		if is := keysOf(guarded.Group.Master()); is < keys[guarded]*98/100 {
			t.Errorf("%s: %d keys are left of %d", set.name, is, keys[guarded])
		}
		for w, old := range map[*watched.World]*lab.Redis{guarded: a, alone: b} {
			old.Restart()
			w.Group.WaitReplicas()
		}
		guarded.WaitGuarded()
	}
	slices.Sort(with)
	slices.Sort(without)
	// When Sentinel promotes is a matter of its dice; what follows is ours.
	if a, b := with[len(with)/2], without[len(without)/2]; a > b+down/2 {
		t.Errorf("commands were taken again after %v (median), with Sentinel alone after %v", a, b)
	}
}

// up makes the group into this set-up, in step.
func (o ordinary) up(t *testing.T, w *watched.World) {
	t.Helper()
	w.Mark("%s", o.name)
	master := w.Group.Master()
	for _, r := range w.Group.Redis {
		values := []map[string]string{{"maxmemory": "0", "maxmemory-policy": "noeviction", "slowlog-log-slower-than": "10000"}, o.set}
		if r != master {
			values = append(values, o.replica)
		}
		for _, some := range values {
			for name, value := range some {
				r.Do("CONFIG", "SET", name, value)
			}
		}
		r.Do("CONFIG", "REWRITE")
		for name, value := range o.typed {
			r.Do("CONFIG", "SET", name, value)
		}
	}
	master.Do("FLUSHALL")
	o.fill(t, master)
	w.Group.WaitReplicas()
	w.Eventually("the replicas have what the master has", 30*time.Second, func() error {
		for _, r := range w.Group.Redis {
			if is, want := keysOf(r), keysOf(master); is != want {
				return fmt.Errorf("%s has %d keys, the master %d", r.Name, is, want)
			}
		}
		return nil
	})
}

// notVetoed asks every watchdog for a new look, by a preflight, and has none
// veto its replica after it.
func (o ordinary) notVetoed(t *testing.T, w *watched.World) {
	t.Helper()
	daemon := w.WaitServing()
	w.Eventually("preflight lets a planned failover go, but for drift", time.Minute, func() error {
		text, code := daemon.CLI("preflight", w.Group.Name)
		if (code == 0) == o.drifts || o.drifts && !strings.Contains(text, "drift_running") {
			return fmt.Errorf("it ended with %d: %s", code, text)
		}
		return nil
	})
	for _, d := range w.Others(daemon) {
		if s := d.Status(); s.Veto || len(s.VetoReasons) > 0 {
			t.Errorf("%s: %s is vetoed for %v", o.name, d.Name, s.VetoReasons)
		}
	}
}

// replaced is how long it took until another Redis took a command that changes
// something; one that is locked does not.
func replaced(t *testing.T, w *watched.World, old *lab.Redis, killed watchdog.Instant) time.Duration {
	t.Helper()
	w.Eventually("another Redis accepts a command", time.Minute, func() error {
		master := w.Group.Named()
		if master == nil || master == old {
			return fmt.Errorf("the Sentinels name no other")
		}
		_, err := master.Try("DEL", "no-such-key") // memory is no reason to refuse that
		return err
	})
	return lab.Now().Sub(killed)
}

func keysOf(r *lab.Redis) int64 {
	n, _ := r.Do("DBSIZE").(int64)
	return n
}

func fillSome(_ testing.TB, r *lab.Redis) {
	r.Do("EVAL", "for i=1,1000 do redis.call('SET','k:'..i,string.rep('x',1000)) end", "0")
}

// fillCache writes until keys are evicted.
func fillCache(t testing.TB, r *lab.Redis) {
	t.Helper()
	evicted := func() string { return r.Info()["evicted_keys"] }
	before := evicted()
	for from := 0; evicted() == before; from += 500 {
		if from > 100_000 {
			t.Fatalf("nothing is evicted: %v", r.Info()["used_memory_human"])
		}
		r.Do("EVAL", "for i=1,500 do redis.call('SET','k:'..(ARGV[1]+i),string.rep('x',1000)) end", "0", from)
	}
}

// fillStore writes until writes are refused, and then over the limit, as
// everything does that grows by more than its arguments.
func fillStore(t testing.TB, r *lab.Redis) {
	t.Helper()
	for from := 0; ; from += 500 {
		_, err := r.Try("EVAL", "for i=1,500 do redis.call('SET','k:'..(ARGV[1]+i),string.rep('x',1000)) end", "0", from)
		switch {
		case err != nil && strings.HasPrefix(err.Error(), "OOM"):
			return
		case err != nil || from > 100_000:
			t.Fatalf("it is not full: %v, %v", err, r.Info()["used_memory_human"])
		}
	}
}

// TestCacheOnASmallerReplicaIsVetoed is the other side: a replica whose limit is
// lower than the master's and than the data is never promoted, full cache or not.
func TestCacheOnASmallerReplicaIsVetoed(t *testing.T) {
	w := start(t, watched.Options{})
	s := begin(t, w)
	ordinary{name: "a cache, full, and smaller at the replicas", fill: fillCache,
		set:     map[string]string{"maxmemory": strconv.Itoa(fullLimit), "maxmemory-policy": "allkeys-lru"},
		replica: map[string]string{"maxmemory": strconv.Itoa(fullLimit * 9 / 10)}}.up(t, w)
	for _, d := range w.Others(s.master) {
		d.WaitFor("stands vetoed at every Sentinel", func(st agent.Status) bool {
			return st.Veto && st.VetoSeen && slices.Contains(st.VetoReasons, "memory_limit_running")
		})
		s.told(d, "vetoed", "needs", "CONFIG SET maxmemory "+strconv.Itoa(fullLimit))
		s.told(d, "no_candidate")
	}
	// The remedy as it is printed.
	for _, d := range w.Others(s.master) {
		d.Redis.Do("CONFIG", "SET", "maxmemory", fullLimit)
		d.Redis.Do("CONFIG", "REWRITE")
		d.WaitFor("is no longer vetoed", func(st agent.Status) bool { return !st.Veto && len(st.VetoReasons) == 0 })
	}
	s.undisturbed()
}
