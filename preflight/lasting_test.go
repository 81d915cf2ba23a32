package preflight

import (
	"fmt"
	"reflect"
	"strings"
	"testing"
	"time"
)

// master is a report that stands.
func lasting(change func(*Node)) Lasting {
	f := healthy()
	n := node(&f, a)
	for key, value := range map[string]string{
		"used_memory_human": "1.00G", "used_memory_peak_perc": "98.21%", "uptime_in_seconds": "86400", "lru_clock": "123",
		"errorstat_ERR": "count=5", "slave0": "ip=10.0.0.12,port=6379,state=online,offset=5000,lag=0",
		"current_cow_size_age": "0", "used_cpu_sys": "1.250000", "master_link_down_since_seconds": "-1",
	} {
		n.Redis.Info[key] = value
	}
	n.Refused, n.Stalls = &Refused{}, &Stalls{Bears: time.Second}
	change(n)
	return n.Lasting()
}

func TestWhatMakesAReportNews(t *testing.T) {
	info := func(key, value string) func(*Node) { return func(n *Node) { n.Redis.Info[key] = value } }
	for _, tt := range []struct {
		name   string
		change func(*Node)
		want   News
	}{
		{"nothing", func(*Node) {}, NoNews},
		{"it is younger", func(n *Node) { n.At = n.At.Add(time.Hour) }, NoNews},
		{"it answers a question", func(n *Node) { n.Answers = "q2" }, NoNews},
		{"rates", func(n *Node) { n.Rates = &Rates{Over: time.Hour, UsedMemory: 7} }, NoNews},
		{"no rates", func(n *Node) { n.Rates = nil }, NoNews},
		{"memory of the host", func(n *Node) { n.Host.MemoryAvailable, n.Host.SwapUsed, n.Host.Now = 5, 6, time.Unix(2e9, 0) }, NoNews},
		{"a slow command", func(n *Node) { n.Redis.Slow = []Slow{{Command: "keys"}} }, NoNews},
		{"a counter", info("uptime_in_seconds", "86460"), NoNews},
		{"a clock", info("lru_clock", "1234567"), NoNews},
		{"a time of processor", info("used_cpu_sys", "11.250001"), NoNews},
		{"a number for people", info("used_memory_human", "1017.25G"), NoNews},
		{"a percentage", info("used_memory_peak_perc", "101.4%"), NoNews},
		{"offsets of replicas", info("slave0", "ip=10.0.0.12,port=6379,state=online,offset=9000,lag=1"), NoNews},
		{"a replica less", func(n *Node) { delete(n.Redis.Info, "slave0") }, NoNews},
		{"an error counted", info("errorstat_WRONGTYPE", "count=1"), NoNews},
		{"another database", info("db7", "keys=1,expires=0,avg_ttl=0"), NoNews},
		{"the data a little larger", info("used_memory", "1100000000"), NoNews},
		{"what the backlog holds", func(n *Node) { n.Refused = &Refused{Last: ReplicaLook{RunID: "8a7e", BacklogLength: 12}} }, NoNews},
		{"a command refused", func(n *Node) { n.Refused = &Refused{Count: 1} }, Changed},
		{"a stall", func(n *Node) { n.Stalls = &Stalls{Bears: time.Second, Hours: []StallHour{{Count: 1}}} }, Changed},
		{"something not read", func(n *Node) { n.Gaps = []Gap{{What: "acl", Why: "read tcp 10.0.0.11:4711: timeout"}} }, Changed},

		{"the data larger", info("used_memory", "1200000000"), Moved},
		{"the data smaller", info("used_memory", "900000000"), Moved},
		{"more of it not counted", info("mem_not_counted_for_evict", "9000000"), Moved},
		{"more clients", info("connected_clients", "400"), Moved},
		{"some clients more", info("connected_clients", "50"), NoNews},
		{"the data not told", func(n *Node) { delete(n.Redis.Info, "used_memory") }, Changed},

		{"a role", info("role", "slave"), Changed},
		{"another run", info("run_id", "8a7f"), Changed},
		{"a link", info("master_link_status", "down"), Changed},
		{"since when it is down", info("master_link_down_since_seconds", "7"), NoNews},
		{"a status", info("rdb_last_bgsave_status", "err"), Changed},
		{"a field that a newer Redis has", info("paused_reason", "client_pause"), Changed},
		{"a limit", func(n *Node) { n.Redis.Config["maxmemory"] = "4294967297" }, Changed},
		{"a user", func(n *Node) { n.Redis.Users = append(n.Redis.Users, User{Name: "app"}) }, Changed},
		{"a module", func(n *Node) { n.Redis.Modules = []string{"bf@1"} }, Changed},
		{"redis.conf", func(n *Node) { n.Drift.FileConfig["maxmemory"] = "1" }, Changed},
		{"drift", func(n *Node) { n.Drift.Drifted = []Parameter{{Name: "timeout"}} }, Changed},
		{"the host's memory", func(n *Node) { n.Host.MemoryTotal++ }, Changed},
		{"THP", func(n *Node) { n.Host.THP = "always" }, Changed},
		{"no host", func(n *Node) { n.Host = nil }, Changed},
		{"no Redis", func(n *Node) { n.Redis = nil }, Changed},
		{"the watchdog's phase", func(n *Node) { n.Watchdog.Phase = "refuse" }, Changed},
		{"a fault", func(n *Node) { n.Watchdog.Faults = []string{"stop"} }, Changed},
	} {
		if got := lasting(func(*Node) {}).News(lasting(tt.change)); got != tt.want {
			t.Errorf("%s: news %d, want %d", tt.name, got, tt.want)
		}
	}
	why := func(port int) Lasting {
		return lasting(func(n *Node) {
			n.Gaps = []Gap{{What: "acl", Why: fmt.Sprintf("read tcp 10.0.0.11:%d->10.0.0.12:6379: i/o timeout", port)}}
		})
	}
	if why(4711).News(why(51234)) != NoNews {
		t.Error("the port of a connection is news")
	}
	if (Lasting{}).News(lasting(func(*Node) {})) != Changed {
		t.Error("the first report is no news")
	}
}

// TestVetoRestsOnNoOtherNumberOfTheMaster changes every number that the master's
// INFO has, and every moment of its host, far out: where a check of the standing
// veto answers otherwise, the number must be one that a report is written for.
func TestVetoRestsOnNoOtherNumberOfTheMaster(t *testing.T) {
	facts := healthy()
	before := Own(DefaultPolicy(), "shop", *node(&facts, a), *node(&facts, b))
	for key, value := range node(&facts, a).Redis.Info {
		if shape(value) == value {
			continue // a word
		}
		for _, far := range []string{"0", "1", "99999999999", "-1"} {
			f := healthy()
			node(&f, a).Redis.Info[key] = far
			if got := node(&f, a).Lasting(); got.News(node(&facts, a).Lasting()) == Changed {
				continue // its shape tells
			}
			after := Own(DefaultPolicy(), "shop", *node(&f, a), *node(&f, b))
			if reflect.DeepEqual(before, after) || wordsOf(before) == wordsOf(after) {
				continue
			}
			known := false
			for _, m := range moving() {
				known = known || m.key == key
			}
			if !known {
				t.Errorf("%s=%s of the master changes what a replica's veto says, and no report is written for it", key, far)
			}
		}
	}
	f := healthy()
	h := node(&f, a).Host.withoutMoments()
	node(&f, a).Host = &h
	if got := wordsOf(Own(DefaultPolicy(), "shop", *node(&f, a), *node(&f, b))); got != wordsOf(before) {
		t.Errorf("a replica's veto rests on a moment of the master's host: %s, was %s", got, wordsOf(before))
	}
}

func wordsOf(findings []Finding) string {
	var b strings.Builder
	for _, f := range findings {
		fmt.Fprintf(&b, "%s=%s ", f.Check, f.Outcome)
	}
	return b.String()
}

func FuzzShape(f *testing.F) {
	for _, s := range []string{"", "7.25M", "-1", "a-b", "up", "12.3%", "keys=1,expires=0", "é9", "1.2.3", "--5"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		got := shape(s)
		if strings.ContainsAny(got, "0123456789") {
			t.Errorf("shape(%q) = %q has a digit", s, got)
		}
		if shape(got) != got {
			t.Errorf("shape(%q) = %q, and the shape of that is %q", s, got, shape(got))
		}
	})
}
