package grant

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"sync"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/redis-watchdog/redis-watchdog/watchdog"
	"github.com/redis-watchdog/redis-watchdog/watchdog/signal"
)

// What is written beside the decisions, from goroutines of its own: the node's
// status and the history. Nothing waits for it.

const (
	nodeApart     = time.Second // a status is not written more often
	besideTimeout = 3 * time.Second
	besideRetry   = time.Second

	// HistoryLength is how many records of a group are kept.
	HistoryLength  = 500
	historyWaiting = 64 // records that wait for etcd; more are counted as dropped
	historyAtOnce  = 32 // of them that are written in one revision
)

// PublishStatus sets what this node says about itself (nodes/<group>/<address>).
// It is written once, and stands for as long as Run runs: who has nothing new to
// say need not call. It never blocks; a newer status replaces one not yet
// written.
func (k *Keeper) PublishStatus(status any) error {
	data, err := json.Marshal(status)
	if err != nil {
		return fmt.Errorf("encode node status: %w", err)
	}
	k.statuses.set(data)
	return nil
}

func (k *Keeper) publishStatuses(ctx context.Context) {
	for k.publishOne(ctx, k.statuses, "write node status", k.keys.nodes) {
		select {
		case <-ctx.Done():
		case <-k.hurry:
		case <-time.After(nodeApart):
		}
	}
}

// publishOne waits for something new to say and writes it, and tries again until
// that is done. It is false when ctx has ended.
func (k *Keeper) publishOne(ctx context.Context, said *newest[[]byte], step, keys string) bool {
	for {
		data, err := said.take(ctx)
		if err != nil {
			return false
		}
		if data == nil { // nothing was ever said
			said.settle(true)
			continue
		}
		self := k.writer()
		if self == "" {
			said.settle(false)
			said.retry(ctx, besideRetry)
			continue
		}
		err = k.beside(ctx, func() error { return k.say(ctx, step, keys+string(self), self, data) })
		said.settle(err == nil)
		if err == nil {
			return true
		}
		k.log.Debug("not published; tried again", "step", step, "error", err)
		said.retry(ctx, besideRetry)
	}
}

// writer is our address while we may write for the group, else empty.
func (k *Keeper) writer() watchdog.Address {
	if !k.member.Load() {
		return ""
	}
	return k.newestWant().Self
}

// History appends a record to the group's history. It never blocks; when etcd
// is away for long, records are dropped and counted.
func (k *Keeper) History(record any) error {
	data, err := json.Marshal(record)
	if err != nil {
		return fmt.Errorf("encode history record: %w", err)
	}
	k.history.add(data)
	return nil
}

// HistoryDropped is how many records were dropped since the start.
func (k *Keeper) HistoryDropped() uint64 {
	k.history.mu.Lock()
	defer k.history.mu.Unlock()
	return k.history.dropped
}

// historian is the queue of records that wait for etcd.
type historian struct {
	ready signal.Signal

	mu      sync.Mutex
	waiting []historyRecord
	dropped uint64
}

type historyRecord struct {
	at   time.Time // wall clock: it orders the records of all nodes, for people
	data []byte
}

func newHistorian() *historian { return &historian{ready: signal.New()} }

func (h *historian) add(data []byte) {
	h.mu.Lock()
	if len(h.waiting) >= historyWaiting {
		h.dropped++
	} else {
		h.waiting = append(h.waiting, historyRecord{at: time.Now(), data: data})
	}
	h.mu.Unlock()
	h.ready.Raise()
}

// first are the oldest that wait, as many as go into one transaction.
func (h *historian) first() []historyRecord {
	h.mu.Lock()
	defer h.mu.Unlock()
	return slices.Clone(h.waiting[:min(len(h.waiting), historyAtOnce)])
}

func (h *historian) written(n int) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.waiting = h.waiting[n:]
}

func (k *Keeper) writeHistory(ctx context.Context) {
	for {
		select {
		case <-ctx.Done():
			return
		case <-k.history.ready:
		}
		for records := k.history.first(); len(records) > 0 && ctx.Err() == nil; records = k.history.first() {
			err := errNotMember
			if k.writer() != "" {
				err = k.beside(ctx, func() error { return k.putHistory(ctx, records) })
			}
			if err == nil {
				k.history.written(len(records))
				continue
			}
			select {
			case <-ctx.Done():
			case <-time.After(besideRetry):
			}
		}
	}
}

// putHistory writes records in one revision, under keys that a copy of the
// request writes again, and deletes the oldest beyond the bound.
func (k *Keeper) putHistory(ctx context.Context, records []historyRecord) error {
	all := clientv3.WithPrefix()
	var ops []clientv3.Op
	for _, record := range records {
		key := fmt.Sprintf("%s%020d-%s", k.keys.history, record.at.UnixNano(), k.cfg.Identity.HolderID)
		ops = append(ops, clientv3.OpPut(key, string(record.data)))
	}
	ops = append(ops, clientv3.OpGet(k.keys.history, all, clientv3.WithCountOnly()))
	resp, err := k.store.transact(ctx, "write history", besideTimeout, nil, ops, nil)
	if err != nil {
		return err
	}
	extra := resp.Responses[len(records)].GetResponseRange().GetCount() - HistoryLength
	if extra <= 0 {
		return nil
	}
	resp, err = k.store.transact(ctx, "read oldest history", besideTimeout, nil, []clientv3.Op{
		clientv3.OpGet(k.keys.history, all, clientv3.WithKeysOnly(), clientv3.WithLimit(extra),
			clientv3.WithSort(clientv3.SortByKey, clientv3.SortAscend)),
	}, nil)
	if err != nil {
		return err
	}
	oldest := resp.Responses[0].GetResponseRange().GetKvs()
	if len(oldest) == 0 {
		return nil
	}
	end := string(oldest[len(oldest)-1].Key) + "\x00" // just after the last of them
	_, err = k.store.transact(ctx, "trim history", besideTimeout, nil,
		[]clientv3.Op{clientv3.OpDelete(k.keys.history, clientv3.WithRange(end))}, nil)
	return err
}

// Flush waits until the newest node status and all of the history are written,
// or ctx ends. It is for an orderly stop, before the context of Run ends.
func (k *Keeper) Flush(ctx context.Context) error {
	for {
		if len(k.history.first()) == 0 && k.statuses.settled() {
			return nil
		}
		k.hurry.Raise() // the last word may follow another at once
		select {
		case <-ctx.Done():
			return fmt.Errorf("flush node status and history: %w", context.Cause(ctx))
		case <-time.After(hintsApart):
		}
	}
}
