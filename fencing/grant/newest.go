package grant

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/redis-watchdog/redis-watchdog/watchdog/signal"
)

// newest hands the newest of some values to one taker.
type newest[T any] struct {
	ready signal.Signal

	mu      sync.Mutex
	value   T
	count   uint64 // how many were set
	taken   uint64 // of them, up to which was taken
	through uint64 // and up to which was dealt with

	// What became of each value, where that is counted: one is passed over when a
	// newer one is set and it was never dealt with.
	passed *atomic.Uint64 // nil: nobody counts
	sets   uint64         // how many values there were; one taken again is no other
	done   bool           // the newest was dealt with, if perhaps not since again
	busy   bool           // one was taken and not settled yet
	atTake struct {       // sets and done, when it was
		sets uint64
		done bool
	}
}

func newNewest[T any]() *newest[T] { return &newest[T]{ready: signal.New()} }

func (n *newest[T]) set(v T) {
	n.mu.Lock()
	if underWay := n.busy && n.atTake.sets == n.sets; n.sets > 0 && !n.done && !underWay {
		n.pass()
	}
	n.value, n.done = v, false
	n.sets++
	n.count++
	n.mu.Unlock()
	n.ready.Raise()
}

// take waits for a value newer than the one last taken, or for a retry.
func (n *newest[T]) take(ctx context.Context) (T, error) {
	var zero T
	select {
	case <-ctx.Done():
		return zero, fmt.Errorf("take newest: %w", context.Cause(ctx))
	case <-n.ready:
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	n.taken, n.busy = n.count, true
	n.atTake.sets, n.atTake.done = n.sets, n.done
	return n.value, nil
}

// retry lets the next take return the same value again, after a pause.
func (n *newest[T]) retry(ctx context.Context, pause time.Duration) {
	select {
	case <-ctx.Done():
	case <-time.After(pause):
	}
	n.ready.Raise()
}

// again lets the value be taken once more, and counts it as not dealt with.
func (n *newest[T]) again() {
	n.mu.Lock()
	n.count++
	n.mu.Unlock()
	n.ready.Raise()
}

// settle says that what was last taken has been dealt with, or not.
func (n *newest[T]) settle(done bool) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.busy = false
	switch newer := n.atTake.sets != n.sets; {
	case done:
		n.through = n.taken
		n.done = n.done || !newer
	case newer && !n.atTake.done:
		n.pass()
	}
}

// pass counts one value that is never dealt with. Who calls it holds mu.
func (n *newest[T]) pass() {
	if n.passed != nil {
		n.passed.Add(1)
	}
}

// settled is whether the newest has been dealt with.
func (n *newest[T]) settled() bool {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.through == n.count
}
