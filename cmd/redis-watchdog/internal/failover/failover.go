// Package failover carries out a planned failover: what package
// watchdog/failover decides next is asked of etcd and the Sentinels.
package failover

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/redis-watchdog/redis-watchdog/fencing/grant"
	"github.com/redis-watchdog/redis-watchdog/sentinel"
	"github.com/redis-watchdog/redis-watchdog/watchdog"
	steps "github.com/redis-watchdog/redis-watchdog/watchdog/failover"
)

// Coordinator is what it asks of etcd.
type Coordinator interface {
	BeginPlannedFailover(ctx context.Context, group string, r grant.PlannedFailoverRecord, lasts time.Duration) error
	StopPlannedFailover(ctx context.Context, group string, r grant.PlannedFailoverRecord, lasts time.Duration) error
	EndPlannedFailover(ctx context.Context, group, id string) error
	ReadPlannedFailover(ctx context.Context, group string) (grant.PlannedFailoverView, error)
}

// Sentinels is what it asks of them.
type Sentinels interface {
	View() sentinel.View
	PollNow()
	Command(ctx context.Context, address string, words ...string) error
}

// Config is one planned failover. All fields are needed.
type Config struct {
	Group       string
	Order       grant.PlannedFailoverRecord // ID, From, To and who gave it
	Others      []watchdog.Address          // the replicas that must not be promoted
	DownAfter   time.Duration               // the smallest any Sentinel reports
	Coordinator Coordinator
	Sentinels   Sentinels
	Now         func() watchdog.Instant
	Say         func(format string, args ...any) // what is being done, for people
}

// Run carries it out. The error says why it could not even begin: then nothing
// was changed. When ctx ends it undoes what can be undone, and takes some seconds
// at the most.
func Run(ctx context.Context, c Config) (steps.Result, error) {
	f := steps.New(steps.Plan{
		Group: c.Group, ID: c.Order.ID, From: c.Order.From, To: c.Order.To, Others: c.Others, DownAfter: c.DownAfter,
	})
	var came steps.Event
	for {
		next := f.Next(c.Now(), came)
		if next.Say != "" {
			c.Say("%s", next.Say)
		}
		if next.Kind == steps.Finish {
			return next.Result, next.Err
		}
		came = c.do(ctx, next)
	}
}

// do is one step. What has its own limit is asked within the smaller of the two.
func (c *Config) do(ctx context.Context, a steps.Action) steps.Event {
	if a.Through {
		ctx = context.WithoutCancel(ctx)
	}
	if a.Until != 0 {
		limited, cancel := context.WithTimeout(ctx, a.Until.Sub(c.Now()))
		defer cancel()
		if a.Kind == steps.Look {
			return c.look(ctx, limited, a)
		}
		ctx = limited
	}
	switch a.Kind {
	case steps.Begin:
		return steps.Event{Err: c.Coordinator.BeginPlannedFailover(ctx, c.Group, c.Order, a.Lasts)}
	case steps.Stop:
		return steps.Event{Err: c.Coordinator.StopPlannedFailover(ctx, c.Group, c.Order, a.Lasts)}
	case steps.End:
		return steps.Event{Err: c.Coordinator.EndPlannedFailover(ctx, c.Group, c.Order.ID)}
	case steps.FailOver:
		return c.command(ctx, a.Sentinel, "SENTINEL", "FAILOVER", c.Group)
	case steps.SetTimeout:
		return c.command(ctx, a.Sentinel, "SENTINEL", "SET", c.Group, "failover-timeout", strconv.FormatInt(a.Timeout.Milliseconds(), 10))
	}
	panic(fmt.Sprintf("failover: nothing carries out a step of kind %d", a.Kind))
}

// look waits, and reads what there is within limited. The command may end during
// both: then nothing was read.
func (c *Config) look(ctx, limited context.Context, a steps.Action) steps.Event {
	wait := time.NewTimer(a.After)
	defer wait.Stop()
	select {
	case <-wait.C:
	case <-ctx.Done():
	}
	if ctx.Err() != nil {
		return steps.Event{Interrupted: true}
	}
	if a.Poll {
		c.Sentinels.PollNow()
	}
	v, err := c.Coordinator.ReadPlannedFailover(limited, c.Group)
	if ctx.Err() != nil {
		return steps.Event{Interrupted: true}
	}
	return steps.Event{Err: err, View: view(v), Sentinels: sentinels(c.Sentinels.View())}
}

// command has a Sentinel do something.
func (c *Config) command(ctx context.Context, at string, words ...string) steps.Event {
	if err := context.Cause(ctx); err != nil {
		return steps.Event{Err: fmt.Errorf("interrupted: %w", err), Failure: steps.NotSent}
	}
	err := c.Sentinels.Command(ctx, at, words...)
	refused, isRefused := errors.AsType[*sentinel.RefusedError](err)
	switch {
	case isRefused:
		return steps.Event{Err: refused, Failure: steps.Refused}
	case errors.Is(err, sentinel.ErrNotSent):
		return steps.Event{Err: err, Failure: steps.NotSent}
	}
	return steps.Event{Err: err, Failure: steps.Unanswered}
}
