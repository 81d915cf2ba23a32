// Package daemon wires the watchdog of one host: it is the only package that
// knows everybody, and it decides nothing.
package daemon

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"time"

	"github.com/hashicorp/go-hclog"
	"github.com/oklog/run"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/redis-watchdog/redis-watchdog/cmd/internal/memory"
	"github.com/redis-watchdog/redis-watchdog/cmd/redis-watchdog/internal/auditor"
	"github.com/redis-watchdog/redis-watchdog/cmd/redis-watchdog/internal/config"
	"github.com/redis-watchdog/redis-watchdog/cmd/redis-watchdog/internal/hooks"
	"github.com/redis-watchdog/redis-watchdog/cmd/redis-watchdog/internal/metrics"
	"github.com/redis-watchdog/redis-watchdog/cmd/redis-watchdog/internal/web"
	"github.com/redis-watchdog/redis-watchdog/fencing/grant"
	"github.com/redis-watchdog/redis-watchdog/systemd"
	"github.com/redis-watchdog/redis-watchdog/watchdog/agent"
)

// Daemon is everything of one host.
type Daemon struct {
	cfg       *config.Config // in force; once it runs it is the reload's own
	log       hclog.Logger
	version   string
	notifier  *systemd.Notifier
	fds       *systemd.Store
	units     unitControl
	etcd      *coordinator
	sentinels *sentinels
	records   *reader
	web       *web.Server
	counts    *metrics.Metrics
	ready     atomic.Bool // the service manager was told so
	hooks     *hooks.Runner
	reloads   reloads
	failed    chan error // holds one: a part of a group has failed
	late      lateness
	many      atomic.Bool // there are so many Redis that their fences wait for one another

	// Of the audits of the fleet:
	configFile string                         // absolute
	store      atomic.Pointer[grant.Store]    // the one of etcd
	auditing   atomic.Pointer[auditor.Runner] // nil: not yet

	mu     sync.Mutex
	groups []*group // one a group, in the order of the configuration
}

// New checks, opens and listens; it changes nothing at any server.
func New(cfg *config.Config, log hclog.Logger, version string) (_ *Daemon, err error) {
	d := &Daemon{cfg: cfg, log: log, version: version, sentinels: newSentinels(), failed: make(chan error, 1)}
	defer func() {
		if err != nil {
			err = errors.Join(err, d.Close())
		}
	}()
	if d.notifier, err = systemd.OpenNotifier(); err != nil {
		return nil, fmt.Errorf("open service manager's socket: %w", err)
	}
	d.fds = systemd.OpenStore(d.notifier)
	d.units = openUnits(log.Named("systemd"))
	if d.etcd, err = openCoordinator(cfg, log.Named("etcd")); err != nil {
		return nil, err
	}
	d.store.Store(d.etcd.store)
	if d.configFile, err = filepath.Abs(cfg.File); err != nil {
		return nil, fmt.Errorf("find configuration: %w", err)
	}
	registry := prometheus.NewRegistry()
	d.counts = metrics.New(registry, metrics.NewCollector(d.Status, d.reports, d.load), version)
	d.counts.Reloaded(time.Now(), true) // what is read at the start is what is in force
	d.hooks = hooks.New(hooksOf(cfg), d.counts.Hook, log.Named("hooks"))
	adopted := d.fds.Adopted()
	for _, g := range cfg.Groups {
		c, err := d.openGroup(g, inherited{stored: adopted})
		if err != nil {
			return nil, fmt.Errorf("group %q: %w", g.Name, err)
		}
		d.groups = append(d.groups, c)
	}
	d.dropStrays(adopted)
	d.records = newReader(d.etcd.store, groupNames(cfg), log.Named("web"))
	d.web, err = web.Listen(d, web.Options{
		Listen: cfg.HTTP.Listen, WebConfigFile: cfg.HTTP.WebConfigFile,
		Socket:  filepath.Join(cfg.RuntimeDir, web.SocketName),
		Version: version, Host: hostName(), Gatherer: registry, Log: log.Named("web"),
	})
	if err != nil {
		return nil, fmt.Errorf("listen: %w", err)
	}
	return d, nil
}

func groupNames(cfg *config.Config) []string {
	var names []string
	for _, g := range cfg.Groups {
		names = append(names, g.Name)
	}
	return names
}

// hostName is for people; empty where the host has none.
func hostName() string {
	name, err := os.Hostname()
	if err != nil {
		return ""
	}
	return name
}

// dropStrays lets go of descriptors of nodes that are configured no more: an
// armed fence that nobody puts off would fire on a healthy master.
func (d *Daemon) dropStrays(adopted map[string][]*os.File) {
	for name, files := range adopted {
		for _, f := range files {
			if err := f.Close(); err != nil {
				d.log.Warn("stray descriptor not closed", "name", name, "error", err)
			}
		}
		if err := d.fds.Remove(name); err != nil {
			d.log.Warn("stray descriptor not removed from the service manager's store", "name", name, "error", err)
		}
	}
}

// nodesAProcessor is how many local Redis share one processor: what is done for
// one of them takes some hundred microseconds twice a second, and waking a second
// one for work that is over in a moment costs more than the work.
const nodesAProcessor = 8

// sized has the process made for as many Redis as there are.
func (d *Daemon) sized() {
	n := len(d.nodes())
	memory.Small(processorsFor(n))
	d.many.Store(n > nodesAProcessor)
}

func processorsFor(nodes int) int { return 1 + (nodes-1)/nodesAProcessor }

// Run guards until ctx ends or a part fails; r says when the configuration is to
// be read again. Ending it is an orderly stop: nobody is fenced by it.
func (d *Daemon) Run(ctx context.Context, r Reload) error {
	var parts run.Group
	// The parts outlive ctx by the announcement of the stop: only the first one
	// listens to it.
	add := func(name string, f func(context.Context) error) { addPart(&parts, ctx, name, f) }
	add("stop", func(failed context.Context) error {
		select {
		case <-failed.Done():
			return context.Cause(failed)
		case <-ctx.Done():
			d.leave()
			return context.Cause(ctx)
		}
	})
	d.sized()
	d.etcd.start(ctx)
	for _, c := range d.groups {
		d.start(ctx, c)
	}
	// One part, so that no group is being taken over anew while all are stopped.
	add("groups", func(ctx context.Context) error {
		err := d.follow(ctx, r)
		d.stop(d.groups)
		d.sentinels.shared.Wait()
		d.etcd.stop()
		return err
	})
	add("hooks", d.hooks.Run)
	add("web", d.web.Run)
	add("what the page shows of etcd", d.records.run)
	add("service manager", d.notify)
	add("beat", d.beat)
	add("audits of the fleet", d.auditFleet)
	d.log.Info("started", "version", d.version, "nodes", len(d.nodes()), "config", d.cfg.File)
	err := parts.Run()
	d.log.Info("stopped", "reason", err)
	return err
}

// addPart adds what runs until its ctx ends. Another error than that end's
// cause is one of the part.
func addPart(parts *run.Group, ctx context.Context, name string, f func(context.Context) error) {
	ctx, cancel := context.WithCancelCause(context.WithoutCancel(ctx))
	parts.Add(func() error {
		err := f(ctx)
		if err != nil && !errors.Is(err, context.Cause(ctx)) {
			return fmt.Errorf("%s: %w", name, err)
		}
		return err
	}, func(err error) { cancel(err) })
}

// announceStopFor bounds how long a stop may take for the sake of who watches.
const announceStopFor = time.Second

// leave says that the service is going down.
func (d *Daemon) leave() {
	if err := d.notifier.Stopping("stopping: the Redis here are left unguarded"); err != nil {
		d.log.Warn("service manager not told", "error", err)
	}
	announceStop(d.nodes())
}

// announceStop says that nobody guards the nodes any more. A restart takes them up
// again at once; nothing waits for it.
func announceStop(nodes []*node) {
	ctx, cancel := context.WithTimeout(context.Background(), announceStopFor)
	defer cancel()
	var told sync.WaitGroup
	for _, n := range nodes {
		told.Go(func() { n.announceStop(ctx) })
	}
	told.Wait()
}

// unheard is why nobody is answered over HTTP; nil: whoever asks is.
func (d *Daemon) unheard() error {
	if d.web == nil {
		return nil
	}
	return d.web.Waiting()
}

// Close gives back what New opened, for a Daemon that was not run, or has.
func (d *Daemon) Close() error {
	var errs []error
	if d.web != nil {
		d.web.Close()
	}
	for _, c := range d.groups {
		errs = append(errs, c.close())
	}
	errs = append(errs, d.units.close())
	if d.etcd != nil {
		errs = append(errs, d.etcd.store.Close())
	}
	if d.notifier != nil {
		errs = append(errs, d.notifier.Close())
	}
	return errors.Join(errs...)
}

// nodes are those of every group, in the order of the configuration.
func (d *Daemon) nodes() []*node {
	d.mu.Lock()
	defer d.mu.Unlock()
	var all []*node
	for _, c := range d.groups {
		all = append(all, c.nodes...)
	}
	return all
}

// Status is the snapshot of every node.
func (d *Daemon) Status() []agent.Status {
	nodes := d.nodes()
	all := make([]agent.Status, 0, len(nodes))
	for _, n := range nodes {
		all = append(all, n.status())
	}
	return all
}

// Roles is Status without what a load balancer does not ask for: it costs a copy
// of each node's snapshot, and changes nothing.
func (d *Daemon) Roles() []agent.Status {
	nodes := d.nodes()
	all := make([]agent.Status, 0, len(nodes))
	for _, n := range nodes {
		all = append(all, n.agent.Status(agent.Extras{Lag: n.gate.Details().LagSeconds}))
	}
	return all
}

// reports are what the newest report of every node showed.
func (d *Daemon) reports() []metrics.Report {
	nodes := d.nodes()
	all := make([]metrics.Report, 0, len(nodes))
	for _, n := range nodes {
		all = append(all, n.reporter.metrics())
	}
	return all
}

// loopLimit is how long a decision loop may stand still before it counts as
// hung: it turns at least once a second.
const loopLimit = 2 * time.Second

// Alive says whether every decision loop turns.
func (d *Daemon) Alive() bool {
	for _, n := range d.nodes() {
		if n.agent.Overdue(loopLimit) {
			return false
		}
	}
	return true
}
