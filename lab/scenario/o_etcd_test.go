package scenario

// Case o: what can befall etcd's content: two groups of one name on one etcd,
// the grant deleted by hand, all of it deleted, an older snapshot restored.

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/redis-watchdog/redis-watchdog/fencing/grant"
	"github.com/redis-watchdog/redis-watchdog/lab"
	"github.com/redis-watchdog/redis-watchdog/lab/watched"
	"github.com/redis-watchdog/redis-watchdog/watchdog/agent"
)

// The grant deleted by hand, then everything, again and again, under load: the
// master claims anew, its writers wait a moment, nobody is refused and nobody
// is synchronised anew. A failover right after everything was deleted is a
// failover like any other.
func TestEtcdDeletedByHand(t *testing.T) {
	t.Parallel()
	w := watched.Start(t, watched.Options{Group: lab.GroupConfig{FailTimeout: 10 * time.Second}})
	clients, quiet, kept := w.Crowd(), w.Churn(), keep(w)
	etcd := w.Etcd.Client(w.Hosts[1])
	before := w.Record()
	master := w.WaitServing()
	for range 3 {
		deleteGrant(w)
		heldAgain(t, w, master)
	}
	for range 3 {
		w.Mark("all is deleted from etcd")
		if _, err := etcd.Delete(w.Context(), "\x00", clientv3.WithFromKey()); err != nil {
			t.Fatal(err)
		}
		heldAgain(t, w, master)
	}
	clients.WaitOK(lab.Now())
	writes, reads := clients.Writes(), clients.Reads()
	noticedNothing(t, w, writes, reads)
	kept.check(t)
	if n := quiet.Counts(); n.Roles != 0 || n.Switches != 0 || n.Down != 0 {
		t.Errorf("%s; want none of it", n)
	}
	after := w.Record()
	if after.Record.ID != before.Record.ID {
		t.Errorf("the group's id is %q, was %q: its nodes would be strangers", after.Record.ID, before.Record.ID)
	}
	if after.Agreement.Agreement() != before.Agreement.Agreement() {
		t.Errorf("agreement is %+v, was %+v", after.Agreement.Agreement(), before.Agreement.Agreement())
	}

	w.Mark("all is deleted from etcd, and the master killed")
	if _, err := etcd.Delete(w.Context(), "\x00", clientv3.WithFromKey()); err != nil {
		t.Fatal(err)
	}
	killed := w.Group.Redis[0].Kill()
	next := w.Group.WaitMaster(w.Group.Redis[1:]...)
	rec := w.WaitAgreed(next)
	clients.WaitOK(killed.Add(time.Second))
	w.Group.Redis[0].Restart()
	w.WaitGuarded()
	w.Group.WaitReplicas()
	clients.WaitOK(lab.Now())
	writes, _ = clients.Stop()
	if rec.Agreement().Compare(before.Agreement.Agreement().Term) <= 0 {
		t.Errorf("agreement %v is not newer than %v", rec.Agreement().Term, before.Agreement.Agreement().Term)
	}
	noSecondWriter(t, writes, w.Group.Redis[0], next)
}

// heldAgain: the same node holds the grant again, in etcd too.
func heldAgain(t *testing.T, w *watched.World, master *watched.Watchdog) {
	t.Helper()
	w.Eventually("the grant is "+master.Name+"'s again", 30*time.Second, func() error {
		if g := w.Record(); string(g.Grant.Holder) != master.Redis.Address || string(g.Agreement.Address) != master.Redis.Address {
			return fmt.Errorf("grant %q, agreement %q", g.Grant.Holder, g.Agreement.Address)
		}
		return nil
	})
	w.WaitGuarded()
}

// noSecondWriter: no write is acknowledged by the old one after the new one's
// first.
func noSecondWriter(t *testing.T, writes lab.Trace, old, next *lab.Redis) {
	t.Helper()
	if n := len(lab.OverlappingWrites(writes.On(old.Address), writes.On(next.Address))); n != 0 {
		t.Errorf("%d writes were acknowledged by %s after %s had acknowledged its first", n, old.Name, next.Name)
	}
}

// keeping watches that nobody is wiped: no Redis of a group is synchronised in
// full by another than before.
type keeping struct {
	w     *watched.World
	syncs string
}

func keep(w *watched.World) *keeping { return &keeping{w, fullSyncs(w)} }

func (k *keeping) check(t *testing.T) {
	t.Helper()
	if now := fullSyncs(k.w); now != k.syncs {
		t.Errorf("full synchronisations: %s, were %s; want none", now, k.syncs)
	}
}

func fullSyncs(w *watched.World) string {
	var all []string
	for _, r := range w.Group.Redis {
		all = append(all, r.Name+" gave "+r.Info()["sync_full"])
	}
	return strings.Join(all, ", ")
}

// A second group called mymaster comes to the same etcd. It is a stranger
// there: it follows nobody, takes nothing and is left as it was, failovers
// included, and says so; the first one notices nothing. With a prefix of its
// own it is guarded as well.
func TestTwoGroupsOfOneName(t *testing.T) {
	t.Parallel()
	first := watched.Start(t, watched.Options{Group: lab.GroupConfig{FailTimeout: 10 * time.Second}})
	var configs []watched.Config
	second := watched.StartIn(first.Lab, t, watched.Options{
		Names: []string{"f", "g", "h"}, On: first.Etcd, Paused: true, Group: lab.GroupConfig{FailTimeout: 10 * time.Second},
		Config: func(c *watched.Config) { configs = append(configs, *c) },
	})
	ones, others := first.Crowd(), second.Crowd()
	kept, keptToo := keep(first), keep(second)
	before := first.Record()

	first.Mark("the second group's watchdogs are installed")
	for _, d := range second.Watchdogs {
		d.Restart()
	}
	for _, d := range second.Watchdogs {
		d.WaitFor("is a stranger, loudly", func(s agent.Status) bool {
			return !s.Guarded && s.Wanted == "leave" && hasFault(s, grant.FaultStranger)
		})
		if code := d.Get("/readyz"); code != 503 {
			t.Errorf("%s: /readyz answers %d, want 503", d.Name, code)
		}
	}
	first.Pause(3 * time.Second)
	ones.WaitOK(lab.Now())
	others.WaitOK(lab.Now())
	for name, crowd := range map[string]*watched.Crowd{"first": ones, "second": others} {
		if n := len(crowd.Writes().Failed()) + len(crowd.Reads().Failed()); n != 0 {
			t.Errorf("%d commands of the %s group's clients failed (writes: %s; reads: %s), want 0", n, name, crowd.Writes(), crowd.Reads())
		}
	}
	kept.check(t)
	keptToo.check(t)
	if now := first.Record(); now.Agreement.Agreement() != before.Agreement.Agreement() || now.Grant.Holder != before.Grant.Holder || now.Record.ID != before.Record.ID {
		t.Errorf("etcd has %+v %+v, had %+v %+v", now.Agreement, now.Grant, before.Agreement, before.Grant)
	}

	// Each fails over by itself; neither has anything to do with the other.
	first.Mark("both masters are killed")
	killed := first.Group.Redis[0].Kill()
	second.Group.Redis[0].Kill()
	first.WaitAgreed(first.Group.WaitMaster(first.Group.Redis[1:]...))
	second.Group.WaitMaster(second.Group.Redis[1:]...)
	ones.WaitOK(killed.Add(time.Second))
	others.WaitOK(killed.Add(time.Second))
	for _, w := range []*watched.World{first, second} {
		w.Group.Redis[0].Restart()
		w.Group.WaitReplicas()
	}
	followsOwn(t, first)
	followsOwn(t, second)

	first.Mark("the second group gets a prefix of its own")
	for i, d := range second.Watchdogs {
		configs[i].Etcd["prefix"] = "/redis-watchdog/second/"
		d.Write(configs[i])
		d.Restart()
	}
	second.WaitGuarded()
	first.WaitGuarded()
	ones.WaitOK(lab.Now())
	others.WaitOK(lab.Now())
	ones.Stop()
	others.Stop()
}

// followsOwn: every Redis is the group's master or follows it.
func followsOwn(t *testing.T, w *watched.World) {
	t.Helper()
	master := w.Group.Master()
	for _, r := range w.Group.Replicas(master) {
		if role := r.Role(); role.Following != master.Address {
			t.Errorf("%s is %s, want it to follow %s", r.Name, role, master.Address)
		}
	}
}

// A snapshot is taken, a failover happens, the snapshot is restored: it names
// the old master, which holds the grant by it. Nobody follows it back: the
// Sentinels certify the new one, which serves on, but for the moment until the
// restored grant is given up; and etcd is written anew.
func TestEtcdRestoredAfterFailover(t *testing.T) {
	t.Parallel()
	w := watched.Start(t, watched.Options{Etcd: []string{"x", "y", "z"}, Group: lab.GroupConfig{FailTimeout: 10 * time.Second}})
	old := w.WaitServing()
	snapshot := takeSnapshot(t, w)
	w.Mark("the snapshot is taken; a failover follows")
	w.Group.Redis[0].Kill()
	master := w.Group.WaitMaster(w.Group.Redis[1:]...)
	rec := w.WaitAgreed(master)
	w.Group.Redis[0].Restart()
	w.WaitGuarded()
	w.Group.WaitReplicas()
	w.Group.WaitStable() // the failover's leader announces it last

	clients, quiet, kept := w.Crowd(), w.Churn(), keep(w)
	restored := w.Mark("etcd is stopped and restored")
	w.Etcd.Kill()
	restoreSnapshot(t, w, snapshot)
	w.Etcd.Restart()
	w.Mark("etcd runs again, as it was before the failover")
	w.Eventually("etcd is written anew", time.Minute, func() error {
		now := w.Record()
		if now.Agreement.Agreement().Compare(rec.Agreement().Term) < 0 || now.Agreement.Address != rec.Address {
			return fmt.Errorf("it says %+v", now.Agreement.Agreement())
		}
		if string(now.Grant.Holder) != master.Address {
			return fmt.Errorf("the grant is %q's", now.Grant.Holder)
		}
		return nil
	})
	w.WaitGuarded()
	clients.WaitOK(lab.Now())
	writes, reads := clients.Stop()
	servedOn(t, w, quiet, kept, writes, reads)
	if n := len(writes.On(old.Redis.Address).AckedAfter(restored)); n != 0 {
		t.Errorf("the old master acknowledged %d writes after etcd named it again", n)
	}
	followsOwn(t, w)
}

// servedOn: nobody changed its role or was synchronised anew, every read was
// answered, nothing is lost. While a restored grant is the old master's, until
// that one gives it up or the lease ends, writes may be refused, and in no other
// way.
func servedOn(t *testing.T, w *watched.World, quiet *watched.Churn, kept *keeping, writes, reads lab.Trace) {
	t.Helper()
	t.Logf("writes: %s; reads: %s", writes, reads)
	if n := quiet.Counts(); n.Roles != 0 || n.Switches != 0 || n.Down != 0 {
		t.Errorf("%s; want none of it", n)
	}
	kept.check(t)
	for kind, n := range writes.Failed().Count() {
		if kind != "refused NOREPLICAS" {
			t.Errorf("%d writes were %s", n, kind)
		}
	}
	if n := len(reads.Failed()); n != 0 {
		t.Errorf("%d reads failed (%s), want 0", n, reads)
	}
	if lost := lab.Lost(writes, w.WaitServing().Redis); len(lost) != 0 {
		t.Errorf("%d acknowledged writes are lost, want 0", len(lost))
	}
}

// All members lose their disks: etcd is empty and begins at revision 1. The
// watchdogs write what they know, under the group's old id.
func TestEtcdMadeAnew(t *testing.T) {
	t.Parallel()
	w := watched.Start(t, watched.Options{Etcd: []string{"x", "y", "z"}, Group: lab.GroupConfig{FailTimeout: 10 * time.Second}})
	master, before := w.WaitServing(), w.Record()
	// One that has lived: of an etcd a dozen revisions old the watchdogs could
	// write as many before the next looks, and nobody would see that it went back.
	etcd := w.Etcd.Client(nil)
	for range 100 {
		if _, err := etcd.Put(t.Context(), "/somebody/else", ""); err != nil {
			t.Fatal(err)
		}
	}
	clients, quiet, kept := w.Crowd(), w.Churn(), keep(w)
	w.Pause(time.Second) // a round, of 2 a second, of the master's watchdog
	w.Mark("etcd is killed, its data removed")
	w.Etcd.Kill()
	for _, m := range w.Etcd.Members {
		if err := os.RemoveAll(m.DataDir); err != nil {
			t.Fatal(err)
		}
	}
	w.Etcd.Restart()
	heldAgain(t, w, master)
	clients.WaitOK(lab.Now())
	writes, reads := clients.Stop()
	servedOn(t, w, quiet, kept, writes, reads)
	after := w.Record()
	if after.Record.ID != before.Record.ID || after.Agreement.Agreement() != before.Agreement.Agreement() {
		t.Errorf("etcd has %s %+v, had %s %+v", after.Record.ID, after.Agreement.Agreement(), before.Record.ID, before.Agreement.Agreement())
	}
	if !strings.Contains(master.Text(), "etcd went back") {
		t.Error("the master's watchdog has not noticed that etcd was made anew")
	}
}

func takeSnapshot(t *testing.T, w *watched.World) string {
	t.Helper()
	etcdctl, err := lab.EtcdctlBinary()
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(w.Dir(), "snapshot.db")
	p := w.Etcd.Members[0].Host.Run(lab.Command{Name: "etcdctl", Path: etcdctl, Args: []string{"--endpoints", w.Etcd.Members[0].Endpoint, "snapshot", "save", path}})
	if code := p.Wait(); code != 0 {
		t.Fatalf("etcdctl snapshot save ended with %d: %s", code, p.Text())
	}
	return path
}

// restoreSnapshot gives every member the snapshot's data, as etcd's page on
// disaster recovery has it: the same names, URLs and token.
func restoreSnapshot(t *testing.T, w *watched.World, snapshot string) {
	t.Helper()
	etcdutl, err := lab.EtcdutlBinary()
	if err != nil {
		t.Fatal(err)
	}
	var cluster []string
	peer := func(m *lab.Member) string { return fmt.Sprintf("http://%s:%d", m.Host.IP, m.PeerPort) }
	name := func(m *lab.Member) string { return strings.ReplaceAll(m.Name, "/", "-") }
	for _, m := range w.Etcd.Members {
		cluster = append(cluster, name(m)+"="+peer(m))
	}
	for _, m := range w.Etcd.Members {
		if err := os.RemoveAll(m.DataDir); err != nil {
			t.Fatal(err)
		}
		cmd := exec.Command(etcdutl, "snapshot", "restore", snapshot, "--data-dir", m.DataDir, "--name", name(m),
			"--initial-cluster", strings.Join(cluster, ","), "--initial-advertise-peer-urls", peer(m))
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Fatalf("restore %s: %v: %s", m.Name, err, out)
		}
	}
}
