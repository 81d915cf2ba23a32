package daemon

// A verdict that goes to and fro. On a host, or with an etcd, that is short of
// processor a renewal comes late now and again, and the master goes from row 9 to row
// 11 and back: nothing changes for its clients. Told each time, with a line and a
// record for every group, it would be what the next renewal waits for. The first few
// are told at once; then the newest is, once a minute, with how many it stands for.

import (
	"context"
	"sync"
	"time"

	"github.com/redis-watchdog/redis-watchdog/watchdog"
	"github.com/redis-watchdog/redis-watchdog/watchdog/agent"
	"github.com/redis-watchdog/redis-watchdog/watchdog/signal"
)

const (
	flapsAtOnce = 6           // are told as they come: three times there and back
	flapsApart  = time.Minute // another is told, or one more may be told at once
)

// flaps holds back what is told too often, for one node.
type flaps struct {
	tell func(agent.Step) // called in the order of the steps; it must not block
	now  func() watchdog.Instant
	wake signal.Signal // a step is held back

	mu     sync.Mutex
	spent  int              // of flapsAtOnce
	filled watchdog.Instant // until when what was spent has come back
	held   agent.Step       // the newest that was held back
	behind int              // how many were, it among them; zero: none
}

func newFlaps(now func() watchdog.Instant, tell func(agent.Step)) *flaps {
	return &flaps{tell: tell, now: now, wake: signal.New(), filled: now()}
}

// flap is whether nothing changes for clients by a step: the master serves, with
// etcd's word or with the Sentinels'.
func flap(s agent.Step) bool {
	row := watchdog.Row(s.Row)
	return s.From == s.To && s.To == watchdog.Serve.String() && (row == watchdog.RowServe || row == watchdog.RowCertified)
}

// take tells a step, or holds it back.
func (f *flaps) take(s agent.Step) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.fill()
	switch {
	case !flap(s):
		f.flushHeld()
		f.tell(s)
	case f.behind == 0 && f.spent < flapsAtOnce:
		f.spent++
		f.tell(s)
	default:
		f.held = s
		f.behind++
		f.wake.Raise()
	}
}

// fill gives back what was spent, one a minute.
func (f *flaps) fill() {
	now := f.now()
	if f.spent == 0 {
		f.filled = now
	}
	for ; f.spent > 0 && now.Sub(f.filled) >= flapsApart; f.spent-- {
		f.filled = f.filled.Add(flapsApart)
	}
}

func (f *flaps) flushHeld() {
	if f.behind == 0 {
		return
	}
	s := f.held
	s.Before = f.behind - 1
	f.held, f.behind = agent.Step{}, 0
	f.tell(s)
}

// flush tells what is held back.
func (f *flaps) flush() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.flushHeld()
}

// due tells what is held back when it is its time, and is how long that takes yet;
// zero: nothing is held back.
func (f *flaps) due() time.Duration {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.fill()
	switch {
	case f.behind == 0:
		return 0
	case f.spent < flapsAtOnce:
		f.spent++
		f.flushHeld()
		return 0
	}
	return max(f.filled.Add(flapsApart).Sub(f.now()), time.Millisecond)
}

// run tells what is held back in its time, and the rest at the end.
func (f *flaps) run(ctx context.Context) error {
	defer f.flush()
	for {
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-f.wake:
		}
		for left := f.due(); left > 0; left = f.due() {
			wait := time.NewTimer(left)
			select {
			case <-ctx.Done():
				wait.Stop()
				return context.Cause(ctx)
			case <-wait.C:
			}
		}
	}
}
