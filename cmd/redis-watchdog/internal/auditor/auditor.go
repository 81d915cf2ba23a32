// Package auditor takes audits of the fleet's work list, one at a time for its host,
// and has them made.
package auditor

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"time"

	"github.com/hashicorp/go-hclog"

	"github.com/redis-watchdog/redis-watchdog/fencing/grant"
	"github.com/redis-watchdog/redis-watchdog/preflight/keyspace/fleet"
	"github.com/redis-watchdog/redis-watchdog/watchdog"
	"github.com/redis-watchdog/redis-watchdog/watchdog/signal"
)

// Store is where the work list is: a grant.Store.
type Store interface {
	FleetRun(ctx context.Context) (grant.FleetEntry, error)
	WatchFleet(ctx context.Context, heard func(run grant.FleetEntry)) error
	FleetUnits(ctx context.Context, run grant.FleetEntry, host string, keys []string) ([]grant.FleetUnit, grant.FleetTaken, error)
	FleetSlots(ctx context.Context) ([]int, error)
	ClaimFleet(ctx context.Context, c grant.FleetClaim) (*grant.FleetHold, error)
	UnclaimFleet(ctx context.Context, h *grant.FleetHold) error
	KeepFleet(ctx context.Context, h *grant.FleetHold) error
	EndFleet(ctx context.Context, h grant.FleetHold, unit []byte, group string, audit []byte, rest bool) error
	SettleFleet(ctx context.Context, run grant.FleetEntry, was grant.FleetUnit, unit []byte) error
}

// Audit is what came of one.
type Audit struct {
	Kept  []byte // what is kept of it
	Keys  uint64
	Bytes uint64
}

// Host is the Redis of this host, and who audits them.
type Host interface {
	// Nodes are all of them as they are now. It asks nobody.
	Nodes() []fleet.Node
	// Load is how busy the host and that Redis are.
	Load(ctx context.Context, n fleet.Node) (fleet.Load, error)
	// Audit makes one, and ends at once with ctx.
	Audit(ctx context.Context, n fleet.Node, hashed bool) (Audit, error)
}

// Config of a Runner.
type Config struct {
	// Store is asked for anew each time: it may be another after a reload.
	Store func() Store
	Host  Host
	Key   string // of the host: no two audits are made under the same one
	Name  string // of the host, for people
	Now   func() watchdog.Instant
	// Count is told of every audit that ended; nil: nobody is.
	Count func(fleet.Why)
	Log   hclog.Logger
	// Idle is how often it is asked whether there is a run, for the watch that tells
	// may be silent; Look how often at the most it is looked while there is something to
	// do (fleet.Run.Apart), Beat how often while an audit runs. Zero: ten minutes, 5 s and
	// a second.
	Idle, Look, Beat time.Duration
}

// Runner is that of one host.
type Runner struct {
	cfg Config

	// Of Run alone:
	finished map[string]bool // units of the run below that are final
	run      string          // its id
	silent   bool            // etcd did not answer, and that was logged
	busy     string          // why it waits, as it was logged
	entry    grant.FleetEntry
	anew     bool             // the entry is not that of now, and was not read since
	lost     *grant.FleetHold // a claim whose answer did not come; nil: none

	changed signal.Signal // there is another entry
	mu      sync.Mutex
	state   State
	heard   *grant.FleetEntry // the newest; nil: step has it
}

// State is what a Runner does, for the metrics.
type State struct {
	Auditing bool
	Waits    string // why nothing is begun though there is something to do; empty: nothing hinders
	// Nodes is why each waits that does, by its group and address with a slash between.
	Nodes map[string]string
}

// New makes one.
func New(c Config) *Runner {
	for _, d := range []struct {
		of    *time.Duration
		usual time.Duration
	}{{&c.Idle, 10 * time.Minute}, {&c.Look, 5 * time.Second}, {&c.Beat, time.Second}} {
		if *d.of == 0 {
			*d.of = d.usual
		}
	}
	if c.Count == nil {
		c.Count = func(fleet.Why) {}
	}
	return &Runner{cfg: c, finished: map[string]bool{}, changed: signal.New()}
}

// State is of now.
func (r *Runner) State() State {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.state
}

func (r *Runner) set(s State) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.state = s
}

// Run takes one audit after the other until ctx ends. What etcd does not answer is
// asked again: nobody but the work list waits for it.
func (r *Runner) Run(ctx context.Context) error {
	watching := make(chan struct{})
	go func() {
		defer close(watching)
		r.watch(ctx)
	}()
	defer func() { <-watching }()
	wait, least := r.cfg.Idle, r.cfg.Idle/2
	for {
		// Apart from the others, who would ask at the same instant.
		pause := time.NewTimer(least + rand.N(wait))
		select {
		case <-ctx.Done():
			pause.Stop()
			r.set(State{})
			return context.Cause(ctx)
		case <-r.changed: // all of the fleet hear it at one time
			pause.Stop()
			wait, least = r.pace(r.hear()), 0
			if wait == r.cfg.Idle {
				least = wait / 2
			}
			continue
		case <-pause.C:
		}
		did, open, err := r.step(ctx)
		r.told(ctx, err)
		wait = r.pace(open)
		if did { // another, if there is one, and not at once: the slot is for whoever waits
			wait = r.cfg.Look / 4
		}
		least = wait / 2
	}
}

// watch is told of the run by etcd, until ctx ends. A watch that ends rests, the
// longer the oftener: without it the run is asked for, if seldom.
func (r *Runner) watch(ctx context.Context) {
	rest := r.cfg.Look
	for {
		pause := time.NewTimer(rand.N(rest))
		select {
		case <-ctx.Done():
			pause.Stop()
			return
		case <-pause.C:
		}
		rest = min(2*rest, r.cfg.Idle)
		err := r.cfg.Store().WatchFleet(ctx, func(run grant.FleetEntry) {
			rest = r.cfg.Look
			r.mu.Lock()
			if r.heard == nil || run.Modified == 0 || run.Modified > r.heard.Modified {
				r.heard = &run
			}
			r.mu.Unlock()
			r.changed.Raise()
		})
		r.cfg.Log.Debug("the fleet's run is not watched; that is tried again", "error", err)
	}
}

// hear takes over the run that was told of, and is whether there may be something to
// do. What was told of may have been taken over by a call before.
func (r *Runner) hear() (open bool) {
	r.mu.Lock()
	heard := r.heard
	r.heard = nil
	r.mu.Unlock()
	if heard != nil {
		r.entry, r.anew = *heard, false
	}
	run, err := fleet.ReadRun(r.entry.Value)
	if r.entry.Modified != 0 && (err != nil || run.State == fleet.Running) {
		return true
	}
	r.set(State{})
	return false
}

// pace is how long to wait until the next look, at the run that is known. It is
// short, whatever was heard meanwhile, where a claim is to be taken back, before
// another takes the unit up as one that was tried; and where the run is to be read
// anew, for nobody may tell of it.
func (r *Runner) pace(open bool) time.Duration {
	switch {
	case r.lost != nil, r.anew:
		return r.cfg.Look
	case !open:
		return r.cfg.Idle
	}
	run, err := fleet.ReadRun(r.entry.Value)
	if err != nil {
		return r.cfg.Idle
	}
	return run.Apart(r.cfg.Look)
}

// told logs the first failure of a streak, and its end.
func (r *Runner) told(ctx context.Context, err error) {
	switch {
	case ctx.Err() != nil:
	case err != nil && !r.silent:
		r.cfg.Log.Warn("the fleet's work list is not followed", "error", err)
	case err == nil && r.silent:
		r.cfg.Log.Info("the fleet's work list is followed again")
	}
	r.silent = err != nil
}

// step looks once, and makes one audit at the most. Open is whether there is more to
// do for this host.
func (r *Runner) step(ctx context.Context) (did, open bool, err error) {
	if r.lost != nil { // before anything else: it may be at it yet
		if err := r.cfg.Store().UnclaimFleet(ctx, r.lost); err != nil {
			return false, true, err
		}
		r.lost = nil
	}
	run, goes, err := r.goes(ctx)
	if err != nil || !goes {
		r.set(State{})
		return false, false, err
	}
	nodes := r.cfg.Host.Nodes()
	keys := slices.DeleteFunc(fleet.Units(run, nodes), func(key string) bool { return r.finished[key] })
	if len(keys) == 0 {
		r.set(State{})
		return false, false, nil
	}
	found, taken, err := r.cfg.Store().FleetUnits(ctx, r.entry, r.cfg.Key, keys)
	if errors.Is(err, grant.ErrChanged) {
		r.entry, r.anew = grant.FleetEntry{}, true
		return false, true, nil
	}
	if err != nil {
		return false, true, err
	}
	units, err := r.read(keys, found)
	plan := fleet.Next(run, units, nodes, taken.Slots, taken.Host)
	if e := r.settle(ctx, r.entry, found, plan.Settle); e != nil {
		err = errors.Join(err, e)
	}
	if !plan.Open {
		r.set(State{})
		return false, false, err
	}
	if len(plan.Take) == 0 {
		r.waits("", plan.Waits)
		return false, true, err
	}
	c, why := r.idle(ctx, plan.Take, run.MaxLoad)
	for _, c := range plan.Take {
		if why != "" {
			plan.Waits[c.Node.Key()] = why
		}
	}
	r.waits(why, plan.Waits)
	if why != "" {
		return false, true, err
	}
	slots, e := r.cfg.Store().FleetSlots(ctx)
	slot := fleet.FreeSlot(run.Parallel, slots, rand.N(run.Parallel))
	if e != nil || slot < 0 {
		return false, true, errors.Join(err, e)
	}
	did, e = r.take(ctx, run, grant.FleetClaim{Run: r.entry, Slot: slot, Host: r.cfg.Key, Who: r.cfg.Name, Unit: unitOf(found, c.Unit.Key())}, c)
	return did, true, errors.Join(err, e)
}

// goes is the run, asked for where it is not known, and whether it goes on.
func (r *Runner) goes(ctx context.Context) (run fleet.Run, goes bool, err error) {
	run, err = fleet.ReadRun(r.entry.Value)
	if err != nil || run.State != fleet.Running {
		if r.entry, err = r.cfg.Store().FleetRun(ctx); err != nil {
			return run, false, err
		}
		if r.anew = false; r.entry.Modified == 0 {
			return run, false, nil
		}
		if run, err = fleet.ReadRun(r.entry.Value); err != nil {
			return run, false, err
		}
	}
	if run.ID != r.run {
		r.run, r.finished = run.ID, map[string]bool{}
	}
	return run, run.State == fleet.Running, nil
}

func unitOf(found []grant.FleetUnit, key string) grant.FleetUnit {
	return found[slices.IndexFunc(found, func(u grant.FleetUnit) bool { return u.Key == key })]
}

// read makes units of what stands in etcd. One that makes no sense is left alone, and
// is the error; the others stand. What is final, or in no list, is not asked for
// again.
func (r *Runner) read(keys []string, found []grant.FleetUnit) (units []fleet.Known, err error) {
	listed := map[string]bool{}
	for _, f := range found {
		u, e := fleet.ReadUnit(f.Value)
		if e == nil && u.Key() != f.Key {
			e = fmt.Errorf("read unit: it is of %q", u.Key())
		}
		if e != nil {
			err = errors.Join(err, fmt.Errorf("fleet/units/%s: %w", f.Key, e))
			continue
		}
		listed[f.Key] = !u.Final()
		units = append(units, fleet.Known{Unit: u, Claimed: f.Claimed})
	}
	for _, key := range keys {
		if !listed[key] {
			r.finished[key] = true
		}
	}
	return units, err
}

// settle writes what nobody can do any more.
func (r *Runner) settle(ctx context.Context, run grant.FleetEntry, found []grant.FleetUnit, units []fleet.Unit) error {
	for _, u := range units {
		u.At = time.Now()
		text, err := json.Marshal(u)
		if err != nil {
			return err
		}
		err = r.cfg.Store().SettleFleet(ctx, run, unitOf(found, u.Key()), text)
		switch {
		case errors.Is(err, grant.ErrChanged): // by somebody else, or there is another run
		case err != nil:
			return err
		default:
			r.finished[u.Key()] = true
			r.cfg.Log.Warn("not audited", "unit", u.Key(), "state", string(u.State), "reason", u.Reason)
		}
	}
	return nil
}

// idle is the first whose host and Redis are not busy; else why the first is.
func (r *Runner) idle(ctx context.Context, take []fleet.Candidate, maxLoad float64) (c fleet.Candidate, why string) {
	for _, c := range take {
		load, err := r.cfg.Host.Load(ctx, c.Node)
		busy := fleet.BusyUnknown
		if err == nil {
			busy = load.Busy(maxLoad)
		}
		if busy == "" {
			return c, ""
		}
		if why == "" {
			why = busy
		}
		if busy != fleet.BusyLag && busy != fleet.BusyUnknown { // it is the host: no other Redis of it fares better
			break
		}
	}
	return c, why
}

// waits notes why nothing is begun, and logs it when that is new.
func (r *Runner) waits(why string, nodes map[string]string) {
	r.set(State{Waits: why, Nodes: nodes})
	if why != r.busy && why != "" {
		r.cfg.Log.Info("an audit of the fleet waits: the host is busy", "reason", why)
	}
	r.busy = why
}
