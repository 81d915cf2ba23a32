package lab

import (
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
)

// reaperScript reads what the owner starts and ends, one line each, and cleans
// up when the pipe ends: by the owner's close, or by its death of any kind.
// What it kills are process groups, so children of children go too.
const reaperScript = `
trap '' HUP INT QUIT TERM
dir=$1 pids=' '
while read -r what pid; do
	case $what in
	start) pids="$pids$pid " ;;
	end) case $pids in *" $pid "*) pids="${pids%%" $pid "*} ${pids#*" $pid "}" ;; esac ;;
	keep) dir= ;;
	esac
done
for pid in $pids; do kill -9 "-$pid"; done 2>/dev/null
[ -n "$dir" ] || exit 0
for again in 1 2 3 4 5 6 7 8 9; do rm -rf -- "$dir" && exit 0; sleep 0.1; done
exit 1
`

type reaper struct {
	dir  string
	cmd  *exec.Cmd
	pipe io.WriteCloser
}

func startReaper(dir string) (*reaper, error) {
	cmd := exec.Command("sh", "-c", reaperScript, "lab-reaper", dir)
	cmd.Dir = "/"
	// A session of its own: no Ctrl-C on the owner's terminal reaches it.
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	pipe, err := cmd.StdinPipe()
	if err != nil {
		return nil, fmt.Errorf("make reaper's pipe: %w", err)
	}
	if err := cmd.Start(); err != nil {
		return nil, fmt.Errorf("start reaper: %w", err)
	}
	r := &reaper{dir: dir, cmd: cmd, pipe: pipe}
	if keepAlways() {
		return r, r.keep()
	}
	return r, nil
}

// keepAlways is for who wants to see the logs even of a run that was killed.
func keepAlways() bool { return os.Getenv("LAB_KEEP") != "" }

// keep lets the directory stay: the reaper forgets it, and without an owner
// Sweep does too.
func (r *reaper) keep() error {
	if _, err := fmt.Fprintln(r.pipe, "keep"); err != nil {
		return fmt.Errorf("tell reaper: %w", err)
	}
	if err := os.Remove(filepath.Join(r.dir, "owner")); err != nil && !errors.Is(err, os.ErrNotExist) {
		return fmt.Errorf("keep directory: %w", err)
	}
	return nil
}

func (r *reaper) started(pid int) error {
	if _, err := fmt.Fprintf(r.pipe, "start %d\n", pid); err != nil {
		return fmt.Errorf("tell reaper: %w", err)
	}
	return nil
}

// ended cannot be told to a reaper that is gone, and need not be.
func (r *reaper) ended(pid int) { fmt.Fprintf(r.pipe, "end %d\n", pid) }

// close lets the reaper do its work: kill what is left and, unless told to
// keep it, remove the directory.
func (r *reaper) close(keep bool) error {
	var kept error
	if keep {
		kept = r.keep()
	}
	err := r.pipe.Close()
	if err := errors.Join(kept, err, r.cmd.Wait()); err != nil {
		return fmt.Errorf("remove what the lab left: %w", err)
	}
	return nil
}

const directoryPrefix = "rwlab-"

// makeDirectory makes the lab's directory; its name carries the owner's pid.
func makeDirectory() (string, error) {
	root := os.TempDir()
	if len(root) > 40 {
		root = "/tmp" // a unix socket's path has room for 107 bytes
	}
	dir, err := os.MkdirTemp(root, fmt.Sprintf("%s%d-", directoryPrefix, os.Getpid()))
	if err != nil {
		return "", fmt.Errorf("make directory: %w", err)
	}
	if err := os.Chmod(dir, 0o755); err != nil {
		return "", fmt.Errorf("open directory to all: %w", err)
	}
	owner := fmt.Sprintf("%d %s\n", os.Getpid(), startTime(os.Getpid()))
	if err := os.WriteFile(filepath.Join(dir, "owner"), []byte(owner), 0o644); err != nil {
		return "", fmt.Errorf("write owner: %w", err)
	}
	return dir, nil
}

// Sweep removes what labs of dead owners left, for the case that owner and
// reaper were killed together. Directories kept after a failure stay.
func Sweep() error {
	var errs []error
	for _, root := range []string{os.TempDir(), "/tmp"} {
		dirs, err := filepath.Glob(filepath.Join(root, directoryPrefix+"*"))
		if err != nil {
			return fmt.Errorf("list labs: %w", err)
		}
		for _, dir := range dirs {
			owner, err := os.ReadFile(filepath.Join(dir, "owner"))
			if err != nil || alive(string(owner)) {
				continue // no owner file: kept, or not ours
			}
			processes, _ := filepath.Glob(filepath.Join(dir, "*", "pid"))
			for _, file := range processes {
				if line, err := os.ReadFile(file); err == nil && alive(string(line)) {
					pid, _ := strconv.Atoi(strings.Fields(string(line))[0])
					_ = syscall.Kill(-pid, syscall.SIGKILL)
				}
			}
			if err := os.RemoveAll(dir); err != nil {
				errs = append(errs, fmt.Errorf("remove %s: %w", dir, err))
			}
		}
	}
	return errors.Join(errs...)
}

// alive says whether "pid starttime" is the same process as when written.
func alive(line string) bool {
	fields := strings.Fields(line)
	if len(fields) != 2 {
		return false
	}
	pid, err := strconv.Atoi(fields[0])
	return err == nil && startTime(pid) == fields[1]
}

// startTime is field 22 of /proc/pid/stat, which tells a process from a later
// one of the same pid; empty: no such process.
func startTime(pid int) string {
	data, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return ""
	}
	// The name in field 2 may hold blanks and brackets.
	_, rest, _ := strings.Cut(string(data[strings.LastIndexByte(string(data), ')'):]), " ")
	fields := strings.Fields(rest)
	if len(fields) < 20 {
		return ""
	}
	return fields[19]
}
