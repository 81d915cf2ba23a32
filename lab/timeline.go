package lab

import (
	"fmt"
	"io"
	"slices"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"github.com/redis-watchdog/redis-watchdog/watchdog"
)

// Now is the one clock of a lab: CLOCK_BOOTTIME, as in the watchdog itself.
func Now() watchdog.Instant {
	var ts unix.Timespec
	// It cannot fail with a clock every kernel has had since 2.6.39.
	if err := unix.ClockGettime(unix.CLOCK_BOOTTIME, &ts); err != nil {
		panic("lab: no CLOCK_BOOTTIME: " + err.Error())
	}
	return watchdog.Instant(ts.Nano())
}

// Moment is one line of the timeline.
type Moment struct {
	At   watchdog.Instant
	Who  string // a process or host; empty: the lab itself
	What string
}

type timeline struct {
	start watchdog.Instant
	wall  time.Time // of start, to find a moment in the logs of others

	mu      sync.Mutex
	moments []Moment
	follow  func(Moment)
}

func newTimeline() *timeline {
	return &timeline{start: Now(), wall: time.Now()}
}

func (l *timeline) add(m Moment) {
	l.mu.Lock()
	l.moments = append(l.moments, m)
	follow := l.follow
	l.mu.Unlock()
	if follow != nil {
		follow(m)
	}
}

// Mark writes a line into the timeline and returns its time. The lab marks by
// itself what it does to hosts, links and processes.
func (l *Lab) Mark(format string, args ...any) watchdog.Instant {
	now := Now()
	l.timeline.add(Moment{At: now, What: fmt.Sprintf(format, args...)})
	return now
}

// MarkAt is Mark for something that somebody (who) did at a known time.
func (l *Lab) MarkAt(at watchdog.Instant, who, format string, args ...any) {
	l.timeline.add(Moment{At: at, Who: who, What: fmt.Sprintf(format, args...)})
}

// Follow calls f with every further moment, from the goroutine it happens in.
func (l *Lab) Follow(f func(Moment)) {
	l.timeline.mu.Lock()
	defer l.timeline.mu.Unlock()
	l.timeline.follow = f
}

// Timeline is every moment so far, in the order of their times.
func (l *Lab) Timeline() []Moment {
	l.timeline.mu.Lock()
	moments := slices.Clone(l.timeline.moments)
	l.timeline.mu.Unlock()
	slices.SortStableFunc(moments, func(a, b Moment) int { return int(a.At - b.At) })
	return moments
}

// Since is the time from the making of the lab to t.
func (l *Lab) Since(t watchdog.Instant) time.Duration { return t.Sub(l.timeline.start) }

// Wall is t as the logs of the processes have it (as long as nobody sets the
// machine's clock). It is for people.
func (l *Lab) Wall(t watchdog.Instant) time.Time { return l.timeline.wall.Add(l.Since(t)) }

// WriteTimeline prints the timeline, one moment a line.
func (l *Lab) WriteTimeline(w io.Writer) {
	for _, m := range l.Timeline() {
		fmt.Fprintln(w, l.Format(m))
	}
}

// Format is a moment as a line of the timeline.
func (l *Lab) Format(m Moment) string {
	return fmt.Sprintf("%9.3fs  %s  %-12s %s", l.Since(m.At).Seconds(), l.Wall(m.At).Format("15:04:05.000"), m.Who, m.What)
}
