package daemon

import (
	"context"
	"time"

	"github.com/redis-watchdog/redis-watchdog/watchdog/agent"
)

// untilBeat waits for the next instant at which everybody acts who acts every
// so often, or for the end of ctx, whose cause it is then.
func untilBeat(ctx context.Context, every time.Duration) error {
	_, err := nextBeat(ctx, every)
	return err
}

// nextBeat is untilBeat that says how late it was seen.
func nextBeat(ctx context.Context, every time.Duration) (late time.Duration, err error) {
	now := agent.Boottime()
	due := now.Beat(every)
	wait := time.NewTimer(due.Sub(now))
	defer wait.Stop()
	select {
	case <-ctx.Done():
		return 0, context.Cause(ctx)
	case <-wait.C:
		return max(0, agent.Boottime().Sub(due)), nil
	}
}
