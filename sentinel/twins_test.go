package sentinel

import (
	"strings"
	"testing"
	"time"

	"github.com/redis-watchdog/redis-watchdog/watchdog"
)

// cloned is three configured Sentinels, the last two of which have one id.
func cloned(t *testing.T) group {
	t.Helper()
	g := newGroup(3)
	for i := range g.Members {
		g.Members[i].Configured = true
	}
	g.Met(key(0), "id1", "p1", peer(0).Address)
	g.Met(key(1), "id2", "p2", peer(1).Address)
	g.Met(key(2), "id2", "p3", peer(2).Address)
	return g
}

// clonedSays is what the Sentinels of a cloned image say: nobody knows the third.
func (g group) clonedSays(t *testing.T, at watchdog.Instant) {
	t.Helper()
	for i := range g.Members {
		a := g.says(i, at, us, 1)
		a.Master.Others, a.Sentinels = 1, []Peer{peer(1)}
		if i > 0 {
			a.Sentinels = []Peer{peer(0)}
		}
		g.hear(t, i, a)
	}
}

func sameID(faults []Fault) *Fault {
	for i := range faults {
		if faults[i].ID == "sentinel_same_id" {
			return &faults[i]
		}
	}
	return nil
}

func TestTwoProcessesWithOneIDAreTwo(t *testing.T) {
	g := cloned(t)
	g.clonedSays(t, t0)
	if got := g.Tally(us, t0); got.Known != 3 || got.Votes != 3 || got.E <= t0 {
		t.Errorf("got %+v", got)
	}
	f := sameID(g.faults("mymaster", t0))
	if f == nil || !strings.Contains(f.Text, key(1)+", "+key(2)) || !strings.Contains(f.Remedy, "stop the sentinel at "+key(2)) {
		t.Fatalf("fault %+v", f)
	}
	// Whose PINGs are heard under that id is not known.
	g.Pinged(us, []watchdog.Ping{{Sentinel: "id2", At: t0, SeenAt: t0}, {Sentinel: "id1", At: t0, SeenAt: t0}})
	for i := range g.Members {
		if want := i == 0; (len(g.Members[i].pings) > 0) != want {
			t.Errorf("PINGs of %s are taken in: %v", g.Members[i].Key, !want)
		}
	}
	// Both are remembered over a restart, and before either answers.
	again := newGroup(3)
	again.Recall(g.Remember())
	for i := range 3 {
		again.Met(key(i), "", "", peer(i).Address)
	}
	if len(again.Members) != 3 {
		t.Errorf("after a restart there are %d", len(again.Members))
	}
	// The remedy.
	g.Met(key(2), "id3", "p4", peer(2).Address)
	if f := sameID(g.faults("mymaster", t0)); f != nil || len(g.Members) != 3 {
		t.Errorf("cured: %+v, %d members", f, len(g.Members))
	}
}

// A Sentinel that was started again at another address has another process, and
// is one all the same: the one at the old address does not answer.
func TestASentinelThatMovedIsOne(t *testing.T) {
	g := newGroup(3)
	g.Met(key(2), "id3", "before", peer(2).Address)
	g.all(t, t0, us, 1)
	moved := Peer{RunID: "id9", Address: "10.0.2.3:26379", Dial: "10.0.2.3:26379"}
	g.meet([]Peer{moved}, t0)
	g.Met(moved.Dial, "id3", "after", moved.Address)
	if len(g.Members) != 4 {
		t.Fatalf("%d members while both may be there", len(g.Members))
	}
	now := t0
	for now < t0.Add(2*shrinkAfter) {
		now = now.Add(time.Second)
		for i := range 3 {
			k := key(i)
			a := g.says(i, now, us, 1)
			if i == 2 {
				k = moved.Dial
			}
			g.Hear(k, a)
		}
		g.Settle(now)
	}
	if f := sameID(g.faults("mymaster", now)); f != nil || len(g.Members) != 3 {
		t.Errorf("fault %+v, %d members", f, len(g.Members))
	}
}

// One process that is found at two addresses is one, as is one that does not
// tell which process it is.
func TestOneProcessAtTwoAddressesIsOne(t *testing.T) {
	for _, process := range []string{"p", ""} {
		g := newGroup(3)
		g.Met(key(1), "id2", process, peer(1).Address)
		g.Met(key(2), "id2", process, peer(2).Address)
		if len(g.Members) != 2 {
			t.Errorf("process %q: %d members, want 2", process, len(g.Members))
		}
	}
}

// Nobody configured the clone, and the others list the one and the other in turns.
func TestACloneThatNobodyConfiguredIsCounted(t *testing.T) {
	g := newGroup(3)
	for i := range 3 {
		g.Met(key(i), peer(i).RunID, "p"+key(i), peer(i).Address)
	}
	g.all(t, t0, us, 1)
	clone := Peer{RunID: peer(2).RunID, Address: "10.0.2.9:26379", Dial: "10.0.2.9:26379"}
	now := t0
	for round := range 5 {
		now = now.Add(5 * time.Second)
		for i := range 3 {
			a := g.says(i, now, us, 1)
			if round%2 == 0 && i < 2 {
				a.Sentinels[1] = clone
			}
			g.hear(t, i, a)
		}
		if f := sameID(g.faults("mymaster", now)); round < 2 && f != nil || round > 2 && f == nil {
			t.Fatalf("round %d: %v", round, f)
		}
	}
	f := sameID(g.faults("mymaster", now))
	if !strings.Contains(f.Text, key(2)+", "+clone.Dial) {
		t.Errorf("fault %+v", f)
	}
	if g.Known() != 4 || g.member(clone.Dial) == nil {
		t.Fatalf("%d are known: %+v", g.Known(), g.Members)
	}
	g.Met(clone.Dial, "", "", clone.Address)
	g.Met(clone.Dial, clone.RunID, "of the clone", clone.Address)
	if len(g.Members) != 4 {
		t.Errorf("%d members once it has answered", len(g.Members))
	}
	// Behind NAT the other is found where it announces to be, too: that is one.
	g.meet([]Peer{{RunID: clone.RunID, Address: "192.168.0.3:26379", Dial: "192.168.0.3:26379"}}, now)
	g.Met("192.168.0.3:26379", clone.RunID, "p"+key(2), "192.168.0.3:26379")
	if len(g.Members) != 4 {
		t.Errorf("%d members with one that is found at two addresses", len(g.Members))
	}
	g.Met(clone.Dial, "its own", "started again", clone.Address)
	for end := now.Add(3 * shrinkAfter); now < end; now = now.Add(time.Second) {
		for i := range 3 {
			g.hear(t, i, g.says(i, now, us, 1))
		}
		a := g.says(2, now, us, 1)
		if _, fault := g.Hear(clone.Dial, a); fault != "" {
			t.Fatal(fault)
		}
		g.Settle(now)
	}
	if f := sameID(g.faults("mymaster", now)); f != nil || len(g.Members) != 4 {
		t.Errorf("cured: %+v, %d members", f, len(g.Members))
	}
}

// One that moves there and back is one, and so is one that some hear of later.
func TestOneThatMovesThereAndBackIsNoClone(t *testing.T) {
	m := Member{}
	at := func(n int) Peer {
		address := "10.0.2." + string(rune('0'+n)) + ":26379"
		return Peer{RunID: "id", Address: watchdog.Address(address), Dial: address}
	}
	s := State{}
	for i, n := range []int{1, 1, 2, 2, 1, 3} {
		m.hearPlaces([]Peer{at(n)}, t0.Add(time.Duration(i)*time.Second))
	}
	s.Members = []Member{m}
	if got := s.alternates("id", t0.Add(6*time.Second)); got != nil {
		t.Errorf("got %v", got)
	}
}
