package grant

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/redis-watchdog/redis-watchdog/watchdog"
)

func TestOneMember(t *testing.T) {
	_, etcd := oneMember(t)
	s := openStore(t, nil, etcd.Endpoints()...)
	client := etcd.Client(nil)

	t.Run("TwoKeepersRaceForOneGrant", func(t *testing.T) {
		t.Parallel()
		const group = "race"
		nodes := []*node{startNode(t, s, group, addressA), startNode(t, s, group, addressB)}
		nodes[0].await("a member", isMember)
		nodes[0].agree(first(addressA))
		for _, n := range nodes {
			n.await("the agreement", func(c watchdog.Coordinator) bool { return c.Agreement == agreed(1, 1, addressA) })
		}
		for range 5 {
			for _, n := range nodes {
				n.grant(watchdog.GrantClaim)
			}
			holders := 0
			for _, n := range nodes {
				if n.await("somebody holding", func(c watchdog.Coordinator) bool { return c.Grant.Holder != "" }).Grant.Ours {
					holders++
				}
			}
			if holders != 1 {
				t.Fatalf("%d hold the grant, want 1", holders)
			}
			for _, n := range nodes {
				n.grant(watchdog.GrantGiveUp)
			}
			for _, n := range nodes {
				n.await("nobody holding", func(c watchdog.Coordinator) bool { return c.Grant.Holder == "" && c.Grant.GivenUp })
			}
		}
	})

	t.Run("RenewalsAreCountedFromTheirStart", func(t *testing.T) {
		t.Parallel()
		n := startNode(t, s, "renew", addressA)
		n.await("a member", isMember)
		n.agree(first(addressA))
		fact := n.hold()
		n.grant(watchdog.GrantRenew)
		revision := revisionOf(t, s, "renew")
		for range 4 {
			was := fact.Grant
			fact = n.await("a renewal", func(c watchdog.Coordinator) bool { return c.Grant.RenewedAt > was.RenewedAt })
			if got, want := fact.Grant.Until, fact.Grant.RenewedAt.Add(2*time.Second-200*time.Millisecond); got != want {
				t.Errorf("Until %d, want RenewedAt + TTL - margin = %d", got, want)
			}
			if fact.RoundAt != fact.Grant.RenewedAt {
				t.Errorf("RoundAt %d, want the start of the renewal %d", fact.RoundAt, fact.Grant.RenewedAt)
			}
		}
		if now := revisionOf(t, s, "renew"); now != revision {
			t.Errorf("renewing made revisions: %d to %d, want none", revision, now)
		}
	})

	t.Run("NotRenewedOnAnotherAgreement", func(t *testing.T) {
		t.Parallel()
		const group = "deposed"
		a, b := startNode(t, s, group, addressA), startNode(t, s, group, addressB)
		a.await("a member", isMember)
		a.agree(first(addressA))
		a.hold()
		// A keeps a view that is out of date.
		a.grant(watchdog.GrantRenew)
		stale := a.newest()
		a.freezeView()
		b.await("a member", isMember)
		b.agree(watchdog.Proposal{Agreement: agreed(1, 2, addressB), Replaces: agreed(1, 1, addressA), Cause: watchdog.CauseFailover})
		fact := a.await("the newer agreement", func(c watchdog.Coordinator) bool { return c.Agreement == agreed(1, 2, addressB) })
		a.rounds(3)
		if got := a.now().Grant.RenewedAt; got > fact.Grant.RenewedAt {
			t.Errorf("renewed although the agreement was no longer %+v", stale.View)
		}
		b.hold() // once A's lapsed
		if last := b.now().Grant; last.Last != addressA || last.GivenUp {
			t.Errorf("the grant's predecessor is %q given up %v, want %q, lapsed", last.Last, last.GivenUp, addressA)
		}
	})

	t.Run("LapsedAndGivenUpAreToldApart", func(t *testing.T) {
		t.Parallel()
		const group = "lapse"
		a, b := startNode(t, s, group, addressA), startNode(t, s, group, addressB)
		a.await("a member", isMember)
		a.agree(first(addressA))
		a.wants(func(w *Want) { w.Opened = true })
		a.hold()
		a.grant(watchdog.GrantRenew)
		a.rounds(2)
		a.stop() // as if killed: nothing is given up
		b.await("the grant gone", func(c watchdog.Coordinator) bool {
			return c.Grant.Holder == "" && c.Grant.Last == addressA && !c.Grant.GivenUp
		})
		b.wants(func(w *Want) { w.Opened = true })
		fact := b.hold()
		if fact.Grant.Last != addressA || fact.Grant.GivenUp {
			t.Errorf("predecessor %q given up %v, want %q lapsed", fact.Grant.Last, fact.Grant.GivenUp, addressA)
		}
		b.rounds(2)
		b.grant(watchdog.GrantGiveUp)
		b.await("given up", func(c watchdog.Coordinator) bool {
			return c.Grant.Holder == "" && c.Grant.Last == addressB && c.Grant.GivenUp && !c.Grant.Ours
		})
	})

	t.Run("LapsedGrantCanStillBeSaidToBeGivenUp", func(t *testing.T) {
		t.Parallel()
		n := startNode(t, s, "late", addressA)
		n.await("a member", isMember)
		n.agree(first(addressA))
		n.hold()
		n.grant(watchdog.GrantLeave)
		n.await("lapsed", func(c watchdog.Coordinator) bool { return c.Grant.Holder == "" && !c.Grant.GivenUp })
		n.grant(watchdog.GrantGiveUp)
		n.await("given up", func(c watchdog.Coordinator) bool { return c.Grant.GivenUp })
	})

	t.Run("GrantDeletedByHandIsClaimedAgain", func(t *testing.T) {
		t.Parallel()
		n := startNode(t, s, "deleted", addressA)
		n.await("a member", isMember)
		n.agree(first(addressA))
		n.hold()
		n.grant(watchdog.GrantRenew)
		n.rounds(1)
		if _, err := client.Delete(t.Context(), DefaultPrefix+"grants/deleted"); err != nil {
			t.Fatal(err)
		}
		was := n.await("the grant gone", func(c watchdog.Coordinator) bool { return !c.Grant.Ours })
		n.grant(watchdog.GrantClaim)
		n.await("another renewal", func(c watchdog.Coordinator) bool { return c.Grant.Ours && c.Grant.RenewedAt > was.Grant.RenewedAt })
	})

	t.Run("RestartTakesItsGrantUpAgain", func(t *testing.T) {
		t.Parallel()
		n := startNode(t, s, "restart", addressA)
		n.await("a member", isMember)
		n.agree(first(addressA))
		n.hold()
		created := get(t, client, DefaultPrefix+"grants/restart")
		n.stop()
		again := startNode(t, s, "restart", addressA, func(c *KeeperConfig) { c.Identity = n.identity() })
		again.await("known to be ours", func(c watchdog.Coordinator) bool { return c.Grant.Ours })
		again.grant(watchdog.GrantRenew)
		again.await("renewed", func(c watchdog.Coordinator) bool { return c.Grant.RenewedAt != 0 })
		if now := get(t, client, DefaultPrefix+"grants/restart"); now != created {
			t.Errorf("the grant was claimed anew: %s, want it as it was: %s", now, created)
		}
	})

	t.Run("ClonedStateIsNotOurs", func(t *testing.T) {
		t.Parallel()
		n := startNode(t, s, "clone", addressA)
		n.await("a member", isMember)
		n.agree(first(addressA))
		n.hold()
		clone := startNode(t, s, "clone", addressB, func(c *KeeperConfig) { c.Identity = n.identity() })
		clone.rounds(2)
		if clone.now().Grant.Ours {
			t.Errorf("a node with a copy of the state directory takes the grant for its own")
		}
	})

	t.Run("AnotherLeaseLengthReplacesTheLease", func(t *testing.T) {
		t.Parallel()
		n := startNode(t, s, "ttl", addressA)
		n.await("a member", isMember)
		n.agree(first(addressA))
		n.hold()
		n.grant(watchdog.GrantRenew)
		n.rounds(1)
		n.wants(func(w *Want) { w.TTL = 5 * time.Second })
		n.await("the longer lease", func(c watchdog.Coordinator) bool {
			return c.Grant.Until.Sub(c.Grant.RenewedAt) == 5*time.Second-200*time.Millisecond
		})
		n.rounds(2)
		if !n.now().Grant.Ours {
			t.Error("lost the grant by it")
		}
	})

	t.Run("ProposalsReplaceOnlyWhatTheySay", func(t *testing.T) {
		t.Parallel()
		const group = "propose"
		key := DefaultPrefix + "masters/" + group
		a, b := startNode(t, s, group, addressA), startNode(t, s, group, addressB)
		a.await("a member", isMember)
		b.await("a member", isMember)
		a.agree(first(addressA))
		put(t, client, key, strings.Replace(get(t, client, key), "{", `{"newer_field":{"x":1},`, 1))
		a.agree(watchdog.Proposal{Agreement: agreed(1, 5, addressA), Replaces: agreed(1, 1, addressA), Cause: watchdog.CauseEpoch})
		record := get(t, client, key)
		for _, part := range []string{`"newer_field":{"x":1}`, `"decided_by":"10.0.0.1:6379"`, `"sentinels":["s1","s2"]`, `"known":3`, `"decided_cause":"epoch"`} {
			if !strings.Contains(record, part) {
				t.Errorf("agreement %s lacks %s", record, part)
			}
		}
		for _, p := range []watchdog.Proposal{
			{Agreement: agreed(1, 9, addressB), Replaces: agreed(1, 1, addressA)}, // of an old view
			{Agreement: agreed(1, 4, addressB), Replaces: agreed(1, 5, addressA)}, // lower
			{Agreement: agreed(1, 5, addressB), Replaces: agreed(1, 5, addressA)}, // not higher
			{Agreement: agreed(1, 9, ""), Replaces: agreed(1, 5, addressA)},       // nobody
		} {
			b.wants(func(w *Want) { w.Propose = p })
			b.rounds(2)
			if now := get(t, client, key); now != record {
				t.Errorf("proposal %+v changed the agreement to %s", p, now)
			}
		}
	})

	t.Run("StrangersWriteNothing", func(t *testing.T) {
		t.Parallel()
		const group = "mymaster"
		a := startNode(t, s, group, addressA)
		a.await("a member", isMember)
		a.agree(first(addressA))
		before := revisionOf(t, s, group)
		x := startWanting(t, s, group, "192.0.2.9:6379", func(w *Want) {
			w.Known = []watchdog.Address{"192.0.2.9:6379", "192.0.2.8:6379"}
			w.Grant = watchdog.GrantClaim
			w.Propose = watchdog.Proposal{Agreement: agreed(1, 9, "192.0.2.9:6379"), Replaces: agreed(1, 1, addressA)}
		})
		x.await("a stranger", func(c watchdog.Coordinator) bool { return c.Membership == watchdog.Stranger })
		_ = x.k.PublishStatus(map[string]int{"x": 1})
		_ = x.k.History("x")
		x.rounds(2)
		if now := revisionOf(t, s, group); now != before {
			t.Errorf("a stranger wrote: revision %d, was %d", now, before)
		}
		if !hasFault(x.k.Faults(), FaultStranger) {
			t.Errorf("faults %+v lack %s", x.k.Faults(), FaultStranger)
		}
		// One that remembers another id stays a stranger, whatever its Sentinels list.
		y := startNode(t, s, group, addressB, func(c *KeeperConfig) { c.Identity.GroupID = "another" })
		y.await("a stranger", func(c watchdog.Coordinator) bool { return c.Membership == watchdog.Stranger })
		if err := s.AdoptCluster(t.Context(), group, Order{By: "test"}); err != nil {
			t.Fatal(err)
		}
		y.await("a member by order", isMember)
	})

	t.Run("OrdersReachTheirNodeOnly", func(t *testing.T) {
		t.Parallel()
		const group = "orders"
		a, b := startNode(t, s, group, addressA), startNode(t, s, group, addressB)
		a.await("a member", isMember)
		b.await("a member", isMember)
		order := Order{By: "test", Reason: "because", At: time.Now()}
		must(t, s.Fence(t.Context(), group, addressA, order))
		a.await("fenced", func(c watchdog.Coordinator) bool { return c.Orders.Fence })
		must(t, s.Unfence(t.Context(), group, addressA, order, true))
		a.await("unfenced by force", func(c watchdog.Coordinator) bool { return !c.Orders.Fence && c.Orders.Unfence })
		must(t, s.Fence(t.Context(), group, addressA, order))
		a.await("fenced, force forgotten", func(c watchdog.Coordinator) bool { return c.Orders.Fence && !c.Orders.Unfence })
		must(t, s.Release(t.Context(), group, addressA, order))
		a.await("released", func(c watchdog.Coordinator) bool { return c.Orders.Released })
		must(t, s.SetMaintenance(t.Context(), group, time.Hour, order))
		for _, n := range []*node{a, b} {
			fact := n.await("in maintenance", func(c watchdog.Coordinator) bool { return c.Orders.Maintenance != 0 })
			if left := fact.Orders.Maintenance.Sub(fact.RoundAt); left > time.Hour || left < time.Hour/2 {
				t.Errorf("maintenance for %v, want about an hour and not more", left)
			}
		}
		must(t, s.EndMaintenance(t.Context(), group))
		a.await("out of maintenance", func(c watchdog.Coordinator) bool { return c.Orders.Maintenance == 0 })
		if o := b.now().Orders; o.Fence || o.Released || o.Unfence {
			t.Errorf("orders for A reached B: %+v", o)
		}
		// Garbage leaves the orders as they were.
		put(t, client, DefaultPrefix+"control/"+group, "{")
		eventually(t, "garbage noticed", func() bool { return hasFault(a.k.Faults(), FaultGarbage) })
		a.rounds(2)
		if !a.now().Orders.Fence {
			t.Error("garbage in control unfenced the node")
		}
		if err := s.Fence(t.Context(), group, addressB, order); err == nil {
			t.Error("Fence replaced a control record that it could not read")
		}
	})

	t.Run("FencedByHandOverARestartWithoutSentinels", func(t *testing.T) {
		t.Parallel()
		n := startNode(t, s, "order-kept", addressA)
		n.await("a member", isMember)
		must(t, s.Fence(t.Context(), "order-kept", addressA, Order{By: "test"}))
		n.await("fenced", func(c watchdog.Coordinator) bool { return c.Orders.Fence })
		eventually(t, "identity saved", func() bool { return n.identity().Self == addressA })
		n.stop()
		again := startNode(t, s, "order-kept", "", func(c *KeeperConfig) { c.Identity = n.identity() })
		again.await("fenced", func(c watchdog.Coordinator) bool { return c.Orders.Fence })
	})

	// A leader that was deposed and has not noticed answers keep-alives too.
	t.Run("KeepAliveOfAnotherRaftTermRenewsNothing", func(t *testing.T) {
		t.Parallel()
		n := startNode(t, s, "term", addressA)
		n.await("a member", isMember)
		n.agree(first(addressA))
		n.hold()
		want := n.newest()
		want.Grant, want.View = watchdog.GrantRenew, agreed(1, 1, addressA)
		n.stop() // the rounds are ours now
		ctx, limit := t.Context(), patience
		must(t, n.k.round(ctx, want))
		was := n.k.fact.Grant
		good := n.k.store.keepAlive(ctx, n.k.seen.grant.lease, limit)
		for name, r := range map[string]renewal{
			"older term":    {lease: good.lease, ttl: good.ttl, term: good.term - 1},
			"newer term":    {lease: good.lease, ttl: good.ttl, term: good.term + 1},
			"failed":        {lease: good.lease, err: errLost},
			"another lease": {lease: good.lease + 1, ttl: good.ttl, term: good.term},
			"none":          {},
		} {
			_ = n.k.renew(ctx, want, was.RenewedAt.Add(time.Second), r, limit)
			if n.k.fact.Grant != was {
				t.Errorf("%s: renewed: %+v", name, n.k.fact.Grant)
			}
		}
		must(t, n.k.renew(ctx, want, was.RenewedAt.Add(time.Second), good, limit))
		if n.k.fact.Grant.RenewedAt != was.RenewedAt.Add(time.Second) {
			t.Errorf("a good keep-alive did not renew: %+v", n.k.fact.Grant)
		}
	})

	t.Run("AdoptStartsAGeneration", func(t *testing.T) {
		t.Parallel()
		n := startNode(t, s, "adopt", addressA)
		n.await("a member", isMember)
		n.agree(first(addressA))
		got, err := s.Adopt(t.Context(), "adopt", addressB, 7, Order{By: "operator"})
		if err != nil || got != agreed(2, 7, addressB) {
			t.Fatalf("Adopt: %+v, %v, want generation 2 epoch 7", got, err)
		}
		n.await("adopted", func(c watchdog.Coordinator) bool { return c.Agreement == got })
		if _, err := s.Adopt(t.Context(), "nosuch", addressB, 7, Order{}); err == nil {
			t.Error("Adopt made a group")
		}
	})

	t.Run("NodeStatusAndHistory", func(t *testing.T) { t.Parallel(); testBeside(t, s) })
	t.Run("KilledAtEveryStep", func(t *testing.T) { t.Parallel(); testKilled(t, s) })

	t.Run("GarbageIsNotRenewedOn", func(t *testing.T) {
		t.Parallel()
		n := startNode(t, s, "garbage", addressA)
		n.await("a member", isMember)
		n.agree(first(addressA))
		n.hold()
		for _, key := range []string{"masters/", "grants/", "last/"} {
			good := get(t, client, DefaultPrefix+key+"garbage")
			put(t, client, DefaultPrefix+key+"garbage", `{"address":5}x`)
			eventually(t, "garbage noticed", func() bool { return hasFault(n.k.Faults(), FaultGarbage) })
			was := n.now().RoundAt
			n.k.Hint()
			eventually(t, "another round", n.reported())
			if got := n.now().RoundAt; got != was {
				t.Errorf("a round with garbage in %s was good", key)
			}
			if key == "grants/" {
				if _, err := client.Delete(t.Context(), DefaultPrefix+key+"garbage"); err != nil {
					t.Fatal(err)
				}
			} else {
				put(t, client, DefaultPrefix+key+"garbage", good)
			}
			n.await("a good round", func(c watchdog.Coordinator) bool { return c.RoundAt > was })
		}
	})
}

// reported is true once there was another report.
func (n *node) reported() func() bool {
	count := func() int {
		n.mu.Lock()
		defer n.mu.Unlock()
		return n.reports
	}
	was := count()
	return func() bool { return count() > was+1 }
}

func (n *node) newest() Want {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.want
}

// freezeView makes the agent deaf: what it wants stays what it is now.
func (n *node) freezeView() {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.deaf = true
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// revisionOf is a count of the changes to a group's keys.
func revisionOf(t testing.TB, s *Store, group string) int64 {
	t.Helper()
	k := s.reader(group)
	snap, err := k.readNow(t.Context())
	must(t, err)
	return max(snap.group.modified, snap.master.modified, snap.grant.modified, snap.last.modified, snap.control.modified)
}

func testBeside(t *testing.T, s *Store) {
	const group = "beside"
	n := startNode(t, s, group, addressA)
	n.await("a member", isMember)
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	must(t, n.k.PublishStatus(map[string]string{"role": "master"}))
	must(t, n.k.Flush(ctx))
	g, err := s.Read(ctx, group)
	must(t, err)
	if got := g.Nodes[string(addressA)]; got != `{"role":"master"}` {
		t.Errorf("node status %q", got)
	}
	// A stop leaves a second for the last word, whatever was said just before.
	const words = 8
	begun := time.Now()
	for i := range words {
		must(t, n.k.PublishStatus(i))
		must(t, n.k.Flush(ctx))
	}
	if took := time.Since(begun); took > words*nodeApart/2 {
		t.Errorf("%d reports flushed in %s: they were kept apart", words, took)
	}
	const extra = 40
	for i := range HistoryLength + extra {
		must(t, n.k.History(i))
		if i%historyWaiting == historyWaiting-1 {
			must(t, n.k.Flush(ctx))
		}
	}
	must(t, n.k.Flush(ctx))
	records, err := s.ReadHistory(ctx, group, 0)
	must(t, err)
	if len(records) != HistoryLength {
		t.Errorf("%d history records are kept, want %d", len(records), HistoryLength)
	}
	if first, last := records[0], records[len(records)-1]; first != fmt.Sprint(extra) || last != fmt.Sprint(HistoryLength+extra-1) {
		t.Errorf("history from %s to %s, want the newest in order", first, last)
	}
	if newest, err := s.ReadHistory(ctx, group, 3); err != nil || len(newest) != 3 || newest[2] != records[len(records)-1] {
		t.Errorf("the newest 3 records: %v, %v", newest, err)
	}
	if d := n.k.HistoryDropped(); d != 0 {
		t.Errorf("%d records dropped, want none", d)
	}
	n.stop()
	for range historyWaiting + 5 {
		must(t, n.k.History("later"))
	}
	if d := n.k.HistoryDropped(); d != 5 {
		t.Errorf("%d records dropped with etcd away, want 5", d)
	}
}

// testKilled ends a keeper at each of its steps, starts it again from what it
// had saved, and wants it to hold the grant, or to have given it up, in the end.
func testKilled(t *testing.T, s *Store) {
	for _, point := range []string{
		FailClaimLease, FailClaimPut, FailClaimDone, FailRenew, FailRenewDone,
		FailPropose, FailProposeDone, FailGiveUp, FailGiveUpDone, FailIdentitySaved,
	} {
		t.Run(point, func(t *testing.T) {
			group := "killed-" + point
			n := startNode(t, s, group, addressA)
			n.await("a member", isMember)
			eventually(t, "identity saved", func() bool { return n.identity().GroupID != "" })
			n.mu.Lock()
			n.killAt = point
			n.mu.Unlock()
			n.wants(func(w *Want) { w.Grant, w.Propose = watchdog.GrantClaim, first(addressA) })
			if strings.HasPrefix(point, FailGiveUp) {
				n.await("the grant", func(c watchdog.Coordinator) bool { return c.Grant.Ours })
				n.grant(watchdog.GrantGiveUp)
			}
			select {
			case <-n.killed:
			case <-time.After(patience):
				t.Fatal("never came there")
			}
			n.stop()
			again := startNode(t, s, group, addressA, func(c *KeeperConfig) { c.Identity = n.identity() })
			again.await("a member", isMember)
			again.wants(func(w *Want) { w.Propose = first(addressA) })
			again.await("the agreement", func(c watchdog.Coordinator) bool { return c.Agreement == agreed(1, 1, addressA) })
			again.hold()
			again.grant(watchdog.GrantGiveUp)
			again.await("given up", func(c watchdog.Coordinator) bool { return c.Grant.Holder == "" && c.Grant.GivenUp })
		})
	}
}
