package gate

import (
	"context"
	"sync"

	"github.com/redis-watchdog/redis-watchdog/watchdog/signal"
)

// jobQueue does what may wait for a disk or for systemd, one job after the
// other, so that nobody else has to.
type jobQueue struct {
	mu   sync.Mutex
	jobs []func()
	more signal.Signal
}

func newJobQueue() *jobQueue { return &jobQueue{more: signal.New()} }

// do queues job; the channel is closed when it has run. It never blocks.
func (s *jobQueue) do(job func()) <-chan struct{} {
	done := make(chan struct{})
	s.mu.Lock()
	s.jobs = append(s.jobs, func() { job(); close(done) })
	s.mu.Unlock()
	s.more.Raise()
	return done
}

// run works until ctx is done, and what was queued by then.
func (s *jobQueue) run(ctx context.Context) {
	for {
		s.mu.Lock()
		jobs := s.jobs
		s.jobs = nil
		s.mu.Unlock()
		for _, job := range jobs {
			job()
		}
		if len(jobs) > 0 {
			continue
		}
		select {
		case <-s.more:
		case <-ctx.Done():
			return
		}
	}
}
