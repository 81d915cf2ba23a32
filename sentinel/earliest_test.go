package sentinel

import (
	"testing"

	"github.com/redis-watchdog/redis-watchdog/watchdog"
)

// A master whose coordinator was away was held, and then refused, because one
// of three Sentinels had gone silent: E rested on lists that nobody asks for
// with every poll, or on what the silent one had proved, and looked old.
func TestEFromIsFreshWhileFewerThanTheQuorumAreSilent(t *testing.T) {
	g := newGroup(3)
	g.all(t, t0, us, 1)
	for at := t0; at <= t0+20*sec; at += sec / 5 {
		for i := range 2 {
			a := g.says(i, at, us, 1)
			a.Full = (at-t0)%(2*sec) == 0
			for j := range a.Sentinels {
				if a.Sentinels[j].RunID == "id3" {
					a.Sentinels[j].PongAge, a.Sentinels[j].HelloAge = at.Sub(t0), at.Sub(t0)
				}
			}
			// The silent one's PONG is not always the oldest.
			a.Master.PongAge = (at - t0).Sub(0) % 1000000000
			g.hear(t, i, a)
		}
		if s := g.Tally(us, at); s.EFrom != at || s.E < at.Add(down)-sec || s.Master != us {
			t.Fatalf("%v after it went silent: EFrom %v ago, E in %v, master %q", at.Sub(t0), at.Sub(s.EFrom), s.E.Sub(at), s.Master)
		}
	}
	// The second one takes the contact away.
	if s := g.Tally(us, t0+21*sec); s.EFrom != t0+20*sec {
		t.Errorf("EFrom is %v ago, the last answers are 1s ago", (t0 + 21*sec).Sub(s.EFrom))
	}
}

func TestEFromFollowsThePollsWhereNobodyCanBePromoted(t *testing.T) {
	g := newGroup(3)
	for at := t0; at <= t0+30*sec; at += sec / 5 {
		for i := range 3 {
			a := g.says(i, at, us, 1)
			a.Replicas, a.Full = nil, (at-t0)%(2*sec) == 0
			g.hear(t, i, a)
		}
		s := g.Tally(us, at)
		if s.EFrom != at {
			t.Fatalf("EFrom is %v ago although all answered now", at.Sub(s.EFrom))
		}
		if at == t0+30*sec && s.E != watchdog.Never {
			t.Errorf("E is in %v, want never", s.E.Sub(at))
		}
	}
}
