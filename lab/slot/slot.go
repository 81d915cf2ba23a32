// Package slot shares the machine's processors among tests with real servers.
//
// A group with its clients keeps a tenth to a fifth of a processor busy, and for a
// moment, while its processes start, all there is. A watchdog that is not run for
// half a second is, to its Redis, a watchdog that is no more; so there are never
// more groups at a time than the processors can carry, whatever -p and -parallel
// say.
package slot

import (
	"fmt"
	"net"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"
)

// many is how many slots the machine has: two for each processor, and one, as
// there is always one whose test does nothing but wait.
func many() int { return 2*runtime.NumCPU() + 1 }

// Take waits for one of the machine's slots and holds it until the test ends. All
// test binaries of the machine share them, in every check-out; the parts of one
// test share its own, so that none waits for itself. Labs and booted hosts take
// theirs by themselves.
func Take(t testing.TB) {
	t.Helper()
	test, _, _ := strings.Cut(t.Name(), "/")
	ours.Lock()
	s := ours.slots[test]
	if s == nil {
		s = &slot{taken: make(chan struct{})}
		ours.slots[test] = s
		go s.take(many())
	}
	s.users++
	ours.Unlock()
	<-s.taken
	t.Cleanup(func() {
		ours.Lock()
		defer ours.Unlock()
		if s.users--; s.users == 0 {
			s.held.Close()
			delete(ours.slots, test)
		}
	})
}

// ours is this process's slots, by the name of the top-level test.
var ours = struct {
	sync.Mutex
	slots map[string]*slot
}{slots: map[string]*slot{}}

type slot struct {
	users int
	held  net.Listener // an abstract unix socket: it vanishes with its owner
	taken chan struct{}
}

// turn is whose of this process's tests asks: one at a time, or a process with
// many of them would leave nothing to one with a single test.
var turn sync.Mutex

func (s *slot) take(of int) {
	defer close(s.taken)
	turn.Lock()
	defer turn.Unlock()
	for {
		for n := range of {
			if l, err := net.Listen("unix", fmt.Sprintf("@redis-watchdog-lab-slot-%d", n)); err == nil {
				s.held = l
				return
			}
		}
		time.Sleep(20 * time.Millisecond)
	}
}
