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

// BenchmarkPoll is one round with one real Sentinel, lean and full, without
// goroutines in between; BenchmarkTally what is done with an answer.
func BenchmarkPoll(b *testing.B) {
	l := lab.Loopback(b)
	g := l.Group(lab.GroupConfig{DownAfter: 10 * time.Second})
	w, err := New(Config{Group: g.Name, Sentinels: addresses(g.Sentinels[0]), Now: lab.Now})
	if err != nil {
		b.Fatal(err)
	}
	for _, full := range []bool{false, true} {
		b.Run(fmt.Sprintf("full=%v", full), func(b *testing.B) {
			conn, err := w.cfg.Dial(b.Context(), "tcp", g.Sentinels[0].Address)
			if err != nil {
				b.Fatal(err)
			}
			defer conn.Close()
			r := &replies{src: conn}
			c := &conversation{w: w}
			b.ReportAllocs()
			for b.Loop() {
				c.full.Store(full)
				if _, _, err := c.pollOnce(conn, r); err != nil {
					b.Fatal(err)
				}
			}
		})
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
