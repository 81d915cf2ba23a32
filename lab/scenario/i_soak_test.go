//go:build soak

package scenario

import (
	"testing"
	"time"

	"github.com/redis-watchdog/redis-watchdog/lab/watched"
)

// The issue's own length.
func TestHostOfMasterFrozenForHalfAMinute(t *testing.T) {
	t.Parallel()
	frozenHost(t, 30*time.Second, func(*watched.Watchdog) {})
}

func TestHostOfMasterFrozenForHalfAMinuteWithoutWatchdog(t *testing.T) {
	t.Parallel()
	frozenHost(t, 30*time.Second, func(d *watched.Watchdog) { d.Kill() })
}
