package sentinel

import (
	"testing"

	"github.com/redis-watchdog/redis-watchdog/watchdog"
)

func TestRunIDOutlivesTheSwitch(t *testing.T) {
	g := newGroup(3)
	for i := range 3 {
		g.hear(t, i, g.says(i, t0, us, 1))
	}
	for i := range 3 { // sentinelResetMaster: the run id is empty until the next INFO
		a := g.says(i, t0+sec, other, 2)
		a.Master.RunID = ""
		g.hear(t, i, a)
	}
	w := &Watcher{state: *g.State}
	if got, want := w.RunID(other), "run"+string(other); got != want {
		t.Errorf("run id of the new master is %q, want %q", got, want)
	}
	if got := w.RunID("10.0.0.9:6379"); got != "" {
		t.Errorf("run id of one never named is %q", got)
	}
}

// SENTINEL RESET on all: nobody lists a replica, nor the master's run id. Not
// to know ourselves would make E the past, and fence a healthy master.
func TestSelfOutlivesAReset(t *testing.T) {
	g := newGroup(3)
	g.all(t, t0, us, 1)
	for i := range 3 {
		a := g.says(i, t0+sec, us, 1)
		a.Master.RunID, a.Replicas = "", nil
		g.hear(t, i, a)
	}
	for _, address := range []watchdog.Address{us, other} {
		if got := g.Self("run"+string(address), ""); got != address {
			t.Errorf("after a RESET %q is called %q", address, got)
		}
	}
	if e := g.Tally(g.Self("run"+string(us), ""), t0+sec).E; e <= t0+sec {
		t.Errorf("E is %v", e)
	}
	a := g.says(0, t0+2*sec, us, 1)
	a.Master.RunID = "stranger"
	g.hear(t, 0, a)
	if got := g.Self("run"+string(us), ""); got != "" {
		t.Errorf("where another Redis answers now, we are called %q", got)
	}
}
