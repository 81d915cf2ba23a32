package scenario

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/redis-watchdog/redis-watchdog/lab"
	"github.com/redis-watchdog/redis-watchdog/lab/watched"
	"github.com/redis-watchdog/redis-watchdog/watchdog/agent"
)

// Case l: every time follows from D, the smallest down-after-milliseconds of
// all Sentinels. The contract of case d holds at each, or is said not to.

// TestContractHoldsAtDownAfter5s is case d at the down-after-milliseconds that
// is recommended.
func TestContractHoldsAtDownAfter5s(t *testing.T) {
	t.Parallel()
	d := 5 * time.Second
	w := watched.Start(t, watched.Options{Group: lab.GroupConfig{DownAfter: d, FailTimeout: 2 * d}})
	noTimingFault(t, w.Watchdogs[0], d)
	contractOfCutOff(t, cutMasterOff(t, w, d), d)
}

// TestTimingIsPromisedAtDownAfter30s needs no waiting: what the times follow
// from is there as soon as the group stands. The cut itself is in the soak.
func TestTimingIsPromisedAtDownAfter30s(t *testing.T) {
	t.Parallel()
	const d = 30 * time.Second
	w := watched.Start(t, watched.Options{Group: lab.GroupConfig{DownAfter: d}})
	noTimingFault(t, w.Watchdogs[0], d)
	// The fence of the master stands armed, and fires before anybody could
	// promote another.
	w.Watchdogs[0].WaitFor("has its fence armed before E", func(s agent.Status) bool {
		return s.Deadline > 0 && s.EarliestPromotion > s.Deadline && s.EarliestPromotion <= d.Seconds()
	})
}

// TestTimingIsNotPromisedAtDownAfter2s: etcd grants no lease shorter than that.
// It is said with both numbers, and a strict watchdog does not start at all.
// What does not rest on timing holds all the same: no two write.
func TestTimingIsNotPromisedAtDownAfter2s(t *testing.T) {
	t.Parallel()
	const d = 2 * time.Second
	var config watched.Config // of the first
	w := watched.Start(t, watched.Options{
		Group: lab.GroupConfig{DownAfter: d, FailTimeout: 5 * d},
		Config: func(c *watched.Config) {
			if config.Groups == nil {
				config = *c
			}
		},
		Paused: true,
	})
	refusesStrict(t, w, config)

	for _, daemon := range w.Watchdogs {
		daemon.Restart()
	}
	w.WaitGuarded()
	numbers := []string{"lease (2s)", "down-after-milliseconds (2s)"}
	s := w.Watchdogs[0].WaitFor("shows the fault timing", func(s agent.Status) bool { return faultOf(s, "timing") != nil })
	for _, number := range numbers {
		if f := faultOf(s, "timing"); !strings.Contains(f.Text, number) || f.Remedy == "" {
			t.Errorf("fault %q (remedy %q) does not name %s", f.Text, f.Remedy, number)
		}
	}
	if m := w.Watchdogs[0].Metrics(); !strings.Contains(m, `redis_watchdog_fault{`) || !strings.Contains(m, `"timing"`) {
		t.Errorf("no metric of the fault timing")
	}
	w.Eventually("the log names both numbers", 30*time.Second, func() error {
		for line := range strings.Lines(w.Watchdogs[0].Text()) {
			if strings.Contains(line, "id=timing") && strings.Contains(line, numbers[0]) && strings.Contains(line, numbers[1]) {
				return nil
			}
		}
		return fmt.Errorf("it does not")
	})

	change := cutMasterOff(t, w, d)
	if n := len(change.OverlappingWrites); n > 0 {
		t.Errorf("%d writes overlap: at most one writes at any D", n)
	}
	if change.Fenced.At == 0 || change.Rejoined.At == 0 {
		t.Errorf("the old master was not fenced, or did not rejoin: %+v, %+v", change.Fenced, change.Rejoined)
	}
}

// refusesStrict starts the first watchdog with strict: true, which must end
// with the exit code of a wrong configuration, and must have touched nothing.
func refusesStrict(t *testing.T, w *watched.World, config watched.Config) {
	t.Helper()
	daemon := w.Watchdogs[0]
	before := daemon.Redis.Config("min-replicas-to-write")
	policy := config.Groups[0]["policy"]
	config.Groups[0]["policy"] = map[string]any{"strict": true}
	daemon.Write(config)
	daemon.Restart()
	if code := daemon.Wait(); code != 64 {
		t.Errorf("a strict start with down-after 2s ends with code %d, want 64:\n%s", code, daemon.Text())
	}
	for _, number := range []string{"policy.strict", "lease (2s)", "down-after-milliseconds (2s)"} {
		if !strings.Contains(daemon.Text(), number) {
			t.Errorf("it does not name %s:\n%s", number, daemon.Text())
		}
	}
	if after := daemon.Redis.Config("min-replicas-to-write"); after != before || w.Record().Agreement.Address != "" {
		t.Errorf("it touched what it would not guard: min-replicas-to-write %s, was %s; agreement %+v", after, before, w.Record().Agreement)
	}
	config.Groups[0]["policy"] = policy
	daemon.Write(config)
}

// cutMasterOff is case d with a group that stands.
func cutMasterOff(t *testing.T, w *watched.World, d time.Duration) watched.Change {
	t.Helper()
	c := w.BeforeCut()
	w.Narrate()
	c.Cut("cut: the master sees nobody", func() { w.Isolate(c.Old().Host) })
	c.WaitWritten()
	w.Pause(shortOutage)
	change := c.Heal()
	w.WaitGuarded()
	t.Logf("D = %v: %s", d, change.Sum(d))
	return change
}

func noTimingFault(t *testing.T, daemon *watched.Watchdog, d time.Duration) {
	t.Helper()
	s := daemon.Status()
	if f := faultOf(s, "timing"); f != nil || s.DownAfter != d.Seconds() {
		t.Errorf("down-after %v s, fault %+v; want %v and none", s.DownAfter, f, d)
	}
}

func faultOf(s agent.Status, id string) *agent.Fault {
	for i := range s.Faults {
		if s.Faults[i].ID == id {
			return &s.Faults[i]
		}
	}
	return nil
}
