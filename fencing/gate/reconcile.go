package gate

// The worker: looks, and brings about everything that is not the fence.

import (
	"context"
	"errors"
	"net"
	"sync/atomic"
	"time"

	"github.com/redis-watchdog/redis-watchdog/fencing/gate/resp"
	"github.com/redis-watchdog/redis-watchdog/watchdog"
)

// worker is the state of the one goroutine that looks and changes.
type worker struct {
	hinted atomic.Bool // ObserveNow was called; the only field others touch

	pending *observation
	owed    debt
	on      *conn // what was looked at last
	seen    watchdog.Redis
	cur     settings

	dirty         bool   // what was read is no longer so: read all again
	noRole        bool   // ROLE is denied
	infoRole      string // role, as INFO replication last had it
	lockAt        watchdog.Instant
	restAt        watchdog.Instant
	replicationAt watchdog.Instant
	memoryAt      watchdog.Instant
	capsAt        watchdog.Instant
	capsOn        *conn
	missing       []lack // rights, as last tried
	missingSmall  []lack // likewise, of those that checkSmallRights tries
	missingQueued []lack // likewise, of those that it tries in a transaction
	smallDue      bool   // they are to be tried
	small         smallCheck
	heldAt        watchdog.Instant // the last CLIENT PAUSE of ours; zero: none, or taken back
	openedAt      watchdog.Instant // when the log was last told of an opening
	followedAt    watchdog.Instant // the last REPLICAOF of ours
	nowhere       string           // with the role nowhere: the host that it follows
	turnedAt      watchdog.Instant // since when
	putOutAt      watchdog.Instant // when clients were last put out of a Redis that refuses (Gate.PutOut), or it was first seen to be fenced; zero: it is not
	followed      watchdog.Address
	following     watchdog.Address // whom Redis follows, as it spells it

	originals Originals
	kept      Originals // what Record has on disk
	keeping   <-chan struct{}
	learntAt  watchdog.Instant // when originals last changed
	file      settings         // redis.conf's, read once when there is no record
	fileRead  <-chan struct{}

	firstLook  bool // of this run id
	rejoin     bool // what was fenced is a replica, not in sync yet
	killed     bool
	pid        int
	configFile string

	fencedSeen   bool // this run id was seen refusing: its redis.conf is to say so
	rewriteDue   bool
	rewriteAt    watchdog.Instant // not before
	rewroteAt    watchdog.Instant // when it was last asked for; zero: never
	rewritePause time.Duration    // after the next within rewriteAgain
	rewriting    *call
	rewroteOurs  Originals // as they are once it has been written

	armFailing watchdog.Instant // since when arming fails; zero: it does not
	armRetry   watchdog.Instant // not before
	armGuard   time.Duration    // taken off the time it is armed for; see armOnce
	openWaits  watchdog.Instant // since when an opening waits for a connection; zero: it does not
	openBare   bool             // this run's XREAD was refused behind an opening: it goes without
}

func (g *Gate) pausing(want watchdog.Gate) bool {
	return want.Access == watchdog.Hold && g.worker.seen.Role == watchdog.Master && g.capabilities().PauseWrite
}

// reconcile turns until ctx is done.
func (g *Gate) reconcile(ctx context.Context, report func(watchdog.Redis)) {
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-g.wake:
		case <-timer.C:
		}
		if g.worker.hinted.Swap(false) {
			g.worker.dirty = true
		}
		next := g.turn(ctx, report)
		timer.Reset(next)
	}
}

// turn looks once and takes the steps that are due; it returns how long to
// rest.
func (g *Gate) turn(ctx context.Context, report func(watchdog.Redis)) time.Duration {
	w := &g.worker
	for i := range 4 { // a step is looked at as soon as it is taken
		if !g.observedJustNow() {
			g.observe(ctx, report)
			if i == 0 && w.seen.Answer == watchdog.Up && g.conf.Now().Sub(w.seen.SentAt) > lookTimeout {
				continue // it stood still: what it was asked before tells of before
			}
		}
		if ctx.Err() != nil {
			return time.Hour
		}
		if w.seen.Answer != watchdog.Up {
			return g.rest()
		}
		g.checkRights(ctx)
		g.checkAdopted(ctx)
		g.learn()
		g.persist()
		want, wanted := g.wish()
		if !wanted {
			return g.rest()
		}
		acted, err := g.act(ctx, want)
		g.note(err)
		if !acted || err != nil {
			return g.rest()
		}
		w.dirty = true
	}
	return g.rest()
}

// note keeps account of a step that was refused.
func (g *Gate) note(err error) {
	switch {
	case err == nil:
		g.clearFault("gate_step")
	case errors.Is(err, errSuperseded), errors.Is(err, errNoPrimary), errors.Is(err, errUnanswered), errors.Is(err, errBroken), errors.Is(err, errNoSpare): // nothing was refused
	default:
		g.mu.Lock()
		g.details.Errors++
		g.mu.Unlock()
		g.setFault(Fault{
			ID: "gate_step", Severity: watchdog.SeverityError, Text: "a change of Redis was refused: " + err.Error(),
			Remedy: remedyFor(g.redisVersion(), err.Error()),
		})
	}
}

// rest is how long nothing has to be looked at.
func (g *Gate) rest() time.Duration {
	w := &g.worker
	want, _ := g.wish()
	every := time.Duration(g.every.Load())
	fast := want.Access == watchdog.Hold || w.seen.Answer != watchdog.Up ||
		w.seen.Role == watchdog.Nowhere || w.rejoin || want.Open || w.rewriting != nil
	if fast || want.Access == watchdog.Refuse {
		every = min(every, fastPoll)
	}
	now := g.conf.Now()
	next := now.Beat(every)
	if at := g.armDue(want); at != 0 {
		next = next.Min(at.Max(now.Add(time.Millisecond)))
	}
	return next.Sub(now)
}

// observedJustNow says whether the last look at a serving master still does: it
// was a moment ago, and nothing has been changed or hinted at since.
func (g *Gate) observedJustNow() bool {
	w := &g.worker
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.want.Access == watchdog.Serve && !w.dirty && w.pending == nil && g.primary != nil && w.on == g.primary &&
		w.seen.Answer == watchdog.Up && w.seen.Role == watchdog.Master && g.conf.Now().Sub(w.seen.SentAt) < lookFresh
}

// act takes the first step that is due. acted says that Redis has changed.
func (g *Gate) act(ctx context.Context, want watchdog.Gate) (acted bool, err error) {
	w := &g.worker
	if want.Access == watchdog.Refuse {
		if acted, err := g.putOut(ctx, want); acted || err != nil {
			return acted, err
		}
		return g.turnAway(ctx, want) // all else is the fencer's; what stands armed stands
	}
	w.putOutAt = 0
	if !g.lockFirst(want) {
		if acted, err := g.unhold(ctx, want); acted || err != nil {
			return acted, err
		}
	}
	if acted, err := g.disarmUnwanted(ctx, want); acted || err != nil {
		return acted, err
	}
	switch {
	case opens(want) && w.seen.Role == watchdog.Nowhere:
		return g.openUp(ctx, want)
	case want.Access == watchdog.Follow && want.Master != "" && want.Master != w.seen.Following &&
		(w.seen.Role != watchdog.Replica || w.following != g.spelled(want.Master)): // by a name that is not resolved now
		return g.follow(ctx, want)
	}
	return g.settle(ctx, want)
}

const turnEvery = 3 * time.Second

// turnAway keeps Sentinel from making a replica of a Redis that is fenced
// whatever it is. Once a replica has followed another than the master for a whole
// failover-timeout, each Sentinel re-points it with every INFO, once a second;
// that time begins anew whenever it follows somebody else (sentinel.c,
// sentinelRefreshInstanceInfo, slave_conf_change_time). So a fence by hand
// follows one nobody, and then another.
func (g *Gate) turnAway(ctx context.Context, want watchdog.Gate) (bool, error) {
	w, now := &g.worker, g.conf.Now()
	if !want.AnyRole || w.seen.Role != watchdog.Nowhere || !w.seen.Refusing || !g.capabilities().ReplicaOf {
		w.turnedAt = 0
		return false, nil
	}
	if w.turnedAt == 0 {
		w.turnedAt = now
	}
	if now.Sub(w.turnedAt) < turnEvery {
		return false, nil
	}
	w.turnedAt = now
	to := nowhereElse
	if w.nowhere == nowhereElse {
		to = nowhereHost
	}
	re, err := g.change(ctx, want, script{}.with(g.commands, "REPLICAOF", to, nowherePort))
	if err != nil {
		return false, err
	}
	return true, firstError(re)
}

// putOutEvery is longer than a Sentinel takes to begin a connection anew, to log in
// and to have a PING answered.
const putOutEvery = 5 * time.Second

// putOut ends the connections of a Redis that refuses, one more time: those of
// Sentinels whose login was refused. Sentinel begins no other while one is answered,
// whatever it is answered with. Nobody loses by it, for nobody is answered. It cures
// no other error that a PING is answered with (MISCONF of one that cannot save: that
// ends when it can), and does no harm there.
func (g *Gate) putOut(ctx context.Context, want watchdog.Gate) (bool, error) {
	w, now := &g.worker, g.conf.Now()
	if w.seen.Role != watchdog.Nowhere {
		w.putOutAt = 0
		return false, nil
	}
	// The fence has cut everybody just now. Cut once more, a Sentinel that is let in
	// would begin its next connection only a second later. It counts from the fence: a
	// Sentinel that is heard now and then would have the time begin anew for ever.
	if w.putOutAt == 0 {
		w.putOutAt = now
	}
	if !want.PutOut || !w.seen.Refusing || !g.capabilities().Kill || now.Sub(w.putOutAt) < putOutEvery {
		return false, nil
	}
	w.putOutAt = now
	re, err := g.change(ctx, want, script{}.with(g.commands, "CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes"))
	if err != nil {
		return false, err
	}
	return true, firstError(re)
}

// lockFirst says whether the lock is to be set, or taken off, while the writers
// still wait: one that goes on must meet what is wanted, not what was.
func (g *Gate) lockFirst(want watchdog.Gate) bool {
	w := &g.worker
	if w.heldAt == 0 || want.Access != watchdog.Lock && want.Access != watchdog.Serve || !w.cur.known() || !w.originals.Known {
		return false
	}
	return aim(want, w.seen, w.cur, w.originals, w.rejoin, g.capabilities().PauseWrite).lock != w.cur.lock
}

// unhold takes our pause back as soon as it is no longer wanted.
func (g *Gate) unhold(ctx context.Context, want watchdog.Gate) (bool, error) {
	w := &g.worker
	if w.heldAt == 0 || want.Access == watchdog.Hold {
		return false, nil
	}
	if g.conf.Now().Sub(w.heldAt) > g.conf.pauseFor {
		w.heldAt = 0
		return false, nil
	}
	re, err := g.change(ctx, want, script{}.with(g.commands, "CLIENT", "UNPAUSE"))
	if err != nil {
		return false, err
	}
	w.heldAt = 0
	g.fail("gate.hold.lifted")
	if err := firstError(re); err != nil { // it ends by itself, a little later
		g.log.Debug("pause not lifted", "error", err)
	}
	return true, nil
}

// follow makes Redis a replica of want.Master.
func (g *Gate) follow(ctx context.Context, want watchdog.Gate) (bool, error) {
	w := &g.worker
	now := g.conf.Now()
	if w.followed == want.Master && w.followedAt != 0 && now.Sub(w.followedAt) < time.Second {
		return false, nil // it was told so just now; telling it again would only begin the sync anew
	}
	host, port, err := net.SplitHostPort(string(g.spelled(want.Master)))
	if err != nil {
		return false, err
	}
	caps := g.capabilities()
	shut := w.seen.Role == watchdog.Master && caps.Config
	s := followScript(g.commands, caps, host, port, shut, !want.Unlocked && caps.Config)
	g.log.Info("following", "master", string(want.Master), "as", host, "from", string(w.following))
	g.fail("gate.rejoin.begun")
	if shut || w.seen.Role == watchdog.Nowhere {
		w.rejoin = true
	}
	re, err := g.change(ctx, want, s)
	if err != nil {
		return false, err
	}
	w.followed, w.followedAt = want.Master, now
	g.fail("gate.rejoin.sent")
	return true, firstError(re)
}

// settle brings the four parameters and the armed fence to where they belong:
// first what shuts, then the operator's values, then the armed fence, and the
// lock off last.
func (g *Gate) settle(ctx context.Context, want watchdog.Gate) (bool, error) {
	w := &g.worker
	if !w.cur.known() || !w.originals.Known {
		return g.armStep(ctx, want)
	}
	to := aim(want, w.seen, w.cur, w.originals, w.rejoin, g.capabilities().PauseWrite)
	if w.rejoin && w.seen.Role != watchdog.Nowhere && (w.seen.Role == watchdog.Master || w.seen.LinkUp) &&
		to.stale == w.cur.stale && to.prio == w.cur.prio {
		w.rejoin = false
		g.log.Info("back with the operator's values", "role", roleName(w.seen.Role), "following", string(w.seen.Following))
	}
	if to.lock == lockValue && to.lock != w.cur.lock || to.lag == lagValue && to.lag != w.cur.lag && to.lock == lockValue {
		return g.lock(ctx, want, to)
	}
	if to.stale != w.cur.stale || to.prio != w.cur.prio {
		return g.restore(ctx, want, to)
	}
	if acted, err := g.armStep(ctx, want); acted || err != nil {
		return acted, err
	}
	if to.lock != w.cur.lock {
		if want.Arm != 0 && w.seen.ArmedFor == 0 && !g.armIsOff() {
			return false, nil // not open before the fence stands
		}
		return g.unlock(ctx, want, to)
	}
	return false, nil
}

func (g *Gate) lock(ctx context.Context, want watchdog.Gate, to settings) (bool, error) {
	w := &g.worker
	if !g.recorded() {
		return false, nil
	}
	s := script{}.with(g.commands, "CONFIG", "SET", keyLock, lockValue)
	if to.lag != w.cur.lag {
		s = s.with(g.commands, "CONFIG", "SET", keyLag, to.lag)
	}
	g.fail("gate.lock.begun")
	re, err := g.change(ctx, want, s)
	if err != nil {
		return false, err
	}
	g.fail("gate.lock.sent")
	return true, firstError(re)
}

func (g *Gate) unlock(ctx context.Context, want watchdog.Gate, to settings) (bool, error) {
	w := &g.worker
	s := script{}.with(g.commands, "CONFIG", "SET", keyLock, to.lock)
	if to.lag != w.cur.lag {
		s = s.with(g.commands, "CONFIG", "SET", keyLag, to.lag)
	}
	g.fail("gate.unlock.begun")
	re, err := g.change(ctx, want, s)
	if err != nil {
		return false, err
	}
	g.fail("gate.unlock.sent")
	g.log.Info("write lock taken off")
	return true, firstError(re)
}

// restore sets serve-stale-data and the priority, both in one write: one of the
// fence's values without the other would be taken for the operator's.
func (g *Gate) restore(ctx context.Context, want watchdog.Gate, to settings) (bool, error) {
	w := &g.worker
	if veto := to.prio == vetoValue && w.originals.ReplicaPriority != vetoValue; veto {
		if !w.originals.Veto {
			w.originals.Veto, w.originals.Dirty = true, true
			w.learntAt = g.conf.Now()
			g.persist()
		}
		if !g.recorded() {
			return false, nil // or a crash would make our 0 the operator's
		}
	}
	var s script
	if to.stale != w.cur.stale {
		s = s.with(g.commands, "CONFIG", "SET", keyStale, to.stale)
	}
	if to.prio != w.cur.prio {
		s = s.with(g.commands, "CONFIG", "SET", keyPrio, to.prio)
	}
	g.fail("gate.restore.begun")
	re, err := g.change(ctx, want, s)
	if err != nil {
		return false, err
	}
	g.fail("gate.restore.sent")
	return true, firstError(re)
}

// firstError is the first error among the answers.
func firstError(re []resp.Reply) error {
	for _, r := range re {
		if err := r.Err(); err != nil {
			return err
		}
	}
	return nil
}

func roleName(r watchdog.Role) string {
	return [...]string{"unknown", "master", "replica", "nowhere"}[r]
}
