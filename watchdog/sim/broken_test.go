package sim

import (
	"fmt"
	"testing"
)

// TestSimNoticesWhatIsLeftOut leaves out one part of the safety argument after
// the other: a simulation that finds nothing then proves nothing.
func TestSimNoticesWhatIsLeftOut(t *testing.T) {
	for _, m := range []struct {
		name string
		b    breakage
		kind string // what must be seen broken
		runs uint64
	}{
		{"no lock", breakage{noLock: true}, "overlap", 400},
		{"no armed fence", breakage{noArm: true}, "late_read", 400},
		{"no row 6", breakage{noRow6: true}, "stuck", 400},
		{"the Sentinels' clock is not counted", breakage{noE: true}, "late_read", 400},
		{"no start gate", breakage{noGate: true}, "", 400},
		{"a fence keeps its priority", breakage{noPriority: true}, "stale", 1000},
		{"a lapsed grant is opened at once", breakage{noWait: true}, "overlap", 1000},
		{"a deposed master is left alone", breakage{noRow7: true}, "overlap", 400},
	} {
		t.Run(m.name, func(t *testing.T) {
			t.Parallel()
			seen := map[string]int{}
			for seed := uint64(1); seed <= m.runs; seed++ {
				if seed%6 == 0 {
					continue // harmless faults alone
				}
				_, r := broken(seed, m.b, false)
				seen[r.Kind]++
			}
			t.Log(fmt.Sprint(seen))
			if seen[m.kind] == 0 && m.kind != "" {
				t.Errorf("no %s in %d runs", m.kind, m.runs)
			}
		})
	}
}
