package keyspace

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/redis-watchdog/redis-watchdog/lab"
	"github.com/redis-watchdog/redis-watchdog/lab/keydata"
)

// run is what a program took.
type run struct {
	wall, cpu time.Duration
	resident  int64 // bytes, at most; and what the benchmark itself had when it forked, if that was more
}

// timed runs a program in turn with others, and is of each figure the best of
// them: what else the machine does makes it slower and never faster.
func timed(b *testing.B, programs ...[]string) []run {
	b.Helper()
	best := make([]run, len(programs))
	for turn := range 5 {
		for i, args := range programs {
			ctx, cancel := context.WithTimeout(b.Context(), 5*time.Minute)
			c := exec.CommandContext(ctx, args[0], args[1:]...)
			var complaint bytes.Buffer
			c.Stderr = &complaint
			begun := time.Now()
			err := c.Run()
			cancel()
			if err != nil {
				b.Fatalf("%v: %v: %s", args, err, complaint.String())
			}
			now := run{time.Since(begun), c.ProcessState.UserTime() + c.ProcessState.SystemTime(), c.ProcessState.SysUsage().(*syscall.Rusage).Maxrss << 10}
			if turn == 0 {
				best[i] = now
				continue
			}
			best[i] = run{min(best[i].wall, now.wall), min(best[i].cpu, now.cpu), max(best[i].resident, now.resident)}
		}
	}
	return best
}

// watchdog builds what is shipped.
func watchdog(b *testing.B) string {
	b.Helper()
	to := filepath.Join(b.TempDir(), "redis-watchdog")
	build := exec.Command("go", "build", "-trimpath", "-tags=grpcnotrace", "-o", to, "../../cmd/redis-watchdog")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		b.Fatalf("build: %v: %s", err, out)
	}
	return to
}

// BenchmarkFile holds the audit of a file against redis-check-rdb and redis-cli
// --bigkeys: 1.5 million keys of all types, or those of BENCH_RDB. Figures are of
// processor time, of all threads, which does not depend on what else the machine
// does; redis-cli's is of the wall, for the server works as well.
func BenchmarkFile(b *testing.B) {
	name := os.Getenv("BENCH_RDB")
	var r *lab.Redis
	if name == "" {
		r = server(b, nil)
		fill(b, r, keydata.Options{Seed: 1, Keys: 1_500_000, Large: true, Streams: true})
		name = save(b, r).Name()
	}
	info, err := os.Stat(name)
	if err != nil {
		b.Fatal(err)
	}
	sparse := filepath.Join(b.TempDir(), "sparse.rdb")
	writeSparse(b, sparse)
	binary := watchdog(b)
	got := timed(b, []string{"redis-check-rdb", name}, []string{binary, "keyspace", "--no-crc", "-o", "json", "--rdb", name},
		[]string{binary, "keyspace", "-o", "json", "--rdb", name}, []string{binary, "keyspace", "--no-crc", "-o", "json", "--rdb", sparse})
	check, plain, crc, large := got[0], got[1], got[2], got[3]
	b.ReportMetric(0, "ns/op")
	b.ReportMetric(float64(info.Size())/1e6, "MB")
	speed := func(r run) float64 { return float64(info.Size()) / 1e6 / r.cpu.Seconds() }
	b.ReportMetric(speed(check), "check-rdb-MB/s")
	b.ReportMetric(speed(plain), "MB/s")
	b.ReportMetric(speed(plain)/speed(check), "times-check-rdb")
	b.ReportMetric(check.cpu.Seconds()/crc.cpu.Seconds(), "times-check-rdb-with-crc")
	b.ReportMetric(check.wall.Seconds()/crc.wall.Seconds(), "times-check-rdb-with-crc-wall")
	b.ReportMetric(float64(max(plain.resident, crc.resident))/(1<<20), "resident-MiB")
	b.ReportMetric(float64(large.resident)/(1<<20), "resident-of-8GiB-MiB")
	if r != nil {
		keys := float64(r.Do("DBSIZE").(int64))
		big := timed(b, []string{"redis-cli", "-s", r.Socket, "--bigkeys"}, []string{binary, "keyspace", "--no-crc", "-o", "json", "--rdb", name})
		b.ReportMetric(keys/big[0].wall.Seconds(), "bigkeys-keys/s")
		b.ReportMetric(big[0].wall.Seconds()/big[1].wall.Seconds(), "times-bigkeys")
	}
}

// writeSparse makes a file of 8 GiB in strings of 1 GiB that are not on the disk.
func writeSparse(b *testing.B, name string) {
	b.Helper()
	f, err := os.Create(name)
	if err != nil {
		b.Fatal(err)
	}
	defer f.Close()
	at := int64(0)
	put := func(text string) {
		n, err := f.WriteAt([]byte(text), at)
		if err != nil {
			b.Fatal(err)
		}
		at += int64(n)
	}
	put("REDIS0010")
	for i := range 8 {
		put(fmt.Sprintf("\x00\x04key%d\x81\x00\x00\x00\x00\x40\x00\x00\x00", i))
		at += 1 << 30
	}
	put("\xff\x00\x00\x00\x00\x00\x00\x00\x00")
}

// BenchmarkScan holds --scan against redis-cli --memkeys, and measures what
// another client waits while it runs.
func BenchmarkScan(b *testing.B) {
	r := server(b, nil)
	const keys = 300_000
	fill(b, r, keydata.Options{Seed: 2, Keys: keys})
	binary := watchdog(b)
	got := timed(b, []string{"redis-cli", "-s", r.Socket, "--memkeys"}, []string{binary, "keyspace", "-o", "json", "--fit", "off", "--scan", r.Socket},
		[]string{binary, "keyspace", "-o", "json", "--fit", "off", "--budget", "20ms", "--scan", r.Socket})
	b.ReportMetric(0, "ns/op")
	b.ReportMetric(keys/got[0].wall.Seconds(), "memkeys-keys/s")
	b.ReportMetric(keys/got[1].wall.Seconds(), "keys/s")
	b.ReportMetric(got[0].wall.Seconds()/got[1].wall.Seconds(), "times-memkeys")
	b.ReportMetric(got[0].wall.Seconds()/got[2].wall.Seconds(), "times-memkeys-at-20ms")
	calm := waits(b, r, time.After(5*time.Second))
	ended := make(chan time.Time)
	scan := exec.CommandContext(b.Context(), binary, "keyspace", "-o", "json", "--fit", "off", "--scan", r.Socket)
	if err := scan.Start(); err != nil {
		b.Fatal(err)
	}
	go func() {
		defer close(ended)
		if err := scan.Wait(); err != nil {
			b.Error(err)
		}
	}()
	beside := waits(b, r, ended)
	b.ReportMetric(float64(calm.Microseconds()), "p99-us")
	b.ReportMetric(float64(beside.Microseconds()), "p99-beside-us")
}

// waits is the 99th percentile of what a client waits for an answer.
func waits[T any](b *testing.B, r *lab.Redis, until <-chan T) time.Duration {
	b.Helper()
	conn := r.Client().Conn()
	defer conn.Close()
	var all []time.Duration
	for {
		select {
		case <-until:
			slices.Sort(all)
			return all[len(all)*99/100]
		case <-time.After(time.Millisecond):
		}
		begun := time.Now()
		if err := conn.Get(b.Context(), "nothing").Err(); err != nil && !strings.Contains(err.Error(), "nil") {
			b.Fatal(err)
		}
		all = append(all, time.Since(begun))
	}
}
