package scenario

// Case j: the Redis itself goes away and comes back.

import (
	"errors"
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/redis-watchdog/redis-watchdog/fencing/gate"
	"github.com/redis-watchdog/redis-watchdog/lab"
	"github.com/redis-watchdog/redis-watchdog/lab/watched"
	"github.com/redis-watchdog/redis-watchdog/watchdog"
	"github.com/redis-watchdog/redis-watchdog/watchdog/agent"
)

// Fenced, and then restarted: the fence is in redis.conf by then, and it is
// shut from its first command, also where nobody would tell it so.
func TestRedisRestartedWhileFenced(t *testing.T) {
	t.Parallel()
	w := watched.Start(t, shortFailover(watched.Options{}))
	old := w.WaitServing()
	c := w.BeforeCut()
	cutOffAtOnce(w, c)
	old.WaitPhase("refuse")
	w.Eventually("the fence is in redis.conf", 20*time.Second, func() error {
		if conf := redisConf(old.Redis); !strings.Contains(conf, "replicaof 127.0.0.1 0") {
			return errors.New("it is not")
		}
		return nil
	})
	old.Stop() // its watchdog sees none of it
	old.Redis.Kill()
	old.Redis.Restart()
	c.WaitWritten()
	w.Pause(shortOutage)
	old.Cont()
	change := c.Heal()
	t.Logf("%s", change.Sum(downAfter))
	contractOfFence(t, change)
	putBack(w, old)
}

func redisConf(r *lab.Redis) string {
	conf, err := os.ReadFile(r.ConfigFile)
	if err != nil {
		return err.Error()
	}
	return string(conf)
}

// Restarted by its supervisor while it serves, and back before Sentinel
// misses it: it goes on under the grant it has, and under a new armed fence.
// Nothing is fenced, nobody is promoted, and nothing is lost of what it keeps
// on disk.
func TestRedisRestartedWhileServing(t *testing.T) {
	t.Parallel()
	o := shortFailover(watched.Options{})
	o.Group.Redis.Lines = []string{"appendonly yes", "appendfsync no"}
	w := watched.Start(t, o)
	master := w.WaitServing()
	before := w.Record().Agreement.Agreement()
	clients := w.Crowd()
	quiet := w.Churn()
	for range 3 {
		run := master.Status().RunID
		master.Redis.Kill()
		master.Redis.Restart()
		master.WaitFor("guards the new run", func(s agent.Status) bool {
			return s.RunID != run && s.Guarded && s.Phase == "serve" && s.Deadline > 0
		})
	}
	w.WaitGuarded()
	clients.WaitOK(lab.Now())
	writes, reads := clients.Stop()
	t.Logf("writes: %s; reads: %s", writes, reads)
	if lost := lab.Lost(writes, master.Redis); len(lost) != 0 {
		t.Errorf("%d acknowledged writes are lost, want 0", len(lost))
	}
	if n := quiet.Counts(); n.Switches != 0 || n.Roles != 0 || n.Stopped != 0 {
		t.Errorf("%s; want none of it", n)
	}
	if after := w.Record().Agreement.Agreement(); after != before {
		t.Errorf("agreement is %+v, was %+v", after, before)
	}
}

// Restarted after the cut and before the fence, with a redis.conf that says
// nothing of it. Nobody vouches for what comes back: it is refused as soon as
// it is seen, and long before another is promoted.
func TestRedisRestartedWhileHeld(t *testing.T) {
	t.Parallel()
	w := watched.Start(t, shortFailover(watched.Options{}))
	old := w.WaitServing()
	c := w.BeforeCut()
	cutOffAtOnce(w, c)
	old.WaitPhase("hold")
	started := restart(w, old.Redis)
	c.WaitWritten()
	w.Pause(shortOutage)
	change := c.Heal()
	t.Logf("%s", change.Sum(downAfter))
	t.Logf("restarted unfenced: %s", answeredSince(c, change, started))
	contractOfFence(t, change)
	putBack(w, old)
}

// restart restarts it at once, as a supervisor does, and is when.
func restart(w *watched.World, r *lab.Redis) watchdog.Instant {
	r.Kill()
	started := w.Mark("%s is started again", r.Name)
	r.Restart()
	return started
}

// answeredSince says what was answered from a start until the Redis was seen and
// fenced. With a start gate it is nothing; the lab has none.
func answeredSince(c *watched.Cutting, change watched.Change, started watchdog.Instant) string {
	of := func(all lab.Trace) string {
		some := all.On(change.Old.Address).OK().Received(started, change.Rejoined.After)
		if len(some) == 0 {
			return "none"
		}
		return fmt.Sprintf("%d, the last %v after the start", len(some), some.LastOK().Received.Sub(started).Round(time.Millisecond))
	}
	return fmt.Sprintf("writes answered: %s; reads answered: %s", of(c.Sides.Writes()), of(c.Sides.Reads()))
}

// It comes back empty and shut, as under a start gate, and somebody RESETs every
// Sentinel meanwhile. They find replicas through a master that serves, and so list
// none: opened, it would take from the replicas what only they have. It stays shut
// until a person accepts that.
func TestSentinelsResetWhileTheEmptyMasterIsShut(t *testing.T) {
	t.Parallel()
	w := watched.Start(t, shortFailover(watched.Options{}))
	master := w.WaitServing()
	master.Redis.Do("SET", "kept", "by the replicas")
	master.Redis.Do("WAIT", "2", "10000")

	master.Redis.Kill()
	conf, err := os.OpenFile(master.Redis.ConfigFile, os.O_APPEND|os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	_, err = conf.WriteString(strings.Join(gate.StartFencedLines(), "\n") + "\n")
	if err := errors.Join(err, conf.Close()); err != nil {
		t.Fatal(err)
	}
	master.Redis.Restart()
	master.WaitFor("is shut, for its data is behind", func(s agent.Status) bool {
		return s.Phase == "refuse" && s.Reason == "data_behind"
	})
	reset(w, w.Group.Sentinels...)
	master.WaitFor("stays shut although nobody is listed", func(s agent.Status) bool {
		return s.Phase == "refuse" && s.Reason == "replicas_forgotten"
	})
	// The other clauses of the unfence rule are met by then, or this one would not
	// be named; it would be open at the next look.
	for _, d := range w.Others(master) {
		if got := d.Redis.Do("EXISTS", "kept"); got != int64(1) {
			t.Errorf("%s has lost its data", d.Name)
		}
	}
	next := w.Others(master)[0]
	next.Redis.Do("REPLICAOF", "NO", "ONE")
	monitorAnew(w, next.Redis, w.Group.Sentinels...)
	w.WaitGuarded()
	putBack(w, master)
	for _, d := range w.Watchdogs {
		if got := d.Redis.Do("EXISTS", "kept"); got != int64(1) {
			t.Errorf("%s has lost its data", d.Name)
		}
	}
}
