package grant

import (
	"context"
	"slices"
	"testing"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/redis-watchdog/redis-watchdog/watchdog"
)

// TestGoneIsWhoNobodyHasSeenForADay: a day of some seconds. A's watchdog lists B. C
// is in the record of a group that an older version kept, and nobody knows it.
func TestGoneIsWhoNobodyHasSeenForADay(t *testing.T) {
	t.Parallel()
	_, etcd := oneMember(t)
	s, client := openStore(t, nil, etcd.Endpoints()...), etcd.Client(nil)
	const group = "m1"
	record := `{"id":"x","nodes":["` + string(addressA) + `","` + string(addressB) + `","` + string(addressC) + `"]}`
	put(t, client, DefaultPrefix+"groups/m1", record)
	put(t, client, DefaultPrefix+"masters/m1", `{"generation":1,"epoch":1,"address":"`+string(addressA)+`"}`)
	gone := func() []watchdog.Address {
		g, err := s.Read(t.Context(), group)
		if err != nil {
			t.Fatal(err)
		}
		return g.Gone
	}
	if got := gone(); len(got) > 0 {
		t.Errorf("a group that an older version kept: %v are gone", got)
	}
	k := s.Keeper(KeeperConfig{Group: group, seenEvery: 500 * time.Millisecond, seenLasts: 5 * time.Second})
	at := sightings{kept: map[watchdog.Address]watchdog.Instant{}}
	turn := func() {
		if err := k.turnSeen(t.Context(), &at, addressA, []watchdog.Address{addressA, addressB}); err != nil {
			t.Fatal(err)
		}
	}
	turn()
	if got := gone(); len(got) > 0 {
		t.Errorf("from the start: %v are gone", got)
	}
	key := DefaultPrefix + "seen/m1/" + string(addressB)
	made := leaseOf(t, client, key)
	eventually(t, "C is gone", func() bool { turn(); return slices.Equal(gone(), []watchdog.Address{addressC}) })
	if now := leaseOf(t, client, key); now != made {
		t.Errorf("the key of B was written anew, under lease %x, not %x", now, made)
	}
	put(t, client, DefaultPrefix+"nodes/m1/"+string(addressC), `{}`)
	if got := gone(); len(got) > 0 {
		t.Errorf("while C reports: %v are gone", got)
	}
	// Every watchdog is away for a day; whoever the agreed master is, he is looked for.
	eventually(t, "B is gone too", func() bool { return slices.Equal(gone(), []watchdog.Address{addressB}) })
	turn()
	if got := gone(); len(got) > 0 {
		t.Errorf("seen again: %v are gone", got)
	}
}

// TestSeenLastsForADay: what a watchdog that runs writes by itself, and what becomes
// of it when the node is forgotten.
func TestSeenLastsForADay(t *testing.T) {
	t.Parallel()
	_, etcd := oneMember(t)
	s, client := openStore(t, nil, etcd.Endpoints()...), etcd.Client(nil)
	n := startWanting(t, s, "m1", addressA, func(w *Want) { w.Listed = []Listed{{addressB, "r"}} })
	n.await("a member", isMember)
	for _, node := range everybody {
		key := DefaultPrefix + "seen/m1/" + string(node)
		eventually(t, "the key of "+string(node), func() bool { return get(t, client, key) != "" })
		ctx, cancel := context.WithTimeout(t.Context(), patience)
		left, err := client.TimeToLive(ctx, leaseOf(t, client, key))
		cancel()
		if err != nil || left.GrantedTTL < int64(24*time.Hour/time.Second) {
			t.Errorf("%s is seen for %+v, %v", node, left, err)
		}
	}
	n.agree(first(addressA))
	n.hold()
	if err := s.Forget(t.Context(), "m1", addressC, byOps); err != nil {
		t.Fatal(err)
	}
	if got := get(t, client, DefaultPrefix+"seen/m1/"+string(addressC)); got != "" {
		t.Errorf("forgotten, and seen by %s", got)
	}
}

func leaseOf(t *testing.T, c *clientv3.Client, key string) clientv3.LeaseID {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	resp, err := c.Get(ctx, key)
	if err != nil || len(resp.Kvs) == 0 {
		t.Fatalf("read %s: %v, %v", key, resp, err)
	}
	return clientv3.LeaseID(resp.Kvs[0].Lease)
}
