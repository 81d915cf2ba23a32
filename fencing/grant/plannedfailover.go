package grant

// The order for a failover, and what the watchdogs answer to it. All of it hangs
// on leases of the order's length: whoever gave it may die at any moment, and it
// undoes itself.

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/redis-watchdog/redis-watchdog/watchdog"
)

// ErrBusy is a planned failover that cannot begin now: another one stands, or a
// maintenance does.
var ErrBusy = errors.New("not now")

// ErrNotMaster is a planned failover from a Redis that is not the granted master.
var ErrNotMaster = errors.New("not the granted master")

// PlannedFailoverRecord is planned-failover/<group>.
type PlannedFailoverRecord struct {
	Order
	ID     string           `json:"id"` // random
	From   watchdog.Address `json:"from"`
	To     watchdog.Address `json:"to"`
	Stop   bool             `json:"stop"`   // From's writers are to be stopped
	Forced []string         `json:"forced"` // check ids that the operator has overridden
	Force  bool             `json:"force"`  // To is promoted although its own preflight vetoes it
}

// PlannedFailoverAnswer is planned-failover-answers/<group>/<address>: what a
// watchdog has made of the order and sees of its Redis.
type PlannedFailoverAnswer struct {
	ID        string           `json:"id"`   // of the order it answers
	Stop      bool             `json:"stop"` // of the order it answers
	Role      string           `json:"role"`
	Following watchdog.Address `json:"following"`
	LinkUp    bool             `json:"link_up"`
	Vetoed    bool             `json:"vetoed"`   // replica-priority is seen to be 0
	Held      bool             `json:"held"`     // no write is executed: the lock is seen set
	Offset    int64            `json:"offset"`   // of replication; with Held, the last there will be
	Fault     string           `json:"fault"`    // why it cannot do its part; empty: it can
	Serving   bool             `json:"serving"`  // as a master that accepts writes
	RunID     string           `json:"run_id"`   // of its Redis
	Priority  string           `json:"priority"` // the operator's own replica-priority; empty: not known
}

// PlannedFailoverView is all of a planned failover as etcd has it at one revision.
type PlannedFailoverView struct {
	Record    PlannedFailoverRecord // zero: none
	Agreement MasterRecord
	Grant     Holding
	Answers   map[watchdog.Address]PlannedFailoverAnswer
}

// BeginPlannedFailover writes the order, for at most so long: only if neither another
// nor a maintenance stands, and From is the agreed master that holds the grant.
func (s *Store) BeginPlannedFailover(ctx context.Context, group string, r PlannedFailoverRecord, lasts time.Duration) error {
	k := s.reader(group)
	snap, err := k.readNow(ctx)
	if err != nil {
		return err
	}
	var agreement MasterRecord
	var holding Holding
	if err := errors.Join(fill(&agreement, k.keys.master, snap.master, validMaster), fill(&holding, k.keys.grant, snap.grant, validHolding)); err != nil {
		return fmt.Errorf("order planned failover: %w", err)
	}
	switch {
	case !snap.group.exists():
		return fmt.Errorf("order planned failover: group %q: %w", group, ErrNoGroup)
	case snap.maintenance.exists():
		return fmt.Errorf("order planned failover: %w: the group is in maintenance", ErrBusy)
	case snap.plannedFailover.exists():
		other := PlannedFailoverRecord{}
		_ = fill(&other, k.keys.plannedFailover, snap.plannedFailover, nil) // garbage is a planned failover too; it ends with its lease
		return fmt.Errorf("order planned failover: %w: another one is under way, to %s, by %s; it ends by itself within the minute", ErrBusy, other.To, other.By)
	case agreement.Address != r.From || holding.Holder != r.From:
		return fmt.Errorf("order planned failover: %s is %w: etcd has %s, the grant is held by %q", r.From, ErrNotMaster, agreement.Address, holding.Holder)
	}
	when := []clientv3.Cmp{
		unchanged(k.keys.plannedFailover, snap.plannedFailover), unchanged(k.keys.maintenance, snap.maintenance),
		unchanged(k.keys.master, snap.master), unchanged(k.keys.grant, snap.grant), k.sameGroup(snap),
	}
	return s.putPlannedFailover(ctx, group, r, lasts, when)
}

// StopPlannedFailover is the order's second half: From's writers are stopped, for at
// most so long from now. ErrChanged: the order does not stand any more.
func (s *Store) StopPlannedFailover(ctx context.Context, group string, r PlannedFailoverRecord, lasts time.Duration) error {
	before, err := encode(nil, r)
	if err != nil {
		return err
	}
	r.Stop = true
	standing := clientv3.Compare(clientv3.Value(keysOf(s.prefix, group).plannedFailover), "=", before)
	return s.putPlannedFailover(ctx, group, r, lasts, []clientv3.Cmp{standing})
}

func (s *Store) putPlannedFailover(ctx context.Context, group string, r PlannedFailoverRecord, lasts time.Duration, when []clientv3.Cmp) error {
	key := keysOf(s.prefix, group).plannedFailover
	lease, err := s.orderLease(ctx, lasts)
	if err != nil {
		return err
	}
	value, err := encode(nil, r)
	if err != nil {
		return err
	}
	resp, err := s.transact(ctx, "order planned failover", commandTimeout, when,
		[]clientv3.Op{clientv3.OpPut(key, value, clientv3.WithLease(lease))}, []clientv3.Op{clientv3.OpGet(key)})
	if err != nil {
		return err
	}
	if resp.Succeeded {
		return nil
	}
	// A hedged copy of our own change may have been first.
	if stands := resp.Responses[0].GetResponseRange().GetKvs(); len(stands) == 0 || string(stands[0].Value) != value {
		return fmt.Errorf("order planned failover: %w", ErrChanged)
	}
	return nil
}

// EndPlannedFailover takes the order back, if it still is this one.
func (s *Store) EndPlannedFailover(ctx context.Context, group, id string) error {
	v, err := s.ReadPlannedFailover(ctx, group)
	if err != nil || v.Record.ID != id {
		return err
	}
	value, err := encode(nil, v.Record)
	if err != nil {
		return err
	}
	k := keysOf(s.prefix, group)
	_, err = s.transact(ctx, "end planned failover", commandTimeout, []clientv3.Cmp{clientv3.Compare(clientv3.Value(k.plannedFailover), "=", value)},
		[]clientv3.Op{clientv3.OpDelete(k.plannedFailover), clientv3.OpDelete(k.answers, clientv3.WithPrefix())}, nil)
	return err
}

// ReadPlannedFailover reads what the command that gave the order waits for. An answer
// that cannot be understood is none.
func (s *Store) ReadPlannedFailover(ctx context.Context, group string) (PlannedFailoverView, error) {
	k := keysOf(s.prefix, group)
	resp, err := s.transact(ctx, "read planned failover", commandTimeout, nil, []clientv3.Op{
		clientv3.OpGet(k.plannedFailover), clientv3.OpGet(k.master), clientv3.OpGet(k.grant), clientv3.OpGet(k.answers, clientv3.WithPrefix()),
	}, nil)
	v := PlannedFailoverView{Answers: map[watchdog.Address]PlannedFailoverAnswer{}}
	if err != nil {
		return v, err
	}
	var errs []error
	read := func(i int) (e entry) {
		if kvs := resp.Responses[i].GetResponseRange().GetKvs(); len(kvs) > 0 {
			e = newEntry(kvs[0])
		}
		return e
	}
	errs = append(errs, fill(&v.Record, k.plannedFailover, read(0), nil), fill(&v.Agreement, k.master, read(1), nil), fill(&v.Grant, k.grant, read(2), nil))
	for _, kv := range resp.Responses[3].GetResponseRange().GetKvs() {
		var a PlannedFailoverAnswer
		if json.Unmarshal(kv.Value, &a) == nil {
			v.Answers[watchdog.Address(strings.TrimPrefix(string(kv.Key), k.answers))] = a
		}
	}
	return v, errors.Join(errs...)
}

// WriteHistory appends a record to a group's history, for what no watchdog did.
func (s *Store) WriteHistory(ctx context.Context, group string, record any) error {
	data, err := json.Marshal(record)
	if err != nil {
		return fmt.Errorf("encode history record: %w", err)
	}
	key := fmt.Sprintf("%s%020d-%x", keysOf(s.prefix, group).history, time.Now().UnixNano(), randomLease())
	_, err = s.transact(ctx, "write history", commandTimeout, nil, []clientv3.Op{clientv3.OpPut(key, string(data))}, nil)
	return err
}

// plannedFailover is the order that stands, its end on our own clock, as maintenance's.
func (k *Keeper) plannedFailover(ctx context.Context, s snapshot, limit time.Duration) watchdog.PlannedFailover {
	e := s.plannedFailover
	if !e.exists() || e.lease == 0 {
		k.orders.plannedFailover, k.orders.plannedFailoverLease = watchdog.PlannedFailover{}, 0
		k.answerUnder.Store(0)
		return watchdog.PlannedFailover{}
	}
	if e.lease == k.orders.plannedFailoverLease {
		return k.orders.plannedFailover
	}
	r, err := decode(k.keys.plannedFailover, e.value, func(r PlannedFailoverRecord) bool { return r.ID != "" && r.From != "" && r.To != "" })
	if err != nil {
		k.log.Warn("order for a planned failover not understood; it ends with its lease", "error", err)
		return watchdog.PlannedFailover{}
	}
	sentAt := k.store.now()
	left, err := ask(ctx, k.store, "ask how long planned failover lasts", limit, func(ctx context.Context, m *member) (*pb.LeaseTimeToLiveResponse, error) {
		return m.lease.LeaseTimeToLive(ctx, &pb.LeaseTimeToLiveRequest{ID: int64(e.lease)})
	})
	if err != nil || left.TTL <= 0 {
		k.again = true
		if err != nil && !errors.Is(err, rpctypes.ErrLeaseNotFound) {
			k.log.Warn("order for a planned failover: its length not learnt; asked again", "error", err)
		}
		return watchdog.PlannedFailover{}
	}
	k.orders.plannedFailoverLease = e.lease
	k.orders.plannedFailover = watchdog.PlannedFailover{
		ID: r.ID, From: r.From, To: r.To, Stop: r.Stop, Forced: r.Force,
		Until: sentAt.Add(time.Duration(left.TTL) * time.Second),
	}
	k.answerUnder.Store(int64(e.lease))
	k.log.Info("planned failover ordered", "from", r.From, "to", r.To, "stop", r.Stop, "by", r.By, "why", r.Reason)
	return k.orders.plannedFailover
}

// AnswerPlannedFailover tells what this node makes of the order that stands. It never
// blocks; a newer answer replaces one not yet written.
func (p *publisher) AnswerPlannedFailover(a PlannedFailoverAnswer) { p.answers.set(a) }

// answerPlannedFailovers writes the answers, from a goroutine of its own.
func (p *publisher) answerPlannedFailovers(ctx context.Context) {
	var told PlannedFailoverAnswer
	var under clientv3.LeaseID
	for {
		a, err := p.answers.take(ctx)
		if err != nil {
			return
		}
		self, lease := p.writer(), clientv3.LeaseID(p.answerUnder.Load())
		if self == "" || lease == 0 || a == told && lease == under {
			p.answers.settle(true)
			continue
		}
		value, err := encode(nil, a)
		if err == nil {
			_, err = p.store.transact(ctx, "answer planned failover", besideTimeout, nil,
				[]clientv3.Op{clientv3.OpPut(p.keys.answers+string(self), value, clientv3.WithLease(lease))}, nil)
		}
		p.answers.settle(true)
		if err != nil {
			p.log.Debug("answer to a planned failover not written", "error", err) // the next look makes another, or the order is gone
			continue
		}
		told, under = a, lease
	}
}
