package gate

// The armed fence: see the package's documentation.

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/redis-watchdog/redis-watchdog/watchdog"
)

// armed is a fence that stands inside Redis, or did when last seen.
type armed struct {
	c        *conn    // nil when adopted
	adopted  net.Conn // the socket that systemd kept
	gone     atomic.Bool
	ended    atomic.Bool // by us: another stands for it
	xread    *call
	id       int64            // of the client that carries it; zero: not known
	deadline watchdog.Instant // when it fires at the latest; zero: not known
	had      time.Duration    // how long it had when armed
	guard    time.Duration    // by how much less that was than it might have had, where we are run late; see armOnce
	name     string           // in the store
	checked  bool             // seen to block
	opens    int              // how many answers to an opening come before that of XREAD; zero: it goes with none
}

const (
	armSlack   = 5 * time.Millisecond // for the milliseconds of Redis' clock
	armGuard   = 15 * time.Millisecond
	armGain    = 20 * time.Millisecond  // putting off by less is not worth it
	armGainTop = 200 * time.Millisecond // putting off by this much always is
	armLeast   = 40 * time.Millisecond  // nearer than that it is the fencer's
	armMost    = time.Hour
	armWait    = 200 * time.Millisecond // for one step of arming
	lateShare  = 2                      // times that by which we are run late is what a fence may be nearer for it
	storeWait  = 200 * time.Millisecond
	namePrefix = "armed-"
)

// mayFire says whether it may still fire.
func (a *armed) mayFire() bool {
	if a.c != nil {
		return a.c.alive() && !a.xread.finished()
	}
	return !a.gone.Load()
}

func (a *armed) close() {
	if a.c != nil {
		a.c.close()
		return
	}
	a.adopted.Close()
}

// shutdown ends the connection, whoever else has a copy of its socket.
func (a *armed) shutdown() {
	if a.c != nil {
		shutdown(a.c.sock)
		return
	}
	if s, ok := a.adopted.(syscall.Conn); ok {
		if raw, err := s.SyscallConn(); err == nil {
			shutdown(raw)
		}
	}
}

// drop is close that leaves a copy of the socket in force.
func (a *armed) drop() {
	if a.c != nil {
		a.c.drop()
		return
	}
	a.adopted.Close()
}

// armedFor is when the earliest of the fences that stand fires.
func (g *Gate) armedFor() watchdog.Instant {
	g.mu.Lock()
	defer g.mu.Unlock()
	first := watchdog.Instant(0)
	for _, a := range g.fences {
		if a.mayFire() && a.checked && a.deadline != 0 && (first == 0 || a.deadline < first) {
			first = a.deadline
		}
	}
	return first
}

// sortArmed forgets the fences that are no more and returns the rest, the
// earliest first known one as cur.
func (g *Gate) sortArmed() (all []*armed, cur *armed) {
	g.mu.Lock()
	var lost []*armed
	for _, a := range g.fences {
		if a.mayFire() {
			all = append(all, a)
			if a.checked && a.deadline != 0 && (cur == nil || a.deadline < cur.deadline) {
				cur = a
			}
		} else {
			lost = append(lost, a)
		}
	}
	g.fences = append([]*armed{}, all...)
	g.mu.Unlock()
	for _, a := range lost {
		a.close()
		g.remove(a.name)
	}
	return all, cur
}

// armWanted says whether a fence shall stand.
func armWanted(want watchdog.Gate) bool { return want.Arm != 0 && want.Arm != watchdog.Never }

// armDue is when armStep has something to do next; zero: no time is known.
func (g *Gate) armDue(want watchdog.Gate) watchdog.Instant {
	w := &g.worker
	if !armWanted(want) || want.Access == watchdog.Refuse || w.seen.Role != watchdog.Master || !g.mayArm() {
		return 0
	}
	_, cur := g.sortArmed()
	if w.armFailing != 0 || cur == nil {
		return w.armRetry
	}
	if g.due(cur, want.Arm) {
		return g.conf.Now()
	}
	return 0 // every want that moves it on wakes the worker
}

// due says whether another is to be armed in its place: it fires too late, or
// so much earlier than it might that putting it off is worth what that costs.
//
// It is put off with about every renewal of the evidence. Redis may stand still
// from now on, and then what counts is how far the fence was put off before: for
// what is left of it a healthy master may stand still and is not fenced.
//
// A process that is run late has them put off one after the other, in about the
// order in which they fire: one that was put off just now is not put off again
// while others have less left.
func (g *Gate) due(a *armed, arm watchdog.Instant) bool {
	gain := min(max(a.had/16, armGain), armGainTop)
	gain = max(gain, min(lateShare*g.conf.Late(), a.had/4))
	return a.deadline > arm || a.deadline != 0 && arm.Sub(a.deadline)-a.guard >= gain
}

// armStep keeps a fence standing at want.Arm or somewhat earlier.
func (g *Gate) armStep(ctx context.Context, want watchdog.Gate) (bool, error) {
	w := &g.worker
	all, cur := g.sortArmed()
	now := g.conf.Now()
	if !armWanted(want) || w.seen.Role != watchdog.Master {
		w.armFailing = 0 // of a time that is over
		g.clearFault("armed_off")
		return false, nil
	}
	if want.Arm.Sub(now) < armLeast {
		return false, nil
	}
	if cur != nil && !g.due(cur, want.Arm) {
		return false, nil
	}
	if !g.mayArm() || now < w.armRetry {
		return false, g.spareHealthy(ctx, want, cur, now)
	}
	if err := g.armOnce(ctx, want); err != nil {
		g.armFailed(now, err)
		return false, g.spareHealthy(ctx, want, cur, now)
	}
	w.armFailing, w.armRetry = 0, 0
	g.clearFault("armed_off")
	g.mu.Lock()
	g.details.Armed++
	g.mu.Unlock()
	g.hangUp(all)
	g.fail("gate.arm.killed")
	return cur == nil, nil // a renewal changes nothing that needs another look
}

// armFailed notes that arming failed, and says so when it goes on.
func (g *Gate) armFailed(now watchdog.Instant, err error) {
	w := &g.worker
	if errors.Is(err, errSuperseded) {
		return
	}
	if w.armFailing == 0 {
		w.armFailing = now
	}
	w.armRetry = now.Add(20 * time.Millisecond)
	if now.Sub(w.armFailing) > time.Second {
		w.armRetry = now.Add(250 * time.Millisecond)
	}
	g.mu.Lock()
	g.details.ArmErrors++
	g.mu.Unlock()
	if now.Sub(w.armFailing) > 500*time.Millisecond {
		remedy := "raise maxclients of this Redis, or give the watchdog's user its rights: ACL SETUSER <user> " + aclRuleFor(g.redisVersion())
		if text := err.Error(); strings.Contains(text, "WRONGPASS") || strings.Contains(text, "NOAUTH") {
			remedy = remedyLogin
		}
		g.setFault(Fault{
			ID: "armed_off", Severity: watchdog.SeverityError,
			Text:   "no fence can be armed inside Redis, so a frozen or killed watchdog does not fence it: " + err.Error(),
			Remedy: remedy,
		})
	}
}

// spareHealthy takes a fence down that would fire although the evidence is
// good and only the putting off fails.
func (g *Gate) spareHealthy(ctx context.Context, want watchdog.Gate, cur *armed, now watchdog.Instant) error {
	if cur == nil || want.Arm <= cur.deadline.Add(armGain) {
		return nil
	}
	// An eighth: a host that stands still in this moment does so for a share of
	// what D was chosen for.
	margin := max(min(cur.had/8, 2*time.Second), 60*time.Millisecond)
	if left := cur.deadline.Sub(g.conf.Now()); left > margin || left < 0 {
		return nil // it has time yet, or has fired
	}
	if g.worker.armFailing == 0 {
		g.worker.armFailing = now
	}
	g.log.Error("armed fence cannot be put off and is taken down", "left", cur.deadline.Sub(now).String())
	all, _ := g.sortArmed()
	return g.takeDown(ctx, want, all)
}

// armOnce arms one more connection.
func (g *Gate) armOnce(ctx context.Context, want watchdog.Gate) error {
	w := &g.worker
	c := g.spare()
	if c == nil {
		g.mu.Lock()
		err := g.dialErr
		g.mu.Unlock()
		if err == nil {
			err = errors.New("no spare connection yet")
		}
		return err
	}
	if c.id.Load() == 0 {
		c.close()
		return errors.New("the connection's client id is not known")
	}
	begun := g.conf.Now()
	// On a host short of processor Redis is asked in one of our turns, and its answer
	// is read in another.
	late := g.conf.Late()
	guard := max(w.armGuard, armGuard, min(lateShare*late, want.Arm.Sub(begun)/4))
	ms := (want.Arm.Sub(begun).Milliseconds() - guard.Milliseconds())
	ms = min(ms, armMost.Milliseconds())
	if ms < 1 {
		g.giveBack(c)
		return errors.New("too late to arm")
	}
	g.fail("gate.arm.begun")
	a := &armed{c: c, id: c.id.Load(), had: time.Duration(ms) * time.Millisecond, checked: true}
	if late > 0 { // else it is put off as far as it can be, with the next want
		a.guard = guard
	}
	a.xread = c.send(g.commands.one("XREAD", "BLOCK", strconv.FormatInt(ms, 10), "STREAMS", g.key, "$"), 1, begun, g.ends(a))
	if err := g.awaitBlocked(ctx, a); err != nil {
		c.close() // nothing but XREAD is on it: closing is harmless
		return err
	}
	// Redis began to count at the latest when it was seen to block.
	took := g.conf.Now().Sub(begun)
	a.deadline = begun.Add(took + a.had + armSlack)
	// As long as it took now it may take again, on a host short of processor. Where we
	// are run late that is forgotten slower: each attempt that comes to nothing is a
	// connection more to be made.
	less := w.armGuard / 2
	if late > 0 {
		less = w.armGuard / 8
	}
	w.armGuard = min(max(took+2*armSlack, w.armGuard-less), want.Arm.Sub(begun)/4)
	g.fail("gate.arm.blocked")
	switch n, _ := g.wish(); {
	case n.Access == watchdog.Refuse || !armWanted(n) || n.Arm < min(a.deadline, want.Arm):
		c.close()
		return errSuperseded
	case a.deadline > n.Arm: // which may have moved on meanwhile
		c.close()
		return fmt.Errorf("Redis took %v to answer, too long to arm in time", took)
	}
	g.mu.Lock()
	arm := g.arm
	g.fences = append(g.fences, a)
	g.mu.Unlock()
	c.send(arm.bytes, arm.n, begun, nil)
	g.fail("gate.arm.queued")
	if !a.mayFire() {
		return errors.New("the connection ended while it was armed")
	}
	g.store(ctx, a)
	return nil
}

// ends is told that a blocks no more.
func (g *Gate) ends(a *armed) func(*call) {
	return func(k *call) {
		if a.ended.Load() {
			return
		}
		now := int64(g.conf.Now())
		if k.err == nil && firstError(k.replies) == nil {
			g.firedAt.Store(now)
		}
		g.lostAt.Store(now)
		g.ObserveNow()
	}
}

// awaitBlocked waits until Redis is seen to block the connection of a.
func (g *Gate) awaitBlocked(ctx context.Context, a *armed) error {
	end := g.conf.Now().Add(armWait)
	for try := 0; ; try++ {
		flags, err := g.clientFlags(ctx, a.id)
		if err != nil {
			return err
		}
		if a.xread.finished() {
			if a.xread.err != nil {
				return a.xread.err
			}
			if err := firstError(a.xread.replies); err != nil {
				return err
			}
			return errors.New("XREAD did not block")
		}
		if strings.Contains(flags, "b") {
			return nil
		}
		if g.conf.Now() > end {
			return errors.New("XREAD was not seen to block")
		}
		if try > 2 {
			sleep(ctx, time.Millisecond)
		}
	}
}

// clientFlags are the flags that CLIENT LIST shows of a client of ours; empty
// when it is not there.
func (g *Gate) clientFlags(ctx context.Context, id int64) (string, error) {
	n := strconv.FormatInt(id, 10)
	s := script{}.with(g.commands, "CLIENT", "LIST", "ID", n)
	if !g.capabilities().ListID {
		s = script{}.with(g.commands, "CLIENT", "LIST", "TYPE", "normal")
	}
	re, err := g.ask(ctx, s, armWait)
	if err != nil {
		return "", err
	}
	if err := firstError(re); err != nil {
		return "", err
	}
	for line := range strings.Lines(re[0].Text) {
		if !strings.HasPrefix(line, "id="+n+" ") || !strings.Contains(line, " name="+clientName) {
			continue
		}
		for field := range strings.FieldsSeq(line) {
			if flags, ok := strings.CutPrefix(field, "flags="); ok {
				return flags, nil
			}
		}
	}
	return "", nil
}

// disarmUnwanted takes down what stands when none shall.
func (g *Gate) disarmUnwanted(ctx context.Context, want watchdog.Gate) (bool, error) {
	if armWanted(want) {
		return false, nil
	}
	all, _ := g.sortArmed()
	if len(all) == 0 {
		return false, nil
	}
	return false, g.takeDown(ctx, want, all)
}

// hangUp ends the connections in all, which another stands for now. Redis sees
// the end of the connection and frees what was queued on it, as if it were told
// to kill it, for which it need not be asked. Until it does so the fence is what
// it was: armed too early by one renewal.
func (g *Gate) hangUp(all []*armed) {
	for _, a := range all {
		a.ended.Store(true)
		a.shutdown()
		g.forget(a)
	}
}

// takeDown kills the armed connections in all, and forgets them once Redis has
// said that they are gone.
func (g *Gate) takeDown(ctx context.Context, want watchdog.Gate, all []*armed) error {
	for _, a := range all {
		if !a.mayFire() {
			continue
		}
		if a.id != 0 && g.capabilities().Kill {
			re, err := g.change(ctx, want, script{}.with(g.commands, "CLIENT", "KILL", "ID", strconv.FormatInt(a.id, 10)))
			if err != nil {
				return err
			}
			if err := firstError(re); err != nil && !strings.Contains(err.Error(), "No such client") {
				return err
			}
		}
		g.forget(a)
	}
	return nil
}

// forget closes a, here and in the store. Where it could not be killed that is
// what disarms it.
func (g *Gate) forget(a *armed) {
	g.mu.Lock()
	for i, s := range g.fences {
		if s == a {
			g.fences = append(g.fences[:i:i], g.fences[i+1:]...)
			break
		}
	}
	g.mu.Unlock()
	a.close()
	g.remove(a.name)
}
