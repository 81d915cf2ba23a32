package watched

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"time"

	"github.com/hashicorp/go-hclog"

	"github.com/redis-watchdog/redis-watchdog/fencing/grant"
	"github.com/redis-watchdog/redis-watchdog/lab"
)

// Options of a World. The zero value is three hosts a, b and c, each with a
// Redis (a's is the master), a Sentinel, an etcd member and a watchdog;
// down-after 3 s (see package pace), quorum 2.
type Options struct {
	Hosts     int               // with a Redis and a watchdog each; zero: 3
	Names     []string          // of the hosts; empty: a, b, c, d and e
	On        *lab.Etcd         // the coordinator of another World; nil: one is made
	Sentinels []string          // names of their hosts; empty: as many as Redis, and at least three
	Etcd      []string          // names of the members' hosts; empty: the first three
	Group     lab.GroupConfig   // further settings; Hosts and SentinelHosts are set
	Cluster   lab.EtcdConfig    // of etcd
	Policy    map[string]string // keys of policy in the watchdogs' configuration
	Config    func(*Config)     // last word on a watchdog's configuration
	Unguarded bool              // no watchdogs: Sentinel alone
	Paused    bool              // watchdogs are prepared, not started
	Systemd   bool              // a Manager stands in for the service manager's descriptor store
}

// World is a running group with its watchdogs.
type World struct {
	*lab.Lab
	T         lab.T
	Hosts     []*lab.Host // with a Redis
	Etcd      *lab.Etcd
	Group     *lab.Group
	Watchdogs []*Watchdog // in the order of the hosts

	store *grant.Store
}

// Start makes a lab of network namespaces and a World in it, and waits until
// every node is guarded.
func Start(t lab.T, o Options) *World {
	t.Helper()
	return StartIn(lab.New(t), t, o)
}

// StartIn makes a World in a lab that is there.
func StartIn(l *lab.Lab, t lab.T, o Options) *World {
	t.Helper()
	names := o.Names
	if len(names) == 0 {
		names = []string{"a", "b", "c", "d", "e"}
	}
	if o.Hosts == 0 {
		o.Hosts = 3
	}
	if len(o.Sentinels) == 0 {
		o.Sentinels = names[:max(o.Hosts, 3)]
	}
	if len(o.Etcd) == 0 {
		o.Etcd = names[:3]
	}
	w := &World{Lab: l, T: t, Hosts: l.Hosts(names[:o.Hosts]...), Etcd: o.On}
	ready := func() {}
	if !o.Unguarded && w.Etcd == nil {
		w.Etcd = l.StartEtcd(o.Cluster, l.Hosts(o.Etcd...)...)
		ready = w.Etcd.Ready
	}
	if o.Group.DownAfter == 0 {
		o.Group.DownAfter = 3 * time.Second
	}
	g := o.Group
	g.Hosts, g.SentinelHosts = w.Hosts, l.Hosts(o.Sentinels...)
	w.Group = l.Group(g)
	ready() // it has elected while the Sentinels met
	if o.Unguarded {
		return w
	}
	for i, h := range w.Hosts {
		w.Watchdogs = append(w.Watchdogs, w.newWatchdog(h, w.Group.Redis[i], o))
	}
	if o.Paused {
		return w
	}
	for _, d := range w.Watchdogs {
		d.Restart()
	}
	w.WaitGuarded()
	return w
}

// WaitGuarded waits until every watchdog that runs says its node is guarded, but
// for what its build cannot do, and exactly one serves as the granted master.
func (w *World) WaitGuarded() {
	w.T.Helper()
	w.Eventually("every node is guarded and one is granted", time.Minute, func() error {
		serving := 0
		for _, d := range w.Watchdogs {
			if !d.Running() {
				continue
			}
			s, err := d.TryStatus()
			if err != nil {
				return err
			}
			if !s.Ready {
				return fmt.Errorf("%s is not guarded: phase %s, row %d %s, faults %v", d.Name, s.Phase, s.Row, s.Reason, s.Faults)
			}
			if s.Phase == "serve" && s.GrantOurs {
				serving++
			}
		}
		if serving != 1 {
			return fmt.Errorf("%d nodes serve under a grant", serving)
		}
		return nil
	})
}

// WaitServing waits until one of the watchdogs serves under the grant, and is
// that one.
func (w *World) WaitServing(among ...*Watchdog) *Watchdog {
	w.T.Helper()
	if len(among) == 0 {
		among = w.Watchdogs
	}
	var found *Watchdog
	w.Eventually("a granted master", time.Minute, func() error {
		var seen []string
		for _, d := range among {
			s, err := d.TryStatus()
			if err != nil {
				seen = append(seen, fmt.Sprintf("%s: %v", d.Name, err))
				continue
			}
			if s.Phase == "serve" && s.GrantOurs {
				found = d
				return nil
			}
			seen = append(seen, fmt.Sprintf("%s: %s, row %d %s", d.Name, s.Phase, s.Row, s.Reason))
		}
		return fmt.Errorf("none serves: %v", seen)
	})
	return found
}

// Others is every watchdog but the one.
func (w *World) Others(one *Watchdog) []*Watchdog {
	return slices.DeleteFunc(slices.Clone(w.Watchdogs), func(d *Watchdog) bool { return d == one })
}

// Store reads what etcd holds, from a host's side.
func (w *World) Store(h *lab.Host) *grant.Store {
	w.T.Helper()
	if w.store != nil {
		return w.store
	}
	as := w.Etcd.ClientConfig(h)
	s, err := grant.Open(grant.Config{
		Endpoints: as.Endpoints, Username: as.Username, Password: as.Password, TLS: as.TLS,
		DialContext: h.Dial, Now: lab.Now, Log: hclog.NewNullLogger(),
	})
	if err != nil {
		w.T.Fatalf("open store: %v", err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- s.Run(ctx) }()
	w.T.Cleanup(func() {
		cancel()
		<-done
		if err := s.Close(); err != nil {
			w.T.Logf("close store: %v", err)
		}
	})
	w.store = s
	return s
}

// Record is everything etcd holds of the group, read by the second host.
func (w *World) Record() grant.Group {
	w.T.Helper()
	store := w.Store(w.Hosts[min(1, len(w.Hosts)-1)])
	var g grant.Group
	w.Eventually("the group is read from etcd", 10*time.Second, func() (err error) {
		ctx, cancel := context.WithTimeout(w.Context(), 10*time.Second)
		defer cancel()
		g, err = store.Read(ctx, w.Group.Name)
		return err
	})
	return g
}

// WaitAgreed waits until etcd's agreement names the Redis.
func (w *World) WaitAgreed(r *lab.Redis) grant.MasterRecord {
	w.T.Helper()
	var rec grant.MasterRecord
	w.Eventually("etcd names "+r.Name, time.Minute, func() error {
		rec = w.Record().Agreement
		if string(rec.Address) != r.Address {
			b, err := json.Marshal(rec)
			return fmt.Errorf("it says %s (%v)", b, err)
		}
		return nil
	})
	return rec
}
