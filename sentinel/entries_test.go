package sentinel

// Every field of every entry of every list, one at a time: what cannot be read
// is left out and named, and nothing else changes.

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net"
	"net/netip"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/redis-watchdog/redis-watchdog/watchdog"
	"github.com/redis-watchdog/redis-watchdog/watchdog/redisclient"
)

// told is the replies to a full poll, as words: [reply][element][word].
func told() [][][]string {
	replica := func(ip string) []string {
		return []string{"name", ip + ":6379", "ip", ip, "port", "6379", "runid", "run" + ip, "flags", "slave",
			"last-ok-ping-reply", "10", "down-after-milliseconds", "5000", "info-refresh", "900", "role-reported", "slave",
			"role-reported-time", "1000", "slave-priority", "100", "slave-repl-offset", "4711"}
	}
	other := func(ip string) []string {
		return []string{"name", "id" + ip, "ip", ip, "port", "26379", "runid", "id" + ip, "flags", "sentinel",
			"last-ok-ping-reply", "10", "last-hello-message", "20"}
	}
	return [][][]string{
		{{"10.0.0.1", "6379"}},
		{{"name", "mymaster", "ip", "10.0.0.1", "port", "6379", "runid", "r", "flags", "master", "last-ok-ping-reply", "10",
			"down-after-milliseconds", "5000", "role-reported", "master", "role-reported-time", "1000", "config-epoch", "1",
			"num-slaves", "2", "num-other-sentinels", "2", "quorum", "2", "failover-timeout", "60000"}},
		{replica("10.0.0.2"), replica("10.0.0.3"), replica("10.0.0.4")},
		{other("10.0.1.2"), other("10.0.1.3")},
	}
}

func encoded(replies [][][]string) []byte {
	var b strings.Builder
	b.WriteString(array(replies[0][0]...))
	b.WriteString(array(replies[1][0]...))
	for _, list := range replies[2:] {
		fmt.Fprintf(&b, "*%d\r\n", len(list))
		for _, words := range list {
			b.WriteString(array(words...))
		}
	}
	b.WriteString("$15\r\nsentinel_tilt:0\r\n")
	return []byte(b.String())
}

func parsed(t *testing.T, data []byte) (Answer, error) {
	t.Helper()
	names := newResolver(context.Background(), func() watchdog.Instant { return t0 })
	names.lookup = func(context.Context, string) ([]netip.Addr, error) { return nil, context.DeadlineExceeded }
	// And INFO, which comes first where groups are asked together.
	replies, err := answersOf(t, data, fullReplies+1)
	if err != nil {
		t.Fatalf("read: %v", err)
	}
	a, err := parse(replies[:fullReplies], names, parseProcess(replies[fullReplies]))
	a.SentAt = t0
	return a, err
}

// answersOf is what go-redis makes of the replies to n commands.
func answersOf(t testing.TB, data []byte, n int) ([]redisclient.Answer, error) {
	l := newLink(&recorded{said: data}, "", "", false)
	defer l.close()
	return l.ask(t.Context(), time.Minute, slices.Repeat([][]any{{"PING"}}, n)...)
}

// recorded is a Sentinel that greets, and says the same whatever it is asked.
type recorded struct {
	net.Conn
	said  []byte
	asked int
	from  io.Reader
}

func (r *recorded) Write(b []byte) (int, error) {
	switch r.asked++; r.asked {
	case 1:
		r.from = strings.NewReader("*0\r\n")
	case 2:
		r.from = bytes.NewReader(r.said)
	}
	return len(b), nil
}
func (r *recorded) Read(b []byte) (int, error)     { return r.from.Read(b) }
func (*recorded) Close() error                     { return nil }
func (*recorded) SetDeadline(time.Time) error      { return nil }
func (*recorded) SetReadDeadline(time.Time) error  { return nil }
func (*recorded) SetWriteDeadline(time.Time) error { return nil }
func (*recorded) RemoteAddr() net.Addr             { return &net.TCPAddr{} }

// That a Sentinel does not know a group it says twice: by nil, and by an error.
func TestOneNilIsNoWordOfAGroupThatIsNotKnown(t *testing.T) {
	lists := "*0\r\n*0\r\n$15\r\nsentinel_tilt:0\r\n"
	if a, err := parsed(t, []byte("*-1\r\n-ERR No such master with that name\r\n"+lists)); err != nil || a.Named != "" || a.fault() != "" {
		t.Errorf("a group it does not know: %+v, %v", a, err)
	}
	for _, said := range []string{"*-1\r\n*-1\r\n", "*-1\r\n" + array(told()[1][0]...), "$-1\r\n+OK\r\n"} {
		if a, err := parsed(t, []byte(said+lists)); !isGarbage(err) {
			t.Errorf("%.20q: %+v, %v, want garbage", said, a, err)
		}
	}
}

// FuzzEntries spoils one word of one entry. That the others stand as they
// were, that the vote and e_i of the master do, and that nothing that was spoilt
// is believed in silence, holds whatever the word is.
func FuzzEntries(f *testing.F) {
	for list := range uint8(4) {
		for _, word := range []string{"", "0", "-1", "x", "99999999999999999999", "?", "a b\r\nc", "65536", "::"} {
			for field := range uint8(14) {
				f.Add(list, uint8(1), field, word)
			}
		}
	}
	f.Fuzz(func(t *testing.T, list, entry, field uint8, word string) {
		sane, err := parsed(t, encoded(told()))
		if err != nil || len(sane.Replicas) != 3 || len(sane.Sentinels) != 2 || sane.Unread != nil || sane.Unclear != "" {
			t.Fatalf("a sane answer: %+v, %v", sane, err)
		}
		replies := told()
		l := int(list) % len(replies)
		e := int(entry) % len(replies[l])
		n := (2*int(field) + 1) % len(replies[l][e])
		name := replies[l][e][n-1]
		was := replies[l][e][n]
		replies[l][e][n] = word
		a, err := parsed(t, encoded(replies))
		if err != nil {
			t.Fatalf("%s %q of entry %d of list %d voids the answer: %v", name, word, e, l, err)
		}
		if l < 2 {
			if word != was && a.fault() == "" && a.Named == us && a.Master.Epoch == sane.Master.Epoch {
				sameLists(t, a, sane, -1, -1)
			}
			return
		}
		if a.Named != sane.Named || a.Master != sane.Master || a.fault() != "" || a.vague() != "" {
			t.Fatalf("%s %q of a list changed what is said of the master: %+v", name, word, a)
		}
		spoilt := [2]int{-1, -1}
		spoilt[l-2] = e
		sameLists(t, a, sane, spoilt[0], spoilt[1])
		switch {
		case l == 2 && len(a.Replicas) == 2 && len(a.Unread) != 1:
			t.Fatalf("a replica left out, and named %+v", a.Unread)
		case l == 3 && a.Sentinels[e].Address == "" && len(a.Unread) != 1:
			t.Fatalf("a Sentinel without an address, and named %+v", a.Unread)
		case l == 3 && len(a.Sentinels) != 2:
			t.Fatalf("%d Sentinels: one that is not counted could have its part", len(a.Sentinels))
		}
	})
}

// sameLists compares all but the entries that were spoilt.
func sameLists(t *testing.T, a, sane Answer, replica, other int) {
	t.Helper()
	got := a.Replicas
	for i, want := range sane.Replicas {
		if i == replica {
			if len(got) == len(sane.Replicas)-i {
				got = got[1:] // it is still there
			}
			continue
		}
		if len(got) == 0 || got[0] != want {
			t.Fatalf("replica %d is %+v, want %+v", i, got, want)
		}
		got = got[1:]
	}
	for i, want := range sane.Sentinels {
		if i != other && !reflect.DeepEqual(a.Sentinels[i], want) {
			t.Fatalf("Sentinel %d is %+v, want %+v", i, a.Sentinels[i], want)
		}
	}
}

// What a backup leaves, as every Sentinel lists it: E, the votes and who could
// be promoted are what they were without it.
func TestAReplicaAtPortZeroChangesNothing(t *testing.T) {
	replies := told()
	ghost := append([]string(nil), replies[2][0]...)
	ghost[1], ghost[3], ghost[5] = "10.0.0.9:0", "10.0.0.9", "0"
	replies[2] = append(replies[2], ghost)
	a, err := parsed(t, encoded(replies))
	if err != nil || len(a.Replicas) != 3 || len(a.Unread) != 1 || a.Unread[0] != (LeftOut{"SENTINEL REPLICAS", "10.0.0.9:0", PortZero, false}) {
		t.Fatalf("got %+v, %v", a, err)
	}
	with, without := newGroup(3), newGroup(3)
	sane, _ := parsed(t, encoded(told()))
	for i := range 3 {
		with.hear(t, i, a)
		without.hear(t, i, sane)
	}
	if got, want := with.Tally(us, t0), without.Tally(us, t0); got != want || got.E <= t0 {
		t.Errorf("got %+v, want %+v", got, want)
	}
	faults := with.ghosts("mymaster", t0)
	if len(faults) != 1 || faults[0].ID != "sentinel_ghost" || !strings.Contains(faults[0].Text, "10.0.0.9:0") ||
		!strings.Contains(faults[0].Text, key(2)) || !strings.Contains(faults[0].Remedy, "SENTINEL RESET mymaster") {
		t.Errorf("faults %+v", faults)
	}
}

// A replica that cannot be read may be one that Sentinel would promote: a group
// that has nobody else is not one without anybody.
func TestAReplicaThatCannotBeReadMayBePromoted(t *testing.T) {
	for name, tt := range map[string]struct {
		left LeftOut
		want bool // E is never
	}{
		"at port 0":  {LeftOut{Name: "10.0.0.9:0", Why: PortZero}, true},
		"unresolved": {LeftOut{Name: ":6379", Why: "it has no address", Candidate: true}, false},
	} {
		g := newGroup(3)
		now := t0
		for now < t0.Add(2*noneFor) {
			for i := range 3 {
				a := g.says(i, now, us, 1)
				a.Replicas, a.Unread = nil, []LeftOut{tt.left}
				g.hear(t, i, a)
			}
			now = now.Add(time.Second)
		}
		now = now.Add(-time.Second)
		if got := g.Tally(us, now).E == watchdog.Never; got != tt.want {
			t.Errorf("%s: E is never: %v, want %v", name, got, tt.want)
		}
	}
}

// A Sentinel whose address cannot be read (a name that does not resolve there)
// cannot be asked. While another hears it, it may hold us down.
func TestASentinelWithoutAddressHasItsPart(t *testing.T) {
	for name, tt := range map[string]struct {
		age  time.Duration
		want bool // E is ahead
	}{
		"heard":  {0, false},
		"silent": {time.Hour, true},
	} {
		g := newGroup(5)
		g.Members = g.Members[:3] // two were never met
		for i := range 3 {
			a := g.says(i, t0, us, 1)
			a.Sentinels = a.Sentinels[:0]
			for j := range 3 {
				if j != i {
					a.Sentinels = append(a.Sentinels, peer(j))
				}
			}
			for range 2 {
				a.Sentinels = append(a.Sentinels, Peer{PongAge: tt.age, HelloAge: tt.age})
			}
			a.Master.Others = 4
			g.hear(t, i, a)
		}
		if s := g.Tally(us, t0); (s.E > t0) != tt.want || s.Known != 5 {
			t.Errorf("%s: known %d, E is %v ahead; want it ahead: %v", name, s.Known, s.E.Sub(t0), tt.want)
		}
	}
}
