package booted

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// reaperScript waits for the end of a pipe that only the owner holds, and then
// takes away what is left of the host: nothing after Close, everything after
// the owner's death. nspawn's own death does not end the host.
const reaperScript = `
trap '' HUP INT QUIT TERM
while read -r _; do :; done
cgroup=$1 dir=$2 tries=0
while [ -d "$cgroup" ] && [ $tries -lt 100 ]; do
	echo 1 >"$cgroup/cgroup.kill"
	find "$cgroup" -depth -type d -exec rmdir {} + || sleep 0.1
	tries=$((tries + 1))
done 2>/dev/null
rm -rf -- "$dir"
`

// reaper is the process that runs reaperScript.
type reaper struct {
	cmd  *exec.Cmd
	pipe io.Closer
}

func startReaper(g cgroup, dir string) (*reaper, error) {
	cmd := exec.Command("/bin/sh", "-c", reaperScript, "booted-reaper", string(g), dir)
	cmd.Dir = "/"
	// A session of its own: no Ctrl-C on the owner's terminal reaches it.
	cmd.SysProcAttr = &unix.SysProcAttr{Setsid: true}
	pipe, err := cmd.StdinPipe()
	if err != nil {
		return nil, fmt.Errorf("make reaper's pipe: %w", err)
	}
	if err := cmd.Start(); err != nil {
		return nil, fmt.Errorf("start reaper: %w", err)
	}
	return &reaper{cmd: cmd, pipe: pipe}, nil
}

// close lets the reaper end, and waits for it.
func (r *reaper) close() error {
	err := r.pipe.Close()
	if err := errors.Join(err, r.cmd.Wait()); err != nil {
		return fmt.Errorf("end reaper: %w", err)
	}
	return nil
}

// ownerMark is "pid.starttime": a process, also after its number was given to
// another.
func ownerMark(pid int) (string, error) {
	stat, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/stat")
	if err != nil {
		return "", fmt.Errorf("read process: %w", err)
	}
	// The name in parentheses may hold anything; the start time is the 20th
	// field behind it (proc(5)).
	fields := strings.Fields(string(stat[strings.LastIndexByte(string(stat), ')')+1:]))
	if len(fields) < 20 {
		return "", fmt.Errorf("read process %d: %d fields in stat", pid, len(fields))
	}
	return strconv.Itoa(pid) + "." + fields[19], nil
}

// reap takes away the hosts in run whose owner is gone and whose reaper did not
// get to it.
func reap(ctx context.Context, run string) error {
	entries, err := os.ReadDir(run)
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("list hosts: %w", err)
	}
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	unlock, err := lock(ctx, run+".lock") // two reapers would trip over each other
	if err != nil {
		return fmt.Errorf("lock hosts: %w", err)
	}
	defer unlock()
	for _, entry := range entries {
		owner, _, _ := strings.Cut(entry.Name(), "-")
		pid, _, _ := strings.Cut(owner, ".")
		number, err := strconv.Atoi(pid)
		if err != nil {
			continue // not one of ours
		}
		if mark, err := ownerMark(number); err == nil && mark == owner {
			continue
		}
		dir := filepath.Join(run, entry.Name())
		if path, err := os.ReadFile(filepath.Join(dir, "cgroup")); err == nil {
			if err := cgroup(path).remove(ctx); err != nil {
				return fmt.Errorf("reap %s: %w", entry.Name(), err)
			}
		}
		if err := os.RemoveAll(dir); err != nil {
			return fmt.Errorf("reap %s: %w", entry.Name(), err)
		}
	}
	return nil
}
