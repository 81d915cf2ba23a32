package daemon

import (
	"testing"
	"time"

	"github.com/hashicorp/go-hclog"

	"github.com/redis-watchdog/redis-watchdog/fencing/gate"
	"github.com/redis-watchdog/redis-watchdog/watchdog/statedir"
)

// What was seen outlives a restart of the watchdog, also on a day on which as many
// are forgotten as come.
func TestStallsOutliveARestart(t *testing.T) {
	x := &node{log: hclog.NewNullLogger(), records: statedir.Records{Dir: t.TempDir(), Group: "g", Node: "n"}}
	life := func() *reporter {
		s := &reporter{x: x}
		s.loadStalls()
		return s
	}
	begun := time.Date(2026, 11, 28, 12, 0, 0, 0, time.UTC)
	s := life()
	s.stallOver(begun, gate.Stall{For: 2 * time.Second})
	s.stallsOf(begun)
	if got := life().stallsOf(begun); len(got.Hours) != 1 || got.Hours[0].Longest != 2*time.Second {
		t.Fatalf("after a restart: %+v", got)
	}
	tomorrow := begun.Add(25 * time.Hour)
	s.stallOver(tomorrow, gate.Stall{For: 3 * time.Second, Fired: true})
	s.stallsOf(tomorrow)
	if got := life().stallsOf(tomorrow); len(got.Hours) != 1 || got.Hours[0].Longest != 3*time.Second || got.Hours[0].Fired != 1 {
		t.Fatalf("a day later, after a restart: %+v", got)
	}
}
