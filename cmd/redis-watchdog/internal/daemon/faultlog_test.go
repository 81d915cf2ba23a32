package daemon

import (
	"bytes"
	"strings"
	"testing"
	"time"

	"github.com/hashicorp/go-hclog"

	"github.com/redis-watchdog/redis-watchdog/watchdog/agent"
)

func TestFaultsAreLoggedOnceTheyHaveLasted(t *testing.T) {
	var out bytes.Buffer
	l := faultLog{log: hclog.New(&hclog.LoggerOptions{Output: &out})}
	began := time.Unix(1000, 0)
	etcd := []agent.Fault{{ID: "etcd_unreachable", Severity: agent.SeverityError, Text: "t", Remedy: "r"}}
	two := []agent.Fault{etcd[0], etcd[0]} // of two members
	for _, step := range []struct {
		after  time.Duration
		faults []agent.Fault
		lines  int
	}{
		{0, etcd, 0},
		{faultLasts - 1, etcd, 0},
		{faultLasts - 1, nil, 0}, // a moment, nobody was told
		{faultLasts, etcd, 0},
		{2 * faultLasts, two, 1},
		{3 * faultLasts, etcd, 1}, // once
		{4 * faultLasts, nil, 2},  // and its end
		{5 * faultLasts, nil, 2},
	} {
		now := began.Add(step.after)
		l.begun(step.faults, now)
		l.observe(step.faults, now)
		if n := strings.Count(out.String(), "\n"); n != step.lines {
			t.Errorf("after %v: %d lines, want %d:\n%s", step.after, n, step.lines, out.String())
		}
	}
	if !strings.Contains(out.String(), "[ERROR] fault: id=etcd_unreachable") {
		t.Errorf("no error in\n%s", out.String())
	}
}

// A status may be read by anybody, as often as he likes: since when a fault is
// there, and what the log has of it, is left as it is.
func TestReadingFaultsChangesNothing(t *testing.T) {
	var out bytes.Buffer
	l := faultLog{log: hclog.New(&hclog.LoggerOptions{Output: &out})}
	began := time.Unix(1000, 0)
	at := func(now time.Time, ids ...string) (faults []agent.Fault) {
		for _, id := range ids {
			faults = append(faults, agent.Fault{ID: id, Severity: agent.SeverityWarning})
		}
		l.begun(faults, now)
		return faults
	}
	l.observe(at(began, "record"), began)
	for i := range 10 {
		now := began.Add(time.Duration(i) * faultLasts)
		at(now) // read while it was gone for a moment: it was not, to the log
		got := at(now, "stop", "record")
		if !got[0].Since.Equal(now) || !got[1].Since.Equal(began) {
			t.Errorf("read %d: since %v and %v, want %v (not observed yet) and %v", i, got[0].Since, got[1].Since, now, began)
		}
	}
	if out.Len() != 0 {
		t.Errorf("reading has logged:\n%s", out.String())
	}
	now := began.Add(faultLasts)
	l.observe(at(now, "record"), now)
	if !strings.Contains(out.String(), "[WARN]  fault: id=record") {
		t.Errorf("one that has lasted is not in the log:\n%s", out.String())
	}
}
