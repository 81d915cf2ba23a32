package scenario

// One slow moment costs one slow moment: what is to be done for many groups at
// once is not what makes the next.

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/redis-watchdog/redis-watchdog/lab/watched"
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
	f.Dog.Restart()
	f.WaitServing(2 * time.Minute)
	f.Dog.Stop()
	waitAllFenced(f)
	decided := len(f.Dog.Decisions())
	f.Dog.Cont()
	f.WaitServing(2 * time.Minute)
	before := countStorm(f)
	f.Pause(10 * time.Second)
	if after := countStorm(f); after.fences != before.fences {
		t.Errorf("%v were fenced after all had been opened", after.fences-before.fences)
	}
	f.WaitServing(30 * time.Second)
	opened := map[string]bool{}
	for _, line := range f.Dog.Decisions()[decided:] {
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

type fencedSoFar struct{ fences, holds float64 }

// logged is the value of a key in a line of the watchdog's log; empty: it has none.
func logged(line, key string) string {
	_, rest, _ := strings.Cut(line, " "+key+"=")
	value, _, _ := strings.Cut(rest, " ")
	return value
}
