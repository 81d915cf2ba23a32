package preflight

import (
	"slices"
	"strings"
	"testing"
)

func TestJudgeLetsAHealthyGroupGo(t *testing.T) {
	r := Judge(DefaultPolicy(), healthy(), "")
	for _, f := range r.Findings {
		if f.Outcome != Passed {
			t.Errorf("%s of %q: %s: %s", f.Check, f.Node, f.Outcome, f.Reason)
		}
	}
	if r.Verdict != MayGo || r.Candidate != b {
		t.Errorf("got %s, candidate %s (%s); want %s, %s", r.Verdict, r.Candidate, r.Why, MayGo, b)
	}
}

func TestJudgeOfNothingIsUnsureOrBlockedAndPassesNothingThatBlocks(t *testing.T) {
	for name, facts := range map[string]Facts{
		"nothing":   {},
		"addresses": {Group: "g", Master: a, Nodes: []Node{{Address: a}, {Address: b}}},
		"nobody":    {Group: "g", Nodes: []Node{{Address: a}, {Address: b}}},
	} {
		r := Judge(DefaultPolicy(), facts, "")
		if r.Verdict == MayGo {
			t.Errorf("%s: may go", name)
		}
		for _, f := range r.Findings {
			if f.Severity == Blocks && f.Outcome == Passed && f.Check != "candidate" && f.Check != "replication_probe" {
				t.Errorf("%s: %s passed: %s", name, f.Check, f.Reason)
			}
		}
	}
}

// The incident: last month's CONFIG SET maxmemory 7gb was never written to
// redis.conf, and the replica was restarted.
func TestJudgeBlocksTheReplicaThatWasRestartedWithAnOldLimit(t *testing.T) {
	f := healthy()
	for i := range f.Nodes {
		f.Nodes[i].Redis.Info["used_memory"] = "6442450944" // 6 GiB
		f.Nodes[i].Host.MemoryTotal = 16 << 30
		f.Nodes[i].Redis.Config["maxmemory"] = "7516192768"
		f.Nodes[i].Drift.FileConfig["maxmemory"] = "7516192768"
	}
	node(&f, b).Redis.Config["maxmemory"] = "3221225472"
	node(&f, b).Drift.FileConfig["maxmemory"] = "3221225472"
	r := Judge(DefaultPolicy(), f, b)
	if r.Verdict != Blocked {
		t.Fatalf("got %s, want %s", r.Verdict, Blocked)
	}
	var ids []string
	for _, f := range r.Blocking() {
		ids = append(ids, f.Check)
	}
	if want := []string{"memory_limit_running", "memory_limit_file"}; !slices.Equal(ids, want) {
		t.Errorf("blocking: got %v, want %v", ids, want)
	}
	first := r.Findings[0]
	for _, want := range []string{"3.00 GiB", "6.60 GiB"} {
		if !strings.Contains(first.Reason, want) {
			t.Errorf("reason %q does not name %s", first.Reason, want)
		}
	}
	if want := "redis-cli -h 10.0.0.12 -p 6379 CONFIG SET maxmemory 7516192768\nredis-cli -h 10.0.0.12 -p 6379 CONFIG REWRITE"; first.Remedy != want {
		t.Errorf("remedy: got %q, want %q", first.Remedy, want)
	}
	if best := Judge(DefaultPolicy(), f, ""); best.Candidate != c || !strings.Contains(best.Why, b) {
		t.Errorf("best: got %s (%s), want %s, against %s", best.Candidate, best.Why, c, b)
	}
	if got := Vetoes(Own(DefaultPolicy(), "shop", *node(&f, a), *node(&f, b))); !slices.Equal(got, ids) {
		t.Errorf("vetoes: got %v, want %v", got, ids)
	}
	if got := Vetoes(Own(DefaultPolicy(), "shop", *node(&f, a), *node(&f, c))); got != nil {
		t.Errorf("vetoes of the good one: got %v", got)
	}
}

// A snapshot's offset looks like that of a replica whose master has just gone.
func TestDataFromDiskIsNotDataInStep(t *testing.T) {
	for _, tt := range []struct {
		name, since, judged string
		want                Outcome
	}{
		{"its master has just gone", "12", "in_step", Passed},
		{"started from its snapshot, nobody beside it", "-1", "", Failed},
		{"the same on 6.0", "1795906948", "", Failed},
		{"a snapshot that is too old", "-1", "behind", Failed},
		{"another group's data", "12", "unrelated", Failed},
		{"a snapshot that holds it all", "-1", "whole", Passed},
		{"all are back, and none has more", "-1", "best", Passed},
		{"accepted by a person", "-1", "accepted", Passed},
	} {
		f := healthy()
		n := node(&f, b)
		n.Redis.Info["master_link_status"], n.Redis.Info["master_link_down_since_seconds"] = "down", tt.since
		n.Watchdog.Data = tt.judged
		r := Judge(DefaultPolicy(), f, b)
		i := slices.IndexFunc(r.Findings, func(f Finding) bool { return f.Check == "replication_data" && f.Node == b })
		if i < 0 || r.Findings[i].Outcome != tt.want || tt.want == Failed && r.Findings[i].Remedy == "" {
			t.Errorf("%s: %+v, want %s", tt.name, r.Findings[max(i, 0)], tt.want)
		}
	}
}

func TestOwnDoesNotVetoOnWhatItDoesNotKnow(t *testing.T) {
	if got := Vetoes(Own(DefaultPolicy(), "shop", Node{Address: a}, Node{Address: b})); got != nil {
		t.Errorf("got %v, want none", got)
	}
	for _, f := range Own(DefaultPolicy(), "shop", Node{Address: a}, Node{Address: b}) {
		if f.Severity == Blocks && f.Outcome == Passed {
			t.Errorf("%s passed on nothing", f.Check)
		}
		for _, command := range []string{"preflight", "status", "unfence", "failover", "history"} {
			if _, of, told := strings.Cut(f.Remedy, "redis-watchdog "+command+" "); told && !strings.HasPrefix(of, "shop") {
				t.Errorf("the remedy of %s names no group: %s", f.Check, f.Remedy)
			}
		}
	}
}

// On 6.0.16 a replica whose master was shut shows an offset of 1 and keeps its
// data, and master_repl_offset.
func TestReplicaThatForgotItsOffsetHoldsItsData(t *testing.T) {
	for _, tt := range []struct {
		name, version, upTo, keys string
		want                      Outcome
	}{
		{"6.0", "6.0.16", "5000", "keys=1000,expires=10,avg_ttl=0", Passed},
		{"6.0, never in step", "6.0.16", "0", "", Failed},
		{"6.0, emptied by a sync that broke off", "6.0.16", "5000", "", Failed},
		{"7.0, which does not forget", "7.0.15", "5000", "keys=1000,expires=10,avg_ttl=0", Failed},
	} {
		f := healthy()
		info := node(&f, b).Redis.Info
		info["redis_version"], info["master_link_status"], info["slave_repl_offset"] = tt.version, "down", "1"
		info["master_repl_offset"], info["db0"] = tt.upTo, tt.keys
		info["master_link_down_since_seconds"] = "30"
		if tt.keys == "" {
			delete(info, "db0")
		}
		r := Judge(DefaultPolicy(), f, b)
		i := slices.IndexFunc(r.Findings, func(f Finding) bool { return f.Check == "replication_data" && f.Node == b })
		if i < 0 || r.Findings[i].Outcome != tt.want {
			t.Errorf("%s: %+v, want %s", tt.name, r.Findings[max(i, 0)], tt.want)
		}
	}
}

// What follows another master, or what another group lists too, blocks wherever it
// stands: Sentinel chooses, and knows nothing of it.
func TestReplicaOfAnotherGroupBlocks(t *testing.T) {
	for _, tt := range []struct {
		name  string
		spoil func(n *Node)
	}{
		{"listed by another group", func(n *Node) { n.Elsewhere = "shop" }},
		{"in step with another master, without a watchdog", func(n *Node) {
			n.Watchdog, n.Redis.Info["master_replid"] = nil, "another"
		}},
		{"its watchdog knows that its data is not this group's", func(n *Node) { n.Watchdog.Data = "unrelated" }},
	} {
		f := healthy()
		tt.spoil(node(&f, c))
		r := Judge(DefaultPolicy(), f, b)
		i := slices.IndexFunc(r.Findings, func(f Finding) bool { return f.Check == "replication_lineage" && f.Node == c })
		if i < 0 || r.Findings[i].Outcome != Failed || r.Findings[i].Severity != Blocks || !strings.Contains(r.Findings[i].Remedy, "SENTINEL RESET") || r.Verdict != Blocked {
			t.Errorf("%s, beside the candidate: %+v, verdict %s", tt.name, r.Findings[max(i, 0)], r.Verdict)
		}
		if r := Judge(DefaultPolicy(), f, ""); r.Candidate != b {
			t.Errorf("%s: %s is the best", tt.name, r.Candidate)
		}
	}
	f := healthy()
	own := *node(&f, b)
	own.Redis.Info["master_replid"] = "of the master that is new"
	own.Watchdog.Data = "in_step"
	if got := Vetoes(Own(DefaultPolicy(), "shop", *node(&f, a), own)); slices.Contains(got, "replication_lineage") {
		t.Error("vetoed for a report of the master that is older than its promotion")
	}
}
