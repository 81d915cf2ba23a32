package sim

import (
	"slices"
	"testing"
)

// TestMasterThatWakesInTimeIsNotReplaced has a Redis stand still for nearly
// down-after-milliseconds, up to four times in a run: Sentinel alone promotes nobody
// then. It may, once in many runs, for the role that a majority of the Sentinels were
// told in two fences, one soon after the other (docs/guarantees.md, "Time").
func TestMasterThatWakesInTimeIsNotReplaced(t *testing.T) {
	t.Parallel()
	stalls, replaced := 0, []uint64{}
	for seed := uint64(201); seed <= 500; seed++ {
		c := harmlessWorld(configFor(seed))
		if slices.Contains(c.Walled, true) {
			continue // opened 40 s later, says the same page
		}
		c.only = wakesLate
		r := Run(c, harmlessRun, false)
		stalls += len(r.Faults)
		if r.Promoted > 0 {
			replaced = append(replaced, seed)
		}
	}
	t.Logf("%d stalls, replaced in the runs of the seeds %v", stalls, replaced)
	if stalls < 200 || len(replaced) > 1 {
		t.Errorf("replaced in %d runs with %d stalls", len(replaced), stalls)
	}
}
