package gate

// The fence path. Nothing here dials, logs, resolves or waits for a disk
// before the fence is sent.

import (
	"context"
	"slices"
	"strconv"
	"time"

	"github.com/redis-watchdog/redis-watchdog/fencing/gate/resp"
	"github.com/redis-watchdog/redis-watchdog/watchdog"
)

const (
	refenceEvery  = 100 * time.Millisecond // while Redis is not seen to refuse
	stopGrace     = 100 * time.Millisecond // a fence is tried for so long, however late it was wanted or sent, or Redis came up
	lateTurns     = 20                     // are no sign of a Redis that does not refuse; whoever is late for good kills all the same
	stopPatience  = 3 * time.Second        // with a Redis that has not said a word yet
	stopLookAgain = 10 * time.Millisecond  // before a Redis is killed
	dialFailures  = 3                      // before one is killed that cannot be connected to
	stopTimeout   = 10 * time.Second
	stopRetry     = time.Second
)

// fencer sends the fence (and the first pause of a hold) and does nothing
// else. An unanswered fence is left where it is: Redis runs it when it wakes.
func (g *Gate) fencer(ctx context.Context) {
	timer := time.NewTimer(time.Hour)
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-g.fenceWake:
		case <-timer.C:
		}
		timer.Reset(g.fenceOnce(ctx))
	}
}

// fenceOnce sends what is wanted and waits for the answer; it returns when to
// try again.
func (g *Gate) fenceOnce(ctx context.Context) time.Duration {
	const idle = time.Hour
	g.mu.Lock()
	want, h, seen := g.want, g.primary, g.seen
	due, blind := g.fenceDue(), seen.Answer != watchdog.Up
	switch {
	case !due && want.Access == watchdog.Hold && g.wanted:
		g.trying = trying{}
		if h != nil && g.caps.PauseWrite && seen.Role == watchdog.Master {
			h.send(g.pause.bytes, g.pause.n, g.conf.Now(), nil)
		}
		g.mu.Unlock()
		g.fail("gate.hold.sent")
		g.clearFault("fence_incomplete")
		return idle
	case !due:
		g.trying = trying{}
		g.mu.Unlock()
		g.clearFault("fence_incomplete") // none is wanted now, or it stands
		return idle
	case h == nil: // a new primary connection wakes us
		g.mu.Unlock()
		return g.stopIfLate(ctx)
	case (seen.Role == watchdog.Nowhere && seen.Answer != watchdog.Up || g.firedSince(seen) || g.overdue()) && g.settled == g.changes && !want.AnyRole:
		if h != g.peeked {
			g.peeked, g.fenceNotBefore = h, 0
			g.mu.Unlock()
			return g.peek(ctx, h)
		}
		if left := g.fenceNotBefore.Sub(g.conf.Now()); left > 0 {
			g.mu.Unlock()
			return left
		}
	}
	at, behind := g.wantedAt, g.changes
	begun := g.conf.Now()
	if want.Access != watchdog.Refuse {
		at = begun
	}
	k := h.send(g.fence.bytes, g.fence.n, begun, nil)
	g.fenceSent, g.fencing = true, k
	g.mu.Unlock()
	g.fail("gate.fence.sent")
	re := g.awaitFence(ctx, k, behind)
	if re == nil {
		return refenceEvery
	}
	proved, again := g.judge(re)
	g.mu.Lock()
	g.fencing = nil
	g.mu.Unlock()
	if proved {
		g.fail("gate.fence.answered")
		g.fenced(at, begun, behind, blind)
		return idle
	}
	g.wake.Raise()
	return min(again, g.stopIfLate(ctx))
}

const lookFirst = 50 * time.Millisecond // for a role, of a Redis that was fenced when it was last heard

// peek asks the Redis behind a new connection for its role before it is fenced
// again, and returns when the fencer is to look at the want again. The fence that
// was armed in it has fired, and ended the former connection with what was wanted
// there; to fence it once more would cut the Sentinels a second time. Or, that the
// former connection ended is how it is noticed that Sentinel has made the fenced
// Redis a replica; to fence it then would only have Sentinel do it again. One
// that is a master by now, or does not answer at once, is fenced at once.
func (g *Gate) peek(ctx context.Context, h *conn) time.Duration {
	s := script{}.with(g.commands, "ROLE")
	k := h.send(s.bytes, s.n, g.conf.Now(), nil)
	if k.wait(ctx, lookFirst) && k.err == nil && len(k.replies[0].Elems) > 0 && k.replies[0].Elems[0].Text == "slave" {
		g.mu.Lock()
		g.fenceNotBefore = g.conf.Now().Add(lookTimeout) // the worker's look tells the rest
		g.mu.Unlock()
		g.wake.Raise()
	}
	return 0
}

// fenceDue says whether a fence is to be sent. g.mu is held.
//
// A step that was sent to a Redis that froze runs when it wakes, and what was
// seen before that step tells nothing of what will be then. So a Refuse is
// satisfied only by what was seen behind the last step; and an open that has
// not been answered is taken back by a fence as soon as it is no longer wanted,
// whatever is: a fenced Redis stays fenced without Open. Redis executes what
// waits on one connection without serving others in between. An opening that
// has a connection of its own (openArmed), or whose connection has ended
// meanwhile, is killed by the fence on another, or comes before it and is taken
// back before anybody is answered; one that came after it would be fenced again
// as soon as it is answered.
func (g *Gate) fenceDue() bool {
	switch {
	case !g.wanted:
		return false
	case g.want.Access == watchdog.Refuse:
		s := g.seen
		return g.settled != g.changes || !(s.Refusing && s.Answer == watchdog.Up && s.Role == watchdog.Nowhere) && g.provedAt == 0 && !g.spared(s)
	}
	return g.opening != nil && !g.opening.finished() && g.settled != g.changes && !opens(g.want)
}

// spared says whether a Redis that is to refuse is seen to be a replica, which the
// want leaves as it is: its owner has not yet heard what it is. g.mu is held.
func (g *Gate) spared(seen watchdog.Redis) bool {
	return seen.Role == watchdog.Replica && seen.Answer == watchdog.Up && !g.want.AnyRole
}

// awaitFence waits for the answers to a fence, however long, and has Redis
// stopped meanwhile when it is time. nil: there will be none, or a step was
// sent behind the fence (behind is how many went before it) and there must be
// another.
func (g *Gate) awaitFence(ctx context.Context, k *call, behind uint64) []resp.Reply {
	woken := false
	defer func() {
		if woken { // for something that comes after this fence
			g.fenceWake.Raise()
		}
	}()
	answers := func() []resp.Reply {
		if k.err != nil {
			return nil
		}
		return k.replies
	}
	for {
		if k.finished() { // what came while we were not run is not missing
			return answers()
		}
		t := time.NewTimer(g.stopIfLate(ctx))
		select {
		case <-k.done:
			t.Stop()
			return answers()
		case <-ctx.Done():
			t.Stop()
			return nil
		case <-g.fenceWake:
			woken = true
			t.Stop()
			g.mu.Lock()
			again := g.changes != behind && g.fenceDue()
			g.mu.Unlock()
			if again {
				return nil
			}
		case <-t.C:
		}
	}
}

// judge reads the answers to a fence: whether Redis was seen to refuse, and if
// not when to try again.
func (g *Gate) judge(re []resp.Reply) (proved bool, again time.Duration) {
	n := len(re)
	role, get, del := re[n-3], re[n-2], re[n-1]
	for _, r := range re {
		if r.ErrorIs("BUSY", "LOADING") {
			if r.ErrorIs("BUSY") { // told before the next look tells it
				g.mu.Lock()
				g.seen.Answer = watchdog.Busy
				g.mu.Unlock()
				return false, fenceRetry
			}
			return false, loadRetry
		}
	}
	nowhere := role.Kind == '*' && len(role.Elems) >= 3 && role.Elems[0].Text == "slave" &&
		isNowhere(role.Elems[1].Text, strconv.FormatInt(role.Elems[2].Num, 10))
	if nowhere && refusesRead(get) && refusesWrite(del) {
		return true, 0
	}
	if nowhere && (get.ErrorIs("NOPERM") || del.ErrorIs("NOPERM")) {
		g.ObserveNow() // we may not try: the worker reads the parameters instead
		return false, refenceEvery
	}
	text := refusals(re[:n-3])
	g.setFault(Fault{
		ID: "fence_incomplete", Severity: watchdog.SeverityError, Text: "the fence did not make Redis refuse: " + text,
		Remedy: remedyFor(g.redisVersion(), text),
	})
	return false, refenceEvery
}

// refusals is the first error in the answers to a fence that matters.
func refusals(re []resp.Reply) string {
	for _, r := range re {
		if r.IsError() && !isNoFailover(r) {
			return r.Text
		}
	}
	return "no command of it was refused"
}

// isNoFailover is the answer to FAILOVER ABORT when there is none.
func isNoFailover(r resp.Reply) bool { return r.Text == "ERR No failover in progress." }

// fenced takes note that the fence was seen to stand.
func (g *Gate) fenced(wantedAt, begun watchdog.Instant, behind uint64, blind bool) {
	now := g.conf.Now()
	g.mu.Lock()
	g.seen.Role, g.seen.Refusing, g.seen.Answer = watchdog.Nowhere, true, watchdog.Up
	g.provedAt, g.refused = now, true
	if g.opening == nil || g.opening.finished() { // else that may come yet, on its own connection
		g.settled = max(g.settled, behind)
	}
	g.details.Fences++
	if blind {
		g.details.Blind++
	}
	g.details.LastFence = FenceTiming{At: now, Decision: now.Sub(wantedAt), Command: now.Sub(begun)}
	g.mu.Unlock()
	g.clearFault("fence_incomplete")
	g.log.Info("fenced: Redis refuses", "after", now.Sub(wantedAt).String(), "command", now.Sub(begun).String())
	g.wake.Raise()
}

// trying is for how long a fence has been tried, counted in the time in which we
// were run: an answer that came while we were not waits to be read, and its Redis
// is not one that does not answer. The zero trying has not begun.
type trying struct {
	tried time.Duration
	at    watchdog.Instant // of the last turn
	rests time.Duration    // from that to the next, as it was meant
	late  int              // turns that came too late to count
	quiet int              // turns in a row, this one too, at which nothing that Redis has said waited to be read

	lost, noPrimary             watchdog.Instant // when an armed fence and when the primary connection ended, as seen at that turn
	lostTried, lostPrimaryTried time.Duration    // tried, when that was seen first
}

// turn counts the time since the last turn; nothing when it comes late, so that
// there is another look, and no more than was meant when lateTurns have.
func (t *trying) turn(now, lost, noPrimary watchdog.Instant) {
	switch since := now.Sub(t.at); {
	case t.at == 0:
	case since > t.rests+refenceEvery && t.late < lateTurns:
		t.late++
	default:
		t.tried += min(since, t.rests)
	}
	t.at = now
	if lost != t.lost {
		t.lost, t.lostTried = lost, t.tried
	}
	if noPrimary != t.noPrimary {
		t.noPrimary, t.lostPrimaryTried = noPrimary, t.tried
	}
}

// firedSince says that an armed fence fired, and nothing was seen of Redis since.
func (g *Gate) firedSince(seen watchdog.Redis) bool {
	lost := watchdog.Instant(g.lostAt.Load())
	return lost != 0 && lost == watchdog.Instant(g.firedAt.Load()) && seen.SentAt <= lost
}

// overdue says that a fence is armed whose time is past, and of which nothing has been
// heard: Redis stands still, or what it said is on its way. g.mu is held.
func (g *Gate) overdue() bool {
	now := g.conf.Now()
	return slices.ContainsFunc(g.fences, func(a *armed) bool { return a.mayFire() && a.checked && a.deadline != 0 && a.deadline <= now })
}

// armedIn says that a Redis which answers nobody carries an armed fence: before
// it answers anybody past that one's time, it refuses. One that ended this moment
// counts, and one that fired until Redis was asked anew or has had its time to
// answer: it fired, or one did that was hung up and that Redis had not seen to be,
// and that Redis refuses is seen by the next look only. g.mu is held.
func (g *Gate) armedIn(seen watchdog.Redis, now watchdog.Instant) bool {
	t, lost := g.trying, watchdog.Instant(g.lostAt.Load())
	if g.firedSince(seen) && t.tried-t.lostTried < stopPatience {
		return true
	}
	unanswered := g.fencing != nil && (!g.fencing.finished() || g.fencing.err == nil) // that is, not judged
	if g.primary == nil {                                                             // its end may be the fence's doing
		unanswered = t.tried-t.lostPrimaryTried < lookTimeout
	}
	if seen.Answer != watchdog.Silent && seen.Answer != watchdog.Busy && !unanswered {
		return false
	}
	if lost != 0 && (now.Sub(lost) < lookTimeout || t.tried-t.lostTried < lookTimeout) {
		return true
	}
	for _, a := range g.fences {
		if a.mayFire() && a.checked && a.deadline != 0 {
			return true
		}
	}
	return false
}

// stopIfLate kills a Redis that is not seen to refuse by its time, once, and
// returns when to ask again.
func (g *Gate) stopIfLate(ctx context.Context) (rests time.Duration) {
	g.mu.Lock()
	defer g.mu.Unlock()
	now := g.conf.Now() // not before the lock, which may be waited for
	g.trying.turn(now, watchdog.Instant(g.lostAt.Load()), g.noPrimary)
	if g.trying.quiet++; g.unread() {
		g.trying.quiet = 0
	}
	defer func() { g.trying.rests = rests }()
	want, seen := g.want, g.seen
	if g.conf.Killer == nil || want.Access != watchdog.Refuse || want.StopBy == watchdog.Never {
		return time.Second
	}
	// StopBy may be long past when a Redis that was gone comes back: its fence
	// is on the way then.
	by := want.StopBy.Max(g.wantedAt.Max(g.heardAt).Add(stopGrace))
	if g.lastAnswer == watchdog.Silent || g.lastAnswer == watchdog.Absent {
		since := g.noPrimary // it may be one that is just beginning to load
		if g.primary != nil && g.primary.ready.Load() {
			since = g.primary.born
		}
		by = by.Max(since.Add(stopPatience))
	}
	by = by.Max(g.stopAgain)
	if left := stopGrace - g.trying.tried; left > 0 {
		by = by.Max(now.Add(left))
	}
	if now < by { // a turn that rests for long does not tell for how much of it we were run
		return max(min(by.Sub(now), refenceEvery), time.Millisecond)
	}
	refusing := g.refusing(now)
	if !refusing && now < want.StopArmed && g.armedIn(seen, now) {
		if !g.waiting {
			g.waiting = true
			g.log.Warn("Redis does not answer: the fence that is armed in it runs before it answers anybody", "run_id", seen.RunID)
		}
		return refenceEvery
	}
	if refusing || g.stopped && g.stoppedID == seen.RunID {
		return refenceEvery
	}
	if g.trying.quiet < 2 { // the reader may have taken an answer this moment
		return stopLookAgain
	}
	if g.primary == nil && g.failures < dialFailures { // who was not run has not tried
		return refenceEvery
	}
	g.stopped, g.stoppedID = true, seen.RunID
	again := g.stopAgain != 0
	pid, runID, heard, sent := g.details.PID, seen.RunID, now.Sub(seen.SentAt), "never"
	if g.fencing != nil {
		sent = now.Sub(g.fencing.sentAt).String()
	}
	g.stops.Go(func() {
		g.fail("gate.stop.begun")
		if !g.stillLate() {
			return
		}
		if !again {
			g.log.Error("Redis was not seen to refuse in time and is killed", "run_id", runID, "pid", strconv.Itoa(pid),
				"last_heard_ago", heard.String(), "unanswered_fence_sent_ago", sent)
		}
		ctx, cancel := context.WithTimeout(ctx, stopTimeout)
		defer cancel()
		if err := g.conf.Killer.Kill(ctx, pid, runID); err != nil {
			g.setFault(Fault{
				ID: "stop", Severity: watchdog.SeverityError, Text: "Redis does not refuse and cannot be killed: " + err.Error(),
				Remedy: "kill Redis by hand now: kill -9 " + strconv.Itoa(pid),
			})
			g.mu.Lock()
			g.stopped, g.stopAgain = false, g.conf.Now().Add(stopRetry)
			g.mu.Unlock()
		} else {
			g.mu.Lock()
			g.stopAgain = 0
			g.mu.Unlock()
			g.clearFault("stop")
		}
		g.fenceWake.Raise()
	})
	return refenceEvery
}
