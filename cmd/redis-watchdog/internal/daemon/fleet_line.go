package daemon

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/redis-watchdog/redis-watchdog/fencing/grant"
	"github.com/redis-watchdog/redis-watchdog/preflight/keyspace/fleet"
)

const (
	fleetLineEvery = 15 * time.Second
	// fleetLineUnits is how long a list may be that is read for a page: all of it is,
	// 300 bytes a unit. What a longer one is about the command line says.
	fleetLineUnits = 2000
	// notAnew is said of a line behind which nothing was read.
	notAnew = " (as it was read before; it could not be read anew)"
)

// fleetList is a grant.Store.
type fleetList interface {
	FleetRun(ctx context.Context) (grant.FleetEntry, error)
	ReadFleet(ctx context.Context) (grant.FleetEntry, []grant.FleetUnit, error)
}

// fleetLine is how far an audit of the fleet is, in a line; empty: there is none, or
// it is over. With an error it has what is known all the same.
func fleetLine(ctx context.Context, store fleetList) (string, error) {
	entry, err := store.FleetRun(ctx)
	if err != nil || entry.Modified == 0 {
		return "", err
	}
	run, err := fleet.ReadRun(entry.Value)
	if err != nil {
		return "", err
	}
	if run.State != fleet.Running && run.State != fleet.Paused {
		return "", nil
	}
	line := fmt.Sprintf("Audit of the fleet, begun by %s on %s: %s", run.By, run.At.Format("2006-01-02 15:04 MST"), run.State)
	if run.Units > fleetLineUnits {
		return line + fmt.Sprintf(", of %d nodes or groups; how far it is: redis-watchdog keyspace fleet status", run.Units), nil
	}
	_, found, err := store.ReadFleet(ctx)
	if err != nil {
		return fmt.Sprintf("%s, of %d nodes or groups; how far it is could not be read", line, run.Units), err
	}
	var units []fleet.Known
	unread := 0
	for _, f := range found {
		u, err := fleet.ReadUnit(f.Value)
		if err != nil {
			unread++
			continue
		}
		units = append(units, fleet.Known{Unit: u, Claimed: f.Claimed})
	}
	p := fleet.ProgressOf(run, units, unread)
	if p.Finished {
		return "", nil
	}
	return line + fmt.Sprintf(", %d of %d done, %d running, %d waiting, %d failed. Why they wait: redis-watchdog keyspace fleet status", p.Done, p.Total, p.Running, p.Waiting, p.Failed), nil
}

// readFleet reads that line, now and then.
func (r *reader) readFleet(ctx context.Context, store fleetList) {
	if time.Since(r.fleetAt) < fleetLineEvery {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, readTimeout)
	defer cancel()
	line, err := fleetLine(ctx, store)
	if err != nil {
		// As where a watchdog has no right to the list: it says so itself, in its log.
		r.log.Debug("audit of the fleet not read for the status page", "error", err)
	}
	r.fleetAt = time.Now()
	r.mu.Lock()
	defer r.mu.Unlock()
	if err != nil && line == "" && r.fleet != "" {
		line = strings.TrimSuffix(r.fleet, notAnew) + notAnew
	}
	r.fleet = line
}

// Fleet is part of web.Source.
func (d *Daemon) Fleet() string {
	d.records.mu.Lock()
	defer d.records.mu.Unlock()
	return d.records.fleet
}
