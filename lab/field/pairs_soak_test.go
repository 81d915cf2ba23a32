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
)

// A rolling upgrade, as it is done: the replicas first, one after the other, and
// then the master, by a planned failover or because it dies. Users are the same on
// both builds, as they were typed, and nobody is vetoed for how they are listed.
// What the old master makes of the new one's data afterwards is another thing: it
// cannot load it where its format is newer, and is to be upgraded, too.
func TestRollingUpgradeIsFailedOverSoak(t *testing.T) {
	for _, c := range []struct{ from, to builds.Build }{{builds.Redis60, builds.Redis70}, {builds.Valkey9, builds.Redis80}} {
		for _, dies := range []bool{false, true} {
			name := c.from.Name + " to " + c.to.Name + map[bool]string{false: ", planned", true: ", the master dies"}[dies]
			t.Run(name, func(t *testing.T) { upgraded(t, c.from, c.to, dies) })
		}
	}
}

// upgraded is a group of from whose replicas become to.
func upgraded(t *testing.T, from, to builds.Build, dies bool) {
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
	w = watched.Start(t, watched.Options{Group: from.Use(t, lab.GroupConfig{FailTimeout: 10 * time.Second}, of)})
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
		s.done(d.Name + " becomes " + to.Name)
		if err := os.WriteFile(filepath.Join(d.Redis.Dir, "build"), []byte(to.Root(t)+" "+to.Binary+"\n"), 0o644); err != nil {
			t.Fatal(err)
		}
		d.Redis.Kill()
		// What it had of its master on disk the other build may not be able to load,
		// as Redis 8 cannot an RDB of Valkey 9: it starts empty, and syncs.
		if err := os.Remove(filepath.Join(d.Redis.Dir, "dump.rdb")); err != nil && !errors.Is(err, os.ErrNotExist) {
			t.Fatal(err)
		}
		d.Redis.Restart()
		for _, user := range []string{"app", "default"} { // 6.0 wrote none, and Sentinel's own is default
			d.Redis.Do("ACL", "SETUSER", user, "&*")
		}
		d.Redis.Do("CONFIG", "REWRITE")
		w.Group.WaitReplicas()
	}
	w.Group.WaitStable()
	for _, d := range replicas {
		s.mayGo(s.master, d)
	}
	s.undisturbed()
	s.master.Redis.Do("SET", "written", "here")
	w.Group.WaitReplicas()
	if dies {
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
func (s *story) mayGo(master, to *watched.Dog) {
	s.t.Helper()
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
		return nil
	})
}
