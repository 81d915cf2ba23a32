package daemon

import (
	"bytes"
	"strings"
	"testing"
	"time"

	"github.com/hashicorp/go-hclog"

	"github.com/redis-watchdog/redis-watchdog/watchdog/agent"
)

func TestComplaintsAreLoggedOnceTheyHaveLasted(t *testing.T) {
	var out bytes.Buffer
	c := complaints{log: hclog.New(&hclog.LoggerOptions{Output: &out})}
	began := time.Unix(1000, 0)
	etcd := []agent.Fault{{ID: "etcd_unreachable", Severity: agent.SeverityError, Text: "t", Remedy: "r"}}
	lines := func() int { return strings.Count(out.String(), "\n") }
	for _, step := range []struct {
		after  time.Duration
		faults []agent.Fault
		lines  int
	}{
		{0, etcd, 0},
		{faultLasts - 1, etcd, 0},
		{faultLasts - 1, nil, 0}, // a moment, nobody was told
		{faultLasts, etcd, 0},
		{2 * faultLasts, etcd, 1},
		{3 * faultLasts, etcd, 1}, // once
		{4 * faultLasts, nil, 2},  // and its end
		{5 * faultLasts, nil, 2},
	} {
		c.tell(step.faults, began.Add(step.after))
		if n := lines(); n != step.lines {
			t.Errorf("after %v: %d lines, want %d:\n%s", step.after, n, step.lines, out.String())
		}
	}
	if !strings.Contains(out.String(), "[ERROR] fault stands: id=etcd_unreachable") {
		t.Errorf("no error in\n%s", out.String())
	}
}
