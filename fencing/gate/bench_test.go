package gate

import (
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/redis-watchdog/redis-watchdog/fencing/gate/resp"
	"github.com/redis-watchdog/redis-watchdog/watchdog"
)

// spent is how many commands Redis has run and what they took.
func (s *server) spent() (calls, usec int64) {
	for _, v := range info(s.do("INFO", "commandstats").Text) {
		for field := range strings.SplitSeq(v, ",") {
			if n, ok := strings.CutPrefix(field, "calls="); ok {
				c, _ := strconv.ParseInt(n, 10, 64)
				calls += c
			}
			if n, ok := strings.CutPrefix(field, "usec="); ok {
				u, _ := strconv.ParseInt(n, 10, 64)
				usec += u
			}
		}
	}
	return calls, usec
}

func TestSteadyStateIsCheap(t *testing.T) {
	t.Parallel()
	s := startRedis(t)
	l := startGate(t, s, func(c *Config) { c.PollEvery = 500 * time.Millisecond })
	l.serveEvery(500*time.Millisecond, 4950*time.Millisecond) // D of 5 s
	l.sees("an armed fence", func(r watchdog.Redis) bool { return r.ArmedFor != 0 })
	time.Sleep(300 * time.Millisecond)
	begun, sent := bootTime(), l.Details().Commands
	calls, usec := s.spent()
	time.Sleep(4 * time.Second)
	calls2, usec2 := s.spent()
	seconds := bootTime().Sub(begun).Seconds()
	perSecond := float64(calls2-calls-1) / seconds
	t.Logf("%.1f commands/s seen by Redis, %.0f us/s of its time, %.1f commands/s counted by the gate",
		perSecond, float64(usec2-usec)/seconds, float64(l.Details().Commands-sent)/seconds)
	if perSecond > 20 {
		t.Errorf("commands a second: got %.1f, want at most 20", perSecond)
	}
}

// crowd is n clients that ask GET one after the other until they are refused;
// what is sent on the channel is when each was first refused.
func crowd(tb testing.TB, s *server, n int) (refused chan watchdog.Instant, wait *sync.WaitGroup) {
	refused, wait = make(chan watchdog.Instant, n), &sync.WaitGroup{}
	for i := range n {
		c := s.client()
		wait.Go(func() {
			defer c.nc.Close()
			for {
				r, err := c.try("GET", "k")
				if err != nil || r.IsError() {
					refused <- bootTime()
					return
				}
				time.Sleep(time.Duration(5+i%5) * time.Millisecond)
			}
		})
	}
	return refused, wait
}

// idle is n clients that are connected and ask nothing.
func idle(tb testing.TB, s *server, n int) []*client {
	all := make([]*client, n)
	for i := range all {
		all[i] = s.client()
	}
	all[n-1].do("PING")
	return all
}

func TestFenceCutsAThousandClients(t *testing.T) {
	s := startRedis(t)
	l := startGate(t, s)
	l.sees("a master", func(r watchdog.Redis) bool { return r.Role == watchdog.Master })
	refused, wait := crowd(t, s, 1000)
	time.Sleep(100 * time.Millisecond)
	l.Want(refuse())
	wait.Wait()
	close(refused)
	n := 0
	for range refused {
		n++
	}
	l.sees("Redis refusing", func(r watchdog.Redis) bool { return r.Refusing })
	t.Logf("%d clients refused, fence %+v", n, l.Details().LastFence)
	if n != 1000 {
		t.Errorf("clients refused: got %d, want 1000", n)
	}
}

// BenchmarkFenceFloor is BenchmarkFence without a gate: the same commands
// written by the test itself, which nothing can beat.
func BenchmarkFenceFloor(b *testing.B) {
	s := startRedis(b)
	caps := assumed()
	caps.Failover, caps.PauseWrite = true, true
	fence := fenceScript(commands{}, caps)
	var first, calm []time.Duration
	machine := watchStill(b)
	for b.Loop() {
		b.StopTimer()
		all := idle(b, s, 1000)
		asked := askUntilRefused(all[0])
		ours := s.client()
		ours.do("PING")
		time.Sleep(20 * time.Millisecond)
		b.StartTimer()
		at := bootTime()
		ours.nc.Write(fence.bytes)
		refused := <-asked
		b.StopTimer()
		first = append(first, refused.Sub(at))
		if !machine.hit(at, refused) {
			calm = append(calm, refused.Sub(at))
		}
		for range fence.n {
			if _, err := resp.Read(ours.r); err != nil {
				b.Fatal(err)
			}
		}
		for _, c := range all {
			c.nc.Close()
		}
		ours.do("REPLICAOF", "NO", "ONE")
		ours.nc.Close()
		b.StartTimer()
	}
	reportQuantiles(b, "first-refused", first)
	reportQuantiles(b, "calm-first-refused", calm)
	b.ReportMetric(float64(len(calm)), "calm")
}

func askUntilRefused(c *client) chan watchdog.Instant {
	asked := make(chan watchdog.Instant, 1)
	go func() {
		for {
			if r, err := c.try("GET", "k"); err != nil || r.IsError() {
				asked <- bootTime()
				return
			}
		}
	}()
	return asked
}

// still watches for moments in which a processor runs nobody, or somebody else's
// machine. What took place in one says nothing about the gate.
type still struct {
	stop chan struct{}
	wait sync.WaitGroup
	lock sync.Mutex
	gaps []gap
	seen []watchdog.Instant // when each thread last ran
}

type gap struct{ from, to watchdog.Instant }

// stillFor is what a thread that asks for 0.2 ms may oversleep on a processor
// that works for others.
const stillFor = 4 * time.Millisecond

func watchStill(b *testing.B) *still {
	s := &still{stop: make(chan struct{}), seen: make([]watchdog.Instant, runtime.NumCPU())}
	for cpu := range runtime.NumCPU() {
		s.wait.Go(func() {
			runtime.LockOSThread() // never unlocked: the thread ends with it
			var set unix.CPUSet
			set.Set(cpu)
			if err := unix.SchedSetaffinity(0, &set); err != nil {
				b.Errorf("bind a thread to processor %d: %v", cpu, err)
				return
			}
			last := bootTime()
			for {
				select {
				case <-s.stop:
					return
				default:
				}
				pause := unix.NsecToTimespec(int64(200 * time.Microsecond))
				_ = unix.Nanosleep(&pause, nil) // interrupted: it looks earlier
				now := bootTime()
				s.lock.Lock()
				if now.Sub(last) > stillFor {
					s.gaps = append(s.gaps, gap{last, now})
				}
				s.seen[cpu] = now
				s.lock.Unlock()
				last = now
			}
		})
	}
	b.Cleanup(func() { close(s.stop); s.wait.Wait() })
	return s
}

// hit is whether a gap has touched the time between. It waits until every thread
// has run since: a gap that lasts is not known yet.
func (s *still) hit(from, to watchdog.Instant) bool {
	s.lock.Lock()
	defer s.lock.Unlock()
	for slices.Min(s.seen) <= to {
		s.lock.Unlock()
		time.Sleep(time.Millisecond)
		s.lock.Lock()
	}
	return slices.ContainsFunc(s.gaps, func(g gap) bool { return g.from < to && from < g.to })
}

func reportQuantiles(b *testing.B, what string, took []time.Duration) {
	if len(took) == 0 {
		return
	}
	slices.Sort(took)
	b.ReportMetric(float64(took[len(took)/2].Microseconds()), "us-p50-"+what)
	b.ReportMetric(float64(took[len(took)*99/100].Microseconds()), "us-p99-"+what)
}

// BenchmarkFence measures from the decision (Want) to the first command that a
// client sees refused, with 1,000 connections, one of which asks without pause.
func BenchmarkFence(b *testing.B) {
	s := startRedis(b)
	l := startGate(b, s)
	l.sees("a master", func(r watchdog.Redis) bool { return r.Role == watchdog.Master && r.Answer == watchdog.Up })
	eventually(b, "rights are known", func() bool { return l.capabilities().Checked })
	var first, calm, proof []time.Duration
	machine := watchStill(b)
	for b.Loop() {
		b.StopTimer()
		all := idle(b, s, 1000)
		asked := askUntilRefused(all[0])
		time.Sleep(20 * time.Millisecond)
		b.StartTimer()
		at := bootTime()
		l.Want(refuse())
		refused := <-asked
		b.StopTimer()
		first = append(first, refused.Sub(at))
		if !machine.hit(at, refused) {
			calm = append(calm, refused.Sub(at))
		}
		l.sees("Redis refusing", func(r watchdog.Redis) bool { return r.Refusing && r.SentAt > at })
		proof = append(proof, l.Details().LastFence.Decision)
		for _, c := range all {
			c.nc.Close()
		}
		l.Want(watchdog.Gate{Access: watchdog.Lock, Open: true})
		l.sees("a master", func(r watchdog.Redis) bool { return r.Role == watchdog.Master && r.Locked })
		l.Want(watchdog.Gate{Access: watchdog.Serve})
		l.sees("no lock", func(r watchdog.Redis) bool { return !r.Locked })
		eventually(b, "the operator's values", func() bool { return s.config(keyStale) == "yes" })
		b.StartTimer()
	}
	reportQuantiles(b, "first-refused", first)
	reportQuantiles(b, "calm-first-refused", calm)
	b.ReportMetric(float64(len(calm)), "calm")
	reportQuantiles(b, "proved", proof)
}

// BenchmarkPutOff measures one renewal of the armed fence.
func BenchmarkPutOff(b *testing.B) {
	s := startRedis(b)
	l := startGate(b, s)
	l.Want(watchdog.Gate{Access: watchdog.Serve, Arm: bootTime().Add(time.Hour)})
	l.sees("an armed fence", func(r watchdog.Redis) bool { return r.ArmedFor != 0 })
	calls, usec := s.spent()
	at := bootTime().Add(time.Hour)
	for b.Loop() {
		at = at.Add(-100 * time.Millisecond) // an earlier one is armed at once
		from := l.Details().Armed
		l.Want(watchdog.Gate{Access: watchdog.Serve, Arm: at})
		for l.Details().Armed == from {
			time.Sleep(20 * time.Microsecond)
		}
	}
	calls2, usec2 := s.spent()
	b.ReportMetric(float64(usec2-usec)/float64(b.N), "us-redis/op")
	b.ReportMetric(float64(calls2-calls)/float64(b.N), "commands/op")
}
