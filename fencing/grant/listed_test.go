package grant

import (
	"slices"
	"strings"
	"testing"
	"time"

	"go.etcd.io/etcd/api/v3/mvccpb"

	"github.com/redis-watchdog/redis-watchdog/watchdog"
)

func TestRedisOfTwoGroups(t *testing.T) {
	t.Parallel()
	_, etcd := oneMember(t)
	s := openStore(t, nil, etcd.Endpoints()...)
	client := etcd.Client(nil)
	start := func(group string, self watchdog.Address, listed ...Listed) *node {
		n := startNode(t, s, group, self)
		n.wants(func(w *Want) {
			w.Known, w.Listed = nil, listed
			for _, l := range listed {
				w.Known = append(w.Known, l.Address)
			}
		})
		n.k.See(watchdog.Redis{RunID: "run-" + string(self), Answer: watchdog.Up, Role: watchdog.Replica})
		return n
	}
	is := func(a watchdog.Address) Listed { return Listed{a, "run-" + string(a)} }
	shop := start("shop", addressC, is(addressC))
	shop.await("a member", isMember)
	// The same address in another network: a Redis of another run id.
	far := start("far", addressA, is(addressA), Listed{addressC, "run of another"})
	far.await("a member", isMember)
	eventually(t, "all is published", func() bool {
		return get(t, client, DefaultPrefix+"listed/"+string(addressC)+"/far/"+string(addressA)) == "run of another"
	})
	shop.rounds(2)
	if got := shop.now().Elsewhere; got != "" {
		t.Errorf("listed by %q too, which has another at that address", got)
	}

	session := start("session", addressB, is(addressB), is(addressC))
	shop.await("listed by session too", func(c watchdog.Coordinator) bool { return c.Elsewhere == "session" })
	want := []Shared{{addressC, "shop"}}
	eventually(t, "session says whom it shares", func() bool { return slices.Equal(session.k.Shared(), want) })
	shared, err := s.Shared(t.Context(), "session", []watchdog.Address{addressB, addressC})
	if err != nil || !slices.Equal(shared, want) {
		t.Errorf("shared: got %v, %v, want %v", shared, err, want)
	}
	if got := session.now().Elsewhere; got != "" {
		t.Errorf("session's own is listed by %q too, want nobody", got)
	}
	put(t, client, DefaultPrefix+"listed/"+string(addressB)+"/", "run-"+string(addressB))
	put(t, client, DefaultPrefix+"listed/"+string(addressB)+"/x", "run-"+string(addressB))
	put(t, client, DefaultPrefix+"listed/"+string(addressB)+"/other/"+string(addressB), "")
	session.rounds(2)
	if got := session.now().Elsewhere; got != "" {
		t.Errorf("entries that make no sense count for %q", got)
	}

	session.stop() // and with its lease, which is as long as the patience of await, what it said goes
	for deadline := time.Now().Add(3 * patience); shop.now().Elsewhere != ""; shop.rounds(1) {
		if time.Now().After(deadline) {
			t.Fatalf("still listed by %q", shop.now().Elsewhere)
		}
	}
}

func FuzzListedEntries(f *testing.F) {
	f.Add("shop/10.0.0.3:6379", []byte("r1"), "a/b/[::1]:6379", []byte("r1"))
	f.Add("", []byte(nil), "/", []byte("r1"))
	f.Fuzz(func(t *testing.T, x string, xv []byte, y string, yv []byte) {
		const prefix = "p/listed/10.0.0.1:6379/"
		entries := entriesOf([]*mvccpb.KeyValue{{Key: []byte(prefix + x), Value: xv}, {Key: []byte(y), Value: yv}, {Key: []byte(prefix + "shop/n"), Value: []byte("r1")}})
		got := elsewhere(prefix, "own", []string{"r1"}, entries)
		if got == "" || got == "own" || strings.Compare(got, "shop") > 0 {
			t.Errorf("%q: shop's entry stands beside what makes no sense", got)
		}
	})
}
