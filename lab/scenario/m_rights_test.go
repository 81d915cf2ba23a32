package scenario

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/redis-watchdog/redis-watchdog/lab"
	"github.com/redis-watchdog/redis-watchdog/lab/watched"
)

// denials is what a server refused the watchdog, as its ACL LOG has it.
func denials(t *testing.T, name string, ask func(...any) (any, error)) (out []string) {
	t.Helper()
	reply, err := ask("ACL", "LOG")
	if err != nil {
		t.Fatalf("ACL LOG of %s: %v", name, err)
	}
	entries, _ := reply.([]any)
	for _, e := range entries {
		if text := fmt.Sprint(e); strings.Contains(text, "redis-watchdog") {
			out = append(out, name+": "+text)
		}
	}
	return out
}

func noDenials(t *testing.T, w *watched.World) {
	t.Helper()
	var all []string
	for _, r := range w.Group.Redis {
		if r.Running() {
			all = append(all, denials(t, r.Name, r.Try)...)
		}
	}
	for _, s := range w.Group.Sentinels {
		all = append(all, denials(t, s.Name, s.Try)...)
	}
	for _, line := range all {
		t.Errorf("refused: %s", line)
	}
}

func noFaults(t *testing.T, w *watched.World) {
	t.Helper()
	w.Eventually("no watchdog has a fault", 20*time.Second, func() error {
		for _, d := range w.Watchdogs {
			if s := d.Status(); len(s.Faults) > 0 {
				return fmt.Errorf("%s: %+v", d.Name, s.Faults)
			}
		}
		return nil
	})
}

// TestRightsOfInstallAreEnough is case m, all right: users of exactly the rights
// that docs/install.md names, passwords and TLS everywhere. A cut, a killed master,
// an order of fence and a release are gone through with them, and nobody ever
// had to refuse the watchdog anything.
func TestRightsOfInstallAreEnough(t *testing.T) {
	t.Parallel()
	w, _ := secured(t, watched.Options{Group: lab.GroupConfig{FailTimeout: 10 * time.Second}})
	w.Narrate()
	noFaults(t, w)

	c := w.BeforeCut()
	c.Cut("cut: the master sees nobody", func() { w.Isolate(c.Old().Host) })
	c.WaitWritten()
	w.Pause(2 * time.Second)
	change := c.Heal()
	w.WaitGuarded()
	t.Logf("cut: %s", change.Sum(downAfter))
	contractOfFence(t, change)
	noDenials(t, w)

	// The user outlives its Redis: docs/install.md has it written down.
	old := w.Group.Master()
	writer := c.Old().Host.Writer(lab.LoadConfig{Sentinels: w.Group.Sentinels, As: old})
	killed := old.Kill()
	w.WaitAgreed(w.Group.WaitMaster(w.Group.Replicas(old)...))
	writer.WaitOK(killed, 20*time.Second)
	writer.Stop()
	old.Restart()
	w.Group.WaitReplicas()
	w.WaitGuarded()

	master := w.WaitServing()
	order(t, master, "fence", w.Group.Name)
	w.Eventually("it is fenced by hand", 10*time.Second, func() error {
		if role := master.Redis.Role(); role.Following != "127.0.0.1:0" {
			return fmt.Errorf("it is %s", role) // silent: a fence cut the question off
		}
		return nil
	})
	order(t, master, "unfence", w.Group.Name)
	w.WaitGuarded()
	one := w.Others(w.WaitServing())[0]
	order(t, one, "release", w.Group.Name)
	order(t, one, "unfence", w.Group.Name)
	w.WaitGuarded()
	noDenials(t, w)
	noFaults(t, w)
}

func order(t *testing.T, d *watched.Watchdog, args ...string) {
	t.Helper()
	if out, code := d.CLI(args...); code != 0 {
		t.Errorf("%s: exit code %d: %s", strings.Join(args, " "), code, out)
	}
}
