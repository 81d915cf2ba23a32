package sentinel

import (
	"context"
	"net/netip"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/redis-watchdog/redis-watchdog/watchdog"
)

// drawAnswer is any answer a Sentinel could give, and some it could not.
func drawAnswer(t *rapid.T, g group, i int, at watchdog.Instant) Answer {
	address := rapid.SampledFrom([]watchdog.Address{us, us, us, other, third})
	a := g.says(i, at, address.Draw(t, "named"), rapid.Uint64Range(0, 3).Draw(t, "epoch"))
	m := &a.Master
	m.PongAge = time.Duration(rapid.Int64Range(-1, 8000).Draw(t, "pong")) * time.Millisecond
	m.PingAge = time.Duration(rapid.SampledFrom([]int64{-1, 0, 0, 0, 1, 500, 3000}).Draw(t, "ping")) * time.Millisecond
	m.Flags = Flag(rapid.SampledFrom([]int{0, 0, 0, 1, 3, 8, 11, 255}).Draw(t, "flags"))
	m.Failover = FailoverState(rapid.SampledFrom([]int{0, 0, 0, 1, 3, 4, 5, 6}).Draw(t, "failover"))
	if m.past() && rapid.Bool().Draw(t, "old") {
		m.Address = address.Draw(t, "described")
	}
	m.Quorum = rapid.IntRange(0, 4).Draw(t, "quorum")
	m.Others = rapid.SampledFrom([]int{g.n - 1, g.n - 1, g.n - 1, 0, g.n}).Draw(t, "others")
	if rapid.Bool().Draw(t, "slave") {
		m.Reported, m.RoleFor = watchdog.Replica, time.Duration(rapid.Int64Range(0, 30000).Draw(t, "roleFor"))*time.Millisecond
	}
	if a.Full = rapid.Bool().Draw(t, "full"); !a.Full {
		a.Replicas, a.Sentinels = nil, nil
	} else if rapid.Bool().Draw(t, "vetoed") {
		for j := range a.Replicas {
			a.Replicas[j].Priority = 0
		}
	}
	if rapid.IntRange(0, 9).Draw(t, "unknown") == 0 {
		a = Answer{SentAt: at}
	}
	return a
}

func TestTallyInvariants(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		n := rapid.SampledFrom([]int{1, 2, 3, 5}).Draw(t, "sentinels")
		g := newGroup(n)
		last := make([]Answer, n) // usable ones
		now := t0
		before := watchdog.Sentinels{}
		for range rapid.IntRange(1, 40).Draw(t, "steps") {
			now = now.Add(time.Duration(rapid.Int64Range(1, 1500).Draw(t, "wait")) * time.Millisecond)
			if i := rapid.IntRange(-1, n-1).Draw(t, "who"); i >= 0 {
				a := drawAnswer(t, g, i, now)
				if _, fault := g.Hear(key(i), a); fault == "" {
					last[i] = a
				}
			}
			g.Settle(now)
			s := g.Tally(us, now)
			if s != g.Tally(us, now) {
				t.Fatal("Tally is no function")
			}
			checkTally(t, g, last, s, now)
			if s.Master != "" && s.Master == before.Master && s.Epoch == before.Epoch && s.NamedSince < before.NamedSince {
				t.Fatalf("NamedSince went back: %+v after %+v", s, before)
			}
			before = s
		}
	})
}

func checkTally(t *rapid.T, g group, last []Answer, s watchdog.Sentinels, now watchdog.Instant) {
	votes, sound := 0, 0
	for i := range last {
		a := &last[i]
		fresh := a.SentAt > 0 && now.Sub(a.SentAt) <= g.FreshFor
		if fresh && a.Named == s.Master && a.Master.Epoch == s.Epoch {
			votes++
		}
		if tm := g.member(key(i)).term(us); tm == nil && fresh && a.Named == "" {
			sound++ // it knows no master of that name, and begins to count when it is told
		} else if tm != nil && tm.End > now {
			sound++
			if tm.End > tm.SentAt.Add(down) {
				t.Fatalf("e of %d is %v after the answer it rests on", i, tm.End.Sub(tm.SentAt))
			}
		}
		if fresh && a.Master.failing() && a.Master.Address == us && a.Named == us && s.E > now && s.E != watchdog.Never {
			t.Fatalf("a failover is shown and E is %v ahead", s.E.Sub(now))
		}
	}
	if s.Master != "" && (votes*2 <= s.Known || s.NamedSince == 0 || s.NamedSince > now) {
		t.Fatalf("a master by %d votes: %+v", votes, s)
	}
	if s.Known < g.n || s.Answering > s.Known || s.Votes > s.Answering {
		t.Fatalf("counted wrongly: %+v", s)
	}
	if s.Unanimous && (s.Failover || votes != s.Known) {
		t.Fatalf("unanimous: %+v", s)
	}
	// Somebody must vouch for us, or nobody may be there to be promoted.
	if s.E > now && s.E != watchdog.Never && sound == 0 {
		t.Fatalf("E is %v ahead and nobody vouches", s.E.Sub(now))
	}
}

// A later answer that finds nothing wrong never brings E nearer, and silence
// never puts it off.
func TestEndIsMonotone(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		n := rapid.SampledFrom([]int{1, 3, 5}).Draw(t, "sentinels")
		g := newGroup(n)
		now := t0
		for i := range n {
			g.Hear(key(i), g.says(i, now, us, 1))
		}
		g.Settle(now)
		e := g.Tally(us, now).E
		for range 30 {
			now = now.Add(time.Duration(rapid.Int64Range(1, 400).Draw(t, "wait")) * time.Millisecond)
			i := rapid.IntRange(-1, n-1).Draw(t, "who")
			if i >= 0 {
				g.Hear(key(i), g.says(i, now, us, 1))
			}
			g.Settle(now)
			got := g.Tally(us, now).E
			if got < e || i < 0 && got != e {
				t.Fatalf("E went from %v to %v", e.Sub(t0), got.Sub(t0))
			}
			e = got
		}
	})
}

// FuzzReplies feeds a poll any bytes: no panic, and what comes out as usable is
// within bounds.
func FuzzReplies(f *testing.F) {
	f.Add([]byte(array("127.0.0.1", "6379") + array("ip", "127.0.0.1", "port", "6379", "flags", "master,s_down") + "*0\r\n*0\r\n$3\r\nabc\r\n"))
	f.Add([]byte("*-1\r\n-ERR No such master with that name\r\n-ERR\r\n-ERR\r\n$-1\r\n"))
	f.Add([]byte("*2\r\n$-1\r\n$-1\r\n*1000000000\r\n"))
	f.Add([]byte("-NOAUTH Authentication required.\r\n"))
	f.Fuzz(func(t *testing.T, data []byte) {
		names := newResolver(context.Background(), func() watchdog.Instant { return t0 })
		names.lookup = func(context.Context, string) ([]netip.Addr, error) { return nil, context.DeadlineExceeded }
		for _, n := range []int{leanReplies, fullReplies} {
			replies, err := answersOf(t, data, n)
			if err != nil {
				continue
			}
			a, err := parse(replies, names, process{})
			if err != nil {
				continue
			}
			a.SentAt = t0
			g := newGroup(2)
			g.Hear(key(0), a)
			g.Settle(t0)
			if s := g.Tally(us, t0); s.Master != "" || s.Known > maxSentinels+1 || s.E > t0+31*365*24*3600*sec && s.E != watchdog.Never {
				t.Errorf("one Sentinel of two made %+v", s)
			}
		}
	})
}
