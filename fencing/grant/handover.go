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

// ErrBusy is a handover that cannot begin now: another one stands, or a
// maintenance does.
var ErrBusy = errors.New("not now")

// ErrNotMaster is a handover from a Redis that is not the granted master.
var ErrNotMaster = errors.New("not the granted master")

// HandoverRecord is handover/<group>.
type HandoverRecord struct {
	Order
	ID     string           `json:"id"` // random
	From   watchdog.Address `json:"from"`
	To     watchdog.Address `json:"to"`
	Stop   bool             `json:"stop"`   // From's writers are to be stopped
	Forced []string         `json:"forced"` // check ids that the operator has overridden
	Force  bool             `json:"force"`  // To is promoted although its own preflight vetoes it
}

// HandoverAnswer is handover-answers/<group>/<address>: what a watchdog has
// made of the order and sees of its Redis.
type HandoverAnswer struct {
	ID        string           `json:"id"`   // of the order it answers
	Stop      bool             `json:"stop"` // of the order it answers
	Role      string           `json:"role"`
	Following watchdog.Address `json:"following"`
	LinkUp    bool             `json:"link_up"`
	Vetoed    bool             `json:"vetoed"`   // replica-priority is seen to be 0
	Held      bool             `json:"held"`     // no write is executed: the lock is seen to stand
	Offset    int64            `json:"offset"`   // of replication; with Held, the last there will be
	Fault     string           `json:"fault"`    // why it cannot do its part; empty: it can
	Serving   bool             `json:"serving"`  // as a master that accepts writes
	RunID     string           `json:"run_id"`   // of its Redis
	Priority  string           `json:"priority"` // the operator's own replica-priority; empty: not known
}

// HandoverView is all of a handover as etcd has it at one revision.
type HandoverView struct {
	Standing  HandoverRecord // zero: none
	Agreement MasterRecord
	Grant     Holding
	Answers   map[watchdog.Address]HandoverAnswer
}

// BeginHandover writes the order, for at most so long: only if neither another
// nor a maintenance stands, and From is the agreed master that holds the grant.
func (s *Store) BeginHandover(ctx context.Context, group string, r HandoverRecord, lasts time.Duration) error {
	k := s.reader(group)
	snap, err := k.readNow(ctx)
	if err != nil {
		return err
	}
	var agreement MasterRecord
	var holding Holding
	if err := errors.Join(fill(&agreement, k.keys.master, snap.master, validMaster), fill(&holding, k.keys.grant, snap.grant, validHolding)); err != nil {
		return fmt.Errorf("order handover: %w", err)
	}
	switch {
	case !snap.group.exists():
		return fmt.Errorf("order handover: group %q: %w", group, ErrNoGroup)
	case snap.maintenance.exists():
		return fmt.Errorf("order handover: %w: the group is in maintenance", ErrBusy)
	case snap.handover.exists():
		other := HandoverRecord{}
		_ = fill(&other, k.keys.handover, snap.handover, nil) // garbage is a handover too; it ends with its lease
		return fmt.Errorf("order handover: %w: another one stands, to %s, by %s; it ends by itself within the minute", ErrBusy, other.To, other.By)
	case agreement.Address != r.From || holding.Holder != r.From:
		return fmt.Errorf("order handover: %s is %w: etcd has %s, the grant is held by %q", r.From, ErrNotMaster, agreement.Address, holding.Holder)
	}
	when := []clientv3.Cmp{
		unchanged(k.keys.handover, snap.handover), unchanged(k.keys.maintenance, snap.maintenance),
		unchanged(k.keys.master, snap.master), unchanged(k.keys.grant, snap.grant), k.sameGroup(snap),
	}
	return s.putHandover(ctx, group, r, lasts, when)
}

// StopHandover is the order's second half: From's writers are stopped, for at
// most so long from now. ErrChanged: the order does not stand any more.
func (s *Store) StopHandover(ctx context.Context, group string, r HandoverRecord, lasts time.Duration) error {
	before, err := encode(nil, r)
	if err != nil {
		return err
	}
	r.Stop = true
	standing := clientv3.Compare(clientv3.Value(keysOf(s.prefix, group).handover), "=", before)
	return s.putHandover(ctx, group, r, lasts, []clientv3.Cmp{standing})
}

func (s *Store) putHandover(ctx context.Context, group string, r HandoverRecord, lasts time.Duration, when []clientv3.Cmp) error {
	key := keysOf(s.prefix, group).handover
	lease, err := s.orderLease(ctx, lasts)
	if err != nil {
		return err
	}
	value, err := encode(nil, r)
	if err != nil {
		return err
	}
	resp, err := s.transact(ctx, "order handover", commandTimeout, when,
		[]clientv3.Op{clientv3.OpPut(key, value, clientv3.WithLease(lease))}, []clientv3.Op{clientv3.OpGet(key)})
	if err != nil {
		return err
	}
	if resp.Succeeded {
		return nil
	}
	// A hedged copy of our own change may have been first.
	if stands := resp.Responses[0].GetResponseRange().GetKvs(); len(stands) == 0 || string(stands[0].Value) != value {
		return fmt.Errorf("order handover: %w", ErrChanged)
	}
	return nil
}

// EndHandover takes the order back, if it still is this one.
func (s *Store) EndHandover(ctx context.Context, group, id string) error {
	v, err := s.ReadHandover(ctx, group)
	if err != nil || v.Standing.ID != id {
		return err
	}
	value, err := encode(nil, v.Standing)
	if err != nil {
		return err
	}
	k := keysOf(s.prefix, group)
	_, err = s.transact(ctx, "end handover", commandTimeout, []clientv3.Cmp{clientv3.Compare(clientv3.Value(k.handover), "=", value)},
		[]clientv3.Op{clientv3.OpDelete(k.handover), clientv3.OpDelete(k.answers, clientv3.WithPrefix())}, nil)
	return err
}

// ReadHandover reads what the command that gave the order waits for. An answer
// that cannot be understood is none.
func (s *Store) ReadHandover(ctx context.Context, group string) (HandoverView, error) {
	k := keysOf(s.prefix, group)
	resp, err := s.transact(ctx, "read handover", commandTimeout, nil, []clientv3.Op{
		clientv3.OpGet(k.handover), clientv3.OpGet(k.master), clientv3.OpGet(k.grant), clientv3.OpGet(k.answers, clientv3.WithPrefix()),
	}, nil)
	v := HandoverView{Answers: map[watchdog.Address]HandoverAnswer{}}
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
	errs = append(errs, fill(&v.Standing, k.handover, read(0), nil), fill(&v.Agreement, k.master, read(1), nil), fill(&v.Grant, k.grant, read(2), nil))
	for _, kv := range resp.Responses[3].GetResponseRange().GetKvs() {
		var a HandoverAnswer
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

// handover is the order that stands, its end on our own clock, as maintenance's.
func (k *Keeper) handover(ctx context.Context, s snapshot, limit time.Duration) watchdog.Handover {
	e := s.handover
	if !e.exists() || e.lease == 0 {
		k.orders.handover, k.orders.handoverLease = watchdog.Handover{}, 0
		k.answerUnder.Store(0)
		return watchdog.Handover{}
	}
	if e.lease == k.orders.handoverLease {
		return k.orders.handover
	}
	r, err := decode(k.keys.handover, e.value, func(r HandoverRecord) bool { return r.ID != "" && r.From != "" && r.To != "" })
	if err != nil {
		k.log.Warn("order for a handover not understood; it ends with its lease", "error", err)
		return watchdog.Handover{}
	}
	sentAt := k.store.now()
	left, err := ask(ctx, k.store, "ask how long handover lasts", limit, func(ctx context.Context, m *member) (*pb.LeaseTimeToLiveResponse, error) {
		return m.lease.LeaseTimeToLive(ctx, &pb.LeaseTimeToLiveRequest{ID: int64(e.lease)})
	})
	if err != nil || left.TTL <= 0 {
		k.again = true
		if err != nil && !errors.Is(err, rpctypes.ErrLeaseNotFound) {
			k.log.Warn("order for a handover: its length not learnt; asked again", "error", err)
		}
		return watchdog.Handover{}
	}
	k.orders.handoverLease = e.lease
	k.orders.handover = watchdog.Handover{
		ID: r.ID, From: r.From, To: r.To, Stop: r.Stop, Forced: r.Force,
		Until: sentAt.Add(time.Duration(left.TTL) * time.Second),
	}
	k.answerUnder.Store(int64(e.lease))
	k.log.Info("handover ordered", "from", r.From, "to", r.To, "stop", r.Stop, "by", r.By, "why", r.Reason)
	return k.orders.handover
}

// AnswerHandover tells what this node makes of the order that stands. It never
// blocks; a newer answer replaces one not yet written.
func (k *Keeper) AnswerHandover(a HandoverAnswer) { k.answers.set(a) }

// answerHandovers writes the answers, from a goroutine of its own.
func (k *Keeper) answerHandovers(ctx context.Context) {
	var told HandoverAnswer
	var under clientv3.LeaseID
	for {
		a, err := k.answers.take(ctx)
		if err != nil {
			return
		}
		self, lease := k.writer(), clientv3.LeaseID(k.answerUnder.Load())
		if self == "" || lease == 0 || a == told && lease == under {
			k.answers.settle(true)
			continue
		}
		value, err := encode(nil, a)
		if err == nil {
			_, err = k.store.transact(ctx, "answer handover", besideTimeout, nil,
				[]clientv3.Op{clientv3.OpPut(k.keys.answers+string(self), value, clientv3.WithLease(lease))}, nil)
		}
		k.answers.settle(true)
		if err != nil {
			k.log.Debug("answer to a handover not written", "error", err) // the next look makes another, or the order is gone
			continue
		}
		told, under = a, lease
	}
}
