package sentinel

import (
	"testing"
	"time"

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

// What sentinelCheckSubjectivelyDown has counted when it answers.
func TestEndCountsAsSentinelDoes(t *testing.T) {
	for _, c := range []struct {
		name       string
		ping, pong time.Duration
		flags      Flag
		want       time.Duration // counted
	}{
		{"all PINGs answered", 0, 900 * time.Millisecond, 0, 0},
		{"one is not", 2 * time.Second, 3 * time.Second, 0, 2 * time.Second},
		{"one is not, and the connection is lost", 2 * time.Second, 3 * time.Second, FlagDisconnected, 2 * time.Second},
		{"all answered, then the connection was lost", 0, 3 * time.Second, FlagDisconnected, 3 * time.Second},
		{"not told", -1, 900 * time.Millisecond, 0, 900 * time.Millisecond},
		{"a PING older than the last PONG, which cannot be", 3 * time.Second, 2 * time.Second, 0, 2 * time.Second},
	} {
		g := newGroup(1)
		a := g.says(0, t0, us, 1)
		a.Master.PingAge, a.Master.PongAge, a.Master.Flags, a.Master.Quorum = c.ping, c.pong, c.flags, 1
		g.hear(t, 0, a)
		if got := t0.Add(down).Sub(g.Tally(us, t0).E); got != c.want {
			t.Errorf("%s: counted %v, want %v", c.name, got, c.want)
		}
	}
}

// A Sentinel that counted from its last PONG, having had no connection to send a
// PING on, may hold the old master down before the end that an answer between
// the two gave: it is no vote for opening a grant that lapsed before that, too,
// is past.
func TestDownVotesAreOfSentinelsWhoseEndIsPast(t *testing.T) {
	for _, c := range []struct {
		name       string
		ping, pong time.Duration
		flags      Flag
		role       watchdog.Role
		want       int
	}{
		{"a PING without an answer", down + time.Millisecond, down + time.Second, FlagSDown, watchdog.Master, 1},
		{"no connection and no PING", 0, down + time.Second, FlagSDown | FlagDisconnected, watchdog.Master, 0},
		{"the same, longer", 0, down + pingPeriod + time.Millisecond, FlagSDown | FlagDisconnected, watchdog.Master, 1},
		{"it is a replica", 0, time.Second, FlagSDown, watchdog.Replica, 1},
		{"not held down", 0, time.Second, 0, watchdog.Master, 0},
	} {
		g := newGroup(1)
		a := g.says(0, t0, us, 1)
		a.Master.PingAge, a.Master.PongAge, a.Master.Flags, a.Master.Quorum = c.ping, c.pong, c.flags, 1
		a.Master.Reported, a.Master.RoleFor = c.role, 30*time.Second
		g.hear(t, 0, a)
		g.all(t, t0+sec, other, 2)
		if s := g.Tally(other, t0+sec); s.Former != us || s.DownVotes != c.want {
			t.Errorf("%s: %d votes, want %d (former %q)", c.name, s.DownVotes, c.want, s.Former)
		}
	}
}

// A master that stood still for longer than down-after-milliseconds: all held it
// down, and hear it again. For some seconds they remember that of each other, so
// that one of them would be enough, but it would have to miss the master anew.
func TestWhatOthersRememberBeginsNoFailover(t *testing.T) {
	const woken = t0 + sec
	for _, c := range []struct {
		name    string
		quorum  int
		hear    []int         // who is heard after it woke
		unheard time.Duration // of the last of them, then
		want    watchdog.Instant
	}{
		{"all hear it", 2, []int{0, 1, 2}, 0, woken.Add(down)},
		{"one has counted some of it again", 2, []int{0, 1, 2}, 2 * time.Second, woken.Add(down - 2*time.Second)},
		{"one has not been heard since: it may hold it down still", 2, []int{0, 1}, 0, woken},
		{"the same, and it takes three", 3, []int{0, 1}, 0, woken},
		{"alone it needs nobody's memory", 1, []int{0, 1, 2}, 0, woken.Add(down)},
	} {
		g := newGroup(3)
		for i := range 3 {
			a := g.says(i, t0, us, 1)
			a.Master.Flags, a.Master.PingAge, a.Master.PongAge, a.Master.Quorum = FlagSDown, down+time.Second, down+2*time.Second, c.quorum
			g.hear(t, i, a)
		}
		if e := g.Tally(us, t0).E; e > t0 {
			t.Errorf("%s: while they hold it down E is %v ahead", c.name, e.Sub(t0))
		}
		for n, i := range c.hear {
			a := g.says(i, woken, us, 1)
			a.Master.Quorum = c.quorum
			if n == len(c.hear)-1 {
				a.Master.PingAge, a.Master.PongAge = c.unheard, c.unheard
			}
			g.hear(t, i, a)
		}
		if got := g.Tally(us, woken).E; got != c.want && (c.want > woken || got > woken) {
			t.Errorf("%s: E is %v ahead, want %v", c.name, got.Sub(woken), c.want.Sub(woken))
		}
		// Their memory ends, and so does what it counts for.
		if got := g.Tally(us, woken+6*sec).E; len(c.hear) == 3 && got > woken.Add(down) {
			t.Errorf("%s: E grows to %v with time alone", c.name, got.Sub(woken))
		}
	}
}
