//go:build failpoints

package daemon

// Failpoints for crash tests: REDIS_WATCHDOG_FAILPOINT=gate.fence.sent kills
// this process with SIGKILL when it passes there. A file named by
// REDIS_WATCHDOG_FAILPOINT_FILE may name another one while it runs, and is
// removed when it was passed, so that the next life passes it unharmed. Every
// name that is passed is appended to REDIS_WATCHDOG_FAILPOINT_LOG, if set.

import (
	"fmt"
	"os"
	"strings"
	"syscall"
)

func failpoint(name string) {
	if log := os.Getenv("REDIS_WATCHDOG_FAILPOINT_LOG"); log != "" {
		if f, err := os.OpenFile(log, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o600); err == nil {
			fmt.Fprintln(f, name)
			f.Close()
		}
	}
	if os.Getenv("REDIS_WATCHDOG_FAILPOINT") == name {
		die()
	}
	if file := os.Getenv("REDIS_WATCHDOG_FAILPOINT_FILE"); file != "" {
		if b, err := os.ReadFile(file); err == nil && strings.TrimSpace(string(b)) == name {
			if os.Remove(file) == nil {
				die()
			}
		}
	}
}

func die() {
	if err := syscall.Kill(os.Getpid(), syscall.SIGKILL); err != nil {
		panic(fmt.Sprintf("failpoint: %v", err))
	}
	select {}
}
