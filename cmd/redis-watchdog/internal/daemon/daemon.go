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
	"time"

	"github.com/hashicorp/go-hclog"
	"github.com/oklog/run"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/redis-watchdog/redis-watchdog/cmd/redis-watchdog/internal/config"
	"github.com/redis-watchdog/redis-watchdog/cmd/redis-watchdog/internal/metrics"
	"github.com/redis-watchdog/redis-watchdog/cmd/redis-watchdog/internal/web"
	"github.com/redis-watchdog/redis-watchdog/fencing/grant"
	"github.com/redis-watchdog/redis-watchdog/sentinel"
	"github.com/redis-watchdog/redis-watchdog/systemd"
	"github.com/redis-watchdog/redis-watchdog/watchdog/agent"
)

// Daemon is everything of one host.
type Daemon struct {
	cfg      *config.Config
	log      hclog.Logger
	version  string
	notifier *systemd.Notifier
	fds      *systemd.Store
	units    *systemd.Units
	etcd     *grant.Store
	records  *reader
	watchers []*sentinel.Watcher
	nodes    []*node
	web      *web.Server
	counts   *metrics.Metrics
}

// New checks, opens and listens; it changes nothing at any server.
func New(cfg *config.Config, log hclog.Logger, version string) (d *Daemon, err error) {
	d = &Daemon{cfg: cfg, log: log, version: version}
	defer func() {
		if err != nil {
			err = errors.Join(err, d.Close())
		}
	}()
	if d.notifier, err = systemd.OpenNotifier(); err != nil {
		return nil, fmt.Errorf("open service manager's socket: %w", err)
	}
	d.fds = systemd.OpenStore(d.notifier)
	d.units = systemd.NewUnits(log.Named("systemd"))
	if err := d.openCoordinator(); err != nil {
		return nil, err
	}
	registry := prometheus.NewRegistry()
	d.counts = metrics.New(registry, metrics.NewCollector(d.Status, d.surveys), version)
	adopted := d.fds.Adopted()
	for _, g := range cfg.Groups {
		if err := d.addGroup(g, adopted); err != nil {
			return nil, fmt.Errorf("group %q: %w", g.Name, err)
		}
	}
	d.dropStrays(adopted)
	d.records = newReader(d.etcd, groupNames(cfg), log.Named("web"))
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

func (d *Daemon) openCoordinator() error {
	tls, err := d.cfg.Etcd.TLS.Client()
	if err != nil {
		return fmt.Errorf("etcd: %w", err)
	}
	d.etcd, err = grant.Open(grant.Config{
		Endpoints: d.cfg.Etcd.Endpoints, Prefix: d.cfg.Etcd.Prefix,
		Username: d.cfg.Etcd.Username, Password: string(d.cfg.Etcd.Password), TLS: tls,
		Now: agent.Boottime, Log: d.log.Named("etcd"),
	})
	if err != nil {
		return fmt.Errorf("open coordinator: %w", err)
	}
	return nil
}

func (d *Daemon) addGroup(g config.Group, adopted map[string][]*os.File) error {
	log := d.log.With("group", g.Name)
	w, err := watch(g, d.log.Named("sentinel"))
	if err != nil {
		return err
	}
	d.watchers = append(d.watchers, w)
	pace := &pacer{watcher: w}
	for _, n := range g.Nodes {
		added, err := d.newNode(g, n, w, pace, adopted, log.With("node", n.Name))
		if err != nil {
			return fmt.Errorf("node %q: %w", n.Name, err)
		}
		d.nodes = append(d.nodes, added)
	}
	return nil
}

// watch makes the watcher of a group's Sentinels.
func watch(g config.Group, log hclog.Logger) (*sentinel.Watcher, error) {
	tls, err := g.SentinelTLS.Client()
	if err != nil {
		return nil, fmt.Errorf("sentinel_tls: %w", err)
	}
	return sentinel.New(sentinel.Config{
		Group: g.Name, Sentinels: g.Sentinels,
		Username: g.SentinelUsername, Password: string(g.SentinelPassword), TLS: tls,
		ClockRateError: g.Policy.ClockRateError, Now: agent.Boottime, Log: log,
	})
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

// Run guards until ctx ends or a part fails.
// Ending it is an orderly stop: nobody is fenced by it.
func (d *Daemon) Run(ctx context.Context) error {
	var parts run.Group
	// The parts outlive ctx by the farewell: only the first one listens to it.
	add := func(name string, f func(context.Context) error) {
		ctx, cancel := context.WithCancelCause(context.WithoutCancel(ctx))
		parts.Add(func() error {
			err := f(ctx)
			if err != nil && !errors.Is(err, context.Cause(ctx)) {
				return fmt.Errorf("%s: %w", name, err)
			}
			return err
		}, func(err error) { cancel(err) })
	}
	add("stop", func(failed context.Context) error {
		select {
		case <-failed.Done():
			return context.Cause(failed)
		case <-ctx.Done():
			d.farewell()
			return context.Cause(ctx)
		}
	})
	beFrugal(len(d.nodes))
	add("etcd", d.etcd.Run)
	for _, w := range d.watchers {
		add("sentinels", w.Run)
	}
	for _, n := range d.nodes {
		n.parts(add)
	}
	add("web", d.web.Run)
	add("what the page shows of etcd", d.records.run)
	add("service manager", d.tell)
	d.log.Info("started", "version", d.version, "nodes", len(d.nodes), "config", d.cfg.File)
	err := parts.Run()
	d.log.Info("stopped", "reason", err)
	return err
}

// farewellFor bounds how long a stop may take for the sake of who watches.
const farewellFor = time.Second

// farewell says that nobody guards the nodes any more. A restart takes them up
// again at once; nothing waits for it.
func (d *Daemon) farewell() {
	if err := d.notifier.Stopping("stopping: the Redis here are left unguarded"); err != nil {
		d.log.Warn("service manager not told", "error", err)
	}
	ctx, cancel := context.WithTimeout(context.Background(), farewellFor)
	defer cancel()
	var told sync.WaitGroup
	for _, n := range d.nodes {
		told.Go(func() { n.farewell(ctx) })
	}
	told.Wait()
}

// Close gives back what New opened, for a Daemon that was not run, or has.
func (d *Daemon) Close() error {
	var errs []error
	if d.web != nil {
		d.web.Close()
	}
	for _, n := range d.nodes {
		errs = append(errs, n.stopper.Close())
	}
	if d.units != nil {
		errs = append(errs, d.units.Close())
	}
	if d.etcd != nil {
		errs = append(errs, d.etcd.Close())
	}
	if d.notifier != nil {
		errs = append(errs, d.notifier.Close())
	}
	return errors.Join(errs...)
}

// Status is the snapshot of every node.
func (d *Daemon) Status() []agent.Status {
	all := make([]agent.Status, 0, len(d.nodes))
	for _, n := range d.nodes {
		all = append(all, n.status())
	}
	return all
}

// surveys are what the newest survey of every node showed.
func (d *Daemon) surveys() []metrics.Survey {
	all := make([]metrics.Survey, 0, len(d.nodes))
	for _, n := range d.nodes {
		all = append(all, n.survey.metrics())
	}
	return all
}

// loopLimit is how long a decision loop may stand still before it counts as
// hung: it turns at least once a second.
const loopLimit = 2 * time.Second

// Alive says whether every decision loop turns.
func (d *Daemon) Alive() bool {
	for _, n := range d.nodes {
		if n.agent.Overdue(loopLimit) {
			return false
		}
	}
	return true
}
