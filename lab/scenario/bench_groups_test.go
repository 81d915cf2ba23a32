package scenario

import (
	"fmt"
	"os"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/redis-watchdog/redis-watchdog/lab"
	"github.com/redis-watchdog/redis-watchdog/lab/watched"
)

const (
	fleetStart  = 30 * time.Second // from the start of the watchdog to the steady window
	fleetWindow = 30 * time.Second
	fleetLook   = 5 * time.Second
)

// BenchmarkGroups measures what a group costs where a host has many: groups of one
// healthy Redis each beside one watchdog, D = 5 s. The watchdog is the binary that
// is shipped, started cold; nobody of these Redis ever has a reason to be fenced.
//
// FLEET says how many, one after the other ("1,40"); AGAINST names another build,
// which is measured before it with each number of groups; with KINDS set, what etcd's
// members were asked is logged by its kind.
func BenchmarkGroups(b *testing.B) {
	eachFleet(b, "1,5,20,40,80", measureFleet)
}

// eachFleet measures with each number of groups that FLEET has, or of those given,
// and with each of them the build that AGAINST names before this one.
func eachFleet(b *testing.B, sizes string, measure func(b *testing.B, groups int, binary string)) {
	builds := map[string]string{"this": shipped(b)}
	order := []string{"this"}
	if against := os.Getenv("AGAINST"); against != "" {
		builds["against"], order = against, []string{"against", "this"}
	}
	if wanted := os.Getenv("FLEET"); wanted != "" {
		sizes = wanted
	}
	for size := range strings.SplitSeq(sizes, ",") {
		n, err := strconv.Atoi(size)
		if err != nil || n < 1 {
			b.Fatalf("FLEET=%s: %q is no number of groups", sizes, size)
		}
		for _, build := range order {
			b.Run(fmt.Sprintf("groups=%d/build=%s", n, build), func(b *testing.B) { measure(b, n, builds[build]) })
		}
	}
}

func measureFleet(b *testing.B, groups int, binary string) {
	f := watched.StartFleet(b, watched.FleetOptions{Groups: groups})
	f.Watchdog.Binary = binary
	began := time.Now()
	f.Watchdog.Restart()
	slacken(b, f.Watchdog.PID())
	atStart := watchFleet(b, f, began, fleetStart)
	before := fleetUse(b, f)
	began = time.Now()
	after := watchFleet(b, f, began, fleetWindow)
	used, took := fleetUse(b, f), time.Since(began).Seconds()
	if os.Getenv("KINDS") != "" {
		for _, line := range f.Watchdog.Decisions() {
			if logged(line, "to") == "hold" {
				b.Log(line)
			}
		}
	}
	n := float64(groups)
	perGroup := func(now, then time.Duration) float64 { return 1000 * (now - then).Seconds() / took / n }

	b.ReportMetric(0, "ns/op")
	b.ReportMetric(atStart.fences, "start-fences")
	b.ReportMetric(atStart.holds, "start-holds")
	b.ReportMetric(after.fences-atStart.fences, "fences")
	b.ReportMetric(after.holds-atStart.holds, "holds")
	b.ReportMetric(float64(after.serving), "serving")
	b.ReportMetric((used.requests-before.requests)/took/n, "etcd-requests/s/group")
	b.ReportMetric(perGroup(used.daemon.cpu, before.daemon.cpu), "daemon-ms/s/group")
	b.ReportMetric(perGroup(used.sentinel.cpu, before.sentinel.cpu), "sentinel-ms/s/group")
	b.ReportMetric(perGroup(used.etcd, before.etcd), "etcd-ms/s/group")
	b.ReportMetric(float64(used.daemon.memory)/1e6, "daemon-MB")
	b.ReportMetric(float64(used.sentinel.memory)/1e6, "sentinel-MB")
}

type fleetState struct {
	fences, holds float64
	serving       int
}

// watchFleet looks now and then for so long, and logs what it sees (-v shows it).
func watchFleet(b *testing.B, f *watched.Fleet, began time.Time, lasts time.Duration) (s fleetState) {
	b.Helper()
	for at := fleetLook; at <= lasts; at += fleetLook {
		f.Pause(time.Until(began.Add(at)))
		var err error
		if s.serving, _, err = f.Serving(); err != nil {
			b.Logf("after %v: %v", at, err)
			continue
		}
		text := f.Watchdog.Metrics()
		s.fences, s.holds = watched.Sum(text, "redis_watchdog_fences_total"), watched.Sum(text, "redis_watchdog_holds_total")
		b.Logf("after %v: %d of %d serve, %v fences, %v holds", at, s.serving, len(f.Redis), s.fences, s.holds)
	}
	return s
}

type fleetUsage struct {
	daemon, sentinel usage // of one Sentinel
	etcd             time.Duration
	requests         float64 // that all members were sent
}

func fleetUse(b *testing.B, f *watched.Fleet) fleetUsage {
	b.Helper()
	u := fleetUsage{daemon: usageOf(b, f.Watchdog.PID()), sentinel: usageOf(b, f.Sentinels[0].PID())}
	for _, m := range f.Etcd.Members {
		u.etcd += usageOf(b, m.PID()).cpu
		u.requests += etcdRequests(b, m)
	}
	return u
}

// etcdRequests is how many messages of clients a member has received: a request
// each, and one for every renewal on a stream.
func etcdRequests(b *testing.B, m *lab.Member) float64 {
	b.Helper()
	text := m.Metrics()
	if os.Getenv("KINDS") != "" {
		for line := range strings.Lines(text) {
			if strings.HasPrefix(line, "grpc_server_msg_received_total") && !strings.HasSuffix(line, " 0\n") {
				b.Logf("%s: %s", m.Name, strings.TrimSpace(line))
			}
		}
	}
	return watched.Sum(text, "grpc_server_msg_received_total")
}
