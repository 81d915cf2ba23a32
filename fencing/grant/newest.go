package grant

import (
	"context"
	"fmt"
	"sync"
	"time"
)

// newest hands the newest of some values to one taker.
type newest[T any] struct {
	ready chan struct{} // holds one

	mu      sync.Mutex
	value   T
	count   uint64 // how many were set
	taken   uint64 // of them, up to which was taken
	through uint64 // and up to which was dealt with
}

func newNewest[T any]() *newest[T] { return &newest[T]{ready: make(chan struct{}, 1)} }

func (n *newest[T]) set(v T) {
	n.mu.Lock()
	n.value = v
	n.count++
	n.mu.Unlock()
	wake(n.ready)
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
	n.taken = n.count
	return n.value, nil
}

// retry lets the next take return the same value again, after a pause.
func (n *newest[T]) retry(ctx context.Context, pause time.Duration) {
	select {
	case <-ctx.Done():
	case <-time.After(pause):
	}
	wake(n.ready)
}

// again lets the value be taken once more, and counts it as not dealt with.
func (n *newest[T]) again() {
	n.mu.Lock()
	n.count++
	n.mu.Unlock()
	wake(n.ready)
}

// settle says that what was last taken has been dealt with, or not.
func (n *newest[T]) settle(done bool) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if done {
		n.through = n.taken
	}
}

// settled is whether the newest has been dealt with.
func (n *newest[T]) settled() bool {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.through == n.count
}
