package scenario

// Case k: the Sentinels are restarted, set, added and removed. No needless
// fence; E, the deadline and the number of known Sentinels follow.

import (
	"fmt"
	"strconv"
	"syscall"
	"testing"
	"time"

	"github.com/redis-watchdog/redis-watchdog/lab"
	"github.com/redis-watchdog/redis-watchdog/lab/watched"
	"github.com/redis-watchdog/redis-watchdog/watchdog/agent"
)

// restartAll ends every Sentinel at once and starts them again at once.
func restartAll(w *watched.World, by syscall.Signal) {
	w.T.Helper()
	w.Mark("every Sentinel restarted by %s", by)
	for _, s := range w.Group.Sentinels {
		s.Signal(by)
	}
	for _, s := range w.Group.Sentinels {
		s.Wait()
	}
	for _, s := range w.Group.Sentinels {
		s.Process.Restart() // does not wait for its answer
	}
	for _, d := range w.Watchdogs {
		d.WaitFor("hears every Sentinel", func(s agent.Status) bool {
			return s.SentinelsAnswering == len(w.Group.Sentinels) && s.SentinelsAgreeing == s.SentinelsAnswering
		})
	}
}

// With every Sentinel gone nobody could promote anybody before they are back
// and a whole down-after has passed: until then nothing changes for clients.
func TestSentinelsRestartedAtOnce(t *testing.T) {
	t.Parallel()
	w := watched.Start(t, watched.Options{Group: lab.GroupConfig{DownAfter: 5 * time.Second}})
	clients := w.Crowd()
	quiet := w.Churn()
	for _, by := range []syscall.Signal{syscall.SIGKILL, syscall.SIGTERM} {
		restartAll(w, by)
		w.Pause(2 * time.Second)
	}
	w.WaitGuarded()
	clients.WaitOK(lab.Now())
	writes, reads := clients.Stop()
	noticedNothing(t, w, writes, reads)
	if n := quiet.Counts(); !n.Quiet() {
		t.Errorf("%s; want none of it", n)
	}
	for _, d := range w.Watchdogs {
		if s := d.Status(); s.SentinelsKnown != 3 {
			t.Errorf("%s knows %d Sentinels, want 3", d.Name, s.SentinelsKnown)
		}
	}
}

func setDownAfter(w *watched.World, d time.Duration, sentinels ...*lab.Sentinel) {
	w.T.Helper()
	w.Mark("down-after %v on %d Sentinels", d, len(sentinels))
	for _, s := range sentinels {
		s.Do("SENTINEL", "SET", w.Group.Name, "down-after-milliseconds", strconv.FormatInt(d.Milliseconds(), 10))
	}
}

// down-after is changed on running Sentinels, upwards, downwards and on one
// only. D is the smallest at once; the lease follows it, E and the deadline the quorum; and
// when the master is cut off afterwards it refuses by the new times.
func TestDownAfterChanged(t *testing.T) {
	t.Parallel()
	first, long, short := 5*time.Second, 8*time.Second, 3*time.Second
	w := watched.Start(t, watched.Options{Group: lab.GroupConfig{DownAfter: first, FailTimeout: 10 * time.Second}})
	master := w.WaitServing()
	clients := w.Crowd(w.Hosts[1:]...)
	quiet := w.Churn()
	seconds := func(d time.Duration) func(agent.Status) bool {
		return func(s agent.Status) bool { return s.DownAfter == d.Seconds() }
	}

	setDownAfter(w, long, w.Group.Sentinels...)
	for _, d := range w.Watchdogs {
		d.WaitFor("shows it", seconds(long))
	}
	s := master.WaitFor("has its deadline, E and L further ahead than the first down-after allows", func(s agent.Status) bool {
		return min(s.EarliestPromotion, s.GrantRemaining, s.Deadline) > first.Seconds()
	})
	t.Logf("D %v: E in %.1f s, L in %.1f s, deadline in %.1f s", long, s.EarliestPromotion, s.GrantRemaining, s.Deadline)

	setDownAfter(w, short, w.Group.Sentinels[1])
	for _, d := range w.Watchdogs {
		d.WaitFor("shows the smallest", seconds(short))
	}
	s = master.WaitFor("has L as near as D demands", func(s agent.Status) bool {
		return s.GrantRemaining > 0 && s.GrantRemaining < short.Seconds()
	})
	t.Logf("D %v on one: E in %.1f s, L in %.1f s, deadline in %.1f s", short, s.EarliestPromotion, s.GrantRemaining, s.Deadline)
	// One Sentinel alone cannot promote: the second, with its longer one, must
	// agree, and until then nobody else is granted either.
	if min(s.EarliestPromotion, s.Deadline) <= short.Seconds() {
		t.Errorf("E is in %.1f s, the deadline in %.1f s; want both by the quorum, beyond %v", s.EarliestPromotion, s.Deadline, short)
	}

	setDownAfter(w, short, w.Group.Sentinels...)
	master.WaitFor("has E and its deadline as near as all demand", func(s agent.Status) bool {
		return s.DownAfter == short.Seconds() && min(s.EarliestPromotion, s.Deadline) > 0 && max(s.EarliestPromotion, s.Deadline) <= short.Seconds()
	})
	w.WaitGuarded()
	clients.WaitOK(lab.Now())
	writes, reads := clients.Stop()
	noticedNothing(t, w, writes, reads)
	if n := quiet.Counts(); !n.Quiet() {
		t.Errorf("%s; want none of it", n)
	}

	beside := beside(w)
	watches := w.Group.WatchRoles()
	cut := w.Mark("the master is cut off")
	w.Isolate(master.Host)
	promoted := w.Group.WaitMaster(w.Group.Replicas(master.Redis)...)
	w.WaitServing(watchdogOf(w, promoted))
	w.Pause(time.Second)
	oldWrites, oldReads := beside.of(w, master.Redis)
	newWrites, _ := beside.of(w, promoted)
	promotion := watches[indexOf(w, promoted)].BecameMaster(cut)
	heldThenRefused(t, oldWrites, oldReads, cut, promotion.After)
	if n := lab.OverlappingWrites(oldWrites, newWrites); len(n) != 0 {
		t.Errorf("%d writes overlap, want 0", len(n))
	}
}

// addSentinel starts one more and waits until all know one another.
func addSentinel(w *watched.World, host string) *lab.Sentinel {
	w.T.Helper()
	s := w.Lab.Host(host).Sentinel(lab.SentinelConfig{Monitors: []lab.Monitor{{
		Group: w.Group.Name, Master: w.Group.Redis[0], DownAfter: downAfter, FailoverTimeout: 10 * time.Second,
	}}})
	w.Group.Sentinels = append(w.Group.Sentinels, s)
	w.Mark("Sentinel added on %s", host)
	w.Group.WaitStable()
	return s
}

// reset makes the Sentinels forget who no longer answers, as their manual says.
func reset(w *watched.World, sentinels ...*lab.Sentinel) {
	w.T.Helper()
	for _, s := range sentinels {
		w.Mark("SENTINEL RESET on %s", s.Host.Name)
		s.Do("SENTINEL", "RESET", w.Group.Name)
	}
}

func waitKnown(w *watched.World, n int) {
	w.T.Helper()
	for _, d := range w.Watchdogs {
		d.WaitFor(fmt.Sprintf("knows %d Sentinels", n), func(s agent.Status) bool { return s.SentinelsKnown == n })
	}
}

// A Sentinel nobody configured at the watchdogs counts as soon as the others
// name it. One removed for good counts on while the others name it, and for
// a minute after they were told to forget it: meanwhile a list that a RESET
// has emptied must not make one Sentinel of three a majority.
func TestSentinelAddedAndRemoved(t *testing.T) {
	t.Parallel()
	sentinelAddedAndRemoved(t, func(w *watched.World) {
		for _, d := range w.Watchdogs {
			if s := d.Status(); s.SentinelsKnown != 4 {
				t.Errorf("%s knows %d Sentinels right after the RESET, want 4 still", d.Name, s.SentinelsKnown)
			}
		}
	})
}

func sentinelAddedAndRemoved(t *testing.T, forgotten func(*watched.World)) {
	w := watched.Start(t, watched.Options{Group: lab.GroupConfig{DownAfter: downAfter, FailTimeout: 10 * time.Second}})
	master := w.WaitServing()
	clients := w.Crowd()
	quiet := w.Churn()
	before := w.Record().Agreement.Agreement()

	added := addSentinel(w, "d")
	waitKnown(w, 4)
	master.WaitFor("hears the new Sentinel", func(s agent.Status) bool { return s.SentinelsAnswering == 4 && s.SentinelsAgreeing == 4 })

	w.Mark("the added Sentinel is removed for good")
	added.Kill()
	w.Group.Sentinels = w.Group.Sentinels[:3]
	w.Pause(downAfter)
	if s := master.Status(); s.SentinelsKnown != 4 || s.SentinelsAnswering != 3 || s.Phase != "serve" || s.Row != 9 {
		t.Errorf("with 1 of 4 Sentinels dead the master knows %d, hears %d, phase %s, row %d %s; want 4, 3, serve, row 9",
			s.SentinelsKnown, s.SentinelsAnswering, s.Phase, s.Row, s.Reason)
	}
	reset(w, w.Group.Sentinels...)
	w.Group.WaitStable()
	forgotten(w)

	w.WaitGuarded()
	clients.WaitOK(lab.Now())
	writes, reads := clients.Stop()
	noticedNothing(t, w, writes, reads)
	if n := quiet.Counts(); !n.Quiet() {
		t.Errorf("%s; want none of it", n)
	}
	if after := w.Record().Agreement.Agreement(); after != before {
		t.Errorf("agreement is %+v, was %+v", after, before)
	}
}
