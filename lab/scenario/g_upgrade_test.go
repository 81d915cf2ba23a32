package scenario

// Case g: the watchdog stopped, started, upgraded while its Redis serves;
// installed beside a running group for the first time, also with a coordinator
// that is configured wrongly.

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/redis-watchdog/redis-watchdog/lab"
	"github.com/redis-watchdog/redis-watchdog/lab/watched"
	"github.com/redis-watchdog/redis-watchdog/watchdog/agent"
)

// Stopped in order, started after its grant has lapsed, restarted, upgraded to
// another binary, killed: no client fails, and Sentinel sees nothing of it.
func TestWatchdogStoppedStartedUpgraded(t *testing.T) {
	t.Parallel()
	w := watched.Start(t, watched.Options{Systemd: true, Group: lab.GroupConfig{DownAfter: 5 * time.Second, FailTimeout: 10 * time.Second}})
	master := w.WaitServing()
	clients, quiet := w.Crowd(), w.Churn()
	agreed := w.Record().Agreement.Agreement()

	w.Mark("the master's watchdog is stopped")
	stopInOrder(master)
	unguardedInEtcd(t, w, master)
	if n := watched.ArmedFences(master.Redis); n != 0 {
		t.Errorf("%d armed fences stand after an orderly stop, want 0: nobody puts them off", n)
	}
	w.Eventually("the grant has lapsed", 20*time.Second, func() error {
		if g := w.Record().Grant; g.Holder != "" {
			return fmt.Errorf("%s holds it", g.Holder)
		}
		return nil
	})
	w.Pause(time.Second) // and nobody else takes it
	if g := w.Record().Grant; g.Holder != "" {
		t.Errorf("%s took the grant of a master that serves", g.Holder)
	}
	w.Mark("the master's watchdog is started again")
	master.Restart()
	w.WaitGuarded()

	for _, d := range w.Watchdogs {
		w.Mark("%s is restarted", d.Name)
		d.Term()
		d.Restart()
		w.WaitGuarded()
	}
	upgraded := buildVersion(t, w, "2.0.0-lab")
	for _, d := range w.Watchdogs {
		w.Mark("%s is upgraded", d.Name)
		d.Binary = upgraded
		d.Term()
		d.Restart()
		w.WaitGuarded()
		if page := d.Metrics(); !strings.Contains(page, `version="2.0.0-lab"`) {
			t.Errorf("%s is not the other binary", d.Name)
		}
	}
	w.Mark("all watchdogs are killed at once, and started")
	for _, d := range w.Watchdogs {
		d.Kill()
	}
	for _, d := range w.Watchdogs {
		d.Restart()
	}
	w.WaitGuarded()

	clients.WaitOK(lab.Now())
	writes, reads := clients.Stop()
	noticedNothing(t, w, writes, reads)
	if n := quiet.Counts(); n.Roles != 0 || n.Switches != 0 || n.Down != 0 {
		t.Errorf("%s; want none of it", n)
	}
	if after := w.Record().Agreement.Agreement(); after != agreed {
		t.Errorf("agreement is %+v, was %+v", after, agreed)
	}
}

// stopInOrder is systemctl stop: the store is emptied with it.
func stopInOrder(d *watched.Watchdog) {
	d.Term()
	d.Systemd.Empty()
}

// unguardedInEtcd: whoever asks another host hears that nobody guards it.
func unguardedInEtcd(t *testing.T, w *watched.World, d *watched.Watchdog) {
	t.Helper()
	w.Eventually("etcd shows "+d.Name+" unguarded", 10*time.Second, func() error {
		report, ok := w.Record().Nodes[d.Redis.Address]
		if ok && !strings.Contains(report, `"guarded":false`) {
			return fmt.Errorf("its report is %s", report)
		}
		return nil
	})
	other := w.Others(d)[0]
	out, code := other.CLI("status")
	if code != 1 || !strings.Contains(out, d.Redis.Address) {
		t.Errorf("status on %s: exit code %d, want 1 and a word about %s:\n%s", other.Name, code, d.Redis.Address, out)
	}
}

// buildVersion is the watchdog built as another version.
func buildVersion(t *testing.T, w *watched.World, version string) string {
	t.Helper()
	path := filepath.Join(w.Dir(), "redis-watchdog-"+version)
	cmd := exec.Command("go", "build", "-tags", "failpoints", "-ldflags", "-X main.version="+version, "-o", path, "../../cmd/redis-watchdog")
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("build the watchdog as %s: %v: %s", version, err, out)
	}
	return path
}

// operators is a redis.conf in which nothing that the gate changes has its
// default.
func operators() lab.RedisConfig {
	return lab.RedisConfig{Lines: []string{"min-replicas-to-write 1", "min-replicas-max-lag 7", "replica-priority 42"}}
}

// The watchdogs come to a group that has served for long, one host after the
// other, the replicas first, as an operator does it.
func TestWatchdogInstalledBesideRunningGroup(t *testing.T) {
	t.Parallel()
	w := watched.Start(t, watched.Options{Paused: true, Group: lab.GroupConfig{FailTimeout: 10 * time.Second, Redis: operators()}})
	clients, quiet := w.Crowd(), w.Churn()
	for _, d := range slices.Backward(w.Watchdogs) {
		w.Mark("%s is installed", d.Name)
		d.Restart()
		d.WaitFor("is guarded", func(s agent.Status) bool { return s.Guarded })
	}
	w.WaitGuarded()
	w.Pause(time.Second)
	clients.WaitOK(lab.Now())
	writes, reads := clients.Stop()
	noticedNothing(t, w, writes, reads)
	if n := quiet.Counts(); n != (watched.Counts{}) {
		t.Errorf("%s; want none of it", n)
	}
	master := w.Group.Master()
	for key, want := range map[string]string{"min-replicas-to-write": "1", "min-replicas-max-lag": "7", "replica-priority": "42", "replica-serve-stale-data": "yes"} {
		if got := master.Config(key); got != want {
			t.Errorf("%s of the master is %s, was %s", key, got, want)
		}
	}
}

// Installed with a coordinator that cannot be reached, or that refuses the
// password: no client notices, a failover neither; everything says so; and
// once it is corrected the group is guarded.
func TestWatchdogInstalledWithWrongCoordinator(t *testing.T) {
	t.Parallel()
	t.Run("port", func(t *testing.T) {
		t.Parallel()
		installedWrongly(t, watched.Options{}, "etcd_unreachable", func(etcd map[string]any) {
			for i, e := range etcd["endpoints"].([]string) {
				etcd["endpoints"].([]string)[i] = strings.Replace(e, ":2379", ":2999", 1)
			}
		})
	})
	t.Run("password", func(t *testing.T) {
		t.Parallel()
		secured := watched.Options{
			Cluster: lab.EtcdConfig{RootPassword: "right", Args: []string{"--bcrypt-cost=4"}}, // the dear one takes longer than a round here
			Config:  func(c *watched.Config) { c.Etcd["username"], c.Etcd["password_file"] = "root", secret(t, "right") },
		}
		installedWrongly(t, secured, "etcd_auth", func(etcd map[string]any) { etcd["password_file"] = secret(t, "wrong") })
	})
}

// secret is a file with a password in it.
func secret(t *testing.T, password string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "password")
	if err := os.WriteFile(path, []byte(password+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func installedWrongly(t *testing.T, o watched.Options, fault string, spoil func(etcd map[string]any)) {
	right := o.Config
	var configs []watched.Config // the right ones, in the order of the watchdogs
	o.Config = func(c *watched.Config) {
		if right != nil {
			right(c)
		}
		kept := *c
		configs = append(configs, kept)
		wrong := map[string]any{"endpoints": slices.Clone(c.Etcd["endpoints"].([]string))}
		for key, value := range c.Etcd {
			if key != "endpoints" {
				wrong[key] = value
			}
		}
		spoil(wrong)
		c.Etcd = wrong
	}
	o.Paused, o.Group = true, lab.GroupConfig{FailTimeout: 10 * time.Second, Redis: operators()}
	w := watched.Start(t, o)
	clients, quiet := w.Crowd(), w.Churn()
	w.Mark("all watchdogs are installed, with a wrong configuration")
	for _, d := range w.Watchdogs {
		d.Restart()
	}
	for _, d := range w.Watchdogs {
		loud(t, w, d, fault)
	}
	w.Pause(2 * downAfter) // longer than D and than any lease
	clients.WaitOK(lab.Now())
	writes, reads := clients.Writes(), clients.Reads()
	if n := len(writes.Failed()) + len(reads.Failed()); n != 0 {
		t.Errorf("%d commands failed (writes: %s; reads: %s), want 0", n, writes, reads)
	}
	if n := quiet.Counts(); n != (watched.Counts{}) {
		t.Errorf("%s; want none of it", n)
	}

	// Sentinel's failovers go on as they did: who has never been guarded is
	// not locked by a watchdog that cannot open it.
	killed := w.Group.Redis[0].Kill()
	master := w.Group.WaitMaster(w.Group.Redis[1:]...)
	w.Group.Redis[0].Restart()
	clients.WaitOK(killed.Add(time.Second))
	w.Group.WaitReplicas()
	w.Mark("%s was promoted, and serves", master.Name)

	fixed := w.Mark("the configuration is corrected")
	for i, d := range w.Watchdogs {
		d.Write(configs[i])
		d.Restart()
	}
	w.WaitGuarded()
	clients.WaitOK(lab.Now())
	writes, reads = clients.Stop()
	if n := len(writes.Sent(fixed, lab.Now()).Failed()) + len(reads.Sent(fixed, lab.Now()).Failed()); n != 0 {
		t.Errorf("%d commands failed after the correction (writes: %s; reads: %s), want 0", n, writes.Sent(fixed, lab.Now()), reads.Sent(fixed, lab.Now()))
	}
}

// loud: status page, /readyz, the exit code of status and the log say it.
func loud(t *testing.T, w *watched.World, d *watched.Watchdog, fault string) {
	t.Helper()
	d.WaitFor("shows "+fault, func(s agent.Status) bool {
		return !s.Guarded && slices.ContainsFunc(s.Faults, func(f agent.Fault) bool {
			return f.ID == fault && f.Severity == agent.SeverityError && f.Text != "" && f.Remedy != ""
		})
	})
	if code := d.Get("/readyz"); code != 503 {
		t.Errorf("%s: /readyz answers %d, want 503", d.Name, code)
	}
	if out, code := d.CLI("status"); code != 1 && code != 2 || !strings.Contains(out, fault) {
		t.Errorf("%s: status ends with %d and does not speak of %s:\n%s", d.Name, code, fault, out)
	}
	w.Eventually(d.Name+" logs an error", 20*time.Second, func() error {
		for line := range strings.Lines(d.Text()) {
			if strings.Contains(line, "[ERROR]") && strings.Contains(line, "id="+fault) {
				return nil
			}
		}
		return fmt.Errorf("there is none with id=%s", fault)
	})
}
