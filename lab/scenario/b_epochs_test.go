package scenario

import (
	"testing"
	"time"

	"github.com/redis-watchdog/redis-watchdog/lab/watched"
	"github.com/redis-watchdog/redis-watchdog/watchdog/agent"
)

// TestSentinelResetAndMonitoredAnew: SENTINEL RESET makes every Sentinel forget
// the others and the replicas for seconds, and nothing comes of it. REMOVE and
// MONITOR make them forget the epoch too: the same master at a lower epoch is a
// new generation, and clients notice neither.
func TestSentinelResetAndMonitoredAnew(t *testing.T) {
	t.Parallel()
	w := watched.Start(t, watched.Options{Group: groupB()})
	master := failedOver(w)

	q := expectQuiet(w)
	for _, s := range w.Group.Sentinels {
		s.Do("SENTINEL", "RESET", w.Group.Name)
	}
	w.Mark("SENTINEL RESET on all")
	w.Pause(downAfter)
	w.Group.WaitStable()
	q.nothingWritten(t)
	q.nobodyDeposed(t)
	for _, d := range w.Watchdogs {
		if n := d.Status().SentinelsKnown; n != 3 {
			t.Errorf("%s knows %d Sentinels", d.Name, n)
		}
	}

	monitorAnew(w, master, w.Group.Sentinels...)
	q.waitGeneration(0)
	w.Pause(downAfter)
	w.Group.WaitStable()
	q.nobodyDeposed(t)
	q.clientsNoticedNothing(t)
	t.Logf("decided: %v", q.decidedSince())
}

// TestEpochsWiped: every sentinel.conf is written anew, as a configuration
// manager does, and every Sentinel restarted: all epochs begin at 0 again. It
// is a new generation, and the next failover counts, although its epoch is no
// higher than one there was before.
func TestEpochsWiped(t *testing.T) {
	t.Parallel()
	w := watched.Start(t, watched.Options{Group: groupB()})
	master := failedOver(w)

	q := expectQuiet(w)
	rewrite(t, w, master, w.Group.Sentinels)
	q.waitGeneration(0)
	w.Group.WaitStable()
	q.nobodyDeposed(t)
	q.clientsNoticedNothing(t)
	t.Logf("decided: %v", q.decidedSince())

	failedOver(w)
	was, now := q.before.Agreement, w.Record().Agreement
	if now.Generation != was.Generation+1 || now.Epoch > was.Epoch || now.Address == was.Address {
		t.Errorf("after the next failover the agreement is %v, before the wiping it was %v", now.Agreement(), was.Agreement())
	}
}

// TestSentinelInTilt: a Sentinel that stood still for longer than 2 s starts
// and votes for nothing for 30 s (TILT), and its word is as good as ever.
func TestSentinelInTilt(t *testing.T) {
	t.Parallel()
	w := watched.Start(t, watched.Options{Group: groupB()})
	q := expectQuiet(w)
	s := w.Group.Sentinels[2]
	s.Stop()
	w.Pause(2500 * time.Millisecond)
	s.Cont()
	for _, d := range w.Watchdogs {
		st := d.WaitFor("hears of TILT", func(s agent.Status) bool { return hasFault(s, "sentinel_tilt") && s.SentinelsAgreeing == 3 })
		if !st.Guarded {
			t.Errorf("%s is not guarded: %v", d.Name, st.Faults)
		}
	}
	w.Pause(downAfter)
	q.nobodyDeposed(t)
	q.nothingWritten(t)
	if rows := q.decidedSince(); len(rows) != 0 {
		t.Errorf("decided %v", rows)
	}
	q.clientsNoticedNothing(t)
}
