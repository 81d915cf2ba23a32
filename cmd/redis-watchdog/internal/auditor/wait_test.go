package auditor

import (
	"fmt"
	"regexp"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/redis-watchdog/redis-watchdog/fencing/grant"
	"github.com/redis-watchdog/redis-watchdog/lab"
	"github.com/redis-watchdog/redis-watchdog/preflight/keyspace/fleet"
)

var (
	requests = regexp.MustCompile(`(?m)^grpc_server_started_total\{[^}]*grpc_method="(?:Txn|Range|Put|DeleteRange|LeaseGrant|LeaseRevoke)"[^}]*\} ([0-9.e+]+)$`)
	watchers = regexp.MustCompile(`(?m)^etcd_debugging_mvcc_watcher_total ([0-9.e+]+)$`)
)

// of is a fleet of so many hosts with a replica each, that is watched for orders.
func of(t *testing.T, etcd *lab.Etcd, n int, config func(*Config)) (w *world, stores []*grant.Store, units []fleet.Unit) {
	t.Helper()
	w = &world{t: t, begun: map[string]int{}}
	for range 4 {
		stores = append(stores, open(t, etcd))
	}
	for i := range n {
		h := &host{w: w, name: fmt.Sprintf("host%03d", i), config: config}
		node := fleet.Node{Group: fmt.Sprintf("g%03d", i), Address: fmt.Sprintf("10.1.0.%d:6379", i), Replica: true}
		h.nodes = append(h.nodes, node)
		units = append(units, fleet.Unit{Group: node.Group, Address: node.Address, State: fleet.Waiting})
		w.hosts = append(w.hosts, h)
	}
	return w, stores, units
}

func (w *world) start(stores []*grant.Store) {
	for i, h := range w.hosts {
		h.start(stores[i%len(stores)])
	}
	w.t.Cleanup(func() {
		var all sync.WaitGroup
		for _, h := range w.hosts {
			all.Go(h.stop)
		}
		all.Wait()
	})
}

// TestHostsThatWaitHardlyAskEtcd: 150 of a fleet of 45,000 hosts have audits before
// them, and every slot is taken. With nothing to do, and under a pause, they ask etcd
// for nothing, but for those whose watch broke; while they wait as often as is their share of some hundred looks
// a second. When the run goes on they have their turn all the same.
func TestHostsThatWaitHardlyAskEtcd(t *testing.T) {
	t.Parallel()
	const hosts = 150
	etcd := func() *lab.Etcd { l := lab.Loopback(t); return l.Etcd(lab.EtcdConfig{}, l.Host("a")) }()
	w, stores, units := of(t, etcd, hosts, func(c *Config) { c.Idle, c.Look = 0, 0 })
	look := open(t, etcd)
	w.start(stores)
	until(t, "all watch", func() (bool, string) {
		n := etcd.Members[0].Counted(watchers)
		return n >= hosts, fmt.Sprint(n)
	})
	quiet := func(what string, most float64, during time.Duration) {
		t.Helper()
		before := etcd.Members[0].Counted(requests)
		time.Sleep(during)
		if asked := etcd.Members[0].Counted(requests) - before; asked > most {
			t.Errorf("%s: %d hosts asked etcd %v times in %v, want %v at the most", what, hosts, asked, during, most)
		} else {
			t.Logf("%s: asked %v times in %v", what, asked, during)
		}
	}
	// Each reads the run once it is told that it watches, and again where its watch broke.
	settled := func() {
		t.Helper()
		was := -1.0
		until(t, "nothing is asked for a second", func() (bool, string) {
			before := was
			was = etcd.Members[0].Counted(requests)
			time.Sleep(time.Second)
			return was == before, fmt.Sprint(was)
		})
	}
	const few = hosts / 10 // a watch that breaks meanwhile
	settled()
	quiet("without a run", few, 3*time.Second)

	run := fleet.Run{Schema: fleet.Schema, ID: "r1", State: fleet.Paused, Parallel: 1, Every: true, Nodes: 45000}
	begin(t, look, run, units)
	entry, err := look.FleetRun(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	other := grant.FleetClaim{Run: entry, Unit: grant.FleetUnit{Key: "other"}, Begun: []byte(`{"group":"other","state":"begun"}`), Host: "elsewhere"}
	hold, err := look.ClaimFleet(t.Context(), other)
	if err != nil {
		t.Fatal(err)
	}
	settled()
	quiet("paused", few, 3*time.Second)
	change(t, look, fleet.Running)
	quiet("while every slot is taken", 30, 10*time.Second) // a look every 5 s by two requests would be 600

	if err := look.EndFleet(t.Context(), *hold, []byte(`{"group":"other","state":"done"}`), "other", nil, false); err != nil {
		t.Fatal(err)
	}
	was, err := look.FleetRun(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	run.State, run.Nodes, run.Units, run.Parallel = fleet.Running, hosts, hosts, 4 // as if there were no others
	if err := look.ChangeFleet(t.Context(), was, text(t, run)); err != nil {
		t.Fatal(err)
	}
	until(t, "all are done", func() (bool, string) {
		p, _ := progress(t, look)
		return p.Done == hosts+1, fmt.Sprintf("%+v", p)
	})
}

// TestAClaimWhoseAnswerIsLostCostsNoTry, nor is its unit audited twice.
func TestAClaimWhoseAnswerIsLostCostsNoTry(t *testing.T) {
	t.Parallel()
	l := lab.Loopback(t)
	etcd := l.Etcd(lab.EtcdConfig{}, l.Host("a"))
	w, stores, units := of(t, etcd, 1, nil)
	w.hosts[0].lose = &atomic.Int32{}
	w.hosts[0].lose.Store(fleet.MaxTries)
	look := open(t, etcd)
	begin(t, look, fleet.Run{Schema: fleet.Schema, ID: "r1", State: fleet.Running, Parallel: 1, Every: true}, units)
	w.start(stores)
	until(t, "it is done", func() (bool, string) {
		p, _ := progress(t, look)
		return p.Finished, fmt.Sprintf("%+v", p)
	})
	if p, units := progress(t, look); p.Done != 1 || units[0].Tries != 1 || w.begun[units[0].Key()] != 1 || w.hosts[0].lose.Load() >= 0 {
		t.Errorf("%+v, begun %d times: want it done at its first try", units[0], w.begun[units[0].Key()])
	}
}

// TestWhyANodeWaitsIsKnown: that of a busy host, and that of a node in maintenance.
func TestWhyANodeWaitsIsKnown(t *testing.T) {
	t.Parallel()
	l := lab.Loopback(t)
	etcd := l.Etcd(lab.EtcdConfig{}, l.Host("a"))
	w, stores, units := of(t, etcd, 2, nil)
	w.hosts[0].busy.Store(true)
	w.hosts[1].nodes[0].Replica, w.hosts[1].nodes[0].Why = false, fleet.WaitsMaintenance
	look := open(t, etcd)
	begin(t, look, fleet.Run{Schema: fleet.Schema, ID: "r1", State: fleet.Running, Parallel: 2, Every: true, MaxLoad: fleet.DefaultMaxLoad}, units)
	w.start(stores)
	for i, want := range []string{fleet.BusyLoad, fleet.WaitsMaintenance} {
		until(t, want, func() (bool, string) {
			got := w.hosts[i].runner.State().Nodes[units[i].Key()]
			return got == want, got
		})
	}
	w.mu.Lock()
	w.hosts[1].nodes[0].Replica, w.hosts[1].nodes[0].Why = true, ""
	w.mu.Unlock()
	w.hosts[0].busy.Store(false)
	until(t, "both are done", func() (bool, string) {
		p, _ := progress(t, look)
		return p.Done == 2, fmt.Sprintf("%+v", p)
	})
	for i := range w.hosts {
		until(t, "nothing is waited for", func() (bool, string) {
			s := w.hosts[i].runner.State()
			return s.Waits == "" && len(s.Nodes) == 0, fmt.Sprintf("%+v", s)
		})
	}
}
