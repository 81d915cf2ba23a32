package grant

import (
	"context"
	"errors"
	"time"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/redis-watchdog/redis-watchdog/watchdog"
)

// orderCache is what was last understood of the operator's orders.
type orderCache struct {
	control  Control
	modified int64            // of the control record it was read from
	lease    clientv3.LeaseID // of the maintenance
	until    watchdog.Instant // its end

	plannedFailover      watchdog.PlannedFailover
	plannedFailoverLease clientv3.LeaseID // its
}

// self is our address, or what it was when last known: a node fenced by hand
// stays so over a restart in which no Sentinel answers.
func (k *Keeper) self(w Want) watchdog.Address {
	if w.Self != "" && w.Self != k.id.Self {
		k.remember(func(id *Identity) { id.Self = w.Self })
	}
	return k.id.Self
}

// ordersIn are the operator's orders for this node. A record that cannot be
// understood leaves the orders as they were, and so does a single order in it: a
// typing mistake of an operator is no reason to stop renewing.
func (k *Keeper) ordersIn(ctx context.Context, s snapshot, w Want, limit time.Duration) watchdog.Orders {
	if s.control.modified != k.orders.modified {
		control := Control{}
		var left *GarbageError
		var err error
		if s.control.exists() {
			control, left, err = decodePart[Control](k.keys.control, s.control.value, nil)
		}
		k.faults.setControl(err)
		if left != nil {
			k.faults.setControl(left)
		}
		if err == nil {
			control.carry(k.orders.control)
			k.orders.control, k.orders.modified = control, s.control.modified
		}
	}
	self := k.self(w)
	_, fenced := k.orders.control.Fenced[self]
	_, released := k.orders.control.Released[self]
	known := self != ""
	return watchdog.Orders{
		Fence:           known && fenced,
		Unfence:         known && s.unfence.exists(),
		Released:        known && released,
		Maintenance:     k.maintenance(ctx, s, limit),
		PlannedFailover: k.plannedFailover(ctx, s, limit),
	}
}

// maintenance is its end on our own clock: what is left of the key's lease,
// counted from before we asked, so that it never ends late.
func (k *Keeper) maintenance(ctx context.Context, s snapshot, limit time.Duration) watchdog.Instant {
	lease := s.maintenance.lease
	if !s.maintenance.exists() || lease == 0 {
		k.orders.lease, k.orders.until = 0, 0
		return 0
	}
	if lease == k.orders.lease {
		return k.orders.until
	}
	sentAt := k.store.now()
	left, err := ask(ctx, k.store, "ask how long maintenance lasts", limit, func(ctx context.Context, m *member) (*pb.LeaseTimeToLiveResponse, error) {
		return m.lease.LeaseTimeToLive(ctx, &pb.LeaseTimeToLiveRequest{ID: int64(lease)})
	})
	if err != nil || left.TTL <= 0 {
		if err != nil && !errors.Is(err, rpctypes.ErrLeaseNotFound) {
			k.log.Warn("maintenance not understood; it is asked for again", "error", err)
		}
		return 0
	}
	k.orders.lease, k.orders.until = lease, sentAt.Add(time.Duration(left.TTL)*time.Second)
	return k.orders.until
}
