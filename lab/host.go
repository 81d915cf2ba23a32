package lab

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// Host is a place where processes run and clients stand.
type Host struct {
	Name string
	IP   string // 10.77.0.x, or 127.0.0.1 on loopback; processes of the lab resolve Name to it

	lab       *Lab
	index     int      // from 1
	namespace *os.File // nil: loopback
	unplugged bool

	mu      sync.Mutex
	running chan struct{} // closed while the host runs, open while it is frozen
	frozen  bool
	stopped []int // by Freeze
}

// Dial connects from the host: its socket is one of the host's network. A name
// of a host of the lab is understood, no other. The connection is an ordinary
// one afterwards, and can be used from any goroutine.
func (h *Host) Dial(ctx context.Context, network, address string) (net.Conn, error) {
	if network == "unix" || h.namespace == nil {
		return new(net.Dialer).DialContext(ctx, network, h.lab.resolve(address))
	}
	type result struct {
		conn net.Conn
		err  error
	}
	results := make(chan result, 1)
	go func() {
		conn, err := h.dialInside(ctx, network, h.lab.resolve(address))
		results <- result{conn, err}
	}()
	r := <-results
	return r.conn, r.err
}

// dialInside must have a goroutine of its own: where the thread cannot be
// brought back, it stays locked and dies with the goroutine. The socket
// belongs to the network its thread was in when it was made, and with an
// address that needs no look-up net.Dialer makes it on the calling goroutine.
func (h *Host) dialInside(ctx context.Context, network, address string) (net.Conn, error) {
	runtime.LockOSThread()
	if err := unix.Setns(int(h.namespace.Fd()), unix.CLONE_NEWNET); err != nil {
		runtime.UnlockOSThread()
		return nil, fmt.Errorf("enter network of host %q: %w", h.Name, err)
	}
	conn, err := new(net.Dialer).DialContext(ctx, network, address)
	if back := unix.Setns(int(h.lab.threads.home.Fd()), unix.CLONE_NEWNET); back != nil {
		return conn, errors.Join(err, fmt.Errorf("leave network of host %q: %w", h.Name, back))
	}
	runtime.UnlockOSThread()
	return conn, err
}

// DialAddress is Dial for gRPC's WithContextDialer.
func (h *Host) DialAddress(ctx context.Context, address string) (net.Conn, error) {
	return h.Dial(ctx, "tcp", strings.TrimPrefix(address, "dns:///"))
}

func (l *Lab) resolve(address string) string {
	name, port, err := net.SplitHostPort(address)
	if err != nil {
		return address
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, h := range l.hosts {
		if h.Name == name {
			return net.JoinHostPort(h.IP, port)
		}
	}
	return address
}

// Freeze stops the whole host as a hypervisor would: all its processes, and
// what its Writers and Readers send. What arrives meanwhile waits in sockets.
func (h *Host) Freeze() {
	h.lab.t.Helper()
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.frozen {
		return
	}
	h.frozen, h.running = true, make(chan struct{})
	// Twice, because one that was not stopped yet may have forked.
	for range 2 {
		for _, pid := range h.pids() {
			if err := syscall.Kill(pid, syscall.SIGSTOP); err == nil {
				h.stopped = append(h.stopped, pid)
			}
		}
	}
	for _, pid := range h.stopped {
		h.lab.awaitStopped(pid)
	}
	h.lab.Mark("freeze %s", h.Name)
}

// Thaw lets it go on.
func (h *Host) Thaw() {
	h.mu.Lock()
	defer h.mu.Unlock()
	if !h.frozen {
		return
	}
	h.lab.Mark("thaw %s", h.Name)
	for _, pid := range h.stopped {
		_ = syscall.Kill(pid, syscall.SIGCONT) // it may be dead by now
	}
	h.frozen, h.stopped = false, nil
	close(h.running)
}

// Kill ends all its processes at once, as a power cut would. Each can be
// started again by Process.Restart.
func (h *Host) Kill() {
	h.lab.Mark("power cut on %s", h.Name)
	h.lab.mu.Lock()
	processes := h.lab.processes
	h.lab.mu.Unlock()
	for _, p := range processes {
		if p.Host == h {
			p.signal(syscall.SIGKILL)
		}
	}
	for _, p := range processes {
		if p.Host == h {
			p.Wait()
		}
	}
}

// awake waits while the host is frozen.
func (h *Host) awake(ctx context.Context) error {
	h.mu.Lock()
	running := h.running
	h.mu.Unlock()
	select {
	case <-running:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// pids is every process in the host's network, or on loopback the group of
// every process that was started on it.
func (h *Host) pids() []int {
	var inode uint64
	if h.namespace != nil {
		var st unix.Stat_t
		if err := unix.Fstat(int(h.namespace.Fd()), &st); err != nil {
			h.lab.t.Fatalf("lab: stat network of host %q: %v", h.Name, err)
		}
		inode = st.Ino
	}
	groups := map[int]bool{}
	h.lab.mu.Lock()
	for _, p := range h.lab.processes {
		if p.Host == h {
			groups[p.PID()] = true
		}
	}
	h.lab.mu.Unlock()
	var pids []int
	entries, _ := filepath.Glob("/proc/[0-9]*")
	for _, entry := range entries {
		pid, _ := strconv.Atoi(filepath.Base(entry))
		if pid == os.Getpid() {
			continue // one of its threads may be dialling
		}
		if h.namespace == nil {
			if group, err := syscall.Getpgid(pid); err == nil && groups[group] {
				pids = append(pids, pid)
			}
			continue
		}
		if link, err := os.Readlink(entry + "/ns/net"); err == nil && link == fmt.Sprintf("net:[%d]", inode) {
			pids = append(pids, pid)
		}
	}
	return pids
}

// awaitStopped waits, a second at most, until a signalled process has really
// stopped: it is delivered when the kernel comes to it.
func (l *Lab) awaitStopped(pid int) {
	for deadline := time.Now().Add(time.Second); time.Now().Before(deadline); {
		data, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
		if err != nil {
			return
		}
		if _, state, ok := strings.Cut(string(data), ") "); ok && strings.ContainsAny(state[:1], "TtZX") {
			return
		}
		l.Pause(time.Millisecond)
	}
}
