package grant

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/redis-watchdog/redis-watchdog/watchdog"
)

// errLost is a coordinator that is not the one we knew, or not yet trusted
// again.
var errLost = errors.New("coordinator lost")

// errNotMember is a write for a group that is not, or not yet, known to be
// ours.
var errNotMember = errors.New("not a member of the group")

// renewal is what a keep-alive showed.
type renewal struct {
	lease clientv3.LeaseID
	ttl   int64  // seconds; zero: the lease is gone
	term  uint64 // raft's, of the member that answered, before it renewed
	err   error
}

// round asks etcd once for everything, and makes the want true as far as it
// can be. An error leaves RoundAt and the grant's end where they were.
func (k *Keeper) round(ctx context.Context, w Want) error {
	start := k.store.now()
	limit := w.round()
	if k.mayProposeAtOnce(w) {
		// The record as it was last read, in the group that is ours to the letter.
		same := clientv3.Compare(clientv3.Value(k.keys.group), "=", string(k.seen.group.value))
		if err := k.propose(ctx, w, limit, same); err != nil {
			return err
		}
		if k.fact.Agreement == w.Propose.Agreement {
			k.fact.RoundAt = start
			return nil
		}
	}

	var kept chan renewal
	// A grant that rests on nothing any more is left to lapse.
	if ours := k.seen.grant; w.holding() && k.fact.Grant.Ours && ours.lease != 0 && k.rests(w) {
		k.cfg.Failpoint(FailRenew)
		kept = make(chan renewal, 1)
		if k.store.leases.asks(k, ours) {
			go func() { kept <- k.keepShared(ctx, ours.lease, limit) }()
		} else {
			kept <- renewal{lease: ours.lease} // as if it were gone
		}
	}
	s, err := k.read(ctx, w, limit)
	renewed := renewal{}
	if kept != nil {
		renewed = <-kept // it has the same limit
	}
	if err != nil {
		return err
	}
	if err := k.trust(s, w, start); err != nil {
		return err
	}
	if err := k.takeIn(ctx, s, w, limit); err != nil {
		return err
	}
	if err := k.join(ctx, w, limit); err != nil {
		return err
	}
	k.noteLeft(s)
	k.compareDisks(ctx, w, limit)
	if k.fact.Membership == watchdog.Member {
		if err := k.act(ctx, w, start, renewed, limit); err != nil {
			return err
		}
	}
	if renewed.err != nil {
		return renewed.err
	}
	k.fact.RoundAt = start
	return nil
}

// mayProposeAtOnce is whether a failover may be written without reading first,
// which would be half of the time it takes: the compare-and-swap reads, and
// tells, as much. Nothing else is wanted of such a round.
func (k *Keeper) mayProposeAtOnce(w Want) bool {
	return w.Propose.Cause == watchdog.CauseFailover && w.Grant == watchdog.GrantLeave &&
		k.fact.Membership == watchdog.Member && k.seen.group.exists() && k.lostUntil == 0
}

// act makes the want true, of a group that is ours.
func (k *Keeper) act(ctx context.Context, w Want, start watchdog.Instant, renewed renewal, limit time.Duration) error {
	if w.Propose != (watchdog.Proposal{}) {
		if err := k.propose(ctx, w, limit); err != nil {
			return err
		}
	}
	switch w.Grant {
	case watchdog.GrantClaim, watchdog.GrantRenew:
		if k.fact.Grant.Ours {
			return k.renew(ctx, w, start, renewed, limit)
		}
		if w.Grant == watchdog.GrantClaim && !k.seen.grant.exists() {
			return k.claim(ctx, w, limit)
		}
	case watchdog.GrantGiveUp:
		return k.giveUp(ctx, w, limit)
	case watchdog.GrantLeave:
	}
	return nil
}

// read asks for a snapshot, with other groups where they ask now. When the grant
// hangs on it, the transaction also deletes a key that never exists: see the
// package's comment.
func (k *Keeper) read(ctx context.Context, w Want, limit time.Duration) (snapshot, error) {
	q := &question{reads: k.reads(k.self(w)), urgent: k.hurried, limit: limit}
	if w.holding() {
		q.confirm = k.keys.confirm
	}
	a := k.store.read(ctx, q)
	if a.err != nil {
		return snapshot{}, a.err
	}
	return newSnapshot(&clientv3.TxnResponse{Header: a.header, Responses: a.responses})
}

func (s *Store) keepAlive(ctx context.Context, lease clientv3.LeaseID, limit time.Duration) renewal {
	r := renewal{lease: lease}
	resp, err := ask(ctx, s, "renew lease", limit, func(ctx context.Context, m *member) (*pb.LeaseKeepAliveResponse, error) {
		return m.keepAlive(ctx, lease)
	})
	switch {
	case errors.Is(err, rpctypes.ErrLeaseNotFound):
	case err != nil:
		r.err = err
	case resp.Header == nil:
		r.err = errors.New("renew lease: an answer without a header")
	default:
		r.ttl, r.term = resp.TTL, resp.Header.RaftTerm
	}
	return r
}

// trust decides whether the cluster that answered is the one we knew. A
// cluster whose revision went back was restored or emptied: nothing cached
// holds in it, and for one TTL other nodes may hold grants of before.
func (k *Keeper) trust(s snapshot, w Want, start watchdog.Instant) error {
	if k.id.ClusterID != 0 && s.cluster != k.id.ClusterID {
		if !k.adopted(s, func(a Adoption) bool { return a.Cluster == clusterName(s.cluster) }) {
			k.lose()
			return &ClusterError{Was: k.id.ClusterID, Is: s.cluster}
		}
		k.log.Warn("following another etcd cluster, as ordered", "cluster", clusterName(s.cluster))
		k.lose()
		k.lostUntil = start.Add(time.Duration(w.ttl()) * time.Second)
		k.floor = s.revision
		k.remember(func(id *Identity) {
			id.ClusterID, id.Revision, id.GroupID = s.cluster, s.revision, ""
		})
	}
	if s.revision < k.floor {
		k.log.Error("etcd went back to an older revision: restored or emptied; waiting one lease",
			"revision", s.revision, "known", k.floor)
		k.faults.setWentBack(s.revision, k.floor)
		k.lose()
		// Counted from the answer: what others renewed before they saw this
		// was renewed before now.
		k.lostUntil = k.store.now().Add(time.Duration(w.ttl()) * time.Second)
	}
	k.floor = s.revision
	if start < k.lostUntil {
		return fmt.Errorf("read group: %w, for another %v", errLost, k.lostUntil.Sub(start).Round(time.Millisecond))
	}
	if k.lostUntil != 0 {
		k.lostUntil = 0
		k.faults.setWentBack(0, 0)
	}
	// Not before the wait is over: a restart in the midst of it begins it anew.
	k.remember(func(id *Identity) { id.ClusterID, id.Revision = s.cluster, s.revision })
	return nil
}

// lose drops everything cached, but the operator's orders: they hold until it
// is seen that they do not.
func (k *Keeper) lose() {
	k.fact = watchdog.Coordinator{Orders: k.fact.Orders}
	k.seen = snapshot{}
	k.holds()
	k.asked = 0
	k.orders.modified, k.orders.lease, k.orders.plannedFailoverLease = 0, 0, 0
}

func (k *Keeper) adopted(s snapshot, named func(Adoption) bool) bool {
	if !s.control.exists() {
		return false
	}
	control, err := decode[Control](k.keys.control, s.control.value, nil)
	return err == nil && named(control.Adopt)
}

// ClusterError is an etcd cluster that is not the one we knew.
type ClusterError struct{ Was, Is uint64 }

func (e *ClusterError) Error() string {
	return fmt.Sprintf("read group: the etcd cluster is %s, not %s", clusterName(e.Is), clusterName(e.Was))
}

func clusterName(id uint64) string { return fmt.Sprintf("%016x", id) }

// takeIn makes the fact say what the snapshot says.
func (k *Keeper) takeIn(ctx context.Context, s snapshot, w Want, limit time.Duration) error {
	var agreement watchdog.Agreement
	known := 0
	if s.master.exists() {
		record, err := k.master.decode(k.keys.master, s.master.value, validMaster)
		if err != nil {
			return err
		}
		agreement, known = record.Agreement(), record.Known
	}
	grant, err := k.grantIn(s, w)
	if err != nil {
		return err
	}
	k.seen = s
	k.fact.Agreement, k.fact.Known = agreement, known
	k.fact.Listed = slices.Contains(w.Known, agreement.Master)
	k.fact.Behind = agreement.Compare(k.id.Agreement.Term) < 0
	if agreement.Compare(k.id.Agreement.Term) > 0 && k.fact.Membership == watchdog.Member {
		k.remember(func(id *Identity) { id.Agreement = agreement })
	}
	k.fact.Grant = grant
	k.holds()
	k.fact.Record = k.recordIn(s)
	self := k.keys.listed + string(k.self(w)) + "/"
	k.fact.Elsewhere = elsewhere(self, k.cfg.Group, []string{k.lastSeen().RunID}, s.listed)
	k.fact.Orders = k.ordersIn(ctx, s, w, limit)
	return nil
}

// noteLeft tells what of the records that stand could not be read.
func (k *Keeper) noteLeft(s snapshot) {
	var all []error
	note := func(e entry, left *GarbageError) {
		if e.exists() && left != nil {
			all = append(all, left)
		}
	}
	note(k.seen.group, k.group.left)
	note(s.master, k.master.left)
	note(s.grant, k.holding.left)
	k.faults.setLeft(all)
}

// grantIn is who holds the grant, and who held it before. RenewedAt and Until
// are of renewals, not of what is read, and stay.
func (k *Keeper) grantIn(s snapshot, w Want) (watchdog.Grant, error) {
	grant := watchdog.Grant{RenewedAt: k.fact.Grant.RenewedAt, Until: k.fact.Grant.Until}
	var last LastHolding
	if s.last.exists() {
		var err error
		if last, err = k.last.decode(k.keys.last, s.last.value, nil); err != nil {
			return grant, err
		}
	}
	grant.Last, grant.GivenUp = last.Holder, last.GivenUp
	if !s.grant.exists() {
		return grant, nil
	}
	holding, err := k.holding.decode(k.keys.grant, s.grant.value, validHolding)
	if err != nil {
		return grant, err
	}
	grant.Holder = holding.Holder
	// A cloned state directory has our holder id, but not our address.
	grant.Ours = holding.HolderID == k.id.HolderID && (w.Self == "" || w.Self == holding.Holder)
	if last.Holder == holding.Holder && last.HolderID == holding.HolderID {
		grant.Last, grant.GivenUp = last.Before.Holder, last.Before.GivenUp
	}
	return grant, nil
}
