package daemon

// The configuration read again. What is in force is left only for something that
// was read, checked and tried: a file with one fault is refused as a whole.
//
// Groups that have not changed run on untouched. Rules (policy, preflight) are
// told to who follows them. Where servers, passwords or certificates have
// changed, the group is taken over anew as by a restart of the process, but for
// the armed fences and the memory of the decision, which are handed over.

import (
	"context"
	"errors"
	"fmt"
	"os"
	"reflect"
	"slices"
	"strings"
	"time"

	"github.com/hashicorp/go-hclog"

	"github.com/redis-watchdog/redis-watchdog/cmd/redis-watchdog/internal/config"
	"github.com/redis-watchdog/redis-watchdog/watchdog"
)

// Reload is when the configuration is read again, and how.
type Reload struct {
	Asked <-chan os.Signal // nil: never
	Load  func() (*config.Config, error)
}

// follow takes new configurations over until ctx ends or a group fails.
func (d *Daemon) follow(ctx context.Context, r Reload) error {
	for {
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case err := <-d.failed:
			return err
		case <-r.Asked:
			if err := d.reload(ctx, r.Load); err != nil {
				return err
			}
		}
	}
}

// reload reads, checks, tries and takes over. Its error ends the daemon: what
// was in force is gone, and a new process begins with what is on disk.
func (d *Daemon) reload(ctx context.Context, load func() (*config.Config, error)) error {
	d.log.Info("reading the configuration again", "config", d.cfg.File)
	told := d.ready.Load() // a start that is not over is not a reload
	if told {
		d.noteUntold(d.notifier.Reloading("reading the configuration again"))
	}
	p, err := d.prepare(ctx, load)
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	if err != nil {
		d.refuse(err)
	} else if err = d.apply(ctx, p); err != nil {
		return fmt.Errorf("take over the configuration: %w", err)
	} else {
		d.reloads.accept()
		d.counts.Reloaded(time.Now(), true)
		d.awaitGuarded(ctx)
	}
	if told {
		line, _ := summary(d)
		d.noteUntold(d.notifier.Ready(line))
	}
	return nil
}

func (d *Daemon) noteUntold(err error) {
	if err != nil {
		d.log.Warn("service manager not told", "error", err)
	}
}

// refuse says in every way why nothing was taken over.
func (d *Daemon) refuse(err error) {
	d.counts.Reloaded(time.Now(), false)
	d.reloads.refuse(err)
	faults, known := errors.AsType[config.Faults](err)
	if !known {
		d.log.Error("configuration refused: the one before stays in force", "error", err)
		return
	}
	for _, f := range faults {
		d.log.Error("configuration refused: the one before stays in force", "fault", f.Error())
	}
}

// guardedWithin is how long a reload waits to say that it is over.
const guardedWithin = 10 * time.Second

func (d *Daemon) awaitGuarded(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, guardedWithin)
	defer cancel()
	for {
		if _, ready := summary(d); ready || len(d.failed) > 0 || untilBeat(ctx, notifyAtFirst) != nil {
			return
		}
	}
}

// plan is what a configuration changes of what runs.
type plan struct {
	next  *config.Config
	etcd  *coordinator // another one; nil: it stays
	gone  []*group
	anew  []*group       // to be taken over anew
	rules []config.Group // have nothing but other rules
}

// prepare finds out what a new configuration changes, and whether that would
// work. It changes nothing.
func (d *Daemon) prepare(ctx context.Context, load func() (*config.Config, error)) (p plan, err error) {
	if p.next, err = load(); err != nil {
		return p, err
	}
	if faults := d.cfg.Fixed(p.next); len(faults) > 0 {
		return p, faults
	}
	if err := CheckTiming(ctx, p.next, d.log); err != nil {
		return p, err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, p.close())
		}
	}()
	if !d.cfg.SameEtcd(p.next) {
		if p.etcd, err = openCoordinator(p.next, d.log.Named("etcd")); err != nil {
			return p, err
		}
	}
	d.compare(&p)
	if faults := d.try(ctx, p); len(faults) > 0 {
		return p, faults
	}
	return p, nil
}

func (p plan) close() error {
	if p.etcd == nil {
		return nil
	}
	return p.etcd.store.Close()
}

// compare sorts the groups.
func (d *Daemon) compare(p *plan) {
	for _, c := range d.groups {
		g, stays := p.next.Group(c.name)
		switch {
		case !stays:
			p.gone = append(p.gone, c)
		case p.etcd != nil || !c.cfg.SameServers(g):
			p.anew = append(p.anew, c)
		case !reflect.DeepEqual(c.cfg, g):
			p.rules = append(p.rules, g)
		}
	}
}

// apply takes the plan over.
func (d *Daemon) apply(ctx context.Context, p plan) error {
	ending := append(p.gone[:len(p.gone):len(p.gone)], p.anew...)
	lives := d.end(p, ending)
	if p.etcd != nil {
		d.etcd.stop()
		if err := d.etcd.store.Close(); err != nil {
			d.log.Warn("connection to etcd not closed", "error", err)
		}
		d.etcd = p.etcd
		d.store.Store(d.etcd.store)
		d.etcd.start(ctx)
	}
	var groups, opened []*group
	for _, g := range p.next.Groups {
		c := d.group(g.Name)
		if c == nil || slices.Contains(ending, c) {
			var err error
			if c, err = d.openGroup(g, lives[g.Name]); err != nil {
				return fmt.Errorf("group %q: %w", g.Name, err)
			}
			opened = append(opened, c)
		}
		c.cfg = g
		groups = append(groups, c)
	}
	d.sentinels.keep(p.next)
	d.mu.Lock()
	d.groups = groups
	d.mu.Unlock()
	for _, c := range opened {
		d.start(ctx, c)
	}
	for _, g := range p.rules {
		d.group(g.Name).follow(g)
	}
	d.hooks.Set(hooksOf(p.next))
	d.log.SetLevel(hclog.LevelFromString(p.next.Log.Level))
	d.records.follow(d.etcd.store, groupNames(p.next))
	d.sized()
	d.cfg = p.next
	d.log.Info("configuration taken over", "config", d.cfg.File, "taken_anew", names(opened), "gone", names(p.gone), "rules", len(p.rules))
	return nil
}

// end stops what does not stay as it is. A Redis that is configured no more is
// left as by a stop of the service: disarmed, and said to be unguarded.
func (d *Daemon) end(p plan, ending []*group) map[string]inherited {
	var leaving []*node
	for _, c := range ending {
		for _, n := range c.nodes {
			if !stays(p, c, n) {
				leaving = append(leaving, n)
			}
			n.gate.LeaveArmed()
		}
	}
	announceStop(leaving)
	d.stop(ending)
	lives := map[string]inherited{}
	for _, c := range ending {
		life := inherited{armed: map[string][]*os.File{}, memories: map[string]watchdog.Memory{}}
		for _, n := range c.nodes {
			if left := n.gate.Left(); stays(p, c, n) {
				life.armed[n.name], life.memories[n.name] = left, n.agent.State().Memory
			} else {
				n.disarm(left)
				n.metrics.Forget()
				d.log.Warn("redis is guarded no more: it is not in the configuration", "group", c.name, "node", n.name)
			}
		}
		lives[c.name] = life
		if err := c.close(); err != nil {
			d.log.Warn("group not closed", "group", c.name, "error", err)
		}
	}
	return lives
}

// stays says whether the node is the same Redis in the next configuration.
func stays(p plan, c *group, n *node) bool {
	next, there := p.next.Group(c.name)
	if !there {
		return false
	}
	was, is := nodeOf(c.cfg, n.name), nodeOf(next, n.name)
	return is != nil && was.Address == is.Address && was.Socket == is.Socket
}

// nodeOf is the node of that name; nil: there is none.
func nodeOf(g config.Group, name string) *config.Node {
	for i := range g.Nodes {
		if g.Nodes[i].Name == name {
			return &g.Nodes[i]
		}
	}
	return nil
}

// follow has a group that runs follow other rules.
func (c *group) follow(g config.Group) {
	for _, n := range c.nodes {
		n.mu.Lock()
		n.lastReplica, n.fleetOff = g.Preflight.LastReplica, !g.Keyspace.Fleet
		n.mu.Unlock()
		n.reporter.setRules(reportRulesOf(g.Preflight))
		n.agent.SetPolicy(g.Policy.Core())
	}
}

// group is the group's; nil: there is none.
func (d *Daemon) group(name string) *group {
	for _, c := range d.groups {
		if c.name == name {
			return c
		}
	}
	return nil
}

func names(groups []*group) string {
	var all []string
	for _, c := range groups {
		all = append(all, c.name)
	}
	return strings.Join(all, ",")
}
