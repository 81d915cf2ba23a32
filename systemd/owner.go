package systemd

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"
)

// ErrShared is a unit that runs more than the Redis that was meant: a supervisor,
// cron, a container's runtime. Killed and blocked, all of it would be down.
var ErrShared = errors.New("the unit runs more than this Redis")

// UnitOf is the service of the system's manager whose control group a process is
// in, by the text of its /proc/<pid>/cgroup; empty: none, as one of a user's
// manager. It may be the unit of whatever started the process: see Alone.
func UnitOf(cgroup string) string {
	unit, _ := unitPath(cgroup)
	return unit
}

// unitPath is also the service's control group.
func unitPath(cgroup string) (unit, path string) {
	for line := range strings.Lines(cgroup) {
		parts := strings.SplitN(strings.TrimSpace(line), ":", 3)
		if len(parts) != 3 || parts[1] != "" && parts[1] != "name=systemd" { // cgroup2, or systemd's own hierarchy
			continue
		}
		path := ""
		for element := range strings.SplitSeq(strings.TrimPrefix(parts[2], "/"), "/") {
			path += "/" + element
			// What is below it was made by the service itself.
			if strings.HasPrefix(element, "user@") {
				return "", ""
			}
			if strings.HasSuffix(element, ".service") {
				return element, path
			}
		}
	}
	return "", ""
}

// Alone is the service whose control group a process is in, where nothing is in
// it but that process, what it started, and what started it (a wrapper, a
// supervisor of this Redis and of nothing else). ErrShared, beside the unit,
// where there is more. Of a process in no service's both are empty.
func Alone(pid int) (unit string, err error) {
	all, err := processes()
	if err != nil {
		return "", err
	}
	own, known := all[pid]
	if !known {
		return "", fmt.Errorf("look at process %d: %w", pid, os.ErrNotExist)
	}
	if own.unit == "" {
		return "", nil
	}
	above := map[int]bool{pid: true}
	for at := own.parent; at > 1 && !above[at]; at = all[at].parent {
		above[at] = true
	}
	for other, p := range all {
		if p.group != own.group || above[other] || descends(all, other, pid) {
			continue
		}
		return own.unit, fmt.Errorf("%s, process %d too: %w", own.unit, other, ErrShared)
	}
	return own.unit, nil
}

// descends is whether pid was started by ancestor, or by what that started.
func descends(all map[int]member, pid, ancestor int) bool {
	for range len(all) {
		if pid == ancestor {
			return true
		}
		if pid <= 1 {
			return false
		}
		pid = all[pid].parent
	}
	return false
}

// member is a process in its control group.
type member struct {
	parent      int
	unit, group string
}

// processes are all there are. One that ended meanwhile is left out.
func processes() (map[int]member, error) {
	entries, err := os.ReadDir("/proc")
	if err != nil {
		return nil, fmt.Errorf("list processes: %w", err)
	}
	all := map[int]member{}
	for _, e := range entries {
		pid, err := strconv.Atoi(e.Name())
		if err != nil {
			continue
		}
		text, err := os.ReadFile("/proc/" + e.Name() + "/cgroup")
		stat, statErr := os.ReadFile("/proc/" + e.Name() + "/stat")
		if err != nil || statErr != nil {
			continue
		}
		var m member
		m.unit, m.group = unitPath(string(text))
		_, rest, _ := strings.Cut(string(stat[strings.LastIndexByte(string(stat), ')')+1:]), " ")
		if fields := strings.Fields(rest); len(fields) > 1 { // state, parent
			m.parent, _ = strconv.Atoi(fields[1]) // the kernel's own number
		}
		all[pid] = m
	}
	return all, nil
}

// Owns says whether the unit is the Redis' own: its main process is pid, or
// nothing but that Redis is in it (Alone). Another unit's is false; ErrShared is a
// unit that runs more.
func (u *Units) Owns(ctx context.Context, name string, pid int) (bool, error) {
	if pid <= 0 {
		return false, fmt.Errorf("find unit of process %d: %w", pid, ErrNoProcess)
	}
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	conn, err := u.connection(ctx)
	if err != nil {
		return false, fmt.Errorf("find unit of process %d: %w", pid, err)
	}
	id, err := loadedID(ctx, conn, name)
	if err != nil {
		return false, fmt.Errorf("find unit of process %d: %w", pid, err)
	}
	owner, err := conn.GetUnitNameByPID(ctx, uint32(pid))
	if err != nil {
		return false, fmt.Errorf("find unit of process %d: %w", pid, err)
	}
	if owner != id {
		return false, nil
	}
	if main, err := mainPID(ctx, conn, id); err == nil && main == pid {
		return true, nil
	}
	if _, err := Alone(pid); err != nil {
		return false, fmt.Errorf("find unit of process %d: %w", pid, err)
	}
	return true, nil
}
