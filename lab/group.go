package lab

import (
	"fmt"
	"slices"
	"time"

	"github.com/redis-watchdog/redis-watchdog/watchdog"
)

// GroupConfig is a whole group: a Redis on every host, the first of them the
// master, and a Sentinel on every host.
type GroupConfig struct {
	Name          string        // empty: "mymaster"
	Hosts         []*Host       // empty: a, b and c
	SentinelHosts []*Host       // empty: Hosts
	DownAfter     time.Duration // as in Monitor, zeros too
	Quorum        int
	FailTimeout   time.Duration
	Redis         RedisConfig    // of each; ReplicaOf is set
	Monitor       Monitor        // further settings; the above win
	Sentinel      SentinelConfig // of each; Monitors is set
	ByName        bool           // all announce the names of their hosts, and find one another by them
}

// Group is a running group.
type Group struct {
	Name      string
	Redis     []*Redis // in the order of the hosts; [0] was the master at first
	Sentinels []*Sentinel

	lab *Lab
}

// Group starts a group, replicas first in step and then the Sentinels, and
// waits until all is well.
func (l *Lab) Group(c GroupConfig) *Group {
	l.t.Helper()
	if len(c.Hosts) == 0 {
		c.Hosts = l.Hosts("a", "b", "c")
	}
	if len(c.SentinelHosts) == 0 {
		c.SentinelHosts = c.Hosts
	}
	g := &Group{Name: c.Name, lab: l}
	if g.Name == "" {
		g.Name = "mymaster"
	}
	for i, h := range c.Hosts {
		rc := c.Redis
		rc.ByName = rc.ByName || c.ByName
		if i > 0 {
			rc.ReplicaOf = g.Redis[0]
		}
		g.Redis = append(g.Redis, h.Redis(rc))
	}
	g.WaitReplicas()
	m := c.Monitor
	m.Group, m.Master, m.DownAfter, m.Quorum, m.FailoverTimeout = g.Name, g.Redis[0], c.DownAfter, c.Quorum, c.FailTimeout
	for _, h := range c.SentinelHosts {
		sc := c.Sentinel
		sc.ByName = sc.ByName || c.ByName
		sc.Monitors = []Monitor{m}
		if sc.TLS == nil {
			sc.TLS = c.Redis.TLS
		}
		g.Sentinels = append(g.Sentinels, h.Sentinel(sc))
	}
	g.WaitStable()
	return g
}

// WaitReplicas waits until one Redis is master and all others are in step with
// it.
func (g *Group) WaitReplicas() {
	g.lab.t.Helper()
	g.lab.Eventually("all replicas of "+g.Name+" are in step", 30*time.Second, func() error {
		masters := 0
		for _, r := range g.Redis {
			switch role := r.Role(); {
			case role.Name == "master":
				masters++
			case !role.Synced():
				return fmt.Errorf("%s is %s", r.Name, role)
			}
		}
		if masters != 1 {
			return fmt.Errorf("there are %d masters", masters)
		}
		return nil
	})
}

// WaitStable is Lab.WaitStable for the group as it was made: all its Redis but
// one are replicas.
func (g *Group) WaitStable() {
	g.lab.t.Helper()
	g.lab.WaitStable(g.Name, len(g.Redis)-1, g.Sentinels...)
}

// Named is the Redis that more than half of the Sentinels name now; nil: none.
func (g *Group) Named() *Redis {
	votes := map[string]int{}
	for _, s := range g.Sentinels {
		if s.Running() {
			votes[s.Master(g.Name)]++
		}
	}
	for _, r := range g.Redis {
		if 2*votes[r.Address] > len(g.Sentinels) {
			return r
		}
	}
	return nil
}

// Master is Named, waited for until that Redis also says it is a master.
func (g *Group) Master() *Redis {
	g.lab.t.Helper()
	return g.WaitMaster(g.Redis...)
}

// WaitMaster waits until a majority of the Sentinels names one of these, and
// it is a master.
func (g *Group) WaitMaster(among ...*Redis) *Redis {
	g.lab.t.Helper()
	var master *Redis
	g.lab.Eventually("a majority names a master of "+g.Name, time.Minute, func() error {
		master = g.Named()
		switch {
		case master == nil:
			return fmt.Errorf("no majority names anybody")
		case !slices.Contains(among, master):
			return fmt.Errorf("the majority names %s", master.Name)
		case master.Role().Name != "master":
			return fmt.Errorf("%s is named and is %s", master.Name, master.Role())
		}
		return nil
	})
	return master
}

// Replicas is all but the one.
func (g *Group) Replicas(master *Redis) []*Redis {
	return slices.DeleteFunc(slices.Clone(g.Redis), func(r *Redis) bool { return r == master })
}

// Failover asks a Sentinel for a plain SENTINEL FAILOVER and is when.
func (g *Group) Failover() watchdog.Instant {
	g.lab.t.Helper()
	at := g.lab.Mark("SENTINEL FAILOVER %s", g.Name)
	g.Sentinels[0].Do("SENTINEL", "FAILOVER", g.Name)
	return at
}

// WatchRoles watches every Redis of the group; in its order.
func (g *Group) WatchRoles() []*RoleWatch {
	watches := make([]*RoleWatch, 0, len(g.Redis))
	for _, r := range g.Redis {
		watches = append(watches, r.WatchRole())
	}
	return watches
}
