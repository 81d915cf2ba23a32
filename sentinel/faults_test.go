package sentinel

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/redis-watchdog/redis-watchdog/watchdog"
)

func faultOf(all []Fault, id string) *Fault {
	if i := slices.IndexFunc(all, func(f Fault) bool { return f.ID == id }); i >= 0 {
		return &all[i]
	}
	return nil
}

// TestWhoIsSetOtherwiseIsNamed: which Sentinel, and the one line that sets it as
// most are, or as it should be.
func TestWhoIsSetOtherwiseIsNamed(t *testing.T) {
	set := func(i int, what string) string {
		return "redis-cli -h 10.0.1." + string(rune('1'+i)) + " -p 26379 SENTINEL SET mymaster " + what
	}
	for _, tt := range []struct {
		name   string
		quorum []int
		down   []time.Duration
		fault  string // empty: none
		says   string
		remedy []string
	}{
		{name: "alike"},
		{name: "one of three", down: []time.Duration{down, 3 * time.Second, down}, fault: "sentinel_down_after_differs",
			says: "5000 ms at 2 of them, 3000 ms at 10.0.1.2:26379", remedy: []string{set(1, "down-after-milliseconds 5000")}},
		{name: "all three: the largest", down: []time.Duration{down, 3 * time.Second, 4 * time.Second}, fault: "sentinel_down_after_differs",
			says:   "5000 ms at 1 of them, 3000 ms at 10.0.1.2:26379, 4000 ms at 10.0.1.3:26379",
			remedy: []string{set(1, "down-after-milliseconds 5000"), set(2, "down-after-milliseconds 5000")}},
		{name: "a quorum of 1", quorum: []int{2, 1, 2}, fault: "sentinel_quorum", says: "below a majority", remedy: []string{set(1, "quorum 2")}},
		{name: "a quorum of 1 at all", quorum: []int{1, 1, 1}, fault: "sentinel_quorum", says: "1 at 3 of them", remedy: []string{set(0, "quorum 2"), set(1, "quorum 2"), set(2, "quorum 2")}},
		{name: "a quorum that differs", quorum: []int{2, 2, 3}, fault: "sentinel_quorum", says: "differs", remedy: []string{set(2, "quorum 2")}},
		{name: "more than there are, at one", quorum: []int{2, 4, 2}, fault: "sentinel_quorum", says: "4 at 10.0.1.2:26379", remedy: []string{set(1, "quorum 2")}},
		{name: "more than there are, at all", quorum: []int{4, 4, 4}, fault: "sentinel_quorum", says: "no failover", remedy: []string{set(0, "quorum 2"), set(1, "quorum 2"), set(2, "quorum 2")}},
		{name: "one of each", quorum: []int{1, 2, 5}, fault: "sentinel_quorum", says: "5 at", remedy: []string{set(0, "quorum 2"), set(2, "quorum 2")}},
	} {
		g := newGroup(3)
		for i := range g.n {
			a := g.says(i, t0, us, 1)
			if tt.quorum != nil {
				a.Master.Quorum = tt.quorum[i]
			}
			if tt.down != nil {
				a.Master.DownAfter = tt.down[i]
			}
			g.hear(t, i, a)
		}
		all := g.faults("mymaster", t0)
		for _, id := range []string{"sentinel_quorum", "sentinel_down_after_differs"} {
			f := faultOf(all, id)
			if (f != nil) != (id == tt.fault) {
				t.Errorf("%s: fault %s: %+v", tt.name, id, f)
				continue
			}
			if f != nil && (!strings.Contains(f.Text, tt.says) || f.Remedy != strings.Join(tt.remedy, "\n")) {
				t.Errorf("%s: it says %q, remedy %q", tt.name, f.Text, f.Remedy)
			}
		}
	}
}

// TestPingsAnsweredWithErrorsAreTold: of whom, by whom, and never of what is merely
// silent, loading or back from a stall.
func TestPingsAnsweredWithErrorsAreTold(t *testing.T) {
	for _, tt := range []struct {
		name        string
		reply, pong time.Duration
		flags       Flag
		want        bool
	}{
		{"an error every second", time.Second, 9 * time.Second, FlagSDown, true},
		{"good replies", time.Second, time.Second, 0, false},
		{"silence", 9 * time.Second, 9 * time.Second, FlagSDown, false},
		{"a script that is over", time.Second, 2 * time.Second, FlagSDown, false},
		{"not held down yet", time.Second, 9 * time.Second, 0, false},
		{"not told when", -1, 9 * time.Second, FlagSDown, false},
	} {
		for _, of := range []watchdog.Address{us, other} {
			g := newGroup(3)
			for i := range g.n {
				a := g.says(i, t0, us, 1)
				at := &a.Master
				if of != us {
					at = &a.Replicas[slices.IndexFunc(a.Replicas, func(in Instance) bool { return in.Address == of })]
				}
				if i == 1 {
					at.ReplyAge, at.PongAge, at.Flags = tt.reply, tt.pong, at.Flags|tt.flags
				}
				g.hear(t, i, a)
			}
			if tally := g.Tally(us, t0); tally.Erring != (tt.want && of == us) {
				t.Errorf("%s, of %s: erring %t", tt.name, of, tally.Erring)
			}
			f := faultOf(g.faults("mymaster", t0), "sentinel_refused")
			if (f != nil) != tt.want {
				t.Errorf("%s, of %s: %+v", tt.name, of, f)
			}
			if f != nil && (!strings.Contains(f.Text, string(of)+" those of 10.0.1.2:26379") || !strings.HasPrefix(f.Remedy, "redis-cli -h 10.0.1.2 -p 26379 SENTINEL SET mymaster auth-pass PASSWORD\n#")) {
				t.Errorf("%s: %q, %q", tt.name, f.Text, f.Remedy)
			}
		}
	}
}
