package scenario

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/redis-watchdog/redis-watchdog/fencing/grant"
	"github.com/redis-watchdog/redis-watchdog/lab"
	"github.com/redis-watchdog/redis-watchdog/lab/watched"
	"github.com/redis-watchdog/redis-watchdog/preflight"
	"github.com/redis-watchdog/redis-watchdog/preflight/gather"
)

// coordinatorOf is etcd as gather asks it.
type coordinatorOf struct {
	*grant.Store
	group string
}

func (c coordinatorOf) Ask(ctx context.Context, id string) error {
	return c.Store.Ask(ctx, c.group, id)
}

func (c coordinatorOf) Reports(ctx context.Context, answered func([]byte) bool) (map[string][]byte, error) {
	return c.Store.Reports(ctx, c.group, answered)
}

func (c coordinatorOf) Read(ctx context.Context) (preflight.Coordinator, error) {
	var state preflight.Coordinator
	for _, m := range c.Members(ctx) {
		state.Members = append(state.Members, preflight.Member{Endpoint: m.Endpoint, Version: m.Version, Learner: m.Learner})
	}
	g, err := c.Store.Read(ctx, c.group)
	state.Agreement, state.Epoch, state.Known = string(g.Agreement.Address), g.Agreement.Epoch, g.Agreement.Known
	state.Holder = string(g.Grant.Holder)
	return state, err
}

// gathered is how the facts of a world on loopback are read.
func gathered(w *watched.World) gather.Config {
	c := gather.Config{Group: w.Group.Name, Coordinator: coordinatorOf{w.Store(w.Hosts[0]), w.Group.Name}}
	for _, s := range w.Group.Sentinels {
		c.Sentinels.Addresses = append(c.Sentinels.Addresses, s.Address)
	}
	return c
}

func read(t testing.TB, c gather.Config) preflight.Facts {
	t.Helper()
	facts, err := gather.Group(t.Context(), c)
	if err != nil {
		t.Fatal(err)
	}
	return facts
}

func nodeOf(facts preflight.Facts, r *lab.Redis) preflight.Node {
	for _, n := range facts.Nodes {
		if n.Address == r.Address {
			return n
		}
	}
	return preflight.Node{}
}

// gapOf is why something was not read; empty: it was.
func gapOf(gaps []preflight.Gap, what string) string {
	for _, g := range gaps {
		if g.What == what {
			return g.Why
		}
	}
	return ""
}

// answered is nil once every watchdog has answered, as they all do in time on
// a machine that is not at its end.
func answered(w *watched.World, facts preflight.Facts) error {
	if len(facts.Nodes) != len(w.Group.Redis) {
		return fmt.Errorf("%d nodes", len(facts.Nodes))
	}
	for _, n := range facts.Nodes {
		if n.Answers == "" {
			return fmt.Errorf("%s did not answer: %+v", n.Address, n.Gaps)
		}
	}
	return nil
}

// TestWatchdogsAnswerAPreflight: everything about a group is read from one
// place. What is dead, frozen or away is a gap that says so, and what can be
// read without it is read.
func TestWatchdogsAnswerAPreflight(t *testing.T) {
	t.Parallel()
	w := watched.StartIn(lab.Loopback(t), t, watched.Options{})
	c := gathered(w)
	var facts preflight.Facts
	w.Eventually("all watchdogs answer", 20*time.Second, func() error {
		facts = read(t, c)
		return answered(w, facts)
	})
	if facts.Master != w.Group.Redis[0].Address || len(facts.Sentinels) != 3 || facts.Coordinator.Error != "" || len(facts.Coordinator.Members) != 3 || len(facts.Gaps) > 0 {
		t.Errorf("master %q, %d sentinels, coordinator %+v, gaps %+v", facts.Master, len(facts.Sentinels), facts.Coordinator, facts.Gaps)
	}
	for _, n := range facts.Nodes {
		if n.Redis == nil || n.Redis.ReadBy != preflight.ReadLive || n.Host == nil || n.Host.FilesLimit <= 0 || n.Watchdog == nil || n.Watchdog.Node != "default" || len(n.Watchdog.Missing) > 0 {
			t.Errorf("%s: redis %v, host %+v, watchdog %+v", n.Address, n.Redis != nil, n.Host, n.Watchdog)
		}
		if n.Drift == nil || n.Drift.Problem != "" || len(n.Drift.FileConfig) < 150 || len(n.Drift.Drifted) > 0 {
			t.Errorf("%s: drift %+v", n.Address, n.Drift)
		}
		for _, g := range n.Gaps {
			if g.What != "host.restarts" { // no unit runs it
				t.Errorf("%s: gap %+v", n.Address, g)
			}
		}
	}

	seldomRead(t, w, 8*time.Second, 1)

	w.Group.Redis[1].Do("CONFIG", "SET", "maxmemory", "7gb")
	w.Eventually("a drifted parameter is told", 20*time.Second, func() error {
		n := nodeOf(read(t, c), w.Group.Redis[1])
		if n.Drift == nil || len(n.Drift.Drifted) != 1 || n.Drift.Drifted[0].Name != "maxmemory" || n.Drift.Drifted[0].Running != "7516192768" {
			return fmt.Errorf("%+v", n.Drift)
		}
		return nil
	})

	w.Group.Redis[1].Do("CONFIG", "SET", "maxmemory", "0")
	filesThatHang(t, w, c, w.Group.Redis[1], w.Watchdogs[1])

	c.ReportTimeout = 500 * time.Millisecond
	frozen := w.Group.Redis[2]
	frozen.Stop()
	facts = read(t, c)
	frozen.Cont()
	if n := nodeOf(facts, frozen); n.Redis != nil && n.Redis.ReadBy == preflight.ReadLive {
		t.Errorf("a frozen Redis was read live: %+v", n.Gaps)
	}

	w.Watchdogs[2].Kill()
	facts = read(t, c)
	n := nodeOf(facts, w.Group.Redis[2])
	if why := gapOf(n.Gaps, "report"); !strings.Contains(why, "did not answer in time") || n.Answers != "" || n.Watchdog == nil {
		t.Errorf("just killed: gap %q, answers %q, watchdog %v", why, n.Answers, n.Watchdog)
	}
	w.Eventually("the report of a dead watchdog goes", time.Minute, func() error {
		n := nodeOf(read(t, c), w.Group.Redis[2])
		if why := gapOf(n.Gaps, "report"); !strings.Contains(why, "no watchdog reports") || n.Watchdog != nil {
			return fmt.Errorf("gap %q", why)
		}
		if n.Redis == nil {
			return errors.New("its Redis was not read live")
		}
		return nil
	})

	for _, m := range w.Etcd.Members {
		m.Kill()
	}
	facts = read(t, c)
	if facts.Coordinator.Error == "" || gapOf(facts.Gaps, "report") == "" || facts.Master == "" || len(facts.Nodes) != 3 {
		t.Errorf("without etcd: %q, gaps %+v, master %q", facts.Coordinator.Error, facts.Gaps, facts.Master)
	}
	for _, n := range facts.Nodes {
		if n.Redis == nil || gapOf(n.Gaps, "report") == "" || n.Watchdog != nil {
			t.Errorf("without etcd: %s: %+v", n.Address, n.Gaps)
		}
	}
}

// seldomRead counts at every Redis how often it is read while nothing changes:
// each time takes one CONFIG GET *, and with it the only ACL LIST there is.
func seldomRead(t *testing.T, w *watched.World, span time.Duration, most int) {
	t.Helper()
	count := func() (all []int) {
		for _, r := range w.Group.Redis {
			calls := 0
			_, err := fmt.Sscanf(r.Info()["cmdstat_acl|list"], "calls=%d,", &calls)
			if err != nil || calls == 0 {
				t.Fatalf("%s was not read: %v", r.Name, err)
			}
			all = append(all, calls)
		}
		return all
	}
	before := count()
	w.Pause(span)
	after := count()
	for i, r := range w.Group.Redis {
		if n := after[i] - before[i]; n > most {
			t.Errorf("%s was read %d times in %v, want %d at most", r.Name, n, span, most)
		}
	}
}

// BenchmarkGather is a whole preflight of a group of three: reports asked for
// anew, Sentinels, etcd, every Redis, and the judgement. Without the shadow run,
// which starts three more servers. On a machine that stands still the least of
// many is what the work takes.
func BenchmarkGather(b *testing.B) {
	w := watched.StartIn(lab.Loopback(b), b, watched.Options{Config: func(c *watched.Config) {
		delete(c.Log, "level")
		c.Groups[0]["preflight"] = map[string]any{"shadow": "off"}
	}})
	c := gathered(w)
	w.Eventually("all watchdogs answer", 20*time.Second, func() error { return answered(w, read(b, c)) })
	used := func() (daemons time.Duration) {
		for _, d := range w.Watchdogs {
			daemons += usageOf(b, d.PID()).cpu
		}
		return daemons
	}
	own, daemons := usageOf(b, os.Getpid()).cpu, used()
	late, settings := 0, 1000
	var took []time.Duration
	for b.Loop() {
		began := time.Now()
		facts := read(b, c)
		preflight.Judge(preflight.DefaultPolicy(), facts, "")
		took = append(took, time.Since(began))
		if answered(w, facts) != nil {
			late++
		}
		for _, n := range facts.Nodes {
			settings = min(settings, len(n.Redis.Config))
		}
	}
	slices.Sort(took)
	milliseconds := func(d time.Duration) float64 { return float64(d.Microseconds()) / 1000 }
	b.ReportMetric(milliseconds(took[0]), "least-ms")
	b.ReportMetric(milliseconds(took[len(took)/2]), "median-ms")
	b.ReportMetric(milliseconds(usageOf(b, os.Getpid()).cpu-own)/float64(len(took)), "cpu-ms/op")
	b.ReportMetric(milliseconds(used()-daemons)/float64(len(took)), "daemons-cpu-ms/op")
	b.ReportMetric(float64(settings), "settings")
	b.ReportMetric(float64(late), "late")
}
