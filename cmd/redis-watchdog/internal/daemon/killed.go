package daemon

import (
	"context"
	"time"

	"github.com/redis-watchdog/redis-watchdog/watchdog"
	"github.com/redis-watchdog/redis-watchdog/watchdog/agent"
)

const (
	lookForKilled  = time.Second
	restoreTimeout = 30 * time.Second
)

// watchKilled finds out whether a Redis that is gone is one that was killed and
// is kept down, and starts it again when the node is released. It never starts
// one that somebody else has stopped.
func (x *node) watchKilled(ctx context.Context) error {
	failing := false
	for {
		if err := untilBeat(ctx, lookForKilled); err != nil {
			return err
		}
		s := x.agent.Status(agent.Extras{})
		file := ""
		if s.Redis.Answer == watchdog.Absent {
			var err error
			if file, err = x.control.StartBlock(ctx); err != nil && ctx.Err() == nil {
				if !failing {
					x.log.Warn("service manager not asked whether redis is kept down", "unit", x.unit, "error", err)
				}
				failing = true
				continue
			}
			failing = false
		}
		if file != "" && s.Want.Gate.Release {
			x.restore(ctx)
			continue // look again whether it is still kept down
		}
		x.mu.Lock()
		x.blockedBy = file
		if s.Redis.Answer == watchdog.Up && s.Redis.RunID != x.killed || s.Want.Gate.Release {
			x.killed = "" // whoever supervises it, or somebody, has started it again
		}
		x.mu.Unlock()
	}
}

// killer is what kills the Redis of a node. Where no unit is configured it
// remembers which one: nothing but that is left of it to be told.
type killer struct{ x *node }

// Kill implements gate.Killer.
func (k killer) Kill(ctx context.Context, pid int, runID string) error {
	x := k.x
	err := x.control.Kill(ctx, pid, runID)
	if err == nil && x.unit == "" {
		x.mu.Lock()
		x.killed = runID
		x.mu.Unlock()
	}
	return err
}

func (x *node) restore(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, restoreTimeout)
	defer cancel()
	x.log.Info("released: starting the redis that was killed", "unit", x.unit)
	if err := x.control.Restore(ctx); err != nil {
		x.log.Error("killed redis not started", "unit", x.unit, "error", err)
	}
}
