package scenario

import (
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/redis-watchdog/redis-watchdog/lab"
	"github.com/redis-watchdog/redis-watchdog/lab/watched"
	"github.com/redis-watchdog/redis-watchdog/watchdog"
)

// TestMasterKilled is case a: etcd names whom Sentinel promoted, at the higher
// epoch and with who said so; and the new master was born locked: it answered
// reads at once and its first write when it had been granted, not before.
func TestMasterKilled(t *testing.T) {
	t.Parallel()
	masterKilled(t, watched.Start(t, watched.Options{}))
}

func masterKilled(t *testing.T, w *watched.World) {
	t.Helper()
	old, before := w.Group.Redis[0], w.Record()
	client := w.Hosts[0].Writer(lab.LoadConfig{Name: "client", Sentinels: w.Group.Sentinels})
	var knocks, reads []*lab.Load // at both replicas: one of them will be the master
	for _, r := range w.Group.Redis[1:] {
		knocks = append(knocks, w.Hosts[0].Writer(lab.LoadConfig{Name: "knock-" + r.Host.Name, To: r}))
		reads = append(reads, w.Hosts[0].Reader(lab.LoadConfig{Name: "read-" + r.Host.Name, To: r}))
	}
	roles := w.Group.WatchRoles()
	client.WaitOK(lab.Now(), 20*time.Second)

	killed := old.Kill()
	client.WaitOK(killed, time.Minute)
	master := w.Group.Master()
	rec, after := w.WaitAgreed(master), w.Record()
	if master == old {
		t.Fatalf("the dead %s is named", old.Name)
	}

	// Who said so.
	if was := before.Agreement; rec.Epoch <= was.Epoch || rec.Generation != was.Generation {
		t.Errorf("agreement %d/%d, was %d/%d: want a higher epoch of the same generation", rec.Generation, rec.Epoch, was.Generation, was.Epoch)
	}
	if epoch := w.Group.Sentinels[0].Epoch(w.Group.Name); rec.Epoch != epoch {
		t.Errorf("agreement has epoch %d, Sentinel %d", rec.Epoch, epoch)
	}
	if rec.Known != 3 || 2*rec.Votes <= rec.Known || len(rec.Sentinels) != rec.Votes || rec.DecidedBy == "" || rec.DecidedCause != "failover" {
		t.Errorf("agreement was said by %v (%d of %d), decided by %q for %q", rec.Sentinels, rec.Votes, rec.Known, rec.DecidedBy, rec.DecidedCause)
	}
	ids := sentinelIDs(t, w)
	for _, id := range rec.Sentinels {
		if !slices.Contains(ids, id) {
			t.Errorf("%q is said to have said so, the Sentinels are %v", id, ids)
		}
	}
	if is := master.Info()["run_id"]; rec.RunID != is {
		t.Errorf("agreement has run id %q, the master %q", rec.RunID, is)
	}
	if after.Grant.Holder != watchdog.Address(master.Address) {
		t.Errorf("the grant is %q's", after.Grant.Holder)
	}

	// Born locked, opened by the grant.
	i := indexOf(w, master)
	promoted := roles[i].BecameMaster(killed)
	knocked, answered := knocks[i-1].Stop(), reads[i-1].Stop()
	first := append(knocked, client.Stop()...).On(master.Address).OK()
	opened := earliest(first)
	locked := knocked.Received(promoted.At, opened.Received)
	if n := locked.Count()["refused NOREPLICAS"]; n == 0 {
		t.Errorf("no write was refused by the lock between promotion and grant: %v", locked.Count())
	}
	if early := knocked.Sent(killed, promoted.After).OK(); len(early) != 0 {
		t.Errorf("%d writes acknowledged by a replica", len(early))
	}
	if at := w.Wall(opened.Received); at.Before(after.Grant.ClaimedAt) {
		t.Errorf("the first write was acknowledged %v before the grant was claimed", after.Grant.ClaimedAt.Sub(at))
	}
	for kind, n := range answered.Received(killed, opened.Received).Count() {
		if len(kind) >= 7 && kind[:7] == "refused" {
			t.Errorf("%d reads %s by the new master, which was never to refuse any", n, kind)
		}
	}
	t.Logf("promoted %v after the kill, first write %v later; meanwhile %v", promoted.At.Sub(killed), opened.Received.Sub(promoted.At), locked.Count())
}

func earliest(acked lab.Trace) lab.Answer {
	return slices.MinFunc(acked, func(a, b lab.Answer) int { return int(a.Received - b.Received) })
}

// sentinelIDs are their run ids, from their own files: 6.0 has no SENTINEL MYID.
func sentinelIDs(t *testing.T, w *watched.World) []string {
	t.Helper()
	var ids []string
	for _, s := range w.Group.Sentinels {
		text, err := os.ReadFile(s.ConfigFile)
		if err != nil {
			t.Fatal(err)
		}
		for line := range strings.Lines(string(text)) {
			if id, ok := strings.CutPrefix(line, "sentinel myid "); ok {
				ids = append(ids, strings.TrimSpace(id))
			}
		}
	}
	return ids
}

// TestPromotedWithoutItsWatchdogStaysLocked kills the watchdogs beside both
// replicas, and then the master. Sentinel promotes, and whomever it promotes
// answers reads and no write, for as long as no grant opens it.
func TestPromotedWithoutItsWatchdogStaysLocked(t *testing.T) {
	t.Parallel()
	w := watched.Start(t, watched.Options{})
	client := w.Hosts[0].Writer(lab.LoadConfig{Name: "client", Sentinels: w.Group.Sentinels})
	client.WaitOK(lab.Now(), 20*time.Second)
	for _, d := range w.Watchdogs[1:] {
		d.Kill()
	}
	killed := w.Group.Redis[0].Kill()
	master := w.Group.WaitMaster(w.Group.Redis[1:]...)
	reader := w.Hosts[0].Reader(lab.LoadConfig{Name: "reader", To: master})
	knock := w.Hosts[0].Writer(lab.LoadConfig{Name: "knock", To: master})
	named := lab.Now()
	reader.WaitOK(named, 20*time.Second)
	w.Pause(3 * time.Second)
	back := w.Mark("the watchdog of %s is back", master.Name)
	watchdogOf(w, master).Restart()
	client.WaitOK(back, time.Minute)

	writes := append(client.Stop(), knock.Stop()...).On(master.Address)
	if early := writes.Received(killed, back).OK(); len(early) != 0 {
		t.Errorf("%d writes acknowledged by a master that nobody had granted", len(early))
	}
	if n := writes.Received(killed, back).Count()["refused NOREPLICAS"]; n == 0 {
		t.Errorf("no write met the lock: %v", writes.Count())
	}
	if failed := reader.Stop().Received(named, back).Failed(); len(failed) != 0 {
		t.Errorf("%d reads not answered: %v", len(failed), failed.Count())
	}
	if holder := w.Record().Grant.Holder; holder != watchdog.Address(master.Address) {
		t.Errorf("the grant is %q's", holder)
	}
}
