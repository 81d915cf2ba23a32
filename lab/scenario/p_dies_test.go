package scenario

// Case p, continued: the candidate or the master dies while writers are stopped
// for a planned failover, or Sentinel is at a failover of its own.

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/redis-watchdog/redis-watchdog/lab"
	"github.com/redis-watchdog/redis-watchdog/lab/watched"
	"github.com/redis-watchdog/redis-watchdog/preflight"
)

// ended waits for the command and is what it printed.
func ended(t *testing.T, p *lab.Process) (out failedOverBy, code int) {
	t.Helper()
	code = p.Wait()
	text := p.Text()
	if i := strings.Index(text, "{"); i < 0 || json.NewDecoder(strings.NewReader(text[i:])).Decode(&out) != nil {
		t.Fatalf("the failover ended with %d: %s", code, text)
	}
	return out, code
}

// blockedBy are the checks that block a failover to the candidate in this lab.
func blockedBy(t *testing.T, w *watched.World, to *lab.Redis) (checks []string) {
	t.Helper()
	text, _ := w.Watchdogs[1].CLI("preflight", w.Group.Name, "--to", to.Address, "-o", "json")
	var report preflight.Report
	if i := strings.Index(text, "{"); i < 0 || json.NewDecoder(strings.NewReader(text[i:])).Decode(&report) != nil {
		t.Fatalf("preflight: %s", text)
	}
	for _, f := range report.Findings {
		if f.Severity == preflight.Blocks && f.Outcome != preflight.Passed && !slices.Contains(checks, f.Check) {
			checks = append(checks, f.Check)
		}
	}
	return checks
}

// The candidate is frozen as soon as the writers are stopped: it never has all
// the data, so that nothing is asked of Sentinel; or Sentinel has been asked, and
// is told to give up: by itself it would wait for its failover-timeout, three
// minutes here. Either way the old master serves on.
func TestPlannedFailoverWhoseCandidateHangs(t *testing.T) {
	t.Parallel()
	w := watched.Start(t, watched.Options{Group: lab.GroupConfig{FailTimeout: 3 * time.Minute}})
	old := w.WaitServing()
	to := w.Group.Redis[2]
	clients := w.Crowd()
	force := blockedBy(t, w, to)
	p := ordering(t, w, force, to, true)
	w.Mark("the candidate hangs, the writers are stopped")
	to.Stop()
	out, code := ended(t, p)
	t.Logf("ended with %d: %s; %v", code, out.Text, out.Times)
	if code != 1 && code != 2 || out.Outcome == "done" {
		t.Errorf("a candidate that hangs: ended with %d: %+v", code, out)
	}
	clients.WaitOK(lab.Now())
	for _, s := range w.Group.Sentinels {
		if got := s.State(w.Group.Name)["failover-timeout"]; got != "180000" {
			t.Errorf("failover-timeout of %s is %s afterwards, want the 180000 it was", s.Name, got)
		}
	}
	to.Cont()
	w.Mark("it goes on")
	writes := settled(t, w, clients, lab.Now())
	now := w.WaitServing()
	if out.Outcome == "undone" && now != old {
		t.Errorf("undone, and %s serves instead of %s", now.Name, old.Name)
	}
	if n := lab.Lost(writes, now.Redis); len(n) != 0 {
		t.Errorf("%d acknowledged writes lost, want 0", len(n))
	}
	_, wait := writes.LongestWait()
	t.Logf("writes: %s; longest wait %v", writes, wait)
}

// The master is killed with its writers stopped: Sentinel promotes another, and
// the command does not say that the old one serves on.
func TestPlannedFailoverWhoseMasterDies(t *testing.T) {
	t.Parallel()
	w := watched.Start(t, watched.Options{})
	old := w.WaitServing()
	to := w.Group.Redis[2]
	clients := w.Crowd()
	p := ordering(t, w, blockedBy(t, w, to), to, true)
	stopped(w, old.Redis)
	killed := old.Redis.Kill()
	w.Mark("the master is killed, its writers are stopped")
	out, code := ended(t, p)
	t.Logf("ended with %d: %s; %v", code, out.Text, out.Times)
	next := w.WaitServing(w.Watchdogs[1], w.Watchdogs[2])
	clients.WaitOK(killed)
	old.Redis.Restart()
	writes := settled(t, w, clients, killed)
	if n := lab.Lost(writes, next.Redis); len(n) != 0 {
		t.Errorf("%d acknowledged writes lost, want 0", len(n))
	}
	if out.Outcome == "undone" {
		t.Errorf("the old master is dead, and it says: %s", out.Text)
	}
	t.Logf("writes: %s", writes)
}

// stopped waits until a master that is ordered to stop its writers has, and its
// replicas have all that it has: killed before, it loses what Redis loses. Or until it
// is no master any more.
func stopped(w *watched.World, r *lab.Redis) {
	w.T.Helper()
	w.Eventually("the writers are stopped, and what they wrote is everywhere", 30*time.Second, func() error {
		lock, err := r.Try("CONFIG", "GET", "min-replicas-to-write")
		if err != nil {
			return err
		}
		info, err := r.Try("INFO", "replication")
		if err != nil {
			return err
		}
		text := fmt.Sprint(info)
		_, offset, isMaster := strings.Cut(text, "master_repl_offset:")
		offset, _, _ = strings.Cut(offset, "\r\n")
		switch {
		case !strings.Contains(text, "role:master"):
			return nil
		case !strings.Contains(fmt.Sprint(lock), "1000000"), !isMaster, strings.Count(text, ",offset="+offset+",") < 2:
			return fmt.Errorf("%v, %s", lock, text)
		}
		return nil
	})
}

// Somebody types SENTINEL FAILOVER while the candidates are being chosen: the
// command says what is so, which is not that the old master serves on.
func TestPlannedFailoverOvertakenByAnother(t *testing.T) {
	t.Parallel()
	w := watched.Start(t, watched.Options{})
	old := w.WaitServing()
	to := w.Group.Redis[2]
	clients := w.Crowd()
	p := ordering(t, w, blockedBy(t, w, to), to, false)
	typed := w.Mark("SENTINEL FAILOVER is typed")
	w.Eventually("a Sentinel takes it", 20*time.Second, func() error {
		_, err := w.Group.Sentinels[0].Try("SENTINEL", "FAILOVER", w.Group.Name)
		return err
	})
	out, code := ended(t, p)
	t.Logf("ended with %d: %s; %v", code, out.Text, out.Times)
	next := w.WaitServing(w.Watchdogs[1], w.Watchdogs[2])
	writes := settled(t, w, clients, typed)
	if strings.Contains(out.Text, old.Redis.Address+" is still the master") {
		t.Errorf("%s was replaced by %s, and the command says: %s", old.Name, next.Name, out.Text)
	}
	if n := lab.OverlappingWrites(writes.On(old.Redis.Address), writes.On(next.Redis.Address)); len(n) != 0 {
		t.Errorf("%d writes overlap, want 0", len(n))
	}
	t.Logf("writes: %s", writes)
}

// A Sentinel that refuses the command (here for want of a right that
// docs/install.md names for it alone): undone, and whoever reads it knows what Sentinel said.
func TestPlannedFailoverRefusedBySentinel(t *testing.T) {
	t.Parallel()
	w, _ := secured(t, watched.Options{})
	old := w.WaitServing()
	roles := w.Group.WatchRoles()
	began := w.Mark("the failover is ordered")
	out, code := planned(t, w.Watchdogs[1], w.Group.Name, w.Group.Redis[2])
	t.Logf("ended with %d: %s; %v", code, out.Text, out.Times)
	if code != 1 || out.Outcome != "undone" || !strings.Contains(out.Text, "refuses: NOPERM") {
		t.Errorf("refused by Sentinel: ended with %d: %+v", code, out)
	}
	clean(t, w)
	if now := w.WaitServing(); now != old {
		t.Errorf("%s serves instead of %s", now.Name, old.Name)
	}
	for i, r := range w.Group.Redis {
		if c := roles[i].BecameMaster(began); c.At != 0 && r != old.Redis {
			t.Errorf("%s became master", r.Name)
		}
	}
}
