package main

import (
	"context"
	"errors"
	"fmt"
	"net"

	"github.com/redis-watchdog/redis-watchdog/cmd/redis-watchdog/internal/terminal"
	"github.com/redis-watchdog/redis-watchdog/preflight"
	"github.com/redis-watchdog/redis-watchdog/preflight/gather"
	"github.com/redis-watchdog/redis-watchdog/preflight/keyspace"
)

// migrate judges the move of a slot.
func (a *app) migrate(ctx context.Context, args []string, o preflightOptions, asJSON bool) error {
	place, err := keyspace.ParsePlace(o.migrate)
	codis := place.Rule == keyspace.RuleCodis
	switch {
	case err != nil:
		return fmt.Errorf("--migrate: %w", err)
	case o.to != "" || o.fix || o.yes || o.probeKey:
		return errors.New("--to, --fix, --yes and --probe-key are for a failover, not for --migrate")
	case codis && (o.cluster != "" || o.reach.user != "" || o.reach.password != "" || o.reach.ca != ""):
		return errors.New("--cluster names a node of Redis Cluster, which has no slots of codis: give --migrate cluster:SLOT, or a group")
	case !codis && (o.cluster == "" || len(args) > 0):
		return errors.New("--migrate cluster:SLOT is of a Redis Cluster, not of a group: name one of its nodes with --cluster HOST:PORT")
	}
	var m preflight.Migration
	if codis {
		m, err = a.codisMigration(ctx, args, place)
	} else {
		m, err = a.clusterMigration(ctx, o, place)
	}
	if err != nil {
		return err
	}
	if asJSON {
		err = a.printJSON(m)
	} else {
		printMigration(a.printer(), m, o.verbose)
	}
	if err != nil {
		return err
	}
	return exitOfVerdict(m.Verdict)
}

// codisMigration asks the groups that are named, or all.
func (a *app) codisMigration(ctx context.Context, names []string, place keyspace.Place) (preflight.Migration, error) {
	c, err := a.load()
	if err != nil {
		return preflight.Migration{}, err
	}
	if len(names) == 0 {
		for _, g := range c.Groups {
			names = append(names, g.Name)
		}
	}
	var all []preflight.Facts
	for _, name := range names {
		c, g, err := a.group(name)
		if err != nil {
			return preflight.Migration{}, err
		}
		facts, err := a.facts(ctx, c, g, false)
		if err != nil {
			return preflight.Migration{}, unknown("read the facts of %s: %w", name, err)
		}
		all = append(all, facts)
	}
	return preflight.JudgeMigration(preflight.DefaultPolicy(), place, all), nil
}

// clusterMigration asks a Redis Cluster, and etcd for the audits of its nodes. Without
// a configuration no audit is known, and what is stuck is found all the same.
func (a *app) clusterMigration(ctx context.Context, o preflightOptions, place keyspace.Place) (preflight.Migration, error) {
	if _, _, err := net.SplitHostPort(o.cluster); err != nil {
		return preflight.Migration{}, fmt.Errorf("--cluster: %w", err)
	}
	s, err := o.reach.reach(o.cluster)
	if err != nil {
		return preflight.Migration{}, err
	}
	audit, end := a.clusterAudits()
	defer end()
	return preflight.JudgeClusterMigration(place, gather.Cluster(ctx, gather.ClusterConfig{Seed: o.cluster, Server: reachable(s), Slot: place.Slot, Audit: audit})), nil
}

// clusterAudits reads the newest audit of a node out of etcd.
func (a *app) clusterAudits() (audit func(ctx context.Context, ids []string) (*preflight.Audit, error), end func()) {
	never := func(err error) (func(context.Context, []string) (*preflight.Audit, error), func()) {
		return func(context.Context, []string) (*preflight.Audit, error) { return nil, err }, func() {}
	}
	c, err := a.load()
	if err != nil {
		return never(err)
	}
	opened, err := a.open(c)
	if err != nil {
		return never(err)
	}
	end = func() { _ = opened.Close() } // nothing was written
	store, ok := opened.(reportStore)
	if !ok {
		end()
		return never(errors.New("this etcd client keeps none"))
	}
	return func(ctx context.Context, ids []string) (newest *preflight.Audit, err error) {
		for _, id := range ids {
			one, why := (reports{store: store, group: clusterAudit(id)}).audit(ctx)
			switch {
			case why != "":
				err = errors.New(why)
			case one != nil && (newest == nil || one.At.After(newest.At)):
				newest = one
			}
		}
		if newest != nil {
			return newest, nil
		}
		return nil, err
	}, end
}

func printMigration(p *terminal.Printer, m preflight.Migration, verbose bool) {
	switch m.Verdict {
	case preflight.MayGo:
		p.Line(terminal.Green, "MAY GO   %s can be moved", m.Slot)
	case preflight.Blocked:
		p.Line(terminal.Red, "BLOCKED  %s: something stands against its move", m.Slot)
	default:
		p.Line(terminal.Yellow, "UNKNOWN  %s: not everything could be found out", m.Slot)
	}
	for _, f := range m.Findings {
		p.Line(terminal.Plain, "")
		printFinding(p, f, verbose)
	}
}
