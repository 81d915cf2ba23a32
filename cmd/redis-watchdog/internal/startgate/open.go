package startgate

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/redis-watchdog/redis-watchdog/watchdog"
	"github.com/redis-watchdog/redis-watchdog/watchdog/agent"
)

// Note is why a node is left open when it starts: nobody would open it. The
// watchdog writes it, for it alone knows what etcd orders. The zero Note is none.
type Note struct {
	Released    bool             `json:"released"`
	Maintenance watchdog.Instant `json:"maintenance_until"` // of this boot; zero: there is none
	Boot        string           `json:"boot_id"`
}

// Leave is the note of a node whose watchdog has these orders.
func Leave(o watchdog.Orders) Note { return Note{Released: o.Released, Maintenance: o.Maintenance} }

func notePath(stateDir, group, node string) string {
	return filepath.Join(stateDir, "start-open", agent.FileName(group, node))
}

// Write puts the note in the place of the one that stands; the zero Note takes
// it away.
func (n Note) Write(stateDir, group, node string) error {
	path := notePath(stateDir, group, node)
	if n == (Note{}) {
		if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return fmt.Errorf("remove note for the start gate: %w", err)
		}
		return nil
	}
	boot, err := bootID()
	if err == nil {
		n.Boot = boot
		err = os.MkdirAll(filepath.Dir(path), 0o700)
	}
	if err == nil {
		err = agent.WriteJSON(path, n, true)
	}
	if err != nil {
		return fmt.Errorf("write note for the start gate: %w", err)
	}
	return nil
}

// LeftOpen says why the node starts as its redis.conf says; empty: it starts
// shut, also when that cannot be found out.
func LeftOpen(stateDir, group, node string, now watchdog.Instant) string {
	var n Note
	if err := agent.ReadJSON(notePath(stateDir, group, node), &n); err != nil {
		return ""
	}
	boot, err := bootID()
	switch {
	case n.Released:
		return "it is released"
	case err == nil && n.Boot == boot && now < n.Maintenance:
		return "its group is in maintenance"
	}
	return ""
}

// bootID tells one boot from another. A container has its own, which its
// services, in mount namespaces of theirs, do not all see: there it is when its
// process 1 began, which on a host is the same after every boot.
func bootID() (string, error) {
	stat, err := os.ReadFile("/proc/1/stat")
	if err != nil {
		return "", fmt.Errorf("read start of process 1: %w", err)
	}
	const starttime, soon = 19, 60 * 100 // a field of proc_pid_stat(5) behind the name, in ticks since the kernel's boot
	_, rest, _ := strings.Cut(string(stat), ") ")
	if fields := strings.Fields(rest); len(fields) > starttime {
		if ticks, err := strconv.ParseUint(fields[starttime], 10, 64); err == nil && ticks > soon {
			return "process 1 at " + fields[starttime], nil
		}
	}
	boot, err := os.ReadFile("/proc/sys/kernel/random/boot_id")
	if err != nil {
		return "", fmt.Errorf("read boot id: %w", err)
	}
	return strings.TrimSpace(string(boot)), nil
}
