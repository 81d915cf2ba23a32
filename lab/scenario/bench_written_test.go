package scenario

import (
	"maps"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/redis-watchdog/redis-watchdog/lab"
	"github.com/redis-watchdog/redis-watchdog/lab/watched"
	"github.com/redis-watchdog/redis-watchdog/watchdog/agent"
)

// BenchmarkWritten measures what a calm group of three writes to its etcd: what
// is put (keys and values: what fills the quota until it is compacted), and what
// a member writes to its log in front of that (which it drops by itself). With
// BENCH_BEFORE=PATH another build is measured beside it, in the same minutes.
func BenchmarkWritten(b *testing.B) {
	builds := map[string]string{"": shipped(b)}
	if before := os.Getenv("BENCH_BEFORE"); before != "" {
		builds["before-"] = before
	}
	counts := map[string]*writes{}
	l := lab.New(b)
	for _, name := range slices.Sorted(maps.Keys(builds)) {
		o := watched.Options{Paused: true, Group: lab.GroupConfig{DownAfter: 5 * time.Second},
			Config: func(c *watched.Config) { delete(c.Log, "level") }}
		for _, host := range []string{"a", "b", "c"} {
			o.Names = append(o.Names, name+host)
		}
		o.Etcd = o.Names
		w := watched.StartIn(l, b, o)
		for _, d := range w.Watchdogs {
			d.Binary = builds[name]
			d.Restart()
		}
		w.WaitServing()
		for _, d := range w.Watchdogs { // a build of before this word has no ready in its status
			d.WaitFor("knows its group", func(st agent.Status) bool { return st.SentinelsAnswering == 3 && st.Phase != "leave" })
		}
		counts[name] = &writes{w: w}
	}
	l.Pause(settle)
	for _, c := range counts {
		c.begin(b)
	}
	l.Pause(2 * time.Minute) // two reports of each node
	b.ReportMetric(0, "ns/op")
	for name, c := range counts {
		c.report(b, name)
	}
}

// writes counts what one group's etcd is made to write.
type writes struct {
	w        *watched.World
	began    time.Time
	revision int64
	wal      float64
	decided  int
	puts     clientv3.WatchChan
}

func (c *writes) decisions() (n int) {
	for _, d := range c.w.Watchdogs {
		n += len(d.Decisions())
	}
	return n
}

func (c *writes) begin(b *testing.B) {
	c.began, c.decided = time.Now(), c.decisions()
	client := c.w.Etcd.Client(nil)
	got, err := client.Get(b.Context(), "/", clientv3.WithPrefix(), clientv3.WithCountOnly())
	if err != nil {
		b.Fatal(err)
	}
	c.revision, c.wal = got.Header.Revision, c.logged(b)
	c.puts = client.Watch(b.Context(), "/", clientv3.WithPrefix(), clientv3.WithRev(c.revision+1))
}

func (c *writes) report(b *testing.B, name string) {
	seconds := time.Since(c.began).Seconds()
	got, err := c.w.Etcd.Client(nil).Get(b.Context(), "/", clientv3.WithPrefix(), clientv3.WithCountOnly())
	if err != nil {
		b.Fatal(err)
	}
	bytes, seen := 0, c.revision
	for seen < got.Header.Revision {
		select {
		case r := <-c.puts:
			for _, e := range r.Events {
				seen = max(seen, e.Kv.ModRevision)
				bytes += len(e.Kv.Key) + len(e.Kv.Value)
			}
		case <-time.After(10 * time.Second):
			b.Fatalf("the watch stands at revision %d of %d", seen, got.Header.Revision)
		}
	}
	b.ReportMetric(float64(bytes)/seconds, name+"put-B/s")
	b.ReportMetric(float64(got.Header.Revision-c.revision)/seconds, name+"revisions/s")
	b.ReportMetric((c.logged(b)-c.wal)/seconds, name+"wal-B/s")
	if n := c.decisions() - c.decided; n > 0 {
		b.Logf("%s the group was not calm: %d decisions, whose records are in the figures", name, n)
	}
}

// logged is what the first member has written to its log in front of writes.
func (c *writes) logged(b *testing.B) float64 {
	for line := range strings.Lines(c.w.Etcd.Members[0].Metrics()) {
		if value, ok := strings.CutPrefix(strings.TrimSpace(line), "etcd_disk_wal_write_bytes_total "); ok {
			n, err := strconv.ParseFloat(value, 64)
			if err != nil {
				b.Fatal(err)
			}
			return n
		}
	}
	b.Fatal("etcd does not count what it logs")
	return 0
}
