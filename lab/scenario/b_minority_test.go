package scenario

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/redis-watchdog/redis-watchdog/lab"
	"github.com/redis-watchdog/redis-watchdog/lab/watched"
	"github.com/redis-watchdog/redis-watchdog/watchdog/agent"
)

// TestTwoOfFiveSentinelsReachable: the group can reach two of its five
// Sentinels. The other three might be promoting somebody, so the master refuses
// when E says so; but what the two say is nobody's truth, even when they name
// another at an epoch far ahead. When the three are back, it all goes on.
func TestTwoOfFiveSentinelsReachable(t *testing.T) {
	t.Parallel()
	g := groupB()
	g.Quorum = 3
	w := watched.Start(t, watched.Options{Sentinels: []string{"a", "b", "d", "e", "f"}, Group: g})
	master, other, two := w.Group.Redis[0], w.Group.Redis[1], w.Group.Sentinels[:2]
	q := expectQuiet(w)
	replica := w.Hosts[1].Reader(lab.LoadConfig{Name: "replica", To: other})
	roles := w.Group.WatchRoles()

	cut := w.Mark("two of five")
	w.Partition(w.Hosts, w.Lab.Hosts("d", "e", "f"))
	w.Watchdogs[0].WaitPhase("refuse")
	rewrite(t, w, other, two, "sentinel config-epoch mymaster 9", "sentinel current-epoch 9")
	for _, d := range w.Watchdogs {
		d.WaitFor("hears both", func(s agent.Status) bool {
			n := 0
			for _, one := range s.Sentinels {
				if one.Answering && one.Master == other.Address && one.Epoch == 9 {
					n++
				}
			}
			return n == 2
		})
	}
	w.Pause(downAfter)
	q.nothingWritten(t)
	for row, why := range q.decidedSince() {
		// Whatever the noise of the machine makes of it: nobody is deposed,
		// nobody follows another.
		if row == 6 || row == 7 || row == 13 || row == 14 || slices.ContainsFunc(why, moved) {
			t.Errorf("row %d: %v", row, why)
		}
	}
	if c := roles[1].BecameMaster(cut); c.At != 0 {
		t.Errorf("%s was promoted", other.Name)
	}

	// Epoch 9 would win on the heal, for so Sentinel has it: it is undone, and
	// with the three processes die the connections on which it waits for them.
	rewrite(t, w, master, two)
	for _, s := range w.Group.Sentinels[2:] {
		s.Kill()
	}
	w.Heal()
	for _, s := range w.Group.Sentinels[2:] {
		s.Restart()
	}
	healed := w.Mark("all five again")
	w.WaitServing(w.Watchdogs[0])
	q.writer.WaitOK(healed, time.Minute)
	q.nothingWritten(t)
	writes := q.writer.Stop()
	if lost := lab.Lost(writes, master); len(lost) != 0 {
		t.Errorf("%d of %d acknowledged writes lost", len(lost), len(writes.OK()))
	}
	if failed := replica.Stop().Failed(); len(failed) != 0 {
		t.Errorf("the replica's reader noticed: %v", failed.Count())
	}
	t.Logf("decided %v", q.decidedSince())
}

// TestEqualEpochWithAnotherAddress: all Sentinels are told to monitor a replica,
// which somebody promoted by hand, at the epoch that the agreement has. One
// Sentinel that says so is nobody's truth; all of them make a conflict. It is
// an alarm, deposes nobody and writes nothing, and adopt is the way out.
func TestEqualEpochWithAnotherAddress(t *testing.T) {
	t.Parallel()
	w := watched.Start(t, watched.Options{Group: groupB()})
	master, other, third := w.Group.Redis[0], w.Group.Redis[1], w.Group.Redis[2]
	q := expectQuiet(w)
	roles := w.Group.WatchRoles()
	knock := w.Hosts[2].Writer(lab.LoadConfig{Name: "knock", To: other})
	reads := w.Hosts[2].Reader(lab.LoadConfig{Name: "reads", To: master})

	monitorAnew(w, other, w.Group.Sentinels[2])
	w.Pause(downAfter)
	q.nobodyDeposed(t)
	q.nothingWritten(t)
	if failed := q.writer.Trace().Failed(); len(failed) != 0 {
		t.Errorf("a minority of one was noticed: %v", failed.Count())
	}

	w.Mark("REPLICAOF NO ONE on %s", other.Name)
	other.Do("REPLICAOF", "NO", "ONE")
	monitorAnew(w, other, w.Group.Sentinels[:2]...)
	conflict := w.Mark("all name it at epoch 0")
	for _, d := range w.Watchdogs {
		s := d.WaitFor("shows the conflict", func(s agent.Status) bool { return hasFault(s, "conflict") })
		if s.Master != "" {
			t.Errorf("%s takes %s for the master, in a conflict", d.Name, s.Master)
		}
		if metric := `redis_watchdog_fault{id="conflict",master_name="mymaster",node="default",severity="error"} 1`; !strings.Contains(d.Metrics(), metric) {
			t.Errorf("%s has no metric %s", d.Name, metric)
		}
	}
	q.nothingWritten(t)
	if rows := q.decidedSince(); len(rows[7]) != 0 {
		t.Errorf("deposed by a conflict: %v", rows[7])
	}
	if acked := knock.Trace().OK(); len(acked) != 0 {
		t.Errorf("%d writes acknowledged by %s, which nobody has granted", len(acked), other.Name)
	}

	out, code := w.Watchdogs[2].CLI("adopt", w.Group.Name, "--to", other.Address, "--reason", "promoted by hand")
	adopted := w.Mark("adopt: exit code %d", code)
	if code != 0 {
		t.Fatalf("adopt: exit code %d: %s", code, out)
	}
	w.WaitServing(w.Watchdogs[1])
	knock.WaitOK(adopted, time.Minute)
	w.Eventually("both others follow it", time.Minute, func() error {
		for _, r := range []*lab.Redis{master, third} {
			if err := follows(r, other); err != nil {
				return err
			}
		}
		return nil
	})
	for _, d := range w.Watchdogs {
		d.WaitFor("is without a conflict", func(s agent.Status) bool { return !hasFault(s, "conflict") && s.Guarded })
	}
	rec := w.Record().Agreement
	if want := q.before.Agreement.Generation + 1; rec.Generation != want || string(rec.Address) != other.Address || rec.DecidedCause != "adopt" {
		t.Errorf("the agreement is %v for %q, want generation %d of %s by adopt", rec.Agreement(), rec.DecidedCause, want, other.Address)
	}
	old, new := q.writer.Stop(), knock.Stop()
	if overlap := lab.OverlappingWrites(old.On(master.Address), new.On(other.Address)); len(overlap) != 0 {
		t.Errorf("%d overlapping writes", len(overlap))
	}
	first := new.FirstOK().Received
	if stale := reads.Stop().Received(first, roles[0].BecameReplica(adopted).After).OK(); len(stale) != 0 {
		t.Errorf("%d reads answered by the old master after the first write of the new", len(stale))
	}
	t.Logf("decided %v; %d writes were refused from the conflict to the adoption", q.decidedSince(), len(old.Received(conflict, adopted).Failed()))
}
