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
			if got := Vetoes(Own(DefaultPolicy(), *node(&f, a), *node(&f, b))); len(got) > 0 {
				t.Errorf("%s %v of %s %v: vetoed for %v", to.name, to, from.name, from, got)
			}
			node(&f, a).Redis.Modules = append(node(&f, a).Redis.Modules, "bf@20612")
			if got := Vetoes(Own(DefaultPolicy(), *node(&f, a), *node(&f, b))); !slices.Equal(got, []string{"parity_modules"}) {
				t.Errorf("%s %v of %s %v, without a module that was loaded: %v", to.name, to, from.name, from, got)
			}
		}
	}
	// The same name on a build that has it not built in is a module.
	f := healthy()
	node(&f, a).Redis.Modules = []string{"lua@1"}
	if got := Vetoes(Own(DefaultPolicy(), *node(&f, a), *node(&f, b))); !slices.Equal(got, []string{"parity_modules"}) {
		t.Errorf("a module named lua of Redis 7: %v", got)
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
