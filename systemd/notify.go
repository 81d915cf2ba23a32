package systemd

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"sync/atomic"
	"time"

	"github.com/coreos/go-systemd/v22/daemon"
	"golang.org/x/sys/unix"
)

// startExtension is by how much Alive puts off TimeoutStartSec= while the
// service is not ready yet: well above the distance of two turns of the
// decision loop, well below what an operator calls hung.
const startExtension = 30 * time.Second

// Notifier speaks sd_notify(3). It is safe for concurrent use; the zero value
// and a nil *Notifier are outside of any service manager and do nothing.
type Notifier struct {
	socket   *socket // nil: NOTIFY_SOCKET is not set
	watchdog time.Duration
	ready    atomic.Bool
}

// OpenNotifier opens the manager's socket as NOTIFY_SOCKET names it, and keeps
// it open: a notification dials nothing. It takes the variables out of the
// environment, so that no child answers in our name. Without NOTIFY_SOCKET the
// Notifier does nothing and there is no error.
func OpenNotifier() (*Notifier, error) {
	watchdog, err := daemon.SdWatchdogEnabled(true)
	if err != nil {
		return nil, fmt.Errorf("read WATCHDOG_USEC: %w", err)
	}
	path := os.Getenv("NOTIFY_SOCKET")
	if path == "" {
		return &Notifier{}, nil
	}
	s, err := openSocket(path)
	if err != nil {
		return nil, fmt.Errorf("open notify socket %q: %w", path, err)
	}
	if err := os.Unsetenv("NOTIFY_SOCKET"); err != nil {
		return nil, errors.Join(fmt.Errorf("unset NOTIFY_SOCKET: %w", err), s.close())
	}
	return &Notifier{socket: s, watchdog: watchdog}, nil
}

// Close closes the socket. Later calls fail with ErrClosed.
func (n *Notifier) Close() error {
	if !n.Enabled() {
		return nil
	}
	return n.socket.close()
}

// Enabled says whether a service manager listens.
func (n *Notifier) Enabled() bool { return n != nil && n.socket != nil }

// WatchdogInterval is WatchdogSec=: the manager kills and restarts us when it
// hears no Alive for as long. Zero: it does not watch. Send Alive three times
// as often; one of them may be lost in a stall.
func (n *Notifier) WatchdogInterval() time.Duration {
	if n == nil {
		return 0
	}
	return n.watchdog
}

// Ready says that protection is in force. It also ends a Reloading. A failed
// Ready has to be sent again: the unit's start waits for it.
func (n *Notifier) Ready(status string) error {
	if err := n.send("READY=1", statusLine(status)); err != nil {
		return fmt.Errorf("notify ready: %w", err)
	}
	if n != nil {
		n.ready.Store(true)
	}
	return nil
}

// Status sets the line that `systemctl status` shows.
func (n *Notifier) Status(status string) error {
	if err := n.send(statusLine(status)); err != nil {
		return fmt.Errorf("notify status: %w", err)
	}
	return nil
}

// Alive feeds the service watchdog; only the decision loop may call it, once a
// turn. Before the first Ready, which may take as long as etcd is away, it
// puts off the start timeout instead, so that a loop that hangs before it was
// ready is killed as well.
func (n *Notifier) Alive() error {
	lines := []string{"WATCHDOG=1"}
	if n != nil && !n.ready.Load() {
		lines = append(lines, extension(startExtension))
	}
	if err := n.send(lines...); err != nil {
		return fmt.Errorf("notify watchdog: %w", err)
	}
	return nil
}

// ExtendTimeout asks for d more, counted from now, for the start, reload or
// stop under way.
func (n *Notifier) ExtendTimeout(d time.Duration) error {
	if err := n.send(extension(d)); err != nil {
		return fmt.Errorf("extend service timeout: %w", err)
	}
	return nil
}

// Reloading says that the configuration is being read again; Ready ends it.
// MONOTONIC_USEC goes with it, which Type=notify-reload (systemd 253) wants:
// CLOCK_MONOTONIC, so that the manager can tell this reload from an older one.
func (n *Notifier) Reloading(status string) error {
	var now unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_MONOTONIC, &now); err != nil {
		return fmt.Errorf("read monotonic clock: %w", err)
	}
	usec := fmt.Sprintf("MONOTONIC_USEC=%d", now.Nano()/int64(time.Microsecond))
	if err := n.send("RELOADING=1", usec, statusLine(status)); err != nil {
		return fmt.Errorf("notify reloading: %w", err)
	}
	return nil
}

// Stopping says that the service is going down.
func (n *Notifier) Stopping(status string) error {
	if err := n.send("STOPPING=1", statusLine(status)); err != nil {
		return fmt.Errorf("notify stopping: %w", err)
	}
	return nil
}

// Barrier waits until the manager has worked off everything sent before it, or
// until ctx ends (sd_notify_barrier(3): it closes the descriptor that comes
// with BARRIER=1. Before systemd 246 the name is unknown and the descriptor is
// closed at the same place).
func (n *Notifier) Barrier(ctx context.Context) error {
	if !n.Enabled() {
		return nil
	}
	var pipe [2]int
	if err := unix.Pipe2(pipe[:], unix.O_CLOEXEC|unix.O_NONBLOCK); err != nil {
		return fmt.Errorf("make barrier pipe: %w", err)
	}
	defer unix.Close(pipe[0])
	err := n.socket.send("BARRIER=1", pipe[1])
	unix.Close(pipe[1])
	if err != nil {
		return fmt.Errorf("send barrier: %w", err)
	}
	if err := waitReadable(ctx, pipe[0]); err != nil {
		return fmt.Errorf("await barrier: %w", err)
	}
	return nil
}

func (n *Notifier) send(lines ...string) error {
	if !n.Enabled() {
		return nil
	}
	return n.socket.send(strings.Join(lines, "\n"))
}

func extension(d time.Duration) string {
	return fmt.Sprintf("EXTEND_TIMEOUT_USEC=%d", d.Microseconds())
}

// statusLine keeps text on its line: a newline would start the next variable.
func statusLine(text string) string {
	return "STATUS=" + strings.NewReplacer("\n", " ", "\r", " ").Replace(text)
}
