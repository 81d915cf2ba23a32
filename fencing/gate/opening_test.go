package gate

// A fenced Redis that is opened has its fence from that instant on, whoever stands
// still then.

import (
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/redis-watchdog/redis-watchdog/watchdog"
)

// openArmedFor wants a fenced Redis opened under a fence that fires in that time.
func openArmedFor(d time.Duration) watchdog.Gate {
	return watchdog.Gate{Access: watchdog.Lock, Open: true, Arm: bootTime().Add(d)}
}

// fencesItself wants Redis to be shut by nobody's doing, soon after it was opened.
func (s *server) fencesItself(opened time.Time) {
	s.t.Helper()
	eventually(s.t, "Redis fences itself", func() bool { return strings.HasPrefix(s.role(), "slave of 127.0.0.1:0") })
	s.t.Logf("it fenced itself %v after the opening was answered", time.Since(opened).Round(time.Millisecond))
	if got := s.do("GET", "k"); !got.ErrorIs("MASTERDOWN") {
		s.t.Errorf("GET: got %+v", got)
	}
}

// The watchdog stands still from the moment in which the opening was answered: it
// has armed nothing since.
func TestOpenedRedisFencesItselfWhenItsWatchdogStandsStill(t *testing.T) {
	openedWhileItsWatchdogStandsStill(t, startRedis(t))
}

func openedWhileItsWatchdogStandsStill(t *testing.T, s *server) {
	s.do("SET", "k", "v")
	still, opened := make(chan struct{}), make(chan time.Time, 1)
	goesOn := sync.OnceFunc(func() { close(still) })
	l := startGate(t, s, func(c *Config) {
		c.Failpoint = func(name string) {
			if name == "gate.unfence.sent" {
				select {
				case opened <- time.Now():
				default:
				}
				<-still
			}
		}
	})
	t.Cleanup(goesOn)
	l.shut()
	l.Want(openArmedFor(time.Minute))
	at := <-opened
	if got := s.role(); !strings.HasPrefix(got, "master") && time.Since(at) < openFor {
		t.Fatalf("role: got %s, want a master", got)
	}
	s.fencesItself(at)
	goesOn()
	l.Want(openArmedFor(time.Minute))
	l.sees("a master under an armed fence", func(r watchdog.Redis) bool { return r.Role == watchdog.Master && r.ArmedFor != 0 })
}

// The same of one that dies: its socket is kept, the next watchdog adopts it, and
// takes neither the answers to the opening for a fence that fired nor the fence for
// armed later than it is.
func TestOpenedRedisFencesItselfWhenItsWatchdogDies(t *testing.T) {
	s := startRedis(t)
	kept := newShelf(t)
	still, opened := make(chan struct{}), make(chan time.Time, 1)
	goesOn := sync.OnceFunc(func() { close(still) })
	l := startGate(t, s, func(c *Config) {
		c.Store = kept
		c.Failpoint = func(name string) {
			if name == "gate.unfence.sent" {
				select {
				case opened <- time.Now():
				default:
				}
				<-still
			}
		}
	})
	t.Cleanup(goesOn)
	s.do("SET", "k", "v")
	l.shut()
	l.Want(openArmedFor(time.Minute))
	at := <-opened
	next := startGate(t, s, func(c *Config) { c.Adopted, c.Store, c.Originals = kept.take(), kept, l.originals() })
	r := next.sees("the fence that is armed", func(r watchdog.Redis) bool { return r.Role == watchdog.Master && r.ArmedFor != 0 })
	if left := r.ArmedFor.Sub(bootTime()); left > openFor+100*time.Millisecond {
		t.Errorf("armed for %v more, want %v at the most", left, openFor)
	}
	s.fencesItself(at)
	next.sees("the fence that fired", func(r watchdog.Redis) bool { return r.Role == watchdog.Nowhere && r.Refusing })
}

// slow is a store that takes its time.
type slow struct {
	*shelf
	takes time.Duration
}

func (s slow) Store(name string, f *os.File) error {
	time.Sleep(s.takes)
	return s.shelf.Store(name, f)
}

// However long the socket took to be kept, the fence that goes with an opening fires
// before the time that is wanted.
func TestFenceOfAnOpeningIsBoundedWhenItIsSent(t *testing.T) {
	type sent struct{ had, most time.Duration }
	all := make(chan sent, 100)
	var of atomic.Pointer[Gate]
	l := startGate(t, startRedis(t), func(c *Config) {
		c.Store = slow{newShelf(t), storeWait * 3 / 4}
		c.Failpoint = func(name string) {
			g := of.Load()
			if name != "gate.unfence.sent" || g == nil {
				return
			}
			g.mu.Lock()
			defer g.mu.Unlock()
			for _, a := range g.fences {
				if a.opens != 0 {
					all <- sent{a.had, g.want.Arm.Sub(a.xread.sentAt) - armGuard}
				}
			}
		}
	})
	of.Store(l.Gate)
	l.shut()
	for {
		l.Want(openArmedFor(openFor - storeWait/4))
		select {
		case s := <-all:
			if s.had > s.most {
				t.Errorf("sent to fire after %v, want %v at the most", s.had, s.most)
			}
			return
		case <-time.After(2 * time.Second): // it was too late for that want
		}
	}
}

// Redis freezes just before the opening is sent; something else is wanted before it
// wakes. The opening and the fence wait on two connections: whichever is read first,
// nobody is answered, and it ends shut.
func TestFenceOvertakesAnOpeningThatWasNotAnswered(t *testing.T) {
	fenceOvertakes(t, func() *server { return startRedis(t) })
}

func fenceOvertakes(t *testing.T, start func() *server) {
	for _, tt := range []struct {
		name string
		now  watchdog.Gate
	}{
		{"refused", refuse()},
		{"no longer", watchdog.Gate{Access: watchdog.Lock}},
		{"left alone", watchdog.Gate{Access: watchdog.Leave}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			frozen := make(chan *waiting, 1)
			l := shutOn(t, start(), func(s *server) {
				w := newWaiting(t, s)
				s.freeze()
				w.ask()
				frozen <- w
			})
			l.Want(openArmedFor(time.Minute))
			w := <-frozen
			eventually(t, "the opening is on its way", func() bool { return l.openingSent() })
			w.ask()
			l.Want(tt.now)
			l.queuesFence(1)
			w.ask()
			l.s.signal(syscall.SIGCONT)
			if reads, writes := w.answers(); reads != 0 || writes != 0 {
				t.Errorf("answered on waking: got %d reads and %d writes, want none", reads, writes)
			}
			l.staysShut()
		})
	}
}

// Redis freezes just before the opening is sent, and nobody wants anything else: it
// wakes open, for openFor at the most.
func TestOpeningThatWasHeldUpIsBoundedByItsFence(t *testing.T) {
	still := make(chan struct{})
	goesOn := sync.OnceFunc(func() { close(still) })
	s := startRedis(t)
	s.do("SET", "k", "v")
	begun := make(chan struct{})
	var once sync.Once
	l := startGate(t, s, func(c *Config) {
		c.Failpoint = func(name string) {
			switch name {
			case "gate.unfence.begun":
				once.Do(func() { s.freeze(); close(begun) })
			case "gate.unfence.sent":
				<-still
			}
		}
	})
	t.Cleanup(goesOn)
	t.Cleanup(func() { s.signal(syscall.SIGCONT) })
	l.shut()
	l.Want(openArmedFor(time.Minute))
	<-begun
	eventually(t, "the opening is on its way", func() bool { return l.openingSent() })
	time.Sleep(stepTimeout / 2)
	s.signal(syscall.SIGCONT)
	s.fencesItself(time.Now())
}

// shut fences Redis, and waits until spare connections are there.
func (l *lab) shut() {
	l.t.Helper()
	eventually(l.t, "the originals are recorded", func() bool { return l.originals().Known })
	l.Want(refuse())
	l.sees("Redis refusing", func(r watchdog.Redis) bool { return r.Refusing })
	eventually(l.t, "the fence is in redis.conf", func() bool { return l.s.inFile(keyStale) == "no" })
	eventually(l.t, "spares are there", func() bool { l.Gate.mu.Lock(); defer l.Gate.mu.Unlock(); return len(l.spares) >= wantedSpares })
}

func (l *lab) openingSent() bool {
	l.Gate.mu.Lock()
	defer l.Gate.mu.Unlock()
	return l.opening != nil
}
