package auditor

import (
	"context"
	"encoding/json"
	"errors"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/hashicorp/go-hclog"

	"github.com/redis-watchdog/redis-watchdog/fencing/grant"
	"github.com/redis-watchdog/redis-watchdog/preflight/keyspace/fleet"
	"github.com/redis-watchdog/redis-watchdog/watchdog"
)

// played is a Store that is played: what a real etcd makes of claims is shown in
// wait_test.go. It has one unit, of g/h:1.
type played struct {
	Store
	heard chan grant.FleetEntry // what the watch is told

	mu      sync.Mutex
	run     fleet.Run
	changed bool // the run is another than the one that was read, once
	lose    int  // so many answers to claims are lost

	asked, claimed, unclaimed []time.Time // when it was asked for the units, and so on
	away                      int         // so often a claim cannot be taken back
}

func (p *played) entry() grant.FleetEntry {
	p.mu.Lock()
	defer p.mu.Unlock()
	value, err := json.Marshal(p.run)
	if err != nil {
		panic(err)
	}
	return grant.FleetEntry{Value: value, Modified: 1}
}

func (p *played) FleetRun(context.Context) (grant.FleetEntry, error) { return p.entry(), nil }

func (p *played) WatchFleet(ctx context.Context, heard func(grant.FleetEntry)) error {
	for {
		select {
		case e := <-p.heard:
			heard(e)
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

func (p *played) FleetUnits(context.Context, grant.FleetEntry, string, []string) ([]grant.FleetUnit, grant.FleetTaken, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.asked = append(p.asked, time.Now())
	if p.changed {
		p.changed = false
		return nil, grant.FleetTaken{}, grant.ErrChanged
	}
	value, err := json.Marshal(fleet.Unit{Group: "g", Address: "h:1", State: fleet.Waiting})
	return []grant.FleetUnit{{FleetEntry: grant.FleetEntry{Value: value, Modified: 1}, Key: "g/h:1"}}, grant.FleetTaken{}, err
}

func (p *played) FleetSlots(context.Context) ([]int, error) { return nil, nil }

func (p *played) ClaimFleet(context.Context, grant.FleetClaim) (*grant.FleetHold, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.claimed = append(p.claimed, time.Now())
	if p.lose--; p.lose >= 0 {
		return &grant.FleetHold{}, context.DeadlineExceeded
	}
	return nil, grant.ErrChanged
}

func (p *played) UnclaimFleet(context.Context, *grant.FleetHold) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.unclaimed = append(p.unclaimed, time.Now())
	if p.away--; p.away >= 0 {
		return context.DeadlineExceeded
	}
	return nil
}

// paced runs a host of 45,000 with the usual pace while f goes on.
func paced(t *testing.T, p *played, f func()) {
	t.Helper()
	p.run = fleet.Run{Schema: fleet.Schema, ID: "r1", State: fleet.Running, Parallel: 1, Every: true, Nodes: 45000, Units: 45000}
	p.heard = make(chan grant.FleetEntry)
	w := &world{t: t, begun: map[string]int{}}
	h := &host{w: w, name: "a", nodes: []fleet.Node{{Group: "g", Address: "h:1", Replica: true}}}
	from := time.Now()
	r := New(Config{Store: func() Store { return p }, Host: h, Key: "a", Name: "a", Log: hclog.NewNullLogger(),
		Now: func() watchdog.Instant { return watchdog.Instant(time.Since(from)) }})
	if apart := p.run.Apart(r.cfg.Look); apart < time.Minute {
		t.Fatalf("a look every %v: nothing is told apart here", apart)
	}
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		if err := r.Run(ctx); !errors.Is(err, context.Canceled) {
			t.Errorf("Run: %v", err)
		}
	}()
	defer func() { cancel(); <-ended }()
	p.tell()
	f()
}

// tell has the watch tell of the run as it is now.
func (p *played) tell() {
	p.heard <- p.entry()
	synctest.Wait()
}

// await waits, on a clock that is played, until it is so.
func (p *played) await(t *testing.T, is func() bool) {
	t.Helper()
	for range 3600 {
		synctest.Wait()
		p.mu.Lock()
		ok := is()
		p.mu.Unlock()
		if ok {
			return
		}
		time.Sleep(time.Second)
	}
	t.Fatal("not within an hour")
}

// TestALostClaimIsTakenBackSoonWhateverIsHeard: etcd is troubled, and the watch begins
// anew in the middle of it; in a run that goes on, and in one that is paused.
func TestALostClaimIsTakenBackSoonWhateverIsHeard(t *testing.T) {
	for _, state := range []fleet.State{fleet.Running, fleet.Paused} {
		synctest.Test(t, func(t *testing.T) {
			p := &played{lose: 1, away: 1}
			paced(t, p, func() {
				p.await(t, func() bool { return len(p.claimed) > 0 })
				p.mu.Lock()
				p.run.State = state
				p.mu.Unlock()
				p.tell()
				p.await(t, func() bool { return len(p.unclaimed) > 0 })
				p.tell()
				p.await(t, func() bool { return len(p.unclaimed) > 1 })
				p.mu.Lock()
				defer p.mu.Unlock()
				if took := p.unclaimed[1].Sub(p.claimed[0]); took >= grant.FleetLease/2 {
					t.Errorf("%s: taken back after %v, and its lease ends after %v", state, took, grant.FleetLease)
				}
			})
		})
	}
}

// TestARunThatIsAnotherIsReadAnewSoon, though no watch tells of it.
func TestARunThatIsAnotherIsReadAnewSoon(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := &played{changed: true}
		paced(t, p, func() {
			p.await(t, func() bool { return len(p.asked) > 1 })
			p.mu.Lock()
			defer p.mu.Unlock()
			if took := p.asked[1].Sub(p.asked[0]); took > 10*time.Second {
				t.Errorf("it was read anew after %v", took)
			}
		})
	})
}

// TestWhatWasHeardBeforeItsSignalIsFollowed: an entry is taken over with the signal of
// the one before, and its own signal tells nothing new.
func TestWhatWasHeardBeforeItsSignalIsFollowed(t *testing.T) {
	p := &played{run: fleet.Run{Schema: fleet.Schema, ID: "r1", State: fleet.Running, Parallel: 1}}
	r := New(Config{Store: func() Store { return p }, Log: hclog.NewNullLogger()})
	e := p.entry()
	r.heard = &e
	for range 2 {
		if !r.hear() {
			t.Error("a run that goes on is not followed")
		}
	}
}
