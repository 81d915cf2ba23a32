package scenario

// Case g: the configuration changed while the watchdogs run.

import (
	"fmt"
	"os"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/redis-watchdog/redis-watchdog/lab"
	"github.com/redis-watchdog/redis-watchdog/lab/watched"
	"github.com/redis-watchdog/redis-watchdog/watchdog/agent"
)

// reloaded has the watchdog read its configuration again, and waits until it
// says what came of it: the last line of the log about it.
func reloaded(w *watched.World, d *watched.Watchdog) string {
	w.T.Helper()
	told := func() (lines []string) {
		for line := range strings.Lines(d.Text()) {
			if strings.Contains(line, "configuration taken over") || strings.Contains(line, "configuration refused") {
				lines = append(lines, line)
			}
		}
		return lines
	}
	before := len(told())
	d.Signal(syscall.SIGHUP)
	w.Eventually(d.Name+" has read its configuration again", 20*time.Second, func() error {
		if len(told()) == before {
			return fmt.Errorf("it says nothing")
		}
		return nil
	})
	lines := told()
	return lines[len(lines)-1]
}

// rewritten changes one thing in a watchdog's file.
func rewritten(d *watched.Watchdog, change func(*watched.Config)) {
	c := d.Config()
	change(&c)
	d.Write(c)
}

// Rules and servers are changed under load, each by a reload; files that are
// wrong, or would not work, are refused. No client notices any of it, and the
// fence stands throughout: there is no descriptor store here that could keep it.
func TestConfigurationReloadedUnderLoad(t *testing.T) {
	t.Parallel()
	w := watched.Start(t, watched.Options{Group: lab.GroupConfig{DownAfter: 5 * time.Second, FailTimeout: 10 * time.Second}})
	master := w.WaitServing()
	replica := w.Others(master)[0]
	clients, quiet := w.Crowd(), w.Churn()
	before := w.Record()

	w.Mark("the rules of a replica are changed")
	if got := replica.Redis.Config("min-replicas-to-write"); got == "0" {
		t.Fatalf("min-replicas-to-write of a guarded replica is 0: nothing to see")
	}
	unlocked := func(c *watched.Config) { c.Groups[0]["policy"].(map[string]any)["born_locked"] = false }
	rewritten(replica, unlocked)
	if line := reloaded(w, replica); !strings.Contains(line, "taken over") || !strings.Contains(line, `taken_anew=""`) || !strings.Contains(line, "rules=1") {
		t.Errorf("other rules are more than other rules: %s", line)
	}
	w.Eventually("the replica's lock is taken off", 20*time.Second, func() error {
		if got := replica.Redis.Config("min-replicas-to-write"); got != "0" {
			return fmt.Errorf("min-replicas-to-write is %s", got)
		}
		return nil
	})

	refusedFiles(t, w, replica)
	w.Mark("the replica's lock stays off: the rules read last are in force")
	if got := replica.Redis.Config("min-replicas-to-write"); got != "0" {
		t.Errorf("min-replicas-to-write is %s after a refused reload, was 0", got)
	}

	for _, d := range w.Watchdogs {
		w.Mark("%s is told its Sentinels in another order", d.Name)
		rewritten(d, func(c *watched.Config) { slices.Reverse(c.Groups[0]["sentinels"].([]string)) })
		if line := reloaded(w, d); !strings.Contains(line, "taken_anew="+w.Group.Name) {
			t.Errorf("%s: the group is not taken over anew: %s", d.Name, line)
		}
		w.WaitGuarded()
	}
	w.Mark("all are told the members of etcd in another order, at once")
	for _, d := range w.Watchdogs {
		rewritten(d, func(c *watched.Config) { slices.Reverse(c.Etcd["endpoints"].([]string)) })
		d.Signal(syscall.SIGHUP)
	}
	for _, d := range w.Watchdogs {
		w.Eventually(d.Name+" has taken it over", 20*time.Second, func() error {
			if n := strings.Count(d.Text(), "taken_anew="+w.Group.Name); n != 2 {
				return fmt.Errorf("its group was taken over anew %d times", n)
			}
			return nil
		})
	}
	w.WaitGuarded()

	if n := strings.Count(master.Text(), "armed fence taken over"); n != 2 {
		t.Errorf("the armed fence was handed over %d times, want 2", n)
	}
	clients.WaitOK(lab.Now())
	writes, reads := clients.Stop()
	noticedNothing(t, w, writes, reads)
	if n := quiet.Counts(); n.Roles != 0 || n.Switches != 0 || n.Down != 0 || n.Stopped != 0 {
		t.Errorf("%s; want none of it", n)
	}
	after := w.Record()
	if after.Agreement.Agreement() != before.Agreement.Agreement() || after.Grant.Holder != before.Grant.Holder || !after.Grant.ClaimedAt.Equal(before.Grant.ClaimedAt) {
		t.Errorf("agreement %+v and grant %+v, were %+v and %+v", after.Agreement, after.Grant, before.Agreement, before.Grant)
	}
}

// refusedFiles: each is refused as a whole, every fault named, by everything
// that shows faults.
func refusedFiles(t *testing.T, w *watched.World, d *watched.Watchdog) {
	t.Helper()
	right, err := os.ReadFile(d.ConfigFile)
	if err != nil {
		t.Fatal(err)
	}
	for _, wrong := range []struct {
		what   string
		change func(*watched.Config)
		named  []string
	}{
		{"two typing errors", func(c *watched.Config) {
			c.Groups[0]["policy"].(map[string]any)["born_lokced"] = true
			c.Log["level"] = "loud"
		}, []string{"born_lokced", "log.level"}},
		{"a password instead of its file", func(c *watched.Config) {
			c.Etcd["username"], c.Etcd["password_file"] = "root", "hunter2"
		}, []string{"etcd.password_file"}},
		{"what a reload cannot change", func(c *watched.Config) {
			c.Etcd["prefix"], c.StateDir = "/elsewhere/", c.StateDir+"-other"
		}, []string{"etcd.prefix", "state_dir", "systemctl restart"}},
		{"no etcd where it says", func(c *watched.Config) {
			for i, e := range c.Etcd["endpoints"].([]string) {
				c.Etcd["endpoints"].([]string)[i] = strings.Replace(e, ":2379", ":2999", 1)
			}
		}, []string{"etcd", "does not work"}},
		{"no Redis and no Sentinels where it says", func(c *watched.Config) {
			node := c.Groups[0]["nodes"].([]map[string]any)[0]
			node["address"] = strings.Replace(node["address"].(string), ":6379", ":6999", 1)
			for i, s := range c.Groups[0]["sentinels"].([]string) {
				c.Groups[0]["sentinels"].([]string)[i] = strings.Replace(s, ":26379", ":26999", 1)
			}
		}, []string{"groups[0].nodes[0]", "groups[0].sentinels", "does not work"}},
	} {
		w.Mark("%s: %s", d.Name, wrong.what)
		begun := len(d.Text())
		rewritten(d, wrong.change)
		if line := reloaded(w, d); !strings.Contains(line, "configuration refused") {
			t.Errorf("%s: it is not refused: %s", wrong.what, line)
			continue
		}
		s := d.WaitFor("says that it was refused", func(s agent.Status) bool { return hasFault(s, "reload_refused") })
		text := s.Faults[slices.IndexFunc(s.Faults, func(f agent.Fault) bool { return f.ID == "reload_refused" })].Text
		log := d.Text()[begun:]
		for _, name := range wrong.named {
			if !strings.Contains(log, name) {
				t.Errorf("%s: the log does not name %s", wrong.what, name)
			}
			if !strings.Contains(text, name) && name != "systemctl restart" {
				t.Errorf("%s: status does not name %s: %s", wrong.what, name, text)
			}
		}
		if strings.Contains(log+text+d.Page(), "hunter2") {
			t.Errorf("%s: it is shown", wrong.what)
		}
		// The command line reads the same file, and asks the watchdog all the same.
		out, code := d.CLI("status")
		if code != 1 || !strings.Contains(out, "reload_refused") || !strings.Contains(out, d.Redis.Address) {
			t.Errorf("%s: status ends with %d:\n%s", wrong.what, code, out)
		}
		check, _ := d.CLI("check-config")
		if strings.Contains(out+check, "hunter2") {
			t.Errorf("%s: the command line shows it:\n%s%s", wrong.what, out, check)
		}
		metricShows(w, d, "redis_watchdog_config_last_reload_successful 0")
	}
	if err := os.WriteFile(d.ConfigFile, right, 0o600); err != nil {
		t.Fatal(err)
	}
	reloaded(w, d)
	d.WaitFor("says no more that it was refused", func(s agent.Status) bool { return s.Guarded && !hasFault(s, "reload_refused") })
	metricShows(w, d, "redis_watchdog_config_last_reload_successful 1")
}

func metricShows(w *watched.World, d *watched.Watchdog, line string) {
	w.T.Helper()
	w.Eventually(d.Name+" has the metric "+line, 10*time.Second, func() error {
		if page := d.Metrics(); !strings.Contains(page, line) {
			return fmt.Errorf("it is not among %d bytes", len(page))
		}
		return nil
	})
}

// A watchdog is told of a second group with two Redis, then of one of them no
// more, then of none. What comes is guarded; what goes is left as by a stop of
// the service: disarmed, said to be unguarded, no client harmed. The first group
// is not touched.
func TestGroupsAndNodesReloaded(t *testing.T) {
	t.Parallel()
	down := 5 * time.Second
	first := watched.Start(t, watched.Options{Group: lab.GroupConfig{DownAfter: down, FailTimeout: 10 * time.Second}})
	second := watched.StartIn(first.Lab, t, watched.Options{Names: []string{"f", "g", "h"}, Hosts: 2, On: first.Etcd, Paused: true,
		Group: lab.GroupConfig{Name: "second", DownAfter: down, FailTimeout: 10 * time.Second}})
	d := first.WaitServing()
	ones, others := first.Crowd(), second.Crowd()
	quiet, quietToo := first.Churn(), second.Churn()
	master, replica := second.Group.Redis[0], second.Group.Redis[1]

	group := func(nodes ...*lab.Redis) map[string]any {
		g := map[string]any{"name": "second", "sentinels": second.Watchdogs[0].Config().Groups[0]["sentinels"], "policy": map[string]any{}}
		var all []map[string]any
		for _, r := range nodes {
			all = append(all, map[string]any{"name": r.Host.Name, "address": r.Address})
		}
		g["nodes"] = all
		return g
	}
	shown := func(want ...string) {
		t.Helper()
		first.Eventually(fmt.Sprintf("%s guards %v", d.Name, want), time.Minute, func() error {
			var all []agent.Status
			if err := d.JSON("/status", &all); err != nil {
				return err
			}
			var got []string
			for _, s := range all {
				if !s.Guarded {
					return fmt.Errorf("%s/%s is not guarded: row %d %s, %v", s.Group, s.Node, s.Row, s.Reason, s.Faults)
				}
				got = append(got, s.Group+"/"+s.Node)
			}
			if !slices.Equal(got, want) {
				return fmt.Errorf("it shows %v", got)
			}
			return nil
		})
	}
	own := first.Group.Name + "/default"

	first.Mark("a second group comes")
	rewritten(d, func(c *watched.Config) { c.Groups = append(c.Groups, group(master, replica)) })
	reloaded(first, d)
	shown(own, "second/f", "second/g")
	first.Eventually("its master is under an armed fence", 20*time.Second, func() error {
		if n := watched.ArmedFences(master); n == 0 {
			return fmt.Errorf("none stands")
		}
		return nil
	})

	first.Mark("its replica goes")
	rewritten(d, func(c *watched.Config) { c.Groups = append(c.Groups, group(master)) })
	reloaded(first, d)
	shown(own, "second/f")
	unguarded(t, second, replica)
	if strings.Contains(d.Metrics(), `master_name="second",node="g"`) {
		t.Errorf("the node that went has metrics still")
	}

	first.Mark("all of it goes")
	d.Write(d.Config())
	reloaded(first, d)
	shown(own)
	unguarded(t, second, master)
	first.Eventually("its master is disarmed", 10*time.Second, func() error {
		if n := watched.ArmedFences(master); n != 0 {
			return fmt.Errorf("%d armed fences stand", n)
		}
		return nil
	})
	first.Eventually("its grant has lapsed", 2*down, func() error {
		if g := second.Record().Grant; g.Holder != "" {
			return fmt.Errorf("%s holds it", g.Holder)
		}
		return nil
	})

	if n := strings.Count(d.Text(), "armed fence taken over"); n != 1 {
		t.Errorf("%d armed fences were handed over, want the second group's, once", n)
	}
	for _, side := range []struct {
		w     *watched.World
		crowd *watched.Crowd
		churn func() watched.Counts
	}{{first, ones, quiet.Counts}, {second, others, quietToo.Counts}} {
		side.crowd.WaitOK(lab.Now())
		writes, reads := side.crowd.Stop()
		if n := len(writes.Failed()) + len(reads.Failed()); n != 0 {
			t.Errorf("%s: %d commands failed (writes: %s; reads: %s), want 0", side.w.Group.Name, n, writes, reads)
		}
		if lost := lab.Lost(writes, side.w.Group.Master()); len(lost) != 0 {
			t.Errorf("%s: %d acknowledged writes are lost", side.w.Group.Name, len(lost))
		}
		if n := side.churn(); n.Roles != 0 || n.Switches != 0 || n.Down != 0 {
			t.Errorf("%s: %s; want none of it", side.w.Group.Name, n)
		}
	}
}

// unguarded: etcd says that nobody guards it.
func unguarded(t *testing.T, w *watched.World, r *lab.Redis) {
	t.Helper()
	w.Eventually("etcd shows "+r.Address+" unguarded", 10*time.Second, func() error {
		if report := w.Record().Nodes[r.Address]; report != "" && !strings.Contains(report, `"guarded":false`) {
			return fmt.Errorf("its report is %s", report)
		}
		return nil
	})
}
