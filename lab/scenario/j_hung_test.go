package scenario

// Case j, continued: the Redis hangs at the moment of the fence.

import (
	"testing"
	"time"

	"github.com/redis-watchdog/redis-watchdog/lab"
	"github.com/redis-watchdog/redis-watchdog/lab/watched"
	"github.com/redis-watchdog/redis-watchdog/watchdog/agent"
)

// Stopped, it can be told nothing: the fence stays queued, and it is killed
// before another is promoted.
func TestRedisStoppedAtTheFence(t *testing.T) {
	t.Parallel()
	hungAtTheFence(t, nil, func(w *watched.World, r *lab.Redis) { r.Stop() })
}

// A script that has written nothing, and one that has, which nobody can end
// but by killing Redis.
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
	select {
	case <-old.Redis.Done():
	case <-time.After(time.Minute):
		t.Fatal("Redis was neither seen to refuse nor killed")
	}
	killed := lab.Now()
	c.WaitWritten()
	w.Pause(shortOutage)
	// By hand, as the fault says; unfenced, for it never ran the fence.
	w.Rejoin(old.Host)
	old.WaitFor("knows whom to follow", func(s agent.Status) bool { return s.Master != old.Redis.Address && s.SentinelsAnswering > 1 })
	started := w.Mark("%s is started again by hand", old.Redis.Name)
	old.Redis.Restart()
	change := c.Heal()
	t.Logf("killed %.2f D after the cut; %s", change.After(killed, downAfter), change.Sum(downAfter))
	t.Logf("started by hand, deposed: %s", answeredSince(c, change, started))
	if killed > change.Promoted.After.Add(sigkill) {
		t.Errorf("killed %v after the promotion", killed.Sub(change.Promoted.After))
	}
	all := append(c.Sides.Writes(), c.Sides.Reads()...)
	if late := all.On(old.Redis.Address).OK().Received(killed, started); len(late) != 0 {
		t.Errorf("%d commands were answered by a Redis that was killed", len(late))
	}
	putBack(w, old)
}

// sigkill is how long the test may take to see that a process is gone.
const sigkill = 100 * time.Millisecond

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
