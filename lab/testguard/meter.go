package main

// How still the machine stood.

import (
	"context"
	"fmt"
	"io"
	"sync"
	"time"
)

const (
	beat       = 10 * time.Millisecond
	noted      = 100 * time.Millisecond // a gap worth keeping
	standstill = 250 * time.Millisecond // a gap worth naming: a twelfth of the tests' down-after
)

// meter sleeps for a beat, again and again, and keeps when it was woken late:
// then nobody ran, for it asks for next to nothing.
type meter struct {
	cancel chan struct{}
	once   sync.Once

	mu   sync.Mutex
	gaps []gap
	last time.Time // the last beat
}

type gap struct{ from, to time.Time }

func newMeter() *meter { return &meter{cancel: make(chan struct{}), last: time.Now()} }

func (m *meter) stop() { m.once.Do(func() { close(m.cancel) }) }

func (m *meter) run(ctx context.Context) {
	t := time.NewTicker(beat)
	defer t.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-m.cancel:
			return
		case <-t.C:
		}
		m.tick(time.Now())
	}
}

func (m *meter) tick(now time.Time) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if now.Sub(m.last) >= noted {
		m.gaps = append(m.gaps, gap{m.last, now})
	}
	m.last = now
}

// worst is the longest gap that touches the time between from and to.
func (m *meter) worst(from, to time.Time) time.Duration {
	m.mu.Lock()
	defer m.mu.Unlock()
	longest := time.Duration(0)
	for _, g := range m.gaps {
		if g.to.After(from) && g.from.Before(to) {
			longest = max(longest, g.to.Sub(g.from))
		}
	}
	return longest
}

func (m *meter) report(out io.Writer) {
	m.mu.Lock()
	defer m.mu.Unlock()
	n, sum, longest := 0, time.Duration(0), time.Duration(0)
	for _, g := range m.gaps {
		d := g.to.Sub(g.from)
		sum, longest = sum+d, max(longest, d)
		if d >= standstill {
			n++
		}
	}
	fmt.Fprintf(out, "\nthe machine stood still %d times for %v or longer, at most for %v; %v in all\n",
		n, standstill, longest.Round(time.Millisecond), sum.Round(time.Second))
}
