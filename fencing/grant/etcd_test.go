package grant

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/redis-watchdog/redis-watchdog/lab"
	"github.com/redis-watchdog/redis-watchdog/watchdog"
)

// patience bounds every wait of the tests; it is never what is measured.
const patience = 30 * time.Second

const (
	addressA watchdog.Address = "10.0.0.1:6379"
	addressB watchdog.Address = "10.0.0.2:6379"
	addressC watchdog.Address = "10.0.0.3:6379"
)

var everybody = []watchdog.Address{addressA, addressB, addressC} // read only

func openStore(t testing.TB, change func(*Config), endpoints ...string) *Store {
	t.Helper()
	cfg := Config{Endpoints: endpoints, Now: lab.Now}
	if change != nil {
		change(&cfg)
	}
	s, err := Open(cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Errorf("Close: %v", err)
		}
	})
	return s
}

func oneMember(t testing.TB) (*lab.Lab, *lab.Etcd) {
	t.Helper()
	l := lab.Loopback(t)
	return l, l.Etcd(lab.EtcdConfig{}, l.Host("a"))
}

// node plays the agent of one Redis: its view is always the newest report's.
type node struct {
	t       testing.TB
	k       *Keeper
	address watchdog.Address
	stop    func()

	mu      sync.Mutex
	fact    watchdog.Coordinator
	reports int
	want    Want
	id      Identity
	deaf    bool // the view stays what it was
	changed chan struct{}
	killAt  string        // the failpoint at which it dies
	killed  chan struct{} // closed when it has
}

func startNode(t testing.TB, s *Store, group string, address watchdog.Address, change ...func(*KeeperConfig)) *node {
	t.Helper()
	return startWanting(t, s, group, address, func(*Want) {}, change...)
}

// startWanting starts a node whose first round wants this already.
func startWanting(t testing.TB, s *Store, group string, address watchdog.Address, want func(*Want), change ...func(*KeeperConfig)) *node {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	n := &node{t: t, address: address, changed: make(chan struct{}, 1), killed: make(chan struct{})}
	n.want = Want{
		Self: address, Known: everybody, TTL: 2 * time.Second, Margin: 200 * time.Millisecond, Round: 250 * time.Millisecond,
		Evidence: Evidence{RunID: "run-" + string(address), Sentinels: []string{"s1", "s2"}, Known: 3, Votes: 2},
	}
	want(&n.want)
	cfg := KeeperConfig{Group: group, Node: "node-" + string(address), Save: func(id Identity) error {
		n.mu.Lock()
		defer n.mu.Unlock()
		n.id = id
		return nil
	}}
	var once sync.Once
	cfg.Failpoint = func(name string) {
		n.mu.Lock()
		defer n.mu.Unlock()
		if name == n.killAt {
			once.Do(func() { cancel(); close(n.killed) }) // nothing reaches etcd from here on
		}
	}
	for _, c := range change {
		c(&cfg)
	}
	n.k = s.Keeper(cfg)
	n.k.Want(n.want)
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		if err := n.k.Run(ctx, n.report); !errors.Is(err, context.Canceled) {
			t.Errorf("Run: %v, want it to end with its context", err)
		}
	}()
	n.stop = func() { cancel(); <-ended }
	t.Cleanup(n.stop)
	return n
}

func (n *node) report(fact watchdog.Coordinator) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.fact = fact
	n.reports++
	if !n.deaf {
		n.want.View = fact.Agreement
		n.k.Want(n.want)
	}
	select {
	case n.changed <- struct{}{}:
	default:
	}
}

func (n *node) wants(change func(*Want)) {
	n.mu.Lock()
	defer n.mu.Unlock()
	change(&n.want)
	n.k.Want(n.want)
}

func (n *node) now() watchdog.Coordinator {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.fact
}

func (n *node) identity() Identity {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.id
}

// await waits for a report that is as wanted.
func (n *node) await(what string, is func(watchdog.Coordinator) bool) watchdog.Coordinator {
	n.t.Helper()
	limit := time.After(patience)
	for {
		if fact := n.now(); is(fact) {
			return fact
		}
		select {
		case <-n.changed:
		case <-limit:
			n.t.Fatalf("%s: never %s; last report %+v, faults %+v", n.address, what, n.now(), n.k.Faults())
		}
	}
}

// rounds waits for so many more good rounds.
func (n *node) rounds(count int) {
	n.t.Helper()
	for range count {
		was := n.now().RoundAt
		n.await("a good round", func(c watchdog.Coordinator) bool { return c.RoundAt > was })
	}
}

func (n *node) agree(p watchdog.Proposal) {
	n.t.Helper()
	n.wants(func(w *Want) { w.Propose = p })
	n.await(fmt.Sprintf("agreement %+v", p.Agreement), func(c watchdog.Coordinator) bool { return c.Agreement == p.Agreement })
	n.wants(func(w *Want) { w.Propose = watchdog.Proposal{} })
}

func (n *node) grant(g watchdog.GrantWant) { n.wants(func(w *Want) { w.Grant = g }) }

// hold claims and keeps.
func (n *node) hold() watchdog.Coordinator {
	n.t.Helper()
	n.grant(watchdog.GrantClaim)
	return n.await("the grant in force", func(c watchdog.Coordinator) bool { return c.Grant.Ours && c.Grant.Until > lab.Now() })
}

func first(master watchdog.Address) watchdog.Proposal {
	return watchdog.Proposal{Agreement: agreed(1, 1, master), Cause: watchdog.CauseFirst}
}

func agreed(generation, epoch uint64, master watchdog.Address) watchdog.Agreement {
	return watchdog.Agreement{Term: watchdog.Term{Generation: generation, Epoch: epoch}, Master: master}
}

func isMember(c watchdog.Coordinator) bool { return c.Membership == watchdog.Member }

func eventually(t testing.TB, what string, is func() bool) {
	t.Helper()
	for deadline := time.Now().Add(patience); !is(); time.Sleep(10 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("never: %s", what)
		}
	}
}

func get(t testing.TB, c *clientv3.Client, key string) string {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	resp, err := c.Get(ctx, key)
	if err != nil {
		t.Fatal(err)
	}
	if len(resp.Kvs) == 0 {
		return ""
	}
	return string(resp.Kvs[0].Value)
}

func put(t testing.TB, c *clientv3.Client, key, value string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	if _, err := c.Put(ctx, key, value); err != nil {
		t.Fatal(err)
	}
}

func hasFault(faults []Fault, id string) bool {
	for _, f := range faults {
		if f.ID == id {
			return f.Text != "" && f.Remedy != ""
		}
	}
	return false
}
