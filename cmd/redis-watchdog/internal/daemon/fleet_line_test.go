package daemon

import (
	"context"
	"encoding/json"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/hashicorp/go-hclog"

	"github.com/redis-watchdog/redis-watchdog/fencing/grant"
	"github.com/redis-watchdog/redis-watchdog/preflight/keyspace/fleet"
)

// playedFleet hands over a list of one audit, as far as it is let.
type playedFleet struct {
	run           fleet.Run
	noRun, noList error
}

func (p *playedFleet) FleetRun(context.Context) (grant.FleetEntry, error) {
	value, err := json.Marshal(p.run)
	return grant.FleetEntry{Value: value, Modified: 1}, errors.Join(err, p.noRun)
}

func (p *playedFleet) ReadFleet(ctx context.Context) (grant.FleetEntry, []grant.FleetUnit, error) {
	run, err := p.FleetRun(ctx)
	unit, e := json.Marshal(fleet.Unit{Group: "g", State: fleet.Waiting})
	return run, []grant.FleetUnit{{FleetEntry: grant.FleetEntry{Value: unit, Modified: 1}, Key: "g"}}, errors.Join(err, e, p.noList)
}

// TestLineOfTheFleetStaysWhereItCannotBeRead, and says so; with an answer it is as it
// was, and gone with the run.
func TestLineOfTheFleetStaysWhereItCannotBeRead(t *testing.T) {
	r := newReader(nil, nil, hclog.NewNullLogger())
	p := &playedFleet{run: fleet.Run{Schema: fleet.Schema, ID: "r1", By: "eve@redis1", State: fleet.Running, Parallel: 1, Units: 1}}
	read := func(want ...string) {
		t.Helper()
		r.fleetAt = time.Time{}
		r.readFleet(t.Context(), p)
		if len(want) == 0 && r.fleet != "" {
			t.Errorf("got %q, want no line", r.fleet)
		}
		for _, w := range want {
			if strings.Count(r.fleet, w) != 1 {
				t.Errorf("got %q, want %q once", r.fleet, w)
			}
		}
	}
	away := errors.New("no leader")
	p.noRun = away
	read()
	p.noRun = nil
	read("eve@redis1", "running, 0 of 1 done, 0 running, 1 waiting")
	p.noList = away
	read("eve@redis1", "running, of 1 nodes or groups; how far it is could not be read")
	p.noList = nil
	read("0 of 1 done")
	p.noRun = away
	for range 2 {
		read("0 of 1 done", "it could not be read anew")
	}
	p.noRun = nil
	read("1 waiting, 0 failed. Why they wait: redis-watchdog keyspace fleet status")
	if strings.Contains(r.fleet, notAnew) {
		t.Errorf("got %q", r.fleet)
	}
	p.run.State = fleet.Stopped
	read()
}
