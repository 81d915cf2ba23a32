package pings

// What the kernel knows of a TCP connection of this host (sock_diag(7)): no
// right is needed for it.

import (
	"encoding/binary"
	"errors"
	"fmt"
	"net/netip"
	"time"

	"golang.org/x/sys/unix"
)

const (
	sockDiagByFamily = 20 // linux/sock_diag.h
	diagInfo         = 2  // linux/inet_diag.h, INET_DIAG_INFO
	established      = 1
	requestSize      = 16 + 8 + 48
	messageSize      = 4 + 48 + 20 // struct inet_diag_msg
	bytesAckedAt     = 120         // in struct tcp_info, since Linux 4.1
	bytesReceivedAt  = 128
	answerTimeout    = 100 * time.Millisecond
)

// counters are of one connection, as seen from our end.
type counters struct {
	cookie   uint64 // of the socket: another one on the same ports has another
	received uint64 // bytes that came in, whether or not they were read
	unread   uint32 // of them
	sent     uint64 // bytes that were handed to the kernel, less a constant
	unacked  uint32 // of them, sent or not
}

var errNoSocket = errors.New("no such connection on this host")

// sockets asks the kernel. It is not for two goroutines at once.
type sockets struct {
	fd  int
	seq uint32
	buf []byte
}

func openSockets() (*sockets, error) {
	fd, err := unix.Socket(unix.AF_NETLINK, unix.SOCK_RAW|unix.SOCK_CLOEXEC, unix.NETLINK_INET_DIAG)
	if err != nil {
		return nil, fmt.Errorf("open sock_diag: %w", err)
	}
	for _, what := range []int{unix.SO_RCVTIMEO, unix.SO_SNDTIMEO} {
		t := unix.NsecToTimeval(answerTimeout.Nanoseconds())
		if err := unix.SetsockoptTimeval(fd, unix.SOL_SOCKET, what, &t); err != nil {
			return nil, errors.Join(fmt.Errorf("set timeout of sock_diag: %w", err), unix.Close(fd))
		}
	}
	return &sockets{fd: fd, buf: make([]byte, 32<<10)}, nil
}

func (s *sockets) close() error { return unix.Close(s.fd) }

// counters are of the connection between these two ends. A local end without an
// address, where Redis does not tell it, is looked for among all: dear on a host
// with many.
func (s *sockets) counters(local, remote netip.AddrPort) (c counters, at netip.AddrPort, err error) {
	dump := !local.Addr().IsValid()
	s.seq++
	if err := unix.Sendto(s.fd, s.request(local, remote, dump), 0, &unix.SockaddrNetlink{Family: unix.AF_NETLINK}); err != nil {
		return c, at, fmt.Errorf("ask sock_diag: %w", err)
	}
	err = errNoSocket
	for {
		n, _, e := unix.Recvfrom(s.fd, s.buf, 0)
		if e != nil {
			return c, at, fmt.Errorf("read sock_diag: %w", e)
		}
		for b := s.buf[:n]; len(b) >= 16; {
			size, kind, seq := int(binary.NativeEndian.Uint32(b)), binary.NativeEndian.Uint16(b[4:]), binary.NativeEndian.Uint32(b[8:])
			if size < 16 || size > len(b) {
				return c, at, errors.New("read sock_diag: a message without an end")
			}
			body := b[16:size]
			b = b[min((size+3)&^3, len(b)):]
			switch {
			case seq != s.seq: // of a question whose answer came too late
				continue
			case kind == unix.NLMSG_DONE:
				return c, at, err
			case kind == unix.NLMSG_ERROR:
				if len(body) >= 4 {
					if no := unix.Errno(-int32(binary.NativeEndian.Uint32(body))); no != 0 && no != unix.ENOENT {
						err = fmt.Errorf("sock_diag: %w", no)
					}
				}
				return c, at, err
			case kind == sockDiagByFamily:
				if found, local, ok := parseSocket(body, remote); ok {
					c, at, err = found, local, nil
				}
			}
			if !dump {
				return c, at, err
			}
		}
	}
}

func (s *sockets) request(local, remote netip.AddrPort, dump bool) []byte {
	b := make([]byte, requestSize)
	binary.NativeEndian.PutUint32(b, requestSize)
	binary.NativeEndian.PutUint16(b[4:], sockDiagByFamily)
	flags := uint16(unix.NLM_F_REQUEST)
	if dump {
		flags |= unix.NLM_F_DUMP
	}
	binary.NativeEndian.PutUint16(b[6:], flags)
	binary.NativeEndian.PutUint32(b[8:], s.seq)
	r := b[16:] // struct inet_diag_req_v2
	r[0], r[1], r[2] = unix.AF_INET, unix.IPPROTO_TCP, 1<<(diagInfo-1)
	if remote.Addr().Is6() {
		r[0] = unix.AF_INET6
	}
	binary.NativeEndian.PutUint32(r[4:], 1<<established)
	id := r[8:] // struct inet_diag_sockid
	binary.BigEndian.PutUint16(id, local.Port())
	binary.BigEndian.PutUint16(id[2:], remote.Port())
	if local.Addr().IsValid() {
		copy(id[4:20], local.Addr().AsSlice())
	}
	copy(id[20:36], remote.Addr().AsSlice())
	binary.NativeEndian.PutUint64(id[40:], ^uint64(0)) // INET_DIAG_NOCOOKIE
	return b
}

// parseSocket reads a struct inet_diag_msg; false: it is of another connection,
// or of one that is closing.
func parseSocket(b []byte, remote netip.AddrPort) (c counters, local netip.AddrPort, ok bool) {
	if len(b) < messageSize || b[1] != established {
		return c, local, false
	}
	id := b[4:]
	at := func(a []byte) netip.Addr {
		if b[0] == unix.AF_INET6 {
			return netip.AddrFrom16([16]byte(a[:16])).Unmap()
		}
		return netip.AddrFrom4([4]byte(a[:4]))
	}
	if netip.AddrPortFrom(at(id[20:]), binary.BigEndian.Uint16(id[2:])) != remote {
		return c, local, false
	}
	local = netip.AddrPortFrom(at(id[4:]), binary.BigEndian.Uint16(id))
	c.cookie = binary.NativeEndian.Uint64(id[40:])
	tail := b[4+48:]
	c.unread, c.unacked = binary.NativeEndian.Uint32(tail[4:]), binary.NativeEndian.Uint32(tail[8:])
	for attr := b[messageSize:]; len(attr) >= 4; {
		size, kind := int(binary.NativeEndian.Uint16(attr)), binary.NativeEndian.Uint16(attr[2:])
		if size < 4 || size > len(attr) {
			return c, local, false
		}
		if info := attr[4:size]; kind == diagInfo && len(info) >= bytesReceivedAt+8 {
			c.sent = binary.NativeEndian.Uint64(info[bytesAckedAt:]) + uint64(c.unacked)
			c.received = binary.NativeEndian.Uint64(info[bytesReceivedAt:])
			return c, local, true
		}
		attr = attr[min((size+3)&^3, len(attr)):]
	}
	return c, local, false
}
