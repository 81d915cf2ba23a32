package gate

// One connection to Redis: pipelined, answers in order, never waiting to send.

import (
	"bufio"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/redis-watchdog/redis-watchdog/fencing/gate/resp"
	"github.com/redis-watchdog/redis-watchdog/watchdog"
)

var (
	errClosed    = errors.New("connection closed by us")
	errHandshake = errors.New("tls handshake")
)

// writeTimeout bounds a write, which a local socket takes at once: there are
// never more than a few hundred bytes of ours in it.
const writeTimeout = 50 * time.Millisecond

// conn is one connection. Commands sent on it are executed in the order they were
// sent, which is what the gate's safety rests on: everything that changes Redis
// goes over one of them (the primary connection), so that nothing that opens can
// be executed after the fence that was sent behind it.
type conn struct {
	hello *call // its greeting; nil: not sent yet. Set before anybody else has it
	nc    net.Conn
	sock  syscall.RawConn // the socket below TLS
	sent  *atomic.Int64   // commands, for all connections
	born  watchdog.Instant

	mu    sync.Mutex
	queue []*call
	err   error

	dead  chan struct{} // closed when nothing can come any more
	id    atomic.Int64  // Redis' client id; zero: not known
	ready atomic.Bool   // authenticated and named
}

// call is commands sent in one write and the answers to them.
type call struct {
	sentAt  watchdog.Instant // taken before the write
	n       int
	replies []resp.Reply
	err     error
	done    chan struct{}
	then    func(*call) // run by the reader once done; may be nil
	on      *conn
}

// newConn starts the reader; wait is told when it is gone.
func newConn(nc net.Conn, sock syscall.RawConn, sent *atomic.Int64, born watchdog.Instant, gone func(*conn), wait *sync.WaitGroup) *conn {
	c := &conn{nc: nc, sock: sock, sent: sent, born: born, dead: make(chan struct{})}
	wait.Go(func() {
		c.read()
		gone(c)
	})
	return c
}

// send writes b, which asks for n answers. It never fails: what goes wrong is
// the call's error.
func (c *conn) send(b []byte, n int, at watchdog.Instant, then func(*call)) *call {
	k := newCall(n, at, then)
	c.pipeline(b, k)
	return k
}

func newCall(n int, at watchdog.Instant, then func(*call)) *call {
	return &call{sentAt: at, n: n, done: make(chan struct{}), then: then}
}

// pipeline is send of several calls in one write: what is answered at once need not
// wait for what is answered later.
func (c *conn) pipeline(b []byte, calls ...*call) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.err != nil {
		for _, k := range calls {
			k.err = c.err
			close(k.done)
		}
		return
	}
	for _, k := range calls {
		k.on = c
		c.queue = append(c.queue, k)
		c.sent.Add(int64(k.n))
	}
	c.nc.SetWriteDeadline(time.Now().Add(writeTimeout))
	if _, err := c.nc.Write(b); err != nil {
		c.nc.Close() // the reader fails the calls, these too
	}
}

func (c *conn) alive() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.err == nil
}

// close ends the connection. Redis may still execute what was sent on it.
func (c *conn) close() {
	c.mu.Lock()
	if c.err == nil {
		c.err = errClosed
	}
	c.mu.Unlock()
	c.nc.Close()
}

// drop is close without TLS' goodbye, which would have Redis end the connection
// although a copy of the socket is kept elsewhere.
func (c *conn) drop() {
	c.mu.Lock()
	if c.err == nil {
		c.err = errClosed
	}
	c.mu.Unlock()
	if secure, ok := c.nc.(*tls.Conn); ok {
		secure.NetConn().Close()
		return
	}
	c.nc.Close()
}

// readBuffer is small: a connection is made for every fence that is armed, and what is
// long (INFO) is read past it.
const readBuffer = 4 << 10

func (c *conn) read() {
	r := bufio.NewReaderSize(c.nc, readBuffer)
	for {
		re, err := resp.Read(r)
		if err != nil {
			c.fail(err)
			return
		}
		if err := c.take(re); err != nil {
			c.fail(err)
			return
		}
	}
}

// take hands a reply to the call it belongs to.
func (c *conn) take(re resp.Reply) error {
	c.mu.Lock()
	if len(c.queue) == 0 {
		c.mu.Unlock()
		if re.IsError() { // such as "max number of clients reached"
			return re.Err()
		}
		return fmt.Errorf("%w: an answer nobody asked for", resp.ErrGarbage)
	}
	k := c.queue[0]
	k.replies = append(k.replies, re)
	full := len(k.replies) == k.n
	if full {
		c.queue = c.queue[1:]
	}
	c.mu.Unlock()
	if full {
		close(k.done)
		if k.then != nil {
			k.then(k)
		}
	}
	return nil
}

func (c *conn) fail(err error) {
	c.nc.Close()
	c.mu.Lock()
	if c.err == nil {
		c.err = err
	}
	err = c.err
	queue := c.queue
	c.queue = nil
	c.mu.Unlock()
	close(c.dead)
	for _, k := range queue {
		k.err = err
		close(k.done)
		if k.then != nil {
			k.then(k)
		}
	}
}

const (
	unreadWait  = 50 * time.Millisecond // for answers that have come and were not read yet
	unreadTurns = 20
)

// wait waits for the answers, at most d. It is false when they have not come: what has
// come and lies in the socket, because our reader was not run, has its time to be read.
func (k *call) wait(ctx context.Context, d time.Duration) bool {
	for turns := 0; !k.waitOnce(ctx, d); turns++ {
		if turns == unreadTurns || ctx.Err() != nil || k.on == nil || !k.on.unread() {
			return k.finished()
		}
		d = unreadWait
	}
	return true
}

func (k *call) waitOnce(ctx context.Context, d time.Duration) bool {
	select {
	case <-k.done:
		return true
	default:
	}
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-k.done:
		return true
	case <-t.C:
	case <-ctx.Done():
	}
	return false
}

// finished says whether the answers (or an error) have come.
func (k *call) finished() bool {
	select {
	case <-k.done:
		return true
	default:
		return false
	}
}

// file is a copy of the connection's descriptor, to be kept elsewhere. The
// copy shares its flags with ours: whoever gets it may switch it to blocking
// (os.File.Fd did), so unblock is to be called when it has been passed on.
func (c *conn) file(name string) (*os.File, error) { return duplicate(c.sock, name) }

func duplicate(sock syscall.RawConn, name string) (*os.File, error) {
	fd := -1
	var err error
	if e := sock.Control(func(s uintptr) { fd, err = unix.FcntlInt(s, unix.F_DUPFD_CLOEXEC, 0) }); e != nil {
		return nil, e
	}
	if err != nil {
		return nil, err
	}
	return os.NewFile(uintptr(fd), name), nil
}

func shutdown(sock syscall.RawConn) {
	sock.Control(func(s uintptr) { unix.Shutdown(int(s), unix.SHUT_RDWR) })
}

func (c *conn) unblock() {
	c.sock.Control(func(s uintptr) { unix.SetNonblock(int(s), true) })
}

// dialTimeout is for the connect (and the TLS handshake), not for Redis'
// answer: a Redis that hangs accepts through its backlog.
const dialTimeout = 500 * time.Millisecond

// lostAfter is when TCP gives a connection up whose packets nobody takes. A
// stopped Redis' kernel still takes them.
const lostAfter = 10 * time.Second

// dial connects to the unix socket, or else to the address.
func dial(ctx context.Context, socket, address string, conf *tls.Config) (net.Conn, syscall.RawConn, error) {
	ctx, cancel := context.WithTimeout(ctx, dialTimeout)
	defer cancel()
	var d net.Dialer
	if socket != "" {
		nc, err := d.DialContext(ctx, "unix", socket)
		if err == nil {
			raw, err := nc.(syscall.Conn).SyscallConn()
			return nc, raw, err
		}
		if address == "" || !absent(err) {
			return nil, nil, err
		}
	}
	d.KeepAlive = lostAfter / 3
	nc, err := d.DialContext(ctx, "tcp", address)
	if err != nil {
		return nil, nil, err
	}
	raw, err := nc.(syscall.Conn).SyscallConn()
	if err != nil {
		nc.Close()
		return nil, nil, err
	}
	raw.Control(func(s uintptr) {
		unix.SetsockoptInt(int(s), unix.IPPROTO_TCP, unix.TCP_USER_TIMEOUT, int(lostAfter.Milliseconds()))
	})
	if conf == nil {
		return nc, raw, nil
	}
	conf = conf.Clone()
	if conf.ServerName == "" {
		conf.ServerName, _, _ = net.SplitHostPort(address)
	}
	secure := tls.Client(nc, conf)
	if err := secure.HandshakeContext(ctx); err != nil {
		nc.Close()
		return nil, nil, fmt.Errorf("%w: %w", errHandshake, err)
	}
	return secure, raw, nil
}

// ofTLS says whether err is a handshake that failed, or an alert by which Redis
// refused our certificate (in TLS 1.3 that comes after our handshake). A
// handshake that got no answer, or that ended with Redis, tells nothing of TLS.
func ofTLS(err error) bool {
	if timeout, ok := errors.AsType[net.Error](err); ok && timeout.Timeout() || errors.Is(err, context.DeadlineExceeded) ||
		errors.Is(err, syscall.ECONNRESET) || errors.Is(err, syscall.EPIPE) || errors.Is(err, io.EOF) {
		return false
	}
	return errors.Is(err, errHandshake) || strings.Contains(err.Error(), "remote error: tls:")
}

// absent says whether err means that nobody listens.
func absent(err error) bool {
	return errors.Is(err, syscall.ECONNREFUSED) || errors.Is(err, os.ErrNotExist)
}

func crowded(err error) bool {
	return err != nil && strings.Contains(err.Error(), "max number of clients")
}
