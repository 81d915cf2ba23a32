package grant

import (
	"slices"
	"testing"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/redis-watchdog/redis-watchdog/lab"
	"github.com/redis-watchdog/redis-watchdog/watchdog"
)

// BenchmarkAgreement compares, on one etcd of three members, a bare
// compare-and-swap with a proposal: from Want until the report that shows it
// written. The two alternate, so that a busy machine slows both.
func BenchmarkAgreement(b *testing.B) {
	l := lab.Loopback(b)
	etcd := l.Etcd(lab.EtcdConfig{})
	client := etcd.Client(nil)
	n := startNode(b, openStore(b, nil, etcd.Endpoints()...), "bench", addressA)
	n.await("a member", isMember)
	n.agree(first(addressA))
	revision := int64(0)
	swap := func() time.Duration {
		began := time.Now()
		resp, err := client.Txn(b.Context()).
			If(clientv3.Compare(clientv3.ModRevision("/bare"), "=", revision)).
			Then(clientv3.OpPut("/bare", "a value of about the length of an agreement, which is some hundred bytes or two")).Commit()
		if err != nil || !resp.Succeeded {
			b.Fatalf("swap: %v", err)
		}
		took := time.Since(began)
		revision = resp.Header.Revision
		return took
	}
	epoch := uint64(1)
	propose := func() time.Duration {
		p := watchdog.Proposal{Agreement: agreed(1, epoch+1, addressA), Replaces: agreed(1, epoch, addressA), Cause: watchdog.CauseEpoch}
		epoch++
		began := time.Now()
		n.agree(p)
		return time.Since(began)
	}
	var bare, proposed []time.Duration
	for b.Loop() {
		bare = append(bare, swap())
		proposed = append(proposed, propose())
	}
	half := func(d []time.Duration) time.Duration { slices.Sort(d); return d[len(d)/2] }
	b.ReportMetric(float64(half(bare).Microseconds()), "us/bare-p50")
	b.ReportMetric(float64(half(proposed).Microseconds()), "us/propose-p50")
	b.ReportMetric(float64(half(proposed))/float64(half(bare)), "propose/bare")
	b.ReportMetric(0, "ns/op")
}

// BenchmarkRound is one renewal: the keep-alive and the confirming transaction.
func BenchmarkRound(b *testing.B) {
	l := lab.Loopback(b)
	etcd := l.Etcd(lab.EtcdConfig{})
	n := startNode(b, openStore(b, nil, etcd.Endpoints()...), "bench", addressA)
	n.await("a member", isMember)
	n.agree(first(addressA))
	n.hold()
	want := n.newest()
	want.Grant, want.View = watchdog.GrantRenew, agreed(1, 1, addressA)
	n.stop() // the rounds are ours now
	for b.Loop() {
		if err := n.k.round(b.Context(), want); err != nil {
			b.Fatal(err)
		}
	}
	if !n.k.fact.Grant.Ours || n.k.fact.Grant.RenewedAt != n.k.fact.RoundAt {
		b.Fatalf("not renewed: %+v", n.k.fact)
	}
}
