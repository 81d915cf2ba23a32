package sentinel

import "testing"

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
