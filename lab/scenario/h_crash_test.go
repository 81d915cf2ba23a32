package scenario

// Case h: the watchdog killed (SIGKILL) in the middle of every step it takes,
// and started again at once: it finishes or undoes; nothing is stuck; the
// operator's values come back in Redis and in redis.conf.

import (
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/redis-watchdog/redis-watchdog/fencing/grant"
	"github.com/redis-watchdog/redis-watchdog/lab"
	"github.com/redis-watchdog/redis-watchdog/lab/watched"
	"github.com/redis-watchdog/redis-watchdog/watchdog"
)

// step is a way to make watchdogs take a step, and the failpoints on the way,
// in the order in which they are passed.
type step struct {
	name       string
	before     func(w *watched.World) // with nothing armed yet; nil: nothing
	do         func(w *watched.World) // nil: wait
	unnoticed  bool                   // no client's command may fail
	failpoints []string
}

// steps are all that the watchdog does. The first failpoint of each is the one
// of the short form.
func steps() []step {
	return []step{
		{"lock: a replica that is open", nil, openReplica, true, []string{"gate.lock.sent", "gate.lock.begun"}},
		{"hold: the grant deleted", nil, deleteGrant, true, []string{"gate.hold.sent", "gate.hold.lifted"}},
		{"arm: as time goes by", nil, nil, true, []string{
			"gate.arm.queued", "gate.arm.begun", "gate.arm.blocked", "gate.arm.stored", "gate.arm.killed",
			"grant.renew", "grant.renew.done"}},
		{"unfence: an order taken back", fenceByHand, unfenceByHand, false, []string{
			"gate.unfence.sent", "gate.unfence.begun", "gate.restore.sent", "gate.restore.begun", "gate.rewrite.sent", "gate.unlock.begun", "gate.unlock.sent"}},
		{"fence and rejoin: a failover", nil, typedFailover, false, []string{
			"gate.fence.sent", "gate.rejoin.sent", "gate.fence.answered", "gate.rejoin.begun", "gate.restore.sent", "gate.restore.begun", "gate.rewrite.sent",
			"grant.give_up", "grant.give_up.done"}},
		{"claim: a failover", nil, typedFailover, false, []string{
			"grant.claim.put", "grant.propose", "grant.propose.done", "grant.claim.lease", "grant.claim.done", "grant.identity.saved", "gate.unlock.begun", "gate.unlock.sent"}},
	}
}

// The short form: one or two failpoints of each step.
func TestWatchdogKilledAtEveryStep(t *testing.T) {
	t.Parallel()
	short := steps()
	for i, s := range short {
		short[i].failpoints = s.failpoints[:1]
		if strings.Contains(s.name, "rejoin") {
			short[i].failpoints = s.failpoints[:2]
		}
	}
	crashAt(t, short)
}

func crashAt(t *testing.T, steps []step) {
	w := watched.Start(t, watched.Options{
		Systemd: true,
		Group:   lab.GroupConfig{DownAfter: 5 * time.Second, FailTimeout: 10 * time.Second, Redis: operators()},
	})
	clients := w.Crowd()
	for _, s := range steps {
		for _, failpoint := range s.failpoints {
			before := w.Group.Master()
			roles := w.Group.WatchRoles()
			began := w.Mark("%s: to die at %s", s.name, failpoint)
			if s.before != nil {
				s.before(w)
			}
			died := w.Crash(failpoint, func() {
				if s.do != nil {
					s.do(w)
				}
			})
			if died == nil {
				t.Errorf("%s: nobody passed %s", s.name, failpoint)
				continue
			}
			w.Mark("%s died at %s and runs again", died.Name, failpoint)
			finished(t, w)
			clients.WaitOK(lab.Now())
			after := w.Group.Master()
			writes, reads := clients.Writes().Received(began, lab.Now()), clients.Reads().Received(began, lab.Now())
			if n := len(writes.Failed()) + len(reads.Failed()); s.unnoticed && n != 0 {
				t.Errorf("%s: %d commands failed, want 0", failpoint, n)
			}
			if after != before {
				w, r := overlap(w, roles, writes, reads, before, after, began)
				if w+r != 0 {
					t.Errorf("%s: overlap of %d writes and %d reads", failpoint, w, r)
				}
			}
			t.Logf("%-22s %-30s %s died; master %s, then %s; writes: %s; reads: %s", failpoint, s.name, died.Name, before.Name, after.Name, writes, reads)
		}
	}
	writes, _ := clients.Stop()
	if writes.OK() == nil {
		t.Error("nothing was written")
	}
}

// overlap is the writes that the old master acknowledged after the new one's
// first, and the reads it answered after the promotion and its own fence, until
// it was a replica in step. (Between a SENTINEL FAILOVER typed around the tool
// and the fence it may answer reads: not promised.)
func overlap(w *watched.World, roles []*lab.RoleWatch, writes, reads lab.Trace, before, after *lab.Redis, began watchdog.Instant) (inWrites, inReads int) {
	old := roles[slices.Index(w.Group.Redis, before)]
	inWrites = len(lab.OverlappingWrites(writes.On(before.Address), writes.On(after.Address)))
	fenced, _ := old.First(began, func(r lab.Role) bool { return r.Name == "slave" })
	if fenced.At != 0 {
		inReads = len(lab.OverlappingReads(reads, before, old, fenced))
	}
	return inWrites, inReads
}

// finished: every node is guarded, one serves, the others follow it in step,
// and nothing of ours is left where it does not belong.
func finished(t *testing.T, w *watched.World) {
	t.Helper()
	w.WaitGuarded()
	w.Group.WaitReplicas()
	w.Eventually("the operator's values are back", 30*time.Second, func() error {
		master := w.Group.Named()
		if master == nil {
			return fmt.Errorf("nobody is named")
		}
		for _, r := range w.Group.Redis {
			lock := "1000000" // of a replica, for the day it is promoted
			if r == master {
				lock = "1"
			}
			want := map[string]string{"min-replicas-to-write": lock, "min-replicas-max-lag": "7", "replica-priority": "42", "replica-serve-stale-data": "yes"}
			for key, value := range want {
				if got := r.Config(key); got != value {
					return fmt.Errorf("%s of %s is %s, want %s", key, r.Name, got, value)
				}
			}
			if err := fileSays(r, r == master); err != nil {
				return err
			}
			if n := watched.ArmedFences(r); (n == 1) != (r == master) {
				return fmt.Errorf("%d armed fences stand in %s", n, r.Name)
			}
		}
		return nil
	})
}

// fileSays: redis.conf has the operator's values; a replica's may have the
// lock.
func fileSays(r *lab.Redis, master bool) error {
	data, err := os.ReadFile(r.ConfigFile)
	if err != nil {
		return err
	}
	said := map[string]string{}
	for line := range strings.Lines(string(data)) {
		if words := strings.Fields(line); len(words) >= 2 {
			said[strings.ToLower(words[0])] = strings.Join(words[1:], " ")
		}
	}
	switch {
	case said["replica-priority"] != "42":
		return fmt.Errorf("redis.conf of %s has replica-priority %q", r.Name, said["replica-priority"])
	case said["replica-serve-stale-data"] == "no":
		return fmt.Errorf("redis.conf of %s has replica-serve-stale-data no", r.Name)
	case master && said["min-replicas-to-write"] != "1":
		return fmt.Errorf("redis.conf of the master %s has min-replicas-to-write %q", r.Name, said["min-replicas-to-write"])
	case said["min-replicas-max-lag"] != "7":
		return fmt.Errorf("redis.conf of %s has min-replicas-max-lag %q", r.Name, said["min-replicas-max-lag"])
	case said["replicaof"] == "127.0.0.1 0" || master && said["replicaof"] != "":
		return fmt.Errorf("redis.conf of %s has replicaof %s", r.Name, said["replicaof"])
	}
	return nil
}

// openReplica takes a replica's lock off, as a person would who found it.
func openReplica(w *watched.World) {
	master := w.Group.Master()
	w.Group.Replicas(master)[0].Do("CONFIG", "SET", "min-replicas-to-write", "1")
}

// deleteGrant makes the master claim again, its writers held meanwhile.
func deleteGrant(w *watched.World) {
	w.Mark("the grant is deleted by hand")
	if _, err := w.Etcd.Client(w.Hosts[1]).Delete(w.Context(), "/redis-watchdog/v1/grants/"+w.Group.Name); err != nil {
		w.T.Fatalf("delete grant: %v", err)
	}
}

// fenceByHand fences the master by an order of the operator's.
func fenceByHand(w *watched.World) {
	master := w.WaitServing()
	order := grant.Order{By: "the operator", Reason: "to look at it"}
	if err := w.Store(w.Hosts[1]).Fence(w.Context(), w.Group.Name, watchdog.Address(master.Redis.Address), order); err != nil {
		w.T.Fatalf("fence: %v", err)
	}
	master.WaitPhase("refuse")
}

// unfenceByHand takes the order back.
func unfenceByHand(w *watched.World) {
	master := w.Group.Named()
	order := grant.Order{By: "the operator"}
	if err := w.Store(w.Hosts[1]).Unfence(w.Context(), w.Group.Name, watchdog.Address(master.Address), order, false); err != nil {
		w.T.Fatalf("unfence: %v", err)
	}
}

// typedFailover is SENTINEL FAILOVER as somebody types it.
func typedFailover(w *watched.World) {
	w.Eventually("a Sentinel begins a failover", 30*time.Second, func() error {
		_, err := w.Group.Sentinels[0].Try("SENTINEL", "FAILOVER", w.Group.Name)
		return err
	})
	w.Mark("SENTINEL FAILOVER")
}
