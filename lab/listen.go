package lab

import (
	"context"
	"fmt"
	"net"
	"runtime"
	"strconv"

	"golang.org/x/sys/unix"
)

// Listen opens a TCP port of the host, for a server that the test itself is: a
// liar, which no real one can be made into. It is closed with the lab.
func (h *Host) Listen(port int) net.Listener {
	h.lab.t.Helper()
	type result struct {
		listener net.Listener
		err      error
	}
	results := make(chan result, 1)
	go func() {
		listener, err := h.listenInside(net.JoinHostPort(h.IP, strconv.Itoa(port)))
		results <- result{listener, err}
	}()
	r := <-results
	if r.err != nil {
		h.lab.t.Fatalf("lab: listen on %s: %v", h.Name, r.err)
	}
	h.lab.t.Cleanup(func() { r.listener.Close() })
	return r.listener
}

// listenInside must have a goroutine of its own, as dialInside.
func (h *Host) listenInside(address string) (net.Listener, error) {
	if h.namespace == nil {
		return new(net.ListenConfig).Listen(context.Background(), "tcp", address)
	}
	runtime.LockOSThread()
	if err := unix.Setns(int(h.namespace.Fd()), unix.CLONE_NEWNET); err != nil {
		runtime.UnlockOSThread()
		return nil, fmt.Errorf("enter network of host %q: %w", h.Name, err)
	}
	listener, err := new(net.ListenConfig).Listen(context.Background(), "tcp", address)
	if back := unix.Setns(int(h.lab.threads.home.Fd()), unix.CLONE_NEWNET); back != nil {
		return listener, fmt.Errorf("leave network of host %q: %w", h.Name, back)
	}
	runtime.UnlockOSThread()
	return listener, err
}
