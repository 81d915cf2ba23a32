package systemd

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

var (
	// ErrNoProcess is a kill without a process that was opened for it.
	ErrNoProcess = errors.New("no process is known")
	// ErrOtherProcess is a process that is not what it was said to be.
	ErrOtherProcess = errors.New("not the process that was meant")
)

const (
	// startTolerance is by how much the age of a process may differ from the
	// uptime that Redis says: whole seconds, counted from a little after exec.
	startTolerance = 3 * time.Second
	// clockTick is the unit of start times in /proc: USER_HZ, 100 on every
	// architecture that Go runs on.
	clockTick = time.Second / 100
)

// Process is a running process that its number can no longer be taken from: a
// pidfd. A nil *Process is none.
type Process struct {
	pid int
	fd  int
}

// Claim is what a Redis says of its process in INFO server.
type Claim struct {
	PID        int           // process_id
	Uptime     time.Duration // uptime_in_seconds; zero: not known, any age will do
	Executable string        // executable, of which only the last element counts; empty: redis-server or valkey-server
}

// OpenProcess opens the process of a Redis for which no unit is configured, to
// be able to Kill it later. Nothing keeps a killed one from being restarted by
// whoever supervises it.
//
// The number is not believed: Redis may count in a pid namespace of its own, in
// which case the same number is somebody else here. The process must have the
// name and the age that Redis says, else ErrOtherProcess. A wall clock that was
// stepped since Redis started makes its uptime wrong, and shows as that.
func OpenProcess(c Claim) (*Process, error) {
	p, err := openPID(c.PID)
	if err != nil {
		return nil, fmt.Errorf("open process: %w", err)
	}
	err = p.verify(c)
	if err == nil && p.exited() {
		err = fmt.Errorf("process %d: %w", c.PID, unix.ESRCH)
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("open process: %w", err), p.Close())
	}
	return p, nil
}

// PID is the number the process had when it was opened; 0 of none.
func (p *Process) PID() int {
	if p == nil {
		return 0
	}
	return p.pid
}

// Kill kills the process with SIGKILL and returns nil when it was seen to be
// gone, at the latest when ctx ends. A process that hangs in the kernel (a dead
// disk) goes later, but executes nothing of its own from here on.
func (p *Process) Kill(ctx context.Context) error {
	if p == nil {
		return ErrNoProcess
	}
	if err := p.signal(); err != nil {
		return fmt.Errorf("kill process %d: %w", p.pid, err)
	}
	if err := p.awaitExit(ctx); err != nil {
		return fmt.Errorf("kill process %d: %w", p.pid, err)
	}
	return nil
}

// Close lets go of the process; no other call may be under way or follow.
func (p *Process) Close() error {
	if p == nil {
		return nil
	}
	return unix.Close(p.fd)
}

func (p *Process) duplicate() (*Process, error) {
	if p == nil {
		return nil, nil
	}
	fd, err := unix.FcntlInt(uintptr(p.fd), unix.F_DUPFD_CLOEXEC, 0)
	if err != nil {
		return nil, fmt.Errorf("duplicate pidfd of %d: %w", p.pid, err)
	}
	return &Process{pid: p.pid, fd: fd}, nil
}

func openPID(pid int) (*Process, error) {
	fd, err := unix.PidfdOpen(pid, 0) // close-on-exec by itself
	if err != nil {
		return nil, fmt.Errorf("open pidfd of %d: %w", pid, err)
	}
	return &Process{pid: pid, fd: fd}, nil
}

// signal sends SIGKILL; a process that is gone is no error.
func (p *Process) signal() error {
	err := unix.PidfdSendSignal(p.fd, unix.SIGKILL, nil, 0)
	if err != nil && !errors.Is(err, unix.ESRCH) {
		return fmt.Errorf("send SIGKILL: %w", err)
	}
	return nil
}

func (p *Process) exited() bool {
	gone, err := pollReadable(p.fd, 0)
	return err == nil && gone
}

func (p *Process) awaitExit(ctx context.Context) error {
	if err := waitReadable(ctx, p.fd); err != nil {
		return fmt.Errorf("await exit of process %d: %w", p.pid, err)
	}
	return nil
}

// verify compares the process with the claim. /proc/<pid>/stat is readable for
// all; /proc/<pid>/exe would need CAP_SYS_PTRACE for another user's process.
func (p *Process) verify(c Claim) error {
	stat, err := os.ReadFile("/proc/" + strconv.Itoa(p.pid) + "/stat")
	if err != nil {
		return fmt.Errorf("read process: %w", err)
	}
	name, started, err := parseStat(string(stat))
	if err != nil {
		return fmt.Errorf("read process %d: %w", p.pid, err)
	}
	want := []string{"redis-server", "valkey-server"}
	if c.Executable != "" {
		base := filepath.Base(c.Executable)
		want = []string{base[:min(len(base), 15)]} // what the kernel keeps of a name
	}
	if !slices.Contains(want, name) {
		return fmt.Errorf("process %d is called %q, not %q: %w", p.pid, name, want, ErrOtherProcess)
	}
	if c.Uptime == 0 {
		return nil
	}
	var now unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_BOOTTIME, &now); err != nil {
		return fmt.Errorf("read boottime clock: %w", err)
	}
	age := time.Duration(now.Nano()) - started
	if d := age - c.Uptime; d.Abs() > startTolerance {
		return fmt.Errorf("process %d is %v old, not %v: %w", p.pid, age.Round(time.Second), c.Uptime, ErrOtherProcess)
	}
	return nil
}

// parseStat takes name and start time, counted from the boot, out of
// /proc/<pid>/stat (proc(5)): the name stands in parentheses and may hold
// anything; the start time is the 20th field behind it.
func parseStat(stat string) (name string, started time.Duration, err error) {
	open, shut := strings.IndexByte(stat, '('), strings.LastIndexByte(stat, ')')
	if open < 0 || shut < open {
		return "", 0, errors.New("no name in stat")
	}
	fields := strings.Fields(stat[shut+1:])
	if len(fields) < 20 {
		return "", 0, fmt.Errorf("%d fields in stat", len(fields))
	}
	ticks, err := strconv.ParseInt(fields[19], 10, 64)
	if err != nil {
		return "", 0, fmt.Errorf("start time in stat: %w", err)
	}
	return stat[open+1 : shut], time.Duration(ticks) * clockTick, nil
}
