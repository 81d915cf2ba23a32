package grant

// What the Keepers of one process read at one time goes to etcd as one transaction.
// All of them act on one beat (watchdog.Instant.Beat), so a host's renewals are one
// entry in etcd's log, and not one a group.
//
// Nothing of a group's safety argument is shared. Each Keeper counts from before it
// asked, which is before anything was sent, and takes in its own part of what one
// transaction showed, as it would take in the answer to one of its own. What etcd will
// not answer together is asked alone, so that no group can keep the others from theirs.

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	clientv3 "go.etcd.io/etcd/client/v3"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/redis-watchdog/redis-watchdog/watchdog"
)

const (
	// gatherFor is how long the first who asks waits for the others, and gatherAtMost
	// while an answer is outstanding: on a host that is short of processor, or with an
	// etcd that is slow, the others come late, and many small requests are what neither
	// has the time for.
	gatherFor    = 5 * time.Millisecond
	gatherAtMost = 40 * time.Millisecond
	// togetherAtMost is how many groups' reads go into one transaction. etcd counts the
	// operations of a transaction, those of one within it on top, and takes 128 where
	// --max-txn-ops does not say otherwise (v3rpc/key.go, checkTxnRequest).
	togetherAtMost = 64
	// aloneFor is how long everybody asks alone after etcd refused what was asked
	// together for a reason that may be one group's.
	aloneFor = 10 * time.Second
	// urgentAtOnce is how many transactions are under way before what is urgent waits
	// for company as well: a storm of it is what company is best for.
	urgentAtOnce = 2
	// readsTogether is how many reads one may have that goes with others; more would
	// leave no room for them.
	readsTogether = 48
)

// question is what one Keeper reads.
type question struct {
	reads   []clientv3.Op
	confirm string // a key that never exists; it is deleted, so that the answer cannot be stale. Empty: it may be
	urgent  bool   // it waits for no others
	limit   time.Duration

	answer chan answered // holds one
}

// answered is one Keeper's part of an answer.
type answered struct {
	header    *pb.ResponseHeader
	responses []*pb.ResponseOp // to its reads, in their order
	err       error
}

// together gathers the questions of a Store's Keepers.
type together struct {
	mu     sync.Mutex
	askers int // Keepers that run
	// open are those that still take questions, by how long they may take: nobody waits
	// longer for another's sake, nor is given less.
	open   map[time.Duration]*gathering
	flight flight
	atMost int              // questions in one transaction; zero: togetherAtMost
	alone  watchdog.Instant // until then everybody asks alone
}

// flight counts what was sent and is not answered. Who uses it holds the lock of what
// it is part of.
type flight struct {
	sent   int
	landed chan struct{} // closed when the next one is answered; nil: nobody waits for that
}

func (f *flight) lands() <-chan struct{} {
	if f.landed == nil {
		f.landed = make(chan struct{})
	}
	return f.landed
}

func (f *flight) land() {
	f.sent--
	if f.landed != nil {
		close(f.landed)
		f.landed = nil
	}
}

// gathers waits until what is gathered is to be sent: it is complete, or has waited
// its time and nothing is under way. It holds mu when it returns, and has counted it.
func gathers(mu *sync.Mutex, f *flight, complete <-chan struct{}) {
	due, late := time.NewTimer(gatherFor), time.NewTimer(gatherAtMost)
	defer due.Stop()
	defer late.Stop()
	select {
	case <-complete:
	case <-due.C:
	}
	for over := false; ; {
		mu.Lock()
		select {
		case <-complete:
			over = true
		default:
		}
		if over || f.sent == 0 {
			f.sent++
			return
		}
		landed := f.lands()
		mu.Unlock()
		select {
		case <-complete:
		case <-landed:
		case <-late.C:
			over = true
		}
	}
}

// gathering is what goes into one transaction.
type gathering struct {
	questions []*question
	complete  chan struct{} // closed when it waits for nobody else
}

// joins counts a Keeper among those who ask, until it leaves.
func (t *together) joins() (leave func()) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.askers++
	return func() {
		t.mu.Lock()
		defer t.mu.Unlock()
		t.askers--
	}
}

// read asks a Keeper's question, with those of others where they ask now.
func (s *Store) read(ctx context.Context, q *question) answered {
	if !s.gather(q) {
		return s.readAlone(ctx, q)
	}
	// The transaction is given as long, from when it is sent.
	patience := time.NewTimer(q.limit + 2*gatherAtMost)
	defer patience.Stop()
	select {
	case a := <-q.answer:
		return a
	case <-ctx.Done():
		return answered{err: fmt.Errorf("read group: %w", context.Cause(ctx))}
	case <-patience.C:
	}
	select {
	case a := <-q.answer: // both are ready on a host that is short of processor
		return a
	default:
		return answered{err: fmt.Errorf("read group: %w", context.DeadlineExceeded)}
	}
}

// gather has a question sent together with others. It is false when it is to be
// asked alone.
func (s *Store) gather(q *question) bool {
	t := &s.together
	now := s.now()
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.askers < 2 || now < t.alone || t.most() < 2 || len(q.reads) > readsTogether {
		return false
	}
	q.answer = make(chan answered, 1)
	g := t.open[q.limit]
	if g == nil {
		g = &gathering{complete: make(chan struct{})}
		if t.open == nil {
			t.open = map[time.Duration]*gathering{}
		}
		t.open[q.limit] = g
		s.requests.Go(func() { s.sendGathered(g, q.limit) })
	}
	g.questions = append(g.questions, q)
	if len(g.questions) >= min(t.askers, t.most()) || q.urgent && t.flight.sent < urgentAtOnce {
		delete(t.open, q.limit)
		close(g.complete)
	}
	return true
}

func (t *together) most() int {
	if t.atMost == 0 {
		return togetherAtMost
	}
	return t.atMost
}

func (s *Store) sendGathered(g *gathering, limit time.Duration) {
	t := &s.together
	gathers(&t.mu, &t.flight, g.complete)
	if t.open[limit] == g {
		delete(t.open, limit)
	}
	questions := g.questions
	t.mu.Unlock()
	defer func() {
		t.mu.Lock()
		defer t.mu.Unlock()
		t.flight.land()
	}()
	s.readTogether(questions, limit)
}

// readTogether asks those questions in one transaction, and each alone, or in two,
// when etcd refuses it for what one of them may be the reason of.
func (s *Store) readTogether(questions []*question, limit time.Duration) {
	if len(questions) == 1 {
		questions[0].answer <- s.readAlone(context.Background(), questions[0])
		return
	}
	resp, err := s.transact(context.Background(), "read groups", limit, nil, opsOf(questions), nil)
	if err == nil {
		for i, a := range deal(questions, resp) {
			questions[i].answer <- a
		}
		return
	}
	switch {
	case errors.Is(err, rpctypes.ErrTooManyOps) || errors.Is(err, rpctypes.ErrRequestTooLarge):
		s.together.shrink(len(questions) / 2)
		s.log.Info("etcd takes fewer groups in one transaction", "groups", len(questions)/2, "error", err)
		s.readTogether(questions[:len(questions)/2], limit)
		s.readTogether(questions[len(questions)/2:], limit)
	case refusedForOne(err):
		s.together.leaveAlone(s.now().Add(aloneFor))
		s.log.Debug("what was read together was refused; each group is read alone", "error", err)
		var each sync.WaitGroup
		for _, q := range questions {
			each.Go(func() { q.answer <- s.readAlone(context.Background(), q) })
		}
		each.Wait()
	default:
		for _, q := range questions {
			q.answer <- answered{err: err}
		}
	}
}

func (t *together) shrink(atMost int) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.atMost = max(1, min(t.most(), atMost))
}

func (t *together) leaveAlone(until watchdog.Instant) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.alone = until
}

// refusedForOne is whether etcd may answer some of those who asked, when each asks
// alone: it refused what was asked, and is neither away nor ill, and knows us.
func refusedForOne(err error) bool {
	if errors.Is(err, context.DeadlineExceeded) || errors.Is(err, context.Canceled) {
		return false
	}
	if errors.Is(err, rpctypes.ErrPermissionDenied) {
		return true
	}
	var auth *AuthError
	var shake *HandshakeError
	if errors.As(err, &auth) || errors.As(err, &shake) {
		return false
	}
	code := status.Code(err)
	if known := (rpctypes.EtcdError{}); errors.As(err, &known) {
		code = known.Code()
	}
	switch code {
	case codes.InvalidArgument, codes.ResourceExhausted, codes.OutOfRange, codes.NotFound, codes.FailedPrecondition, codes.Internal, codes.Unimplemented:
		return true
	}
	return false
}

// opsOf are the operations of one transaction that answers all of them: a
// transaction each, after the one that keeps the answer from being stale.
func opsOf(questions []*question) []clientv3.Op {
	ops := make([]clientv3.Op, 0, len(questions)+1)
	for _, q := range questions {
		if q.confirm != "" {
			ops = append(ops, clientv3.OpDelete(q.confirm))
			break
		}
	}
	for _, q := range questions {
		ops = append(ops, clientv3.OpTxn(nil, q.reads, nil))
	}
	return ops
}

// deal gives each of those who asked his part of the answer to opsOf. A part that
// is not what was asked for is his error alone.
func deal(questions []*question, resp *clientv3.TxnResponse) []answered {
	all := make([]answered, len(questions))
	parts := resp.Responses
	if len(parts) > 0 && parts[0].GetResponseDeleteRange() != nil {
		parts = parts[1:]
	}
	for i, q := range questions {
		a := &all[i]
		a.header = resp.Header
		switch {
		case len(parts) != len(questions):
			a.err = fmt.Errorf("read groups: %d answers to %d questions", len(parts), len(questions))
		case parts[i].GetResponseTxn() == nil:
			a.err = fmt.Errorf("read groups: answer %d is not to a transaction", i)
		case len(parts[i].GetResponseTxn().Responses) != len(q.reads):
			a.err = fmt.Errorf("read groups: answer %d has %d of %d reads", i, len(parts[i].GetResponseTxn().Responses), len(q.reads))
		default:
			a.responses = parts[i].GetResponseTxn().Responses
		}
	}
	return all
}

func (s *Store) readAlone(ctx context.Context, q *question) answered {
	ops := q.reads
	if q.confirm != "" {
		ops = append([]clientv3.Op{clientv3.OpDelete(q.confirm)}, ops...)
	}
	resp, err := s.transact(ctx, "read group", q.limit, nil, ops, nil)
	if err != nil {
		return answered{err: err}
	}
	if len(resp.Responses) != len(ops) {
		return answered{err: fmt.Errorf("read group: %d answers to %d operations", len(resp.Responses), len(ops))}
	}
	return answered{header: resp.Header, responses: resp.Responses[len(ops)-len(q.reads):]}
}
