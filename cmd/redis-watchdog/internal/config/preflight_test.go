package config

import (
	"strconv"
	"strings"
	"testing"

	"github.com/redis-watchdog/redis-watchdog/preflight"
)

func withPreflight(section string) string { return valid + "    preflight:\n" + section }

func TestPreflightDefaultsAreThoseOfTheChecks(t *testing.T) {
	c, err := load(t, valid)
	if err != nil {
		t.Fatal(err)
	}
	p := c.Groups[0].Preflight
	if got := p.Policy(); got != preflight.DefaultPolicy() {
		t.Errorf("got %+v\nwant %+v", got, preflight.DefaultPolicy())
	}
	if p.LastReplica != LastReplicaBlock || p.Shadow != ShadowAuto || len(p.DriftIgnore) != 0 {
		t.Errorf("got %+v", p)
	}
}

// What the file may say, the checks take.
func TestPreflightBoundsAreThoseOfTheChecks(t *testing.T) {
	for _, test := range []struct{ key, most, more string }{
		{"headroom", "10", "10.1"}, {"copy_on_write", "1", "1.1"}, {"keys", "1", "NaN"},
		{"lag", "1h", "61m"}, {"trend", "8760h", "8761h"}, {"backlog", "24h", "25h"}, {"fork", "1m", "61s"},
		{"slow_command", "1h", "61m"}, {"slow_window", "720h", "721h"}, {"clock", "24h", "25h"},
		{"large_instance", "8589934591gb", "8589934592gb"}, {"lag_bytes", "1k", "-1"},
		{"drift", "warns", "informs"},
	} {
		c, err := load(t, withPreflight("      "+test.key+": "+test.most+"\n"))
		if err != nil {
			t.Errorf("%s: %s: %v", test.key, test.most, err)
		} else if err := c.Groups[0].Preflight.Policy().Validate(); err != nil {
			t.Errorf("%s: %s is taken here and not by the checks: %v", test.key, test.most, err)
		}
		_, err = load(t, withPreflight("      "+test.key+": "+test.more+"\n"))
		if err == nil || !strings.Contains(err.Error(), "groups[0].preflight."+test.key+": ") {
			t.Errorf("%s: %s: got %v", test.key, test.more, err)
		}
	}
}

func TestPreflightNamesWhatIsWrongByLine(t *testing.T) {
	_, err := load(t, withPreflight("      last_replica: maybe\n      shadow: on\n      drift_ignore: [MaxMemory, save, save]\n      report_timeout: 1ms\n      headrom: 1\n      lag_bytes: 1.5gb\n"))
	if err == nil {
		t.Fatal("nothing is wrong")
	}
	first := strings.Count(valid, "\n") + 2
	lines := strings.Split(err.Error(), "\n")
	for i, want := range []struct {
		line int
		text string
	}{
		{first, `groups[0].preflight.last_replica: value "maybe": is not one of block, allow`},
		{first + 1, "groups[0].preflight.shadow: "},
		{first + 2, `groups[0].preflight.drift_ignore[0]: value "MaxMemory"`},
		{first + 2, "groups[0].preflight.drift_ignore[2]: "},
		{first + 3, "groups[0].preflight.report_timeout: "},
		{first + 4, "did you mean headroom?"},
		{first + 5, `groups[0].preflight.lag_bytes: value "1.5gb": is not a size`},
	} {
		if i >= len(lines) || !strings.Contains(lines[i], want.text) || !strings.Contains(lines[i], ":"+strconv.Itoa(want.line)+": ") {
			t.Errorf("fault %d: want line %d and %q in\n%s", i, want.line, want.text, err)
		}
	}
	if len(lines) != 7 {
		t.Errorf("got %d faults, want 7", len(lines))
	}
}

func TestParseSizeReadsWhatRedisReads(t *testing.T) {
	for written, want := range map[string]Size{"0": 0, "17": 17, "1k": 1000, "1KB": 1024, "2m": 2_000_000, "2mb": 2 << 20, "3g": 3_000_000_000, "3Gb": 3 << 30, "007": 7, "5b": 5} {
		if got, ok := parseSize(written); !ok || got != want {
			t.Errorf("%s: got %d, %v, want %d", written, got, ok, want)
		}
	}
	for _, written := range []string{"", "gb", "1 gb", "1.5gb", "-1", "1tb", "0x10", "9999999999gb"} {
		if got, ok := parseSize(written); ok {
			t.Errorf("%q: got %d, want none", written, got)
		}
	}
}
