package scenario

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/redis-watchdog/redis-watchdog/lab"
	"github.com/redis-watchdog/redis-watchdog/lab/watched"
)

const (
	settle = 5 * time.Second
	window = 20 * time.Second
)

// BenchmarkSteady measures what a watchdog costs beside a master while nothing
// happens, against the same Redis before it had one, and against the Sentinel
// on the same host.
func BenchmarkSteady(b *testing.B) {
	w := watched.Start(b, watched.Options{Paused: true, Group: lab.GroupConfig{DownAfter: 5 * time.Second}})
	master, dog, sentinel := w.Group.Redis[0], w.Dogs[0], w.Group.Sentinels[0]
	w.Pause(settle)
	before := costOf(b, w, master)
	for _, d := range w.Dogs {
		d.Restart()
	}
	w.WaitGuarded()
	w.Pause(settle)
	dogBefore, sentinelBefore := usageOf(b, dog.PID()), usageOf(b, sentinel.PID())
	after := costOf(b, w, master)
	dogCPU := usageOf(b, dog.PID()).cpu - dogBefore.cpu
	sentinelCPU := usageOf(b, sentinel.PID()).cpu - sentinelBefore.cpu

	b.ReportMetric(0, "ns/op")
	b.ReportMetric(after.commands-before.commands, "redis-commands/s")
	b.ReportMetric(after.us-before.us, "redis-us/s")
	b.ReportMetric(1000*dogCPU.Seconds()/window.Seconds(), "dog-ms/s")
	b.ReportMetric(dogCPU.Seconds()/sentinelCPU.Seconds(), "cpu-of-sentinel")
	dogMemory, sentinelMemory := usageOf(b, dog.PID()).memory, usageOf(b, sentinel.PID()).memory
	b.ReportMetric(float64(dogMemory)/1e6, "dog-MB")
	b.ReportMetric(float64(dogMemory)/float64(sentinelMemory), "memory-of-sentinel")
	if info, err := os.Stat(filepath.Join("..", "..", "bin", "redis-watchdog")); err == nil {
		b.ReportMetric(float64(info.Size())/1e6, "binary-MB")
	}
}

type cost struct{ commands, us float64 } // a second

// costOf is what Redis executes in a window, the lab's own two INFOs included.
func costOf(b *testing.B, w *watched.World, r *lab.Redis) cost {
	b.Helper()
	from := commandStats(b, r)
	w.Pause(window)
	to := commandStats(b, r)
	s := window.Seconds()
	return cost{(to.commands - from.commands) / s, (to.us - from.us) / s}
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
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		b.Fatal(err)
	}
	// After the command's name, which may hold anything: field 3 is first.
	fields := strings.Fields(string(stat[strings.LastIndexByte(string(stat), ')')+1:]))
	user, _ := strconv.ParseInt(fields[11], 10, 64)
	system, _ := strconv.ParseInt(fields[12], 10, 64)
	pages, _ := strconv.ParseInt(fields[21], 10, 64)
	const tick = 10 * time.Millisecond // USER_HZ is 100 everywhere
	return usage{time.Duration(user+system) * tick, pages * int64(os.Getpagesize())}
}
