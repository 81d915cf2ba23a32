//go:build soak

package field

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/redis-watchdog/redis-watchdog/lab"
	"github.com/redis-watchdog/redis-watchdog/lab/builds"
	"github.com/redis-watchdog/redis-watchdog/lab/watched"
	"github.com/redis-watchdog/redis-watchdog/preflight"
	"github.com/redis-watchdog/redis-watchdog/watchdog/agent"
)

// A rolling upgrade, as it is done: the replicas first, one after the other, and
// then the master, by a planned failover or because it dies. Users are the same on
// both builds, as they were typed, and nobody is vetoed for how they are listed.
// What the old master makes of the new one's data afterwards is another thing: it
// cannot load it where its format is newer, which is said before, and is to be
// upgraded, too.
func TestRollingUpgradeIsFailedOverSoak(t *testing.T) {
	for _, c := range []struct {
		from, to builds.Build
		planned  bool // else the master dies
		empty    bool // the old master would be empty after a full sync with the new one
	}{
		{from: builds.Redis60, to: builds.Redis70, planned: true, empty: true},
		{from: builds.Redis60, to: builds.Redis70, empty: true},
		{from: builds.Redis70, to: builds.Redis80, empty: true},
		{from: builds.Redis70, to: builds.Valkey9, empty: true},
		{from: builds.Valkey81, to: builds.Valkey9},
		{from: builds.Valkey81, to: builds.Redis80, empty: true},
		{from: builds.Valkey9, to: builds.Redis80, planned: true, empty: true},
		{from: builds.Valkey9, to: builds.Redis80, empty: true},
		{from: builds.Valkey9, to: builds.Valkey81}, // back again
	} {
		name := c.from.Name + " to " + c.to.Name + map[bool]string{true: ", planned", false: ", the master dies"}[c.planned]
		t.Run(name, func(t *testing.T) { upgraded(t, c.from, c.to, c.planned, c.empty) })
	}
}

// pairOf is a guarded group of one build, some of which will be of another.
func pairOf(t *testing.T, from, to builds.Build) *watched.World {
	t.Helper()
	var w *watched.World
	of := func() *lab.Lab {
		if w == nil {
			return nil
		}
		return w.Lab
	}
	if to.Root(t) != from.Root(t) {
		to.Leave(t, of)
	}
	w = start(t, watched.Options{Group: from.Use(t, lab.GroupConfig{FailTimeout: 10 * time.Second}, of)})
	return w
}

// becomes installs another build on a host, and starts its Redis without what it
// had on disk: the other build may not be able to load that, as no Redis can the
// RDB of Valkey 9.
func (s *story) becomes(d *watched.Watchdog, to builds.Build) {
	s.t.Helper()
	s.done(d.Name + " becomes " + to.Name)
	if err := os.WriteFile(filepath.Join(d.Redis.Dir, "build"), []byte(to.Root(s.t)+" "+to.Binary+"\n"), 0o644); err != nil {
		s.t.Fatal(err)
	}
	d.Redis.Kill()
	if err := os.Remove(filepath.Join(d.Redis.Dir, "dump.rdb")); err != nil && !errors.Is(err, os.ErrNotExist) {
		s.t.Fatal(err)
	}
	d.Redis.Restart()
}

// upgraded is a group of from whose replicas become to.
func upgraded(t *testing.T, from, to builds.Build, planned, empty bool) {
	w := pairOf(t, from, to)
	s := begin(t, w)
	for _, r := range w.Group.Redis { // typed alike on both; 6.0 knows no channels
		r.Do("ACL", "SETUSER", "app", "on", ">secret", "~*", "+@all", "-eval", "-evalsha")
		if from != builds.Redis60 {
			r.Do("ACL", "SETUSER", "app", "&*")
		}
		if from == builds.Redis60 { // scripts write through its lock, and no planned failover goes then
			r.Do("ACL", "SETUSER", "default", "-eval", "-evalsha")
		}
		r.Do("CONFIG", "REWRITE")
	}
	replicas := w.Others(s.master)
	for _, d := range replicas {
		s.becomes(d, to)
		for _, user := range []string{"app", "default"} { // 6.0 wrote none, and Sentinel's own is default: docs/members.md
			d.Redis.Do("ACL", "SETUSER", user, "&*")
		}
		d.Redis.Do("CONFIG", "REWRITE")
		w.Group.WaitReplicas()
	}
	w.Group.WaitStable()
	for _, d := range replicas {
		r := s.mayGo(s.master, d)
		for _, f := range r.Findings {
			if f.Check == "parity_version" && strings.Contains(f.Reason, "would be empty after a full sync with it") != empty {
				t.Errorf("the old master would be empty: %t; preflight says %q", empty, f.Reason)
			}
		}
	}
	s.undisturbed()
	s.master.Redis.Do("SET", "written", "here")
	w.Group.WaitReplicas()
	if !planned {
		s.done("the master dies")
		s.master.Redis.Kill()
	} else {
		s.done("redis-watchdog failover")
		if out, code := s.master.CLI("failover", w.Group.Name, "--yes"); code != 0 {
			t.Fatalf("failover: exit code %d: %s", code, out)
		}
	}
	now := w.WaitServing(replicas...)
	if got := fmt.Sprint(now.Redis.Do("GET", "written")); got != "here" {
		t.Errorf("what was written is %s", got)
	}
}

// mayGo waits until preflight, with all that the watchdogs find out, lets a
// replica take the master's place, and its watchdog does not veto it.
func (s *story) mayGo(master, to *watched.Watchdog) preflight.Report {
	s.t.Helper()
	var last preflight.Report
	s.Eventually(to.Name+" may be promoted", 3*time.Minute, func() error {
		out, _ := master.CLI("preflight", s.Group.Name, "--to", to.Redis.Address, "-o", "json")
		at := strings.IndexByte(out, '{')
		var r preflight.Report
		if at < 0 {
			return errors.New(out)
		}
		if err := json.Unmarshal([]byte(out[at:]), &r); err != nil {
			return fmt.Errorf("%w: %s", err, out)
		}
		var bad []string
		for _, f := range r.Findings {
			if f.Severity == preflight.Blocks && f.Outcome != preflight.Passed {
				bad = append(bad, fmt.Sprintf("%s of %s is %s: %s", f.Check, f.Node, f.Outcome, f.Reason))
			}
		}
		st, err := to.TryStatus()
		if err == nil && (st.Veto || len(st.VetoReasons) > 0) {
			bad = append(bad, fmt.Sprintf("vetoed for %v", st.VetoReasons))
		}
		if len(bad) > 0 || err != nil {
			return errors.Join(err, errors.New(strings.Join(bad, "\n")))
		}
		if r.Verdict != preflight.MayGo {
			return fmt.Errorf("verdict %s", r.Verdict)
		}
		last = r
		return nil
	})
	return last
}

// A replica of a build that can load no full sync of its master's waits for ever,
// and empty: it stands vetoed, with the build to install; preflight has the same.
func TestReplicaThatCannotLoadItsMasterIsToldSoSoak(t *testing.T) {
	for _, c := range []struct{ from, to builds.Build }{{builds.Redis80, builds.Valkey9}, {builds.Redis80, builds.Redis70}} {
		t.Run(c.from.Name+" to "+c.to.Name, func(t *testing.T) {
			w := pairOf(t, c.from, c.to)
			s := begin(t, w)
			harmed := w.Others(s.master)[0]
			s.becomes(harmed, c.to)
			s.Eventually("it stands vetoed, and why", 3*time.Minute, func() error {
				st, err := harmed.TryStatus()
				if err != nil {
					return err
				}
				for _, f := range st.Faults {
					if f.ID == "vetoed" && strings.Contains(f.Text+f.Remedy, "can load no full sync of redis 8.0") && strings.Contains(f.Text+f.Remedy, "install the master's build (redis 8.0)") {
						return nil
					}
				}
				return fmt.Errorf("vetoed for %v, told %v", st.VetoReasons, st.Faults)
			})
			out, code := s.master.CLI("preflight", w.Group.Name, "--to", harmed.Redis.Address)
			if code == 0 || !strings.Contains(out, "can load no full sync of redis 8.0") {
				t.Errorf("preflight ended with %d: %s", code, out)
			}
			s.undisturbed()
			s.done("the remedy: its build is the master's again")
			s.becomes(harmed, c.from)
			w.Group.WaitReplicas()
			harmed.WaitFor("is vetoed no more", func(st agent.Status) bool { return !st.Veto && len(st.VetoReasons) == 0 })
		})
	}
}

// Valkey has forms of SET that Redis has not, and a replica of the other house
// refuses them, with its link up and its offset going on.
func TestReplicasOfAnotherHouseThatRefuseAWriteSoak(t *testing.T) {
	w := pairOf(t, builds.Valkey81, builds.Redis80)
	s := begin(t, w)
	replicas := w.Others(s.master)
	for _, d := range replicas {
		s.becomes(d, builds.Redis80)
		w.Group.WaitReplicas()
	}
	w.Group.WaitStable()
	s.master.Redis.Do("SET", "k", "old")
	s.done("SET k new IFEQ old")
	if got := fmt.Sprint(s.master.Redis.Do("SET", "k", "new", "IFEQ", "old")); got != "OK" {
		t.Fatalf("the master answers %s", got)
	}
	for _, d := range replicas {
		s.refused(d)
		s.told(d, "no_candidate")
	}
	s.undisturbed()

	s.done("the master dies: nobody is promoted, and nothing is lost")
	s.master.Redis.Do("SAVE")
	s.master.Redis.Kill()
	w.Pause(20 * time.Second)
	if named := w.Group.Named(); named != s.master.Redis {
		t.Fatalf("the Sentinels name %v", named)
	}
	s.master.Redis.Restart()
	w.WaitServing(s.master)
	for _, d := range replicas {
		s.refused(d) // the remedy is that of a master that answers again
		s.cured(d, "k", "new")
	}
}
