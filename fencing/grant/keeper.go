package grant

import (
	"context"
	"crypto/rand"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/hashicorp/go-hclog"
	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/redis-watchdog/redis-watchdog/watchdog"
	"github.com/redis-watchdog/redis-watchdog/watchdog/signal"
)

// The failpoints, in the order in which they are passed.
const (
	FailClaimLease    = "grant.claim.lease"    // before a lease is asked for
	FailClaimPut      = "grant.claim.put"      // the lease is ours, the grant is not
	FailClaimDone     = "grant.claim.done"     // the grant is ours, nobody was told
	FailRenew         = "grant.renew"          // before a renewal is sent
	FailRenewDone     = "grant.renew.done"     // it was confirmed, nobody was told
	FailGiveUp        = "grant.give_up"        // before the grant is deleted
	FailGiveUpDone    = "grant.give_up.done"   // it is deleted, nobody was told
	FailPropose       = "grant.propose"        // before the agreement is written
	FailProposeDone   = "grant.propose.done"   // it is written, nobody was told
	FailIdentitySaved = "grant.identity.saved" // after the identity was saved
)

// Identity is what a node remembers of the coordinator over restarts. The
// caller loads it and saves it; the zero Identity is a node that is new here.
type Identity struct {
	ClusterID uint64             `json:"cluster_id"` // of etcd; zero: none seen yet
	Revision  int64              `json:"revision"`   // the highest seen, give or take what was seen since it was saved
	GroupID   string             `json:"group_id"`   // of our group; empty: not a member yet
	HolderID  string             `json:"holder_id"`  // random, ours alone: by it we know our grant again
	Agreement watchdog.Agreement `json:"agreement"`  // the newest ever seen
	Self      watchdog.Address   `json:"self"`       // how the Sentinels called our Redis when last they did
}

// KeeperConfig is one local Redis of one group.
type KeeperConfig struct {
	Group    string // the Sentinel master name
	Node     string // the name of this Redis in the configuration, for people
	BootID   string // of this boot, for people
	Identity Identity

	// Save keeps the identity; it is called from a goroutine of its own, at
	// most once at a time, the newest only. Nil: nothing is remembered.
	Save func(Identity) error

	// OnRound is told how long every round took and how it ended, for metrics.
	// Nil: nobody is.
	OnRound func(took time.Duration, err error)

	// OnAsk is told of every request for a report (Store.Ask), by its id, once;
	// at the start of the last one, which may be old. It must not block. Nil:
	// nobody is.
	OnAsk func(id string)

	// Failpoint is called at every step with its name. Nil: none.
	Failpoint func(name string)

	Log hclog.Logger // nil: the store's

	seenEvery, seenLasts time.Duration // zero: the constants of that name
}

// Want is what shall become true in etcd. A newer one replaces the older.
type Want struct {
	Self  watchdog.Address   // how the Sentinels call our Redis; empty: not known, nothing is written
	Known []watchdog.Address // the Redis of the group that our Sentinels list, for membership

	// Listed are the same with their run ids, for other groups to see.
	Listed []Listed

	// View is the agreement on which the want was decided (of the report that
	// the decision took in). Nothing is claimed or renewed while etcd's
	// agreement is neither View nor what Propose makes of it.
	View    watchdog.Agreement
	Grant   watchdog.GrantWant
	Propose watchdog.Proposal
	Opened  bool // our Redis was opened under this grant
	Disk    bool // what our Redis came up with has not been in step since: it is compared with that of the others

	// Rests is the record of the last holder's data on which a claim rests; zero:
	// it rests on none.
	Rests watchdog.Record

	TTL    time.Duration // of the lease, whole seconds, at least 2
	Margin time.Duration // taken off its end
	Round  time.Duration // from round to round, and the time a request may take; zero: 500 ms with a claim or renewal, else 1 s

	Evidence Evidence
}

// Evidence is written beside what it led to, for people.
type Evidence struct {
	RunID       string   // of our Redis
	MasterRunID string   // of the proposed master, if known
	Sentinels   []string // ids of those who said so
	Known       int      // of how many
	Votes       int
}

const (
	roundHolding = 500 * time.Millisecond
	roundWaiting = time.Second
	roundAtLeast = 100 * time.Millisecond
	leaseAtLeast = 2 * time.Second
	// hintsApart keeps a storm of hints from becoming a storm of rounds.
	hintsApart = 20 * time.Millisecond
)

func (w Want) round() time.Duration {
	switch {
	case w.Round > 0:
		return max(w.Round, roundAtLeast)
	case w.holding():
		return roundHolding
	}
	return roundWaiting
}

// holding is whether the round decides about the grant.
func (w Want) holding() bool {
	return w.Grant == watchdog.GrantClaim || w.Grant == watchdog.GrantRenew
}

// ttl is the lease's length in seconds.
func (w Want) ttl() int64 { return int64(max(w.TTL, leaseAtLeast) / time.Second) }

// urgent is whether the change from w to n must not wait for the next round.
func (w Want) urgent(n Want) bool {
	return w.Grant != n.Grant || w.Propose != n.Propose || w.View != n.View ||
		w.Self != n.Self || w.Disk != n.Disk || w.Rests != n.Rests || w.Opened != n.Opened || len(w.Known) == 0 && len(n.Known) > 0
}

// A Keeper brings the newest Want of one local Redis about, and reports what
// etcd showed. All its decisions are made in one goroutine, in rounds; what is
// written for people and for the other nodes is its publisher's, from goroutines
// beside it.
type Keeper struct {
	*local
	*publisher
	rounds

	urgent signal.Signal // the want changed
	hinted signal.Signal // a hint
	moved  signal.Signal // another member is the preferred one

	identities *newest[Identity]
	lastAsk    atomic.Value // string: the request told last
	faults     faultBoard
}

// local is what the rounds of one local Redis and its publisher share: what never
// changes, and what the newest of others is, under mu.
type local struct {
	store *Store
	cfg   KeeperConfig
	keys  keys
	log   hclog.Logger

	member atomic.Bool // as the newest round found

	mu    sync.Mutex
	want  Want
	redis watchdog.Redis // as the gate last saw it
}

// rounds is what only the goroutine of the rounds (Run) may touch.
type rounds struct {
	id        Identity
	fact      watchdog.Coordinator
	seen      snapshot         // of the last round that was answered
	floor     int64            // the highest revision seen: a lower one is of a past
	lostUntil watchdog.Instant // until then the coordinator counts as lost; zero: it does not
	asked     int64            // seconds our lease was asked for; zero: by an earlier run
	again     bool             // another round is due at once
	hurried   bool             // this round is run because the want changed
	orders    orderCache
	group     decoded[GroupRecord]
	master    decoded[MasterRecord]
	holding   decoded[Holding]
	last      decoded[LastHolding]
	data      decoded[DataRecord]
	dataAt    watchdog.Instant // of the record last written; zero: none in this life
	dataThen  watchdog.Instant // when it is written again if it moved; zero: when it is due
	diskTold  []byte           // what was last given to disks
	readsOf   watchdog.Address // of whom readsAre are
	readsAre  []clientv3.Op    // what is read with every round; nil: nothing was yet
}

// Keeper makes the keeper of one local Redis. It does nothing before Run.
func (s *Store) Keeper(cfg KeeperConfig) *Keeper {
	if cfg.Save == nil {
		cfg.Save = func(Identity) error { return nil }
	}
	if cfg.OnRound == nil {
		cfg.OnRound = func(time.Duration, error) {}
	}
	if cfg.OnAsk == nil {
		cfg.OnAsk = func(string) {}
	}
	if cfg.Failpoint == nil {
		cfg.Failpoint = func(string) {}
	}
	if cfg.Log == nil {
		cfg.Log = s.log
	}
	if cfg.seenLasts == 0 {
		cfg.seenEvery, cfg.seenLasts = seenEvery, seenLasts
	}
	if cfg.Identity.HolderID == "" {
		cfg.Identity.HolderID = rand.Text()
	}
	one := &local{store: s, cfg: cfg, keys: keysOf(s.prefix, cfg.Group), log: cfg.Log.With("group", cfg.Group, "node", cfg.Node)}
	k := &Keeper{
		local: one, publisher: newPublisher(one), rounds: rounds{id: cfg.Identity, floor: cfg.Identity.Revision},
		urgent: signal.New(), hinted: signal.New(), moved: signal.New(),
		identities: newNewest[Identity](),
	}
	k.identities.set(k.id)
	return k
}

// Want sets what shall become true, in place of what was wanted before. It
// never blocks.
func (k *Keeper) Want(w Want) {
	k.mu.Lock()
	urgent, other := k.want.urgent(w), !slices.Equal(k.want.Listed, w.Listed)
	k.want = w
	k.mu.Unlock()
	if other {
		k.relist.Raise()
	}
	if urgent {
		k.urgent.Raise()
	}
}

func (l *local) newestWant() Want {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.want
}

// Hint runs a round soon: something has changed. It never blocks.
func (k *Keeper) Hint() { k.hinted.Raise() }

// Run goes round until ctx ends, and calls report after every round, from the
// one goroutine. Ending it gives nothing up: the lease runs out unless another
// Run with the same identity takes it up again.
func (k *Keeper) Run(ctx context.Context, report func(watchdog.Coordinator)) error {
	var beside sync.WaitGroup
	defer beside.Wait()
	beside.Go(func() { k.saveIdentities(ctx) })
	beside.Go(func() { k.watch(ctx) })
	k.publish(ctx, &beside)

	defer k.store.together.joins()()
	defer k.store.leases.ends(k)
	preferred := k.store.preferred.Load()
	for wait := time.Duration(0); ; {
		if err := k.pause(ctx, wait); err != nil {
			return err
		}
		began := k.store.now()
		want := k.newestWant()
		err := k.round(ctx, want)
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		k.member.Store(k.fact.Membership == watchdog.Member)
		if err == nil {
			k.heardAsk(k.seen.ask.value)
			k.tellData(want)
			k.tellDisk(want)
		}
		if want.holding() {
			k.store.renewed(k.store.now().Sub(began), want.round())
		}
		k.faults.setRound(err, k.fact)
		k.logRound(err)
		k.cfg.OnRound(k.store.now().Sub(began), err)
		report(k.fact)

		if at := k.store.preferred.Load(); at != preferred {
			preferred = at
			k.moved.Raise()
		}
		wait = began.Beat(want.round()).Sub(k.store.now())
		if k.again {
			k.again, wait = false, hintsApart
		}
	}
}

// pause waits until the next round is due, the want has changed, or a hint has
// come; hints wait a little for one another.
func (k *Keeper) pause(ctx context.Context, wait time.Duration) error {
	began := time.Now()
	due := time.NewTimer(max(wait, 0))
	defer due.Stop()
	k.hurried = false
	select {
	case <-ctx.Done():
		return context.Cause(ctx)
	case <-due.C:
		return nil
	case <-k.urgent:
		k.hurried = true
		return nil
	case <-k.hinted:
	}
	due.Reset(min(wait, hintsApart) - time.Since(began))
	select {
	case <-ctx.Done():
		return context.Cause(ctx)
	case <-due.C:
	case <-k.urgent:
		k.hurried = true
	}
	return nil
}

// logRound logs the first failure of a streak and its end.
func (k *Keeper) logRound(err error) {
	failed, streak := k.faults.streak(err != nil)
	switch {
	case err != nil && streak == 1:
		k.log.Warn("coordinator round failed", "error", err)
	case err == nil && failed > 0:
		k.log.Info("coordinator answers again", "failed_rounds", failed)
	}
}

// saveIdentities keeps what must outlive a restart. What cannot be saved holds
// nothing up, and is tried again until a newer one takes its place.
func (k *Keeper) saveIdentities(ctx context.Context) {
	var failed error
	for {
		id, err := k.takeIdentity(ctx, failed != nil)
		if err != nil {
			return
		}
		err = k.cfg.Save(id)
		k.identities.settle(true)
		k.faults.setSave(err)
		if err != nil {
			if failed == nil {
				k.log.Warn("save identity failed", "error", err)
			}
			failed = err
			continue
		}
		failed = nil
		k.cfg.Failpoint(FailIdentitySaved)
	}
}

// takeIdentity waits for a newer identity, or after a failure for saveAgain, when
// the same one is due again.
func (k *Keeper) takeIdentity(ctx context.Context, failed bool) (Identity, error) {
	if failed {
		pause := time.AfterFunc(saveAgain, func() { k.identities.ready.Raise() })
		defer pause.Stop()
	}
	return k.identities.take(ctx)
}

// saveAgain is when an identity that could not be saved is tried again.
const saveAgain = time.Second

// remember keeps the identity, once something in it has changed that must be
// known after a restart. The revision alone is kept now and then only.
func (k *Keeper) remember(change func(*Identity)) {
	before := k.id
	change(&k.id)
	same := before
	same.Revision = k.id.Revision
	if same != k.id || k.id.Revision < before.Revision || k.id.Revision/revisionsApart != before.Revision/revisionsApart {
		k.identities.set(k.id)
	}
}

// revisionsApart bounds how much of the highest revision a restart may forget.
const revisionsApart = 64
