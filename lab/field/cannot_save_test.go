package field

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/redis-watchdog/redis-watchdog/lab"
	"github.com/redis-watchdog/redis-watchdog/lab/builds"
	"github.com/redis-watchdog/redis-watchdog/lab/watched"
	"github.com/redis-watchdog/redis-watchdog/watchdog/agent"
)

// TestReplicaThatCannotSaveIsVetoed: the disk of one replica is full, and its
// snapshot fails. A replica takes its master's writes all the same and says so in
// INFO only; as a master it would refuse every write (MISCONF). Fenced by hand and
// let go with the disk full, it is as it was.
func TestReplicaThatCannotSaveIsVetoed(t *testing.T) {
	notOn(t, "it has no replica-ignore-disk-write-errors, and no replica of it minds a snapshot that failed", builds.Redis60)
	t.Parallel()
	s, disk := onSmallDisk(t, 1)
	w, harmed := s.World, s.Watchdogs[1]
	sound := w.Others(s.master)
	sound = slices.DeleteFunc(sound, func(d *watched.Watchdog) bool { return d == harmed })
	s.done("the disk of one replica is full, and it fails to save: Redis 7.0 ends itself")
	disk.Fill()
	harmed.Redis.Do("BGSAVE")
	s.told(harmed, "redis_unreachable")
	if text := harmed.Redis.Text(); !strings.Contains(text, "Replica was unable to write command to disk") {
		t.Errorf("it ended for another reason: %s", text)
	}
	s.done("it is started again, may live without saving, and fails to save again")
	disk.Clear()
	harmed.Redis.Restart()
	w.Group.WaitReplicas()
	harmed.Redis.Do("CONFIG", "SET", "replica-ignore-disk-write-errors", "yes")
	harmed.Redis.Do("CONFIG", "REWRITE")
	disk.Fill()
	harmed.Redis.Do("BGSAVE")
	s.asks(harmed, func(st agent.Status) bool { return slices.Equal(st.VetoReasons, []string{"persistence_writable"}) }, "is vetoed")
	s.told(harmed, "vetoed", "MISCONF", "BGSAVE", "df -h "+harmed.Redis.Dir)
	harmed.WaitFor("stands vetoed at every Sentinel", func(st agent.Status) bool { return st.Veto && st.VetoSeen })
	if text, code := s.master.CLI("failover", w.Group.Name, "--to", harmed.Redis.Address, "--yes"); code != 1 || !strings.Contains(text, "persistence_writable") {
		t.Errorf("a failover to it ended with %d: %s", code, text)
	}

	s.done("it is fenced by hand, and let go")
	if text, code := harmed.CLI("fence", w.Group.Name, "--node", harmed.Redis.Address, "--reason", "a story"); code != 0 {
		t.Fatalf("fence ended with %d: %s", code, text)
	}
	harmed.WaitPhase("refuse")
	s.told(harmed, "sentinel_refused", "MISCONF", harmed.Redis.Address)
	s.told(harmed, "config_rewrite")
	if text, code := harmed.CLI("unfence", w.Group.Name, "--node", harmed.Redis.Address); code != 0 {
		t.Fatalf("unfence ended with %d: %s", code, text)
	}
	harmed.WaitPhase("follow")
	s.unrefused()

	s.done("the master dies")
	s.failoverTo(sound[0])
	w.Eventually("the harmed replica follows the new master", time.Minute, func() error { return follows(harmed, sound[0]) })

	s.done("there is room again, and what is printed is done")
	disk.Clear()
	s.pasted(harmed, "vetoed")
	s.asks(harmed, func(st agent.Status) bool { return !st.Veto && len(st.VetoReasons) == 0 }, "is not vetoed")
	s.master.Redis.Restart()
	s.calm()
	if is := fmt.Sprint(harmed.Redis.Info()["rdb_last_bgsave_status"]); is != "ok" {
		t.Errorf("rdb_last_bgsave_status is %s", is)
	}
}

// failoverTo kills the master's Redis and waits until that one is granted and
// written to.
func (s *story) failoverTo(want *watched.Watchdog) {
	s.t.Helper()
	if next := s.failover(); next != want {
		s.t.Errorf("%s was promoted, not %s", next.Name, want.Name)
	}
}

// TestMasterThatCannotSaveIsReplaced: the disk of the master is full, and its
// snapshot fails. It answers PING with MISCONF like every write, so the Sentinels
// hold it down and promote another. The old one is fenced and follows, and is not
// killed: that it answers a writer with MISCONF is a refusal too.
func TestMasterThatCannotSaveIsReplaced(t *testing.T) {
	notOn(t, "it has no replica-ignore-disk-write-errors, and no replica of it minds a snapshot that failed", builds.Redis60)
	t.Parallel()
	s, disk := onSmallDisk(t, 0)
	if s.master != s.Watchdogs[0] {
		t.Fatalf("%s is the master", s.master.Name)
	}
	old := s.master
	old.Redis.Do("CONFIG", "SET", "replica-ignore-disk-write-errors", "yes") // or it would end itself as a replica
	old.Redis.Do("CONFIG", "REWRITE")
	s.writer.Stop()
	s.reader.Stop()
	run := old.Redis.Info()["run_id"]
	s.done("the disk of the master is full, and it fails to save")
	disk.Fill()
	old.Redis.Do("BGSAVE")
	s.done("its host is cut off as well")
	s.Isolate(old.Host)
	next := s.WaitServing(s.Others(old)...)
	s.Pause(5 * time.Second) // to be killed in, if it were not seen to refuse
	s.done("it is back, and there is room again: a full sync needs it")
	disk.Clear()
	s.Heal()
	s.Eventually("the old master follows", patience, func() error { return follows(old, next) })
	old.WaitPhase("follow")
	if is := old.Redis.Info()["run_id"]; is != run {
		t.Errorf("it was killed: its run id was %s and is %s", run, is)
	}
	if strings.Contains(old.Text(), "id=fence_incomplete") {
		t.Error("its fence is said not to make it refuse")
	}
	s.told(old, "sentinel_refused", "MISCONF", old.Redis.Address)
	s.asks(old, func(st agent.Status) bool { return slices.Contains(st.VetoReasons, "persistence_writable") }, "is vetoed")
	s.done("what is printed is done")
	s.pasted(old, "vetoed")
	s.asks(old, func(st agent.Status) bool { return !st.Veto && len(st.VetoReasons) == 0 }, "is not vetoed")
	s.calm()
}

// onSmallDisk is a group that keeps snapshots; the directory of one Redis is a small
// file system of its own.
func onSmallDisk(t *testing.T, which int) (*story, *lab.Disk) {
	t.Helper()
	w := start(t, watched.Options{Paused: true, Systemd: true, Group: lab.GroupConfig{FailTimeout: 10 * time.Second}})
	one := w.Watchdogs[which].Redis
	one.Term()
	disk := w.SmallDisk(one.Dir, "redis.conf")
	one.Restart()
	w.Group.WaitReplicas()
	w.Group.WaitStable()
	for _, d := range w.Watchdogs {
		d.Redis.Do("CONFIG", "SET", "save", "3600 1")
		d.Redis.Do("CONFIG", "REWRITE")
		d.Restart()
	}
	w.WaitGuarded()
	return begin(t, w), disk
}
