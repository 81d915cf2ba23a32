package daemon

import (
	"context"
	"time"

	"github.com/redis-watchdog/redis-watchdog/watchdog/agent"
)

// untilBeat waits for the next instant at which everybody acts who acts every
// so often, or for the end of ctx, whose cause it is then.
func untilBeat(ctx context.Context, every time.Duration) error {
	now := agent.Boottime()
	wait := time.NewTimer(now.Beat(every).Sub(now))
	defer wait.Stop()
	select {
	case <-ctx.Done():
		return context.Cause(ctx)
	case <-wait.C:
		return nil
	}
}
