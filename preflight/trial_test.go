package preflight

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strconv"
	"strings"
	"testing"
)

func TestALineOfARemedyIsReadAsItIsWritten(t *testing.T) {
	n := &Node{Address: "10.0.0.12:6379"}
	for _, value := range []string{"0", "", "it's", "60 1 300 10", `"x"`, "* -::*", "'"} {
		want := Fix{Kind: FixSet, Node: n.Address, Parameter: "save", Value: value}
		for _, comment := range []string{"", "   # and on every node"} {
			if got, ok := stepOf(set(n, "save", value) + comment); !ok || got != want {
				t.Errorf("%q%s: got %+v", value, comment, got)
			}
		}
	}
	if got, ok := stepOf(cli(n) + " CONFIG REWRITE   # keep what runs"); !ok || got != (Fix{Kind: FixRewrite, Node: n.Address}) {
		t.Errorf("rewrite: got %+v", got)
	}
	v6 := &Node{Address: "[::1]:6379"}
	if got, ok := stepOf(set(v6, "hz", "5")); !ok || got.Node != v6.Address {
		t.Errorf("IPv6: got %+v", got)
	}
	for _, line := range []string{"", "# CONFIG SET", "redis-cli -h h -p 1 INFO", "redis-cli -h h -p 1 CONFIG GET x", "on h: redis-cli -h h -p 1 CONFIG REWRITE", "redis-cli -h h -p 1 CONFIG SET requirepass …"} {
		if got, ok := stepOf(line); ok && got.Value != "…" {
			t.Errorf("%q: got %+v", line, got)
		}
	}
}

func TestARemedyThatMakesSomethingWorseIsNotOffered(t *testing.T) {
	drift := func(name, running, file string) func(*Facts) {
		return at(b, func(n *Node) {
			n.Redis.Config[name], n.Drift.FileConfig[name] = running, file
			n.Drift.Drifted = []Parameter{{Name: name, Running: running, File: file, Where: "redis.conf:1"}}
		})
	}
	for _, c := range []struct {
		name, check, of string
		edit            func(*Facts)
		offers, not     []string // lines of the remedy
		says            string
	}{
		// redis-server redis.conf --maxmemory 4gb, or a CONFIG SET: the file has no limit.
		{"no limit at all", "drift_running", b, drift("maxmemory", "4294967296", "0"), []string{"CONFIG REWRITE"}, []string{"CONFIG SET maxmemory 0"}, "memory_limit_host would fail"},
		{"a limit below the data", "drift_running", b, drift("maxmemory", "4294967296", "1048576"), []string{"CONFIG REWRITE"}, []string{"CONFIG SET maxmemory"}, "evict or refuse writes at once"},
		{"a file that is better than what runs", "drift_running", b, drift("maxmemory", "1048576", "4294967296"), []string{"CONFIG SET maxmemory 4294967296"}, []string{"CONFIG REWRITE"}, "memory_limit_file would fail"},
		{"nothing on disk any more", "drift_running", b, drift("appendonly", "yes", "no"), []string{"CONFIG REWRITE"}, []string{"CONFIG SET appendonly no"}, "parity_persistence would fail"},
		{"what the master has is left", "drift_running", b, drift("timeout", "0", "30"), []string{"CONFIG REWRITE"}, []string{"CONFIG SET timeout"}, "parity_settings would fail"},
		{"back to what the master has", "drift_running", b, drift("timeout", "30", "0"), []string{"CONFIG REWRITE", "CONFIG SET timeout 0"}, nil, ""},
		{"a master without a limit", "memory_limit_lower", b, at(a, func(n *Node) { configured(n, "maxmemory", "0") }), nil, []string{"CONFIG SET"}, "choose one maxmemory"},
		{"a limit that the host does not bear", "memory_limit_running", b, and(limited(16*gib, 12*gib, "noeviction"), at(a, func(n *Node) { n.Host.MemoryTotal = 32 * gib }),
			at(b, func(n *Node) { configured(n, "maxmemory", strconv.Itoa(6*gib)) })), nil, []string{"CONFIG SET"}, "give it more than its 8.00 GiB of memory"},
		{"a limit below what the master holds", "memory_limit_host", a, and(limited(0, 7*gib, "noeviction")), nil, []string{"CONFIG SET"}, "evict or refuse writes at once"},
		{"a backlog that takes the data's room", "replication_backlog", b, and(limited(2*gib, 2*gib-mib, "allkeys-lru"),
			func(f *Facts) { each(f, func(n *Node) { n.Rates.Offset = 20 << 20 }) }), nil, []string{"CONFIG SET repl-backlog-size"}, "# not CONFIG SET repl-backlog-size"},
		{"open to everybody", "parity_reach", b, at(b, func(n *Node) {
			configured(n, "requirepass", "")
			n.Redis.Users = []User{{Name: "default", Rules: "on nopass ~* &* +@all"}}
		}), nil, []string{"protected-mode no"}, "set the master's password"},
		{"as many clients as files", "parity_maxclients", b, and(at(a, func(n *Node) {
			configured(n, "maxclients", "50000")
			inInfo(n, "connected_clients", 20000)
			n.Host.FilesLimit = 60000
		})),
			nil, []string{"CONFIG SET maxclients"}, "host_files would fail"},
	} {
		f := healthy()
		c.edit(&f)
		i := -1
		findings := Judge(DefaultPolicy(), f, b).Findings
		i = slices.IndexFunc(findings, func(f Finding) bool { return f.Check == c.check && f.Node == c.of && f.Outcome == Failed })
		if i < 0 {
			t.Errorf("%s: %s does not fail", c.name, c.check)
			continue
		}
		has := func(what string) bool {
			for line := range strings.SplitSeq(findings[i].Remedy, "\n") {
				if strings.HasPrefix(line, "redis-cli") && strings.Contains(line, what) {
					return true
				}
			}
			return false
		}
		for _, want := range c.offers {
			if !has(want) {
				t.Errorf("%s: %s is not offered: %q", c.name, want, findings[i].Remedy)
			}
		}
		for _, not := range c.not {
			if has(not) || slices.ContainsFunc(findings[i].Fixes, func(f Fix) bool { return strings.Contains("CONFIG SET "+f.Parameter+" "+f.Value, not) }) {
				t.Errorf("%s: %s is offered: %q, %v", c.name, not, findings[i].Remedy, findings[i].Fixes)
			}
		}
		if !strings.Contains(findings[i].Remedy, c.says) {
			t.Errorf("%s: the remedy does not say %q: %q", c.name, c.says, findings[i].Remedy)
		}
	}
}

// Whatever state a group is in: no line that is offered, and no fix, leaves it
// worse by any check. They are applied here to the facts as they are, and the
// whole group is judged.
func TestNothingThatIsOfferedMakesAnyCheckFail(t *testing.T) {
	offered := 0
	for seed := range uint64(400) {
		r := rand.New(rand.NewPCG(seed, 4))
		f := spoiled(r, fmt.Sprint(r.IntN(1<<40)))
		report, tried := Judge(DefaultPolicy(), f, b), map[string]bool{}
		was := outcomes(report)
		for _, finding := range report.Findings {
			var ways [][]Fix
			var sets []Fix
			for line := range strings.SplitSeq(finding.Remedy, "\n") {
				if step, ok := stepOf(line); ok && !strings.Contains(finding.Remedy, "or go back to the file") {
					sets = append(sets, step)
				} else if ok {
					ways = append(ways, []Fix{step})
				}
			}
			for _, fix := range finding.Fixes {
				ways = append(ways, []Fix{fix})
			}
			for _, way := range append(ways, sets) {
				if key := fmt.Sprint(way); len(way) == 0 || tried[key] {
					continue
				} else {
					tried[key] = true
				}
				offered += len(way)
				if worse := worsened(t, f, was, way); worse != "" {
					t.Fatalf("seed %d: %s of %s offers %v, and then %s", seed, finding.Check, finding.Node, way, worse)
				}
			}
		}
	}
	if offered < 500 {
		t.Errorf("only %d steps were offered", offered)
	}
}

// worsened judges the whole group after steps: the first check outside of drift
// that passed and does not now.
func worsened(t *testing.T, f Facts, was map[string]Finding, steps []Fix) string {
	t.Helper()
	after := clone(t, f)
	for _, step := range steps {
		if n := find(&after, step.Node); n != nil && n.Redis != nil {
			apply(n, step)
		}
	}
	for key, is := range outcomes(Judge(DefaultPolicy(), after, b)) {
		if !strings.HasPrefix(is.Check, "drift_") && is.Severity != Informs && was[key].Outcome == Passed && is.Outcome != Passed {
			return key + " fails: " + is.Reason
		}
	}
	return ""
}
