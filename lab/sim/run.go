package sim

import (
	"fmt"
	"slices"
	"strings"

	"github.com/redis-watchdog/redis-watchdog/watchdog"
)

// Result is what one run came to.
type Result struct {
	Seed     uint64
	Kind     string // of the violation; empty: none
	Text     string
	Faults   []string
	History  string        // when it was asked for
	Planned  [outcomes]int // how many planned failovers came to what
	Virtual  float64
	Stalls   int  // at a step
	Promoted int  // how many Redis Sentinel promoted
	HeldUp   bool // reads were late of one that stood still with its opening on the way: FINDINGS.md
}

// Run plays the world of c.
func Run(c Config, k kind, traced bool) Result {
	w := newWorld(c, traced)
	w.kind = k
	w.plan()
	w.every(sec, sec, w.check.steady)
	if k == plannedRun {
		w.every(50*ms, 50*ms, w.check.letGo)
	}
	w.run(w.now.Add(30 * 60 * sec))
	res := Result{Seed: c.Seed, Faults: w.faults, Planned: w.outcomes, Virtual: float64(w.now) / 1e9, Stalls: w.stalls, Promoted: w.check.promotions, HeldUp: w.heldUp}
	if v := w.check.found; v != nil {
		res.Kind, res.Text = v.kind, fmt.Sprintf("at %.3f: %s", float64(v.at)/1e9, v.text)
	}
	if w.trace != nil {
		res.History = w.trace.String()
	}
	return res
}

// Report is a failed run, for people.
func (r Result) Report(c Config) string {
	var b strings.Builder
	fmt.Fprintf(&b, "seed %d: %s %s\n", r.Seed, r.Kind, r.Text)
	fmt.Fprintf(&b, "world: %d redis %d sentinels quorum %d down-after %v failover-timeout %v old=%v persist=%v readonly=%v fdstore=%v watched=%v veto=%v coordinator_lost=%d walled=%v from %.1f\n",
		c.Redis, c.Sentinels, c.Quorum, c.DownAfter, c.FailoverTimeout, c.Old, c.Persist, c.ReadOnlyFile, c.DescriptorStore, c.Watched, c.Veto, c.Policy.CoordinatorLost, c.Walled, float64(c.WalledAt)/1e9)
	fmt.Fprintf(&b, "faults:\n  %s\n", strings.Join(r.Faults, "\n  "))
	flag := ""
	if c.stalls {
		flag = " -sim.stalls"
	}
	fmt.Fprintf(&b, "replay: go test ./lab/sim -run TestSim -sim.seed=%d%s\n", r.Seed, flag)
	b.WriteString(r.History)
	return b.String()
}

// Seeded plays the run of a seed.
func Seeded(seed uint64, traced bool) (Config, Result) {
	return broken(seed, breakage{}, "", traced)
}

func broken(seed uint64, b breakage, only string, traced bool) (Config, Result) {
	return stalling(seed, b, only, false, traced)
}

// stalling is the same, with stalls at every step or without.
func stalling(seed uint64, b breakage, only string, stalls, traced bool) (Config, Result) {
	c := configFor(seed)
	c.Breakage, c.only, c.stalls = b, only, stalls
	if slices.ContainsFunc(walls, func(f fault) bool { return f.name == only }) {
		c.ReadSlack = 600 * ms // these minorities are heard of all the time
	}
	k := kindOf(seed)
	if k == harmlessRun {
		c = harmlessWorld(c)
	}
	return c, Run(c, k, traced)
}

// kind is what sort of things go wrong in a run.
type kind uint8

const (
	anyRun      kind = iota
	harmlessRun      // only the faults of promise 6
	plannedRun       // nothing but planned failovers
)

// faults is what may go wrong in it.
func (k kind) faults() []fault {
	switch k {
	case harmlessRun:
		return harmless
	case plannedRun:
		return planned
	}
	return faults
}

func kindOf(seed uint64) kind {
	switch seed % 6 {
	case 0:
		return harmlessRun
	case 3:
		return plannedRun
	}
	return anyRun
}

// harmlessWorld is c where promise 6 can be expected to hold.
func harmlessWorld(c Config) Config {
	c.Sentinels = max(c.Sentinels, 3)
	c.Hosts = max(c.Redis, c.Sentinels)
	c.Quorum = c.Sentinels/2 + 1
	c.Policy.CoordinatorLost = watchdog.CoordinatorLostServe
	c.wall()
	c.WalledAt = 0 // in the second in which it is set up it counts with the other faults
	return c
}
