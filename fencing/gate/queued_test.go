package gate

// What was sent to a Redis that froze at that moment runs when it wakes: what
// was wanted since must have been queued behind it.

import (
	"bytes"
	"fmt"
	"os"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/redis-watchdog/redis-watchdog/fencing/gate/resp"
	"github.com/redis-watchdog/redis-watchdog/watchdog"
)

// freeze stops Redis and returns once it is stopped.
func (s *server) freeze() {
	s.signal(syscall.SIGSTOP)
	eventually(s.t, "Redis is stopped", func() bool {
		stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", s.cmd.Process.Pid))
		if err != nil {
			s.t.Errorf("stat of Redis: %v", err)
			return true
		}
		_, state, _ := bytes.Cut(stat, []byte(") "))
		return bytes.HasPrefix(state, []byte("T"))
	})
}

// unanswered is what was sent over the primary connection and not answered: how
// many commands each write had, and how many a fence has.
func (l *lab) unanswered() (commands []int, fence int) {
	l.Gate.mu.Lock()
	defer l.Gate.mu.Unlock()
	if l.primary == nil {
		return nil, l.fence.n
	}
	l.primary.mu.Lock()
	defer l.primary.mu.Unlock()
	for _, k := range l.primary.queue {
		commands = append(commands, k.n)
	}
	return commands, l.fence.n
}

// queuesFence waits until n writes are unanswered, and wants the last of them to be
// the fence.
func (l *lab) queuesFence(n int) {
	l.t.Helper()
	l.queues(n)
	if got, fence := l.unanswered(); got[n-1] != fence {
		l.t.Errorf("queued, in commands: got %v, want the fence of %d as number %d", got, fence, n)
	}
}

func (l *lab) queues(n int) {
	l.t.Helper()
	eventually(l.t, "the primary connection's queue grows", func() bool { got, _ := l.unanswered(); return len(got) >= n })
}

// staysShut wants Redis to be fenced and to be seen so.
func (l *lab) staysShut() {
	l.t.Helper()
	l.sees("Redis refusing again", func(r watchdog.Redis) bool {
		got, _ := l.unanswered()
		return r.Refusing && r.Role == watchdog.Nowhere && r.Answer == watchdog.Up && len(got) == 0
	})
	if got := l.s.answer("ROLE"); len(got.Elems) < 3 || got.Elems[1].Text != "127.0.0.1" || got.Elems[2].Num != 0 {
		l.t.Errorf("role: got %+v", got)
	}
	if got := l.s.answer("GET", "k"); !got.ErrorIs("MASTERDOWN") {
		l.t.Errorf("GET: got %+v", got)
	}
}

// answer asks until there is one: a fence that is still on its way hangs up on
// everybody.
func (s *server) answer(words ...string) (r resp.Reply) {
	s.t.Helper()
	eventually(s.t, "an answer", func() bool {
		c := s.client()
		defer c.nc.Close()
		var err error
		r, err = c.try(words...)
		return err == nil
	})
	return r
}

// shutFor is a gate beside a Redis that it has fenced, for something to be
// sent just when that freezes: freeze is called before the step is sent.
func shutFor(t *testing.T, freeze func(s *server)) *lab { return shutOn(t, startRedis(t), freeze) }

func shutOn(t *testing.T, s *server, freeze func(s *server)) *lab {
	s.do("SET", "k", "v")
	var once sync.Once
	l := startGate(t, s, func(c *Config) {
		c.Failpoint = func(name string) {
			if name == "gate.unfence.begun" || name == "gate.rejoin.begun" {
				once.Do(func() { freeze(s) })
			}
		}
	})
	t.Cleanup(func() { s.signal(syscall.SIGCONT) })
	eventually(t, "the originals are recorded", func() bool { return l.originals().Known })
	l.Want(refuse())
	l.sees("Redis refusing", func(r watchdog.Redis) bool { return r.Refusing })
	eventually(t, "the fence is in redis.conf", func() bool { return s.inFile(keyStale) == "no" })
	eventually(t, "spares are there", func() bool { l.Gate.mu.Lock(); defer l.Gate.mu.Unlock(); return len(l.spares) >= wantedSpares })
	return l
}

// waiting is clients whose commands wait in a frozen Redis.
type waiting struct {
	t    *testing.T
	all  []*client
	next int
}

func newWaiting(t *testing.T, s *server) *waiting {
	w := &waiting{t: t}
	for range 12 {
		c := s.client()
		if got := c.do("GET", "k"); !got.ErrorIs("MASTERDOWN") {
			t.Fatalf("GET of a fenced Redis: got %+v", got)
		}
		w.all = append(w.all, c)
	}
	return w
}

// ask has the next third of them read and write.
func (w *waiting) ask() {
	for range len(w.all) / 3 {
		b := resp.Append(nil, "GET", "k")
		b = resp.Append(b, "SET", "k", "queued")
		if _, err := w.all[w.next].nc.Write(resp.Append(b, "GET", "k")); err != nil {
			w.t.Fatal(err)
		}
		w.next++
	}
}

// answers counts the reads and the writes that were not refused.
func (w *waiting) answers() (reads, writes int) {
	for _, c := range w.all {
		c.nc.SetDeadline(time.Now().Add(patience))
		for i := range 3 {
			re, err := resp.Read(c.r)
			if err != nil {
				break
			}
			switch {
			case re.IsError():
			case i == 1:
				writes++
			default:
				reads++
			}
		}
	}
	return reads, writes
}

// A step away from the fence was sent to a Redis that froze at that moment, and
// something else is wanted before it wakes.
func TestFenceIsQueuedBehindAStepThatWasNotAnswered(t *testing.T) {
	master := startRedis(t)
	for _, tt := range []struct {
		name      string
		step, now watchdog.Gate
	}{
		{"opened, then refused", watchdog.Gate{Access: watchdog.Lock, Open: true}, refuse()},
		{"opened, then no longer", watchdog.Gate{Access: watchdog.Lock, Open: true}, watchdog.Gate{Access: watchdog.Lock}},
		{"opened, then left alone", watchdog.Gate{Access: watchdog.Lock, Open: true}, watchdog.Gate{Access: watchdog.Leave}},
		{"following, then refused", watchdog.Gate{Access: watchdog.Follow, Master: watchdog.Address(master.address())}, refuse()},
	} {
		t.Run(tt.name, func(t *testing.T) {
			frozen := make(chan *waiting, 1)
			l := shutFor(t, func(s *server) {
				w := newWaiting(t, s)
				s.freeze()
				w.ask()
				frozen <- w
			})
			l.Want(tt.step)
			w := <-frozen
			l.queues(1)
			w.ask()
			l.Want(tt.now)
			l.queuesFence(2)
			w.ask()
			l.s.signal(syscall.SIGCONT)
			if reads, writes := w.answers(); reads != 0 || writes != 0 {
				t.Errorf("answered on waking: got %d reads and %d writes, want none", reads, writes)
			}
			l.staysShut()
		})
	}
}

// The same on a connection that has ended meanwhile: Redis reads what came
// first on it, and the fence from another. Reads that were sent in between may
// be answered; it ends shut, and writes never are.
func TestFenceFollowsAnOpenOnAConnectionThatEnded(t *testing.T) {
	frozen := make(chan *waiting, 1)
	l := shutFor(t, func(s *server) {
		w := newWaiting(t, s)
		s.freeze()
		w.ask()
		frozen <- w
	})
	l.Want(watchdog.Gate{Access: watchdog.Lock, Open: true})
	w := <-frozen
	l.queues(1)
	w.ask()
	l.Gate.mu.Lock()
	h := l.primary
	l.Gate.mu.Unlock()
	h.close()
	eventually(t, "a spare takes its place", func() bool { l.Gate.mu.Lock(); defer l.Gate.mu.Unlock(); return l.primary != nil && l.primary != h })
	l.Want(refuse())
	l.queues(1)
	w.ask()
	l.s.signal(syscall.SIGCONT)
	reads, writes := w.answers()
	if writes != 0 {
		t.Errorf("answered on waking: got %d writes, want none", writes)
	}
	t.Logf("%d reads were answered", reads)
	l.staysShut()
}

// A fence was under way when the want went to open and back: the second one
// does not wait for the first.
func TestFenceIsQueuedBehindAnOpenThatFollowedAFence(t *testing.T) {
	l := shutFor(t, func(*server) {})
	l.Want(watchdog.Gate{Access: watchdog.Lock, Open: true})
	l.sees("a locked master", func(r watchdog.Redis) bool { return r.Role == watchdog.Master && r.Locked })
	l.Want(watchdog.Gate{Access: watchdog.Leave})
	w := &waiting{t: t}
	for range 12 {
		w.all = append(w.all, l.s.client())
	}
	l.s.freeze()
	l.sees("silence", func(r watchdog.Redis) bool { return r.Answer == watchdog.Silent })
	before, _ := l.unanswered()
	l.Want(refuse())
	l.queuesFence(len(before) + 1)
	w.ask()
	open := watchdog.Gate{Access: watchdog.Lock, Open: true}
	l.Want(open)
	given := make(chan struct{})
	go func() {
		defer close(given)
		l.change(t.Context(), open, openScript(l.commands, "10")) // the worker sends it when a look was answered just before
	}()
	l.queues(len(before) + 2)
	w.ask()
	l.Want(refuse())
	l.queuesFence(len(before) + 3)
	w.ask()
	l.s.signal(syscall.SIGCONT)
	<-given
	reads, writes := w.answers()
	if writes != 0 {
		t.Errorf("answered on waking: got %d writes, want none", writes)
	}
	t.Logf("%d reads were answered", reads)
	l.staysShut()
}
