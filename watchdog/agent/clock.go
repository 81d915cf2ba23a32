package agent

import (
	"fmt"

	"golang.org/x/sys/unix"

	"github.com/redis-watchdog/redis-watchdog/watchdog"
)

// Boottime reads CLOCK_BOOTTIME: it goes on in suspend, where Go's monotonic
// clock stands still. It panics if the kernel has no such clock (Linux has had
// one since 2.6.39): no deadline would mean anything.
func Boottime() watchdog.Instant {
	var ts unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_BOOTTIME, &ts); err != nil {
		panic(fmt.Sprintf("read CLOCK_BOOTTIME: %v", err))
	}
	return watchdog.Instant(ts.Nano())
}
