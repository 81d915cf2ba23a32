package scenario

// Case p: the planned failover, on real servers and under load.

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/redis-watchdog/redis-watchdog/lab"
	"github.com/redis-watchdog/redis-watchdog/lab/watched"
)

// failedOverBy is the output of failover -o json.
type failedOverBy struct {
	Outcome, Text, To string
	Blocked, Forced   []string
	Times             map[string]time.Duration
}

// planned runs the command. What the machine of a lab is blocked for, and only
// that, is overridden by name.
func planned(t *testing.T, d *watched.Watchdog, group string, to *lab.Redis) (failedOverBy, int) {
	t.Helper()
	args := []string{"failover", group, "--to", to.Address, "--yes", "-o", "json"}
	out, code := commanded(t, d, args...)
	if len(out.Blocked) > 0 {
		t.Logf("overridden: %v", out.Blocked)
		out, code = commanded(t, d, append(args, "--force", strings.Join(out.Blocked, ","), "--reason", "a lab is no production host")...)
	}
	return out, code
}

func commanded(t *testing.T, d *watched.Watchdog, args ...string) (failedOverBy, int) {
	t.Helper()
	text, code := d.CLI(args...)
	var out failedOverBy
	if i := strings.Index(text, "{"); i < 0 || json.NewDecoder(strings.NewReader(text[i:])).Decode(&out) != nil {
		t.Fatalf("%v ended with %d: %s", args, code, text)
	}
	return out, code
}

func configIs(r *lab.Redis, key, want string) error {
	if got := r.Config(key); got != want {
		return fmt.Errorf("%s of %s is %s, want %s", key, r.Name, got, want)
	}
	return nil
}

// clean: the operator's values are in force, the order is gone.
func clean(t *testing.T, w *watched.World) {
	t.Helper()
	w.WaitGuarded()
	w.Group.WaitReplicas()
	w.Eventually("no veto is left", 20*time.Second, func() error {
		for _, r := range w.Group.Redis {
			if err := configIs(r, "replica-priority", "100"); err != nil {
				return err
			}
		}
		return nil
	})
	if h := w.Record().PlannedFailover; h.ID != "" {
		t.Errorf("an order is left in etcd: %+v", h)
	}
}

func TestPlannedFailoverLosesNothing(t *testing.T) {
	t.Parallel()
	plannedLosesNothing(t, watched.Start(t, watched.Options{}))
}

func plannedLosesNothing(t *testing.T, w *watched.World) {
	t.Helper()
	old := w.WaitServing()
	to := w.Group.Redis[2]
	clients := w.Crowd()
	roles := w.Group.WatchRoles()
	began := w.Mark("the failover is ordered")
	out, code := planned(t, w.Watchdogs[1], w.Group.Name, to)
	if code != 0 || out.Outcome != "done" || out.To != to.Address {
		t.Fatalf("ended with %d: %+v", code, out)
	}
	t.Logf("times: %v", out.Times)
	clients.WaitOK(lab.Now())
	clean(t, w)
	writes, reads := clients.Stop()
	if lost := lab.Lost(writes, to); len(lost) != 0 {
		t.Errorf("%d acknowledged writes lost, want 0", len(lost))
	}
	if n := len(lab.OverlappingWrites(writes.On(old.Redis.Address), writes.On(to.Address))); n != 0 {
		t.Errorf("%d writes overlap, want 0", n)
	}
	at, wait := writes.LongestWait()
	t.Logf("writes: %s; longest wait %v, %v after the order; reads: %s", writes, wait, at.Sub(began), reads)
	for i, r := range w.Group.Redis {
		if c := roles[i].BecameMaster(began); (c.At != 0) != (r == to) && r != old.Redis {
			t.Errorf("%s became master: %v", r.Name, c.At != 0)
		}
	}
	order := []string{"held", "equal", "asked", "promoted", "agreed", "granted", "opened"}
	if !slices.IsSortedFunc(order, func(a, b string) int { return int(out.Times[a] - out.Times[b]) }) || out.Times["held"] == 0 {
		t.Errorf("the steps are out of order: %v", out.Times)
	}
	if history, _ := w.Watchdogs[1].CLI("history", w.Group.Name); !strings.Contains(history, "planned failover by") {
		t.Errorf("no record in the history:\n%s", history)
	}
}
