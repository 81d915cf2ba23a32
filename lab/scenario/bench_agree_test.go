package scenario

import (
	"encoding/json"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/redis-watchdog/redis-watchdog/fencing/grant"
	"github.com/redis-watchdog/redis-watchdog/lab"
	"github.com/redis-watchdog/redis-watchdog/lab/watched"
	"github.com/redis-watchdog/redis-watchdog/watchdog"
)

const failovers = 12

// BenchmarkMajorityToEtcd measures, over failovers, from the Sentinel that made
// it a majority (its event, as any subscriber hears it) to the agreement being
// there for a reader of etcd, against a bare compare-and-swap on the same etcd
// just before. The watchdogs hear, ask back, tally and decide in between.
func BenchmarkMajorityToEtcd(b *testing.B) {
	w := watched.Start(b, watched.Options{Group: lab.GroupConfig{DownAfter: 5 * time.Second}})
	h := w.Hosts[1]
	client := w.Etcd.Client(h)
	told := hearSwitches(b, w, h)
	agreed := client.Watch(b.Context(), grant.DefaultPrefix+"masters/"+w.Group.Name)
	revision := int64(0)
	swap := func() time.Duration {
		began := time.Now()
		resp, err := client.Txn(b.Context()).
			If(clientv3.Compare(clientv3.ModRevision("/bare"), "=", revision)).
			Then(clientv3.OpPut("/bare", strings.Repeat("x", 300))).Commit()
		if err != nil || !resp.Succeeded {
			b.Fatalf("swap: %v", err)
		}
		revision = resp.Header.Revision
		return time.Since(began)
	}
	var bare, reached []time.Duration
	for b.Loop() {
		for range failovers {
			for range 5 {
				bare = append(bare, swap())
				w.Pause(50 * time.Millisecond)
			}
			old := w.Group.Master()
			told.forget() // the leader tells once more, at its failover's end
			w.Group.Failover()
			at := readable(b, agreed, watchdog.Address(old.Address))
			reached = append(reached, at.Sub(told.majority(b, old.Address)))
			w.Group.WaitMaster(w.Group.Replicas(old)...)
			w.WaitGuarded()
			w.Group.WaitStable()
		}
	}
	half := func(d []time.Duration) time.Duration { slices.Sort(d); return d[len(d)/2] }
	b.Logf("bare %v, reached %v", bare, reached)
	b.ReportMetric(float64(half(bare).Microseconds()), "us/bare-p50")
	b.ReportMetric(float64(half(reached).Microseconds()), "us/majority-to-etcd-p50")
	b.ReportMetric(float64(half(reached))/float64(half(bare)), "majority-to-etcd/bare")
	b.ReportMetric(0, "ns/op")
}

// readable waits until the agreement names another, and is when.
func readable(b *testing.B, agreed clientv3.WatchChan, old watchdog.Address) watchdog.Instant {
	b.Helper()
	limit := time.After(time.Minute)
	for {
		select {
		case resp := <-agreed:
			at := lab.Now()
			for _, e := range resp.Events {
				var r grant.MasterRecord
				if err := json.Unmarshal(e.Kv.Value, &r); err != nil {
					b.Fatalf("agreement %q: %v", e.Kv.Value, err)
				}
				if r.Address != old {
					return at
				}
			}
		case <-limit:
			b.Fatal("no other master was agreed on within a minute")
		}
	}
}

// switches is when each Sentinel told that a master was replaced.
type switches struct {
	sentinels int

	mu   sync.Mutex
	when map[string]map[string]watchdog.Instant // by the old master's address, by Sentinel
}

// hearSwitches subscribes to every Sentinel. The failover's leader names the new
// master from +promoted-slave on, the others with +switch-master.
func hearSwitches(b *testing.B, w *watched.World, h *lab.Host) *switches {
	b.Helper()
	s := &switches{sentinels: len(w.Group.Sentinels), when: map[string]map[string]watchdog.Instant{}}
	var heard sync.WaitGroup
	b.Cleanup(heard.Wait) // after the subscriptions are closed: registered first
	for _, sentinel := range w.Group.Sentinels {
		sub := sentinel.ClientFrom(h).Subscribe(b.Context(), "+promoted-slave", "+switch-master")
		if _, err := sub.Receive(b.Context()); err != nil {
			b.Fatalf("subscribe to %s: %v", sentinel.Name, err)
		}
		messages := sub.Channel()
		heard.Go(func() {
			for m := range messages {
				at, f := lab.Now(), strings.Fields(m.Payload)
				switch {
				case m.Channel == "+switch-master" && len(f) == 5:
					s.note(f[1]+":"+f[2], sentinel.Name, at)
				case m.Channel == "+promoted-slave" && len(f) == 8: // slave NAME IP PORT @ GROUP IP PORT
					s.note(f[6]+":"+f[7], sentinel.Name, at)
				}
			}
		})
		b.Cleanup(func() {
			if err := sub.Close(); err != nil {
				b.Logf("unsubscribe: %v", err)
			}
		})
	}
	return s
}

func (s *switches) note(old, sentinel string, at watchdog.Instant) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.when[old] == nil {
		s.when[old] = map[string]watchdog.Instant{}
	}
	if _, known := s.when[old][sentinel]; !known {
		s.when[old][sentinel] = at
	}
}

func (s *switches) forget() {
	s.mu.Lock()
	defer s.mu.Unlock()
	clear(s.when)
}

// majority is when more than half of the Sentinels had told that old was
// replaced.
func (s *switches) majority(b *testing.B, old string) watchdog.Instant {
	b.Helper()
	s.mu.Lock()
	defer s.mu.Unlock()
	var all []watchdog.Instant
	for _, at := range s.when[old] {
		all = append(all, at)
	}
	if 2*len(all) <= s.sentinels {
		b.Fatalf("etcd was told before more than %d of %d Sentinels told us", len(all), s.sentinels)
	}
	slices.Sort(all)
	return all[s.sentinels/2]
}
