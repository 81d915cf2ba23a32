package main

// How still the machine stood.

import (
	"context"
	"fmt"
	"io"
	"math"
	"os"
	"runtime"
	"sync"
	"time"

	"github.com/redis-watchdog/redis-watchdog/lab/pace"
)

const (
	beat       = 10 * time.Millisecond
	noted      = 100 * time.Millisecond // a gap worth keeping
	standstill = 250 * time.Millisecond // a gap that no test of a second's deadline is fair in
	calmFor    = 10 * time.Second       // without such a gap

	measureFor = 10 * time.Second       // before the tests
	fair       = 200 * time.Millisecond // the gap that the tests' own times allow for: a fifteenth of the least down-after
	maxPace    = 4                      // beyond it a run would take too long
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

// waitCalm waits until the machine has run without a standstill for a while, at
// most so long, and says how long it waited.
func (m *meter) waitCalm(ctx context.Context, most time.Duration) time.Duration {
	begun := time.Now()
	since := begun
	for time.Since(begun) < most {
		now := time.Now()
		if m.worst(since, now) >= standstill {
			since = now
		}
		if now.Sub(since) >= calmFor {
			break
		}
		select {
		case <-ctx.Done():
			return time.Since(begun)
		case <-time.After(20 * beat):
		}
	}
	return time.Since(begun)
}

// setPace tells the tests, by the environment, how much longer their times must
// be on this machine, and whether they must be longer.
func setPace(ctx context.Context, out io.Writer, m *meter) (stretched bool, err error) {
	if set := os.Getenv(pace.Variable); set != "" {
		fmt.Fprintf(out, "%s=%s as given\n", pace.Variable, set)
		return set != "1", nil
	}
	from := time.Now()
	load(ctx, measureFor)
	worst := m.worst(from, time.Now())
	f := stretch(worst)
	fmt.Fprintf(out, "the machine stood still for at most %v in %v under load: the tests' times are stretched by %g\n",
		worst.Round(time.Millisecond), measureFor, f)
	return f > 1, os.Setenv(pace.Variable, fmt.Sprint(f))
}

// stretch is by how much: in halves, 1 where the gaps are fair.
func stretch(worst time.Duration) float64 {
	return min(max(1, math.Ceil(2*float64(worst)/float64(fair))/2), maxPace)
}

// load keeps all processors but a little of each busy, as the tests will.
func load(ctx context.Context, d time.Duration) {
	ctx, cancel := context.WithTimeout(ctx, d)
	defer cancel()
	var busy sync.WaitGroup
	for range runtime.GOMAXPROCS(0) {
		busy.Go(func() {
			for ctx.Err() == nil {
				for begun := time.Now(); time.Since(begun) < 4*beat/5; {
				}
				time.Sleep(beat / 5)
			}
		})
	}
	busy.Wait()
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
