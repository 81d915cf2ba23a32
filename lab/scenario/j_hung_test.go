package scenario

// Case j, continued: the Redis hangs at the moment of the fence.

import (
	"fmt"
	"testing"
	"time"

	"github.com/redis-watchdog/redis-watchdog/lab"
	"github.com/redis-watchdog/redis-watchdog/lab/watched"
	"github.com/redis-watchdog/redis-watchdog/watchdog"
	"github.com/redis-watchdog/redis-watchdog/watchdog/agent"
)

// Stopped, it can be told nothing. It carries its fence and refuses when it wakes;
// it does not, and is killed in the end.
func TestRedisStoppedAtTheFence(t *testing.T) {
	t.Parallel()
	hungAtTheFence(t, nil, func(w *watched.World, r *lab.Redis) { r.Stop() })
}

// A script that has written nothing, which Sentinel ends where it reaches it, and
// one that has, which nobody can end but by killing Redis.
func TestScriptAtTheFence(t *testing.T) {
	t.Parallel()
	hungAtTheFence(t, script(`while true do end`), nil)
}

func TestWritingScriptAtTheFence(t *testing.T) {
	t.Parallel()
	hungAtTheFence(t, script(`redis.call('SET', KEYS[1], 'half done') while true do end`), nil)
}

// script starts one and does not wait for its end.
func script(lua string) func(*watched.World, *lab.Redis) {
	return func(w *watched.World, r *lab.Redis) {
		w.Mark("a script without an end begins")
		running := make(chan struct{})
		go func() {
			defer close(running)
			_, _ = r.Try("EVAL", lua, "1", "half") // it is answered by nobody
		}()
		w.T.Cleanup(func() { <-running })
	}
}

// hungAtTheFence hangs the master right before the cut, or while its writers
// are held (then no script that may write would begin).
func hungAtTheFence(t *testing.T, before, held func(*watched.World, *lab.Redis)) {
	o := shortFailover(watched.Options{})
	// It says BUSY while there is still time to do something about it.
	o.Group.Redis.Lines = []string{"lua-time-limit 200"}
	w := watched.Start(t, o)
	old := w.WaitServing()
	c := w.BeforeCut()
	if before != nil {
		before(w, old.Redis)
	}
	cutOffAtOnce(w, c)
	if held != nil {
		old.WaitPhase("hold")
		held(w, old.Redis)
	}
	w.Eventually("Redis is killed or refuses", time.Minute, func() error {
		if s := old.Status(); old.Redis.Running() && s.Phase != "refuse" {
			return fmt.Errorf("phase %s, answer %s", s.Phase, s.Answer)
		}
		return nil
	})
	over, killed := lab.Now(), !old.Redis.Running()
	c.WaitWritten()
	w.Pause(shortOutage)
	started, until := lab.Now(), watchdog.Never
	if killed {
		// By hand, as the fault says; unfenced, for it never ran the fence.
		w.Rejoin(old.Host)
		old.WaitFor("knows whom to follow", func(s agent.Status) bool { return s.Master != old.Redis.Address && s.SentinelsAnswering > 1 })
		started = w.Mark("%s is started again by hand", old.Redis.Name)
		old.Redis.Restart()
		until = started
	}
	change := c.Heal()
	t.Logf("killed: %v, %.2f D after the cut; %s", killed, change.After(over, downAfter), change.Sum(downAfter))
	if killed {
		t.Logf("afterwards: %s", answeredSince(c, change, started))
	}
	noOverlap(t, c, change, until)
	all := append(c.Sides.Writes(), c.Sides.Reads()...)
	if late := all.On(old.Redis.Address).OK().Received(change.Promoted.After, started); len(late) != 0 {
		t.Errorf("%d commands were answered by a Redis that hung while another was promoted", len(late))
	}
	putBack(w, old)
}

// TestRedisThatHungThroughTheCutComesBack: it wakes beside its successor, before
// it is killed, and while its watchdog is frozen. It answers nobody, and follows
// as soon as that can be heard.
func TestRedisThatHungThroughTheCutComesBack(t *testing.T) {
	t.Parallel()
	w := watched.Start(t, shortFailover(watched.Options{}))
	old := w.WaitServing()
	c := w.BeforeCut()
	pid := old.Redis.PID()
	old.Redis.Stop()
	cutOffAtOnce(w, c)
	w.Pause(downAfter / 2)
	old.Stop()
	c.WaitWritten()
	woken := w.Mark("the old master wakes")
	old.Redis.Cont()
	w.Pause(downAfter)
	awake := lab.Now()
	old.Cont()
	change := c.Heal()
	t.Logf("%s", change.Sum(downAfter))
	noOverlap(t, c, change, watchdog.Never)
	all := append(c.Sides.Writes(), c.Sides.Reads()...)
	if late := all.On(old.Redis.Address).OK().Received(woken, awake); len(late) != 0 {
		t.Errorf("%d commands were answered by the woken master", len(late))
	}
	putBack(w, old)
	if old.Redis.PID() != pid {
		t.Error("it was killed")
	}
}

// A script that ends by itself in good time is no reason for anything. One after
// the other would be: BUSY is no PONG to Sentinel, which would call it down.
func TestScriptThatEndsInTime(t *testing.T) {
	t.Parallel()
	o := shortFailover(watched.Options{})
	o.Group.Redis.Lines = []string{"lua-time-limit 100"}
	w := watched.Start(t, o)
	master := w.WaitServing()
	clients := w.Crowd()
	quiet := w.Churn()
	for range 3 {
		w.Mark("a long script")
		master.Redis.Do("EVAL", `local t = redis.call('TIME'); local till = t[1] * 1000 + t[2] / 1000 + 700
			repeat t = redis.call('TIME') until t[1] * 1000 + t[2] / 1000 > till`, "0")
		clients.WaitOK(lab.Now())
		w.Pause(downAfter)
	}
	w.WaitGuarded()
	writes, reads := clients.Stop()
	t.Logf("writes: %s; reads: %s", writes, reads)
	if lost := lab.Lost(writes, master.Redis); len(lost) != 0 {
		t.Errorf("%d acknowledged writes are lost, want 0", len(lost))
	}
	if n := quiet.Counts(); !n.Quiet() {
		t.Errorf("%s; want none of it", n)
	}
}
