package preflight

import (
	"slices"
	"strings"
	"testing"
)

// runs makes a node one of a build, with what that lists as modules.
func runs(n *Node, b build) {
	n.Redis.Info["redis_version"] = b.String()
	delete(n.Redis.Info, "valkey_version")
	n.Redis.Modules = []string{}
	switch {
	case b.name == "valkey":
		n.Redis.Info["redis_version"], n.Redis.Info["valkey_version"] = "7.2.4", b.String()
		if b.since(9, 0) {
			n.Redis.Modules = []string{"lua@1"}
		}
	case b.since(8, 0):
		n.Redis.Modules = []string{"vectorset@1"}
	}
}

// Of no pair of builds, whichever is the master, is a replica vetoed for what
// its master has built in; a module that was loaded is missed as before.
func TestNoPairOfBuildsIsVetoedForWhatIsBuiltIn(t *testing.T) {
	all := []build{{"redis", [2]int{6, 0}}, {"redis", [2]int{7, 0}}, {"redis", [2]int{8, 0}}, {"valkey", [2]int{8, 1}}, {"valkey", [2]int{9, 1}}}
	for _, from := range all {
		for _, to := range all {
			f := healthy()
			runs(node(&f, a), from)
			runs(node(&f, b), to)
			if got := Vetoes(Own(DefaultPolicy(), "shop", *node(&f, a), *node(&f, b))); len(got) > 0 {
				t.Errorf("%s %v of %s %v: vetoed for %v", to.name, to, from.name, from, got)
			}
			node(&f, a).Redis.Modules = append(node(&f, a).Redis.Modules, "bf@20612")
			if got := Vetoes(Own(DefaultPolicy(), "shop", *node(&f, a), *node(&f, b))); !slices.Equal(got, []string{"parity_modules"}) {
				t.Errorf("%s %v of %s %v, without a module that was loaded: %v", to.name, to, from.name, from, got)
			}
		}
	}
	// The same name on a build that has it not built in is a module.
	f := healthy()
	node(&f, a).Redis.Modules = []string{"lua@1"}
	if got := Vetoes(Own(DefaultPolicy(), "shop", *node(&f, a), *node(&f, b))); !slices.Equal(got, []string{"parity_modules"}) {
		t.Errorf("a module named lua of Redis 7: %v", got)
	}
}

// Before a failover it is said who would be empty after a full sync with the new
// master, and nobody is named who would not; a replica that waits for a full sync
// which it cannot load is told so, with the way out.
func TestWhoWouldBeEmptyIsSaidOfEveryPairOfBuilds(t *testing.T) {
	type pair struct{ own, of build }
	var (
		r60, r70, r80 = build{"redis", [2]int{6, 0}}, build{"redis", [2]int{7, 0}}, build{"redis", [2]int{8, 0}}
		v81, v91      = build{"valkey", [2]int{8, 1}}, build{"valkey", [2]int{9, 1}}
		all           = []build{r60, r70, r80, v81, v91}
		empty         = map[pair]bool{ // as seen by TestWhoLoadsWhoseFullSyncSoak
			{r60, r70}: true, {r60, r80}: true, {r60, v81}: true, {r60, v91}: true,
			{r70, r80}: true, {r70, v81}: true, {r70, v91}: true,
			{v81, r80}: true, {v91, r80}: true,
		}
	)
	for _, from := range all {
		for _, own := range all {
			f := healthy()
			each(&f, func(n *Node) { runs(n, own) })
			runs(node(&f, b), from)
			got := findingOf(t, f, "parity_version", b)
			switch would := strings.Contains(got.Reason, "would be empty"); {
			case own == from && got.Outcome != Passed, own != from && got.Outcome != Failed, would != empty[pair{own, from}]:
				t.Errorf("%s of %s: %s, %q", own.whole(), from.whole(), got.Outcome, got.Reason)
			}

			f = healthy()
			runs(node(&f, a), from)
			runs(node(&f, b), own)
			node(&f, b).Redis.Info["master_link_status"], node(&f, b).Redis.Info["master_sync_in_progress"] = "down", "1"
			waits := findingOf(t, f, "replication_data", b)
			if told := strings.Contains(waits.Reason, "none will end: "+own.whole()+" can load no full sync of "+from.whole()); told != empty[pair{own, from}] ||
				told != strings.Contains(waits.Remedy, "install the master's build ("+from.whole()+")") || waits.Outcome != Failed {
				t.Errorf("%s waits for %s: %s, %q, %q", own.whole(), from.whole(), waits.Outcome, waits.Reason, waits.Remedy)
			}
			// Between two tries it says so, too, whatever is known of its data, and
			// whichever check speaks of a sync.
			for name, spoil := range map[string]func(n *Node){
				"behind":         func(n *Node) { n.Watchdog.Data = "behind" },
				"from its disk":  func(n *Node) { n.Redis.Info["slave_repl_offset"] = "7" },
				"never in step":  func(n *Node) { n.Redis.Info["slave_repl_offset"] = "0" },
				"the link alone": func(*Node) {},
			} {
				f = healthy()
				runs(node(&f, a), from)
				n := node(&f, b)
				runs(n, own)
				n.Redis.Info["master_link_status"], n.Redis.Info["master_link_down_since_seconds"] = "down", "-1"
				delete(n.Redis.Info, "db0")
				n.Redis.Info["master_repl_offset"] = "0" // by which 6.0 is known to be empty
				spoil(n)
				checks := []string{"replication_link", "replication_keys"}
				if name != "the link alone" {
					checks = append(checks, "replication_data")
				}
				for _, check := range checks {
					got := findingOf(t, f, check, b)
					if told := strings.Contains(got.Reason, "none will end: "+own.whole()); got.Outcome != Failed || told != empty[pair{own, from}] ||
						told != strings.Contains(got.Remedy, "install the master's build ("+from.whole()+")") {
						t.Errorf("%s, %s of %s: %s %s, %q, %q", name, own.whole(), from.whole(), check, got.Outcome, got.Reason, got.Remedy)
					}
				}
				// Who was in step in this run may be so again without a full sync.
				n.Redis.Info["master_link_down_since_seconds"] = "3"
				if got := findingOf(t, f, "replication_link", b); got.Outcome != Failed || strings.Contains(got.Reason, "none will end") {
					t.Errorf("%s of %s, in step until now: %s, %q", own.whole(), from.whole(), got.Outcome, got.Reason)
				}
			}
			f = healthy()
			runs(node(&f, a), from)
			runs(node(&f, b), own)
			node(&f, a).Redis.Replicas = []ReplicaLine{{Address: b, State: "wait_bgsave"}, {Address: c, State: "online"}}
			sync := findingOf(t, f, "replication_sync", a)
			if told := strings.Contains(sync.Reason, "none will end of "+b+": "+own.whole()); sync.Outcome != Failed || told != empty[pair{own, from}] || told == strings.Contains(sync.Remedy, "wait") {
				t.Errorf("%s syncs with %s: %q, %q", own.whole(), from.whole(), sync.Reason, sync.Remedy)
			}
		}
	}
	// Fields of hashes that expire are loaded by Valkey 9 alone.
	for _, own := range all {
		f := healthy()
		each(&f, func(n *Node) { runs(n, own) })
		runs(node(&f, b), v91)
		node(&f, b).Redis.Info["db0"] = "keys=10,expires=1,avg_ttl=5,keys_with_volatile_items=2"
		got := findingOf(t, f, "parity_version", b)
		if would := strings.Contains(got.Reason, "would be empty"); would != (own != v91) {
			t.Errorf("%s of Valkey 9.1 with such fields: %q", own.whole(), got.Reason)
		}
	}
}

func TestAReplicaOfTwoChannelsIsNamedOnce(t *testing.T) {
	f := healthy()
	r := node(&f, a).Redis
	r.Info["connected_slaves"] = "3"
	r.Replicas = []ReplicaLine{{Address: b, State: "send_bulk_and_stream"}, {Address: b, State: "wait_bgsave"}, {Address: c, State: "online"}}
	got := findingOf(t, f, "replication_sync", a)
	if got.Outcome != Failed || strings.Count(got.Reason, b) != 1 {
		t.Errorf("got %s, %q", got.Outcome, got.Reason)
	}
}

func TestIOThreadsCanBeSetOnValkey91(t *testing.T) {
	for _, c := range []struct {
		b    build
		want bool
	}{
		{build{"redis", [2]int{7, 0}}, false}, {build{"redis", [2]int{8, 0}}, false}, {build{"valkey", [2]int{8, 1}}, false}, {build{"valkey", [2]int{9, 1}}, true},
	} {
		f := healthy()
		each(&f, func(n *Node) {
			runs(n, c.b)
			configured(n, "io-threads", "1")
			n.Redis.Config["io-threads"] = "4"
			n.Drift.Drifted = []Parameter{{Name: "io-threads", Running: "4", File: "1"}}
		})
		remedy := findingOf(t, f, "drift_running", a).Remedy
		if strings.Contains(remedy, "io-threads needs a restart") == c.want {
			t.Errorf("%s %v: %q", c.b.name, c.b, remedy)
		}
	}
}
