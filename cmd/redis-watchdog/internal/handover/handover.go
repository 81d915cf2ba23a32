// Package handover carries out a planned failover: it has the watchdogs stop the
// old master's writers, sees that the chosen replica has everything, has a
// Sentinel fail over, and sees the grant move. On the way it undoes what it has
// begun whenever it cannot go on; when it dies, its order ends by itself.
package handover

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/redis-watchdog/redis-watchdog/fencing/grant"
	"github.com/redis-watchdog/redis-watchdog/sentinel"
	"github.com/redis-watchdog/redis-watchdog/watchdog"
)

// Coordinator is what it asks of etcd.
type Coordinator interface {
	BeginHandover(ctx context.Context, group string, r grant.HandoverRecord, lasts time.Duration) error
	StopHandover(ctx context.Context, group string, r grant.HandoverRecord, lasts time.Duration) error
	EndHandover(ctx context.Context, group, id string) error
	ReadHandover(ctx context.Context, group string) (grant.HandoverView, error)
}

// Sentinels is what it asks of them.
type Sentinels interface {
	View() sentinel.View
	PollNow()
	Command(ctx context.Context, address string, words ...string) error
}

// Config is one handover. All fields are needed.
type Config struct {
	Group       string
	Order       grant.HandoverRecord // ID, From, To and who gave it
	Others      []watchdog.Address   // the replicas that must not be promoted
	DownAfter   time.Duration        // the smallest any Sentinel reports
	Coordinator Coordinator
	Sentinels   Sentinels
	Now         func() watchdog.Instant
	Say         func(format string, args ...any) // what is being done, for people
}

// Outcome is what became of it.
type Outcome string

const (
	Done    Outcome = "done"    // the new master is granted
	Undone  Outcome = "undone"  // it came to nothing; the old master serves on
	Unclear Outcome = "unknown" // half done, and what becomes of it could not be seen
)

// Times are when each step was seen done, counted from the stop of the writers'
// order; zero: it was not.
type Times struct {
	Held     time.Duration `json:"held"`     // no write is executed at the old master
	Equal    time.Duration `json:"equal"`    // the new one has all of its data
	Asked    time.Duration `json:"asked"`    // a Sentinel took the order
	Promoted time.Duration `json:"promoted"` // the new one is a master, still locked
	Agreed   time.Duration `json:"agreed"`   // etcd names it
	Granted  time.Duration `json:"granted"`  // the grant is its own
	Opened   time.Duration `json:"opened"`   // it was seen to accept writes
}

// Result is what became of it, for people and machines.
type Result struct {
	Outcome Outcome `json:"outcome"`
	Text    string  `json:"text"` // what state the group is in, and what to do
	Offset  int64   `json:"offset"`
	Times   Times   `json:"times"`
}

const (
	prepareLasts = 16 * time.Second        // of the order, while nobody is stopped
	prepareTime  = 14 * time.Second        // for every replica to be vetoed, and every Sentinel to be calm
	infoAge      = 1200 * time.Millisecond // Sentinel chooses by an INFO that is at most 1 s old and was asked a tick before
	followTime   = 15 * time.Second        // from Sentinel's OK until the grant has moved
	abortedAfter = 2500 * time.Millisecond // a failover that shows nothing by then has been given up
	undoTime     = 5 * time.Second
	giveUpTime   = 6 * time.Second // for Sentinel to end a failover that hangs
	lookEvery    = 10 * time.Millisecond
	calmEvery    = 100 * time.Millisecond
)

// run is one handover under way.
type run struct {
	Config
	stoppedAt watchdog.Instant // before the order to stop was written
	ended     bool             // Sentinel was told to give up
	left      error            // what that has left undone: a person must hear of it, whatever comes of the rest
	result    Result
}

// Run carries it out. The error says why it could not even begin: then nothing
// was changed.
func Run(ctx context.Context, c Config) (Result, error) {
	r := &run{Config: c}
	if err := c.Coordinator.BeginHandover(ctx, c.Group, c.Order, prepareLasts); err != nil {
		return r.result, err
	}
	c.Say("ordered: %s is to be the master; every other replica is vetoed, nobody notices yet", c.Order.To)
	at, err := r.prepare(ctx)
	if err != nil {
		return r.undo(ctx, err), nil
	}
	if err := r.stop(ctx); err != nil {
		return r.undo(ctx, err), nil
	}
	result := r.failOver(ctx, at)
	if r.left != nil {
		result.Text += "; " + r.left.Error()
	}
	return result, nil
}

// undo takes the order back, whatever has become of ctx, and says what is so.
func (r *run) undo(ctx context.Context, why error) Result {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), undoTime)
	defer cancel()
	v, unread := r.Coordinator.ReadHandover(ctx, r.Group) // before the order goes: the answers go with it
	back := "it is taken back"
	if err := r.Coordinator.EndHandover(ctx, r.Group, r.Order.ID); err != nil {
		left := prepareLasts
		if r.stoppedAt != 0 {
			left = r.stopLasts()
		}
		back = fmt.Sprintf("it could not be taken back (%v) and ends by itself within %s", err, left)
	}
	from, status := v.Answers[r.Order.From], "redis-watchdog status "+r.Group
	switch o := r.Order; {
	case unread != nil:
		r.result.Outcome = Unclear
		r.result.Text = fmt.Sprintf("%v; as for the order, %s; whether %s serves on could not be seen: %s", why, back, o.From, status)
	case v.Agreement.Address != o.From:
		r.result.Outcome = Unclear
		r.result.Text = fmt.Sprintf("%v; as for the order, %s; the master is %s now, by another failover than this one: %s", why, back, v.Agreement.Address, status)
	case from.ID == o.ID && (from.Role != "master" || from.Fault != ""):
		r.result.Outcome = Unclear
		r.result.Text = fmt.Sprintf("%v; as for the order, %s; but %s does not answer as a master (%s, %s): if it stays away Sentinel promotes a replica: %s",
			why, back, o.From, from.Role, from.Fault, status)
	default:
		r.result.Outcome = Undone
		r.result.Text = fmt.Sprintf("%v; undone: %s is still the master, its writers go on, nothing was promoted; as for the order, %s", why, o.From, back)
	}
	return r.result
}

// since is now, counted from the order to stop; never zero.
func (r *run) since() time.Duration {
	return max(r.Now().Sub(r.stoppedAt), 1)
}

// stopLasts is how long the order to stop stands at most: long enough for
// Sentinel's failover (about 1.5 s), and the end of an outage if we die.
func (r *run) stopLasts() time.Duration {
	return max(5*time.Second, r.DownAfter.Truncate(time.Second)+2*time.Second)
}

// await looks until is says nothing is missing, limit has passed, or ctx ends;
// it returns the last thing that was missing.
func (r *run) await(ctx context.Context, limit, every time.Duration, is func(grant.HandoverView) error) error {
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	missing := errors.New("etcd has not answered")
	for {
		v, err := r.Coordinator.ReadHandover(ctx, r.Group)
		switch {
		case err == nil:
			if missing = is(v); missing == nil {
				return nil
			}
			if _, final := errors.AsType[*finalError](missing); final {
				return missing
			}
		case ctx.Err() == nil:
			missing = err
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("given up after %s: %w", limit, missing)
		case <-time.After(every):
		}
	}
}

// finalError is something that waiting does not mend.
type finalError struct {
	text  string
	stuck bool // Sentinel's failover hangs at a candidate that does not turn master
}

func (e *finalError) Error() string { return e.text }

func final(format string, args ...any) error { return &finalError{text: fmt.Sprintf(format, args...)} }

// prepare waits until only the chosen one can be promoted, and is the address of
// the Sentinel that shall do it.
func (r *run) prepare(ctx context.Context) (at string, err error) {
	var since watchdog.Instant
	o := r.Order
	err = r.await(ctx, prepareTime, calmEvery, func(v grant.HandoverView) error {
		if err := r.stands(v); err != nil {
			return err
		}
		r.Sentinels.PollNow()
		view := r.Sentinels.View()
		if err := r.ready(v, view); err != nil {
			since = 0
			return err
		}
		if since == 0 {
			since = r.Now()
		}
		if r.Now().Sub(since) < infoAge {
			return errors.New("the vetoes are younger than Sentinel's last look")
		}
		at, err = chooseSentinel(view, o)
		return err
	})
	return at, err
}

// stands says that the order does, and that nobody else has changed the master.
func (r *run) stands(v grant.HandoverView) error {
	switch o := r.Order; {
	case v.Standing.ID != o.ID:
		return final("the order was taken back, or ran out")
	case v.Agreement.Address != o.From || v.Grant.Holder != o.From:
		return final("the master changed meanwhile: etcd names %s, the grant is held by %q", v.Agreement.Address, v.Grant.Holder)
	}
	return nil
}

// ready says what is missing until only To can be promoted.
func (r *run) ready(v grant.HandoverView, view sentinel.View) error {
	o := r.Order
	from, to := v.Answers[o.From], v.Answers[o.To]
	switch {
	case from.ID != o.ID:
		return fmt.Errorf("the watchdog of the master %s has not answered", o.From)
	case to.ID != o.ID:
		return fmt.Errorf("the watchdog of %s has not answered", o.To)
	case from.Fault != "" || from.Role != "master":
		return fmt.Errorf("the master %s: %s %s", o.From, from.Role, from.Fault)
	case to.Priority == "0":
		return final("%s has a replica-priority of 0 by its operator: Sentinel never promotes it; there: CONFIG SET replica-priority 100", o.To)
	case to.Fault != "" || to.Role != "replica" || !to.LinkUp || to.Following != o.From:
		return fmt.Errorf("%s is a %s of %s, its link up: %v %s", o.To, to.Role, to.Following, to.LinkUp, to.Fault)
	case to.Vetoed:
		return fmt.Errorf("%s is vetoed by its own preflight", o.To)
	}
	for _, other := range r.Others {
		if a := v.Answers[other]; a.ID == o.ID && a.Vetoed || shut(view, other) {
			continue
		}
		return fmt.Errorf("%s is not seen to be vetoed: Sentinel might promote it; its watchdog must run (systemctl status redis-watchdog there)", other)
	}
	return nil
}

// shut says that no Sentinel that answers would promote it.
func shut(view sentinel.View, a watchdog.Address) bool {
	asked := 0
	for _, s := range view.Sentinels {
		if !s.Answering {
			continue
		}
		asked++
		for _, replica := range s.Replicas {
			if replica.Address == a && replica.Priority != 0 && !replica.Down {
				return false
			}
		}
	}
	return asked > 0
}

// chooseSentinel is one that will do it now, by what it shows.
func chooseSentinel(view sentinel.View, o grant.HandoverRecord) (string, error) {
	at, why := "", []string{}
	for _, s := range view.Sentinels {
		switch fits := fits(s, o); {
		case s.Failover:
			return "", fmt.Errorf("sentinel %s shows a failover that is running", s.Address)
		case fits == "" && at == "":
			at = s.Address
		case fits != "":
			why = append(why, s.Address+" "+fits)
		}
	}
	if at == "" {
		return "", fmt.Errorf("no Sentinel would do it: %s", strings.Join(why, ", "))
	}
	return at, nil
}

func fits(s sentinel.Word, o grant.HandoverRecord) string {
	switch {
	case !s.Answering:
		return "does not answer"
	case s.Tilt:
		return "is in TILT"
	case s.Master != o.From:
		return "names " + string(s.Master)
	}
	for _, replica := range s.Replicas {
		switch {
		case replica.Address != o.To:
		case replica.Down:
			return "holds " + string(o.To) + " down"
		case replica.Priority == 0:
			return "still shows " + string(o.To) + " with priority 0"
		default:
			return ""
		}
	}
	return "does not list " + string(o.To)
}
