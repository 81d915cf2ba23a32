package daemon

import (
	"testing"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/redis-watchdog/redis-watchdog/cmd/redis-watchdog/internal/metrics"
	"github.com/redis-watchdog/redis-watchdog/watchdog/agent"
)

// A fence that fired on a wake is opened again if the same Redis serves, however
// often it was not heard in between, and was no replica meanwhile.
func TestFenceOfAWakeIsCountedAsOpened(t *testing.T) {
	for _, c := range []struct {
		name string
		then []agent.Turn
		want float64
	}{
		{"opened", []agent.Turn{{To: "refuse", RunID: "r"}, {To: "lock", RunID: "r"}, {To: "serve", RunID: "r"}}, 1},
		{"once", []agent.Turn{{To: "serve", RunID: "r"}, {To: "hold", RunID: "r"}, {To: "serve", RunID: "r"}}, 1},
		{"not heard in between", []agent.Turn{{To: "refuse", RunID: "r"}, {To: "down", RunID: "r"}, {To: "refuse", RunID: "r"}, {To: "serve", RunID: "r"}}, 1},
		{"failed over, and back", []agent.Turn{{To: "refuse", RunID: "r"}, {To: "follow", RunID: "r"}, {To: "serve", RunID: "r"}}, 0},
		{"restarted", []agent.Turn{{To: "down", RunID: "r"}, {To: "refuse", RunID: "r2"}, {To: "serve", RunID: "r2"}}, 0},
	} {
		registry := prometheus.NewPedanticRegistry()
		collector := metrics.NewCollector(func() []agent.Status { return nil }, func() []metrics.Report { return nil }, func() metrics.Load { return metrics.Load{} })
		x := &node{metrics: metrics.New(registry, collector, "1").Node("g", "n")}
		run := "r"
		x.woke.Store(&run)
		for _, turn := range c.then {
			x.openedAgain(turn)
		}
		got := 0.0
		families, err := registry.Gather()
		if err != nil {
			t.Fatal(err)
		}
		for _, f := range families {
			for _, m := range f.GetMetric() {
				for _, l := range m.GetLabel() {
					if f.GetName() == metrics.StallFences && l.GetValue() == metrics.StallOpened {
						got = m.GetCounter().GetValue()
					}
				}
			}
		}
		if got != c.want {
			t.Errorf("%s: %v are counted, want %v", c.name, got, c.want)
		}
	}
}
