package grant

// The work list of a fleet's audits (fleet/…), which etcd hands out. Nothing about a
// grant is decided by it, and it is written by nobody while there is no run.
//
//	fleet/run          what was asked for
//	fleet/units/UNIT   what became of it, by each audit that is to be
//	fleet/claims/UNIT  who is at it            \
//	fleet/slots/0007   one of as many as may   | under the lease of whoever audits,
//	fleet/hosts/HOST   one of each host        / written by the claim
//
// A claim is one transaction: the run is as it was read, the unit too, and none of
// the three keys is there. So however many try, one has the unit, a host has one
// audit, and the fleet has as many as there are slots; and after a pause has been
// answered nobody begins. A watchdog that dies loses the three with its lease, which
// is counted by etcd alone.

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/redis-watchdog/redis-watchdog/watchdog"
)

const (
	// FleetLease is how long a claim outlives its watchdog; and how long a unit whose
	// audit failed is left alone.
	FleetLease = 30 * time.Second
	// fleetPage is how many keys are read or written in one transaction.
	fleetPage = 100
	// MaxFleetValue is the most bytes of one value.
	MaxFleetValue = 2 << 10
	prepareLasts  = time.Minute
)

// FleetEntry is one value as it stands; the zero one stands for none.
type FleetEntry struct {
	Value    []byte
	Modified int64 // revision of its last change; zero: there is none
}

// FleetUnit is a unit as it stands.
type FleetUnit struct {
	FleetEntry
	Key     string
	Claimed bool
}

func (s *Store) fleetKey(kind, name string) string { return s.prefix + "fleet/" + kind + name }

func fleetEntry(resp *pb.ResponseOp) FleetEntry {
	if kvs := resp.GetResponseRange().GetKvs(); len(kvs) > 0 {
		return FleetEntry{kvs[0].Value, kvs[0].ModRevision}
	}
	return FleetEntry{}
}

func (e FleetEntry) isStill(key string) clientv3.Cmp {
	return clientv3.Compare(clientv3.ModRevision(key), "=", e.Modified)
}

func absent(key string) clientv3.Cmp { return clientv3.Compare(clientv3.CreateRevision(key), "=", 0) }

// FleetRun is what was asked for last.
func (s *Store) FleetRun(ctx context.Context) (FleetEntry, error) {
	resp, err := s.transact(ctx, "read fleet's run", besideTimeout, nil, []clientv3.Op{clientv3.OpGet(s.fleetKey("run", ""))}, nil)
	if err != nil {
		return FleetEntry{}, err
	}
	return fleetEntry(resp.Responses[0]), nil
}

// FleetTaken is how many audit now.
type FleetTaken struct {
	Slots int  // in the whole fleet
	Host  bool // somebody of the host that was named
}

// FleetUnits reads units by their keys, those that are there, and how much is taken:
// in one transaction for fifty of them, which hands over no more of the slots than how
// many they are, for most who look only learn that none is free. ErrChanged: the run
// is not the one that was read.
func (s *Store) FleetUnits(ctx context.Context, run FleetEntry, host string, keys []string) (units []FleetUnit, taken FleetTaken, err error) {
	for first := true; first || len(keys) > 0; first = false {
		page := keys[:min(len(keys), fleetPage/2)]
		keys = keys[len(page):]
		ops := []clientv3.Op{clientv3.OpGet(s.fleetKey("slots/", ""), clientv3.WithPrefix(), clientv3.WithCountOnly()), clientv3.OpGet(s.fleetKey("hosts/", host), clientv3.WithCountOnly())}
		for _, key := range page {
			ops = append(ops, clientv3.OpGet(s.fleetKey("units/", key)), clientv3.OpGet(s.fleetKey("claims/", key), clientv3.WithCountOnly()))
		}
		resp, err := s.transact(ctx, "read fleet's units", besideTimeout, []clientv3.Cmp{run.isStill(s.fleetKey("run", ""))}, ops, nil)
		if err != nil {
			return nil, taken, err
		}
		if !resp.Succeeded {
			return nil, taken, ErrChanged
		}
		taken = FleetTaken{Slots: int(resp.Responses[0].GetResponseRange().GetCount()), Host: resp.Responses[1].GetResponseRange().GetCount() > 0}
		for i, key := range page {
			u := FleetUnit{fleetEntry(resp.Responses[2+2*i]), key, resp.Responses[3+2*i].GetResponseRange().GetCount() > 0}
			if u.Modified != 0 {
				units = append(units, u)
			}
		}
	}
	return units, taken, nil
}

// FleetSlots are the slots that are taken.
func (s *Store) FleetSlots(ctx context.Context) (slots []int, err error) {
	key := s.fleetKey("slots/", "")
	resp, err := s.transact(ctx, "read fleet's slots", besideTimeout, nil, []clientv3.Op{clientv3.OpGet(key, clientv3.WithPrefix(), clientv3.WithKeysOnly())}, nil)
	if err != nil {
		return nil, err
	}
	for _, kv := range resp.Responses[0].GetResponseRange().GetKvs() {
		if n, err := strconv.Atoi(strings.TrimPrefix(string(kv.Key), key)); err == nil {
			slots = append(slots, n)
		}
	}
	return slots, nil
}

// FleetClaim is one unit and what is written when it is claimed.
type FleetClaim struct {
	Run   FleetEntry // as it was read
	Unit  FleetUnit  // as it was read
	Begun []byte     // the unit with the claim
	Slot  int
	Host  string
	Who   string // for people
}

// FleetHold is a claim that was made.
type FleetHold struct {
	Until watchdog.Instant // by our clock: no earlier than this it ends by itself
	claim FleetClaim
	lease clientv3.LeaseID
	at    int64 // the revision of the claim
}

// ClaimFleet takes a unit. ErrChanged: another was first, or the run is another by
// now. With any other error it may have been taken, or may be yet, as by an etcd that
// answered too late: then the hold is for UnclaimFleet, or nil.
func (s *Store) ClaimFleet(ctx context.Context, c FleetClaim) (*FleetHold, error) {
	from := s.now()
	lease, err := s.orderLease(ctx, FleetLease)
	if err != nil {
		return nil, err // a lease on which nothing hangs
	}
	run, unit, claim := s.fleetKey("run", ""), s.fleetKey("units/", c.Unit.Key), s.fleetKey("claims/", c.Unit.Key)
	slot, host := s.fleetKey("slots/", fmt.Sprintf("%04d", c.Slot)), s.fleetKey("hosts/", c.Host)
	under := clientv3.WithLease(lease)
	resp, err := s.transact(ctx, "claim fleet's unit", besideTimeout,
		[]clientv3.Cmp{c.Run.isStill(run), c.Unit.isStill(unit), absent(claim), absent(slot), absent(host)},
		[]clientv3.Op{clientv3.OpPut(unit, string(c.Begun)), clientv3.OpPut(claim, c.Who, under), clientv3.OpPut(slot, c.Unit.Key, under), clientv3.OpPut(host, c.Unit.Key, under)},
		[]clientv3.Op{clientv3.OpGet(claim)})
	h := &FleetHold{Until: from.Add(FleetLease), claim: c, lease: lease}
	if err != nil {
		return h, err
	}
	h.at = resp.Header.GetRevision()
	if resp.Succeeded {
		return h, nil
	}
	// Two members may have carried it out, and the second have answered.
	if kvs := resp.Responses[0].GetResponseRange().GetKvs(); len(kvs) > 0 && clientv3.LeaseID(kvs[0].Lease) == lease {
		h.at = kvs[0].ModRevision
		return h, nil
	}
	return nil, ErrChanged
}

// KeepFleet renews a claim. ErrChanged: it is gone.
func (s *Store) KeepFleet(ctx context.Context, h *FleetHold) error {
	from := s.now()
	r := s.keepAlive(ctx, h.lease, besideTimeout)
	switch {
	case r.err != nil:
		return r.err
	case r.ttl <= 0:
		return ErrChanged
	}
	h.Until = from.Add(time.Duration(r.ttl) * time.Second)
	return nil
}

// EndFleet writes what became of the unit and gives back what was taken, as one: and
// with it an audit of a group, where there is one, so that an audit is kept if and
// only if it is done. Rest leaves the claim to its lease, so that nobody tries again
// at once. ErrChanged: the claim was another's by then, or the run; nothing was
// written but what is still ours given back.
func (s *Store) EndFleet(ctx context.Context, h FleetHold, unit []byte, group string, audit []byte, rest bool) error {
	if len(audit) > MaxAudit {
		return fmt.Errorf("keep audit: it has %d bytes, more than %d", len(audit), MaxAudit)
	}
	key, claim := s.fleetKey("units/", h.claim.Unit.Key), s.fleetKey("claims/", h.claim.Unit.Key)
	slot, host := s.fleetKey("slots/", fmt.Sprintf("%04d", h.claim.Slot)), s.fleetKey("hosts/", h.claim.Host)
	back := []clientv3.Op{clientv3.OpDelete(slot), clientv3.OpDelete(host)}
	if !rest {
		back = append(back, clientv3.OpDelete(claim))
	}
	then := append([]clientv3.Op{clientv3.OpPut(key, string(unit))}, back...)
	if audit != nil {
		then = append(then, clientv3.OpPut(s.auditKey(group), string(audit)))
	}
	// Whoever has one of the three has them all, and as long as they stand nobody
	// else can write the unit but a new run.
	ours := clientv3.Compare(clientv3.CreateRevision(claim), "=", h.at)
	resp, err := s.transact(ctx, "end fleet's unit", besideTimeout, []clientv3.Cmp{ours, clientv3.Compare(clientv3.ModRevision(key), "=", h.at)}, then,
		[]clientv3.Op{clientv3.OpGet(key)})
	if err != nil || resp.Succeeded {
		return err
	}
	if e := fleetEntry(resp.Responses[0]); string(e.Value) == string(unit) && e.Modified > h.at {
		return nil // it was carried out twice
	}
	if _, err := s.transact(ctx, "give fleet's slot back", besideTimeout, []clientv3.Cmp{clientv3.Compare(clientv3.CreateRevision(slot), "=", h.at)}, back, nil); err != nil {
		return err
	}
	return ErrChanged
}

// SettleFleet writes a unit that nobody is at.
func (s *Store) SettleFleet(ctx context.Context, run FleetEntry, was FleetUnit, unit []byte) error {
	key := s.fleetKey("units/", was.Key)
	resp, err := s.transact(ctx, "settle fleet's unit", besideTimeout,
		[]clientv3.Cmp{run.isStill(s.fleetKey("run", "")), was.isStill(key), absent(s.fleetKey("claims/", was.Key))},
		[]clientv3.Op{clientv3.OpPut(key, string(unit))}, nil)
	if err == nil && !resp.Succeeded {
		return ErrChanged
	}
	return err
}

// ChangeFleet puts another run in the place of the one that was read.
func (s *Store) ChangeFleet(ctx context.Context, was FleetEntry, run []byte) error {
	key := s.fleetKey("run", "")
	resp, err := s.transact(ctx, "change fleet's run", commandTimeout, []clientv3.Cmp{was.isStill(key)}, []clientv3.Op{clientv3.OpPut(key, string(run))},
		[]clientv3.Op{clientv3.OpGet(key)})
	if err != nil || resp.Succeeded {
		return err
	}
	if e := fleetEntry(resp.Responses[0]); string(e.Value) == string(run) {
		return nil
	}
	return ErrChanged
}

// StartFleet begins a run in the place of the one that was read: with its list, and
// as one to everybody else. A command that dies meanwhile leaves nothing that is
// followed: preparing, which is no run yet, hangs on a lease.
func (s *Store) StartFleet(ctx context.Context, was FleetEntry, preparing, run []byte, units map[string][]byte) error {
	lease, err := s.orderLease(ctx, prepareLasts)
	if err != nil {
		return err
	}
	key := s.fleetKey("run", "")
	list := s.fleetKey("units/", "")
	resp, err := s.transact(ctx, "prepare fleet's run", commandTimeout, []clientv3.Cmp{was.isStill(key)},
		[]clientv3.Op{clientv3.OpPut(key, string(preparing), clientv3.WithLease(lease)), clientv3.OpDelete(list, clientv3.WithPrefix())},
		[]clientv3.Op{clientv3.OpGet(key)})
	if err != nil {
		return err
	}
	now := FleetEntry{preparing, resp.Header.GetRevision()}
	if !resp.Succeeded {
		if e := fleetEntry(resp.Responses[0]); string(e.Value) != string(preparing) {
			return ErrChanged
		} else {
			now = e
		}
	}
	var ops []clientv3.Op
	write := func() error {
		resp, err := s.transact(ctx, "write fleet's units", commandTimeout, []clientv3.Cmp{now.isStill(key)}, ops, nil)
		ops = ops[:0]
		if err == nil && !resp.Succeeded {
			return ErrChanged
		}
		return err
	}
	for name, unit := range units {
		if ops = append(ops, clientv3.OpPut(list+name, string(unit))); len(ops) == fleetPage {
			if err := write(); err != nil {
				return err
			}
		}
	}
	if len(ops) > 0 {
		if err := write(); err != nil {
			return err
		}
	}
	return s.ChangeFleet(ctx, now, run)
}

// ReadFleet is all of a run: what was asked for, and every unit. They are read in
// pages of one revision.
func (s *Store) ReadFleet(ctx context.Context) (run FleetEntry, units []FleetUnit, err error) {
	if run, err = s.FleetRun(ctx); err != nil {
		return run, nil, err
	}
	claimed := map[string]bool{}
	revision, err := s.everyKey(ctx, s.fleetKey("claims/", ""), 0, true, func(name string, _ FleetEntry) { claimed[name] = true })
	if err != nil {
		return run, nil, err
	}
	_, err = s.everyKey(ctx, s.fleetKey("units/", ""), revision, false, func(name string, e FleetEntry) {
		units = append(units, FleetUnit{e, name, claimed[name]})
	})
	return run, units, err
}

// Reporting hands over what every watchdog says of its Redis (nodes/…), of all
// groups.
func (s *Store) Reporting(ctx context.Context, each func(group string, address watchdog.Address, report []byte)) error {
	_, err := s.everyKey(ctx, s.prefix+"nodes/", 0, false, func(name string, e FleetEntry) {
		if group, address, ok := strings.Cut(name, "/"); ok {
			each(group, watchdog.Address(address), e.Value)
		}
	})
	return err
}

// everyKey reads all keys of a prefix, as they were at one revision: that one, or
// where it is zero the newest, which it returns.
func (s *Store) everyKey(ctx context.Context, prefix string, revision int64, names bool, each func(name string, e FleetEntry)) (int64, error) {
	from, end := prefix, clientv3.GetPrefixRangeEnd(prefix)
	for {
		options := []clientv3.OpOption{clientv3.WithRange(end), clientv3.WithLimit(fleetPage), clientv3.WithRev(revision)}
		if names {
			options = append(options, clientv3.WithKeysOnly())
		}
		resp, err := s.transact(ctx, "read "+prefix, commandTimeout, nil, []clientv3.Op{clientv3.OpGet(from, options...)}, nil)
		if errors.Is(err, rpctypes.ErrCompacted) {
			return 0, fmt.Errorf("%w; try again", err)
		}
		if err != nil {
			return 0, err
		}
		if revision == 0 {
			revision = resp.Header.GetRevision()
		}
		answer := resp.Responses[0].GetResponseRange()
		for _, kv := range answer.GetKvs() {
			each(strings.TrimPrefix(string(kv.Key), prefix), FleetEntry{kv.Value, kv.ModRevision})
			from = string(kv.Key) + "\x00"
		}
		if !answer.GetMore() {
			return revision, nil
		}
	}
}
