package sentinel

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/redis-watchdog/redis-watchdog/lab"
	"github.com/redis-watchdog/redis-watchdog/watchdog"
)

// BenchmarkPoll is one round with one real Sentinel for so many groups, lean and
// full, without goroutines in between; BenchmarkTally what is done with an answer.
func BenchmarkPoll(b *testing.B) {
	const most = 40
	l := lab.Loopback(b)
	h := l.Host("a")
	var monitors []lab.Monitor
	r := h.Redis(lab.RedisConfig{})
	for i := range most {
		monitors = append(monitors, lab.Monitor{Group: fmt.Sprintf("g%d", i), Master: r, Quorum: 1, DownAfter: 10 * time.Second})
	}
	s := h.Sentinel(lab.SentinelConfig{Monitors: monitors})
	for _, groups := range []int{1, most} {
		for _, full := range []bool{false, true} {
			b.Run(fmt.Sprintf("groups=%d/full=%v", groups, full), func(b *testing.B) {
				conn, err := dial(b.Context(), s.Address, s.Address, nil)
				if err != nil {
					b.Fatal(err)
				}
				l := newLink(conn, "", "", false)
				defer l.close()
				c := &conversation{set: NewConversations(lab.Now)}
				var parties []*party
				for i := range groups {
					w, err := New(Config{Group: monitors[i].Group, Sentinels: addresses(s), Now: lab.Now, Conversations: c.set})
					if err != nil {
						b.Fatal(err)
					}
					parties = append(parties, &party{w: w, key: s.Address, c: c})
				}
				polled, own := cpu(s.PID()), ownCPU()
				b.ReportAllocs()
				for b.Loop() {
					c.batch = c.batch[:0]
					for _, p := range parties {
						c.batch = append(c.batch, asked{p, full})
					}
					if good, _, err := c.pollOnce(b.Context(), l); err != nil || !good {
						b.Fatal(good, err)
					}
				}
				b.ReportMetric(float64((cpu(s.PID())-polled).Nanoseconds())/float64(b.N), "sentinel-ns/op")
				b.ReportMetric(float64((ownCPU()-own).Nanoseconds())/float64(b.N), "own-ns/op")
			})
		}
	}
}

func BenchmarkTally(b *testing.B) {
	g := newGroup(3)
	var answers [3]Answer
	for i := range answers {
		answers[i] = g.says(i, t0, us, 1)
		g.Hear(key(i), answers[i])
		answers[i].Full = false
	}
	b.ReportAllocs()
	at := t0
	for b.Loop() {
		at += sec / 100
		for i := range answers {
			answers[i].SentAt = at
			g.Hear(key(i), answers[i])
		}
		g.Settle(at)
		_ = g.Tally(us, at)
	}
}

// BenchmarkSteadyState compares the CPU of a Watcher at its quietest with that
// of one redis-sentinel beside it, and what the polls cost that Sentinel.
func BenchmarkSteadyState(b *testing.B) {
	l := lab.Loopback(b)
	g := l.Group(lab.GroupConfig{DownAfter: 5 * time.Second})
	const span = 10 * time.Second
	alone := measure(l, span, g.Sentinels[0])
	w, err := New(Config{Group: g.Name, Sentinels: addresses(g.Sentinels...), Now: lab.Now})
	if err != nil {
		b.Fatal(err)
	}
	w.Local("x", func(watchdog.Sentinels) {}, func(watchdog.Announcement) {}).Identify("", watchdog.Address(g.Redis[0].Address))
	ctx, cancel := context.WithCancel(b.Context())
	done := make(chan error, 1)
	go func() { done <- w.Run(ctx) }()
	l.Pause(time.Second)
	own, polls := ownCPU(), w.View().Sentinels[0].Polls
	polled := measure(l, span, g.Sentinels[0])
	own, polls = ownCPU()-own, w.View().Sentinels[0].Polls-polls
	cancel()
	if err := <-done; !errors.Is(err, context.Canceled) {
		b.Fatal(err)
	}
	b.ReportMetric(0, "ns/op")
	b.ReportMetric(float64(own.Microseconds())/span.Seconds(), "us/s")
	b.ReportMetric(float64(alone.Microseconds())/span.Seconds(), "sentinel-us/s")
	b.ReportMetric(float64(polled.Microseconds())/span.Seconds(), "polled-sentinel-us/s")
	b.ReportMetric(float64(polls)/span.Seconds(), "polls/s")
}

func measure(l *lab.Lab, span time.Duration, s *lab.Sentinel) time.Duration {
	before := cpu(s.PID())
	l.Pause(span)
	return cpu(s.PID()) - before
}

// cpu is what a process has used up to now, from its scheduler's nanoseconds.
func cpu(pid int) time.Duration {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/schedstat", pid))
	if err != nil {
		return 0
	}
	ns, _ := strconv.ParseInt(strings.Fields(string(text))[0], 10, 64)
	return time.Duration(ns)
}

func ownCPU() time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		return 0
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}
