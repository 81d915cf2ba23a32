package scenario

// Case p, continued: a planned failover that cannot go through, or whose command
// is killed, undoes itself, and no acknowledged write is lost.

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/redis-watchdog/redis-watchdog/fencing/grant"
	"github.com/redis-watchdog/redis-watchdog/lab"
	"github.com/redis-watchdog/redis-watchdog/lab/watched"
	"github.com/redis-watchdog/redis-watchdog/watchdog"
)

// ordering starts the command and waits until its order in etcd is as asked. A
// group that was just hurt may be blocked for a moment: then it is asked again.
func ordering(t *testing.T, w *watched.World, force []string, to *lab.Redis, stop bool) *lab.Process {
	t.Helper()
	for range 5 {
		if p := orderOnce(t, w, force, to, stop); p != nil {
			return p
		}
		w.Pause(2 * time.Second)
	}
	t.Fatal("the failover stays blocked")
	return nil
}

func orderOnce(t *testing.T, w *watched.World, force []string, to *lab.Redis, stop bool) *lab.Process {
	t.Helper()
	d := w.Watchdogs[1]
	binary, err := watched.Binary()
	if err != nil {
		t.Fatal(err)
	}
	p := d.Host.Run(lab.Command{Name: "failover", Path: binary, Args: []string{
		"failover", w.Group.Name, "--to", to.Address, "--yes", "-o", "json", "--config", d.ConfigFile,
		"--force", strings.Join(force, ","), "--reason", "a lab is no production host"}})
	var h grant.PlannedFailoverRecord
	for end := time.Now().Add(30 * time.Second); h.ID == "" || h.Stop != stop; {
		ended := !p.Running()
		if ended && strings.Contains(p.Text(), "nothing was begun") {
			return nil
		}
		if ended || time.Now().After(end) {
			t.Fatalf("the order did not come: %+v; %s", h, p.Text())
		}
		w.Pause(2 * time.Millisecond)
		h = w.Record().PlannedFailover
	}
	return p
}

// orderEnds waits until the lease of a killed command's order has ended.
func orderEnds(w *watched.World) {
	w.T.Helper()
	w.Eventually("the order has ended by itself", 40*time.Second, func() error {
		if h := w.Record().PlannedFailover; h.ID != "" {
			return fmt.Errorf("it stands: %+v", h)
		}
		return nil
	})
}

// settled waits until clients are answered again and nothing of an order is left,
// and is what writers were answered.
func settled(t *testing.T, w *watched.World, clients *watched.Crowd, since watchdog.Instant) lab.Trace {
	t.Helper()
	clients.WaitOK(since)
	orderEnds(w)
	clean(t, w)
	writes, _ := clients.Stop()
	return writes
}

func TestPlannedFailoverUndoesItself(t *testing.T) {
	t.Parallel()
	w := watched.Start(t, watched.Options{})
	old := w.WaitServing()
	to := w.Group.Redis[2]
	clients := w.Crowd()

	// An operator's own 0 is never touched, and said.
	to.Do("CONFIG", "SET", "replica-priority", "0")
	args := []string{"failover", w.Group.Name, "--to", to.Address, "--yes", "-o", "json"}
	out, _ := commanded(t, w.Watchdogs[1], args...)
	force := out.Blocked
	out, code := commanded(t, w.Watchdogs[1], append(args, "--force", strings.Join(force, ","), "--reason", "a lab")...)
	if code != 1 || out.Outcome != "undone" || !strings.Contains(out.Text, "priority") {
		t.Errorf("a candidate with the operator's priority 0: ended with %d: %+v", code, out)
	}
	if err := configIs(to, "replica-priority", "0"); err != nil {
		t.Error(err)
	}
	to.Do("CONFIG", "SET", "replica-priority", "100")
	w.Pause(11 * time.Second) // until every Sentinel has asked

	// Killed while the candidates are chosen: nobody notices, the order ends.
	began := w.Mark("to be killed while candidates are chosen")
	ordering(t, w, force, to, false).Kill()
	orderEnds(w)
	clean(t, w)
	if n := len(clients.Writes().Received(began, lab.Now()).Failed()); n != 0 {
		t.Errorf("%d writes failed although nobody was stopped", n)
	}
	if w.WaitServing() != old {
		t.Errorf("%s does not serve any more", old.Name)
	}

	// Killed with the writers stopped: it goes through or it does not, and ends.
	w.Mark("to be killed with the writers stopped")
	ordering(t, w, force, to, true).Kill()
	orderEnds(w)
	clients.WaitOK(lab.Now())
	clean(t, w)
	serving := w.WaitServing()
	w.Mark("%s serves", serving.Name)

	// etcd is lost with the writers stopped: the same.
	next := w.Group.Replicas(serving.Redis)[1]
	p := ordering(t, w, force, next, true)
	w.Mark("etcd killed with the writers stopped")
	w.Etcd.Kill()
	lost := lab.Now()
	if code := p.Wait(); code != 1 && code != 2 {
		t.Errorf("without etcd it ended with %d: %s", code, p.Text())
	}
	t.Logf("without etcd: %s", p.Text())
	w.Pause(2 * time.Second)
	w.Etcd.Restart()
	clients.WaitOK(lost)
	w.WaitGuarded()
	w.Group.WaitReplicas()
	writes, _ := clients.Stop()
	if n := lab.Lost(writes, w.Group.Master()); len(n) != 0 {
		t.Errorf("%d acknowledged writes lost, want 0", len(n))
	}
	t.Logf("writes: %s", writes)
}
