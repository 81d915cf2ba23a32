package gate

// The opening of a fenced Redis, and the fence that is armed from that instant on.

import (
	"context"
	"fmt"
	"strconv"
	"time"

	"github.com/redis-watchdog/redis-watchdog/fencing/gate/resp"
	"github.com/redis-watchdog/redis-watchdog/watchdog"
)

const (
	openAgain = time.Minute // between two lines of the log about openings that fail

	// openFor is for how long the fence that goes with an opening is armed, at the
	// most: until the next takes its place, which takes some milliseconds. It
	// counts from when Redis executes the opening, so that it bounds for how long
	// one is open unwatched that stood still while the opening was on its way.
	openFor = time.Second
	// openBare is for how long an opening waits for what its fence needs.
	openBare = 500 * time.Millisecond
)

// openUp makes the fenced Redis a master, locked. The originals come back when
// it is seen to be one.
func (g *Gate) openUp(ctx context.Context, want watchdog.Gate) (bool, error) {
	w := &g.worker
	re, err := g.change(ctx, want, lockScript(g.commands, w.cur.lag))
	if err == nil {
		err = firstError(re)
	}
	if err != nil {
		return false, err
	}
	a, err := g.beneath(ctx, want)
	if err != nil {
		return false, err
	}
	g.fail("gate.unfence.begun")
	if now := g.conf.Now(); w.openedAt == 0 || now.Sub(w.openedAt) > openAgain { // refused, it is tried at every turn
		g.log.Info("making the fenced Redis a master again, locked")
		w.openedAt = now
	}
	if a != nil {
		re, err = g.openArmed(ctx, want, a)
	} else {
		re, err = g.step(ctx, want, openScript(g.commands, w.cur.lag), true)
	}
	if err != nil {
		return false, err
	}
	g.fail("gate.unfence.sent")
	w.rejoin = true // its values are the fence's still
	return true, firstError(re)
}

// beneath prepares the fence that is to be armed from the opening on; nil: none shall
// be, or none can be had.
//
// Nothing can be armed in a Redis that is fenced: it refuses XREAD, and all else
// that waits. So XREAD and the fence are sent behind the opening, in the same write
// on the same connection, and Redis executes them in one go: there is no instant in
// which it is open and no fence is armed. It need not be seen to block: refused, it
// lets the fence run, and Redis is fenced as it was.
func (g *Gate) beneath(ctx context.Context, want watchdog.Gate) (*armed, error) {
	w, now := &g.worker, g.conf.Now()
	if !armWanted(want) || !g.mayArm() || w.openBare {
		return nil, nil
	}
	had := min(want.Arm.Sub(now)-armGuard, openFor)
	if had < armLeast {
		return nil, errSuperseded // the newest evidence is on its way, or it stays shut
	}
	c := g.spare()
	if c != nil && c.id.Load() == 0 {
		c.close()
		c = nil
	}
	if c == nil {
		if w.openWaits == 0 {
			w.openWaits = now
		}
		if now.Sub(w.openWaits) > openBare { // no place for another client, and none comes free
			w.openWaits = 0 // the next opening is another
			return nil, nil
		}
		return nil, fmt.Errorf("%w for the fence that goes with an opening", errNoSpare)
	}
	a := &armed{c: c, id: c.id.Load(), had: had.Truncate(time.Millisecond), opens: lockScript(g.commands, w.cur.lag).n + 1}
	a.deadline = now.Add(a.had + storeWait + armSlack)
	g.store(ctx, a) // whoever comes after us finds it, should we die on the way
	return a, nil
}

// openArmed sends the opening with the fence of a behind it.
//
// It goes over the connection that is armed, not over the primary: a fence must
// never wait behind XREAD. What keeps it from being executed after a fence that was
// wanted later is that fence's CLIENT KILL, which ends this connection and what
// waits on it unread; and executed just before, it is taken back in the same turn
// of Redis' loop, before that answers anybody.
func (g *Gate) openArmed(ctx context.Context, want watchdog.Gate, a *armed) ([]resp.Reply, error) {
	w := &g.worker
	s := openScript(g.commands, w.cur.lag)
	now := g.conf.Now()
	k := newCall(s.n, now, func(*call) { g.fenceWake.Raise() }) // who looks whether it was still wanted
	a.xread = newCall(1, now, g.ends(a))
	g.mu.Lock()
	left := g.want.Arm.Sub(now) - armGuard // the newest, and the store was waited for
	if !same(want, g.want) || left < armLeast {
		g.mu.Unlock()
		a.close()
		g.remove(a.name)
		return nil, errSuperseded
	}
	a.had = min(a.had, left).Truncate(time.Millisecond)
	block := script{}.with(g.commands, "XREAD", "BLOCK", strconv.FormatInt(a.had.Milliseconds(), 10), "STREAMS", g.key, "$")
	all := s.then(block).then(g.arm)
	a.c.pipeline(all.bytes, k, a.xread, newCall(g.arm.n, now, nil))
	g.fences = append(g.fences, a)
	g.changes++
	g.changed, g.opening = k, k
	g.mu.Unlock()
	w.openWaits = 0
	if !k.wait(ctx, stepTimeout) {
		return nil, errUnanswered
	}
	if k.err != nil {
		return nil, fmt.Errorf("%w: %w", errBroken, k.err)
	}
	if a.xread.finished() && a.xread.err == nil && firstError(a.xread.replies) != nil {
		w.openBare = true // and so the fence ran: the next goes without
		return k.replies, firstError(a.xread.replies)
	}
	// The answers to the opening are written when XREAD has begun to block.
	g.mu.Lock()
	a.deadline, a.checked = g.conf.Now().Add(a.had+armSlack), true
	g.mu.Unlock()
	return k.replies, nil
}
