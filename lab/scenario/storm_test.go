package scenario

// One slow moment costs one slow moment: what is to be done for many groups at
// once is not what makes the next.

import (
	"fmt"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/redis-watchdog/redis-watchdog/lab/watched"
	"github.com/redis-watchdog/redis-watchdog/watchdog"
)

const (
	stormGroups = 20
	nowhere     = "127.0.0.1:0" // whom a fenced Redis follows
)

// TestAllFencesOfAHostFireOnce: the watchdog of a host with many Redis stands
// still for longer than their armed fences wait, so that all of them are shut at
// once. When it goes on it opens all of them, and opening one shuts no other.
func TestAllFencesOfAHostFireOnce(t *testing.T) {
	f := watched.StartFleet(t, watched.FleetOptions{Groups: stormGroups})
	f.Watchdog.Restart()
	f.WaitServing(2 * time.Minute)
	f.Watchdog.Stop()
	waitAllFenced(f)
	decided := len(f.Watchdog.Decisions())
	f.Watchdog.Cont()
	f.WaitServing(2 * time.Minute)
	before := countStorm(f)
	f.Pause(10 * time.Second)
	if after := countStorm(f); after.fences != before.fences {
		t.Errorf("%v were fenced after all had been opened", after.fences-before.fences)
	}
	f.WaitServing(30 * time.Second)
	opened := map[string]bool{}
	for _, line := range f.Watchdog.Decisions()[decided:] {
		group := logged(line, "group")
		switch {
		case logged(line, "reason") == "unfencing":
			opened[group] = true
		case opened[group] && logged(line, "to") == "refuse":
			t.Errorf("%s was shut again: %s", group, line)
		}
	}
	if len(opened) != stormGroups {
		t.Errorf("%d of %d were opened from the fence", len(opened), stormGroups)
	}
}

// waitAllFenced waits until every armed fence has fired.
func waitAllFenced(f *watched.Fleet) {
	f.T.Helper()
	f.Eventually("every armed fence has fired", 30*time.Second, func() error {
		for i, r := range f.Redis {
			if role := r.Role(); role.Following != nowhere {
				return fmt.Errorf("%s is %s", f.Group(i), role)
			}
		}
		return nil
	})
}

// TestWatchdogRunLateLeavesOutWhatIsForPeople: one that does not get the processor it
// needs puts what is for people off, and says how often; the masters are what they were.
func TestWatchdogRunLateLeavesOutWhatIsForPeople(t *testing.T) {
	f := watched.StartFleet(t, watched.FleetOptions{Groups: 2})
	f.Watchdog.Restart()
	f.WaitServing(2 * time.Minute)
	leftOut := func() float64 { return watched.Sum(f.Watchdog.Metrics(), "redis_watchdog_work_left_out_total") }
	before := leftOut()
	f.Eventually("what was left out is counted", time.Minute, func() error {
		// Again and again: four times a second may let it run whenever its clock strikes.
		starve(t, time.Second, 50*time.Millisecond, f.Watchdog.PID())
		if n := leftOut() - before; n <= 0 {
			return fmt.Errorf("%v", n)
		}
		return nil
	})
	f.WaitServing(time.Minute)
	for i := range f.Redis {
		f.Eventually("etcd shows that it serves", time.Minute, func() error {
			if text, code := f.Watchdog.CLI("status", f.Group(i)); !strings.Contains(text, "serve") {
				return fmt.Errorf("exit code %d: %s", code, text)
			}
			return nil
		})
	}
}

type fencedSoFar struct{ fences, holds float64 }

// logged is the value of a key in a line of the watchdog's log; empty: it has none.
func logged(line, key string) string {
	_, rest, _ := strings.Cut(line, " "+key+"=")
	value, _, _ := strings.Cut(rest, " ")
	return value
}

// TestRenewalsThatComeLateAreToldTogether has an etcd that stands still for a moment
// again and again: the masters serve, by row 11, and every decision is in the log and
// the history, most of them as a number.
func TestRenewalsThatComeLateAreToldTogether(t *testing.T) {
	const groups, stalls = 3, 12
	f := watched.StartFleet(t, watched.FleetOptions{Groups: groups})
	f.Watchdog.Restart()
	f.WaitServing(2 * time.Minute)
	for range stalls {
		f.Etcd.Stop()
		f.Eventually("every master is certified by the Sentinels", time.Minute, allInRow(f, watchdog.RowCertified))
		f.Etcd.Cont()
		f.Eventually("every master is granted", time.Minute, allInRow(f, watchdog.RowServe))
	}
	// There and back was seen so often; on a busy machine it is oftener.
	f.Eventually("the log stands for every decision", 3*time.Minute, func() error {
		lines, told := 0, 0
		for _, line := range f.Watchdog.Decisions() {
			if logged(line, "from") != "serve" || logged(line, "to") != "serve" {
				continue
			}
			before, _ := strconv.Atoi(logged(line, "not_told_before")) // none: zero
			lines, told = lines+1, told+1+before
		}
		if told < 2*groups*stalls || lines > told*2/3 {
			return fmt.Errorf("%d lines stand for %d decisions, of %d at least", lines, told, 2*groups*stalls)
		}
		return nil
	})
	f.Eventually("the history says so", time.Minute, func() error {
		if text, code := f.Watchdog.CLI("history", f.Group(0)); code != 0 || !strings.Contains(text, "to and fro before") {
			return fmt.Errorf("exit code %d: %s", code, text)
		}
		return nil
	})
	if after := countStorm(f); after.fences != 0 {
		t.Errorf("%v were fenced", after.fences)
	}
}

// allInRow is nil when the decision of every group is in that row.
func allInRow(f *watched.Fleet, row watchdog.Row) func() error {
	return func() error {
		for line := range strings.Lines(f.Watchdog.Metrics()) {
			if strings.HasPrefix(line, "redis_watchdog_decision_row{") && !strings.HasSuffix(line, fmt.Sprintf(" %d\n", row)) {
				return fmt.Errorf("%s", line)
			}
		}
		return nil
	}
}
