package scenario

// Case c, continued: a failover while etcd is away.

import (
	"context"
	"io"
	"net"
	"testing"
	"time"

	"github.com/redis-watchdog/redis-watchdog/lab"
	"github.com/redis-watchdog/redis-watchdog/lab/watched"
	"github.com/redis-watchdog/redis-watchdog/watchdog"
	"github.com/redis-watchdog/redis-watchdog/watchdog/agent"
)

// side is a writer and a reader beside each Redis that talk to no other.
type side struct{ writers, readers []*lab.Load }

func beside(w *watched.World) side {
	var s side
	for i, r := range w.Group.Redis {
		c := lab.LoadConfig{To: r, Connections: 2, Rate: 50}
		s.writers = append(s.writers, w.Hosts[i].Writer(c))
		s.readers = append(s.readers, w.Hosts[i].Reader(c))
	}
	return s
}

// of is all that the clients beside one Redis were told.
func (s side) of(w *watched.World, r *lab.Redis) (writes, reads lab.Trace) {
	for i := range w.Group.Redis {
		if w.Group.Redis[i] == r {
			return s.writers[i].Stop(), s.readers[i].Stop()
		}
	}
	return nil, nil
}

// The master serves by the word of the Sentinels when it is cut off from them
// with its clients. They promote another: it is born locked, and no Redis of
// the group accepts a write until etcd is back, whatever heals before. Then
// the new master opens, and the old one has long been its replica.
func TestFailoverWithoutCoordinatorByCut(t *testing.T) {
	t.Parallel()
	w := watched.Start(t, apart())
	old := w.WaitServing()
	clients := beside(w)
	watches := w.Group.WatchRoles()
	quiet := w.Churn()

	w.Mark("etcd killed")
	w.Etcd.Kill()
	old.WaitFor("serves by the word of the Sentinels", func(s agent.Status) bool {
		return s.Phase == "serve" && s.Reason == "certified_by_sentinels" && s.GrantRemaining == 0
	})
	cut := w.Mark("the master and its clients are cut off")
	w.Isolate(old.Host)
	promoted := w.Group.WaitMaster(w.Group.Replicas(old.Redis)...)
	newWatchdog := watchdogOf(w, promoted)
	newWatchdog.WaitPhase("lock")
	w.Pause(downAfter)
	if s := newWatchdog.Status(); s.Phase != "lock" || s.Row != 13 {
		t.Errorf("without etcd the new master shows phase %s, row %d %s; want lock, row 13", s.Phase, s.Row, s.Reason)
	}
	w.Mark("healed, etcd still away")
	w.Heal()
	rejoined := watches[indexOf(w, old.Redis)]
	w.Eventually("the old master is a replica in step", time.Minute, func() error {
		return follows(old.Redis, promoted)
	})
	back := w.Mark("etcd is back")
	w.Etcd.Restart()
	if got := w.WaitServing(); got != newWatchdog {
		t.Errorf("%s serves, want %s", got.Name, newWatchdog.Name)
	}
	w.WaitGuarded()
	w.Pause(downAfter)

	promotion := watches[indexOf(w, promoted)].BecameMaster(cut)
	oldWrites, oldReads := clients.of(w, old.Redis)
	newWrites, newReads := clients.of(w, promoted)
	t.Logf("beside the old master: writes: %s; reads: %s", oldWrites, oldReads)
	t.Logf("beside the new master: writes: %s; reads: %s", newWrites, newReads)
	heldThenRefused(t, oldWrites, oldReads, cut, promotion.After)
	if n := lab.OverlappingWrites(oldWrites, newWrites); len(n) != 0 {
		t.Errorf("%d writes overlap, want 0", len(n))
	}
	if n := lab.OverlappingReads(oldReads, old.Redis, rejoined, promotion); len(n) != 0 {
		t.Errorf("%d reads of the old master were answered after the promotion, want 0", len(n))
	}
	if n := newWrites.Received(0, back).OK(); len(n) != 0 {
		t.Errorf("the new master acknowledged %d writes before etcd was back, want 0: it is born locked", len(n))
	}
	if n := newReads.Received(promotion.At, back).Failed(); len(n) > len(newReads)/10 {
		t.Errorf("%d reads failed at the new master while it was locked: %s", len(n), newReads)
	}
	if w.WaitServing() == newWatchdog && newWrites.AckedAfter(back).FirstOK().Kind != lab.OK {
		t.Errorf("the new master acknowledged no write after etcd was back: %s", newWrites)
	}
	lossIsTheWindow(t, lab.Lost(oldWrites, promoted), cut)
	// One failover, seen by each Sentinel once, and the master fenced and
	// rejoined as a replica: nothing churns while nobody may write.
	if n := quiet.Counts(); n.Switches != len(w.Group.Sentinels) || n.Roles != 2 {
		t.Errorf("%s; want 2 role changes and one +switch-master a Sentinel", n)
	}
}

// lossIsTheWindow: what is lost was acknowledged between the cut and the hold
// (with a share of D for a replica that lags on a busy machine).
func lossIsTheWindow(t *testing.T, lost lab.Trace, cut watchdog.Instant) {
	t.Helper()
	if len(lost) > 0 {
		t.Logf("%d writes are lost, all acknowledged within %v of the cut", len(lost), lost.LastOK().Received.Sub(cut))
	}
	if n := lost.Received(0, cut.Add(-downAfter/10)); len(n) != 0 {
		t.Errorf("%d writes acknowledged before the cut are lost, want 0", len(n))
	}
}

// An operator types SENTINEL FAILOVER while etcd is away, around every tool.
// Nobody writes twice; the old master holds as soon as a Sentinel shows the
// failover, and is a replica of the locked new one before etcd is back.
func TestFailoverWithoutCoordinatorByCommand(t *testing.T) {
	t.Parallel()
	w := watched.Start(t, apart())
	old := w.WaitServing()
	clients := beside(w)
	watches := w.Group.WatchRoles()
	quiet := w.Churn()
	w.Mark("etcd killed")
	w.Etcd.Kill()
	old.WaitFor("serves by the word of the Sentinels", func(s agent.Status) bool {
		return s.Phase == "serve" && s.Reason == "certified_by_sentinels" && s.GrantRemaining == 0
	})
	asked := w.Group.Failover()
	promoted := w.Group.WaitMaster(w.Group.Replicas(old.Redis)...)
	w.Eventually("the old master is a replica in step", time.Minute, func() error {
		return follows(old.Redis, promoted)
	})
	w.Pause(downAfter)
	back := w.Mark("etcd is back")
	w.Etcd.Restart()
	if got := w.WaitServing(); got.Redis != promoted {
		t.Errorf("%s serves, want %s", got.Name, promoted.Name)
	}
	w.WaitGuarded()
	w.Pause(time.Second)
	promotion := watches[indexOf(w, promoted)].BecameMaster(asked)
	oldWrites, _ := clients.of(w, old.Redis)
	newWrites, newReads := clients.of(w, promoted)
	t.Logf("beside the old master: writes: %s; beside the new: writes: %s; reads: %s", oldWrites, newWrites, newReads)
	lost := lab.Lost(oldWrites, promoted)
	t.Logf("%d writes are lost; the promotion was seen %v after the command", len(lost), promotion.At.Sub(asked))
	if n := lab.OverlappingWrites(oldWrites, newWrites); len(n) != 0 {
		t.Errorf("%d writes overlap, want 0", len(n))
	}
	if n := newWrites.Received(0, back).OK(); len(n) != 0 {
		t.Errorf("the new master acknowledged %d writes before etcd was back, want 0: it is born locked", len(n))
	}
	if newWrites.AckedAfter(back).FirstOK().Kind != lab.OK {
		t.Errorf("the new master acknowledged no write after etcd was back: %s", newWrites)
	}
	lossIsTheWindow(t, lost, asked)
	if n := quiet.Counts(); n.Switches != len(w.Group.Sentinels) {
		t.Errorf("%s; want one +switch-master a Sentinel", n)
	}
}

// The master dies while etcd is away. Its successor is locked and stays the
// master: writes wait for etcd, but Sentinel has no reason to go on.
func TestFailoverWithoutCoordinatorByDeath(t *testing.T) {
	t.Parallel()
	w := watched.Start(t, apart())
	old := w.WaitServing()
	clients := w.Crowd()
	quiet := w.Churn()

	lost := w.Mark("etcd frozen")
	w.Etcd.Stop()
	old.WaitFor("serves by the word of the Sentinels", func(s agent.Status) bool {
		return s.Phase == "serve" && s.Reason == "certified_by_sentinels" && s.GrantRemaining == 0
	})
	killed := old.Redis.Kill()
	promoted := w.Group.WaitMaster(w.Group.Replicas(old.Redis)...)
	newWatchdog := watchdogOf(w, promoted)
	newWatchdog.WaitPhase("lock")
	w.Pause(2 * downAfter)
	if s := newWatchdog.Status(); s.Phase != "lock" || s.Row != 13 {
		t.Errorf("without etcd the new master shows phase %s, row %d %s; want lock, row 13", s.Phase, s.Row, s.Reason)
	}
	started := w.Mark("the old master is started again; etcd is still away")
	old.Redis.Restart()
	w.Eventually("the old master is a replica in step", time.Minute, func() error {
		return follows(old.Redis, promoted)
	})
	back := w.Mark("etcd goes on")
	w.Etcd.Cont()
	if got := w.WaitServing(); got != newWatchdog {
		t.Errorf("%s serves, want %s", got.Name, newWatchdog.Name)
	}
	w.WaitGuarded()
	clients.WaitOK(lab.Now())
	writes, reads := clients.Stop()
	t.Logf("writes: %s; reads: %s", writes, reads)
	if n := writes.Received(lost, killed).Failed(); len(n) != 0 {
		t.Errorf("%d writes failed before the master died", len(n))
	}
	if n := writes.On(promoted.Address).Received(0, back).OK(); len(n) != 0 {
		t.Errorf("the new master acknowledged %d writes before etcd was back, want 0", len(n))
	}
	// Nothing holds a Redis shut that is started without the start gate (this
	// lab has no service manager): it is fenced when it is seen, by the truth
	// that the Sentinels tell. That is a moment, and over long before etcd is
	// back and the new master opens.
	again := writes.On(old.Redis.Address).AckedAfter(killed)
	t.Logf("the old master acknowledged %d writes when it was started again without the start gate", len(again))
	if n := lab.OverlappingWrites(writes, writes.On(promoted.Address)); len(n) != 0 {
		t.Errorf("%d writes overlap, want 0", len(n))
	}
	if n := again.Received(started.Add(downAfter/2), watchdog.Never); len(n) != 0 {
		t.Errorf("%d of them came later than D/2 after its start, want 0", len(n))
	}
	lossIsTheWindow(t, lab.Lost(writes.Received(0, started), promoted), killed)
	if n := quiet.Counts(); n.Switches != len(w.Group.Sentinels) {
		t.Errorf("%s; want one +switch-master a Sentinel", n)
	}
}

// Whoever wants the stricter rule gets it: without etcd nothing is answered
// beyond the grant, reads neither, and connections that were open are cut.
// When etcd is back the master opens by itself; nobody was promoted meanwhile.
func TestCoordinatorLostRefuse(t *testing.T) {
	t.Parallel()
	o := apart()
	o.Policy = map[string]string{"coordinator_lost": "refuse"}
	w := watched.Start(t, o)
	master := w.WaitServing()
	clients := w.Crowd()
	quiet := w.Churn()
	idle, subscribed := connect(t, master), connect(t, master)
	if _, err := io.WriteString(subscribed, "SUBSCRIBE news\r\n"); err != nil {
		t.Fatal(err)
	}
	if _, err := io.ReadFull(subscribed, make([]byte, len("*3\r\n$9\r\nsubscribe\r\n$4\r\nnews\r\n:1\r\n"))); err != nil {
		t.Fatal(err)
	}

	lost := w.Mark("etcd killed")
	w.Etcd.Kill()
	refused := master.WaitPhase("refuse")
	t.Logf("refuses by row %d %s", refused.Row, refused.Reason)
	for name, conn := range map[string]net.Conn{"idle": idle, "subscribed": subscribed} {
		if n, err := conn.Read(make([]byte, 1)); n != 0 || isTimeout(err) {
			t.Errorf("a connection that was open and %s got %d bytes, %v; want it cut", name, n, err)
		}
	}
	w.Pause(downAfter)
	back := w.Mark("etcd is back")
	w.Etcd.Restart()
	if got := w.WaitServing(); got != master {
		t.Errorf("%s serves, want %s", got.Name, master.Name)
	}
	w.WaitGuarded()
	clients.WaitOK(lab.Now())
	writes, reads := clients.Stop()
	t.Logf("writes: %s; reads: %s", writes, reads)
	// The last good renewal was begun before etcd was killed.
	deadline := lost.Add(watchdog.Policy{}.Timing(downAfter).LeaseTTL)
	// Certified as it is, it serves until then: no hold, no doubt.
	t.Logf("after the loss: last read answered after %v, D is %v, lease %v", silentFrom(reads, lost).Sub(lost), downAfter, deadline.Sub(lost))
	if n := len(writes.Sent(deadline, back).OK()) + len(reads.Sent(deadline, back).OK()); n != 0 {
		t.Errorf("%d commands sent after the deadline were answered before etcd was back, want 0", n)
	}
	if n := lab.Lost(writes, master.Redis); len(n) != 0 {
		t.Errorf("%d acknowledged writes are lost, want 0", len(n))
	}
	if n := quiet.Counts(); n.Switches != 0 || n.Roles != 2 {
		t.Errorf("%s; want the master fenced and opened once, and no +switch-master", n)
	}
}

func connect(t *testing.T, d *watched.Watchdog) net.Conn {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	conn, err := d.Host.Dial(ctx, "tcp", d.Redis.Address)
	if err == nil {
		err = conn.SetDeadline(time.Now().Add(30 * time.Second))
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	return conn
}

// A restart of the master's watchdog in the middle of an outage is no event:
// that the last grant was ours is remembered.
func TestWatchdogRestartedWithoutCoordinator(t *testing.T) {
	t.Parallel()
	w := watched.Start(t, apart())
	master := w.WaitServing()
	clients := w.Crowd()
	quiet := w.Churn()
	w.Mark("etcd killed")
	w.Etcd.Kill()
	certified := func(s agent.Status) bool {
		return s.Phase == "serve" && s.Reason == "certified_by_sentinels" && s.GrantRemaining == 0
	}
	master.WaitFor("serves by the word of the Sentinels", certified)
	for _, end := range []func(){func() { master.Term() }, func() { master.Kill() }} {
		end()
		master.Restart()
		master.WaitFor("serves by the word of the Sentinels", certified)
	}
	w.Pause(downAfter)
	w.Mark("etcd is back")
	w.Etcd.Restart()
	w.WaitGuarded()
	clients.WaitOK(lab.Now())
	writes, reads := clients.Stop()
	noticedNothing(t, w, writes, reads)
	if n := quiet.Counts(); !n.Quiet() {
		t.Errorf("%s; want none of it", n)
	}
}
