package scenario

import (
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/redis-watchdog/redis-watchdog/lab"
	"github.com/redis-watchdog/redis-watchdog/lab/watched"
	"github.com/redis-watchdog/redis-watchdog/preflight"
)

// foundBy is what the command finds of a check and a node (empty: the group).
func foundBy(d *watched.Dog, to *lab.Redis, check, node string) (outcome, reason string, err error) {
	text, code := d.CLI("preflight", "mymaster", "--to", to.Address, "-o", "json")
	var report struct {
		Findings []struct{ Check, Node, Outcome, Reason string }
	}
	i := strings.Index(text, "{")
	if i < 0 || json.NewDecoder(strings.NewReader(text[i:])).Decode(&report) != nil {
		return "", "", fmt.Errorf("preflight ended with %d: %s", code, text)
	}
	for _, f := range report.Findings {
		if f.Check == check && f.Node == node {
			return f.Outcome, f.Reason, nil
		}
	}
	return "", "", fmt.Errorf("%s of %q was not judged", check, node)
}

// otherVersion is a watchdog of another version.
func otherVersion(t *testing.T) string {
	t.Helper()
	out := filepath.Join(t.TempDir(), "redis-watchdog")
	cmd := exec.CommandContext(t.Context(), "go", "build", "-ldflags=-X main.version=other", "-tags=failpoints", "-o", out, "../../cmd/redis-watchdog")
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	if text, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("build the watchdog: %v: %s", err, text)
	}
	return out
}

// TestCoordinatorAndWatchdogChecksFailAndPass makes each check of etcd, the
// grant and the watchdogs fail, and pass again, as the command tells it.
func TestCoordinatorAndWatchdogChecksFailAndPass(t *testing.T) {
	t.Parallel()
	w := watched.Start(t, watched.Options{Config: func(c *watched.Config) {
		c.Groups[0]["preflight"] = map[string]any{"shadow": "off"}
	}})
	master, other := w.WaitServing(), w.Dogs[2]
	to, mine := other.Redis, binaryOf(other)
	rights := func(rule string) func() {
		return func() {
			to.Do("ACL", "SETUSER", "default", rule)
			_, _ = to.Try("CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes")
		}
	}
	ordered := func(args ...string) func() {
		return func() {
			if text, code := master.CLI(args...); code != 0 {
				t.Fatalf("%v ended with %d: %s", args, code, text)
			}
		}
	}
	for _, c := range []struct {
		check, node string
		unsure      bool
		spoil, mend func()
	}{
		{"coordinator_members", "", false, func() { w.Etcd.Members[2].Kill() }, w.Etcd.Restart},
		{"coordinator_healthy", "", true, func() { w.Etcd.Members[1].Kill(); w.Etcd.Members[2].Kill() }, w.Etcd.Restart},
		{"maintenance", "", false, ordered("maintenance", "on", "mymaster", "--for", "10m"), ordered("maintenance", "off", "mymaster")},
		{"grant_held", "", false, func() { master.Kill() }, master.Restart},
		{"watchdog_covers", to.Address, false, func() { other.Kill() }, other.Restart},
		{"watchdog_report", to.Address, true, func() { other.Stop() }, func() { other.Cont() }},
		{"watchdog_fence", to.Address, false, rights("-replicaof"), rights("+@all")},
		{"watchdog_faults", to.Address, false, rights("-replicaof"), rights("+@all")},
		{"watchdog_veto", to.Address, false, func() { to.Do("CONFIG", "SET", "maxmemory", "1mb") }, func() { to.Do("CONFIG", "SET", "maxmemory", "0") }},
		{"watchdog_versions", "", false, func() { mine(otherVersion(t)) }, func() { mine(master.Binary) }},
	} {
		bad := preflight.Failed
		if c.unsure {
			bad = preflight.Unknown
		}
		w.Mark("%s is made to fail", c.check)
		c.spoil()
		becomes(w, master, to, c.check, c.node, bad)
		c.mend()
		becomes(w, master, to, c.check, c.node, preflight.Passed)
		w.WaitGuarded()
	}
}

// binaryOf restarts a watchdog with another binary.
func binaryOf(d *watched.Dog) func(string) {
	return func(binary string) {
		d.Term()
		d.Binary = binary
		d.Restart()
	}
}

func becomes(w *watched.World, d *watched.Dog, to *lab.Redis, check, node string, want preflight.Outcome) {
	w.T.Helper()
	w.Eventually(fmt.Sprintf("%s of %q is %s", check, node, want), time.Minute, func() error {
		outcome, reason, err := foundBy(d, to, check, node)
		if err == nil && outcome != want.String() {
			err = fmt.Errorf("it is %s: %s", outcome, reason)
		}
		return err
	})
}
