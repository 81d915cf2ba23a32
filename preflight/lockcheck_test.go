package preflight

import (
	"slices"
	"strings"
	"testing"
)

func TestVersionsWhoseLockStopsScripts(t *testing.T) {
	for version, want := range map[string]struct{ stops, known bool }{
		"5.0.14": {false, true}, "6.0.0": {false, true}, "6.0.16": {false, true}, "6.0.17": {true, true}, "6.0.20": {true, true},
		"6.2.0": {false, true}, "6.2.6": {false, true}, "6.2.7": {true, true}, "6.2.14": {true, true},
		"7.0.0-rc1": {true, true}, "7.0.15": {true, true}, "7.2.4": {true, true}, "8.0.2": {true, true}, "10.1.0": {true, true},
		"6.2.6-rc1": {false, true}, "": {}, "7": {}, "7.0": {}, "x.y.z": {}, "7.0.": {}, "6.-1.17": {}, "6.0.x16": {},
	} {
		if stops, known := LockStopsScripts(version); stops != want.stops || known != want.known {
			t.Errorf("%q: stops %v, known %v; want %v, %v", version, stops, known, want.stops, want.known)
		}
	}
}

func TestLockThatScriptsPassBlocksAFailover(t *testing.T) {
	old := func(n *Node) {
		n.Redis.Info["redis_version"] = "6.0.16"
		n.Redis.Scripts = &Scripts{Commands: []string{"eval", "evalsha"}, Users: []string{"app", "default"}}
	}
	for _, tt := range []struct {
		name  string
		spoil func(n *Node)
		want  Outcome
		says  string // in reason or remedy
	}{
		{"a new build", func(n *Node) {}, Passed, ""},
		{"an old build", old, Failed, "ACL SETUSER app -eval -evalsha"},
		{"whose users are not known", func(n *Node) { old(n); n.Redis.Scripts.Users = nil }, Failed, "every client may run one"},
		{"where scripts were not asked for", func(n *Node) { old(n); n.Redis.Scripts = nil }, Failed, "every client may run one"},
		{"where nobody may run one", func(n *Node) { old(n); n.Redis.Scripts.Users = []string{} }, Passed, ""},
		{"where they are renamed away", func(n *Node) {
			old(n)
			n.Redis.Scripts.Commands = []string{}
			n.Drift.Renamed = map[string]string{"EVAL": "removed", "EVALSHA": "removed"}
		}, Passed, ""},
		{"where one is left", func(n *Node) {
			old(n)
			n.Redis.Scripts.Commands = []string{"evalsha"}
			n.Drift.Renamed = map[string]string{"EVAL": "removed", "EVALSHA": "removed"} // since it was started
		}, Failed, "6.0.16"},
		{"where they have other names", func(n *Node) {
			old(n)
			n.Redis.Scripts.Commands = []string{}
			n.Drift.Renamed = map[string]string{"EVAL": "renamed", "EVALSHA": "renamed"}
		}, Failed, "6.0.16"},
		{"an old build with the change in it", func(n *Node) { old(n); n.Drift.LockedScript = ScriptRefused }, Passed, ""},
		{"a new build that does not do it", func(n *Node) { n.Drift.LockedScript = ScriptExecuted }, Failed, "7.0.15"},
		{"no version", func(n *Node) { n.Redis.Info["redis_version"] = "unstable" }, Unknown, "is no version"},
		{"no version, and asked", func(n *Node) { n.Redis.Info["redis_version"] = "unstable"; n.Drift.LockedScript = ScriptRefused }, Passed, ""},
	} {
		for _, address := range []string{a, b, c} { // master, candidate, bystander
			f := healthy()
			tt.spoil(node(&f, address))
			r := Judge(DefaultPolicy(), f, b)
			i := slices.IndexFunc(r.Findings, func(f Finding) bool { return f.Check == "lock_scripts" && f.Node == address })
			if i < 0 {
				t.Fatalf("%s: %s is not judged", tt.name, address)
			}
			got := r.Findings[i]
			if got.Outcome != tt.want || !strings.Contains(got.Reason+"\n"+got.Remedy, tt.says) {
				t.Errorf("%s at %s: got %s: %s (%s), want %s with %q", tt.name, address, got.Outcome, got.Reason, got.Remedy, tt.want, tt.says)
			}
			if blocks := got.Severity == Blocks; blocks != (address != c) {
				t.Errorf("%s at %s: severity %s", tt.name, address, got.Severity)
			}
		}
		n := healthy().Nodes[1]
		tt.spoil(&n)
		if own := OfBuild(n); len(own) != 1 || own[0].Outcome != tt.want {
			t.Errorf("%s, of itself: got %+v", tt.name, own)
		}
	}
}
