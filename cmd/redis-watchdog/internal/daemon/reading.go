package daemon

// Files of this host that may never answer.

import (
	"context"
	"fmt"
	"time"

	"github.com/redis-watchdog/redis-watchdog/watchdog"
	"github.com/redis-watchdog/redis-watchdog/watchdog/agent"
)

// reading reads files in a goroutine, so that one that hangs (a network mount
// whose server is gone, a process whose memory is locked) holds up no node report.
// Nothing ends such a read: its goroutine is waited for only as long as the
// reader has patience, and until it comes back nothing else is read. There is
// one at most, whatever hangs and for how long. It belongs to one goroutine.
type reading struct {
	busy  chan struct{} // holds one while it reads
	what  string        // it reads, or read last
	since watchdog.Instant
}

func newReading() *reading { return &reading{busy: make(chan struct{}, 1)} }

// read is what f reads. An error says that ctx ended first, or that an earlier
// one hangs still. f must touch nothing that anybody else uses: it may go on
// after read has returned.
func read[T any](ctx context.Context, r *reading, what string, f func() T) (T, error) {
	var none T
	select {
	case r.busy <- struct{}{}:
	default:
		return none, r.silent()
	}
	r.what, r.since = what, agent.Boottime()
	done := make(chan T, 1)
	go func() {
		got := f()
		<-r.busy
		done <- got
	}()
	select {
	case got := <-done:
		return got, nil
	case <-ctx.Done():
		return none, r.silent()
	}
}

func (r *reading) silent() error {
	return fmt.Errorf("a file of this host does not answer, for %s now: %s", agent.Boottime().Sub(r.since).Round(100*time.Millisecond), r.what)
}
