package daemon

// A group as it runs: its Sentinels' watcher and its local Redis. A reload stops
// and starts groups one by one; those that it does not concern run on.

import (
	"context"
	"errors"
	"fmt"
	"os"
	"sync"

	"github.com/hashicorp/go-hclog"
	"github.com/oklog/run"

	"github.com/redis-watchdog/redis-watchdog/cmd/redis-watchdog/internal/config"
	"github.com/redis-watchdog/redis-watchdog/fencing/grant"
	"github.com/redis-watchdog/redis-watchdog/sentinel"
	"github.com/redis-watchdog/redis-watchdog/watchdog"
	"github.com/redis-watchdog/redis-watchdog/watchdog/agent"
)

// group is one group as it runs.
type group struct {
	name    string
	cfg     config.Group // of the reload alone
	watcher *sentinel.Watcher
	heard   *heard
	nodes   []*node

	end   context.CancelCauseFunc // nil: it was not started
	ended chan struct{}
}

// inherited is what the one before leaves to a node: an earlier process, or
// the same group before it was taken over anew.
type inherited struct {
	stored   map[string][]*os.File      // armed fences, by their names in the service manager's store
	armed    map[string][]*os.File      // by the node's name
	memories map[string]watchdog.Memory // likewise; of a node that is not in it: what is on disk
}

// openGroup makes a group; it changes nothing at any server.
func (d *Daemon) openGroup(g config.Group, from inherited) (*group, error) {
	log := d.log.With("group", g.Name)
	heard, err := newHeard(d.cfg.RuntimeDir, d.cfg.StateDir, g.Name, log)
	if err != nil {
		return nil, err
	}
	tls, err := d.sentinels.client(g.SentinelTLS)
	if err != nil {
		return nil, err
	}
	settings := sentinelsOf(g, tls, d.log.Named("sentinel"))
	settings.Conversations, settings.Memory, settings.Names = d.sentinels.shared, heard.load(), heard.loadNames()
	w, err := sentinel.New(settings)
	if err != nil {
		return nil, err
	}
	c := &group{name: g.Name, cfg: g, watcher: w, heard: heard, ended: make(chan struct{})}
	pace := &pacer{watcher: w}
	for _, n := range g.Nodes {
		added, err := d.newNode(g, n, w, pace, from, log.With("node", n.Name))
		if err != nil {
			return nil, errors.Join(fmt.Errorf("node %q: %w", n.Name, err), c.close())
		}
		c.nodes = append(c.nodes, added)
	}
	return c, nil
}

// start runs the group until stop. ctx is for its values only.
func (d *Daemon) start(ctx context.Context, c *group) {
	ctx, c.end = context.WithCancelCause(context.WithoutCancel(ctx))
	go func() {
		defer close(c.ended)
		var parts run.Group
		addPart(&parts, ctx, "stop", func(failed context.Context) error {
			select {
			case <-failed.Done():
				return context.Cause(failed)
			case <-ctx.Done():
				return context.Cause(ctx)
			}
		})
		addPart(&parts, ctx, "sentinels", c.watcher.Run)
		addPart(&parts, ctx, "record of the sentinels", func(ctx context.Context) error { return c.heard.run(ctx, c.watcher) })
		for _, n := range c.nodes {
			n.parts(func(name string, f func(context.Context) error) { addPart(&parts, ctx, name, f) })
		}
		if err := parts.Run(); !errors.Is(err, errStopped) {
			select {
			case d.failed <- fmt.Errorf("group %q: %w", c.name, err):
			default: // one is enough: it ends the daemon
			}
		}
	}()
}

// errStopped ends a group in order.
var errStopped = errors.New("stopped")

// stop ends groups that run, all at once, and waits for them. Nobody is fenced
// by it, and nothing is given up.
func (d *Daemon) stop(groups []*group) {
	var all sync.WaitGroup
	for _, c := range groups {
		if c.end != nil {
			all.Go(func() {
				c.end(errStopped)
				<-c.ended
			})
		}
	}
	all.Wait()
}

// close gives back what openGroup opened.
func (c *group) close() error {
	var errs []error
	for _, n := range c.nodes {
		errs = append(errs, n.stop.control.Close())
	}
	return errors.Join(errs...)
}

// coordinator is a connection to etcd and what looks after it.
type coordinator struct {
	store *grant.Store
	end   context.CancelFunc // nil: it was not started
	ended chan struct{}
}

func openCoordinator(cfg *config.Config, log hclog.Logger) (*coordinator, error) {
	tls, err := cfg.Etcd.TLS.Client()
	if err != nil {
		return nil, fmt.Errorf("etcd: %w", err)
	}
	store, err := grant.Open(grant.Config{
		Endpoints: cfg.Etcd.Endpoints, Prefix: cfg.Etcd.Prefix,
		Username: cfg.Etcd.Username, Password: string(cfg.Etcd.Password), TLS: tls,
		Now: agent.Boottime, Log: log,
	})
	if err != nil {
		return nil, fmt.Errorf("open coordinator: %w", err)
	}
	return &coordinator{store: store, ended: make(chan struct{})}, nil
}

func (c *coordinator) start(ctx context.Context) {
	ctx, c.end = context.WithCancel(context.WithoutCancel(ctx))
	go func() {
		defer close(c.ended)
		_ = c.store.Run(ctx) // it ends with ctx, and with nothing else
	}()
}

func (c *coordinator) stop() {
	c.end()
	<-c.ended
}
