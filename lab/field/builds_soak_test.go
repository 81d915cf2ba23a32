//go:build soak

package field

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/redis-watchdog/redis-watchdog/lab"
	"github.com/redis-watchdog/redis-watchdog/lab/builds"
	"github.com/redis-watchdog/redis-watchdog/lab/watched"
	"github.com/redis-watchdog/redis-watchdog/watchdog/agent"
)

// A group of Debian 11, whose Redis lets scripts write through the write lock: it
// is said while all is well, a planned failover is refused, and the remedy for
// who uses no scripts is enough.
func TestScriptsPassTheLockOfAnOldBuildSoak(t *testing.T) {
	var w *watched.World
	c := builds.Redis60.Use(t, lab.GroupConfig{FailTimeout: 10 * time.Second}, func() *lab.Lab {
		if w == nil {
			return nil
		}
		return w.Lab
	})
	w = start(t, watched.Options{Group: c, Systemd: true})
	s := begin(t, w)
	s.done("nothing: the packages of Debian 11 are installed; redis-watchdog failover")
	for _, d := range w.Watchdogs {
		st := s.told(d, "lock_scripts", "6.0.16", "may be run by default", "upgrade to Redis 6.0.17", "-eval -evalsha")
		for _, f := range st.Faults {
			if f.ID == "lock_scripts" && f.Severity != agent.SeverityError {
				t.Errorf("%s: severity %s", d.Name, f.Severity)
			}
		}
		if st.Guarded || !st.Ready {
			t.Errorf("%s: guarded %t, ready %t; the promise is not kept there, and no waiting changes that", d.Name, st.Guarded, st.Ready)
		}
	}
	out, code := s.master.CLI("failover", w.Group.Name, "--yes")
	if code != 1 || !strings.Contains(out, "blocked by lock_scripts") {
		t.Fatalf("failover: exit code %d: %s", code, out)
	}
	s.undisturbed()

	for _, d := range w.Watchdogs {
		do(t, d, remedy(t, d, "lock_scripts"))
	}
	for _, d := range w.Watchdogs {
		d.WaitFor("has no fault of the lock", func(st agent.Status) bool {
			for _, f := range st.Faults {
				if f.ID == "lock_scripts" {
					return false
				}
			}
			return st.Guarded
		})
	}
	if out, code := s.master.CLI("failover", w.Group.Name, "--yes"); code != 0 {
		t.Fatalf("failover after the remedy: exit code %d: %s", code, out)
	}
	if now := w.WaitServing(); now == s.master {
		t.Errorf("%s is still the master", now.Name)
	}
}

// remedy is the lines of redis-cli that a fault's remedy has.
func remedy(t *testing.T, d *watched.Watchdog, fault string) (lines [][]string) {
	t.Helper()
	for _, f := range d.Status().Faults {
		if f.ID != fault {
			continue
		}
		for line := range strings.Lines(f.Remedy) {
			line, _, _ = strings.Cut(line, "#")
			if words := strings.Fields(line); len(words) > 5 && words[0] == "redis-cli" {
				lines = append(lines, words[1:])
			}
		}
	}
	if len(lines) == 0 {
		t.Fatalf("%s: the remedy of %s has no command", d.Name, fault)
	}
	return lines
}

// do runs them on the node's host.
func do(t *testing.T, d *watched.Watchdog, lines [][]string) {
	t.Helper()
	for i, words := range lines {
		p := d.Host.Start(fmt.Sprintf("redis-cli%d", i), "redis-cli", words...)
		if code := p.Wait(); code != 0 || !strings.Contains(p.Text(), "OK") {
			t.Fatalf("%s: %v: exit code %d: %s", d.Name, words, code, p.Text())
		}
	}
}
