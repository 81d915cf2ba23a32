package grant

// How a watchdog waits for the fleet's work list without asking for it, and how it
// takes back a claim of which it does not know whether it was made.

import (
	"context"
	"errors"
	"fmt"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	clientv3 "go.etcd.io/etcd/client/v3"
)

// WatchFleet tells of the run as it stands, and of each change of it, until ctx ends
// or the watch does, which is an error. It is a hint: it may be late, or silent. It
// asks for nothing but once at the beginning.
func (s *Store) WatchFleet(ctx context.Context, heard func(run FleetEntry)) error {
	ctx, cancel := context.WithCancel(clientv3.WithRequireLeader(ctx))
	defer cancel()
	m := s.members[int(s.preferred.Load())%len(s.members)]
	if m.user != "" && m.currentToken() == "" && !m.authOff() {
		return errors.New("watch fleet's run: there is no token of etcd yet") // a request will ask for one
	}
	events := m.client.Watch(ctx, s.fleetKey("run", ""), clientv3.WithCreatedNotify())
	var newest int64
	for resp := range events {
		if err := resp.Err(); err != nil {
			return fmt.Errorf("watch fleet's run: %w", err)
		}
		if resp.Created { // read behind it, so that no change is between the two
			run, err := s.FleetRun(ctx)
			if err != nil {
				return err
			}
			newest = run.Modified
			heard(run)
		}
		for _, e := range resp.Events {
			if e.Kv == nil || e.Kv.ModRevision <= newest {
				continue
			}
			newest = e.Kv.ModRevision
			if e.Type == clientv3.EventTypeDelete {
				heard(FleetEntry{})
			} else {
				heard(FleetEntry{e.Kv.Value, e.Kv.ModRevision})
			}
		}
	}
	if err := context.Cause(ctx); err != nil {
		return err
	}
	return errors.New("watch fleet's run: it ended")
}

// UnclaimFleet takes back a claim whose answer was lost, whether it was carried out,
// will be yet or never is: its lease ends, without which it cannot be made; and the
// unit is as it was before, unless another has had it since. With an error it is to
// be asked again.
func (s *Store) UnclaimFleet(ctx context.Context, h *FleetHold) error {
	_, err := ask(ctx, s, "end lease of fleet's claim", besideTimeout, func(ctx context.Context, m *member) (*pb.LeaseRevokeResponse, error) {
		return m.lease.LeaseRevoke(ctx, &pb.LeaseRevokeRequest{ID: int64(h.lease)})
	})
	if err != nil && !errors.Is(err, rpctypes.ErrLeaseNotFound) {
		return err
	}
	unit := s.fleetKey("units/", h.claim.Unit.Key)
	_, err = s.transact(ctx, "take fleet's claim back", besideTimeout,
		[]clientv3.Cmp{clientv3.Compare(clientv3.Value(unit), "=", string(h.claim.Begun)), absent(s.fleetKey("claims/", h.claim.Unit.Key))},
		[]clientv3.Op{clientv3.OpPut(unit, string(h.claim.Unit.Value))}, nil)
	return err
}
