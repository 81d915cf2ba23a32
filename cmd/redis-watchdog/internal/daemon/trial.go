package daemon

// What a new configuration names is tried before what works is left for it: a
// mistyped password must not cost the connection by which the fence is put off.
// Where nothing works now, nothing is lost, and nothing is tried.

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/redis-watchdog/redis-watchdog/cmd/redis-watchdog/internal/config"
	"github.com/redis-watchdog/redis-watchdog/fencing/grant"
	"github.com/redis-watchdog/redis-watchdog/preflight/gather"
	"github.com/redis-watchdog/redis-watchdog/watchdog"
	"github.com/redis-watchdog/redis-watchdog/watchdog/sorted"
)

const (
	tryTimeout = 2 * time.Second
	tries      = 3 // a host that stands still for a moment proves nothing
)

// tried is why next does not work, if what is in force does.
func tried(ctx context.Context, now, next func(context.Context) error) error {
	err := repeat(ctx, next)
	if err == nil || repeat(ctx, now) != nil {
		return nil
	}
	return err
}

// repeat tries until it works, a few times at most.
func repeat(ctx context.Context, try func(context.Context) error) (err error) {
	for range tries {
		one, cancel := context.WithTimeout(ctx, tryTimeout)
		err = try(one)
		cancel()
		if err == nil || ctx.Err() != nil {
			return err
		}
	}
	return err
}

// try is what would work no more.
func (d *Daemon) try(ctx context.Context, p plan) config.Faults {
	var all sync.WaitGroup
	var mu sync.Mutex
	var faults config.Faults
	report := func(key string, err error) {
		if err == nil {
			return
		}
		mu.Lock()
		defer mu.Unlock()
		faults = append(faults, p.next.At(key, "does not work, and what is in force does: "+err.Error(),
			"correct it; to have it all the same: systemctl restart redis-watchdog"))
	}
	if p.etcd != nil {
		all.Go(func() { report("etcd", d.tryEtcd(ctx, p)) })
	}
	for i, g := range p.next.Groups {
		c := d.group(g.Name)
		if c == nil {
			continue
		}
		key := fmt.Sprintf("groups[%d]", i)
		if !c.cfg.SameSentinels(g) {
			all.Go(func() { report(key+".sentinels", trySentinels(ctx, c, g)) })
		}
		for j, n := range g.Nodes {
			if was := nodeOf(c.cfg, n.Name); was != nil && !was.SameRedis(n) {
				all.Go(func() { report(fmt.Sprintf("%s.nodes[%d]", key, j), tryRedis(ctx, *was, n)) })
			}
		}
	}
	all.Wait()
	sorted.By(faults, func(a, b config.Fault) int { return cmp.Compare(a.Line, b.Line) })
	return faults
}

var errOtherCluster = errors.New("it is another etcd cluster; the grant and the agreement are in the one in force")

func (d *Daemon) tryEtcd(ctx context.Context, p plan) error {
	var was, is grant.Group
	reading := func(from *coordinator, into *grant.Group) func(context.Context) error {
		return func(ctx context.Context) (err error) {
			*into, err = from.store.Read(ctx, d.groups[0].name) // that it answers is what matters
			return err
		}
	}
	now, next := reading(d.etcd, &was), reading(p.etcd, &is)
	if err := tried(ctx, now, next); err != nil || is.ClusterID == "" {
		return err
	}
	if repeat(ctx, now) == nil && is.ClusterID != was.ClusterID {
		return errOtherCluster
	}
	return nil
}

// trySentinels asks whether a majority answers.
func trySentinels(ctx context.Context, c *group, g config.Group) error {
	return tried(ctx, func(context.Context) error {
		now, answering := c.watcher.View(), 0
		for _, s := range now.Sentinels {
			if s.Answering {
				answering++
			}
		}
		return enough(answering, now.Known)
	}, func(ctx context.Context) error {
		most := func(s watchdog.Sentinels) bool { return enough(s.Answering, s.Known) == nil }
		w, heard, err := hear(ctx, g, most)
		if err != nil || most(heard) {
			return err
		}
		for _, f := range w.Faults() {
			return errors.New(f.Text)
		}
		return enough(heard.Answering, heard.Known)
	})
}

func enough(answering, known int) error {
	if answering*2 <= known {
		return fmt.Errorf("%d of %d Sentinels answer", answering, known)
	}
	return nil
}

// tryRedis asks whether Redis lets us in.
func tryRedis(ctx context.Context, was, is config.Node) error {
	return tried(ctx, func(ctx context.Context) error { return letsIn(ctx, was) }, func(ctx context.Context) error { return letsIn(ctx, is) })
}

func letsIn(ctx context.Context, n config.Node) error {
	tls, err := n.TLS.Client()
	if err != nil {
		return fmt.Errorf("tls: %w", err)
	}
	server := gather.Server{Address: n.Address, Socket: n.Socket, Username: n.Username, Password: string(n.Password),
		TLS: tls, Commands: n.Commands, Timeout: tryTimeout}
	return server.LetsIn(ctx)
}
