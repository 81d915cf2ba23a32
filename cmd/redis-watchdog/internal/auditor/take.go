package auditor

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/redis-watchdog/redis-watchdog/fencing/grant"
	"github.com/redis-watchdog/redis-watchdog/preflight/keyspace/fleet"
)

// Why an audit under way is ended, which then is no failure.
var (
	errRunEnded  = errors.New("the run was stopped")
	errNoReplica = errors.New("it is no replica in step any more")
	errShort     = errors.New("the host is short of memory")
	errClaim     = errors.New("etcd was not reached in time, or has lost the claim: another may have taken it up")
)

const (
	// before is how long before its claim can end an audit does.
	before = 10 * time.Second
	// endWithin bounds the writing of what became of it.
	endWithin  = 10 * time.Second
	stopWithin = time.Second // likewise while the watchdog stops: nobody waits for us
	endAgain   = time.Second
)

// take claims the unit and makes the audit. It is false where another was first.
func (r *Runner) take(ctx context.Context, run fleet.Run, claim grant.FleetClaim, c fleet.Candidate) (bool, error) {
	begun := fleet.Begin(c.Unit, c.Node.Address)
	begun.At = time.Now()
	var err error
	if claim.Begun, err = json.Marshal(begun); err != nil {
		return false, err
	}
	hold, err := r.cfg.Store().ClaimFleet(ctx, claim)
	if errors.Is(err, grant.ErrChanged) {
		return false, nil
	}
	if err != nil {
		// Whether it was made is not known, and it must cost the unit nothing.
		r.lost = hold
		return false, err
	}
	r.set(State{Auditing: true})
	defer r.set(State{})
	r.cfg.Log.Info("an audit of the fleet begins", "unit", c.Unit.Key(), "node", c.Node.Address)
	from := r.cfg.Now()
	audit, held, err := r.audit(ctx, run, *hold, c.Node)
	took := r.cfg.Now().Sub(from)
	why := fleet.Whole
	switch {
	case err == nil:
	case ctx.Err() != nil, errors.Is(err, errRunEnded), errors.Is(err, errNoReplica), errors.Is(err, errShort), errors.Is(err, errClaim):
		why = fleet.Ended
	default:
		why = fleet.Broken
	}
	reason := ""
	if err != nil {
		reason = fleet.Text(err)
	}
	u := fleet.After(begun, why, reason)
	u.At = time.Now()
	if why == fleet.Whole {
		u.Took, u.Keys, u.Bytes = took.Seconds(), audit.Keys, audit.Bytes
	}
	r.cfg.Count(why)
	r.cfg.Log.Info("an audit of the fleet ended", "unit", c.Unit.Key(), "node", c.Node.Address, "state", string(u.State), "took", took.String(), "reason", reason)
	if errors.Is(err, errClaim) {
		return true, nil // it is not ours to write about
	}
	return true, r.end(ctx, held, u, audit, why == fleet.Broken)
}

// end writes what became of it, for as long as the claim stands; at an orderly stop
// too, so that another host need not wait for the lease.
func (r *Runner) end(ctx context.Context, hold grant.FleetHold, u fleet.Unit, audit Audit, rest bool) error {
	text, err := json.Marshal(u)
	if err != nil {
		return err
	}
	within := endWithin
	if ctx.Err() != nil {
		within = stopWithin
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), within)
	defer cancel()
	for {
		err := r.cfg.Store().EndFleet(ctx, hold, text, u.Group, audit.Kept, rest)
		if err == nil || errors.Is(err, grant.ErrChanged) || r.cfg.Now() >= hold.Until {
			if err != nil {
				return fmt.Errorf("%s: what became of the audit is not written: %w", u.Key(), err)
			}
			return nil
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("%s: what became of the audit is not written: %w", u.Key(), err)
		case <-time.After(endAgain):
		}
	}
}

// audit makes the audit while the claim stands, the run goes on, the Redis stays the
// replica that it was and the host has memory.
func (r *Runner) audit(ctx context.Context, run fleet.Run, hold grant.FleetHold, n fleet.Node) (Audit, grant.FleetHold, error) {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	type result struct {
		audit Audit
		err   error
	}
	ended := make(chan result, 1)
	go func() {
		audit, err := r.cfg.Host.Audit(ctx, n, run.Hashed)
		ended <- result{audit, err}
	}()
	tick := time.NewTicker(r.cfg.Beat)
	defer tick.Stop()
	kept, looked := r.cfg.Now(), r.cfg.Now()
	for {
		select {
		case got := <-ended:
			if cause := context.Cause(ctx); cause != nil && got.err != nil {
				got.err = cause
			}
			return got.audit, hold, got.err
		case <-tick.C:
		}
		if ctx.Err() != nil {
			continue // it is ending
		}
		if !r.replica(n) {
			cancel(errNoReplica)
			continue
		}
		now := r.cfg.Now()
		if now.Sub(kept) >= grant.FleetLease/4 {
			err := r.cfg.Store().KeepFleet(ctx, &hold)
			switch {
			case err == nil:
				kept = now
			case errors.Is(err, grant.ErrChanged) || r.cfg.Now().Add(before) >= hold.Until:
				cancel(errClaim)
			}
		}
		if now := r.cfg.Now(); now.Sub(looked) >= r.cfg.Look {
			looked = now
			switch {
			case r.over(ctx, run.ID):
				cancel(errRunEnded)
			case r.short(ctx, n):
				cancel(errShort)
			}
		}
	}
}

// replica is whether it is one yet, as this host sees it.
func (r *Runner) replica(n fleet.Node) bool {
	for _, now := range r.cfg.Host.Nodes() {
		if now.Group == n.Group && now.Address == n.Address {
			return now.Replica && !now.Off
		}
	}
	return false
}

// short is whether the host is about to run out of memory.
func (r *Runner) short(ctx context.Context, n fleet.Node) bool {
	load, err := r.cfg.Host.Load(ctx, n)
	return err == nil && load.Available < load.Total/20
}

// over is whether the run is stopped, or is another by now. A pause lets what runs
// run; what cannot be read says nothing.
func (r *Runner) over(ctx context.Context, id string) bool {
	entry, err := r.cfg.Store().FleetRun(ctx)
	if err != nil {
		return false
	}
	if entry.Modified == 0 {
		return true
	}
	now, err := fleet.ReadRun(entry.Value)
	return err == nil && (now.ID != id || now.State == fleet.Stopped || now.State == fleet.Preparing)
}
