package handover

// The steps from which clients notice.

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/redis-watchdog/redis-watchdog/fencing/grant"
	"github.com/redis-watchdog/redis-watchdog/sentinel"
	"github.com/redis-watchdog/redis-watchdog/watchdog"
)

// stop has the writers stopped and waits until the chosen one has all they wrote.
func (r *run) stop(ctx context.Context) error {
	// Half of what a hold may last is left for the failover itself.
	limit := r.DownAfter / 4
	r.stoppedAt = r.Now()
	if err := r.Coordinator.StopHandover(ctx, r.Group, r.Order, r.stopLasts()); err != nil {
		return err
	}
	o := r.Order
	err := r.await(ctx, limit, lookEvery, func(v grant.HandoverView) error {
		if err := r.stands(v); err != nil {
			return err
		}
		from, to := v.Answers[o.From], v.Answers[o.To]
		if from.ID != o.ID || !from.Stop || !from.Held || from.Role != "master" {
			return fmt.Errorf("the writers of %s are not seen to be stopped", o.From)
		}
		if r.result.Times.Held == 0 {
			r.result.Times.Held = r.since()
		}
		if to.ID != o.ID || !to.Stop || !to.LinkUp || to.Following != o.From || to.Offset < from.Offset {
			return fmt.Errorf("%s has not all of its data: offset %d of %d", o.To, to.Offset, from.Offset)
		}
		r.result.Offset = from.Offset
		return nil
	})
	if err != nil {
		return err
	}
	r.result.Times.Equal = r.since()
	r.Say("writers wait at %s since %s ago; %s has everything, up to offset %d", o.From, round(r.result.Times.Equal-r.result.Times.Held), o.To, r.result.Offset)
	return ctx.Err()
}

func round(d time.Duration) time.Duration { return d.Round(time.Millisecond) }

// failOver has the Sentinel do it and follows it to its end. From Sentinel's OK
// on nothing can be taken back; the order stays while it may go through.
func (r *run) failOver(ctx context.Context, at string) Result {
	if left := r.stopLasts() - r.since(); left < abortedAfter {
		return r.undo(ctx, fmt.Errorf("too slow: the order stands for another %s only", round(left)))
	}
	err := r.Sentinels.Command(ctx, at, "SENTINEL", "FAILOVER", r.Group)
	refused, isRefused := errors.AsType[*sentinel.RefusedError](err)
	switch {
	case isRefused:
		return r.undo(ctx, fmt.Errorf("sentinel %s refuses: %s", at, refused.Text))
	case errors.Is(err, sentinel.ErrNotSent):
		return r.undo(ctx, err)
	case err != nil:
		r.Say("sentinel %s did not answer (%v): it may fail over, or not", at, err)
	}
	r.result.Times.Asked = r.since()
	asked := r.Now()
	follow := func(v grant.HandoverView) error { return r.progress(v, asked) }
	err = r.await(ctx, followTime, lookEvery, follow)
	if hangs, ok := errors.AsType[*finalError](err); ok && hangs.stuck {
		r.Say("%s; sentinel %s is told to give it up", hangs.text, at)
		r.left = r.giveUp(ctx, at)
		r.ended = true
		err = r.await(ctx, followTime, lookEvery, follow)
	}
	if final, gaveUp := errors.AsType[*finalError](err); gaveUp {
		return r.undo(ctx, final)
	}
	if err != nil {
		return r.unclear(ctx, err)
	}
	r.result.Outcome = Done
	end, cancel := context.WithTimeout(context.WithoutCancel(ctx), undoTime)
	defer cancel()
	if err := r.Coordinator.EndHandover(end, r.Group, r.Order.ID); err != nil {
		r.Say("the order could not be taken back (%v): the vetoes end by themselves within %s", err, r.stopLasts())
	}
	r.result.Text = fmt.Sprintf("%s is the master and accepts writes", r.Order.To)
	return r.result
}

// progress notes how far it has come; nil: to the end.
func (r *run) progress(v grant.HandoverView, asked watchdog.Instant) error {
	o, t := r.Order, &r.result.Times
	note := func(at *time.Duration, seen bool) {
		if *at == 0 && seen {
			*at = r.since()
		}
	}
	to := v.Answers[o.To]
	note(&t.Promoted, to.ID == o.ID && to.Role == "master" || v.Agreement.Address == o.To)
	note(&t.Agreed, v.Agreement.Address == o.To)
	note(&t.Granted, v.Grant.Holder == o.To)
	note(&t.Opened, v.Grant.Holder == o.To && (to.ID == o.ID && to.Serving))
	switch {
	case t.Opened != 0, t.Granted != 0 && v.Standing.ID != o.ID: // then there are no answers any more
		return nil
	case t.Granted != 0:
		return fmt.Errorf("%s holds the grant, and is not seen to accept writes", o.To)
	case t.Agreed != 0:
		return fmt.Errorf("etcd names %s, the grant is held by %q", o.To, v.Grant.Holder)
	case t.Promoted != 0:
		return fmt.Errorf("%s is promoted, and no majority of the Sentinels names it yet", o.To)
	case r.Now().Sub(asked) <= max(abortedAfter, r.DownAfter/2):
	case !r.running():
		return final("Sentinel gave its failover up (see its log for -failover-abort)")
	case !r.ended:
		return &finalError{text: fmt.Sprintf("%s does not turn master (%s)", o.To, to.Fault), stuck: true}
	}
	return fmt.Errorf("%s is not promoted yet", o.To)
}

// running says whether a Sentinel shows a failover, or may and is not heard.
func (r *run) running() bool {
	r.Sentinels.PollNow()
	for _, s := range r.Sentinels.View().Sentinels {
		if s.Failover || s.Answering && s.Master != r.Order.From {
			return true
		}
	}
	return false
}

// giveUp has a Sentinel end its failover now. By itself it waits for a candidate
// that has died for a whole failover-timeout (180 s by default), and meanwhile
// nobody may serve: it could be promoted at any time. So that timeout is set to
// nothing for a moment, which ends the failover as its own lapse would; that is a
// setting of the operator's, and is put back also when the command is
// interrupted. One that is killed in this moment leaves it, which is a fault
// (sentinel_failover_timeout).
func (r *run) giveUp(ctx context.Context, at string) error {
	was := time.Duration(0)
	for _, s := range r.Sentinels.View().Sentinels {
		if s.Address == at {
			was = s.FailoverTimeout
		}
	}
	if was <= 0 {
		return fmt.Errorf("sentinel %s is not heard: it gives up by itself after its failover-timeout", at)
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), giveUpTime)
	defer cancel()
	set := func(d time.Duration) error {
		return r.Sentinels.Command(ctx, at, "SENTINEL", "SET", r.Group, "failover-timeout", strconv.FormatInt(d.Milliseconds(), 10))
	}
	if err := set(time.Millisecond); err != nil {
		if refused, ok := errors.AsType[*sentinel.RefusedError](err); ok {
			return fmt.Errorf("sentinel %s refuses that (%s): it gives up by itself within %s", at, refused.Text, was)
		}
		err = errors.Join(err, set(was)) // it may have been heard
		return fmt.Errorf("sentinel %s is not heard (%w): it gives up by itself within %s", at, err, was)
	}
	for end := r.Now().Add(giveUpTime / 2); r.Now() < end && r.running(); time.Sleep(calmEvery) {
	}
	var err error
	for range 3 {
		if err = set(was); err == nil {
			return nil
		}
	}
	return fmt.Errorf("failover-timeout of sentinel %s was set to 1 and could not be put back (%w): SENTINEL SET %s failover-timeout %d", at, err, r.Group, was.Milliseconds())
}

// unclear leaves the order as it is: while it stands the old master writes
// nothing, and after that only if no Sentinel shows a failover.
func (r *run) unclear(ctx context.Context, why error) Result {
	r.result.Outcome = Unclear
	next := fmt.Sprintf("if Sentinel goes on, %s is opened by the grant; if not, %s serves on as soon as the order has ended (within %s). Watch it: redis-watchdog status %s --watch",
		r.Order.To, r.Order.From, r.stopLasts(), r.Group)
	if r.result.Times.Promoted != 0 {
		next = fmt.Sprintf("%s is promoted and locked until it holds the grant: that takes a majority of the Sentinels and etcd. Nobody else accepts writes. Watch it: redis-watchdog status %s --watch", r.Order.To, r.Group)
	}
	if ctx.Err() != nil {
		why = fmt.Errorf("interrupted: %w", why)
	}
	r.result.Text = fmt.Sprintf("%v; %s", why, next)
	return r.result
}
