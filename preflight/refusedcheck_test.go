package preflight

import (
	"slices"
	"strings"
	"testing"
)

// The remedy is one that leaves the replica with data: a full sync of a build
// whose RDB it cannot load would empty it.
func TestNoFullSyncIsOfferedThatCannotBeLoaded(t *testing.T) {
	for _, c := range []struct {
		master, own build
		says, not   []string
	}{
		{build{"redis", [2]int{7, 0}}, build{"redis", [2]int{7, 0}}, []string{`printf 'MULTI\nREPLICAOF NO ONE\nREPLICAOF 10.0.0.11 6379\nEXEC\n' | redis-cli -h 10.0.0.12 -p 6379`}, []string{"one build", "upgrade"}},
		{build{"valkey", [2]int{8, 1}}, build{"redis", [2]int{8, 0}}, []string{"EXEC", "first make both of one build"}, []string{"upgrade"}},
		{build{"redis", [2]int{8, 0}}, build{"redis", [2]int{7, 0}}, []string{"upgrade it to the master's build (redis 8.0)"}, []string{"EXEC"}},
		{build{"valkey", [2]int{9, 1}}, build{"redis", [2]int{7, 0}}, []string{"upgrade it to the master's build (valkey 9.1)"}, []string{"EXEC"}},
	} {
		f := healthy()
		for n, b := range map[*Node]build{node(&f, a): c.master, node(&f, b): c.own} {
			version := b.String()
			n.Redis.Info["redis_version"] = version
			if b.name == "valkey" {
				n.Redis.Info["redis_version"], n.Redis.Info["valkey_version"] = "7.2.4", version
			}
		}
		node(&f, b).Refused.Count = 1
		found := Own(DefaultPolicy(), "shop", *node(&f, a), *node(&f, b))
		i := slices.IndexFunc(found, func(f Finding) bool { return f.Check == "replication_refused" })
		for _, want := range c.says {
			if i < 0 || found[i].Outcome != Failed || !strings.Contains(found[i].Remedy, want) {
				t.Errorf("%v of %v: %+v does not say %q", c.own, c.master, found[max(i, 0)], want)
			}
		}
		for _, not := range c.not {
			if strings.Contains(found[i].Remedy, not) {
				t.Errorf("%v of %v: remedy %q has %q", c.own, c.master, found[i].Remedy, not)
			}
		}
	}
}

// The answers are of real servers, tried by hand pair by pair.
func TestLoadsIsWhatServersDo(t *testing.T) {
	all := []build{{"redis", [2]int{6, 0}}, {"redis", [2]int{7, 0}}, {"redis", [2]int{8, 0}}, {"valkey", [2]int{8, 1}}, {"valkey", [2]int{9, 1}}}
	loads := []string{ // master in the row, replica in the column
		"yyyyy",
		"nyyyy",
		"nnynn",
		"nnyyy",
		"nnyyy",
	}
	for i, from := range all {
		for j, to := range all {
			if got, want := to.loads(from), loads[i][j] == 'y'; got != want {
				t.Errorf("%v loads %v: %v, want %v", to, from, got, want)
			}
		}
	}
}

// What is known of a replica that refused is no less for a master that is away:
// it is then that the veto is needed.
func TestRefusedIsCertainWithoutTheMaster(t *testing.T) {
	f := healthy()
	node(&f, b).Refused.Count = 1
	if got := Vetoes(Own(DefaultPolicy(), "shop", Node{Address: a}, *node(&f, b))); !slices.Contains(got, "replication_refused") {
		t.Errorf("vetoes: %v", got)
	}
}
