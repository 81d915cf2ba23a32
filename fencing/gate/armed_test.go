package gate

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/hashicorp/go-hclog"

	"github.com/redis-watchdog/redis-watchdog/fencing/gate/resp"
	"github.com/redis-watchdog/redis-watchdog/watchdog"
)

// shelf keeps descriptors as systemd's store does.
type shelf struct {
	mu    sync.Mutex
	files map[string]*os.File
	most  int
	gone  int // removed
}

func newShelf(t testing.TB) *shelf {
	s := &shelf{files: map[string]*os.File{}}
	t.Cleanup(func() {
		for _, f := range s.files {
			f.Close()
		}
	})
	return s
}

func (s *shelf) Store(name string, f *os.File) error {
	fd, err := syscall.Dup(int(f.Fd())) // Fd is what sd_notify's callers use
	if err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.files[name] = os.NewFile(uintptr(fd), name)
	s.most = max(s.most, len(s.files))
	return nil
}

func (s *shelf) Remove(name string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	f, ok := s.files[name]
	if !ok {
		return errors.New("no such descriptor")
	}
	f.Close()
	delete(s.files, name)
	s.gone++
	return nil
}

// take hands everything over, as systemd does to a restarted service.
func (s *shelf) take() []*os.File {
	s.mu.Lock()
	defer s.mu.Unlock()
	var all []*os.File
	for name, f := range s.files {
		fd, err := syscall.Dup(int(f.Fd()))
		if err == nil {
			all = append(all, os.NewFile(uintptr(fd), name))
		}
	}
	return all
}

func (s *shelf) count() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.files)
}

func both(t *testing.T, f func(t *testing.T, tcp func(*Config))) {
	t.Run("socket", func(t *testing.T) { t.Parallel(); f(t, func(*Config) {}) })
	t.Run("tcp", func(t *testing.T) { t.Parallel(); f(t, func(c *Config) { c.Socket = "" }) })
}

func TestArmedFenceFiresWithoutTheGate(t *testing.T) {
	both(t, func(t *testing.T, tcp func(*Config)) {
		s, kept := startRedis(t), newShelf(t)
		l := startGate(t, s, tcp, func(c *Config) { c.Store = kept })
		stop := l.serve(1500 * time.Millisecond)
		l.sees("an armed fence", func(r watchdog.Redis) bool { return r.ArmedFor != 0 })
		stop()
		l.stop()
		due := l.last().ArmedFor
		if got := s.role(); got != "master" {
			t.Fatalf("before its time: got %s", got)
		}
		eventually(t, "the fence fires by itself", func() bool { return strings.HasPrefix(s.role(), "slave of 127.0.0.1:0") })
		if now := bootTime(); now < due.Add(-1600*time.Millisecond) {
			t.Errorf("fired %v early", due.Sub(now))
		}
		if got := s.do("GET", "k"); !got.ErrorIs("MASTERDOWN") {
			t.Errorf("GET: got %+v", got)
		}
		if got := s.config(keyPrio); got != "0" {
			t.Errorf("priority: got %s", got)
		}
	})
}

func TestArmedFenceIsGoneWithTheGateWhenNobodyKeepsIt(t *testing.T) {
	s := startRedis(t)
	l := startGate(t, s)
	stop := l.serve(2 * time.Second)
	l.sees("an armed fence", func(r watchdog.Redis) bool { return r.ArmedFor != 0 })
	stop()
	l.stop()
	eventually(t, "no client of ours is left", func() bool { return !strings.Contains(s.do("CLIENT", "LIST").Text, clientName) })
}

func TestPutOffUnderLoadIsNotNoticed(t *testing.T) {
	both(t, func(t *testing.T, tcp func(*Config)) {
		s, kept := startRedis(t), newShelf(t)
		l := startGate(t, s, tcp, func(c *Config) { c.Store = kept })
		stop := l.serve(2 * time.Second)
		l.sees("an armed fence", func(r watchdog.Redis) bool { return r.ArmedFor != 0 })
		c := s.client()
		writes := 0
		eventually(t, "five renewals", func() bool {
			for range 50 {
				if got := c.do("SET", "k", "v"); !got.OK() {
					t.Fatalf("SET %d: got %+v", writes, got)
				}
				writes++
			}
			return l.Details().Armed >= 6
		})
		eventually(t, "one fence is kept", func() bool { return kept.count() == 1 })
		list := s.do("CLIENT", "LIST").Text
		if n := strings.Count(list, "cmd=xread"); n < 1 || n > 2 {
			t.Errorf("connections that are armed: got %d in\n%s", n, list)
		}
		if kept.most > 3 {
			t.Errorf("kept at most: got %d", kept.most)
		}
		// None wanted: nothing fires.
		stop()
		l.Want(watchdog.Gate{Access: watchdog.Leave})
		l.sees("no armed fence", func(r watchdog.Redis) bool { return r.ArmedFor == 0 })
		eventually(t, "nothing is kept", func() bool { return kept.count() == 0 })
		eventually(t, "nothing is armed", func() bool { return !strings.Contains(s.do("CLIENT", "LIST").Text, "cmd=xread") })
		if got := c.do("SET", "k", "v"); !got.OK() {
			t.Errorf("SET at the end: got %+v", got)
		}
	})
}

func TestEarlierArmIsArmedEarlier(t *testing.T) {
	s := startRedis(t)
	l := startGate(t, s)
	l.Want(watchdog.Gate{Access: watchdog.Serve, Arm: bootTime().Add(time.Hour)})
	l.sees("an armed fence", func(r watchdog.Redis) bool { return r.ArmedFor != 0 })
	soon := bootTime().Add(time.Minute)
	l.Want(watchdog.Gate{Access: watchdog.Serve, Arm: soon})
	l.sees("an earlier one", func(r watchdog.Redis) bool { return r.ArmedFor != 0 && r.ArmedFor <= soon })
	eventually(t, "the former is gone", func() bool { return strings.Count(s.do("CLIENT", "LIST").Text, "cmd=xread") == 1 })
}

func TestAdoptedFenceIsPutOff(t *testing.T) {
	both(t, func(t *testing.T, tcp func(*Config)) {
		s, kept := startRedis(t), newShelf(t)
		keep := func(c *Config) { c.Store = kept }
		l := startGate(t, s, tcp, keep)
		stop := l.serve(3 * time.Second)
		l.sees("an armed fence", func(r watchdog.Redis) bool { return r.ArmedFor != 0 })
		stop()
		l.stop()
		due := l.last().ArmedFor
		again := startGate(t, s, tcp, keep, func(c *Config) { c.Adopted = kept.take(); c.Originals = l.originals() })
		again.serve(20 * time.Second)
		again.sees("a later fence", func(r watchdog.Redis) bool { return r.ArmedFor > due.Add(time.Second) })
		eventually(t, "one is kept, one is armed", func() bool {
			return kept.count() == 1 && strings.Count(s.do("CLIENT", "LIST").Text, "cmd=xread") == 1
		})
		eventually(t, "the former's time is over", func() bool { return bootTime() > due.Add(200*time.Millisecond) })
		if got := s.role(); got != "master" {
			t.Errorf("after the former's time: got %s", got)
		}
	})
}

func TestAdoptedFenceIsReportedBeforeItIsPutOff(t *testing.T) {
	s, kept := startRedis(t), newShelf(t)
	keep := func(c *Config) { c.Store = kept }
	l := startGate(t, s, keep)
	stop := l.serve(time.Minute)
	first := l.sees("an armed fence", func(r watchdog.Redis) bool { return r.ArmedFor != 0 })
	stop()
	l.stop()
	again := startGate(t, s, keep, func(c *Config) { c.Adopted = kept.take() })
	got := again.sees("the adopted fence", func(r watchdog.Redis) bool { return r.ArmedFor != 0 })
	if got.ArmedFor != first.ArmedFor {
		t.Errorf("armed for: got %v, want %v", got.ArmedFor, first.ArmedFor)
	}
}

// A reload makes another gate of the same Redis in one process: what stands
// armed stands on in between without any store, is known to the next one as what
// it is, and to the one after that. Closed by whoever does not want it, it is
// disarmed.
func TestArmedFenceIsHandedOverWithoutAStore(t *testing.T) {
	both(t, func(t *testing.T, tcp func(*Config)) {
		s := startRedis(t)
		standing := func() int { return strings.Count(s.do("CLIENT", "LIST").Text, "cmd=xread") }
		l := startGate(t, s, tcp)
		stop := l.serve(time.Minute)
		first := l.sees("an armed fence", func(r watchdog.Redis) bool { return r.ArmedFor != 0 })
		stop()
		for life := range 2 {
			l.LeaveArmed()
			l.stop()
			left := l.Left()
			if len(left) != 1 || standing() != 1 {
				t.Fatalf("life %d left %d armed fences, %d stand; want 1", life, len(left), standing())
			}
			l = startGate(t, s, tcp, func(c *Config) { c.Adopted = left })
			got := l.sees("the adopted fence", func(r watchdog.Redis) bool { return r.ArmedFor != 0 })
			if got.ArmedFor != first.ArmedFor {
				t.Errorf("armed for: got %v, want %v", got.ArmedFor, first.ArmedFor)
			}
		}
		l.LeaveArmed()
		l.stop()
		for _, f := range l.Left() {
			f.Close()
		}
		eventually(t, "it is disarmed", func() bool { return standing() == 0 })
		if got := s.role(); got != "master" {
			t.Errorf("role: got %s", got)
		}
	})
}

// The fence is no transaction, and is executed in one go all the same: of what
// clients had sent to a Redis that froze past the fence's time, nothing is
// answered between one of its commands and the next.
func TestFrozenRedisFencesItselfBeforeWhatIsQueued(t *testing.T) {
	for _, lines := range [][]string{nil, {"io-threads 4"}} {
		t.Run(strings.Join(lines, " "), func(t *testing.T) {
			s := startRedis(t, lines...)
			l := startGate(t, s)
			stop := l.serve(800 * time.Millisecond)
			l.sees("an armed fence", func(r watchdog.Redis) bool { return r.ArmedFor != 0 })
			s.do("SET", "k", "before")
			w := &waiting{t: t}
			for range 30 {
				w.all = append(w.all, s.client())
			}
			for _, c := range w.all {
				c.do("GET", "k")
			}
			stop()
			due := l.last().ArmedFor
			s.signal(syscall.SIGSTOP)
			l.sees("silence", func(r watchdog.Redis) bool { return r.Answer == watchdog.Silent })
			for range 3 {
				w.ask()
			}
			eventually(t, "the deadline is past", func() bool { return bootTime() > due.Add(300*time.Millisecond) })
			s.signal(syscall.SIGCONT)
			if reads, writes := w.answers(); reads != 0 || writes != 0 {
				t.Errorf("answered on waking: got %d reads and %d writes, want none", reads, writes)
			}
			eventually(t, "Redis is fenced", func() bool { return strings.HasPrefix(s.role(), "slave of 127.0.0.1:0") })
		})
	}
}

func TestFenceQueuedToAFrozenRedisComesBeforeWhatFollows(t *testing.T) {
	s := startRedis(t)
	l := startGate(t, s)
	l.Want(watchdog.Gate{Access: watchdog.Serve})
	l.sees("a master", func(r watchdog.Redis) bool { return r.Role == watchdog.Master })
	s.signal(syscall.SIGSTOP)
	l.sees("silence", func(r watchdog.Redis) bool { return r.Answer == watchdog.Silent })
	l.Want(refuse())
	time.Sleep(50 * time.Millisecond)
	s.signal(syscall.SIGCONT)
	l.sees("Redis refusing", func(r watchdog.Redis) bool { return r.Refusing })
}

// killer notes whom it was asked to kill, and kills it.
type killer struct {
	s     *server
	calls atomic.Int32
	runID atomic.Value
}

func (k *killer) Kill(_ context.Context, pid int, runID string) error {
	k.calls.Add(1)
	k.runID.Store(runID)
	if pid != k.s.cmd.Process.Pid {
		return fmt.Errorf("asked to kill %d, Redis is %d", pid, k.s.cmd.Process.Pid)
	}
	k.s.kill()
	return nil
}

func TestHungRedisIsKilledOnce(t *testing.T) {
	s := startRedis(t)
	k := &killer{s: s}
	l := startGate(t, s, func(c *Config) { c.Killer = k })
	l.Want(watchdog.Gate{Access: watchdog.Serve})
	up := l.sees("a master", func(r watchdog.Redis) bool { return r.Role == watchdog.Master })
	s.signal(syscall.SIGSTOP)
	by := bootTime().Add(500 * time.Millisecond)
	l.Want(watchdog.Gate{Access: watchdog.Refuse, StopBy: by})
	l.sees("nobody listening", func(r watchdog.Redis) bool { return r.Answer == watchdog.Absent && r.Refusing })
	if bootTime() < by {
		t.Errorf("killed before its time")
	}
	if k.calls.Load() != 1 || k.runID.Load() != up.RunID {
		t.Errorf("kills: got %d of %v", k.calls.Load(), k.runID.Load())
	}
}

func TestFencedRedisThatHangsIsNotKilled(t *testing.T) {
	s := startRedis(t)
	k := &killer{s: s}
	l := startGate(t, s, func(c *Config) { c.Killer = k })
	l.sees("a master", func(r watchdog.Redis) bool { return r.Role == watchdog.Master })
	by := bootTime().Add(time.Second)
	l.Want(watchdog.Gate{Access: watchdog.Refuse, StopBy: by})
	l.sees("Redis refusing", func(r watchdog.Redis) bool { return r.Refusing })
	s.signal(syscall.SIGSTOP)
	l.sees("silence past its time", func(r watchdog.Redis) bool {
		return r.Answer == watchdog.Silent && r.SeenAt > 0 && bootTime() > by.Add(2*lookTimeout)
	})
	s.signal(syscall.SIGCONT)
	l.sees("Redis refusing again", func(r watchdog.Redis) bool { return r.Refusing && r.SentAt > by })
	if n := k.calls.Load(); n != 0 {
		t.Errorf("%d kills of a fenced Redis, want 0", n)
	}
}

func TestObedientRedisIsNotKilled(t *testing.T) {
	s := startRedis(t)
	k := &killer{s: s}
	l := startGate(t, s, func(c *Config) { c.Killer = k })
	l.sees("a master", func(r watchdog.Redis) bool { return r.Role == watchdog.Master })
	by := bootTime().Add(300 * time.Millisecond)
	l.Want(watchdog.Gate{Access: watchdog.Refuse, StopBy: by})
	l.sees("Redis refusing", func(r watchdog.Redis) bool { return r.Refusing && r.SeenAt > by.Add(300*time.Millisecond) })
	if k.calls.Load() != 0 {
		t.Errorf("a Redis that refuses was killed")
	}
}

// A Redis was dead for longer than it had been given to refuse, and its
// supervisor starts it again: it is fenced, not killed as soon as it is seen.
func TestRedisThatComesBackLateIsFencedNotKilled(t *testing.T) {
	s := startRedis(t)
	k := &killer{s: s}
	l := startGate(t, s, func(c *Config) { c.Killer = k })
	l.sees("a master", func(r watchdog.Redis) bool { return r.Role == watchdog.Master })
	for range 3 {
		s.kill()
		l.Want(watchdog.Gate{Access: watchdog.Refuse, StopBy: bootTime()})
		gone := l.sees("nobody listening", func(r watchdog.Redis) bool { return r.Answer == watchdog.Absent })
		l.sees("nobody listening for a while", func(r watchdog.Redis) bool { return r.SeenAt > gone.SeenAt.Add(2*stopGrace) })
		s.start()
		l.sees("Redis refusing", func(r watchdog.Redis) bool { return r.Answer == watchdog.Up && r.Refusing && r.RunID != gone.RunID })
	}
	if n := k.calls.Load(); n != 0 {
		t.Errorf("%d kills of a Redis that was about to be fenced, want 0", n)
	}
}

// Who refuses our login and answers the user default is asked anew every ten
// milliseconds, and not heard anew each time: its kill would be put off for ever.
func TestWhoRefusesOurLoginIsNotHeardAnew(t *testing.T) {
	for _, tt := range []struct {
		name   string
		answer resp.Reply
		heard  bool
	}{
		{"let in", resp.Reply{Kind: '*'}, true},
		{"refused", resp.Reply{Kind: '-', Text: "WRONGPASS invalid username-password pair or user is disabled."}, false},
		{"loading", resp.Reply{Kind: '-', Text: "LOADING Redis is loading the dataset in memory"}, true},
	} {
		hello := newCall(1, 1, nil)
		hello.replies = []resp.Reply{tt.answer}
		close(hello.done)
		g := &Gate{conf: Config{Now: bootTime}, lastAnswer: watchdog.Silent}
		g.noteSeen(watchdog.Redis{Answer: watchdog.Up, Role: watchdog.Master, SentAt: 2}, &conn{hello: hello}, 1)
		if heard := g.heardAt != 0; heard != tt.heard {
			t.Errorf("%s: heard anew is %v, want %v", tt.name, heard, tt.heard)
		}
	}
}

// The same at the edge, which a run hits by chance: what a Redis said first
// came before its fence was sent.
func TestStopWaitsForTheFenceOfARedisJustHeard(t *testing.T) {
	s := startRedis(t)
	k := &killer{s: s}
	g, err := New(Config{Address: s.address(), Killer: k, Now: bootTime, Log: hclog.NewNullLogger()})
	if err != nil {
		t.Fatal(err)
	}
	g.want, g.wanted = watchdog.Gate{Access: watchdog.Refuse, StopBy: bootTime().Add(-time.Minute)}, true
	g.seen, g.lastAnswer = watchdog.Redis{Answer: watchdog.Up, Role: watchdog.Master}, watchdog.Up
	g.details.PID, g.failures = s.cmd.Process.Pid, dialFailures
	g.heardAt = bootTime()
	g.stopIfLate(t.Context())
	g.stops.Wait()
	if n := k.calls.Load(); n != 0 {
		t.Fatalf("%d kills of a Redis just heard, want 0", n)
	}
	g.heardAt, g.trying.tried = bootTime().Add(-stopGrace), stopGrace
	g.stopIfLate(t.Context())
	g.stops.Wait()
	if n := k.calls.Load(); n != 1 {
		t.Errorf("%d kills of a Redis that had its time, want 1", n)
	}
}

// A watchdog that was not run has not asked: what Redis answered meanwhile waits
// to be read. Only the time in which it was run counts against Redis.
func TestStopCountsTheTimeInWhichTheWatchdogWasRun(t *testing.T) {
	const at, rest = watchdog.Instant(time.Hour), 50 * time.Millisecond
	for _, c := range []struct {
		name  string
		turns []time.Duration // from the one before
		lost  bool            // a fence fired before the first of them, and nothing was asked since
		want  bool            // it is killed by the last
	}{
		{"its fence was sent this moment, wanted long ago", []time.Duration{0}, false, false},
		{"it has had its time", []time.Duration{0, rest, rest}, false, true},
		{"not run at all", []time.Duration{0, time.Minute}, false, false},
		{"not run, and then for long enough", []time.Duration{0, time.Minute, rest, rest}, false, true},
		{"late again and again", slices.Repeat([]time.Duration{time.Second}, lateTurns+1), false, false},
		{"late for good", slices.Repeat([]time.Duration{time.Second}, lateTurns+3), false, true},
		{"its armed fence fired, and it was not asked yet", []time.Duration{0, rest, rest, rest, rest}, true, false},
		{"nor for seconds", slices.Repeat([]time.Duration{rest}, 3+int(stopPatience/rest)), true, true},
	} {
		s := startRedis(t)
		k := &killer{s: s}
		now := at
		g, err := New(Config{Address: s.address(), Killer: k, Now: func() watchdog.Instant { return now }, Log: hclog.NewNullLogger()})
		if err != nil {
			t.Fatal(err)
		}
		g.want, g.wanted = watchdog.Gate{Access: watchdog.Refuse, StopBy: at.Add(-time.Minute), StopArmed: at.Add(time.Hour)}, true
		g.seen, g.lastAnswer = watchdog.Redis{Answer: watchdog.Up, Role: watchdog.Master, SentAt: at.Add(-time.Second)}, watchdog.Up
		g.primary, g.details.PID = &conn{}, s.cmd.Process.Pid
		if c.lost {
			g.firedAt.Store(int64(at.Add(-time.Millisecond)))
			g.lostAt.Store(int64(at.Add(-time.Millisecond)))
		}
		for _, after := range c.turns {
			now = now.Add(after)
			g.stopIfLate(t.Context())
			g.stops.Wait()
			g.trying.rests = rest // it is woken for something else as well
		}
		if got := k.calls.Load() > 0; got != c.want {
			t.Errorf("%s: killed %v, want %v", c.name, got, c.want)
		}
	}
}

func TestBusyRedisIsFencedWhenItsScriptEnds(t *testing.T) {
	s := startRedis(t, "lua-time-limit 50")
	l := startGate(t, s)
	l.Want(watchdog.Gate{Access: watchdog.Serve})
	l.sees("a master", func(r watchdog.Redis) bool { return r.Role == watchdog.Master })
	script := s.client()
	script.nc.Write(resp.Append(nil, "EVAL", "while true do end", "0"))
	l.sees("a busy Redis", func(r watchdog.Redis) bool { return r.Answer == watchdog.Busy && r.Role == watchdog.Master })
	l.Want(refuse())
	time.Sleep(100 * time.Millisecond)
	s.do("SCRIPT", "KILL")
	l.sees("Redis refusing", func(r watchdog.Redis) bool { return r.Refusing && r.Answer == watchdog.Up })
}

func TestMaxclientsReachedArmsAndFences(t *testing.T) {
	s := startRedis(t, "maxclients 30")
	l := startGate(t, s)
	stop := l.serve(2 * time.Second)
	l.sees("an armed fence", func(r watchdog.Redis) bool { return r.ArmedFor != 0 })
	eventually(t, "spares are there", func() bool { l.Gate.mu.Lock(); defer l.Gate.mu.Unlock(); return len(l.spares) >= wantedSpares })
	var last *client
	for range 40 {
		last = s.client()
	}
	if r, err := last.try("PING"); err == nil && !r.IsError() {
		t.Fatalf("maxclients is not reached")
	}
	from := l.Details().Armed
	eventually(t, "renewals go on", func() bool { return l.Details().Armed >= from+3 })
	if r := l.last(); r.Role != watchdog.Master {
		t.Fatalf("fenced for want of connections: %+v", r)
	}
	stop()
	l.Want(refuse())
	l.sees("Redis refusing", func(r watchdog.Redis) bool { return r.Refusing })
}

func TestArmingIsTriedAgainHoweverLongItFailed(t *testing.T) {
	s := startRedis(t)
	l := startGate(t, s)
	l.serve(2 * time.Second)
	l.sees("an armed fence", func(r watchdog.Redis) bool { return r.ArmedFor != 0 })
	admin := s.client()
	maxclients := func(n string) {
		if r, err := admin.try("CONFIG", "SET", "maxclients", n); err != nil || r.IsError() {
			t.Fatalf("CONFIG SET maxclients %s: %+v, %v", n, r, err)
		}
	}
	maxclients("1") // who is connected stays
	l.sees("no armed fence", func(r watchdog.Redis) bool { return r.ArmedFor == 0 && r.Role == watchdog.Master })
	eventually(t, "the fault is there", func() bool { return l.fault("armed_off") != nil })
	since := time.Now()
	eventually(t, "it has been off for long", func() bool {
		if l.fault("armed_off") == nil {
			since = time.Now()
		}
		return time.Since(since) > 3*time.Second
	})
	maxclients("1000")
	l.sees("an armed fence again", func(r watchdog.Redis) bool { return r.ArmedFor != 0 })
	eventually(t, "the fault is gone", func() bool { return l.fault("armed_off") == nil })
}

func TestRenamedXReadIsSaidAndFencesNobody(t *testing.T) {
	s := startRedis(t, `rename-command XREAD ""`)
	l := startGate(t, s)
	l.serve(300 * time.Millisecond)
	eventually(t, "the fault is there", func() bool { return l.fault("rights_xread") != nil })
	end := bootTime().Add(600 * time.Millisecond)
	l.sees("a master all the while", func(r watchdog.Redis) bool { return r.SeenAt > end })
	if got := s.role(); got != "master" {
		t.Errorf("role: got %s", got)
	}
	l.Want(refuse())
	l.sees("Redis refusing", func(r watchdog.Redis) bool { return r.Refusing })
}

func TestRenamedCommandsAreFoundUnderTheirNames(t *testing.T) {
	s := startRedis(t, "rename-command XREAD x1", "rename-command REPLICAOF r1")
	l := startGate(t, s, func(c *Config) { c.Commands = map[string]string{"xread": "x1", "REPLICAOF": "r1"} })
	l.serve(30 * time.Second)
	l.sees("an armed fence", func(r watchdog.Redis) bool { return r.ArmedFor != 0 })
	if f := l.Details().Faults; len(f) != 0 {
		t.Errorf("faults: %+v", f)
	}
}

func TestLostRightsTakeTheArmedFenceDown(t *testing.T) {
	s := startRedis(t, "user w on >p "+ACLRule)
	l := startGate(t, s, func(c *Config) { c.Username, c.Password = "w", "p" })
	l.serve(4 * time.Second)
	l.sees("an armed fence", func(r watchdog.Redis) bool { return r.ArmedFor != 0 })
	s.do("ACL", "SETUSER", "w", "-xread")
	l.sees("no armed fence", func(r watchdog.Redis) bool { return r.ArmedFor == 0 })
	eventually(t, "the fault is there", func() bool { return l.fault("armed_off") != nil })
	if got := s.role(); got != "master" {
		t.Errorf("a healthy master was fenced: %s", got)
	}
	s.do("ACL", "SETUSER", "w", "+xread")
	l.sees("an armed fence again", func(r watchdog.Redis) bool { return r.ArmedFor != 0 })
	eventually(t, "the fault is gone", func() bool { return l.fault("armed_off") == nil })
}

func TestLeastRightsAreEnough(t *testing.T) {
	s := startRedis(t, "user w on >p "+ACLRule)
	l := startGate(t, s, func(c *Config) { c.Username, c.Password = "w", "p" })
	stop := l.serve(30 * time.Second)
	l.sees("an armed fence", func(r watchdog.Redis) bool { return r.ArmedFor != 0 })
	stop()
	l.Want(watchdog.Gate{Access: watchdog.Hold, Arm: bootTime().Add(time.Minute)})
	l.sees("the hold", func(r watchdog.Redis) bool { return r.Held })
	l.Want(refuse())
	l.sees("Redis refusing", func(r watchdog.Redis) bool { return r.Refusing })
	eventually(t, "redis.conf says so", func() bool { return s.inFile(keyStale) == "no" })
	l.Want(watchdog.Gate{Access: watchdog.Lock, Open: true})
	l.sees("a locked master", func(r watchdog.Redis) bool { return r.Role == watchdog.Master && r.Locked })
	l.Want(watchdog.Gate{Access: watchdog.Serve})
	checkOriginals(t, s, "100")
	if d := l.Details(); len(d.Faults) != 0 || len(d.Missing) != 0 || d.Errors != 0 {
		t.Errorf("details: %+v", d)
	}
	if log := s.do("ACL", "LOG"); len(log.Elems) != 0 {
		t.Errorf("Redis denied something: %+v", log.Elems)
	}
}

func TestWrongPasswordIsSaid(t *testing.T) {
	s := startRedis(t, "requirepass right")
	l := startGate(t, s, func(c *Config) { c.Password = "wrong" })
	eventually(t, "the fault is there", func() bool { return l.fault("redis_auth") != nil })
	if r := l.last(); r.Answer != watchdog.Silent {
		t.Errorf("answer: got %v, want silent", r.Answer)
	}
}

// A password that is changed first lets the connections stand that are there: it is
// putting off the fence, on a new one, that fails, and says whose fault it is.
func TestPasswordThatIsTakenAwayIsSaidByTheArmedFence(t *testing.T) {
	t.Parallel()
	s := startRedis(t)
	s.do("ACL", "SETUSER", "watchdog", "on", ">before", "~*", "&*", "+@all")
	l := startGate(t, s, func(c *Config) { c.Username, c.Password = "watchdog", "before" })
	l.serve(30 * time.Second)
	l.sees("an armed fence", func(r watchdog.Redis) bool { return r.ArmedFor != 0 })
	s.do("ACL", "SETUSER", "watchdog", ">after", "<before")
	eventually(t, "the fault is there, with its remedy", func() bool {
		f := l.fault("armed_off")
		return f != nil && f.Remedy == remedyLogin
	})
}

func TestSentinelsKillIsAHintAndArmsAnew(t *testing.T) {
	s := startRedis(t)
	l := startGate(t, s)
	l.serve(30 * time.Second)
	first := l.sees("an armed fence", func(r watchdog.Redis) bool { return r.ArmedFor != 0 })
	from := l.Details().Armed
	c := s.client()
	c.do("MULTI")
	c.do("CONFIG", "REWRITE")
	c.do("CLIENT", "KILL", "TYPE", "normal")
	c.do("CLIENT", "KILL", "TYPE", "pubsub")
	c.do("EXEC")
	eventually(t, "it is armed anew", func() bool { return l.Details().Armed > from && l.last().ArmedFor != 0 })
	if r := l.last(); r.RunID != first.RunID || r.Answer != watchdog.Up {
		t.Errorf("after the kill: %+v", r)
	}
}

// A fence is put off by about every renewal of the evidence, however much of it
// is left: Redis may stand still from then on.
func TestFenceIsPutOffWithEveryRenewal(t *testing.T) {
	const ms = time.Millisecond
	now := watchdog.Instant(time.Hour)
	for _, tt := range []struct {
		late, guard, had, gain time.Duration
		want                   bool
	}{
		{0, 15 * ms, 4900 * ms, 200 * ms, true},
		{0, 15 * ms, 4900 * ms, 199 * ms, false}, // two renewals a moment apart cost one
		{0, 15 * ms, 2900 * ms, 182 * ms, true},
		{0, 15 * ms, 900 * ms, 57 * ms, true},
		{0, 15 * ms, 900 * ms, 56 * ms, false},
		{0, 15 * ms, 100 * ms, armGain, true},
		{0, 15 * ms, 100 * ms, armGain - 1, false},
		{0, 15 * ms, 4900 * ms, -1, true}, // it would fire too late
		// Run late: not while others have less left.
		{250 * ms, 515 * ms, 4800 * ms, 499 * ms, false},
		{250 * ms, 515 * ms, 4800 * ms, 500 * ms, true},
		{2500 * ms, 1200 * ms, 4800 * ms, 1199 * ms, false},
		{2500 * ms, 1200 * ms, 4800 * ms, 1200 * ms, true},
		{250 * ms, 515 * ms, 40 * ms, armGain - 1, false},
		{250 * ms, 515 * ms, 40 * ms, armGain, true},
		{250 * ms, 515 * ms, 4800 * ms, -1, true},
	} {
		g := &Gate{conf: Config{Late: func() time.Duration { return tt.late }}}
		a := &armed{deadline: now.Add(tt.had), had: tt.had, guard: tt.guard}
		arm := a.deadline.Add(tt.gain)
		if tt.gain >= 0 {
			arm = arm.Add(tt.guard)
		}
		if got := g.due(a, arm); got != tt.want {
			t.Errorf("late by %v, %v armed, %v to gain: due is %v, want %v", tt.late, tt.had, tt.gain, got, tt.want)
		}
	}
	g := &Gate{conf: Config{Late: func() time.Duration { return 0 }}}
	if g.due(&armed{}, now) {
		t.Error("one of which it is not known when it fires is due")
	}
}

// A process that is run late puts its fences off seldomer, each for less than it
// might, and that it was for less is no reason to put it off at once.
func TestFenceOfAProcessThatIsRunLateIsPutOffSeldomer(t *testing.T) {
	const late = 300 * time.Millisecond
	s := startRedis(t)
	l := startGate(t, s, func(c *Config) { c.Late = func() time.Duration { return late } })
	l.serve(4 * time.Second)
	l.sees("an armed fence", func(r watchdog.Redis) bool { return r.ArmedFor != 0 })
	from, began := l.Details().Armed, bootTime()
	eventually(t, "it is put off", func() bool { return l.Details().Armed >= from+4 })
	armed, took := int(l.Details().Armed-from), bootTime().Sub(began)
	if most := int(took/(lateShare*late)) + 1; armed > most {
		t.Errorf("%d times in %v, want %d at the most", armed, took, most)
	}
	if r := l.last(); r.Role != watchdog.Master {
		t.Errorf("it is %v", r.Role)
	}
}
