package grant

import (
	"context"
	"fmt"
	"testing"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/redis-watchdog/redis-watchdog/watchdog"
)

// standing is a grant as etcd has it; nil: there is none.
func standing(t testing.TB, c *clientv3.Client, group string) *entry {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	resp, err := c.Get(ctx, DefaultPrefix+"grants/"+group)
	must(t, err)
	if len(resp.Kvs) == 0 {
		return nil
	}
	e := newEntry(resp.Kvs[0])
	return &e
}

// sharers are masters whose grants last 3 s and hang on one lease, which they return.
func sharers(t testing.TB, s *Store, c *clientv3.Client, name string, groups int) ([]*node, clientv3.LeaseID) {
	t.Helper()
	nodes := fleet(t, s, name, groups)
	for _, n := range nodes {
		n.wants(func(w *Want) { w.TTL = 3 * time.Second })
	}
	var lease clientv3.LeaseID
	eventually(t, "all grants hang on one lease", func() bool {
		lease = s.leases.of(3)
		for _, n := range nodes {
			if e := standing(t, c, n.k.cfg.Group); lease == 0 || e == nil || e.lease != lease {
				return false
			}
		}
		return true
	})
	return nodes, lease
}

// lapsesAlone waits until the grant of that group is gone, and wants those of all
// others to stand as they were made, renewed.
func lapsesAlone(t testing.TB, c *clientv3.Client, group string, others []*node) {
	t.Helper()
	made := map[string]entry{}
	for _, n := range others {
		made[n.k.cfg.Group] = *standing(t, c, n.k.cfg.Group)
	}
	eventually(t, group+" lapses", func() bool { return standing(t, c, group) == nil })
	renewsAll(t, others, 2)
	for other, was := range made {
		if now := standing(t, c, other); now == nil || now.created != was.created || now.lease != was.lease {
			t.Errorf("%s lapsed, and the grant of %s went from %+v to %+v", group, other, was, now)
		}
	}
}

// TestGroupsOfAHostShareALease counts the keep-alives of twelve grants.
func TestGroupsOfAHostShareALease(t *testing.T) {
	t.Parallel()
	_, etcd := oneMember(t)
	s := openStore(t, nil, etcd.Endpoints()...)
	nodes, _ := sharers(t, s, etcd.Client(nil), "share", 12)
	before, rounds := keepAlives(t, etcd.Members[0]), reported(nodes)
	renewsAll(t, nodes, 6)
	sent, rounds := keepAlives(t, etcd.Members[0])-before, reported(nodes)-rounds
	if sent == 0 || sent > float64(rounds)/3 {
		t.Errorf("%v keep-alives for %d rounds of 12 groups, want a third at the most", sent, rounds)
	}
}

// TestAGrantThatIsLetGoLapsesByItself lets grants go in every way there is while
// others renew the lease that they hang on.
func TestAGrantThatIsLetGoLapsesByItself(t *testing.T) {
	t.Parallel()
	_, etcd := oneMember(t)
	s := openStore(t, nil, etcd.Endpoints()...)
	client := etcd.Client(nil)
	nodes, lease := sharers(t, s, client, "let", 5)

	deposed, ended, stuck, others := nodes[0], nodes[1], nodes[2], nodes[3:]
	deposed.grant(watchdog.GrantLeave)
	counted := deposed.now().Grant.Until
	ended.stop()
	stuck.mu.Lock() // its report waits for that, and its rounds for the report
	defer stuck.mu.Unlock()
	for _, n := range []*node{deposed, ended, stuck} {
		lapsesAlone(t, client, n.k.cfg.Group, others)
	}
	if now := s.now(); now < counted {
		t.Errorf("the grant lapsed %v before the end that its keeper counted", counted.Sub(now))
	}
	// One that a group had which is configured no more.
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	_, err := client.Put(ctx, DefaultPrefix+"grants/removed", `{"holder":"10.0.0.1:6379","holder_id":"x"}`, clientv3.WithLease(lease))
	must(t, err)
	s.leases.mu.Lock()
	delete(s.leases.looked, lease) // as in a process that has just taken the lease up
	s.leases.mu.Unlock()
	lapsesAlone(t, client, "removed", others)

	// And back: what was let go is claimed anew, and hangs with the others again.
	deposed.hold()
	deposed.grant(watchdog.GrantRenew)
	eventually(t, "it shares the lease again", func() bool {
		e := standing(t, client, deposed.k.cfg.Group)
		return e != nil && e.lease == lease
	})
}

// TestAGrantIsTakenUpWhileItIsLetGo wants a grant again after it was moved to a lease
// of its own, and before that has lapsed: it never goes.
func TestAGrantIsTakenUpWhileItIsLetGo(t *testing.T) {
	t.Parallel()
	_, etcd := oneMember(t)
	s := openStore(t, nil, etcd.Endpoints()...)
	client := etcd.Client(nil)
	nodes, lease := sharers(t, s, client, "back", 3)
	n, group := nodes[0], nodes[0].k.cfg.Group
	// Whoever is late by more than what was left of it finds it lapsed and claims it
	// anew, which shows nothing: then it is let go once more.
	for try := 1; ; try++ {
		created := standing(t, client, group).created
		n.grant(watchdog.GrantLeave)
		eventually(t, "it has a lease of its own, or lapsed", func() bool {
			e := standing(t, client, group)
			return e == nil || e.lease != lease
		})
		n.grant(watchdog.GrantClaim)
		eventually(t, "it shares the lease again", func() bool {
			e := standing(t, client, group)
			return e != nil && e.lease == lease
		})
		if standing(t, client, group).created == created {
			break
		}
		if try == 5 {
			t.Fatal("it was made anew each of five times: it lapses although it is wanted again")
		}
	}
	renewsAll(t, nodes, 2)
}

// TestARestartTakesTheLeaseUp restarts a process, without one of its groups: the
// others renew the lease that they had, and that group's grant lapses all the same.
func TestARestartTakesTheLeaseUp(t *testing.T) {
	t.Parallel()
	_, etcd := oneMember(t)
	client := etcd.Client(nil)
	before := openStore(t, nil, etcd.Endpoints()...)
	nodes, lease := sharers(t, before, client, "restart", 4)
	for _, n := range nodes {
		eventually(t, "identity saved", func() bool { return n.identity().GroupID != "" })
	}
	for _, n := range nodes {
		n.stop()
	}
	s := openStore(t, nil, etcd.Endpoints()...)
	var again []*node
	for i, n := range nodes[1:] {
		again = append(again, startWanting(t, s, fmt.Sprintf("restart-%d", i+1), addressA, func(w *Want) {
			w.TTL, w.Round, w.Grant = 3*time.Second, 0, watchdog.GrantRenew
		}, func(c *KeeperConfig) { c.Identity = n.identity() }))
	}
	renewsAll(t, again, 2)
	for _, n := range again {
		if e := standing(t, client, n.k.cfg.Group); e == nil || e.lease != lease {
			t.Errorf("%s was on lease %x before the restart, and is %+v", n.k.cfg.Group, lease, e)
		}
	}
	lapsesAlone(t, client, "restart-0", again)
}

// TestLeasesOfTheirOwnBecomeOne has grants that were claimed by processes of one group
// each, as older versions claimed all, renewed by one.
func TestLeasesOfTheirOwnBecomeOne(t *testing.T) {
	t.Parallel()
	_, etcd := oneMember(t)
	client := etcd.Client(nil)
	s := openStore(t, nil, etcd.Endpoints()...)
	var nodes []*node
	created := map[string]int64{}
	for i := range 4 {
		group := fmt.Sprintf("own-%d", i)
		n := fleetOf(t, openStore(t, nil, etcd.Endpoints()...), group)
		eventually(t, "identity saved", func() bool { return n.identity().GroupID != "" })
		n.stop()
		created[group] = standing(t, client, group).created
		nodes = append(nodes, startWanting(t, s, group, addressA, func(w *Want) {
			w.TTL, w.Round, w.Grant = 10*time.Second, 0, watchdog.GrantRenew
		}, func(c *KeeperConfig) { c.Identity = n.identity() }))
	}
	eventually(t, "one lease", func() bool {
		leases := map[clientv3.LeaseID]bool{}
		for group := range created {
			if e := standing(t, client, group); e != nil {
				leases[e.lease] = true
			}
		}
		return len(leases) == 1
	})
	renewsAll(t, nodes, 2)
	for group, was := range created {
		if now := standing(t, client, group); now == nil || now.created != was {
			t.Errorf("%s lapsed on the way: made at %d, now %+v", group, was, now)
		}
	}
}

// fleetOf is the master of one group, which holds its grant.
func fleetOf(t testing.TB, s *Store, group string) *node {
	t.Helper()
	n := startWanting(t, s, group, addressA, func(w *Want) { w.TTL, w.Round = 10*time.Second, 0 })
	n.await("a member", isMember)
	n.agree(first(addressA))
	n.hold()
	n.grant(watchdog.GrantRenew)
	return n
}

// TestALostLeaseIsMadeAnewForAll revokes what all hang on.
func TestALostLeaseIsMadeAnewForAll(t *testing.T) {
	t.Parallel()
	_, etcd := oneMember(t)
	s := openStore(t, nil, etcd.Endpoints()...)
	client := etcd.Client(nil)
	nodes, lease := sharers(t, s, client, "lost", 6)
	for _, n := range nodes {
		n.grant(watchdog.GrantClaim)
	}
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	_, err := client.Revoke(ctx, lease)
	must(t, err)
	eventually(t, "all hang on another lease", func() bool {
		of := s.leases.of(3)
		for _, n := range nodes {
			if e := standing(t, client, n.k.cfg.Group); of == 0 || of == lease || e == nil || e.lease != of {
				return false
			}
		}
		return true
	})
	renewsAll(t, nodes, 2)
}

// TestWhatWasLetGoIsNotRenewedAsItStands: from the moment at which a grant is let go,
// only another revision of it is renewed.
func TestWhatWasLetGoIsNotRenewedAsItStands(t *testing.T) {
	now := watchdog.Instant(time.Hour)
	s := openStore(t, func(c *Config) { c.Now = func() watchdog.Instant { return now } }, "http://127.0.0.1:1")
	k, l := s.Keeper(KeeperConfig{Group: "given"}), &s.leases
	grant := entry{value: []byte("{}"), created: 5, modified: 7, lease: 9}
	ask := func(e entry, want bool) {
		t.Helper()
		if got := l.asks(k, e); got != want {
			t.Errorf("revision %d may be renewed: %v, want %v", e.modified, got, want)
		}
	}
	ask(grant, true)
	for _, c := range []struct {
		grant watchdog.GrantWant
		ended bool
		fresh bool
		beats int
		after time.Duration
		want  bool
	}{
		{watchdog.GrantLeave, false, false, letGoMissed, letGoAfter - 1, false},
		{watchdog.GrantLeave, false, false, letGoMissed, letGoAfter, true},
		{watchdog.GrantLeave, false, false, letGoMissed - 1, time.Hour, false},
		{watchdog.GrantLeave, false, true, letGoMissed, 4*time.Second - 1, false},
		{watchdog.GrantLeave, false, true, letGoMissed, 4 * time.Second, true},
		{watchdog.GrantRenew, false, false, letGoMissed, 4*time.Second - 1, false},
		{watchdog.GrantRenew, false, false, letGoMissed, 4 * time.Second, true},
		{watchdog.GrantRenew, true, false, letGoMissed, letGoAfter - 1, false},
		{watchdog.GrantRenew, true, false, letGoMissed, letGoAfter, true},
	} {
		k.Want(Want{Grant: c.grant})
		l.hangs[k] = hanging{grant: grant, asked: now, ended: c.ended, fresh: c.fresh}
		l.beats = map[clientv3.LeaseID]watchdog.Instant{}
		for i := range c.beats {
			for range 3 { // renewals of one beat
				l.count(9, now.Add(time.Duration(i)*missedApart))
			}
		}
		if _, got := l.ceased(9, now.Add(c.after), 4*time.Second)[k]; got != c.want {
			t.Errorf("%+v: it has ceased to ask: %v", c, got)
		}
		if len(l.ceased(8, now.Add(time.Hour), 4*time.Second)) != 0 {
			t.Errorf("%+v: it does not hang on that lease", c)
		}
	}
	l.given["/redis-watchdog/v1/grants/given"] = 7
	ask(grant, false)
	grant.modified = 8
	ask(grant, true)
}
