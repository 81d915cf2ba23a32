package grant

import (
	"context"
	"crypto/rand"
	"encoding/binary"
	"errors"
	"fmt"
	"time"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/redis-watchdog/redis-watchdog/watchdog"
)

// rests is whether the agreement is still the one the want was decided on, or
// the one it proposes.
func (k *Keeper) rests(w Want) bool {
	return k.fact.Agreement == w.View ||
		w.Propose != (watchdog.Proposal{}) && k.fact.Agreement == w.Propose.Agreement
}

// renew counts a renewal, if this round makes one.
func (k *Keeper) renew(ctx context.Context, w Want, start watchdog.Instant, r renewal, limit time.Duration) error {
	if !k.rests(w) {
		return nil
	}
	lease := k.seen.grant.lease
	switch {
	case lease == 0 || r.lease == lease && r.err == nil && r.ttl <= 0:
		// The key stands without a lease, or for a moment longer than it: ours
		// to replace.
		return k.claim(ctx, w, limit)
	case r.err != nil:
		return r.err
	case r.lease != lease:
		k.again = true // first seen in this round: a restart, or a claim whose answer was lost
		return nil
	case r.term != k.seen.term:
		k.again = true
		return fmt.Errorf("renew lease: answered in raft term %d, the grant was confirmed in %d", r.term, k.seen.term)
	}
	if k.asked == 0 {
		k.asked = r.ttl
	}
	if k.asked != w.ttl() || r.ttl < k.asked {
		return k.claim(ctx, w, limit) // with a lease of the length now wanted, or it was let go meanwhile
	}
	k.cfg.Failpoint(FailRenewDone)
	k.extend(w, start, min(r.ttl, k.asked))
	if k.store.shares() {
		k.store.leases.share(w.ttl(), lease, 0)
	}
	if k.store.moves(w.ttl(), lease) {
		return k.claim(ctx, w, limit)
	}
	if w.Opened {
		return k.markOpened(ctx, limit)
	}
	return nil
}

func (k *Keeper) extend(w Want, start watchdog.Instant, ttl int64) {
	k.fact.Grant.RenewedAt = start
	k.fact.Grant.Until = start.Add(time.Duration(ttl)*time.Second - w.Margin)
}

// claim creates the grant, or replaces our own, under a new lease.
func (k *Keeper) claim(ctx context.Context, w Want, limit time.Duration) error {
	also, still := k.rested(w)
	if w.Self == "" || !k.rests(w) || !still {
		return nil
	}
	turn, err := k.claimTurn(ctx, limit)
	switch {
	case errors.Is(err, errClaimsWait):
		return nil // etcd has answered all the same: the next round claims
	case err != nil:
		return err
	}
	defer turn()
	c, err := k.leaseToClaim(ctx, w.ttl(), limit)
	if err != nil {
		return err
	}
	s := k.seen
	put, err := k.claimOps(s, w, c.lease)
	if err != nil {
		return err
	}
	k.cfg.Failpoint(FailClaimPut)
	when := []clientv3.Cmp{
		unchanged(k.keys.grant, s.grant),
		unchanged(k.keys.master, s.master),
		unchanged(k.keys.last, s.last),
		k.sameGroup(s),
	}
	won, err := k.swap(ctx, "claim grant", limit, w, append(when, also...), put)
	if err != nil {
		return err
	}
	k.cfg.Failpoint(FailClaimDone)
	// A hedged claim may be beaten by its own first copy: it is the lease
	// that tells.
	if !won && (!k.fact.Grant.Ours || k.seen.grant.lease != c.lease) {
		return nil
	}
	k.asked = w.ttl()
	k.log.Info("grant claimed", "holder", w.Self, "lease_ttl", c.ttl, "agreement", k.fact.Agreement.Term)
	if c.term != 0 && c.term != k.seen.term {
		// Not known to have been renewed by who leads now: the next round tells.
		k.fact.Grant.RenewedAt, k.fact.Grant.Until, k.again = 0, 0, true
		return nil
	}
	k.extend(w, c.from, min(c.ttl, k.asked))
	return nil
}

func (k *Keeper) claimOps(s snapshot, w Want, lease clientv3.LeaseID) ([]clientv3.Op, error) {
	holding, err := encode(s.grant.value, Holding{
		Holder: w.Self, HolderID: k.id.HolderID, Node: k.cfg.Node,
		RunID: w.Evidence.RunID, BootID: k.cfg.BootID, ClaimedAt: time.Now().UTC(),
	})
	if err != nil {
		return nil, err
	}
	var before LastHolding
	if s.last.exists() {
		if before, err = k.last.decode(k.keys.last, s.last.value, nil); err != nil {
			return nil, err
		}
	}
	last, err := encode(s.last.value, before.next(w.Self, k.id.HolderID))
	if err != nil {
		return nil, err
	}
	return []clientv3.Op{
		clientv3.OpPut(k.keys.grant, holding, clientv3.WithLease(lease)),
		clientv3.OpPut(k.keys.last, last),
	}, nil
}

// newLease asks for a lease under an id of our choosing, so that a copy of the
// request does not make a second one.
func (k *Keeper) newLease(ctx context.Context, ttl int64, limit time.Duration) (clientv3.LeaseID, int64, error) {
	id := randomLease()
	resp, err := ask(ctx, k.store, "make lease", limit, func(ctx context.Context, m *member) (*pb.LeaseGrantResponse, error) {
		return m.lease.LeaseGrant(ctx, &pb.LeaseGrantRequest{ID: id, TTL: ttl})
	})
	switch {
	case errors.Is(err, rpctypes.ErrLeaseExist):
		return clientv3.LeaseID(id), ttl, nil
	case err != nil:
		return 0, 0, err
	case resp.TTL <= 0:
		return 0, 0, fmt.Errorf("make lease: granted for %d s", resp.TTL)
	}
	return clientv3.LeaseID(id), resp.TTL, nil
}

func randomLease() int64 {
	var b [8]byte
	_, _ = rand.Read(b[:]) // never fails (crypto/rand)
	return int64(binary.BigEndian.Uint64(b[:])>>2 + 1)
}

// revoke ends a lease on which nothing hangs. It would run out anyway: that it
// failed is no failure.
func (l *local) revoke(ctx context.Context, lease clientv3.LeaseID, limit time.Duration) error {
	_, err := ask(ctx, l.store, "revoke lease", limit, func(ctx context.Context, m *member) (*pb.LeaseRevokeResponse, error) {
		return m.lease.LeaseRevoke(ctx, &pb.LeaseRevokeRequest{ID: int64(lease)})
	})
	if err != nil && !errors.Is(err, rpctypes.ErrLeaseNotFound) {
		l.log.Debug("revoke lease failed; it runs out by itself", "error", err)
	}
	return nil
}

// giveUp deletes our grant and says that it was given up; a grant of ours that
// lapsed is said to be given up as well.
func (k *Keeper) giveUp(ctx context.Context, w Want, limit time.Duration) error {
	s := k.seen
	if !s.last.exists() {
		return nil
	}
	last, err := k.last.decode(k.keys.last, s.last.value, nil)
	if err != nil {
		return err
	}
	if last.HolderID != k.id.HolderID || last.GivenUp || s.grant.exists() && !k.fact.Grant.Ours {
		return nil
	}
	last.GivenUp = true
	last.Opened = last.Opened || w.Opened
	value, err := encode(s.last.value, last)
	if err != nil {
		return err
	}
	ops := []clientv3.Op{clientv3.OpPut(k.keys.last, value)}
	if s.grant.exists() {
		ops = append(ops, clientv3.OpDelete(k.keys.grant))
	}
	if op, due := k.finalData(); due && last.Opened {
		ops = append(ops, op)
	}
	k.cfg.Failpoint(FailGiveUp)
	when := []clientv3.Cmp{unchanged(k.keys.grant, s.grant), unchanged(k.keys.last, s.last), k.sameGroup(s)}
	won, err := k.swap(ctx, "give grant up", limit, w, when, ops)
	if err != nil || !won {
		return err
	}
	k.cfg.Failpoint(FailGiveUpDone)
	k.asked = 0
	k.fact.Grant.RenewedAt, k.fact.Grant.Until = 0, 0
	k.log.Info("grant given up", "holder", last.Holder)
	return nil
}

// markOpened writes once that our Redis was opened under this grant.
func (k *Keeper) markOpened(ctx context.Context, limit time.Duration) error {
	s := k.seen
	last, err := k.last.decode(k.keys.last, s.last.value, nil)
	if err != nil || last.Opened || last.HolderID != k.id.HolderID {
		return err
	}
	last.Opened = true
	value, err := encode(s.last.value, last)
	if err != nil {
		return err
	}
	when := []clientv3.Cmp{unchanged(k.keys.grant, s.grant), unchanged(k.keys.last, s.last)}
	_, err = k.swap(ctx, "mark grant opened", limit, k.newestWant(), when, []clientv3.Op{clientv3.OpPut(k.keys.last, value)})
	return err
}

// swap carries out ops if all of when holds, and takes in what stands then,
// either way.
func (k *Keeper) swap(ctx context.Context, step string, limit time.Duration, w Want, when []clientv3.Cmp, ops []clientv3.Op) (won bool, err error) {
	reads := k.reads(k.self(w))
	resp, err := k.store.transact(ctx, step, limit, when, append(ops, reads...), reads)
	if err != nil {
		return false, err
	}
	s, err := newSnapshot(resp)
	if err != nil {
		return false, fmt.Errorf("%s: %w", step, err)
	}
	if err := k.trust(s, w, k.store.now()); err != nil {
		return false, err
	}
	return resp.Succeeded, k.takeIn(ctx, s, w, limit)
}

// propose writes the agreement, if the record still is what the proposal
// replaces, the proposal is newer, and all of also holds.
func (k *Keeper) propose(ctx context.Context, w Want, limit time.Duration, also ...clientv3.Cmp) error {
	p, s := w.Propose, k.seen
	if k.fact.Agreement != p.Replaces || p.Master == "" || w.Self == "" {
		return nil // somebody was faster: the report says who, the decision is made anew
	}
	if s.master.exists() && p.Compare(k.fact.Agreement.Term) <= 0 {
		k.log.Error("refused to write an agreement that is not newer", "term", p.Term, "standing", k.fact.Agreement.Term)
		return nil
	}
	value, err := encode(s.master.value, MasterRecord{
		Generation: p.Generation, Epoch: p.Epoch, Address: p.Master, RunID: w.Evidence.MasterRunID,
		Sentinels: append([]string{}, w.Evidence.Sentinels...), Known: w.Evidence.Known, Votes: w.Evidence.Votes,
		DecidedBy: string(w.Self), DecidedAt: time.Now().UTC(), DecidedCause: p.Cause.String(),
	})
	if err != nil {
		return err
	}
	k.cfg.Failpoint(FailPropose)
	when := append([]clientv3.Cmp{unchanged(k.keys.master, s.master), k.sameGroup(s)}, also...)
	if p.Cause == watchdog.CauseConflict {
		// Only with no grant in force: nobody may have claimed since.
		when = append(when, unchanged(k.keys.grant, s.grant))
	}
	won, err := k.swap(ctx, "write agreement", limit, w, when, []clientv3.Op{clientv3.OpPut(k.keys.master, value)})
	if err != nil {
		return err
	}
	k.cfg.Failpoint(FailProposeDone)
	if won {
		k.log.Info("agreement written", "master", p.Master, "generation", p.Generation, "epoch", p.Epoch, "cause", p.Cause)
	}
	return nil
}
