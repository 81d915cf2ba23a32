package scenario

import (
	"fmt"
	"os"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/redis-watchdog/redis-watchdog/lab/watched"
)

const (
	stormLook    = 500 * time.Millisecond
	stormCalm    = 10 * time.Second // that all have served before the next
	stormAtLeast = 15 * time.Second // looked on: a storm may begin late
	stormAtMost  = 2 * time.Minute
)

// BenchmarkStorms measures what becomes of many groups on one host when all have to
// be dealt with at once: groups of one healthy Redis each, D = 5 s, as in
// BenchmarkGroups, of which no Sentinel ever replaces one. After each blow: how long
// until all serve for good, and how often Redis were held and fenced meanwhile.
//
// FLEET says how many, one after the other ("40,80"); BLOWS which blows ("cold" among
// them, which starts the watchdog; all: empty); AGAINST names another build,
// which is measured before it with each number of groups; LOG a file that the
// watchdog's log is kept in.
func BenchmarkStorms(b *testing.B) {
	eachFleet(b, "40,80", measureStorms)
}

func measureStorms(b *testing.B, groups int, binary string) {
	f := watched.StartFleet(b, watched.FleetOptions{Groups: groups})
	f.Watchdog.Binary = binary
	b.ReportMetric(0, "ns/op")
	only := os.Getenv("BLOWS")
	restart := func() {
		f.Watchdog.Restart()
		slacken(b, f.Watchdog.PID())
	}
	for _, blow := range []struct {
		name string
		do   func()
	}{
		{"cold", restart},
		{"restart", func() {
			f.Watchdog.Term()
			restart()
		}},
		{"sentinels", func() {
			for _, s := range f.Sentinels {
				s.Kill()
			}
			for _, s := range f.Sentinels {
				s.Restart()
			}
		}},
		{"leader", func() {
			leader := f.Etcd.Leader()
			if leader == nil {
				b.Fatal("etcd has no leader")
			}
			leader.Kill()
			leader.Restart()
		}},
		{"etcd", func() {
			f.Etcd.Kill()
			f.Etcd.Restart()
		}},
		{"frozen", func() {
			f.Watchdog.Stop()
			f.Pause(2 * time.Second)
			f.Watchdog.Cont()
		}},
		{"starved", func() { starve(b, 10*time.Second, 10*time.Millisecond, f.Watchdog.PID()) }},
		{"slow-etcd", func() {
			var pids []int
			for _, m := range f.Etcd.Members {
				pids = append(pids, m.PID())
			}
			starve(b, 10*time.Second, 10*time.Millisecond, pids...)
		}},
		{"fenced", func() {
			f.Watchdog.Stop()
			waitAllFenced(f)
			f.Watchdog.Cont()
		}},
	} {
		if only != "" && !slices.Contains(strings.Split(only, ","), blow.name) {
			continue
		}
		before, pid := countStorm(f), f.Watchdog.PID()
		blow.do()
		began := time.Now()
		took, serving := stormOver(b, f, began)
		after := countStorm(f)
		if f.Watchdog.PID() != pid { // its counters begin anew
			before = fencedSoFar{}
		}
		alive := 0
		for _, r := range f.Redis {
			if r.Running() {
				alive++
			}
		}
		b.Logf("%s: %d of %d serve for good after %.1f s, %v fences, %v holds, %d killed",
			blow.name, serving, groups, took.Seconds(), after.fences-before.fences, after.holds-before.holds, groups-alive)
		b.ReportMetric(took.Seconds(), blow.name+"-s")
		b.ReportMetric(after.fences-before.fences, blow.name+"-fences")
		b.ReportMetric(after.holds-before.holds, blow.name+"-holds")
		if keep := os.Getenv("LOG"); keep != "" {
			if err := os.WriteFile(keep, []byte(f.Watchdog.Text()), 0o644); err != nil {
				b.Fatal(err)
			}
		}
		if alive < groups {
			b.Errorf("%s: %d healthy Redis were killed", blow.name, groups-alive)
			return
		}
	}
}

const starvePeriod = 250 * time.Millisecond

// starve lets processes run for so long of every starvePeriod only, by SIGSTOP and
// SIGCONT.
func starve(b testing.TB, lasts, runs time.Duration, pids ...int) {
	b.Helper()
	send := func(s syscall.Signal) {
		for _, pid := range pids {
			if err := syscall.Kill(pid, s); err != nil {
				b.Fatalf("send %v to %d: %v", s, pid, err)
			}
		}
	}
	defer send(syscall.SIGCONT)
	for until := time.Now().Add(lasts); time.Now().Before(until); {
		send(syscall.SIGSTOP)
		time.Sleep(starvePeriod - runs)
		send(syscall.SIGCONT)
		time.Sleep(runs)
	}
}

// stormOver looks on until all have served for stormCalm, and is how long it took
// until they did.
func stormOver(b *testing.B, f *watched.Fleet, began time.Time) (took time.Duration, serving int) {
	b.Helper()
	var worst error
	for time.Since(began) < stormAtMost {
		f.Pause(stormLook)
		n, not, err := f.Serving()
		switch {
		case err != nil:
			worst, took = err, time.Since(began)
		case not != "":
			serving, worst, took = n, fmt.Errorf("%s", not), time.Since(began)
		default:
			serving = n
		}
		if time.Since(began) > max(stormAtLeast, took+stormCalm) {
			return took, serving
		}
	}
	b.Logf("not all serve after %v: %v", stormAtMost, worst)
	return took, serving
}

// countStorm is what was counted until now.
func countStorm(f *watched.Fleet) (c fencedSoFar) {
	f.T.Helper()
	if f.Watchdog.PID() == 0 {
		return c
	}
	f.Eventually("the watchdog shows its metrics", 20*time.Second, func() error {
		text := f.Watchdog.Metrics()
		if text == "" {
			return fmt.Errorf("no answer")
		}
		c = fencedSoFar{watched.Sum(text, "redis_watchdog_fences_total"), watched.Sum(text, "redis_watchdog_holds_total")}
		return nil
	})
	return c
}
