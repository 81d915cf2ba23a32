package scenario

// Case c: etcd killed, frozen, unreachable, while all else is healthy.

import (
	"testing"
	"time"

	"github.com/redis-watchdog/redis-watchdog/lab"
	"github.com/redis-watchdog/redis-watchdog/lab/watched"
	"github.com/redis-watchdog/redis-watchdog/watchdog"
	"github.com/redis-watchdog/redis-watchdog/watchdog/agent"
)

var downAfter = 3 * time.Second // D, of every Sentinel

// apart keeps etcd on hosts of its own, so that a cut can take it alone away.
func apart() watched.Options {
	return watched.Options{Etcd: []string{"x", "y", "z"}, Group: lab.GroupConfig{DownAfter: downAfter, FailTimeout: 10 * time.Second}}
}

// outage is a way to lose etcd, and how it comes back.
type outage struct {
	name       string
	begin, end func(*watched.World)
}

func outages() []outage {
	return []outage{
		{"killed", func(w *watched.World) { w.Etcd.Kill() }, func(w *watched.World) { w.Etcd.Restart() }},
		{"frozen", func(w *watched.World) { w.Etcd.Stop() }, func(w *watched.World) { w.Etcd.Cont() }},
		{"unreachable", func(w *watched.World) { w.Partition(w.Hosts, w.Lab.Hosts("x", "y", "z")) }, func(w *watched.World) { w.Heal() }},
		// Two of three gone: the third answers, and knows that it may not.
		{"without quorum", func(w *watched.World) { w.Etcd.Members[0].Kill(); w.Etcd.Members[1].Stop() }, func(w *watched.World) { w.Etcd.Members[0].Restart(); w.Etcd.Members[1].Cont() }},
	}
}

// Certified: the Sentinels are the only ones who could promote another, and
// they say that they have not. No client notices that etcd is gone, however
// often and in whichever way, and for longer than any lease lasts.
func TestCoordinatorLostIsNotNoticed(t *testing.T) {
	t.Parallel()
	certifiedOutages(t, 5*time.Second, outages())
}

func certifiedOutages(t *testing.T, length time.Duration, all []outage) {
	w := watched.Start(t, apart())
	master := w.WaitServing()
	before := w.Record().Agreement.Agreement()
	clients := w.Crowd()
	quiet := w.Churn()
	for _, o := range all {
		lost := w.Mark("etcd %s", o.name)
		o.begin(w)
		certified := master.WaitFor("serves by the word of the Sentinels", func(s agent.Status) bool {
			return s.Phase == "serve" && s.Reason == "certified_by_sentinels" && s.GrantRemaining == 0
		})
		w.Pause(length - lab.Now().Sub(lost))
		// Not at once: where the machine has just stood still it holds for a moment.
		master.WaitFor("still serves by the word of the Sentinels", func(s agent.Status) bool {
			return s.Phase == "serve" && s.Row == certified.Row
		})
		w.Mark("etcd %s: back", o.name)
		o.end(w)
		w.WaitGuarded()
	}
	if w.WaitServing() != master {
		t.Error("another master serves after the outages")
	}
	clients.WaitOK(lab.Now())
	writes, reads := clients.Stop()
	noticedNothing(t, w, writes, reads)
	if n := quiet.Counts(); !n.Quiet() {
		t.Errorf("%d outages of etcd: %s; want none of it", len(all), n)
	}
	if after := w.Record().Agreement.Agreement(); after != before {
		t.Errorf("agreement is %+v, was %+v", after, before)
	}
}

// noticedNothing: every command was answered, none waited for as long as a
// hold could be, and the master has every key.
func noticedNothing(t *testing.T, w *watched.World, writes, reads lab.Trace) {
	t.Helper()
	t.Logf("writes: %s; reads: %s; slowest write %v, read %v", writes, reads, took(writes.Slowest()), took(reads.Slowest()))
	if n := len(writes.Failed()) + len(reads.Failed()); n != 0 {
		t.Errorf("%d commands of clients failed (writes: %s; reads: %s), want 0", n, writes, reads)
	}
	if lost := lab.Lost(writes, w.WaitServing().Redis); len(lost) != 0 {
		t.Errorf("%d acknowledged writes are lost, want 0", len(lost))
	}
}

func took(a lab.Answer) time.Duration { return a.Received.Sub(a.Sent) }

// As soon as the Sentinels no longer certify, the master is isolated for all
// it knows. Nobody can promote another here (one Sentinel of three is left),
// but the master cannot know that.
func TestCoordinatorThenSentinelsLost(t *testing.T) {
	t.Parallel()
	w := watched.Start(t, apart())
	master := w.WaitServing()
	clients := w.Crowd()
	quiet := w.Churn()

	etcd := w.Mark("etcd killed")
	w.Etcd.Kill()
	master.WaitFor("serves by the word of the Sentinels", func(s agent.Status) bool {
		return s.Phase == "serve" && s.Reason == "certified_by_sentinels" && s.GrantRemaining == 0
	})
	silent := w.Mark("two Sentinels of three killed")
	w.Group.Sentinels[1].Kill()
	w.Group.Sentinels[2].Kill()
	master.WaitPhase("refuse")
	refused := w.Mark("seen to refuse")
	w.Pause(downAfter)
	w.Mark("Sentinels and etcd started again")
	w.Group.Sentinels[1].Restart()
	w.Group.Sentinels[2].Restart()
	w.Etcd.Restart()
	w.WaitGuarded()
	clients.WaitOK(lab.Now())
	writes, reads := clients.Stop()
	t.Logf("writes: %s; reads: %s", writes, reads)

	if failed := len(writes.Sent(etcd, silent).Received(0, silent).Failed()); failed != 0 {
		t.Errorf("%d writes failed while the Sentinels certified", failed)
	}
	heldThenRefused(t, writes, reads, silent, silent.Add(downAfter))
	if n := len(writes.Sent(refused, refused.Add(downAfter)).OK()) + len(reads.Sent(refused, refused.Add(downAfter)).OK()); n != 0 {
		t.Errorf("%d commands were answered in the %v after the refusal was seen, want 0", n, downAfter)
	}
	if lost := lab.Lost(writes, w.WaitServing().Redis); len(lost) != 0 {
		t.Errorf("%d acknowledged writes are lost, want 0: nobody else was promoted", len(lost))
	}
	// Fenced and opened again; Sentinel never had a reason to act.
	if n := quiet.Counts(); n.Switches != 0 || n.Roles != 2 {
		t.Errorf("%s; want the master fenced and opened once, and no +switch-master", n)
	}
}

// heldThenRefused: after the cut writers wait first, while reads go on; then
// nothing is answered any more; all of it by the deadline.
func heldThenRefused(t *testing.T, writes, reads lab.Trace, cut, deadline watchdog.Instant) {
	t.Helper()
	shut := silentFrom(reads, cut)
	held := writes.OK().Received(0, shut.Add(1)).LastOK().Received
	t.Logf("after the cut: last write acknowledged after %v, last read answered after %v, D is %v, deadline after %v",
		held.Sub(cut), shut.Sub(cut), downAfter, deadline.Sub(cut))
	if held >= shut {
		t.Errorf("writes were acknowledged until %v after the cut, reads until %v: want a hold before the refusal", held.Sub(cut), shut.Sub(cut))
	}
	if shut >= deadline {
		t.Errorf("a read was answered %v after the deadline", shut.Sub(deadline))
	}
}

// silentFrom is when the last OK was received before the first gap of D/2 in
// what was received after at.
func silentFrom(t lab.Trace, at watchdog.Instant) watchdog.Instant {
	last := at
	for _, a := range t.OK().Received(at, watchdog.Never) {
		if a.Received.Sub(last) > downAfter/2 {
			break
		}
		last = a.Received
	}
	return last
}
