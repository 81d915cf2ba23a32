package grant

// The lease of a host. Grants of one process that are to last equally long hang on one
// lease, which one keep-alive a beat renews for all of them.
//
// Safety needs that no key lives shorter than its Keeper counts: a lease that others
// renew as well only makes it live longer. Its successor needs that a grant lapses by
// itself when its Keeper has ceased to ask: it is moved to a lease of its own, which
// nobody renews, by those who go on renewing the one that they share (letGo). It does
// not hang on the Keeper: that may be deposed with a Redis that hangs, stuck, ended, or
// of a group that is configured no more. Where etcd does not take it, nobody can claim
// either.
//
// The lease of its own ends no earlier than what the Keeper may have counted: it is as
// long as what was left of the renewal asked for last. And from the moment at which the
// move begins the grant is not renewed any more as it stands (leases.given): a Keeper
// that wants it after all claims it anew, by compare-and-swap, of which and the move
// only one can succeed, however late a copy of either arrives.
//
// No lease of a grant is revoked: others may hang on it. One that nobody renews runs
// out.

import (
	"context"
	"fmt"
	"sync"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/redis-watchdog/redis-watchdog/watchdog"
)

const (
	// letGoAfter is how long ago a Keeper that does not want its grant asked for it. One
	// that wants it and does not come to ask (its processor is short, it is stuck), or
	// has not asked yet (in its first second a watchdog does not), has the length of the
	// lease.
	letGoAfter = 1500 * time.Millisecond
	// letGoMissed is how often the others must have renewed it since: what stood still
	// with everybody else asks as soon as it goes on.
	letGoMissed = 3
	missedApart = 400 * time.Millisecond // counted once a beat, however many renewals there are
	// attachedEvery is how often etcd is asked what hangs on a lease.
	attachedEvery = time.Minute
	// moveApart is how far apart grants are moved to the lease that the others share.
	moveApart = 250 * time.Millisecond
)

// leases are the leases of grants, of all Keepers of a Store.
type leases struct {
	making chan struct{} // holds one: who has it may make one

	mu      sync.Mutex
	shared  map[int64]clientv3.LeaseID // by its length, seconds
	hangs   map[*Keeper]hanging
	open    map[clientv3.LeaseID]*renewing
	looked  map[clientv3.LeaseID]watchdog.Instant // when etcd was last asked what hangs on it
	flight  flight                                // of keep-alives
	beats   map[clientv3.LeaseID]watchdog.Instant // when one was last counted
	sweeps  map[clientv3.LeaseID]bool             // for which that, or letting go, is under way
	movedAt watchdog.Instant
	// given are the grants that were let go, by key, as of their revision: as that they
	// are never renewed again.
	given map[string]int64
}

// hanging is the grant of one Keeper.
type hanging struct {
	grant entry            // as it was read last
	asked watchdog.Instant // when its renewal was last asked for, or it was first seen
	ended bool             // its Keeper has
	fresh bool             // its renewal was never asked for, in this life of the process
	// missed is how many beats the lease was renewed without it, since it asked.
	missed int
}

// renewing is a keep-alive that several wait for.
type renewing struct {
	waiting  []chan renewal
	limit    time.Duration
	complete chan struct{}
}

func newLeases() leases {
	return leases{
		making: make(chan struct{}, 1), shared: map[int64]clientv3.LeaseID{}, hangs: map[*Keeper]hanging{},
		open: map[clientv3.LeaseID]*renewing{}, looked: map[clientv3.LeaseID]watchdog.Instant{}, beats: map[clientv3.LeaseID]watchdog.Instant{},
		sweeps: map[clientv3.LeaseID]bool{}, given: map[string]int64{},
	}
}

// shares is whether more than one Keeper runs.
func (s *Store) shares() bool {
	s.together.mu.Lock()
	defer s.together.mu.Unlock()
	return s.together.askers > 1
}

// holds notes what the Keeper's grant hangs on, as it was read; nothing, where it is
// not ours.
func (k *Keeper) holds() {
	l := &k.store.leases
	l.mu.Lock()
	defer l.mu.Unlock()
	if !k.fact.Grant.Ours || k.seen.grant.lease == 0 {
		delete(l.hangs, k)
		return
	}
	h, known := l.hangs[k]
	if !known {
		h.asked, h.fresh = k.store.now(), true
	}
	h.grant, h.ended = k.seen.grant, false
	l.hangs[k] = h
	if of, was := l.given[k.keys.grant]; was && of != h.grant.modified {
		delete(l.given, k.keys.grant)
	}
}

// asks notes that our grant is to be renewed as it was read. It is false when it was
// let go: then it has to be claimed. It is called before the round asks etcd anything.
func (l *leases) asks(k *Keeper, grant entry) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if of, was := l.given[k.keys.grant]; was && of == grant.modified {
		return false
	}
	l.hangs[k] = hanging{grant: grant, asked: k.store.now()}
	return true
}

// ends notes that the Keeper does not run any more.
func (l *leases) ends(k *Keeper) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if h, hangs := l.hangs[k]; hangs {
		h.ended = true
		l.hangs[k] = h
	}
}

// keepShared renews a lease, together with all who ask for that now.
func (k *Keeper) keepShared(ctx context.Context, lease clientv3.LeaseID, limit time.Duration) renewal {
	s := k.store
	l := &s.leases
	answer := make(chan renewal, 1)
	l.mu.Lock()
	hanging := 0
	for _, h := range l.hangs {
		if h.grant.lease == lease {
			hanging++
		}
	}
	r := l.open[lease]
	if r == nil {
		r = &renewing{complete: make(chan struct{})}
		l.open[lease] = r
		s.requests.Go(func() { s.sendRenewal(lease, r) })
	}
	r.waiting = append(r.waiting, answer)
	r.limit = max(r.limit, limit)
	if len(r.waiting) >= hanging {
		delete(l.open, lease)
		close(r.complete)
	}
	l.mu.Unlock()
	patience := time.NewTimer(limit + 2*gatherAtMost)
	defer patience.Stop()
	select {
	case got := <-answer:
		return got
	case <-ctx.Done():
		return renewal{lease: lease, err: fmt.Errorf("renew lease: %w", context.Cause(ctx))}
	case <-patience.C:
	}
	select {
	case got := <-answer:
		return got
	default:
		return renewal{lease: lease, err: fmt.Errorf("renew lease: %w", context.DeadlineExceeded)}
	}
}

func (s *Store) sendRenewal(lease clientv3.LeaseID, r *renewing) {
	l := &s.leases
	gathers(&l.mu, &l.flight, r.complete)
	if l.open[lease] == r {
		delete(l.open, lease)
	}
	waiting, limit := r.waiting, r.limit
	l.mu.Unlock()
	got := s.keepAlive(context.Background(), lease, limit)
	l.mu.Lock()
	l.flight.land()
	l.mu.Unlock()
	for _, w := range waiting {
		w <- got
	}
	switch {
	case got.err != nil:
	case got.ttl <= 0:
		l.gone(lease)
	default:
		s.letGo(lease, got.ttl)
	}
}

// gone forgets a lease that etcd has no more.
func (l *leases) gone(lease clientv3.LeaseID) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for ttl, of := range l.shared {
		if of == lease {
			delete(l.shared, ttl)
		}
	}
	delete(l.looked, lease)
	delete(l.beats, lease)
}

// claimed is a lease to put a grant under.
type claimed struct {
	lease clientv3.LeaseID
	ttl   int64
	from  watchdog.Instant // before it was asked for, or renewed
	term  uint64           // raft's, of the member that renewed it; zero: it is new
}

// leaseToClaim is the lease that others of this host share, renewed, or a new one.
func (k *Keeper) leaseToClaim(ctx context.Context, ttl int64, limit time.Duration) (claimed, error) {
	k.cfg.Failpoint(FailClaimLease)
	s := k.store
	if !s.shares() {
		from := s.now()
		lease, lasts, err := k.newLease(ctx, ttl, limit)
		return claimed{lease: lease, ttl: lasts, from: from}, err
	}
	if c, err := k.sharedLease(ctx, ttl, limit); err != nil || c.lease != 0 {
		return c, err
	}
	select {
	case s.leases.making <- struct{}{}:
		defer func() { <-s.leases.making }()
	case <-ctx.Done():
		return claimed{}, fmt.Errorf("make lease: %w", context.Cause(ctx))
	}
	if c, err := k.sharedLease(ctx, ttl, limit); err != nil || c.lease != 0 {
		return c, err // another has made it meanwhile
	}
	from := s.now()
	lease, lasts, err := k.newLease(ctx, ttl, limit)
	if err != nil {
		return claimed{}, err
	}
	s.leases.share(ttl, lease, from)
	return claimed{lease: lease, ttl: lasts, from: from}, nil
}

// sharedLease is the zero claimed when there is none, or it is gone.
func (k *Keeper) sharedLease(ctx context.Context, ttl int64, limit time.Duration) (claimed, error) {
	l := &k.store.leases
	lease := l.of(ttl)
	if lease == 0 {
		return claimed{}, nil
	}
	from := k.store.now()
	r := k.keepShared(ctx, lease, limit)
	if r.err != nil || r.ttl <= 0 {
		return claimed{}, r.err
	}
	return claimed{lease, r.ttl, from, r.term}, nil
}

func (l *leases) of(ttl int64) clientv3.LeaseID {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.shared[ttl]
}

// share lets others hang on that lease; made is when this process made it, zero where
// it did not.
func (l *leases) share(ttl int64, lease clientv3.LeaseID, made watchdog.Instant) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.shared[ttl] == 0 {
		l.shared[ttl] = lease
	}
	if made != 0 {
		l.looked[lease] = made // nothing of an earlier run hangs on it
	}
}

// moves is whether our grant, which has a lease of its own, is to be moved to the one
// that the others share: a few a second, and not while renewals are late.
func (s *Store) moves(ttl int64, lease clientv3.LeaseID) bool {
	if !s.shares() || s.pressedLeft() > 0 {
		return false
	}
	l, now := &s.leases, s.now()
	l.mu.Lock()
	defer l.mu.Unlock()
	of := l.shared[ttl]
	if of == 0 || of == lease || now.Sub(l.movedAt) < moveApart {
		return false
	}
	l.movedAt = now
	return true
}
