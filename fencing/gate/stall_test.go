package gate

// A Redis that stands still: by a signal, and by a script that says nothing.

import (
	"bufio"
	"fmt"
	"net"
	"os"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/redis-watchdog/redis-watchdog/fencing/gate/resp"
	"github.com/redis-watchdog/redis-watchdog/watchdog"
)

// standStill runs a script of so long, which no BUSY ends, and returns when it
// is over; err is what became of its connection.
func (s *server) standStill(d time.Duration) error {
	c := s.client()
	c.nc.SetDeadline(time.Now().Add(d + patience))
	c.nc.Write(resp.Append(nil, "EVAL", fmt.Sprintf(`local t = redis.call('TIME') local till = t[1] * 1000 + t[2] / 1000 + %d
		repeat t = redis.call('TIME') until t[1] * 1000 + t[2] / 1000 > till return 'done'`, d.Milliseconds()), "0"))
	_, err := resp.Read(c.r)
	return err
}

// For as long as the evidence reached when it was last renewed, less one renewal
// and what Redis' clock needs, a Redis may stand still again and again.
func TestRedisThatStandsStillForLessThanArmedIsNotFenced(t *testing.T) {
	t.Parallel()
	s := startRedis(t)
	l := startGate(t, s)
	// More than half of ahead, and by a second less than what is left of it.
	const every, ahead, still = 300 * time.Millisecond, 3 * time.Second, 1700 * time.Millisecond
	l.serveEvery(every, ahead)
	l.sees("an armed fence", func(r watchdog.Redis) bool { return r.ArmedFor != 0 })
	for i := range 4 {
		time.Sleep(time.Duration(i) * every / 3) // another moment between two renewals
		if err := s.standStill(still); err != nil {
			t.Errorf("the script's connection: %v", err)
		}
		if got := s.role(); got != "master" {
			t.Fatalf("after %d scripts: got %s", i+1, got)
		}
	}
}

func TestHungRedisInWhichAFenceIsArmedGetsTimeToComeBack(t *testing.T) {
	t.Parallel()
	s := startRedis(t)
	k := &killer{s: s}
	l := startGate(t, s, func(c *Config) { c.Killer = k })
	stop := l.serve(time.Second)
	up := l.sees("an armed fence", func(r watchdog.Redis) bool { return r.ArmedFor != 0 })
	s.signal(syscall.SIGSTOP)
	stop()
	by := bootTime()
	late := by.Add(3 * time.Second)
	l.Want(watchdog.Gate{Access: watchdog.Refuse, StopBy: by, StopArmed: late})
	time.Sleep(1500 * time.Millisecond)
	c := s.client()
	c.nc.Write(resp.Append(nil, "SET", "k", "v"))
	s.signal(syscall.SIGCONT)
	c.nc.SetDeadline(time.Now().Add(patience))
	if r, err := resp.Read(c.r); err == nil && !r.ErrorIs("READONLY", "MASTERDOWN") {
		t.Errorf("a woken Redis answers %+v", r)
	}
	l.sees("Redis refusing", func(r watchdog.Redis) bool { return r.Refusing })
	if n := k.calls.Load(); n != 0 {
		t.Fatalf("%d kills of a Redis that carries its fence, want 0", n)
	}
	// One that does not come back is killed after all.
	l.Want(watchdog.Gate{Access: watchdog.Lock, Open: true})
	l.sees("a master", func(r watchdog.Redis) bool { return r.Role == watchdog.Master && r.Locked })
	stop = l.serve(time.Second)
	l.sees("an armed fence", func(r watchdog.Redis) bool { return r.ArmedFor != 0 })
	s.signal(syscall.SIGSTOP)
	stop()
	late = bootTime().Add(1500 * time.Millisecond)
	l.Want(watchdog.Gate{Access: watchdog.Refuse, StopBy: bootTime(), StopArmed: late})
	l.sees("nobody listening", func(r watchdog.Redis) bool { return r.Answer == watchdog.Absent && r.Refusing })
	if bootTime() < late || k.calls.Load() != 1 || k.runID.Load() != up.RunID {
		t.Errorf("killed %v before its time, %d times, %v", late.Sub(bootTime()), k.calls.Load(), k.runID.Load())
	}
}

// A fence cuts the Sentinels' connections, and they begin others once a second: a
// second one right behind the first would have them hear a healthy master a second
// late. What was wanted while Redis stood still has been done when it wakes.
func TestFenceThatFiredIsNotSentAgain(t *testing.T) {
	t.Parallel()
	s := startRedis(t)
	l := startGate(t, s)
	s.do("CONFIG", "SET", "slowlog-log-slower-than", "0", "slowlog-max-len", "1000")
	cuts := func() (n int) {
		for _, entry := range s.do("SLOWLOG", "GET", "1000").Elems {
			words := []string{}
			for _, word := range entry.Elems[3].Elems {
				words = append(words, word.Text)
			}
			if strings.HasPrefix(strings.Join(words, " "), "CLIENT KILL TYPE normal") {
				n++
			}
		}
		return n
	}
	const rounds = 5
	twice := 0
	for round := range rounds {
		stop := l.serve(time.Second)
		l.sees("an armed fence", func(r watchdog.Redis) bool { return r.ArmedFor != 0 })
		s.do("SLOWLOG", "RESET")
		woken := make(chan error, 1)
		go func() { woken <- s.standStill(1800 * time.Millisecond) }() // past the fence
		l.sees("silence", func(r watchdog.Redis) bool { return r.Answer == watchdog.Silent })
		stop()
		l.Want(watchdog.Gate{Access: watchdog.Refuse, StopBy: watchdog.Never})
		if err := <-woken; err == nil {
			t.Error("the script's connection outlived the fence")
		}
		l.sees("Redis refusing", func(r watchdog.Redis) bool { return r.Refusing })
		time.Sleep(2 * refenceEvery)
		if n := cuts(); n != 1 {
			t.Logf("round %d: clients were cut %d times", round, n)
			twice++
		}
		l.Want(watchdog.Gate{Access: watchdog.Lock, Open: true})
		l.sees("a master", func(r watchdog.Redis) bool { return r.Role == watchdog.Master && r.Locked })
	}
	// A gate that is not run in time may not know yet that it fired.
	if twice > rounds/2+1 {
		t.Errorf("clients were cut again in %d of %d rounds, want the once of the fence that was armed", twice, rounds)
	}
}

// What Redis had taken in when it stood still is executed before it looks at its
// timers; what had come meanwhile, after. Neither is answered when its fence is
// due: the fence cuts its clients before Redis has written to them. A fence that
// cut them later would let a master that was replaced answer for what it did when
// it woke.
func TestNobodyIsAnsweredByARedisThatWakesPastItsFence(t *testing.T) {
	t.Parallel()
	s, kept := startRedis(t), newShelf(t)
	l := startGate(t, s, func(c *Config) { c.Store = kept })
	stop := l.serve(time.Second)
	l.sees("an armed fence", func(r watchdog.Redis) bool { return r.ArmedFor != 0 })
	stop()
	l.stop() // nobody but Redis acts from here on
	const clients = 200
	asked := make([]net.Conn, clients)
	for i := range asked {
		asked[i] = s.client().nc
	}
	stall := s.client().nc
	// All of them are ready in one turn of Redis' loop, the script among the first.
	s.signal(syscall.SIGSTOP)
	eventually(t, "it is stopped", func() bool {
		stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", s.cmd.Process.Pid))
		return err == nil && strings.Contains(string(stat), ") T ")
	})
	for i, nc := range asked {
		if i == clients/4 {
			stall.Write(resp.Append(nil, "EVAL", `local t = redis.call('TIME') local till = t[1] * 1000 + t[2] / 1000 + 2500
				repeat t = redis.call('TIME') until t[1] * 1000 + t[2] / 1000 > till return 'done'`, "0"))
		}
		nc.Write(resp.Append(nil, "SET", "k", "v"))
	}
	s.signal(syscall.SIGCONT)
	time.Sleep(500 * time.Millisecond) // in the script
	for _, nc := range asked[:clients/4] {
		nc.Write(resp.Append(nil, "GET", "k"))
	}
	var wait sync.WaitGroup
	var lock sync.Mutex
	answered := map[string]int{}
	for _, nc := range append(asked, stall) {
		wait.Go(func() {
			nc.SetDeadline(time.Now().Add(patience))
			r := bufio.NewReader(nc)
			for {
				re, err := resp.Read(r)
				what := "cut"
				if err == nil {
					what = fmt.Sprintf("%c%.10s", re.Kind, re.Text)
				}
				lock.Lock()
				answered[what]++
				lock.Unlock()
				if err != nil {
					return
				}
			}
		})
	}
	wait.Wait()
	t.Logf("%v", answered)
	if answered["cut"] != clients+1 {
		t.Errorf("%d of %d connections were cut", answered["cut"], clients+1)
	}
	delete(answered, "cut")
	if len(answered) != 0 {
		t.Errorf("answered past the fence: %v", answered)
	}
	if got := s.role(); !strings.HasPrefix(got, "slave of 127.0.0.1:0 ") {
		t.Errorf("role: %s", got)
	}
}
