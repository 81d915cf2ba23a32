package scenario

import (
	"testing"
	"time"

	"github.com/redis-watchdog/redis-watchdog/lab"
	"github.com/redis-watchdog/redis-watchdog/lab/watched"
	"github.com/redis-watchdog/redis-watchdog/watchdog/agent"
)

// TestTemplateWithLastWeeksMaster: every sentinel.conf is written anew from a
// template that still names the master of before the last failover, by now a
// replica. It is a conflict and stays one, however long it lasts: no agreement
// may come of it, or the true master would be made a replica of its own
// replica, and the group have no master at all. The Sentinels put right, it
// all goes on by itself, in a new generation.
func TestTemplateWithLastWeeksMaster(t *testing.T) {
	t.Parallel()
	w := watched.Start(t, watched.Options{Group: groupB()})
	stale := w.Group.Master()
	master := failedOver(w)
	q := expectQuiet(w)

	rewrite(t, w, stale, w.Group.Sentinels)
	for _, d := range w.Watchdogs {
		d.WaitFor("shows the conflict", func(s agent.Status) bool { return hasFault(s, "conflict") })
	}
	// Nobody renews E for the true master now: it refuses, and then gives the
	// grant up. An unbroken majority of 10 s breaks a conflict, for a master.
	watchdogOf(w, master).WaitPhase("refuse")
	w.Pause(12 * time.Second)
	q.nothingAgreed(t)
	if rows := q.decidedSince(); len(rows[7]) != 0 {
		t.Errorf("deposed: %v", rows[7])
	}

	right := w.Mark("the true master is put into every sentinel.conf")
	rewrite(t, w, master, w.Group.Sentinels)
	q.waitGeneration(0)
	w.WaitServing(watchdogOf(w, master))
	q.writer.WaitOK(right, time.Minute)
	if lost := lab.Lost(q.writer.Stop(), master); len(lost) != 0 {
		t.Errorf("%d acknowledged writes lost", len(lost))
	}
	t.Logf("decided %v", q.decidedSince())
}
