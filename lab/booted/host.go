package booted

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/redis-watchdog/redis-watchdog/lab/need"
	"github.com/redis-watchdog/redis-watchdog/lab/slot"
)

const (
	// bootTimeout bounds one boot; it takes about a second on an idle machine.
	bootTimeout = 90 * time.Second
	// stopTimeout bounds the death of a host after its kill.
	stopTimeout = 20 * time.Second
)

// ErrDown is a command to a host that does not run.
var ErrDown = errors.New("host is down")

// Options says what a host is made of; the zero value is a bookworm host with
// nothing but loopback.
type Options struct {
	Netns    string   // path of the network namespace it lives in, such as /run/netns/m1; "": one of its own, with only lo
	Suite    string   // Debian suite; "": bookworm
	Packages []string // Debian packages beside the base ones
}

// Host is one booted machine. Its methods are safe for concurrent use, but for
// Start, PowerCut and Close against each other.
type Host struct {
	Name string

	options Options
	root    string // lower layer
	dir     string // upper layer, console and mount point
	cgroup  cgroup
	reaper  *reaper

	mu     sync.Mutex
	up     *machine // nil: powered off
	execs  int
	closed bool
}

// machine is one run of a host, from power on to power off.
type machine struct {
	cmd    *exec.Cmd
	ended  chan struct{}
	leader string // pid of its process 1, as the machine counts
}

// Boot boots a host for a test and takes it away with the test. Without root
// the test is skipped; a machine that cannot do it as root fails it.
func Boot(t testing.TB, name string, options Options) *Host {
	t.Helper()
	need.Root(t)
	slot.Take(t)
	h, err := Start(t.Context(), name, options)
	if err != nil {
		t.Fatalf("boot host %s: %v", name, err)
	}
	t.Cleanup(func() {
		if err := h.Close(); err != nil {
			t.Errorf("close host %s: %v", name, err)
		}
	})
	return h
}

// Start boots a host; Close takes it away. It makes the root first where it is
// not there, and clears up after hosts whose owner has died.
func Start(ctx context.Context, name string, options Options) (*Host, error) {
	root, err := Root(ctx, options.Suite, options.Packages...)
	if err != nil {
		return nil, err
	}
	cache, err := cacheDir()
	if err != nil {
		return nil, err
	}
	run := filepath.Join(cache, "run")
	if err := reap(ctx, run); err != nil {
		return nil, err
	}
	h := &Host{Name: name, options: options, root: root}
	if err := h.claim(run); err != nil {
		return nil, errors.Join(err, h.Close())
	}
	if err := h.PowerOn(ctx); err != nil {
		return nil, errors.Join(err, h.Close())
	}
	return h, nil
}

// claim makes the host's directories and its cgroup, marked as this process'.
func (h *Host) claim(run string) error {
	owner, err := ownerMark(os.Getpid())
	if err != nil {
		return err
	}
	if err := os.MkdirAll(run, 0o755); err != nil {
		return fmt.Errorf("make run directory: %w", err)
	}
	h.dir, err = os.MkdirTemp(run, owner+"-"+h.Name+"-")
	if err != nil {
		return fmt.Errorf("make host directory: %w", err)
	}
	for _, d := range []string{"upper", "work", "root"} {
		if err := os.Mkdir(filepath.Join(h.dir, d), 0o755); err != nil {
			return fmt.Errorf("make host directory: %w", err)
		}
	}
	parent, err := callersCgroup()
	if err != nil {
		return err
	}
	name := "booted-" + filepath.Base(h.dir)
	// Written before it is made: the reaper finds it whenever we die.
	if err := os.WriteFile(filepath.Join(h.dir, "cgroup"), []byte(filepath.Join(string(parent), name)), 0o644); err != nil {
		return fmt.Errorf("note cgroup: %w", err)
	}
	if h.cgroup, err = parent.child(name); err != nil {
		return err
	}
	h.reaper, err = startReaper(h.cgroup, h.dir)
	return err
}

// launch is run by sh in a mount namespace of its own: the mounts are gone with
// the last process of the host. systemd 257 and later want cgroup2 where they
// expect it, whatever the machine has there.
const launch = `
mount -t overlay overlay -o "lowerdir=$1,upperdir=$2/upper,workdir=$2/work" "$2/root"
mount -t cgroup2 none /sys/fs/cgroup
dir=$2 name=$3 netns=$4
set -- systemd-nspawn --quiet --boot --register=no --keep-unit --console=read-only \
	--capability=CAP_NET_ADMIN,CAP_IPC_LOCK --machine="$name" --hostname="$name" --directory="$dir/root"
if [ -z "$netns" ]; then exec "$@" --private-network; fi
exec nsenter --net="$netns" "$@" --network-namespace-path="$netns"
`

// PowerOn boots the host again after PowerCut, poweroff or reboot, on the disk
// it left, and returns when it has come up.
func (h *Host) PowerOn(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, bootTimeout)
	defer cancel()
	if m := h.running(); m != nil {
		return fmt.Errorf("power on %s: it runs", h.Name)
	}
	m, err := h.launch()
	if err != nil {
		return fmt.Errorf("power on %s: %w", h.Name, err)
	}
	if err := h.awaitUp(ctx, m); err != nil {
		console, _ := os.ReadFile(h.console())
		return fmt.Errorf("power on %s: %w\n%s", h.Name, err, tail(string(console)))
	}
	return nil
}

func (h *Host) launch() (*machine, error) {
	supervisor, err := h.cgroup.child("run-" + strconv.FormatInt(time.Now().UnixNano(), 36))
	if err != nil {
		return nil, err
	}
	group, err := os.Open(string(supervisor))
	if err != nil {
		return nil, fmt.Errorf("open cgroup: %w", err)
	}
	defer group.Close()
	console, err := os.OpenFile(h.console(), os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o644)
	if err != nil {
		return nil, fmt.Errorf("open console: %w", err)
	}
	defer console.Close()
	cmd := exec.Command("/bin/sh", "-euc", launch, "sh", h.root, h.dir, h.Name, h.options.Netns)
	cmd.Stdout, cmd.Stderr = console, console
	cmd.SysProcAttr = &unix.SysProcAttr{
		Pdeathsig:    unix.SIGKILL,
		Unshareflags: unix.CLONE_NEWNS,
		UseCgroupFD:  true,
		CgroupFD:     int(group.Fd()),
	}
	if err := cmd.Start(); err != nil {
		return nil, fmt.Errorf("start nspawn: %w", err)
	}
	m := &machine{cmd: cmd, ended: make(chan struct{})}
	go func() {
		_ = cmd.Wait() // 133 after reboot, killed after a power cut: no news
		close(m.ended)
	}()
	h.mu.Lock()
	h.up = m
	h.mu.Unlock()
	return m, nil
}

// awaitUp waits until process 1 of the host says that it has started all.
func (h *Host) awaitUp(ctx context.Context, m *machine) error {
	for {
		if leader := h.findLeader(); leader != "" {
			h.mu.Lock()
			m.leader = leader
			h.mu.Unlock()
			// "degraded" is an exit code as well: some unit of Debian's may
			// not like a container.
			state, err := h.Exec(ctx, "systemctl", "is-system-running")
			if s := strings.TrimSpace(state); s == "running" || s == "degraded" || s == "starting" && h.waitsOnlyForWatchdog(ctx) {
				return nil
			} else if ctx.Err() != nil {
				return fmt.Errorf("await boot (state %q): %w", s, err)
			}
		}
		select {
		case <-m.ended:
			return errors.New("await boot: nspawn has ended")
		default:
		}
		if err := pause(ctx, 20*time.Millisecond); err != nil {
			return fmt.Errorf("await boot: %w", err)
		}
	}
}

// waitsOnlyForWatchdog says that the watchdog's start is all that is left of the
// boot: that may be waiting for etcd, as it should.
func (h *Host) waitsOnlyForWatchdog(ctx context.Context) bool {
	jobs, err := h.Sh(ctx, "systemctl list-jobs --no-legend | grep -v waiting | awk '{print $2, $4}'")
	return err == nil && strings.TrimSpace(jobs) == "redis-watchdog.service running"
}

// findLeader finds the process that is number 1 in the host; "" while there is
// none.
func (h *Host) findLeader() string {
	pids, err := h.cgroup.procs()
	if err != nil {
		return ""
	}
	for _, pid := range pids {
		// Before nspawn has become systemd its root is still the machine's.
		if comm, err := os.ReadFile("/proc/" + pid + "/comm"); err != nil || string(comm) != "systemd\n" {
			continue
		}
		status, err := os.ReadFile("/proc/" + pid + "/status")
		if err != nil {
			continue
		}
		for line := range strings.Lines(string(status)) {
			if ids, ok := strings.CutPrefix(line, "NSpid:"); ok {
				if f := strings.Fields(ids); len(f) > 1 && f[len(f)-1] == "1" {
					return pid
				}
			}
		}
	}
	return ""
}

// PowerCut kills everything on the host in one instant, with no chance to say
// goodbye. Its disk stays; PowerOn boots it again.
func (h *Host) PowerCut() error {
	m := h.running()
	if m == nil {
		return nil
	}
	ctx, cancel := context.WithTimeout(context.Background(), stopTimeout)
	defer cancel()
	if err := h.cgroup.kill(ctx); err != nil {
		return fmt.Errorf("cut power of %s: %w", h.Name, err)
	}
	return h.awaitDown(ctx, m)
}

// awaitDown waits for the end of a run and takes its cgroups away.
func (h *Host) awaitDown(ctx context.Context, m *machine) error {
	select {
	case <-m.ended:
	case <-ctx.Done():
		return fmt.Errorf("await end of %s: %w", h.Name, context.Cause(ctx))
	}
	if err := h.cgroup.await(ctx, "populated 0"); err != nil {
		return fmt.Errorf("await end of %s: %w", h.Name, err)
	}
	return nil
}

// Reboot restarts the host in order and returns when it is up again.
func (h *Host) Reboot(ctx context.Context) error {
	m := h.running()
	if m == nil {
		return ErrDown
	}
	// The answer may get lost with the host.
	_, _ = h.Exec(ctx, "systemctl", "reboot")
	if err := h.awaitDown(ctx, m); err != nil {
		return fmt.Errorf("reboot %s: %w", h.Name, err)
	}
	return h.PowerOn(ctx)
}

// Freeze stops every process of the host, process 1 included, where it stands;
// it returns when all have stopped.
func (h *Host) Freeze(ctx context.Context) error {
	if err := h.cgroup.set("cgroup.freeze", "1"); err != nil {
		return fmt.Errorf("freeze %s: %w", h.Name, err)
	}
	return h.cgroup.await(ctx, "frozen 1")
}

// Thaw lets a frozen host go on.
func (h *Host) Thaw(ctx context.Context) error {
	if err := h.cgroup.set("cgroup.freeze", "0"); err != nil {
		return fmt.Errorf("thaw %s: %w", h.Name, err)
	}
	return h.cgroup.await(ctx, "frozen 0")
}

// SignalInit sends a signal to process 1 of the host, from outside, where
// SIGSTOP and SIGKILL work on it: a service manager that hangs.
func (h *Host) SignalInit(signal unix.Signal) error {
	m := h.running()
	if m == nil {
		return ErrDown
	}
	h.mu.Lock()
	pid, err := strconv.Atoi(m.leader)
	h.mu.Unlock()
	if err == nil {
		err = unix.Kill(pid, signal)
	}
	if err != nil {
		return fmt.Errorf("signal process 1 of %s: %w", h.Name, err)
	}
	return nil
}

// Close takes the host away, with its disk.
func (h *Host) Close() error {
	h.mu.Lock()
	closed := h.closed
	h.closed = true
	h.mu.Unlock()
	if closed {
		return nil
	}
	var errs []error
	if h.cgroup != "" {
		errs = append(errs, h.PowerCut())
		ctx, cancel := context.WithTimeout(context.Background(), stopTimeout)
		defer cancel()
		errs = append(errs, h.cgroup.remove(ctx))
	}
	if h.dir != "" {
		errs = append(errs, os.RemoveAll(h.dir))
	}
	if h.reaper != nil {
		errs = append(errs, h.reaper.close())
	}
	return errors.Join(errs...)
}

// running is the current run, nil when the host is down.
func (h *Host) running() *machine {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.up == nil {
		return nil
	}
	select {
	case <-h.up.ended:
		h.up = nil
		return nil
	default:
		return h.up
	}
}

func (h *Host) console() string { return filepath.Join(h.dir, "console.log") }
