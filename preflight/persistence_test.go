package preflight

import (
	"strings"
	"testing"
	"time"
)

func TestJudgeOfHowLongAStartMayTake(t *testing.T) {
	loading := func(n *Node) {
		n.Redis.Info["loading"] = "1"
		n.Redis.Info["loading_start_time"] = "1000000000" // a minute ago
		n.Redis.Info["loading_eta_seconds"] = "31"
		n.Host.Now = time.Unix(1e9+60, 0)
	}
	for _, c := range []struct {
		name  string
		edit  func(n *Node)
		want  Outcome
		shows string
	}{
		{"as long as it takes", func(n *Node) { n.Host.StartTimeout = -1 }, Passed, "as long as it takes"},
		{"small", func(n *Node) { n.Host.StartTimeout = 90 }, Passed, "1.00 GiB take about 34s"},
		{"large", func(n *Node) {
			n.Host.StartTimeout = 90
			n.Redis.Info["used_memory"] = "10737418240"
		}, Failed, "may take 1m30s, but 10.00 GiB take about 5m41s"},
		{"loading, too slowly", func(n *Node) { n.Host.StartTimeout = 90; loading(n) }, Failed, "it is loading just now, which takes about 1m31s"},
		{"loading in time", func(n *Node) { n.Host.StartTimeout = 92; loading(n) }, Passed, "1m31s"},
		{"a replica of Redis 6.0", func(n *Node) {
			n.Host.StartTimeout = 90
			n.Redis.Info["redis_version"] = "6.0.16"
		}, Failed, "in step with a master"},
		{"no unit", func(n *Node) { n.Host.Unit, n.Host.StartTimeout = "", 0 }, Passed, "no unit is configured"},
		{"a unit that does not say", func(n *Node) { n.Host.StartTimeout = 0 }, Unknown, "how long"},
	} {
		f := healthy()
		c.edit(node(&f, b))
		found := false
		for _, got := range Judge(DefaultPolicy(), f, b).Findings {
			if got.Check != "persistence_load_timeout" || got.Node != b {
				continue
			}
			found = true
			if got.Outcome != c.want || !strings.Contains(got.Reason, c.shows) {
				t.Errorf("%s: %s: %s; want %s, %q", c.name, got.Outcome, got.Reason, c.want, c.shows)
			}
			if c.want == Failed && !strings.Contains(got.Remedy, "/etc/systemd/system/redis.service.d") || strings.Contains(got.Remedy, "\n") {
				t.Errorf("%s: remedy %q", c.name, got.Remedy)
			}
		}
		if !found {
			t.Errorf("%s: not judged", c.name)
		}
	}
}
