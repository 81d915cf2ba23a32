package systemd

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"golang.org/x/sys/unix"
)

var (
	// ErrQueueFull is a manager that does not read its notifications. Send
	// again later.
	ErrQueueFull = errors.New("the service manager's queue is full")
	// ErrClosed is a use after Close.
	ErrClosed = errors.New("notify socket is closed")
)

// socket is a connected datagram socket to the manager. No call waits.
type socket struct {
	path string

	mu sync.Mutex
	fd int // -1: closed
}

func openSocket(path string) (*socket, error) {
	// "@" is an abstract name; anything else the manager hands out is a path.
	if path[0] != '/' && path[0] != '@' {
		return nil, fmt.Errorf("not an absolute path nor an abstract name: %w", unix.EAFNOSUPPORT)
	}
	fd, err := dialDatagram(path)
	if err != nil {
		return nil, err
	}
	return &socket{path: path, fd: fd}, nil
}

func dialDatagram(path string) (int, error) {
	fd, err := unix.Socket(unix.AF_UNIX, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, 0)
	if err != nil {
		return -1, fmt.Errorf("make socket: %w", err)
	}
	if err := unix.Connect(fd, &unix.SockaddrUnix{Name: path}); err != nil {
		unix.Close(fd)
		return -1, fmt.Errorf("connect: %w", err)
	}
	return fd, nil
}

// send sends one message with at most one descriptor. A socket that a
// re-executed manager closed is dialled once more.
func (s *socket) send(state string, files ...int) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.fd < 0 {
		return ErrClosed
	}
	err := sendmsg(s.fd, state, files)
	switch {
	case errors.Is(err, unix.ECONNREFUSED), errors.Is(err, unix.ECONNRESET), errors.Is(err, unix.ENOTCONN):
	case errors.Is(err, unix.EAGAIN), errors.Is(err, unix.ENOBUFS):
		return ErrQueueFull
	default:
		return err
	}
	fd, dialErr := dialDatagram(s.path)
	if dialErr != nil {
		return errors.Join(err, dialErr)
	}
	unix.Close(s.fd)
	s.fd = fd
	return sendmsg(s.fd, state, files)
}

func (s *socket) close() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.fd < 0 {
		return nil
	}
	err := unix.Close(s.fd)
	s.fd = -1
	return err
}

func sendmsg(fd int, state string, files []int) error {
	var rights []byte
	if len(files) > 0 {
		rights = unix.UnixRights(files...)
	}
	for {
		err := unix.Sendmsg(fd, []byte(state), rights, nil, unix.MSG_DONTWAIT|unix.MSG_NOSIGNAL)
		if !errors.Is(err, unix.EINTR) {
			return err
		}
	}
}

// waitReadable waits until fd is readable or hung up, or ctx ends. It looks
// every few milliseconds at ctx: a poll(2) cannot be interrupted by one.
func waitReadable(ctx context.Context, fd int) error {
	const step = 5 * time.Millisecond
	for {
		if err := ctx.Err(); err != nil {
			return context.Cause(ctx)
		}
		ready, err := pollReadable(fd, step)
		if err != nil || ready {
			return err
		}
	}
}

func pollReadable(fd int, wait time.Duration) (bool, error) {
	fds := []unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}}
	n, err := unix.Poll(fds, int(wait.Milliseconds()))
	if errors.Is(err, unix.EINTR) {
		return false, nil
	}
	if err != nil {
		return false, fmt.Errorf("poll: %w", err)
	}
	return n > 0, nil
}
