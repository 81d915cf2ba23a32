package pings

import (
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/redis-watchdog/redis-watchdog/watchdog"
)

const ms = watchdog.Instant(time.Millisecond)

// wire is a connection as the kernel counts it, told word by word.
type wire struct {
	counters
	now watchdog.Instant
	t   *track
}

func newWire() *wire { return &wire{now: 1000 * ms, t: &track{}, counters: counters{cookie: 7}} }

// look lets time pass and looks.
func (w *wire) look(after time.Duration) *wire {
	w.now = w.now.Add(after)
	w.t.see(w.counters, w.now)
	return w
}

func (w *wire) comes(n uint64) *wire { w.received += n; w.unread += uint32(n); return w }
func (w *wire) read(answer uint64) *wire {
	w.unread = 0
	w.sent += answer
	w.unacked += uint32(answer)
	return w
}
func (w *wire) acked() *wire { w.unacked = 0; return w }

func TestAPingCountsFromWhenItCameInOnceItsAnswerIsAcknowledged(t *testing.T) {
	w := newWire().look(0).look(25 * time.Millisecond)
	before := w.now
	w.comes(pingSize).look(25 * time.Millisecond) // not read yet
	w.read(pongSize).look(25 * time.Millisecond)
	if w.t.at != 0 {
		t.Fatalf("it counts before its answer was acknowledged: %+v", w.t)
	}
	w.look(40 * time.Millisecond)
	w.acked().look(25 * time.Millisecond)
	if w.t.at != before || w.t.seenAt != w.now {
		t.Errorf("at %v, seen at %v; want %v and %v", w.t.at, w.t.seenAt, before, w.now)
	}
}

func TestWhatIsNoPongCountsForNothing(t *testing.T) {
	const hello, info = 150, 5000
	for name, tt := range map[string]struct {
		come, answer uint64
		counts       bool
	}{
		"PONG":                        {pingSize, pongSize, true},
		"PONG in TLS":                 {pingSize + 22, pongSize + 22, true},
		"three PONGs after a stall":   {3 * pingSize, 3 * pongSize, true},
		"PING and hello at one turn":  {pingSize + hello, pongSize + 4, true},
		"the same, with 12 receivers": {pingSize + hello, pongSize + 5, true},
		"hello and three PINGs":       {3*pingSize + hello, 3*pongSize + 4, true},
		"NOAUTH":                      {pingSize, uint64(len("-NOAUTH Authentication required.\r\n")), false},
		"BUSY":                        {pingSize, uint64(len("-BUSY Redis is busy running a script. You can only call SCRIPT KILL or SHUTDOWN NOSAVE.\r\n")), false},
		"MASTERDOWN":                  {pingSize, uint64(len("-MASTERDOWN Link with MASTER is down and replica-serve-stale-data is set to 'no'.\r\n")), false},
		"hello":                       {hello, 4, false},
		"INFO":                        {pingSize, info, false},
		"INFO and PING":               {2 * pingSize, info + pongSize, false},
		"PING and one without answer": {2 * pingSize, pongSize, false},
	} {
		w := newWire().look(0).look(25 * time.Millisecond)
		w.comes(tt.come).read(tt.answer).acked()
		for range 4 {
			w.look(25 * time.Millisecond)
		}
		if (w.t.at != 0) != tt.counts {
			t.Errorf("%s: counts %v, want %v", name, w.t.at != 0, tt.counts)
		}
		// What was no PING does not hide the next.
		before := w.now
		w.comes(pingSize + w.t.over).read(pongSize + w.t.over).acked()
		for range 4 {
			w.look(25 * time.Millisecond)
		}
		if w.t.at != before && name != "PING and one without answer" {
			t.Errorf("%s: the PING after it counts from %v, want %v", name, w.t.at, before)
		}
	}
}

// A hold postpones Sentinel's hello, and the PINGs behind it. When it ends all are
// answered at once, and the newest of them counts.
func TestAfterAHoldTheNewestPingCounts(t *testing.T) {
	w := newWire().look(0).look(25 * time.Millisecond)
	w.comes(150)
	w.unread = 0 // read, and postponed
	w.look(25 * time.Millisecond)
	var before watchdog.Instant
	for range 3 {
		for range 20 {
			w.look(25 * time.Millisecond)
		}
		before = w.now
		w.comes(pingSize)
		w.unread = 0
		w.look(25 * time.Millisecond)
	}
	w.read(4 + 3*pongSize).look(25 * time.Millisecond)
	w.acked().look(25 * time.Millisecond)
	if w.t.at != before {
		t.Errorf("counts from %v, want %v", w.t.at, before)
	}
}

// The way back is cut: the PINGs still come in, and the answers are not
// acknowledged.
func TestAPingWhoseAnswerGoesNowhereCountsForNothing(t *testing.T) {
	w := newWire().look(0).look(25 * time.Millisecond)
	w.comes(pingSize).read(pongSize).acked().look(25 * time.Millisecond)
	at, seen := w.t.at, w.t.seenAt
	for range 8 {
		w.comes(pingSize).read(pongSize)
		for range 20 {
			w.look(25 * time.Millisecond)
		}
	}
	if w.t.at != at || w.t.seenAt != seen {
		t.Errorf("at %v, seen %v; want %v and %v as before the cut", w.t.at, w.t.seenAt, at, seen)
	}
}

func TestAnotherConnectionBeginsAnew(t *testing.T) {
	w := newWire().look(0).look(25 * time.Millisecond)
	w.comes(pingSize).read(pongSize).acked().look(25 * time.Millisecond)
	w.counters = counters{cookie: 8, received: 2 * pingSize, sent: 2 * pongSize}
	if w.look(25 * time.Millisecond); w.t.at != 0 {
		t.Errorf("what came in before it was looked at counts: %+v", w.t)
	}
}

// Whatever comes and goes, and however seldom it is looked at: what counts never
// counts from later than the newest PING that was answered and acknowledged
// came in.
func TestNothingCountsFromTooLate(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		w := newWire()
		w.look(0)
		var arrived, answered, acked watchdog.Instant // of the newest PING for which it holds
		var waiting []uint64                          // answers to what has come and was not read
		var pings []watchdog.Instant                  // came in, not read
		for range rapid.IntRange(1, 60).Draw(t, "steps") {
			w.now = w.now.Add(time.Duration(rapid.IntRange(0, 60).Draw(t, "passes")) * time.Millisecond)
			switch rapid.IntRange(0, 6).Draw(t, "what") {
			case 0, 1:
				w.comes(pingSize)
				waiting, pings, arrived = append(waiting, pongSize), append(pings, w.now), w.now
			case 2:
				w.comes(uint64(rapid.IntRange(100, 200).Draw(t, "hello")))
				waiting = append(waiting, 4)
			case 3:
				w.comes(pingSize)
				waiting = append(waiting, uint64(rapid.IntRange(34, 6000).Draw(t, "other answer")))
			case 4:
				for _, n := range waiting {
					w.read(n)
				}
				if len(pings) > 0 {
					answered = pings[len(pings)-1]
				}
				waiting, pings = nil, nil
			case 5:
				w.acked()
				acked = answered
			case 6:
				w.look(0)
			}
			if w.t.at > acked {
				t.Fatalf("counts from %v; the newest that was acknowledged came in at %v (answered %v, arrived %v)", w.t.at, acked, answered, arrived)
			}
		}
	})
}

func line(name, addr, laddr, user string) string {
	return fmt.Sprintf("id=3 addr=%s laddr=%s fd=8 name=%s age=3 idle=0 flags=N db=0 events=r cmd=ping user=%s redir=-1 resp=2\n", addr, laddr, name, user)
}

func TestSentinelsAreFoundAmongTheClients(t *testing.T) {
	id := func(c string) string { return strings.Repeat(c, 40) }
	known := []Sentinel{
		{ID: id("a"), Address: netip.MustParseAddr("10.0.0.1")},
		{ID: id("b"), Address: netip.MustParseAddr("172.17.0.2"), Unasked: true}, // announces an address of Docker's
		{ID: "", Unasked: true},
		{ID: id("c") + "1", Unasked: true}, {ID: id("c") + "2", Unasked: true}, // begin alike
	}
	const here = "10.0.0.9:6379"
	genuine := line("sentinel-aaaaaaaa-cmd", "10.0.0.1:1001", here, "watch")
	for name, tt := range map[string]struct {
		list string
		want []string
	}{
		"from where it is":                    {genuine, []string{"10.0.0.1:1001"}},
		"from elsewhere, as a known one's":    {genuine + line("sentinel-bbbbbbbb-cmd", "10.0.0.2:1002", here, "watch"), []string{"10.0.0.1:1001", "10.0.0.2:1002"}},
		"from elsewhere, as somebody else":    {genuine + line("sentinel-bbbbbbbb-cmd", "10.0.0.2:1002", here, "app"), []string{"10.0.0.1:1001"}},
		"from elsewhere, and none is genuine": {line("sentinel-bbbbbbbb-cmd", "10.0.0.2:1002", here, "app"), nil},
		"a disguise, from a Sentinel's host":  {line("sentinel-bbbbbbbb-cmd", "10.0.0.1:1002", here, "app"), []string{"10.0.0.1:1002"}},
		"of nobody known":                     {line("sentinel-dddddddd-cmd", "10.0.0.1:1003", here, "watch"), nil},
		"the other connection":                {line("sentinel-aaaaaaaa-pubsub", "10.0.0.1:1004", here, "watch"), nil},
		"two begin alike":                     {genuine + line("sentinel-cccccccc-cmd", "10.0.0.1:1005", here, "watch"), []string{"10.0.0.1:1001"}},
		"lines that cannot be read": {"\n=\nname=sentinel-aaaaaaaa-cmd\nname=sentinel-aaaaaaaa-cmd addr=x\n" + genuine + "addr=1.2.3.4:5 name=sentinel--cmd",
			[]string{"10.0.0.1:1001"}},
		"Redis 6.0": {"id=3 addr=10.0.0.1:1001 fd=8 name=sentinel-aaaaaaaa-cmd age=3 idle=0 flags=N cmd=ping user=default\n", []string{"10.0.0.1:1001"}},
		"IPv6":      {genuine + line("sentinel-bbbbbbbb-cmd", "[2001:db8::2]:1002", "[2001:db8::9]:6379", "watch"), []string{"10.0.0.1:1001", "[2001:db8::2]:1002"}},
	} {
		var got []string
		for _, c := range clientsOf(tt.list, known) {
			got = append(got, c.remote.String())
		}
		if !slices.Equal(got, tt.want) {
			t.Errorf("%s: got %v, want %v", name, got, tt.want)
		}
	}
}

// FuzzClients adds a line that may be anything to one that is a Sentinel's.
func FuzzClients(f *testing.F) {
	f.Add("id=1 name=sentinel-aaaaaaaa-cmd addr=10.0.0.1:7 user=watch")
	f.Add("= = name= addr=[::")
	f.Fuzz(func(t *testing.T, other string) {
		known := []Sentinel{{ID: strings.Repeat("a", 40), Address: netip.MustParseAddr("10.0.0.1")}}
		list := strings.ReplaceAll(other, "\n", " ") + "\n" + line("sentinel-aaaaaaaa-cmd", "10.0.0.1:1001", "10.0.0.9:6379", "watch")
		got := clientsOf(list, known)
		if len(got) == 0 || got[len(got)-1].remote.String() != "10.0.0.1:1001" || len(got) > 2 {
			t.Fatalf("%q: %v", other, got)
		}
	})
}

// The kernel of this host counts what comes, what goes, and what has not been
// acknowledged, also where it has to look for the connection.
func TestTheKernelCounts(t *testing.T) {
	for _, network := range []string{"127.0.0.1:0", "[::1]:0"} {
		listener, err := net.Listen("tcp", network)
		if err != nil {
			t.Skipf("no %s: %v", network, err)
		}
		defer listener.Close()
		far, err := net.Dial("tcp", listener.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		defer far.Close()
		near, err := listener.Accept()
		if err != nil {
			t.Fatal(err)
		}
		defer near.Close()
		s, err := openSockets()
		if err != nil {
			t.Fatal(err)
		}
		defer s.close()
		local, remote := addrPort(near.LocalAddr().String()), addrPort(near.RemoteAddr().String())
		begin, at, err := s.counters(netip.AddrPort{}, remote)
		if err != nil || at != local {
			t.Fatalf("looked for from %s: %v, %v; want %s", remote, at, err, local)
		}
		if _, err := far.Write(make([]byte, pingSize)); err != nil {
			t.Fatal(err)
		}
		until(t, func() error {
			c, _, err := s.counters(local, remote)
			if err != nil || c.received-begin.received != pingSize || c.unread != pingSize || c.cookie != begin.cookie {
				return fmt.Errorf("%+v after %+v, %v", c, begin, err)
			}
			return nil
		})
		if _, err := near.Read(make([]byte, 100)); err != nil {
			t.Fatal(err)
		}
		if _, err := near.Write(make([]byte, pongSize)); err != nil {
			t.Fatal(err)
		}
		until(t, func() error {
			c, _, err := s.counters(local, remote)
			if err != nil || c.unread != 0 || c.sent-begin.sent != pongSize || c.unacked != 0 {
				return fmt.Errorf("%+v after %+v, %v", c, begin, err)
			}
			return nil
		})
		near.Close()
		until(t, func() error {
			if c, _, err := s.counters(local, remote); err == nil {
				return fmt.Errorf("a closed connection counts %+v", c)
			}
			return nil
		})
	}
}

func until(t *testing.T, done func() error) {
	t.Helper()
	var err error
	for range 500 {
		if err = done(); err == nil {
			return
		}
		time.Sleep(10 * time.Millisecond)
	}
	t.Fatal(err)
}
