package grant

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/redis-watchdog/redis-watchdog/watchdog"
	"github.com/redis-watchdog/redis-watchdog/watchdog/signal"
)

// publisher writes what nothing waits for, from goroutines of its own: the node's
// status and its report, how far its data goes, whom its Sentinels list, answers to
// a planned failover, and the history. Its fields may be touched by any goroutine:
// each has its own lock, shared has sharedMu.
type publisher struct {
	*local
	present     *presence
	statuses    *newest[[]byte]
	reports     *newest[[]byte]
	datas       *newest[dataWrite]
	disks       *newest[[]byte] // empty: take it back
	answers     *newest[PlannedFailoverAnswer]
	answerUnder atomic.Int64 // the lease of the planned failover that is under way; zero: none is
	history     *historian
	hurry       signal.Signal // Flush waits
	relist      signal.Signal // our Sentinels list others than they did

	sharedMu sync.Mutex
	shared   []Shared
}

func newPublisher(l *local) *publisher {
	p := &publisher{
		local: l, present: newPresence(), statuses: newNewest[[]byte](), reports: newNewest[[]byte](), datas: newNewest[dataWrite](),
		disks: newNewest[[]byte](), answers: newNewest[PlannedFailoverAnswer](), history: newHistorian(),
		hurry: signal.New(), relist: signal.New(),
	}
	p.statuses.passed, p.reports.passed = &l.store.lanes.passedOver, &l.store.lanes.passedOver
	return p
}

// publish has it all written, until ctx ends, from goroutines that all waits for.
func (p *publisher) publish(ctx context.Context, all *sync.WaitGroup) {
	for _, write := range []func(context.Context){
		p.keepPresent, p.publishStatuses, p.publishReports, p.publishData, p.publishDisk, p.publishListed, p.writeHistory, p.answerPlannedFailovers,
	} {
		all.Go(func() { write(ctx) })
	}
}

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
func (p *publisher) PublishStatus(status any) error {
	data, err := json.Marshal(status)
	if err != nil {
		return fmt.Errorf("encode node status: %w", err)
	}
	p.statuses.set(data)
	return nil
}

func (p *publisher) publishStatuses(ctx context.Context) {
	for p.publishOne(ctx, p.statuses, "write node status", p.keys.nodes) {
		select {
		case <-ctx.Done():
		case <-p.hurry:
		case <-time.After(nodeApart):
		}
	}
}

// publishOne waits for something new to say and writes it, and tries again until
// that is done. It is false when ctx has ended.
func (p *publisher) publishOne(ctx context.Context, said *newest[[]byte], step, keys string) bool {
	for {
		data, err := said.take(ctx)
		if err != nil {
			return false
		}
		if data == nil { // nothing was ever said
			said.settle(true)
			continue
		}
		self := p.writer()
		if self == "" {
			said.settle(false)
			said.retry(ctx, besideRetry)
			continue
		}
		err = p.beside(ctx, func() error { return p.say(ctx, step, keys+string(self), self, data) })
		said.settle(err == nil)
		if err == nil {
			return true
		}
		p.log.Debug("not published; tried again", "step", step, "error", err)
		said.retry(ctx, besideRetry)
	}
}

// writer is our address while we may write for the group, else empty.
func (p *publisher) writer() watchdog.Address {
	if !p.member.Load() {
		return ""
	}
	return p.newestWant().Self
}

// History appends a record to the group's history. It never blocks; when etcd
// is away for long, records are dropped and counted.
func (p *publisher) History(record any) error {
	data, err := json.Marshal(record)
	if err != nil {
		return fmt.Errorf("encode history record: %w", err)
	}
	p.history.add(data)
	return nil
}

// HistoryDropped is how many records were dropped since the start.
func (p *publisher) HistoryDropped() uint64 {
	p.history.mu.Lock()
	defer p.history.mu.Unlock()
	return p.history.dropped
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

func (p *publisher) writeHistory(ctx context.Context) {
	for {
		select {
		case <-ctx.Done():
			return
		case <-p.history.ready:
		}
		for records := p.history.first(); len(records) > 0 && ctx.Err() == nil; records = p.history.first() {
			err := errNotMember
			if p.writer() != "" {
				err = p.beside(ctx, func() error { return p.putHistory(ctx, records) })
			}
			if err == nil {
				p.history.written(len(records))
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
func (p *publisher) putHistory(ctx context.Context, records []historyRecord) error {
	all := clientv3.WithPrefix()
	var ops []clientv3.Op
	for _, record := range records {
		key := fmt.Sprintf("%s%020d-%s", p.keys.history, record.at.UnixNano(), p.cfg.Identity.HolderID)
		ops = append(ops, clientv3.OpPut(key, string(record.data)))
	}
	ops = append(ops, clientv3.OpGet(p.keys.history, all, clientv3.WithCountOnly()))
	resp, err := p.store.transact(ctx, "write history", besideTimeout, nil, ops, nil)
	if err != nil {
		return err
	}
	extra := resp.Responses[len(records)].GetResponseRange().GetCount() - HistoryLength
	if extra <= 0 {
		return nil
	}
	resp, err = p.store.transact(ctx, "read oldest history", besideTimeout, nil, []clientv3.Op{
		clientv3.OpGet(p.keys.history, all, clientv3.WithKeysOnly(), clientv3.WithLimit(extra),
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
	_, err = p.store.transact(ctx, "trim history", besideTimeout, nil,
		[]clientv3.Op{clientv3.OpDelete(p.keys.history, clientv3.WithRange(end))}, nil)
	return err
}

// Flush waits until the newest node status and all of the history are written,
// or ctx ends. It is for an orderly stop, before the context of Run ends.
func (p *publisher) Flush(ctx context.Context) error {
	for {
		if len(p.history.first()) == 0 && p.statuses.settled() {
			return nil
		}
		p.hurry.Raise() // the last word may follow another at once
		select {
		case <-ctx.Done():
			return fmt.Errorf("flush node status and history: %w", context.Cause(ctx))
		case <-time.After(hintsApart):
		}
	}
}
