package gate

import (
	"context"
	"slices"
	"syscall"
	"testing"
	"time"

	"github.com/hashicorp/go-hclog"

	"github.com/redis-watchdog/redis-watchdog/fencing/gate/resp"
	"github.com/redis-watchdog/redis-watchdog/watchdog"
)

// unattended is a gate that nobody runs, with a primary connection that nobody reads,
// beside a Redis that is to refuse since long ago: what a host short of processor
// makes of one. Its clock stands where the test puts it.
func unattended(t *testing.T, s *server) (g *Gate, k *killer, now *watchdog.Instant) {
	t.Helper()
	k, now = &killer{s: s}, new(watchdog.Instant(time.Hour))
	g, err := New(Config{Address: s.address(), Killer: k, Now: func() watchdog.Instant { return *now }, Log: hclog.NewNullLogger()})
	if err != nil {
		t.Fatal(err)
	}
	nc, sock, err := dial(t.Context(), "", s.address(), nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { nc.Close() })
	g.primary, g.details.PID = &conn{nc: nc, sock: sock, sent: &g.sent}, s.cmd.Process.Pid
	g.want, g.wanted = watchdog.Gate{Access: watchdog.Refuse, StopBy: now.Add(-time.Minute), StopArmed: now.Add(-time.Minute)}, true
	g.seen, g.lastAnswer = watchdog.Redis{Answer: watchdog.Up, Role: watchdog.Master, SentAt: now.Add(-time.Minute)}, watchdog.Up
	return g, k, now
}

// A Redis that has answered, and was not listened to, is not one that does not refuse:
// however late the watchdog is, and whatever it saw before.
func TestRedisWhoseAnswerIsNotReadIsNotKilled(t *testing.T) {
	for _, c := range []struct {
		name string
		make func(t *testing.T, s *server, g *Gate)
		want bool // it is killed
	}{
		{"its answer lies in the socket", func(t *testing.T, s *server, g *Gate) {
			g.fencing = g.primary.send(g.fence.bytes, g.fence.n, g.conf.Now(), nil)
			eventually(t, "it has answered", g.primary.unread)
		}, false},
		{"so does the end of the connection", func(t *testing.T, s *server, g *Gate) {
			g.fencing = &call{done: make(chan struct{})}
			s.do("CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes")
			eventually(t, "it has ended", g.primary.unread)
		}, false},
		{"its answer was read this moment, and not judged", func(t *testing.T, s *server, g *Gate) {
			g.fencing = &call{done: make(chan struct{})}
			close(g.fencing.done)
		}, false},
		{"it was judged: it does not refuse", func(t *testing.T, s *server, g *Gate) {}, true},
		{"the connection ended, and there is another", func(t *testing.T, s *server, g *Gate) {
			g.fencing = &call{done: make(chan struct{}), err: errClosed}
			close(g.fencing.done)
		}, true},
		{"it hangs", func(t *testing.T, s *server, g *Gate) {
			s.signal(syscall.SIGSTOP)
			g.fencing = g.primary.send(g.fence.bytes, g.fence.n, g.conf.Now(), nil)
		}, true},
		{"no connection can be had", func(t *testing.T, s *server, g *Gate) { g.primary, g.failures = nil, dialFailures }, true},
		{"there is none, and it was not tried in time", func(t *testing.T, s *server, g *Gate) { g.primary, g.failures = nil, dialFailures-1 }, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := startRedis(t)
			g, k, now := unattended(t, s)
			c.make(t, s, g)
			for _, after := range slices.Repeat([]time.Duration{time.Second}, 2*lateTurns) {
				*now = now.Add(after)
				g.stopIfLate(t.Context())
				g.stops.Wait()
			}
			if got := k.calls.Load() > 0; got != c.want {
				t.Errorf("killed %v, want %v", got, c.want)
			}
		})
	}
}

// Between the verdict and the kill a host that is short of processor lies for as long
// as it likes. (Seen: 270 ms, in which the fence was seen to stand.)
func TestKillIsTakenBackWhenRedisIsSeenToRefuseMeanwhile(t *testing.T) {
	for _, c := range []struct {
		name      string
		meanwhile func(t *testing.T, g *Gate)
		want      bool
	}{
		{"nothing happened", func(*testing.T, *Gate) {}, true},
		{"the fence was seen to stand", func(_ *testing.T, g *Gate) { g.fenced(g.conf.Now(), g.conf.Now(), 0, false) }, false},
		{"it is to serve", func(_ *testing.T, g *Gate) { g.Want(watchdog.Gate{Access: watchdog.Serve}) }, false},
		{"it answers", func(t *testing.T, g *Gate) {
			g.primary.send(resp.Append(nil, "PING"), 1, g.conf.Now(), nil)
			eventually(t, "it has answered", g.primary.unread)
		}, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := startRedis(t)
			g, k, now := unattended(t, s)
			g.conf.Failpoint = func(name string) {
				if name == "gate.stop.begun" {
					c.meanwhile(t, g)
				}
			}
			g.trying = trying{tried: stopGrace, at: *now, quiet: 2}
			g.stopIfLate(context.Background())
			g.stops.Wait()
			if got := k.calls.Load() > 0; got != c.want {
				t.Errorf("killed %v, want %v", got, c.want)
			}
			if got := g.Details().Stops; got != int64(k.calls.Load()) {
				t.Errorf("%d kills are counted, there were %d", got, k.calls.Load())
			}
		})
	}
}

// Attempts to connect that were not run in time do not count, but not for ever.
func TestLateAttemptsAreNoneForAWhile(t *testing.T) {
	g := &Gate{}
	for range dialFailures {
		g.failed(dialTimeout)
	}
	if g.failures < dialFailures {
		t.Errorf("%d attempts failed in time, %d count", dialFailures, g.failures)
	}
	for i := range lateTurns {
		if g.failed(dialTimeout + 2*refenceEvery); g.failures != 0 {
			t.Fatalf("late attempt %d counts", i+1)
		}
	}
	for range dialFailures {
		g.failed(dialTimeout + 2*refenceEvery)
	}
	if g.failures < dialFailures {
		t.Errorf("late for good, and %d attempts count", g.failures)
	}
}
