package grant

import (
	"encoding/json"
	"testing"
	"time"

	"github.com/redis-watchdog/redis-watchdog/watchdog"
)

// opened has a node hold the grant, with Redis opened under it and seen so.
func opened(n *node, r watchdog.Redis) {
	n.t.Helper()
	n.await("a member", isMember)
	n.agree(first(n.address))
	n.k.See(r)
	n.wants(func(w *Want) { w.Opened = true })
	n.hold()
	n.grant(watchdog.GrantRenew)
	n.await("its data on record", func(c watchdog.Coordinator) bool { return c.Record.Master == n.address && c.Record.Offset == r.Offset })
}

func serving(offset int64) watchdog.Redis {
	return watchdog.Redis{
		RunID: "r1", Answer: watchdog.Up, Role: watchdog.Master, Attached: 2, Offset: offset,
		Position: watchdog.Position{ID: "h2", Offset: offset - 10, Before: "h1", Until: 40},
	}
}

func TestDataOnRecord(t *testing.T) {
	t.Parallel()
	_, etcd := oneMember(t)
	s := openStore(t, nil, etcd.Endpoints()...)
	client := etcd.Client(nil)

	t.Run("WrittenWhenItMattersAndSeldomElse", func(t *testing.T) {
		t.Parallel()
		const group = "paced"
		n := startNode(t, s, group, addressA)
		opened(n, serving(100))
		key := DefaultPrefix + "data/" + group
		var d DataRecord
		if err := json.Unmarshal([]byte(get(t, client, key)), &d); err != nil || d.RunID != "r1" || d.ReplID != "h2" || d.ReplID2 != "h1" || d.Offset2 != 40 || d.Attached != 2 {
			t.Errorf("the record is %+v, %v", d, err)
		}
		// Not the grant's revision: one whose Keeper is not run for a while is moved to
		// a lease of its own.
		written := func() (all [4]int64) {
			snap, err := s.reader(group).readNow(t.Context())
			must(t, err)
			return [4]int64{snap.data.modified, snap.last.modified, snap.master.modified, snap.group.modified}
		}
		const tries, claimed = 5, 1 // the index of what a claim writes
		for try := range tries {
			before := written()
			for offset := int64(101); offset < 110; offset++ {
				n.k.See(serving(offset))
				n.rounds(1)
			}
			now := written()
			if now == before {
				break
			}
			if now[claimed] == before[claimed] || try == tries-1 { // else the grant lapsed, of a process that was not run
				t.Fatalf("an offset that moves made revisions: %v to %v, want none for %v", before, now, dataApart)
			}
			n.await("the grant is held again", func(c watchdog.Coordinator) bool { return c.Grant.Ours && c.Record.Current })
		}
		stays := func(what string, r watchdog.Redis) {
			t.Helper()
			n.k.See(r)
			n.await(what, func(c watchdog.Coordinator) bool { return c.Record.Offset == r.Offset })
		}
		r := serving(120)
		r.Attached = 1
		stays("that a replica has left", r)
		r.Offset = 121
		stays("what that one lacks", r)
		n.rounds(2)
		r.Answer, r.Offset = watchdog.Absent, 122
		time.Sleep(dataLeast)
		stays("where it was when it stopped answering", r)
	})

	t.Run("FinalWhenTheGrantIsGivenUp", func(t *testing.T) {
		t.Parallel()
		n := startNode(t, s, "final", addressA)
		opened(n, serving(100))
		r := serving(150)
		r.Role, r.Position.Offset = watchdog.Nowhere, 150
		n.k.See(r)
		n.grant(watchdog.GrantGiveUp)
		n.await("all that it had", func(c watchdog.Coordinator) bool {
			return c.Grant.GivenUp && c.Record.Offset == 150 && c.Record.Current
		})
	})

	t.Run("OfNobodyWhoHasNotServed", func(t *testing.T) {
		t.Parallel()
		n := startNode(t, s, "unopened", addressA)
		n.await("a member", isMember)
		n.agree(first(addressA))
		n.k.See(serving(100))
		n.hold()
		n.grant(watchdog.GrantRenew)
		n.rounds(3)
		if got := n.now().Record; got != (watchdog.Record{}) {
			t.Errorf("the record is %+v although it never served", got)
		}
	})

	t.Run("OutOfDateOnceAnotherHasServed", func(t *testing.T) {
		t.Parallel()
		const group = "stale"
		a, b := startNode(t, s, group, addressA), startNode(t, s, group, addressB)
		opened(a, serving(100))
		a.stop()
		b.await("the grant gone", func(c watchdog.Coordinator) bool { return c.Grant.Holder == "" && c.Grant.Last == addressA })
		b.agree(watchdog.Proposal{Agreement: agreed(1, 2, addressB), Replaces: agreed(1, 1, addressA), Cause: watchdog.CauseFailover})
		b.wants(func(w *Want) { w.Opened = true })
		b.hold()
		b.grant(watchdog.GrantRenew) // an older watchdog writes no record
		b.await("the record out of date", func(c watchdog.Coordinator) bool { return c.Record.Master == addressA && !c.Record.Current })
	})

	t.Run("ClaimRestsOnTheRecordItWasDecidedOn", func(t *testing.T) {
		t.Parallel()
		const group = "rests"
		a, b := startNode(t, s, group, addressA), startNode(t, s, group, addressB)
		opened(a, serving(100))
		decided := b.await("the record", func(c watchdog.Coordinator) bool { return c.Record.Offset == 100 }).Record
		a.stop()
		b.await("the grant gone", func(c watchdog.Coordinator) bool { return c.Grant.Holder == "" && c.Grant.Last == addressA })
		b.agree(watchdog.Proposal{Agreement: agreed(1, 2, addressB), Replaces: agreed(1, 1, addressA), Cause: watchdog.CauseFailover})
		older := decided
		older.Offset = 90
		b.wants(func(w *Want) { w.Rests = older })
		b.grant(watchdog.GrantClaim)
		b.rounds(3)
		if b.now().Grant.Ours {
			t.Error("claimed on a record that is not the one in etcd")
		}
		b.wants(func(w *Want) { w.Rests = decided })
		b.hold()
	})

	t.Run("GarbageIsARecordThatNobodyHolds", func(t *testing.T) {
		t.Parallel()
		const group = "garbled"
		a, b := startNode(t, s, group, addressA), startNode(t, s, group, addressB)
		opened(a, serving(100))
		a.k.See(watchdog.Redis{}) // it does not write it anew yet
		put(t, client, DefaultPrefix+"data/"+group, `{"master":`)
		fact := b.await("garbage", func(c watchdog.Coordinator) bool { return hasFault(b.k.Faults(), FaultGarbage) })
		if fact = b.now(); fact.Record.ID == "" || serving(1000).Position.Holds(fact.Record.Position) {
			t.Errorf("an unreadable record counts as %+v", fact.Record)
		}
		b.rounds(2) // and voids no round
		a.k.See(serving(130))
		b.await("written anew", func(c watchdog.Coordinator) bool {
			return c.Record.Offset == 130 && !hasFault(b.k.Faults(), FaultGarbage)
		})
	})
}

func TestDisks(t *testing.T) {
	t.Parallel()
	_, etcd := oneMember(t)
	s := openStore(t, nil, etcd.Endpoints()...)
	client := etcd.Client(nil)
	const group = "disks"
	came := func(offset int64) watchdog.Redis {
		return watchdog.Redis{RunID: "r9", Answer: watchdog.Up, Role: watchdog.Replica, Position: watchdog.Position{ID: "h1", Offset: offset}}
	}
	nodes := map[watchdog.Address]*node{}
	start := func(a watchdog.Address, offset int64) *node {
		n := startNode(t, s, group, a)
		n.k.See(came(offset))
		n.wants(func(w *Want) { w.Disk = true })
		nodes[a] = n
		return n
	}
	a, b := start(addressA, 100), start(addressB, 120)
	b.await("one that does not say", func(c watchdog.Coordinator) bool {
		return c.Disks.Of.ID == "h1" && c.Disks.Missing == 1 && c.Disks.Better == ""
	})
	a.await("one that has more", func(c watchdog.Coordinator) bool { return c.Disks.Missing == 1 && c.Disks.Better == addressB })
	put(t, client, DefaultPrefix+"disks/"+group+"/"+string(addressC), `{"run_id":7}`)
	b.rounds(2)
	if got := b.now().Disks; got.Missing != 1 {
		t.Errorf("an unreadable entry counts as %+v, want one that does not say", got)
	}
	c := start(addressC, 120)
	for _, n := range []*node{b, c} {
		n.await("the best, with an equal one", func(c watchdog.Coordinator) bool {
			return c.Disks.Of.ID == "h1" && c.Disks.Missing == 0 && c.Disks.Better == ""
		})
	}
	b.wants(func(w *Want) { w.Disk = false }) // it is in step
	c.await("that one says nothing more", func(c watchdog.Coordinator) bool { return c.Disks.Missing == 1 })
	if got := b.now().Disks; got != (watchdog.Disks{}) {
		b.await("nothing to compare", func(c watchdog.Coordinator) bool { return c.Disks == watchdog.Disks{} })
	}
	if got := get(t, client, DefaultPrefix+"disks/"+group+"/"+string(addressB)); got != "" {
		t.Errorf("in step, and etcd still has %s", got)
	}
}

// Entries of any content: one that makes no sense is none, and the others stand.
func FuzzDiskEntries(f *testing.F) {
	f.Add([]byte(`{"run_id":"r","replid":"h1","offset":5}`), []byte(`{"run_id":"r","replid":"h1","offset":9}`))
	f.Add([]byte(`{"run_id":"r","offset":"x"}`), []byte(`null`))
	f.Fuzz(func(t *testing.T, x, y []byte) {
		own := watchdog.Disk{Node: addressA, Position: watchdog.Position{ID: "h1", Offset: 7}}
		nodes := []watchdog.Address{addressA, addressB, addressC}
		others := disksIn(func(yield func(string, []byte) bool) {
			_ = yield("p/"+string(addressB), x) && yield("p/"+string(addressC), y)
		}, "p/")
		d := own.Compare(watchdog.Record{}, nodes, others)
		good := 0
		for _, data := range [][]byte{x, y} {
			if _, left, err := decodePart("k", data, validDisk); err == nil && left == nil {
				good++
			}
		}
		if len(others) != good || d.Missing != 2-good {
			t.Errorf("%d entries make sense; %d were taken in, %d are missing", good, len(others), d.Missing)
		}
	})
}
