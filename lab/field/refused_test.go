package field

// What a replica refuses of its master's writes.

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/redis-watchdog/redis-watchdog/lab"
	"github.com/redis-watchdog/redis-watchdog/lab/watched"
	"github.com/redis-watchdog/redis-watchdog/watchdog/agent"
)

// TestReplicaThatRefusedAWriteIsVetoed: somebody made a replica writable for a
// moment and wrote a key, of another type than the one that the master wrote
// next. The replica refuses that and tells nobody.
func TestReplicaThatRefusedAWriteIsVetoed(t *testing.T) {
	w := start(t, watched.Options{Group: lab.GroupConfig{FailTimeout: 10 * time.Second}})
	s := begin(t, w)
	others := w.Others(s.master)
	harmed, sound := others[0], others[1]
	s.done("a key is written to a replica, and then INCR of it to the master")
	harmed.Redis.Do("CONFIG", "SET", "replica-read-only", "no")
	harmed.Redis.Do("RPUSH", "counter", "by hand")
	harmed.Redis.Do("CONFIG", "SET", "replica-read-only", "yes")
	if n := fmt.Sprint(s.master.Redis.Do("INCR", "counter")); n != "1" {
		t.Fatalf("the master counts %s", n)
	}
	w.Group.WaitReplicas()
	s.refused(harmed, sound)

	s.done("the watchdog is restarted, and what Redis counts is set to nothing")
	harmed.Redis.Do("CONFIG", "RESETSTAT")
	harmed.Term()
	harmed.Restart()
	s.refused(harmed, sound)
	s.undisturbed()

	s.done("the master dies")
	s.master.Redis.Kill()
	w.Group.WaitMaster(sound.Redis)
	w.WaitServing(sound)
	w.Eventually("the harmed replica follows the new master, by a partial sync", 30*time.Second, func() error { return follows(harmed, sound) })
	s.refused(harmed, s.master, sound)
	s.cured(harmed, "counter", "1")
	s.master.Redis.Restart()
	w.WaitGuarded()
}

// refused waits until this watchdog's replica stands vetoed for what it refused;
// the others are not.
func (s *story) refused(harmed *watched.Watchdog, others ...*watched.Watchdog) {
	s.t.Helper()
	s.told(harmed, "vetoed", "replication_refused", "its data differs", "EXEC")
	harmed.WaitFor("stands vetoed at every Sentinel", func(st agent.Status) bool {
		return st.Veto && st.VetoSeen && slices.Equal(st.VetoReasons, []string{"replication_refused"})
	})
	for _, d := range others {
		if st, err := d.TryStatus(); err == nil && len(st.VetoReasons) > 0 {
			s.t.Errorf("%s is vetoed for %v", d.Name, st.VetoReasons)
		}
	}
}

// cured pastes the remedy as it is printed, and waits until the replica has the
// key as its master has it and is no longer vetoed. Nobody saw a second master.
func (s *story) cured(d *watched.Watchdog, key, want string) {
	s.t.Helper()
	roles := d.Redis.WatchRole()
	s.pasted(d, "vetoed")
	s.Eventually("it has its master's data, and no veto", time.Minute, func() error {
		got, err := d.Redis.Try("GET", key)
		if err != nil || fmt.Sprint(got) != want {
			return fmt.Errorf("%s is %v, %v", key, got, err)
		}
		st, err := d.TryStatus()
		if err == nil && (st.Veto || len(st.VetoReasons) > 0) {
			err = fmt.Errorf("vetoed for %v", st.VetoReasons)
		}
		return err
	})
	for _, r := range roles.Changes() {
		if r.Role.Name == "master" {
			s.t.Errorf("%s was seen to be a master", d.Redis.Name)
		}
	}
}

// pasted runs the remedy of a fault on the host it is for, as a shell does.
func (s *story) pasted(d *watched.Watchdog, fault string) {
	s.t.Helper()
	for _, f := range d.Status().Faults {
		if f.ID != fault {
			continue
		}
		s.done("pasted: " + f.Remedy)
		sh := d.Host.Start("sh", "sh", "-ec", f.Remedy)
		select {
		case <-sh.Done():
		case <-time.After(20 * time.Second):
			s.t.Fatalf("it does not end: %s", f.Remedy)
		}
		if out := sh.Text(); strings.Contains(out, "ERR") || strings.Contains(out, "refused") {
			s.t.Errorf("%s\nanswers %s", f.Remedy, out)
		}
		return
	}
	s.t.Fatalf("%s has no fault %s", d.Name, fault)
}

// follows is nil once a replica is in step with another's Redis.
func follows(d, master *watched.Watchdog) error {
	role := d.Redis.Role()
	if role.Following != master.Redis.Address || !role.Synced() {
		return fmt.Errorf("it is %s", role)
	}
	return nil
}
