package watchdog

import (
	"strings"
	"testing"
	"time"
)

func TestTimingFollowsFromDownAfter(t *testing.T) {
	const ms, s = time.Millisecond, time.Second
	for _, c := range []struct {
		policy Policy
		d      time.Duration
		want   Timing
	}{
		{d: 2 * s, want: Timing{2 * s, 100 * ms, 20 * ms, 400 * ms, 600 * ms, 500 * ms, 2 * s, 50 * ms, 320 * ms, 320 * ms}},
		{d: 3 * s, want: Timing{3 * s, 150 * ms, 30 * ms, 400 * ms, 600 * ms, 500 * ms, 2 * s, 50 * ms, 320 * ms, 320 * ms}},
		{d: 5 * s, want: Timing{5 * s, 250 * ms, 50 * ms, 625 * ms, 937500 * time.Microsecond, 500 * ms, 4 * s, 80 * ms, 500 * ms, 500 * ms}},
		{d: 30 * s, want: Timing{30 * s, 500 * ms, 100 * ms, 750 * ms, 1125 * ms, 500 * ms, 29 * s, 580 * ms, 600 * ms, 600 * ms}},
		{d: 1 * s, want: Timing{1 * s, 100 * ms, 20 * ms, 400 * ms, 600 * ms, 250 * ms, 2 * s, 50 * ms, 320 * ms, 320 * ms}},
		{d: 0, want: Timing{2 * s, 100 * ms, 20 * ms, 400 * ms, 600 * ms, 500 * ms, 2 * s, 50 * ms, 320 * ms, 320 * ms}},
		{
			policy: Policy{TimeToAct: 400 * ms, SuspectAfter: 1 * s, HintHold: 100 * ms}, d: 5 * s,
			want: Timing{5 * s, 400 * ms, 80 * ms, 1 * s, 1500 * ms, 100 * ms, 4 * s, 80 * ms, 800 * ms, 800 * ms},
		},
	} {
		if got := c.policy.Timing(c.d); got != c.want {
			t.Errorf("Timing(%v) of %+v:\n got %+v\nwant %+v", c.d, c.policy, got, c.want)
		}
	}
}

func TestTimingLeavesADeadMastersGrantLapsedWhenItsSuccessorIsPromoted(t *testing.T) {
	for d := 3 * time.Second; d <= time.Minute; d += 100 * time.Millisecond {
		if ttl := (Policy{}).Timing(d).LeaseTTL; ttl >= d || ttl%time.Second != 0 {
			t.Errorf("lease TTL at D = %v: got %v, want whole seconds below D", d, ttl)
		}
	}
}

func TestTimingSaysWhetherItIsKept(t *testing.T) {
	const ms, s = time.Millisecond, time.Second
	for _, c := range []struct {
		name   string
		policy Policy
		d      time.Duration
		named  []string // both numbers, when it is not kept; none: it is
	}{
		{name: "1s", d: 1 * s, named: []string{"lease (2s)", "down-after-milliseconds (1s)"}},
		{name: "2s", d: 2 * s, named: []string{"lease (2s)", "down-after-milliseconds (2s)"}},
		{name: "2.1s", d: 2100 * ms},
		{name: "slow to act at 2.1s", d: 2100 * ms, policy: Policy{TimeToAct: 1200 * ms}, named: []string{"down-after-milliseconds (2.1s)", "two polls (640ms)"}},
		{name: "2.5s", d: 2500 * ms},
		{name: "3s", d: 3 * s},
		{name: "5s", d: 5 * s},
		{name: "30s", d: 30 * s},
		{name: "slow to act", policy: Policy{TimeToAct: 4 * s}, d: 5 * s, named: []string{"down-after-milliseconds (5s)", "time to act (4s)"}},
		{name: "slow to suspect", policy: Policy{SuspectAfter: 1500 * ms}, d: 5 * s, named: []string{"4s", "less than two renewals"}},
	} {
		kept, why := c.policy.Timing(c.d).Kept()
		if kept != (len(c.named) == 0) || kept != (why == "") {
			t.Errorf("%s: got %v, %q, want kept %v", c.name, kept, why, len(c.named) == 0)
		}
		for _, number := range c.named {
			if !strings.Contains(why, number) {
				t.Errorf("%s: %q does not name %q", c.name, why, number)
			}
		}
	}
}

func TestTermOrdersByGenerationThenEpoch(t *testing.T) {
	terms := []Term{{0, 0}, {0, 9}, {1, 0}, {1, 4}, {1, 5}, {2, 0}, {2, 4}}
	for i, a := range terms {
		for j, b := range terms {
			want := 0
			if i < j {
				want = -1
			} else if i > j {
				want = +1
			}
			if got := a.Compare(b); got != want {
				t.Errorf("%v against %v: got %d, want %d", a, b, got, want)
			}
		}
	}
}

func TestInstantsDoNotOverflow(t *testing.T) {
	for _, c := range []struct {
		what      string
		got, want Instant
	}{
		{"Never less a second", Never.Add(-time.Second), Never},
		{"nearly Never and a second", (Never - 5).Add(time.Second), Never},
		{"zero less a second is past", Instant(0).Add(-time.Second), -Instant(time.Second)},
		{"the earlier", Instant(3).Min(2), 2},
		{"the later", Instant(3).Max(2), 3},
	} {
		if c.got != c.want {
			t.Errorf("%s: got %d, want %d", c.what, c.got, c.want)
		}
	}
	if got := Never.Sub(5); got <= 0 {
		t.Errorf("time until Never: got %v, want the longest", got)
	}
	if got := Instant(5).Sub(7); got != -2 {
		t.Errorf("time from a later instant: got %v, want -2ns", got)
	}
}
