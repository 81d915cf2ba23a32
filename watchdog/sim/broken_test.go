package sim

import "testing"

// TestSimNoticesWhatIsLeftOut leaves out one part of the safety argument after
// the other: a simulation that finds nothing then proves nothing. From is near
// a seed that is known to show it, to be quick.
func TestSimNoticesWhatIsLeftOut(t *testing.T) {
	for _, m := range []struct {
		name string
		b    breakage
		kind string // what must be seen broken; empty: any promise
		from uint64
	}{
		{"no lock", breakage{noLock: true}, "overlap", 1},
		{"no armed fence", breakage{noArm: true}, "", 1},
		{"no row 6", breakage{noRow6: true}, "stuck", 1},
		{"the Sentinels' clock is not counted", breakage{noE: true}, "late_read", 1},
		{"no start gate", breakage{noGate: true}, "", 1},
		{"a fence keeps its priority", breakage{noPriority: true}, "stale", 280},
		{"a lapsed grant is opened at once", breakage{noWait: true}, "overlap", 60},
		{"a deposed master is left alone", breakage{noRow7: true}, "overlap", 135},
	} {
		t.Run(m.name, func(t *testing.T) {
			t.Parallel()
			const runs = 1500
			for seed := m.from; seed < m.from+runs; seed++ {
				if isHarmless(seed) {
					continue
				}
				if _, r := broken(seed, m.b, false); r.Kind != "" && (m.kind == "" || m.kind == r.Kind) {
					t.Logf("seed %d: %s %s", seed, r.Kind, r.Text)
					return
				}
			}
			t.Errorf("no broken promise (%s) in %d runs", m.kind, runs)
		})
	}
}
