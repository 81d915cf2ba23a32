package sim

import (
	"slices"
	"testing"
)

// TestSimNoticesWhatIsLeftOut leaves out one part of the safety argument after
// the other: a simulation that finds nothing then proves nothing.
func TestSimNoticesWhatIsLeftOut(t *testing.T) {
	for _, m := range []struct {
		name string
		b    breakage
		kind string // what must be seen broken; empty: any promise
		only string // a fault that shows it soon; empty: any
	}{
		{"no lock", breakage{noLock: true}, "overlap", ""},
		{"no armed fence", breakage{noArm: true}, "", ""},
		{"no row 6", breakage{noRow6: true}, "stuck", "redis killed"},
		{"the Sentinels' clock is not counted", breakage{noE: true}, "late_read", ""},
		{"no start gate", breakage{noGate: true}, "", ""},
		{"a fence keeps its priority", breakage{noPriority: true}, "stale", "stale candidate"},
		{"a lapsed grant is opened at once", breakage{noWait: true}, "overlap", "coup"},
		{"a deposed master is left alone", breakage{noRow7: true}, "overlap", "failover typed"},
		{"a PING counts although its answer is lost", breakage{noAck: true}, "late_read", "unasked sentinels hear nothing"},
		{"a grant that is let go hangs on with those of its host", breakage{noLetGo: true}, "stuck", ""},
		{"a planned failover stops no writers", breakage{noStop: true}, "lost", "planned failover"},
		{"a planned failover does not wait for the data", breakage{noWaitEqual: true}, "lost", "planned failover disturbed"},
		{"a planned failover's hold has no lock beneath it", breakage{noBeneath: true}, "lost", "planned failover, watchdog killed"},
		{"an order for a planned failover never ends", breakage{noEnd: true}, "held", "planned failover killed"},
	} {
		t.Run(m.name, func(t *testing.T) {
			t.Parallel()
			const runs = 600
			for seed := uint64(1); seed <= runs; seed++ {
				if k := kindOf(seed); k == harmlessRun || (m.kind == "held") != (k == plannedRun) {
					continue
				}
				if _, r := broken(seed, m.b, m.only, false); r.Kind != "" && (m.kind == "" || m.kind == r.Kind) {
					t.Logf("seed %d: %s %s", seed, r.Kind, r.Text)
					return
				}
			}
			t.Errorf("no broken promise (%s) in %d runs", m.kind, runs)
		})
	}
}

// TestHostStandsStillWhileItsRedisIsOpened has the host stand still in the moment in
// which its fenced Redis is opened, in every run in which one is. Where the fence
// does not go with the opening it answers reads past a promotion.
func TestHostStandsStillWhileItsRedisIsOpened(t *testing.T) {
	const runs = 250
	play := func(bare bool) (openings int, late Result) {
		for seed, played := uint64(1), 0; played < runs; seed++ {
			c := configFor(seed)
			c.openings, c.Breakage.openBare, c.only = true, bare, "redis stands still"
			if kindOf(seed) != anyRun {
				continue
			}
			played++
			r := Run(c, anyRun, false)
			openings += r.Stalls
			if r.Kind == "late_read" || r.Kind == "overlap" {
				return openings, r
			}
		}
		return openings, Result{}
	}
	for _, bare := range []bool{false, true} {
		t.Run(map[bool]string{false: "with its fence", true: "bare"}[bare], func(t *testing.T) {
			t.Parallel()
			openings, r := play(bare)
			t.Logf("%d openings, seed %d: %s %s", openings, r.Seed, r.Kind, r.Text)
			if (r.Kind != "") != bare {
				t.Errorf("want a late read where no fence goes with the opening, and none where one does")
			}
			if openings < 10 {
				t.Errorf("%d openings: that shows nothing", openings)
			}
		})
	}
}

// TestSentinelsThatCannotBeAskedAreCutOff plays nothing but cuts, one way,
// between the master and the two Sentinels that only their PINGs speak for.
func TestSentinelsThatCannotBeAskedAreCutOff(t *testing.T) {
	for _, f := range walls {
		t.Run(f.name, func(t *testing.T) {
			t.Parallel()
			played := 0
			for seed := uint64(1); seed <= 900; seed++ {
				if c := configFor(seed); kindOf(seed) != anyRun || !slices.Contains(c.Walled, true) {
					continue
				}
				played++
				if c, r := broken(seed, breakage{}, f.name, false); r.Kind != "" {
					_, r = broken(seed, breakage{}, f.name, true)
					t.Fatal(r.Report(c))
				}
			}
			if played < 50 {
				t.Fatalf("%d worlds: that shows nothing", played)
			}
		})
	}
}
