package preflight

import (
	"testing"
	"time"

	"github.com/redis-watchdog/redis-watchdog/watchdog"
)

// switched is healthy after a failover from a to b.
func switched() Facts {
	f := healthy()
	f.Master, f.Coordinator.Agreement, f.Coordinator.Holder, f.Coordinator.Epoch = b, b, b, 4
	for i := range f.Sentinels {
		f.Sentinels[i].Master, f.Sentinels[i].Epoch = b, 4
	}
	n := node(&f, b)
	n.Redis.Info["role"] = "master"
	n.Redis.Config["min-replicas-to-write"] = "0"
	n.Redis.Replicas = []ReplicaLine{{Address: a, State: "online"}, {Address: c, State: "online"}}
	for i := range f.Nodes {
		f.Nodes[i].Drift.Rewritten = time.Unix(2e9, 0)
	}
	return f
}

func TestPostSwitchPassesAGoodFailover(t *testing.T) {
	for _, f := range PostSwitch(healthy(), switched()) {
		if f.Outcome != Passed {
			t.Errorf("%s of %q: %s: %s", f.Check, f.Node, f.Outcome, f.Reason)
		}
	}
}

func TestPostSwitchNamesWhatWentWrong(t *testing.T) {
	for want, spoil := range map[string]func(*Facts){
		"after_master":    func(f *Facts) { f.Master = a },
		"after_serves":    func(f *Facts) { node(f, b).Redis.Config["min-replicas-to-write"] = watchdog.LockValue },
		"after_keys":      func(f *Facts) { node(f, b).Redis.Info["db0"] = "keys=400,expires=10,avg_ttl=0" },
		"after_evictions": func(f *Facts) { node(f, b).Redis.Info["evicted_keys"] = "600" },
		"after_replicas":  func(f *Facts) { node(f, b).Redis.Replicas = node(f, b).Redis.Replicas[:1] },
		"after_files":     func(f *Facts) { node(f, a).Drift.Rewritten = time.Time{} },
	} {
		after := switched()
		spoil(&after)
		got := Passed
		for _, f := range PostSwitch(healthy(), after) {
			if f.Check == want && f.Outcome == Failed {
				got = Failed
			}
		}
		if got != Failed {
			t.Errorf("%s did not fail", want)
		}
	}
}
