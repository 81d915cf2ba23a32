package sim

import (
	"flag"
	"runtime/debug"
	"testing"
	"time"
)

var (
	oneSeed = flag.Uint64("sim.seed", 0, "replay this seed alone, with its history")
	runs    = flag.Int("sim.runs", 0, "how many runs at most; 0: as the time allows")
	runTime = flag.Duration("sim.time", 8*time.Second, "how long to look")
	from    = flag.Uint64("sim.from", 0, "the first seed; 0: the fixed set, then a seed of the time")
	all     = flag.Bool("sim.all", false, "go on after a failure, and count")
)

func TestSim(t *testing.T) {
	if *oneSeed != 0 {
		c, r := Seeded(*oneSeed, true)
		if r.Kind != "" {
			t.Fatal(r.Report(c))
		}
		t.Log(r.Report(c))
		return
	}
	kinds := map[string][]uint64{}
	begun, n, virtual := time.Now(), 0, 0.0
	play := func(seed uint64) bool {
		_, r := Seeded(seed, false)
		n++
		virtual += r.Virtual
		if r.Kind == "" {
			return true
		}
		if *all {
			kinds[r.Kind] = append(kinds[r.Kind], seed)
			return true
		}
		c, again := Seeded(seed, true)
		if again.Kind != r.Kind || again.Text != r.Text {
			t.Errorf("seed %d is not the same twice: %q, then %q", seed, r.Text, again.Text)
		}
		t.Fatal(again.Report(c))
		return false
	}
	more := func() bool {
		return (*runs == 0 || n < *runs) && (*runs > 0 || time.Since(begun) < *runTime)
	}
	seed := *from
	if seed == 0 {
		for seed = 1; more() && (*runs > 0 || time.Since(begun) < *runTime*3/4); seed++ {
			play(seed)
		}
		seed = uint64(time.Now().UnixNano())
		t.Logf("random seeds from %d", seed)
	}
	for ; more(); seed++ {
		play(seed)
	}
	took := time.Since(begun)
	t.Logf("%d runs in %v: %.0f a second, %.0f s of virtual time each", n, took.Round(time.Millisecond), float64(n)/took.Seconds(), virtual/float64(n))
	for k, s := range kinds {
		t.Errorf("%s: %d, e.g. %v", k, len(s), s[:min(len(s), 12)])
	}
}

func TestMain(m *testing.M) {
	debug.SetGCPercent(800) // a run is small and soon gone
	m.Run()
}
