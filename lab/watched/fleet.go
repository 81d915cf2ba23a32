package watched

// A host with many Redis, each the only one of its group: what one watchdog has
// to do for all of them at once.

import (
	"fmt"
	"path/filepath"
	"regexp"
	"strconv"
	"time"

	"github.com/redis-watchdog/redis-watchdog/lab"
	"github.com/redis-watchdog/redis-watchdog/watchdog/agent"
)

// Fleet is a number of groups of one healthy master each, all on one host with one
// watchdog, watched by the same three Sentinels, with one etcd of three members.
type Fleet struct {
	*lab.Lab
	T         lab.T
	Host      *lab.Host // of the Redis and the watchdog, and of a Sentinel and a member as well
	Redis     []*lab.Redis
	Sentinels []*lab.Sentinel
	Etcd      *lab.Etcd
	Watchdog  *Watchdog
}

// FleetOptions of a Fleet.
type FleetOptions struct {
	Groups    int
	DownAfter time.Duration // zero: 5 s
	Config    func(*Config) // last word on the watchdog's configuration; nil: none
}

const fleetPort = 7000 // of the first Redis

// StartFleet starts all but the watchdog, and waits until the Sentinels know one
// another in every group.
func StartFleet(t lab.T, o FleetOptions) *Fleet {
	t.Helper()
	l := lab.New(t)
	hosts := l.Hosts("a", "b", "c")
	f := &Fleet{Lab: l, T: t, Host: hosts[0], Etcd: l.Etcd(lab.EtcdConfig{}, hosts...)}
	if o.DownAfter == 0 {
		o.DownAfter = 5 * time.Second
	}
	var monitors []lab.Monitor
	for i := range o.Groups {
		r := f.Host.Redis(lab.RedisConfig{Port: fleetPort + i, Lines: []string{"appendonly no", "repl-backlog-size 16kb"}})
		f.Redis = append(f.Redis, r)
		monitors = append(monitors, lab.Monitor{Group: f.Group(i), Master: r, DownAfter: o.DownAfter})
	}
	for _, h := range hosts {
		f.Sentinels = append(f.Sentinels, h.Sentinel(lab.SentinelConfig{Monitors: monitors}))
	}
	for i := range o.Groups {
		l.WaitStable(f.Group(i), 0, f.Sentinels...)
	}
	f.Watchdog = prepare(l, t, f.Host)
	f.Watchdog.Config = func() Config { return f.config(o) }
	f.Watchdog.Write(f.Watchdog.Config())
	return f
}

// Group is the name of the group of a Redis.
func (f *Fleet) Group(i int) string { return fmt.Sprintf("g%03d", i) }

func (f *Fleet) config(o FleetOptions) Config {
	var sentinels []string
	for _, s := range f.Sentinels {
		sentinels = append(sentinels, s.Address)
	}
	c := Config{
		Etcd:     map[string]any{"endpoints": f.Etcd.Endpoints()},
		HTTP:     map[string]any{"listen": f.Watchdog.HTTP},
		Log:      map[string]any{"level": "info"},
		StateDir: filepath.Join(f.Watchdog.Dir, "state"), RuntimeDir: filepath.Join(f.Watchdog.Dir, "run"),
	}
	for i, r := range f.Redis {
		c.Groups = append(c.Groups, map[string]any{
			"name": f.Group(i), "sentinels": sentinels,
			"nodes": []map[string]any{{"name": "default", "address": r.Address}},
		})
	}
	if o.Config != nil {
		o.Config(&c)
	}
	return c
}

// Statuses is what the watchdog says of every Redis.
func (f *Fleet) Statuses() ([]agent.Status, error) {
	var all []agent.Status
	if err := f.Watchdog.get("/status", &all); err != nil {
		return nil, err
	}
	if len(all) != len(f.Redis) {
		return nil, fmt.Errorf("%s shows %d nodes of %d", f.Watchdog.Name, len(all), len(f.Redis))
	}
	return all, nil
}

// Serving is how many Redis are seen to serve under a grant, and the first that is
// not; empty: all are.
func (f *Fleet) Serving() (n int, not string, err error) {
	all, err := f.Statuses()
	if err != nil {
		return 0, "", err
	}
	for _, s := range all {
		if s.Phase == "serve" && s.GrantOurs {
			n++
		} else if not == "" {
			not = fmt.Sprintf("%s: phase %s, row %d %s, faults %v", s.Group, s.Phase, s.Row, s.Reason, s.Faults)
		}
	}
	return n, not, nil
}

// WaitServing waits until every Redis serves under a grant.
func (f *Fleet) WaitServing(limit time.Duration) {
	f.T.Helper()
	f.Eventually("every Redis serves under a grant", limit, func() error {
		f.Pause(100 * time.Millisecond) // asking is work for the one who is waited for
		n, not, err := f.Serving()
		if err == nil && not != "" {
			err = fmt.Errorf("%d of %d serve, not %s", n, len(f.Redis), not)
		}
		return err
	})
}

var metricLine = regexp.MustCompile(`(?m)^(\w+)(?:\{[^}]*\})? (\S+)$`)

// Sum is the sum of all series of a metric in an exposition.
func Sum(exposition, name string) float64 {
	sum := 0.0
	for _, m := range metricLine.FindAllStringSubmatch(exposition, -1) {
		if v, err := strconv.ParseFloat(m[2], 64); err == nil && m[1] == name {
			sum += v
		}
	}
	return sum
}
