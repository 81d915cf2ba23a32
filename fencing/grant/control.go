package grant

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/redis-watchdog/redis-watchdog/watchdog"
)

// What the command line asks of the coordinator. Every change is a
// compare-and-swap against what was read just before; ErrChanged says that
// somebody else was faster, and trying again is safe.

// ErrChanged is a compare-and-swap that lost.
var ErrChanged = errors.New("changed meanwhile by somebody else; try again")

// ErrNoGroup is a group of which etcd knows nothing.
var ErrNoGroup = errors.New("no such group in etcd")

const (
	commandTimeout = 3 * time.Second
	// unfenceLasts bounds how long a forced unfence stands: it is for now,
	// not for the next time.
	unfenceLasts = 10 * time.Minute
)

// Group is all that etcd holds of a group. A zero part is absent.
type Group struct {
	Name            string                `json:"name"`
	ClusterID       string                `json:"cluster_id"` // hex
	Revision        int64                 `json:"revision"`
	Record          GroupRecord           `json:"record"`
	Agreement       MasterRecord          `json:"agreement"`
	Grant           Holding               `json:"grant"`
	Last            LastHolding           `json:"last"`
	Data            DataRecord            `json:"data"`
	Control         Control               `json:"control"`
	Maintenance     Maintenance           `json:"maintenance"`
	PlannedFailover PlannedFailoverRecord `json:"planned_failover"`
	Nodes           map[string]string     `json:"nodes"` // address → its report, JSON as it stands
	// Gone are nodes of the record that nobody has listed or heard for a day.
	Gone     []watchdog.Address `json:"gone"`
	Problems []string           `json:"problems"`
}

// Names lists the groups that etcd knows.
func (s *Store) Names(ctx context.Context) ([]string, error) {
	prefix := s.prefix + "groups/"
	resp, err := s.transact(ctx, "list groups", commandTimeout, nil,
		[]clientv3.Op{clientv3.OpGet(prefix, clientv3.WithPrefix(), clientv3.WithKeysOnly())}, nil)
	if err != nil {
		return nil, err
	}
	var names []string
	for _, kv := range resp.Responses[0].GetResponseRange().GetKvs() {
		names = append(names, strings.TrimPrefix(string(kv.Key), prefix))
	}
	return names, nil
}

// Read reads everything of a group but its history. Records, and parts of them,
// that cannot be understood are named in Problems and left zero.
func (s *Store) Read(ctx context.Context, group string) (Group, error) {
	k := s.reader(group)
	g := Group{Name: group, Nodes: map[string]string{}, Problems: []string{}}
	first := []clientv3.Op{
		clientv3.OpGet(k.keys.nodes, clientv3.WithPrefix()),
		clientv3.OpGet(k.keys.seen, clientv3.WithCountOnly()), clientv3.OpGet(k.keys.seen+"/", clientv3.WithPrefix(), clientv3.WithKeysOnly()),
	}
	resp, err := s.transact(ctx, "read group", commandTimeout, nil, append(first, k.reads("")...), nil)
	if err != nil {
		return g, err
	}
	snap, err := newSnapshot(resp)
	if err != nil {
		return g, err
	}
	g.ClusterID, g.Revision = clusterName(snap.cluster), snap.revision
	note := func(err error) {
		if err != nil {
			g.Problems = append(g.Problems, err.Error())
		}
	}
	note(fillPart(&g.Record, k.keys.group, snap.group, validGroup))
	note(fillPart(&g.Agreement, k.keys.master, snap.master, validMaster))
	note(fillPart(&g.Grant, k.keys.grant, snap.grant, validHolding))
	note(fillPart(&g.Last, k.keys.last, snap.last, nil))
	note(fillPart(&g.Data, k.keys.data, snap.data, validData))
	note(fillPart(&g.Control, k.keys.control, snap.control, nil))
	note(fillPart(&g.Maintenance, k.keys.maintenance, snap.maintenance, nil))
	note(fillPart(&g.PlannedFailover, k.keys.plannedFailover, snap.plannedFailover, nil))
	for _, kv := range resp.Responses[0].GetResponseRange().GetKvs() {
		g.Nodes[strings.TrimPrefix(string(kv.Key), k.keys.nodes)] = string(kv.Value)
	}
	seen := map[watchdog.Address]bool{}
	for _, kv := range resp.Responses[2].GetResponseRange().GetKvs() {
		seen[watchdog.Address(strings.TrimPrefix(string(kv.Key), k.keys.seen+"/"))] = true
	}
	g.Gone = g.gone(resp.Responses[1].GetResponseRange().GetCount() > 0, func(a watchdog.Address) bool { return seen[a] })
	return g, nil
}

func fill[T any](into *T, key string, e entry, valid func(T) bool) error {
	if !e.exists() {
		return nil
	}
	v, err := decode(key, e.value, valid)
	*into = v
	return err
}

// fillPart is fill, and what was left out is an error too.
func fillPart[T any](into *T, key string, e entry, valid func(T) bool) error {
	if !e.exists() {
		return nil
	}
	v, left, err := decodePart(key, e.value, valid)
	*into = v
	if err == nil && left != nil {
		return left
	}
	return err
}

// reader is a keeper for its keys only.
func (s *Store) reader(group string) *Keeper {
	return &Keeper{local: &local{store: s, keys: keysOf(s.prefix, group)}}
}

// ReadHistory reads the newest records of a group, oldest first, as they were
// written. Limit zero: all that are kept.
func (s *Store) ReadHistory(ctx context.Context, group string, limit int) ([]string, error) {
	resp, err := s.transact(ctx, "read history", commandTimeout, nil, []clientv3.Op{
		clientv3.OpGet(keysOf(s.prefix, group).history, clientv3.WithPrefix(), clientv3.WithLimit(int64(limit)),
			clientv3.WithSort(clientv3.SortByKey, clientv3.SortDescend)),
	}, nil)
	if err != nil {
		return nil, err
	}
	kvs := resp.Responses[0].GetResponseRange().GetKvs()
	records := make([]string, len(kvs))
	for i, kv := range kvs {
		records[len(kvs)-1-i] = string(kv.Value)
	}
	return records, nil
}

// Fence orders a node to refuse its clients until Unfence.
func (s *Store) Fence(ctx context.Context, group string, node watchdog.Address, order Order) error {
	return s.changeControl(ctx, "order fence", group, func(c *Control) []clientv3.Op {
		c.Fenced = with(c.Fenced, node, order)
		delete(c.unread.fenced, node)
		// An old leave to open must not outlive the order to shut.
		return []clientv3.Op{clientv3.OpDelete(keysOf(s.prefix, group).unfence + string(node))}
	})
}

// Unfence takes Fence back. With force the node may, for ten minutes, be opened
// although its data is empty or behind.
func (s *Store) Unfence(ctx context.Context, group string, node watchdog.Address, order Order, force bool) error {
	var forced []clientv3.Op
	if force {
		lease, err := s.orderLease(ctx, unfenceLasts)
		if err != nil {
			return err
		}
		value, err := encode(nil, order)
		if err != nil {
			return err
		}
		forced = []clientv3.Op{clientv3.OpPut(keysOf(s.prefix, group).unfence+string(node), value, clientv3.WithLease(lease))}
	}
	return s.changeControl(ctx, "order unfence", group, func(c *Control) []clientv3.Op {
		c.Fenced = without(c.Fenced, node)
		delete(c.unread.fenced, node)
		return forced
	})
}

// Release orders a node to undo everything and to leave its Redis alone.
func (s *Store) Release(ctx context.Context, group string, node watchdog.Address, order Order) error {
	return s.changeControl(ctx, "order release", group, func(c *Control) []clientv3.Op {
		c.Released = with(c.Released, node, order)
		delete(c.unread.released, node)
		return nil
	})
}

// Unrelease takes Release back.
func (s *Store) Unrelease(ctx context.Context, group string, node watchdog.Address) error {
	return s.changeControl(ctx, "order unrelease", group, func(c *Control) []clientv3.Op {
		c.Released = without(c.Released, node)
		delete(c.unread.released, node)
		return nil
	})
}

// AdoptCluster lets the watchdogs of a group follow this etcd cluster although
// they knew another, and this group's id although they remember another. It is
// written into the cluster that shall be followed.
func (s *Store) AdoptCluster(ctx context.Context, group string, order Order) error {
	g, err := s.Read(ctx, group)
	if err != nil {
		return err
	}
	return s.changeControl(ctx, "order adoption of cluster", group, func(c *Control) []clientv3.Op {
		c.Adopt = Adoption{Order: order, Master: c.Adopt.Master, Cluster: g.ClusterID, Group: g.Record.ID}
		return nil
	})
}

// Adopt writes an agreement because the operator says so: the master given,
// at the epoch the Sentinels show for it, in a new generation. It returns what
// was written.
func (s *Store) Adopt(ctx context.Context, group string, master watchdog.Address, epoch uint64, order Order) (watchdog.Agreement, error) {
	k := s.reader(group)
	snap, err := k.readNow(ctx)
	if err != nil {
		return watchdog.Agreement{}, err
	}
	if !snap.group.exists() {
		return watchdog.Agreement{}, fmt.Errorf("adopt %s: group %q: %w", master, group, ErrNoGroup)
	}
	var old MasterRecord
	_ = fill(&old, k.keys.master, snap.master, validMaster) // garbage is replaced: this is the way out of it
	record := MasterRecord{
		Generation: old.Generation + 1, Epoch: epoch, Address: master, Sentinels: []string{},
		DecidedBy: order.By, DecidedAt: order.At, DecidedCause: watchdog.CauseAdopt.String(),
	}
	value, err := encode(snap.master.value, record)
	if err != nil {
		return watchdog.Agreement{}, err
	}
	err = s.changeControl(ctx, "adopt master", group, func(c *Control) []clientv3.Op {
		c.Adopt = Adoption{Order: order, Master: master, Cluster: c.Adopt.Cluster, Group: c.Adopt.Group}
		return []clientv3.Op{clientv3.OpPut(k.keys.master, value)}
	}, unchanged(k.keys.master, snap.master), k.sameGroup(snap))
	return record.Agreement(), err
}

// SetMaintenance lets the watchdogs of a group change nothing for so long,
// counted in whole seconds by etcd's lease.
func (s *Store) SetMaintenance(ctx context.Context, group string, length time.Duration, order Order) error {
	lease, err := s.orderLease(ctx, length)
	if err != nil {
		return err
	}
	value, err := encode(nil, Maintenance{Order: order, Until: order.At.Add(length)})
	if err != nil {
		return err
	}
	_, err = s.transact(ctx, "order maintenance", commandTimeout, nil,
		[]clientv3.Op{clientv3.OpPut(keysOf(s.prefix, group).maintenance, value, clientv3.WithLease(lease))}, nil)
	return err
}

// EndMaintenance ends it now.
func (s *Store) EndMaintenance(ctx context.Context, group string) error {
	_, err := s.transact(ctx, "end maintenance", commandTimeout, nil,
		[]clientv3.Op{clientv3.OpDelete(keysOf(s.prefix, group).maintenance)}, nil)
	return err
}

func (s *Store) orderLease(ctx context.Context, length time.Duration) (clientv3.LeaseID, error) {
	if length < leaseAtLeast {
		return 0, fmt.Errorf("make lease of order: %v is shorter than %v", length, leaseAtLeast)
	}
	id := randomLease()
	_, err := ask(ctx, s, "make lease of order", commandTimeout, func(ctx context.Context, m *member) (*pb.LeaseGrantResponse, error) {
		return m.lease.LeaseGrant(ctx, &pb.LeaseGrantRequest{ID: id, TTL: int64(length / time.Second)})
	})
	if errors.Is(err, rpctypes.ErrLeaseExist) {
		err = nil // made by a member whose answer did not come in time
	}
	return clientv3.LeaseID(id), err
}

func (k *Keeper) readNow(ctx context.Context) (snapshot, error) {
	resp, err := k.store.transact(ctx, "read group", commandTimeout, nil, k.reads(""), nil)
	if err != nil {
		return snapshot{}, err
	}
	return newSnapshot(resp)
}

// changeControl changes control/<group>, and does what change returns, in one
// transaction. A control record that is garbage is not replaced: there may be
// a fence in it.
func (s *Store) changeControl(ctx context.Context, step, group string, change func(*Control) []clientv3.Op, when ...clientv3.Cmp) error {
	k := s.reader(group)
	snap, err := k.readNow(ctx)
	if err != nil {
		return err
	}
	var control Control
	if err := fill(&control, k.keys.control, snap.control, nil); err != nil {
		return fmt.Errorf("%s: %w", step, err)
	}
	ops := change(&control)
	value, err := encode(snap.control.value, control)
	if err != nil {
		return fmt.Errorf("%s: %w", step, err)
	}
	when = append(when, unchanged(k.keys.control, snap.control))
	ops = append(ops, clientv3.OpPut(k.keys.control, value))
	resp, err := s.transact(ctx, step, commandTimeout, when, ops, []clientv3.Op{clientv3.OpGet(k.keys.control)})
	if err != nil {
		return err
	}
	// A hedged copy of our own change may have been first.
	if !resp.Succeeded {
		stands := resp.Responses[0].GetResponseRange().GetKvs()
		if len(stands) == 0 || string(stands[0].Value) != value {
			return fmt.Errorf("%s: %w", step, ErrChanged)
		}
	}
	return nil
}

func with(orders map[watchdog.Address]Order, node watchdog.Address, order Order) map[watchdog.Address]Order {
	if orders == nil {
		orders = map[watchdog.Address]Order{}
	}
	orders[node] = order
	return orders
}

func without(orders map[watchdog.Address]Order, node watchdog.Address) map[watchdog.Address]Order {
	delete(orders, node)
	return orders
}
