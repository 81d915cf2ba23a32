package grant

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/redis-watchdog/redis-watchdog/lab"
	"github.com/redis-watchdog/redis-watchdog/watchdog"
)

// unitsOf begins a run and is its units as they stand.
func unitsOf(t *testing.T, s *Store, n int) (FleetEntry, []FleetUnit) {
	t.Helper()
	was, err := s.FleetRun(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	list := map[string][]byte{}
	for i := range n {
		list[fmt.Sprintf("g%03d", i)] = []byte("waiting")
	}
	if err := s.StartFleet(t.Context(), was, []byte("preparing"), []byte("running"), list); err != nil {
		t.Fatal(err)
	}
	run, units, err := s.ReadFleet(t.Context())
	if err != nil || string(run.Value) != "running" || len(units) != n {
		t.Fatalf("%s with %d units, %v; want it running with %d", run.Value, len(units), err, n)
	}
	return run, units
}

// TestOneOfManyClaimsAUnit: of those who try at one time one has the unit, however
// many slots are free, and the others are told so.
func TestOneOfManyClaimsAUnit(t *testing.T) {
	_, etcd := oneMember(t)
	s := openStore(t, nil, etcd.Endpoints()...)
	run, units := unitsOf(t, s, 3)
	var had atomic.Int32
	var all sync.WaitGroup
	for i := range 20 {
		all.Go(func() {
			_, err := s.ClaimFleet(t.Context(), FleetClaim{Run: run, Unit: units[0], Begun: []byte("begun"), Slot: i, Host: fmt.Sprint("h", i)})
			switch {
			case err == nil:
				had.Add(1)
			case !errors.Is(err, ErrChanged):
				t.Error(err)
			}
		})
	}
	all.Wait()
	if had.Load() != 1 {
		t.Fatalf("%d have the unit", had.Load())
	}
	claim := func(unit FleetUnit, slot int, host string) error {
		_, err := s.ClaimFleet(t.Context(), FleetClaim{Run: run, Unit: unit, Begun: []byte("begun"), Slot: slot, Host: host})
		return err
	}
	if err := claim(units[1], 50, "x"); err != nil {
		t.Fatal(err)
	}
	if err := claim(units[2], 50, "y"); !errors.Is(err, ErrChanged) {
		t.Errorf("a slot that is taken: %v", err)
	}
	if err := claim(units[2], 51, "x"); !errors.Is(err, ErrChanged) {
		t.Errorf("a host that audits: %v", err)
	}
	found, taken, err := s.FleetUnits(t.Context(), run, "x", []string{"g000", "g001", "g002", "g999"})
	if err != nil || len(found) != 3 || !found[0].Claimed || !found[1].Claimed || found[2].Claimed || !taken.Host || taken.Slots != 2 {
		t.Errorf("found %+v, taken %+v, %v", found, taken, err)
	}
	if err := s.ChangeFleet(t.Context(), run, []byte("paused")); err != nil {
		t.Fatal(err)
	}
	if err := claim(units[2], 51, "y"); !errors.Is(err, ErrChanged) {
		t.Errorf("after a pause: %v", err)
	}
	if err := s.ChangeFleet(t.Context(), run, []byte("stopped")); !errors.Is(err, ErrChanged) {
		t.Errorf("an order that rests on what was before the pause: %v", err)
	}
}

// TestAnAuditIsKeptIfAndOnlyIfItIsDone: what became of a unit, its audit and the slot
// are written as one, and by nobody whose claim is gone.
func TestAnAuditIsKeptIfAndOnlyIfItIsDone(t *testing.T) {
	_, etcd := oneMember(t)
	s := openStore(t, nil, etcd.Endpoints()...)
	run, units := unitsOf(t, s, 2)
	claim := func(unit FleetUnit, host string) FleetHold {
		t.Helper()
		h, err := s.ClaimFleet(t.Context(), FleetClaim{Run: run, Unit: unit, Begun: []byte("begun"), Slot: 0, Host: host})
		if err != nil {
			t.Fatal(err)
		}
		if err := s.KeepFleet(t.Context(), h); err != nil || h.Until.Sub(lab.Now()) < FleetLease/2 {
			t.Fatalf("kept until %v from now, %v", h.Until.Sub(lab.Now()), err)
		}
		return *h
	}
	first := claim(units[0], "h")
	if err := s.EndFleet(t.Context(), first, []byte("done"), "g000", []byte("audit"), false); err != nil {
		t.Fatal(err)
	}
	if text, err := s.Audit(t.Context(), "g000"); err != nil || string(text) != "audit" {
		t.Errorf("kept %q, %v", text, err)
	}
	if err := s.EndFleet(t.Context(), first, []byte("done"), "g000", []byte("audit"), false); err != nil {
		t.Errorf("the same again, as by a second member of etcd: %v", err)
	}
	// Its slot and its host are free again, and its lease is nobody's.
	second := claim(units[1], "h")
	claimed := s.fleetKey("claims/", units[1].Key)
	if _, err := s.transact(t.Context(), "lose", commandTimeout, nil, []clientv3.Op{clientv3.OpDelete(claimed)}, nil); err != nil {
		t.Fatal(err)
	}
	if err := s.EndFleet(t.Context(), second, []byte("done"), "g001", []byte("late"), false); !errors.Is(err, ErrChanged) {
		t.Errorf("without a claim: %v", err)
	}
	if text, err := s.Audit(t.Context(), "g001"); err != nil || text != nil {
		t.Errorf("kept %q without a claim, %v", text, err)
	}
	if _, taken, err := s.FleetUnits(t.Context(), run, "h", nil); err != nil || taken.Host || taken.Slots != 0 {
		t.Errorf("taken %+v, %v; want what was ours given back", taken, err)
	}
	if err := s.EndFleet(t.Context(), second, nil, "g001", make([]byte, MaxAudit+1), false); err == nil || errors.Is(err, ErrChanged) {
		t.Errorf("an audit that is too large: %v", err)
	}
}

// TestAClaimRestsAfterAFailure: the slot is free at once, the unit with the lease.
func TestAClaimRestsAfterAFailure(t *testing.T) {
	l, etcd := oneMember(t)
	s := openStore(t, nil, etcd.Endpoints()...)
	run, units := unitsOf(t, s, 1)
	h, err := s.ClaimFleet(t.Context(), FleetClaim{Run: run, Unit: units[0], Begun: []byte("begun"), Host: "h"})
	if err != nil {
		t.Fatal(err)
	}
	if err := s.EndFleet(t.Context(), *h, []byte("waiting again"), "g000", nil, true); err != nil {
		t.Fatal(err)
	}
	found, taken, err := s.FleetUnits(t.Context(), run, "h", []string{"g000"})
	if err != nil || taken.Host || taken.Slots != 0 || !found[0].Claimed || string(found[0].Value) != "waiting again" {
		t.Fatalf("found %+v, taken %+v, %v", found, taken, err)
	}
	if err := s.SettleFleet(t.Context(), run, found[0], []byte("failed")); !errors.Is(err, ErrChanged) {
		t.Errorf("settled while it rests: %v", err)
	}
	l.Eventually("the claim is gone with its lease", patience*2, func() error {
		found, _, err = s.FleetUnits(t.Context(), run, "h", []string{"g000"})
		if err == nil && found[0].Claimed {
			err = errors.New("not yet")
		}
		return err
	})
	if err := s.SettleFleet(t.Context(), run, found[0], []byte("failed")); err != nil {
		t.Error(err)
	}
}

// TestARunWhoseCommandDiedIsNone: what it had written by then is followed by nobody,
// and gone with the next start; more units than a page have all their place.
func TestARunWhoseCommandDiedIsNone(t *testing.T) {
	_, etcd := oneMember(t)
	s := openStore(t, nil, etcd.Endpoints()...)
	list := map[string][]byte{}
	for i := range 3 * fleetPage / 2 {
		list[fmt.Sprintf("lost%03d", i)] = []byte("waiting")
	}
	dying, cancel := context.WithCancel(t.Context())
	cancel()
	if err := s.StartFleet(dying, FleetEntry{}, []byte("preparing"), []byte("running"), list); err == nil {
		t.Error("it began though its command is dead")
	}
	// As far as a command can come before the last word.
	if _, err := s.transact(t.Context(), "die", commandTimeout, nil, []clientv3.Op{
		clientv3.OpPut(s.fleetKey("run", ""), "preparing"), clientv3.OpPut(s.fleetKey("units/", "lost"), "waiting")}, nil); err != nil {
		t.Fatal(err)
	}
	if err := s.StartFleet(t.Context(), FleetEntry{}, []byte("p"), []byte("r"), list); !errors.Is(err, ErrChanged) {
		t.Errorf("a start that knows nothing of the other: %v", err)
	}
	_, units := unitsOf(t, s, 5*fleetPage/2)
	for _, u := range units {
		if strings.HasPrefix(u.Key, "lost") {
			t.Errorf("%s is left of the run that was none", u.Key)
		}
	}
}

// TestOrdersToTheFleetNeedTwoPrefixes: the rights that docs/keyspace.md names for
// whoever orders an audit of the fleet, and is no watchdog, are enough.
func TestOrdersToTheFleetNeedTwoPrefixes(t *testing.T) {
	l := lab.Loopback(t)
	etcd := l.Etcd(lab.EtcdConfig{RootPassword: "root"}, l.Host("a"))
	root := etcd.Client(nil)
	for prefix, kind := range map[string]clientv3.PermissionType{
		DefaultPrefix + "fleet/": clientv3.PermissionType(clientv3.PermReadWrite), DefaultPrefix + "nodes/": clientv3.PermissionType(clientv3.PermRead)} {
		if _, err := root.RoleAdd(t.Context(), prefix); err != nil {
			t.Fatal(err)
		}
		_, err := root.RoleGrantPermission(t.Context(), prefix, prefix, clientv3.GetPrefixRangeEnd(prefix), kind)
		must(t, err)
	}
	_, err := root.UserAdd(t.Context(), "operator", "secret")
	must(t, err)
	_, err = root.Put(t.Context(), DefaultPrefix+"nodes/g1/"+string(addressA), "report")
	must(t, err)
	s := openStore(t, func(c *Config) { c.Username, c.Password = "operator", "secret" }, etcd.Endpoints()...)
	if _, _, err := s.ReadFleet(t.Context()); err == nil {
		t.Error("it was read without any right")
	}
	for _, prefix := range []string{"fleet/", "nodes/"} {
		_, err = root.UserGrantRole(t.Context(), "operator", DefaultPrefix+prefix)
		must(t, err)
	}
	run, _ := unitsOf(t, s, fleetPage+1)
	if err := s.ChangeFleet(t.Context(), run, []byte("paused")); err != nil {
		t.Error(err)
	}
	unitsOf(t, s, 1) // in the place of the other's
	var told []string
	err = s.Reporting(t.Context(), func(group string, address watchdog.Address, report []byte) {
		told = append(told, fmt.Sprintf("%s %s %s", group, address, report))
	})
	if err != nil || len(told) != 1 || told[0] != "g1 "+string(addressA)+" report" {
		t.Errorf("told %q, %v", told, err)
	}
}
