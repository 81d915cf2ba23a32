package preflight

import (
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"
)

func TestStallsOfTheLastDay(t *testing.T) {
	noon := time.Date(2026, 11, 28, 12, 0, 0, 0, time.UTC)
	var s Stalls
	add := func(at time.Time, d time.Duration, fired, longest bool) {
		t.Helper()
		var got bool
		if s, got = s.Add(at, d, fired); got != longest {
			t.Errorf("%v at %v is the longest of its hour: %v, want %v", d, at, got, longest)
		}
	}
	add(noon.Add(time.Minute), 2*time.Second, false, true)
	add(noon.Add(2*time.Minute), 2*time.Second, true, false)
	add(noon.Add(3*time.Minute), 3*time.Second, false, true)
	add(noon.Add(61*time.Minute), time.Second, false, true)
	if worst, count, fired := s.worst(); worst.Longest != 3*time.Second || !worst.At.Equal(noon.Add(3*time.Minute)) || count != 4 || fired != 1 {
		t.Errorf("worst %+v, count %d, fired %d", worst, count, fired)
	}
	if worst, count, _ := s.Lately(noon.Add(stallsKept + time.Second)).worst(); worst.Longest != time.Second || count != 1 {
		t.Errorf("a day later: worst %+v, count %d", worst, count)
	}
	// Whatever a clock does, it stays small.
	for i := range 1000 {
		s, _ = s.Add(noon.Add(time.Duration(i%7-3)*100*time.Hour*time.Duration(i)), time.Second, false)
	}
	if n := len(s.Hours); n > 25 {
		t.Errorf("%d hours are kept", n)
	}
}

func TestStallsAreHeldAgainstWhatTheGroupBears(t *testing.T) {
	for _, c := range []struct {
		name    string
		longest time.Duration // 0: none
		bears   time.Duration
		want    Outcome
	}{
		{"none", 0, 4350 * time.Millisecond, Passed},
		{"none, and D is not known", 0, 0, Passed},
		{"a second before the end", 3350 * time.Millisecond, 4350 * time.Millisecond, Passed},
		{"less", 3351 * time.Millisecond, 4350 * time.Millisecond, Failed},
		{"longer than the group bears", time.Minute, 4350 * time.Millisecond, Failed},
		{"D is not known", 2 * time.Second, 0, Unknown},
	} {
		f := healthy()
		n := node(&f, a)
		n.Stalls = &Stalls{Bears: c.bears}
		if c.longest > 0 {
			*n.Stalls, _ = n.Stalls.Add(n.At, c.longest, true)
		}
		v := Judge(DefaultPolicy(), f, "")
		i := slices.IndexFunc(v.Findings, func(f Finding) bool { return f.Check == "host_stalls" && f.Node == a })
		if i < 0 || v.Findings[i].Outcome != c.want {
			t.Fatalf("%s: got %+v, want %v", c.name, v.Findings[max(i, 0)], c.want)
		}
		if c.want != Failed {
			continue
		}
		// What is offered bears it.
		_, after, ok := strings.Cut(v.Findings[i].Remedy, "down-after-milliseconds ")
		ms, err := strconv.Atoi(after)
		if !ok || err != nil {
			t.Fatalf("%s: remedy %q", c.name, v.Findings[i].Remedy)
		}
		if bears := time.Duration(ms)*time.Millisecond - borneLess; c.longest > bears-stallSlack {
			t.Errorf("%s: with %d ms a stall of %v is still too long", c.name, ms, c.longest)
		}
	}
}
