package main

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"github.com/redis-watchdog/redis-watchdog/fencing/grant"
	"github.com/redis-watchdog/redis-watchdog/preflight/keyspace/fleet"
	"github.com/redis-watchdog/redis-watchdog/watchdog"
)

// fleetList is the part of the coordinator that the fleet's work list is in.
type fleetList interface {
	ReadFleet(ctx context.Context) (grant.FleetEntry, []grant.FleetUnit, error)
	StartFleet(ctx context.Context, was grant.FleetEntry, preparing, run []byte, units map[string][]byte) error
	ChangeFleet(ctx context.Context, was grant.FleetEntry, run []byte) error
	Reporting(ctx context.Context, each func(group string, address watchdog.Address, report []byte)) error
}

func (a *app) keyspaceFleetCommand() *cobra.Command {
	c := &cobra.Command{
		Use:   "fleet start|status|pause|resume|stop",
		Short: "have the watchdogs audit the key spaces of the whole fleet",
		Long: "The watchdogs beside every Redis do the work, and etcd hands it out: of replicas only, one at a time on a host, " +
			"and no more at one time in the fleet than is asked for. A host is left alone while it is busy. " +
			"It goes on whatever becomes of this command, and of any watchdog.",
		Args: cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error {
			return errors.New("one of start, status, pause, resume and stop")
		},
	}
	order := func(use, short string, f func(ctx context.Context, l fleetList, now fleetNow) error) *cobra.Command {
		return &cobra.Command{Use: use, Short: short, Args: cobra.NoArgs, RunE: func(c *cobra.Command, _ []string) error {
			if _, err := a.json(); err != nil {
				return err
			}
			return a.withFleet(c.Context(), f)
		}}
	}
	status := order("status", "how far it is, and how long it will take", a.fleetStatus)
	a.outputFlag(status)
	c.AddCommand(a.fleetStartCommand(), status, a.fleetAuditCommand(),
		order("pause", "begin no further audits; those that run go on", a.fleetTo(fleet.Paused, fleet.Running)),
		order("resume", "go on after a pause", a.fleetTo(fleet.Running, fleet.Paused)),
		order("stop", "end it, and the audits that run", a.fleetTo(fleet.Stopped, fleet.Running, fleet.Paused)))
	return c
}

// fleetNow is a run as it was read.
type fleetNow struct {
	entry  grant.FleetEntry
	run    fleet.Run // the zero one: there is none
	units  []fleet.Known
	unread []string // what makes no sense
	wrong  error    // why the run cannot be read; nil: it can
}

func (a *app) withFleet(ctx context.Context, f func(ctx context.Context, l fleetList, now fleetNow) error) error {
	c, err := a.load()
	if err != nil {
		return err
	}
	opened, err := a.open(c)
	if err != nil {
		return unknown("open etcd: %w", err)
	}
	defer func() { _ = opened.Close() }() // what was written has been answered
	list, ok := opened.(fleetList)
	if !ok {
		return unknown("%w", errors.New("this etcd client has no work list"))
	}
	now := fleetNow{}
	var found []grant.FleetUnit
	if now.entry, found, err = list.ReadFleet(ctx); err != nil {
		return unknown("%w", err)
	}
	if now.entry.Modified != 0 {
		now.run, now.wrong = fleet.ReadRun(now.entry.Value)
	}
	for _, u := range found {
		read, err := fleet.ReadUnit(u.Value)
		if err != nil {
			now.unread = append(now.unread, fmt.Sprintf("fleet/units/%s: %v", u.Key, err))
			continue
		}
		now.units = append(now.units, fleet.Known{Unit: read, Claimed: u.Claimed})
	}
	return f(ctx, list, now)
}

func (a *app) fleetStartCommand() *cobra.Command {
	run := fleet.Run{Schema: fleet.Schema, State: fleet.Running, Parallel: fleet.DefaultParallel, MaxLoad: fleet.DefaultMaxLoad}
	c := &cobra.Command{
		Use: "start", Short: "begin: one replica of each group, or every one", Args: cobra.NoArgs,
		Example: "  redis-watchdog keyspace fleet start --groups 'payments-*' --parallel 4",
		RunE: func(c *cobra.Command, _ []string) error {
			if err := run.Valid(); err != nil {
				return err
			}
			return a.withFleet(c.Context(), func(ctx context.Context, l fleetList, now fleetNow) error { return a.fleetStart(ctx, l, now, run) })
		},
	}
	f := c.Flags()
	f.IntVar(&run.Parallel, "parallel", run.Parallel, "audits at one time in the whole fleet, at the most")
	f.StringVar(&run.Groups, "groups", "", "only groups whose name fits a pattern, as 'payments-*'")
	f.BoolVar(&run.Every, "every-replica", false, "every replica of a group, not one of them: they have the same keys")
	f.Float64Var(&run.MaxLoad, "max-load", run.MaxLoad, "a host is busy above this load average of a minute a processor; 0: it is not looked at")
	f.BoolVar(&run.Hashed, "hash-names", false, "keep hashes instead of the names of large keys")
	return c
}

func (a *app) fleetStart(ctx context.Context, l fleetList, now fleetNow, run fleet.Run) error {
	p := fleet.ProgressOf(now.run, now.units, len(now.unread))
	switch {
	case now.wrong != nil || now.entry.Modified == 0 || p.Finished:
	case now.run.State == fleet.Preparing:
		return blocked("%w", errors.New("a run is being prepared by "+now.run.By+"; if that was given up, its mark is gone in a minute"))
	case now.run.State != fleet.Stopped:
		return blocked("%w", errors.New("a run is "+string(now.run.State)+": see redis-watchdog keyspace fleet status, and end it with redis-watchdog keyspace fleet stop"))
	case p.Running > 0:
		return blocked("%d audits of the run before are ending: try again in a moment", p.Running)
	}
	units, nodes, without, err := fleetUnits(ctx, l, run)
	if err != nil {
		return unknown("%w", err)
	}
	if len(units) == 0 {
		return blocked("%w", errors.New("no group has a replica whose watchdog reports: nothing to audit"))
	}
	run.ID, run.By, run.At, run.Units, run.Nodes = rand.Text(), a.operator(), time.Now().UTC().Truncate(time.Second), len(units), nodes
	preparing := run
	preparing.State = fleet.Preparing
	marks, err := json.Marshal(preparing)
	if err != nil {
		return unknown("%w", err)
	}
	text, err := json.Marshal(run)
	if err != nil {
		return unknown("%w", err)
	}
	if err := l.StartFleet(ctx, now.entry, marks, text, units); err != nil {
		return unknown("start: %w", err)
	}
	a.printer().Line("", "begun: %d audits, at most %d at one time", len(units), run.Parallel)
	if without > 0 {
		a.printer().Line("", "%d groups are left out: no replica of theirs has a watchdog that reports", without)
	}
	return nil
}

// fleetUnits is the list of a run, from what the watchdogs say of their Redis; nodes
// is how many of them report, and without are the groups none of whose replicas does.
func fleetUnits(ctx context.Context, l fleetList, run fleet.Run) (units map[string][]byte, nodes, without int, err error) {
	units = map[string][]byte{}
	groups := map[string]bool{}
	var wrong error
	err = fleetTold(ctx, l, run, func(group string, told fleet.Told) {
		nodes++
		groups[group] = groups[group] || told.Replica
		if !told.Replica {
			return
		}
		u := fleet.Unit{Group: group, State: fleet.Waiting}
		if run.Every {
			u.Address = told.Address
		}
		text, err := json.Marshal(u)
		wrong = errors.Join(wrong, err)
		units[u.Key()] = text
	})
	for _, has := range groups {
		if !has {
			without++
		}
	}
	return units, nodes, without, errors.Join(err, wrong)
}

// fleetTold hands over what the watchdogs of the run's groups say of their Redis. A
// report that makes no sense is that of no replica.
func fleetTold(ctx context.Context, l fleetList, run fleet.Run, each func(group string, told fleet.Told)) error {
	return l.Reporting(ctx, func(group string, address watchdog.Address, report []byte) {
		if !run.Of(group) {
			return
		}
		var s struct {
			Role      string `json:"role"`
			Unaudited string `json:"unaudited"`
			Reason    string `json:"reason"`
		}
		told := fleet.Told{Address: string(address)}
		if json.Unmarshal(report, &s) == nil {
			told.Replica, told.Waits, told.Stopped = s.Role == "replica", s.Unaudited, s.Reason == "stopped"
		}
		each(group, told)
	})
}

// fleetTo has the run go over into a state from one of some others.
func (a *app) fleetTo(to fleet.State, from ...fleet.State) func(ctx context.Context, l fleetList, now fleetNow) error {
	return func(ctx context.Context, l fleetList, now fleetNow) error {
		if now.wrong != nil {
			return unknown("%w", now.wrong)
		}
		if now.entry.Modified == 0 {
			return blocked("%w", errors.New("there is no run"))
		}
		if now.run.State == to {
			a.printer().Line("", "it is %s already", string(to))
			return nil
		}
		may := false
		for _, s := range from {
			may = may || s == now.run.State
		}
		if !may {
			return blocked("%w", errors.New("the run is "+string(now.run.State)))
		}
		now.run.State = to
		text, err := json.Marshal(now.run)
		if err != nil {
			return unknown("%w", err)
		}
		if err := l.ChangeFleet(ctx, now.entry, text); err != nil {
			return unknown("%w", err)
		}
		a.printer().Line("", "%s", string(to))
		return nil
	}
}
