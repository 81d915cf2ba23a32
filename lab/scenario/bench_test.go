package scenario

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/redis-watchdog/redis-watchdog/lab"
	"github.com/redis-watchdog/redis-watchdog/lab/watched"
)

const (
	// The watchdog gives back what its start took some seconds after it is ready.
	settle = 10 * time.Second
	window = 20 * time.Second
)

// BenchmarkSteady measures what a watchdog costs beside a master while nothing
// happens, against the same Redis before it had one, and against the Sentinel
// on the same host. The watchdog is the binary that is shipped.
func BenchmarkSteady(b *testing.B) {
	binary := shipped(b)
	w := watched.Start(b, watched.Options{
		Paused: true, Group: lab.GroupConfig{DownAfter: 5 * time.Second},
		Config: func(c *watched.Config) { delete(c.Log, "level") },
	})
	master, daemon, sentinel := w.Group.Redis[0], w.Watchdogs[0], w.Group.Sentinels[0]
	w.Pause(settle)
	before := costOf(b, w, master, func() {})
	for _, d := range w.Watchdogs {
		d.Binary = binary
		d.Restart()
		slacken(b, d.PID())
	}
	w.WaitGuarded()
	w.Pause(settle)
	watchdogBefore, sentinelBefore := usageOf(b, daemon.PID()), usageOf(b, sentinel.PID())
	began := time.Now()
	var watchdogMemory, sentinelMemory, looks int64 // sums
	after := costOf(b, w, master, func() {
		looks++
		watchdogMemory += usageOf(b, daemon.PID()).memory
		sentinelMemory += usageOf(b, sentinel.PID()).memory
	})
	took := time.Since(began)
	watchdogCPU := usageOf(b, daemon.PID()).cpu - watchdogBefore.cpu
	sentinelCPU := usageOf(b, sentinel.PID()).cpu - sentinelBefore.cpu

	b.ReportMetric(0, "ns/op")
	b.ReportMetric(after.commands-before.commands, "redis-commands/s")
	b.ReportMetric(after.us-before.us, "redis-us/s")
	b.ReportMetric(1000*watchdogCPU.Seconds()/took.Seconds(), "daemon-ms/s")
	b.ReportMetric(watchdogCPU.Seconds()/sentinelCPU.Seconds(), "cpu-of-sentinel")
	b.ReportMetric(float64(watchdogMemory/looks)/1e6, "daemon-MB")
	b.ReportMetric(float64(sentinelMemory/looks)/1e6, "sentinel-MB")
	b.ReportMetric(float64(watchdogMemory)/float64(sentinelMemory), "memory-of-sentinel")
	info, err := os.Stat(binary)
	if err != nil {
		b.Fatal(err)
	}
	b.ReportMetric(float64(info.Size())/1e6, "binary-MB")
}

// shipped is the binary as `make build` makes it.
func shipped(b *testing.B) string {
	b.Helper()
	cmd := exec.Command("make", "-s", "-C", "../..", "build")
	if text, err := cmd.CombinedOutput(); err != nil {
		b.Fatalf("build the watchdog: %v: %s", err, text)
	}
	out, err := filepath.Abs("../../bin/redis-watchdog")
	if err != nil {
		b.Fatal(err)
	}
	return out
}

// slacken does what TimerSlackNSec=1ms of the shipped unit does.
func slacken(b *testing.B, pid int) {
	b.Helper()
	threads, err := filepath.Glob(fmt.Sprintf("/proc/%d/task/*", pid))
	if err != nil || len(threads) == 0 {
		b.Fatalf("threads of %d: %d, %v", pid, len(threads), err)
	}
	for _, t := range threads {
		if err := os.WriteFile(filepath.Join("/proc", filepath.Base(t), "timerslack_ns"), []byte("1000000"), 0); err != nil {
			b.Fatal(err)
		}
	}
}

type cost struct{ commands, us float64 } // a second

// costOf is what Redis executes in a second, the lab's own INFO included. The
// commands are the mean of the window; their time is the median of its seconds:
// a machine that stands still does it for longer than all commands take, and
// Redis counts that to the command it was in. look is called every second.
func costOf(b *testing.B, w *watched.World, r *lab.Redis, look func()) cost {
	b.Helper()
	var us []float64
	began := time.Now()
	first := commandStats(b, r)
	for from := first; ; {
		at := time.Now()
		w.Pause(time.Second)
		to := commandStats(b, r)
		us = append(us, (to.us-from.us)/time.Since(at).Seconds())
		look()
		if time.Since(began) > window {
			slices.Sort(us)
			return cost{(to.commands - first.commands) / time.Since(began).Seconds(), us[len(us)/2]}
		}
		from = to
	}
}

func commandStats(b *testing.B, r *lab.Redis) cost {
	b.Helper()
	reply, err := r.Client().Info(b.Context(), "commandstats").Result()
	if err != nil {
		b.Fatal(err)
	}
	var c cost
	for line := range strings.Lines(reply) {
		name, fields, ok := strings.Cut(strings.TrimSpace(line), ":")
		if !ok || !strings.HasPrefix(name, "cmdstat_") {
			continue
		}
		for _, f := range strings.Split(fields, ",") {
			if v, ok := strings.CutPrefix(f, "calls="); ok {
				n, _ := strconv.ParseFloat(v, 64)
				c.commands += n
			}
			if v, ok := strings.CutPrefix(f, "usec="); ok {
				n, _ := strconv.ParseFloat(v, 64)
				c.us += n
			}
		}
	}
	return c
}

type usage struct {
	cpu    time.Duration
	memory int64 // resident bytes
}

func usageOf(b *testing.B, pid int) usage {
	b.Helper()
	// Of every thread, to the nanosecond; /proc/PID/stat counts in 10 ms.
	threads, err := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/schedstat", pid))
	if err != nil || len(threads) == 0 {
		b.Fatalf("threads of %d: %d, %v", pid, len(threads), err)
	}
	var u usage
	for _, name := range threads {
		stat, err := os.ReadFile(name)
		if err != nil {
			b.Fatal(err)
		}
		ran, _, _ := strings.Cut(string(stat), " ")
		ns, err := strconv.ParseInt(ran, 10, 64)
		if err != nil {
			b.Fatalf("%s: %v", name, err)
		}
		u.cpu += time.Duration(ns)
	}
	statm, err := os.ReadFile(fmt.Sprintf("/proc/%d/statm", pid))
	if err != nil {
		b.Fatal(err)
	}
	pages, err := strconv.ParseInt(strings.Fields(string(statm))[1], 10, 64)
	if err != nil {
		b.Fatalf("statm of %d: %v", pid, err)
	}
	u.memory = pages * int64(os.Getpagesize())
	return u
}
