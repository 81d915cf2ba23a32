package gate

import (
	"context"
	"crypto/rand"
	"crypto/tls"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/hashicorp/go-hclog"

	"github.com/redis-watchdog/redis-watchdog/fencing/gate/resp"
	"github.com/redis-watchdog/redis-watchdog/watchdog"
	"github.com/redis-watchdog/redis-watchdog/watchdog/signal"
)

// Killer kills a Redis through the service manager, in a way that does not
// start it again into serving.
type Killer interface {
	// Kill is asked to end the process pid of Redis' own reckoning (0: not
	// known), which is the Redis of that run id.
	Kill(ctx context.Context, pid int, runID string) error
}

// Store keeps descriptors beyond our own death (systemd's descriptor store).
type Store interface {
	// Store keeps a copy of conn. The caller closes conn.
	Store(name string, conn *os.File) error
	Remove(name string) error
}

// Config is what a Gate is made of. Address or Socket, and Now, must be set.
type Config struct {
	Address  string // host:port
	Socket   string // a unix socket, preferred to Address
	Username string // empty: the default user
	Password string
	TLS      *tls.Config // of Address; nil: none

	// Commands are renamed commands: the real name to the one Redis knows.
	Commands map[string]string

	Now    func() watchdog.Instant
	Log    hclog.Logger // nil: none
	Killer Killer       // nil: Redis is never killed
	Store  Store        // nil: an armed fence dies with us

	// Adopted are the sockets that Store kept over our restart, each named
	// (os.File.Name) as it was stored. New takes them over.
	Adopted []*os.File

	// Originals is the last value given to Record; zero: none.
	Originals Originals
	// Record keeps the operator's values on disk. It is called from a
	// goroutine of its own, one call at a time, never on the fence path, and
	// what it was given counts as kept when it returns nil. nil: not kept.
	Record func(Originals) error

	// Stalled is told when Redis answers again after it did not; it is called by the
	// goroutine that looks at Redis and must not block. nil: nobody is told.
	Stalled func(Stall)
	// Same is the one spelling of whom Redis says that it follows, which may be the
	// name of a host; empty: it is not known whose it is. It is called with every
	// look, and must not wait. nil: as Redis spells it.
	Same func(spelled watchdog.Address) watchdog.Address
	// Spelled is how the Sentinels spell a Redis that is to be followed: so it is
	// given to REPLICAOF, and stands in redis.conf. It must not wait. nil: as it is.
	Spelled func(watchdog.Address) watchdog.Address

	// NoRewrite is why CONFIG REWRITE must not be sent, until AllowRewrite says
	// otherwise; empty: it may be.
	NoRewrite string

	// Late is by how much this process was run late lately; zero: it is in time. It is
	// called before a fence is armed, and must not wait. nil: it is always in time.
	Late func() time.Duration

	// PollEvery is how often Redis is looked at when all is idle, until
	// SetPollEvery says otherwise; zero: 250 ms.
	PollEvery time.Duration

	// Failpoint is called at every named step; for crash tests. nil: none.
	Failpoint func(name string)

	pauseFor time.Duration // of one CLIENT PAUSE; zero: pauseFor. Tests set it
}

const (
	defaultPoll  = 250 * time.Millisecond
	fastPoll     = 100 * time.Millisecond // while holding, shut or opening
	lookTimeout  = 300 * time.Millisecond // after which a Redis is called silent
	lookFresh    = 50 * time.Millisecond  // a look this young is not taken again for a deadline that moved
	stepTimeout  = time.Second            // for a change that is not the fence
	pauseFor     = 300 * time.Millisecond // one CLIENT PAUSE
	fenceRetry   = 20 * time.Millisecond  // after -BUSY
	loadRetry    = 2 * time.Millisecond   // after -LOADING: readers are answered from when it has loaded until the next fence
	wantedSpares = 2
)

// Gate works the gate of one local Redis.
type Gate struct {
	conf     Config
	log      hclog.Logger
	commands commands
	key      string // XREAD waits for it in vain

	wake      signal.Signal // the worker: turn now
	fenceWake signal.Signal // the fencer: look at the want
	redial    signal.Signal // the keeper: a connection is gone or taken
	conns     sync.WaitGroup
	stops     sync.WaitGroup // kills under way
	diskJobs  *jobQueue      // disk
	storeJobs *jobQueue      // systemd's descriptor store

	mu             sync.Mutex // never held over anything that waits
	want           watchdog.Gate
	wanted         bool             // a want has come
	wantedAt       watchdog.Instant // when its Access was first wanted
	fenceSent      bool             // since Refuse is wanted
	fencing        *call            // the newest fence sent; nil: none
	changes        uint64           // steps sent that are no fence
	settled        uint64           // of them, those that what was last seen, or a fence that was proved, came after
	changed        *call            // the newest of them; nil: none
	opening        *call            // the newest that makes a fenced Redis a master; nil: none
	primary        *conn
	peeked         *conn            // the primary connection behind which Redis was asked for its role before it was fenced again
	fenceNotBefore watchdog.Instant // it was a replica then, and is not fenced before
	spares         []*conn
	noPrimary      watchdog.Instant // since when there is no primary connection
	dialErr        error
	failures       int // to connect, since one did: those in a row that did not take longer than they may
	lateDials      int // of them, in a row, those that were not counted for that; lateTurns at the most
	caps           capabilities
	seen           watchdog.Redis
	fence          script // prepared
	arm            script // likewise
	pause          script // likewise
	details        Details
	faults         map[string]Fault
	noRewrite      rewriteBlock     // of CONFIG REWRITE
	fences         []*armed         // those that are armed, or may be
	provedAt       watchdog.Instant // when a fence was last seen to refuse
	lastAnswer     watchdog.Answer  // the last that was no silence
	refused        bool             // and it was that it refuses
	heardAt        watchdog.Instant // when Redis said its first word after it was gone
	leavesArmed    bool             // LeaveArmed was called
	left           []*os.File       // what it kept
	waiting        bool             // for a Redis that does not answer, since Refuse was wanted
	trying         trying           // the fence that is due
	stopped        bool             // the Redis of stoppedID was killed since Refuse was wanted
	stoppedID      string
	stopAgain      watchdog.Instant // not before, after a kill that failed

	sent    atomic.Int64 // commands
	garbage atomic.Int64
	every   atomic.Int64 // the poll period in force
	firedAt atomic.Int64 // the watchdog.Instant at which an armed fence was last seen to fire; zero: none was
	lostAt  atomic.Int64 // likewise, at which the connection of one ended without our doing, by its fire or another's

	worker worker // touched by the worker's goroutine only
}

func (g *Gate) same(a watchdog.Address) watchdog.Address {
	if g.conf.Same == nil {
		return a
	}
	return g.conf.Same(a)
}

func (g *Gate) spelled(a watchdog.Address) watchdog.Address {
	if g.conf.Spelled == nil {
		return a
	}
	return g.conf.Spelled(a)
}

// New checks conf. Nothing is touched before Run.
func New(conf Config) (*Gate, error) {
	if conf.Address == "" && conf.Socket == "" {
		return nil, errors.New("gate: neither address nor socket of Redis")
	}
	if conf.Now == nil {
		return nil, errors.New("gate: no clock")
	}
	if conf.PollEvery <= 0 {
		conf.PollEvery = defaultPoll
	}
	if conf.pauseFor <= 0 {
		conf.pauseFor = pauseFor
	}
	if conf.Late == nil {
		conf.Late = func() time.Duration { return 0 }
	}
	if conf.Log == nil {
		conf.Log = hclog.NewNullLogger()
	}
	renamed := make(map[string]string, len(conf.Commands))
	for real, as := range conf.Commands {
		renamed[strings.ToUpper(real)] = as
	}
	var random [8]byte
	if _, err := rand.Read(random[:]); err != nil {
		return nil, fmt.Errorf("gate: name a key: %w", err)
	}
	g := &Gate{
		conf:      conf,
		log:       conf.Log,
		commands:  commands{renamed},
		key:       "redis-watchdog:never:" + hex.EncodeToString(random[:]),
		wake:      signal.New(),
		fenceWake: signal.New(),
		redial:    signal.New(),
		faults:    map[string]Fault{},
		noRewrite: rewriteBlock{why: conf.NoRewrite},
		diskJobs:  newJobQueue(),
		storeJobs: newJobQueue(),
	}
	g.details.LagSeconds = -1
	g.every.Store(int64(conf.PollEvery))
	g.worker.originals = conf.Originals
	g.worker.kept = conf.Originals
	g.details.Originals, g.details.Recorded = conf.Originals, conf.Originals
	g.prepare(assumed())
	g.adopt(conf.Adopted)
	return g, nil
}

// Run works the gate until ctx is done and ends with its cause. Everything it
// started has ended by then; its connections are closed, so that an armed
// fence stays armed only where Store kept its descriptor, or LeaveArmed was called.
// report must not block.
func (g *Gate) Run(ctx context.Context, report func(watchdog.Redis)) error {
	g.mu.Lock()
	g.noPrimary = g.conf.Now()
	g.mu.Unlock()
	ctx, cancel := context.WithCancelCause(ctx)
	var wait sync.WaitGroup
	wait.Go(func() { g.diskJobs.run(ctx) })
	wait.Go(func() { g.storeJobs.run(ctx) })
	g.watchAdopted()
	wait.Go(func() { g.fillPool(ctx) })
	wait.Go(func() { g.fencer(ctx) })
	g.reconcile(ctx, report)
	cancel(nil)
	wait.Wait()
	g.leave()
	g.closeAll()
	g.conns.Wait()
	g.stops.Wait()
	return context.Cause(ctx)
}

// Want tells what the gate shall be. It never blocks; the newest wins.
func (g *Gate) Want(w watchdog.Gate) {
	now := g.conf.Now()
	g.mu.Lock()
	old, first := g.want, !g.wanted
	// A deadline that only moves on is of no interest before the fence that
	// stands is to be put off.
	news := first || !same(old, w) || armWanted(old) != armWanted(w)
	for _, a := range g.fences {
		news = news || w.Arm != old.Arm && g.due(a, w.Arm)
	}
	urgent := (first || old.Access != w.Access || old.StopBy != w.StopBy) && (w.Access == watchdog.Refuse || w.Access == watchdog.Hold)
	g.want, g.wanted = w, true
	urgent = urgent || opens(old) && g.fenceDue()
	if w.Access != watchdog.Refuse {
		g.stopped, g.stopAgain, g.waiting = false, 0, false
	}
	if first || old.Access != w.Access {
		g.wantedAt, g.fenceSent = now, false
	}
	g.mu.Unlock()
	if urgent {
		g.fenceWake.Raise()
	}
	if news {
		g.wake.Raise()
	}
}

// SetPollEvery says how often Redis is looked at when all is idle. It never
// blocks.
func (g *Gate) SetPollEvery(d time.Duration) { g.every.Store(int64(d)) }

// ObserveNow makes the gate look at Redis now.
func (g *Gate) ObserveNow() {
	g.worker.hinted.Store(true)
	g.wake.Raise()
}

func (g *Gate) fail(name string) {
	if g.conf.Failpoint != nil {
		g.conf.Failpoint(name)
	}
}

// wish is the newest want; false when none has come.
func (g *Gate) wish() (watchdog.Gate, bool) {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.want, g.wanted
}

// same says whether a step decided for w still serves n. The deadlines move
// with every renewal and are no reason to begin anew.
func same(w, n watchdog.Gate) bool {
	w.Arm, w.StopBy, w.StopArmed, n.Arm, n.StopBy, n.StopArmed = 0, 0, 0, 0, 0, 0
	return w == n
}

// opens says whether w lets a fenced Redis be made a master.
func opens(w watchdog.Gate) bool {
	return w.Open && (w.Access == watchdog.Lock || w.Release)
}

var (
	errNoPrimary  = errors.New("no connection to Redis")
	errSuperseded = errors.New("superseded by a newer want")
	errUnanswered = errors.New("Redis has not answered")
	errNoSpare    = errors.New("no spare connection yet")
	errBroken     = errors.New("the connection ended") // with whatever was sent on it, and nothing was refused
)

// change sends s over the primary connection, if the newest want is still w, and
// waits for the answers. An error among them is not its error. The check and the
// send are one step for the fencer: see the package's first promise.
func (g *Gate) change(ctx context.Context, w watchdog.Gate, s script) ([]resp.Reply, error) {
	return g.step(ctx, w, s, false)
}

// step is change; opening says that s makes a fenced Redis a master.
func (g *Gate) step(ctx context.Context, w watchdog.Gate, s script, opening bool) ([]resp.Reply, error) {
	g.mu.Lock()
	if !same(w, g.want) {
		g.mu.Unlock()
		return nil, errSuperseded
	}
	h := g.primary
	if h == nil {
		g.mu.Unlock()
		return nil, errNoPrimary
	}
	k := h.send(s.bytes, s.n, g.conf.Now(), nil)
	g.changes++
	g.changed = k
	if opening {
		g.opening = k
	}
	g.mu.Unlock()
	if !k.wait(ctx, stepTimeout) {
		return nil, errUnanswered
	}
	if k.err != nil {
		return k.replies, fmt.Errorf("%w: %w", errBroken, k.err)
	}
	return k.replies, nil
}

// ask sends s over the primary connection whatever is wanted: for what changes nothing.
func (g *Gate) ask(ctx context.Context, s script, d time.Duration) ([]resp.Reply, error) {
	g.mu.Lock()
	h := g.primary
	g.mu.Unlock()
	if h == nil {
		return nil, errNoPrimary
	}
	k := h.send(s.bytes, s.n, g.conf.Now(), nil)
	if !k.wait(ctx, d) {
		return nil, errUnanswered
	}
	return k.replies, k.err
}
