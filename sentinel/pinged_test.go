package sentinel

import (
	"testing"
	"time"

	"github.com/redis-watchdog/redis-watchdog/watchdog"
)

// five is a group of five of which the last two never answer and are heard by
// the others.
func five(t *testing.T) group {
	t.Helper()
	g := newGroup(5)
	for i := 3; i < 5; i++ {
		g.Members[i].RunID = peer(i).RunID
	}
	g.answer(t, t0)
	return g
}

// answer has the first three name us.
func (g group) answer(t *testing.T, at watchdog.Instant) {
	t.Helper()
	for i := range 3 {
		g.hear(t, i, g.says(i, at, us, 1))
	}
}

func (g group) pings(at, seen watchdog.Instant, of ...int) {
	var all []watchdog.Ping
	for _, i := range of {
		all = append(all, watchdog.Ping{Sentinel: peer(i).RunID, At: at, SeenAt: seen})
	}
	g.Pinged(us, all)
}

// pinging lets the others answer every half second, and the last two ping once a
// second, for so long; it is when that ends.
func (g group) pinging(t *testing.T, from watchdog.Instant, long time.Duration) watchdog.Instant {
	t.Helper()
	for now := from; ; now = now.Add(500 * time.Millisecond) {
		if now.Sub(from) >= long {
			return now
		}
		g.answer(t, now)
		g.pings(from.Add(now.Sub(from).Truncate(time.Second)), now, 3, 4)
	}
}

// Two of five cannot be asked. They cannot hold us down before a down-after has
// passed since the PING that our Redis answered.
func TestSentinelsThatCannotBeAskedCountByTheirPings(t *testing.T) {
	g := five(t)
	if s := g.Tally(us, t0); s.E > t0 || s.Pinged {
		t.Fatalf("before: %+v; want E past", s)
	}
	now := g.pinging(t, t0+sec, 4*time.Second)
	last := t0 + 4*sec
	s := g.Tally(us, now)
	if want := last.Add(down); s.E != want || !s.Pinged || s.EAsked > now {
		t.Errorf("E is %v after t0, pinged %v, %v by asking; want %v, true, past", s.E.Sub(t0), s.Pinged, s.EAsked.Sub(t0), want.Sub(t0))
	}
	if s.Master != us || s.Votes != 3 || s.Known != 5 || s.Answering != 3 {
		t.Errorf("got %+v; want a majority of three of five", s)
	}
	if age := now.Sub(s.EFrom); age > time.Second {
		t.Errorf("EFrom is %v old", age)
	}
	// The PINGs stop. What they proved runs out.
	for end := now.Add(2 * down); now < end; now = now.Add(500 * time.Millisecond) {
		g.answer(t, now)
		g.pings(last, last, 3, 4)
		if s := g.Tally(us, now); s.E > last.Add(down) {
			t.Fatalf("E is %v after the last PING; want no more than %v", s.E.Sub(last), down)
		}
	}
	if s := g.Tally(us, now); s.E > now {
		t.Errorf("E is %v ahead without PINGs", s.E.Sub(now))
	}
	if f := g.faults("mymaster", now); !hasFault(f, "sentinel_never_answered") || hasFault(f, "sentinel_unasked") {
		t.Errorf("faults %+v", f)
	}
}

func hasFault(all []Fault, id string) bool {
	for _, f := range all {
		if f.ID == id {
			return true
		}
	}
	return false
}

// One that may have held us down until now counts when it has taken an answer for
// sure, and others have forgotten its word.
func TestAPingAfterASilenceDoesNotCountAtOnce(t *testing.T) {
	for name, tt := range map[string]struct {
		silence time.Duration
		want    time.Duration // until it counts again
	}{
		"shorter than down-after": {down - time.Second, 0},
		"down-after":              {down, takenAfter + rumour},
		"long":                    {time.Minute, takenAfter + rumour},
	} {
		t.Run(name, func(t *testing.T) {
			g := five(t)
			now := g.pinging(t, t0+sec, 4*time.Second)
			last := t0 + 4*sec
			back := last.Add(tt.silence)
			for now = now.Add(500 * time.Millisecond); now < back; now = now.Add(500 * time.Millisecond) {
				g.answer(t, now)
			}
			for now = back; ; now = now.Add(100 * time.Millisecond) {
				g.answer(t, now)
				g.pings(back.Add(now.Sub(back).Truncate(time.Second)), now, 3, 4)
				if g.Tally(us, now).E > now || now.Sub(back) > time.Minute {
					break
				}
			}
			if got := now.Sub(back); got < tt.want || got > tt.want+1100*time.Millisecond {
				t.Errorf("it counts again after %v, want %v", got, tt.want)
			}
		})
	}
}

// Asked until now, and heard pinging before its own word has run out, it counts
// on without a break.
func TestPingsTakeOverFromItsOwnWord(t *testing.T) {
	for _, late := range []bool{false, true} {
		g := newGroup(3)
		g.all(t, t0, us, 1)
		begin := t0.Add(down - 500*time.Millisecond)
		if late {
			begin = t0.Add(down)
		}
		g.pings(begin, begin, 0, 1, 2)
		now := begin.Add(100 * time.Millisecond)
		g.Settle(now)
		if s := g.Tally(us, now); (s.E > now) == late {
			t.Errorf("late %v: E is %v ahead", late, s.E.Sub(now))
		}
	}
}

// With a quorum of 1 one Sentinel is enough, and it may hold us down for a turn.
func TestPingsDoNotCountWithAQuorumOf1(t *testing.T) {
	g := five(t)
	for now := t0 + sec; now < t0+6*sec; now = now.Add(500 * time.Millisecond) {
		for i := range 3 {
			a := g.says(i, now, us, 1)
			a.Master.Quorum = 1
			g.hear(t, i, a)
		}
		g.pings(now, now, 3, 4)
		if s := g.Tally(us, now); s.E > now || s.Pinged {
			t.Fatalf("got %+v; want E past", s)
		}
	}
}

// What a Sentinel said when it could be asked stands against its PINGs: they do
// not tell whom it has for the master.
func TestItsOwnWordStandsAgainstItsPings(t *testing.T) {
	for name, tt := range map[string]struct {
		named watchdog.Address
		epoch uint64
		want  bool // E is ahead
	}{
		"another, at a newer epoch":               {other, 2, false},
		"another, before we were promoted":        {other, 0, true},
		"another, at our epoch: it is behind":     {other, 1, true},
		"us":                                      {us, 1, true},
		"us, at an older epoch than the majority": {us, 0, true},
	} {
		g := five(t)
		for i := 3; i < 5; i++ {
			a := g.says(i, t0, tt.named, tt.epoch)
			g.hear(t, i, a)
		}
		now := g.pinging(t, t0+sec, 8*time.Second)
		if s := g.Tally(us, now); (s.E > now) != tt.want {
			t.Errorf("%s: E is %v ahead; want it ahead: %v", name, s.E.Sub(now), tt.want)
		}
	}
}

// Another may be granted for being named by a majority for a down-after. A PING does
// not tell whom a Sentinel names: what bounds that is when a majority was last
// known to name us, also when too few can be asked any more.
func TestVouchedIsWhenAMajorityLastNamedUs(t *testing.T) {
	g := five(t)
	now := g.pinging(t, t0+sec, 4*time.Second)
	last := now.Add(-500 * time.Millisecond) // answers are asked for every half second
	if s := g.Tally(us, now); !s.Pinged || s.Vouched != last.Add(down) {
		t.Fatalf("vouched until %v after t0, want %v", s.Vouched.Sub(t0), last.Add(down).Sub(t0))
	}
	for end := now.Add(3 * time.Second); now < end; now = now.Add(500 * time.Millisecond) {
		for i := range 2 { // the third cannot be asked any more, and pings
			g.hear(t, i, g.says(i, now, us, 1))
		}
		g.pings(t0.Add(now.Sub(t0).Truncate(time.Second)), now, 2, 3, 4)
	}
	g.Settle(now)
	if s := g.Tally(us, now); s.Master != "" || !s.Pinged || s.E <= now || s.Vouched != last.Add(down) {
		t.Errorf("vouched until %v after t0, want %v: %+v", s.Vouched.Sub(t0), last.Add(down).Sub(t0), s)
	}
}

// Epochs that begin anew (REMOVE and MONITOR) make no word from before the newer.
func TestAWordFromBeforeTheMajorityIsNotTheNewer(t *testing.T) {
	g := newGroup(5)
	g.all(t, t0, other, 7)
	for now := t0 + sec; now < t0+12*sec; now = now.Add(500 * time.Millisecond) {
		for i := range 3 {
			g.hear(t, i, g.says(i, now, us, 0))
		}
		g.pings(t0.Add(now.Sub(t0).Truncate(time.Second)), now, 3, 4)
	}
	now := t0.Add(11500 * time.Millisecond)
	if s := g.Tally(us, now); s.Master != us || s.E <= now {
		t.Errorf("E is %v ahead: %+v", s.E.Sub(now), s)
	}
}

// One that is named for the first time, and pings us, is given the time until
// that counts; one that holds its peace is not.
func TestANewcomerIsGivenTheTimeToBeHeard(t *testing.T) {
	for _, pings := range []bool{true, false} {
		g := newGroup(3)
		for now := t0; now < t0+2*sec; now = now.Add(250 * time.Millisecond) {
			for i := range 3 {
				g.hear(t, i, g.says(i, now, us, 1))
			}
		}
		g.n = 5 // two more are listed
		met := t0 + 2*sec
		refused := watchdog.Instant(0)
		for now := met; now < met+10*sec && refused == 0; now = now.Add(250 * time.Millisecond) {
			for i := range 3 {
				a := g.says(i, now, us, 1)
				for j := range a.Sentinels {
					a.Sentinels[j].PongAge, a.Sentinels[j].HelloAge = time.Second, time.Second
				}
				g.hear(t, i, a)
			}
			if pings {
				g.pings(met.Add(now.Sub(met).Truncate(time.Second)), now, 3, 4)
			}
			if g.Tally(us, now).E <= now {
				refused = now
			}
		}
		if (refused != 0) == pings {
			t.Errorf("pinging %v: E past at %v after they were named", pings, refused.Sub(met))
		}
	}
}

// A Sentinel that does not know the group has nobody to hold down.
func TestASentinelOfAnotherGroupHoldsNobodyDown(t *testing.T) {
	g := newGroup(5)
	for now := t0; now < t0+3*sec; now = now.Add(500 * time.Millisecond) {
		g.answer(t, now)
		for i := 3; i < 5; i++ {
			g.hear(t, i, Answer{SentAt: now})
		}
		s := g.Tally(us, now)
		if s.E != now.Add(down) || s.Votes != 3 || s.Known != 5 {
			t.Fatalf("got %+v; want E a down-after ahead, 3 of 5 votes", s)
		}
	}
}
