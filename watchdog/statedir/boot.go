package statedir

import (
	"fmt"
	"os"
	"strconv"
	"strings"
)

// BootID tells one boot of this host from another: no Instant, no process and no
// run id of one holds on another.
//
// That is the kernel's boot id, but in a container that systemd runs: it begins
// anew without the kernel, and its services, in mount namespaces of theirs, do
// not all see the same file there. Then it is when its process 1 began. Where
// process 1 is another program it may be the watchdog itself, or what restarts
// with it, and says nothing of the host.
func BootID() (string, error) {
	stat, err := os.ReadFile("/proc/1/stat")
	if err == nil { // a /proc that hides processes hides this one from everybody alike
		if container := processOne(string(stat)); container != "" {
			return container, nil
		}
	}
	boot, err := os.ReadFile("/proc/sys/kernel/random/boot_id")
	if err != nil {
		return "", fmt.Errorf("read boot id: %w", err)
	}
	return strings.TrimSpace(string(boot)), nil
}

// processOne is the boot by proc_pid_stat(5) of process 1; empty: it is not told
// there.
func processOne(stat string) string {
	const starttime, soon = 19, 60 * 100 // a field behind the name, in ticks since the kernel's boot
	rest, ours := strings.CutPrefix(stat, "1 (systemd) ")
	fields := strings.Fields(rest)
	if !ours || len(fields) <= starttime {
		return ""
	}
	if ticks, err := strconv.ParseUint(fields[starttime], 10, 64); err != nil || ticks <= soon {
		return ""
	}
	return "process 1 at " + fields[starttime]
}
