package failover

import (
	"errors"
	"fmt"
	"time"

	"github.com/redis-watchdog/redis-watchdog/watchdog"
)

const (
	prepareLasts = 16 * time.Second        // of the order, while nobody is stopped
	prepareTime  = 14 * time.Second        // for every replica to be vetoed, and every Sentinel to be calm
	infoAge      = 1200 * time.Millisecond // Sentinel chooses by an INFO that is at most 1 s old and was asked a tick before
	followTime   = 15 * time.Second        // from Sentinel's OK until the grant has moved
	abortedAfter = 2500 * time.Millisecond // a failover that shows nothing by then has been given up
	undoTime     = 5 * time.Second
	giveUpTime   = 3 * time.Second // for Sentinel to end a failover that hangs; and for each of the settings that have it do so
	restoreTries = 3
	lookEvery    = 10 * time.Millisecond  // while writers wait
	idleEvery    = 100 * time.Millisecond // else
)

// phase is what the last Action was for.
type phase uint8

const (
	starting    phase = iota // there was none
	beginning                // the order is written
	preparing                // the vetoes are waited for
	stopping                 // the order to stop the writers is written
	catchingUp               // the data is waited for
	asking                   // a Sentinel is asked
	following                // its failover is followed
	shortening               // its failover-timeout is set to nothing
	givingUp                 // it is waited for that it gives up
	restoring                // its failover-timeout is put back
	undoing                  // what has become of the group is read
	withdrawing              // the order is taken back
	closing                  // the same, after a failover that went through
)

// Failover is one under way. Make it with New; not safe for concurrent use.
type Failover struct {
	plan  Plan
	phase phase

	until   watchdog.Instant // when what is waited for is given up
	limit   time.Duration    // how long that was
	missing error            // what was missing when it was looked last

	vetoedAt  watchdog.Instant // since when only To can be promoted; zero: not
	at        string           // the Sentinel that does it
	stoppedAt watchdog.Instant // before the order to stop was written
	askedAt   watchdog.Instant // when the Sentinel had answered

	timeout time.Duration // the Sentinel's own failover-timeout
	tries   int           // to put it back
	ended   bool          // the Sentinel was told to give up
	left    error         // what that has left undone: a person must hear of it, whatever comes of the rest

	why    error // it is undone
	view   View  // what etcd showed then
	unread error // why it did not

	result Result
}

// New is one that has not begun.
func New(p Plan) *Failover { return &Failover{plan: p} }

// Next takes what came of the last Action and is the next one. Without a
// Finish there always is one, and each has an end: whoever carries them out
// comes to a Finish by itself.
func (f *Failover) Next(now watchdog.Instant, e Event) Action {
	switch f.phase {
	case starting:
		f.phase = beginning
		return Action{Kind: Begin, Lasts: prepareLasts}
	case beginning:
		if e.Err != nil {
			return Action{Kind: Finish, Err: e.Err}
		}
		f.wait(now, preparing, prepareTime)
		a := f.look(now, 0)
		a.Say = fmt.Sprintf("ordered: %s is to be the master; every other replica is vetoed, nobody notices yet", f.plan.To)
		return a
	case preparing:
		return f.prepare(now, e)
	case stopping:
		if e.Err != nil {
			return f.undo(now, e.Err)
		}
		// Half of what a hold may last is left for the failover itself.
		f.wait(now, catchingUp, f.plan.DownAfter/4)
		return f.look(now, 0)
	case catchingUp:
		return f.catchUp(now, e)
	case asking:
		return f.asked(now, e)
	case following:
		return f.follow(now, e)
	case shortening:
		return f.shortened(now, e)
	case givingUp:
		if running(e.Sentinels, f.plan.From) && now < f.until {
			return f.look(now, idleEvery)
		}
		return f.restore(now)
	case restoring:
		return f.restored(now, e)
	case undoing:
		f.view, f.unread, f.phase = e.View, e.Err, withdrawing
		return Action{Kind: End, Through: true, Until: f.until}
	case withdrawing:
		return f.undone(e.Err)
	case closing:
		return f.done(e.Err)
	}
	panic(fmt.Sprintf("failover: a step after the last, in phase %d", f.phase))
}

// wait begins to look for something, for so long.
func (f *Failover) wait(now watchdog.Instant, p phase, limit time.Duration) {
	f.phase, f.until, f.limit = p, now.Add(limit), limit
	f.missing = errors.New("etcd has not answered")
}

// look is the next look in a phase that waits.
func (f *Failover) look(now watchdog.Instant, after time.Duration) Action {
	return Action{
		Kind: Look, After: max(min(after, f.until.Sub(now)), 0), Until: f.until,
		Poll:    f.phase != catchingUp,
		Through: f.phase == givingUp,
	}
}

// waiting is whether a look has found that something is missing still; what that
// is, is in f.missing. The second: it will not come any more.
func (f *Failover) waiting(now watchdog.Instant, e Event, missing func() error) (waits bool, late error) {
	switch {
	case e.Interrupted:
		return true, fmt.Errorf("interrupted: %w", f.missing)
	case e.Err == nil:
		f.missing = missing()
		if _, final := errors.AsType[*finalError](f.missing); final {
			return true, f.missing
		}
	case now < f.until:
		f.missing = e.Err
	}
	if f.missing == nil {
		return false, nil
	}
	if now >= f.until {
		return true, fmt.Errorf("given up after %s: %w", f.limit, f.missing)
	}
	return true, nil
}

// finalError is something that waiting does not mend.
type finalError struct {
	text  string
	stuck bool // Sentinel's failover hangs at a candidate that does not turn master
}

func (e *finalError) Error() string { return e.text }

func final(format string, args ...any) error { return &finalError{text: fmt.Sprintf(format, args...)} }

// prepare waits until only the chosen one can be promoted, and a Sentinel would
// do it.
func (f *Failover) prepare(now watchdog.Instant, e Event) Action {
	waits, late := f.waiting(now, e, func() (err error) {
		if err := f.inForce(e.View); err != nil {
			return err
		}
		if err := f.ready(e.View, e.Sentinels); err != nil {
			f.vetoedAt = 0
			return err
		}
		if f.vetoedAt == 0 {
			f.vetoedAt = now
		}
		if now.Sub(f.vetoedAt) < infoAge {
			return errors.New("the vetoes are younger than Sentinel's last look")
		}
		f.at, err = choose(e.Sentinels, f.plan)
		return err
	})
	switch {
	case late != nil:
		return f.undo(now, late)
	case waits:
		return f.look(now, idleEvery)
	}
	f.phase, f.stoppedAt = stopping, now
	return Action{Kind: Stop, Lasts: f.stopLasts()}
}

// since is now, counted from the order to stop; never zero.
func (f *Failover) since(now watchdog.Instant) time.Duration { return max(now.Sub(f.stoppedAt), 1) }

// stopLasts is how long the order to stop stands at most: long enough for
// Sentinel's failover (about 1.5 s), and the end of an outage if we die.
func (f *Failover) stopLasts() time.Duration {
	return max(5*time.Second, f.plan.DownAfter.Truncate(time.Second)+2*time.Second)
}

// catchUp waits until the writers are stopped and the chosen one has all they
// wrote; then the Sentinel is asked.
func (f *Failover) catchUp(now watchdog.Instant, e Event) Action {
	waits, late := f.waiting(now, e, func() error { return f.behind(now, e.View) })
	switch {
	case late != nil:
		return f.undo(now, late)
	case waits:
		return f.look(now, lookEvery)
	}
	t := &f.result.Times
	t.Equal = f.since(now)
	if left := f.stopLasts() - t.Equal; left < abortedAfter {
		return f.undo(now, fmt.Errorf("too slow: the order is in force for another %s only", round(left)))
	}
	f.phase = asking
	return Action{
		Kind: FailOver, Sentinel: f.at,
		Say: fmt.Sprintf("writers wait at %s since %s ago; %s has everything, up to offset %d", f.plan.From, round(t.Equal-t.Held), f.plan.To, f.result.Offset),
	}
}

func round(d time.Duration) time.Duration { return d.Round(time.Millisecond) }

// asked follows the failover from Sentinel's answer on: nothing can be taken
// back any more, and the order stays while it may go through.
func (f *Failover) asked(now watchdog.Instant, e Event) Action {
	say := ""
	switch {
	case e.Err == nil:
	case e.Failure == Refused:
		return f.undo(now, fmt.Errorf("sentinel %s refuses: %w", f.at, e.Err))
	case e.Failure == NotSent:
		return f.undo(now, e.Err)
	default:
		say = fmt.Sprintf("sentinel %s did not answer (%v): it may fail over, or not", f.at, e.Err)
	}
	f.result.Times.Asked, f.askedAt = f.since(now), now
	f.wait(now, following, followTime)
	a := f.look(now, 0)
	a.Say = say
	return a
}

// follow waits until the grant has moved.
func (f *Failover) follow(now watchdog.Instant, e Event) Action {
	waits, late := f.waiting(now, e, func() error { return f.progress(now, e) })
	hangs, gaveUp := errors.AsType[*finalError](late)
	switch {
	case gaveUp && hangs.stuck:
		a := f.shorten(now, e.Sentinels)
		a.Say = fmt.Sprintf("%s; sentinel %s is told to give it up", hangs.text, f.at)
		return a
	case gaveUp:
		return f.undo(now, late)
	case late != nil:
		return f.unclear(late)
	case waits:
		return f.look(now, lookEvery)
	}
	f.phase, f.result.Outcome = closing, Done
	return Action{Kind: End, Through: true, Until: now.Add(undoTime)}
}

// done says that it went through; unended is why the order could not be taken
// back.
func (f *Failover) done(unended error) Action {
	say := ""
	if unended != nil {
		say = fmt.Sprintf("the order could not be taken back (%v): the vetoes end by themselves within %s", unended, f.stopLasts())
	}
	f.result.Text = fmt.Sprintf("%s is the master and accepts writes", f.plan.To)
	return f.finish(say)
}

func (f *Failover) finish(say string) Action {
	if f.left != nil {
		f.result.Text += "; " + f.left.Error()
	}
	return Action{Kind: Finish, Say: say, Result: f.result}
}

// undo takes the order back. What has become of the group is read first: the
// answers go with the order.
func (f *Failover) undo(now watchdog.Instant, why error) Action {
	f.why = why
	f.wait(now, undoing, undoTime)
	return Action{Kind: Look, Through: true, Until: f.until}
}

// undone says what is so, now that the order was taken back; unended is why it
// could not be.
func (f *Failover) undone(unended error) Action {
	back := "it is taken back"
	if unended != nil {
		left := prepareLasts
		if f.stoppedAt != 0 {
			left = f.stopLasts()
		}
		back = fmt.Sprintf("it could not be taken back (%v) and ends by itself within %s", unended, left)
	}
	r, from, to := &f.result, f.view.Answers[f.plan.From], f.plan
	status := "redis-watchdog status " + f.plan.Group
	r.Outcome = Unclear
	switch {
	case f.unread != nil:
		r.Text = fmt.Sprintf("%v; as for the order, %s; whether %s serves on could not be seen: %s", f.why, back, to.From, status)
	case f.view.Master != to.From:
		r.Text = fmt.Sprintf("%v; as for the order, %s; the master is %s now, by another failover than this one: %s", f.why, back, f.view.Master, status)
	case from.ID == to.ID && (from.Role != "master" || from.Fault != ""):
		r.Text = fmt.Sprintf("%v; as for the order, %s; but %s does not answer as a master (%s, %s): if it stays away Sentinel promotes a replica: %s",
			f.why, back, to.From, from.Role, from.Fault, status)
	default:
		r.Outcome = Undone
		r.Text = fmt.Sprintf("%v; undone: %s is still the master, its writers go on, nothing was promoted; as for the order, %s", f.why, to.From, back)
	}
	return f.finish("")
}

// unclear leaves the order as it is: while it stands the old master writes
// nothing, and after that only if no Sentinel shows a failover.
func (f *Failover) unclear(why error) Action {
	p := f.plan
	f.result.Outcome = Unclear
	next := fmt.Sprintf("if Sentinel goes on, %s is opened by the grant; if not, %s serves on as soon as the order has ended (within %s). Watch it: redis-watchdog status %s --watch",
		p.To, p.From, f.stopLasts(), p.Group)
	if f.result.Times.Promoted != 0 {
		next = fmt.Sprintf("%s is promoted and locked until it holds the grant: that takes a majority of the Sentinels and etcd. Nobody else accepts writes. Watch it: redis-watchdog status %s --watch", p.To, p.Group)
	}
	f.result.Text = fmt.Sprintf("%v; %s", why, next)
	return f.finish("")
}
