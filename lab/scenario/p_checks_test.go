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

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"

	"github.com/redis-watchdog/redis-watchdog/lab"
	"github.com/redis-watchdog/redis-watchdog/lab/watched"
	"github.com/redis-watchdog/redis-watchdog/preflight"
)

// foundBy is what the command finds of a check and a node (empty: the group).
// What blocks and does not pass ends it with another code than 0.
func foundBy(d *watched.Watchdog, to *lab.Redis, check, node string) (outcome, reason string, err error) {
	args := []string{"preflight", "mymaster", "--to", to.Address, "-o", "json"}
	if check == "replication_probe" {
		args = append(args, "--probe-key")
	}
	text, code := d.CLI(args...)
	var report struct {
		Findings []struct{ Check, Node, Severity, Outcome, Reason string }
	}
	i := strings.Index(text, "{")
	if i < 0 || json.NewDecoder(strings.NewReader(text[i:])).Decode(&report) != nil {
		return "", "", fmt.Errorf("preflight ended with %d: %s", code, text)
	}
	for _, f := range report.Findings {
		if f.Check == check && f.Node == node {
			if f.Severity == string(preflight.Blocks) && f.Outcome != preflight.Passed.String() && code == 0 {
				return f.Outcome, f.Reason, fmt.Errorf("%s is %s, and preflight ended with 0", check, f.Outcome)
			}
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
	w := watched.Start(t, watched.Options{Paused: true, Config: func(c *watched.Config) {
		c.Groups[0]["preflight"] = map[string]any{"shadow": "off"}
		// As docs/install.md has it: its own way to Redis is not that of the clients.
		c.Groups[0]["nodes"].([]map[string]any)[0]["address"] = "127.0.0.1:6379"
	}})
	// Before the first watchdog etcd knows of no master.
	becomes(w, w.Watchdogs[0], w.Group.Redis[2], "coordinator_agreement", "", preflight.Failed)
	for _, d := range w.Watchdogs {
		d.Restart()
	}
	w.WaitGuarded()
	master, other := w.WaitServing(), w.Watchdogs[2]
	becomes(w, master, other.Redis, "coordinator_agreement", "", preflight.Passed)
	w.Eventually("a failover may go ahead, which is exit code 0", time.Minute, func() error {
		if text, code := master.CLI("preflight", "mymaster", "--to", other.Redis.Address); code != 0 || !strings.HasPrefix(text, "MAY GO") {
			return fmt.Errorf("it ended with %d: %s", code, text)
		}
		return nil
	})
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
		{"coordinator_writable", "", false, func() { w.Etcd.Raise(pb.AlarmType_NOSPACE) }, w.Etcd.Disarm},
		{"maintenance", "", false, ordered("maintenance", "on", "mymaster", "--for", "10m"), ordered("maintenance", "off", "mymaster")},
		{"grant_held", "", false, func() { master.Kill() }, master.Restart},
		{"watchdog_covers", to.Address, false, func() { other.Kill() }, other.Restart},
		{"watchdog_report", to.Address, true, func() { other.Stop() }, func() { other.Cont() }},
		{"watchdog_fence", to.Address, false, rights("-replicaof"), rights("+@all")},
		{"watchdog_faults", to.Address, false, rights("-replicaof"), rights("+@all")},
		{"watchdog_veto", to.Address, false, func() { to.Do("CONFIG", "SET", "maxmemory", "1mb") }, func() { to.Do("CONFIG", "SET", "maxmemory", "0") }},
		{"replication_probe", to.Address, false, func() { to.Stop() }, func() { to.Cont() }},
		{"parity_reach", to.Address, false, set(to, "protected-mode", "yes"), set(to, "protected-mode", "no")},
		{"parity_reach", to.Address, false, set(to, "bind", "127.0.0.1"), set(to, "bind", "127.0.0.1 "+to.Host.IP)},
		{"memory_trend", to.Address, false, func() { grows(master.Redis, to) }, func() { master.Redis.Do("DEL", "large"); set(to, "maxmemory", "0")() }},
		{"coordinator_stale_reads", "", false, func() { asks(master, oldEtcd(w)) }, func() { master.Write(master.Config()) }},
		{"watchdog_versions", "", false, func() { mine(otherVersion(t)) }, func() { mine(master.Binary) }},
		// Two of four on one host, then of five: these are not taken back.
		{"sentinel_spread", "", false, func() { another(w, master) }, func() { another(w, other) }},
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

func set(r *lab.Redis, name, value string) func() {
	return func() { r.Do("CONFIG", "SET", name, value) }
}

// grows has the data grow faster than the candidate's limit is away.
func grows(master, to *lab.Redis) {
	to.Do("CONFIG", "SET", "maxmemory", "1gb")
	master.Do("SETRANGE", "large", 60<<20, "x")
}

// oldEtcd is a member whose reads can be stale.
func oldEtcd(w *watched.World) *lab.Etcd {
	binary, err := filepath.Abs("../../.tools/oldetcd")
	if err == nil {
		_, err = os.Stat(binary)
	}
	if err != nil {
		w.T.Fatalf("no old etcd (make setup): %v", err)
	}
	return w.Lab.Etcd(lab.EtcdConfig{Binary: binary, Fsync: true}, w.Host("old")) // it cannot do without
}

// asks has the commands of a host ask that etcd; its watchdog goes on as it is.
func asks(d *watched.Watchdog, e *lab.Etcd) {
	c := d.Config()
	c.Etcd["endpoints"] = e.Endpoints()
	d.Write(c)
}

// another Sentinel on a watchdog's host.
func another(w *watched.World, d *watched.Watchdog) {
	s := d.Host.Sentinel(lab.SentinelConfig{Port: 26479, Monitors: []lab.Monitor{{
		Group: w.Group.Name, Master: w.WaitServing().Redis, Quorum: 2, DownAfter: downAfter}}})
	w.Mark("%s watches too", s.Name)
}

// binaryOf restarts a watchdog with another binary.
func binaryOf(d *watched.Watchdog) func(string) {
	return func(binary string) {
		d.Term()
		d.Binary = binary
		d.Restart()
	}
}

func becomes(w *watched.World, d *watched.Watchdog, to *lab.Redis, check, node string, want preflight.Outcome) {
	w.T.Helper()
	w.Eventually(fmt.Sprintf("%s of %q is %s", check, node, want), time.Minute, func() error {
		outcome, reason, err := foundBy(d, to, check, node)
		if err == nil && outcome != want.String() {
			err = fmt.Errorf("it is %s: %s", outcome, reason)
		}
		return err
	})
}
