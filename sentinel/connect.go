package sentinel

// A connection to a Sentinel: go-redis over one that was dialled here, once. One
// that is lost is not replaced behind our back: whoever has another must know it.

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/redis-watchdog/redis-watchdog/watchdog/redisclient"
)

const (
	connectTimeout = time.Second
	maxReply       = 1 << 20 // bytes of one reply
	// maxBurst is how many bytes a Sentinel may answer to one write: they are kept
	// until the last has come. Forty groups with five replicas each have 250 kB.
	maxBurst = 4 << 20
)

// errProtocol is a reply no Sentinel sends; what is no reply at all is
// redisclient.ErrGarbage.
var errProtocol = errors.New("not a reply of Sentinel")

// link is one connection. It is to be closed.
type link struct {
	client *redisclient.Client
	conn   *redis.Conn
	raw    net.Conn
	remote string
	bytes  atomic.Int64 // that came
}

// newLink speaks over a connection that is open; with unasked what is published may
// come. Nothing is sent yet.
func newLink(raw net.Conn, username, password string, unasked bool) *link {
	l := &link{raw: raw, remote: raw.RemoteAddr().String()}
	s := redisclient.Server{Username: username, Password: password, MaxReply: maxReply, MaxBurst: maxBurst, Unasked: unasked}
	if unasked {
		s.MaxBurst = 0 // each is read when it comes
	}
	l.client = redisclient.Over(&counted{Conn: raw, bytes: &l.bytes}, s)
	l.conn = l.client.Conn()
	return l
}

// counted counts the bytes that come.
type counted struct {
	net.Conn
	bytes *atomic.Int64
}

func (c *counted) Read(p []byte) (int, error) {
	n, err := c.Conn.Read(p)
	c.bytes.Add(int64(n))
	return n, err
}

// close is for whoever asks: another that wants it to end closes raw, so that the one
// who waits for an answer is told.
func (l *link) close() {
	l.raw.Close()
	l.conn.Close()
	l.client.Close()
}

// ask sends the commands in one write and reads what is answered to each, until
// the deadline. With an error come the answers before it; nil: nothing was sent.
func (l *link) ask(ctx context.Context, within time.Duration, commands ...[]any) ([]redisclient.Answer, error) {
	ctx, cancel := context.WithTimeout(ctx, within)
	defer cancel()
	answers, err := redisclient.Pipelined(ctx, l.conn.Pipeline(), commands)
	switch {
	case err == nil:
		return answers, nil
	case l.client.Reached():
		return answers, fmt.Errorf("read %v: %w", commands[len(answers)][0], err)
	}
	if text, refused := redisclient.Refusal(err); refused && strings.Contains(text, "max number of clients") {
		err = errors.New(text)
	} else if refused {
		err = fmt.Errorf("%w: %s", errRefused, text)
	}
	return nil, fmt.Errorf("log in: %w", err)
}

// connect dials the Sentinel. Host names are looked up each time; one that is not
// found is taken for what it was.
func (c *conversation) connect(ctx context.Context, unasked bool) (*link, error) {
	at := net.JoinHostPort(c.host, c.port)
	conn, err := dial(ctx, at, c.to(at), c.tls)
	if err != nil {
		return nil, err
	}
	return newLink(conn, c.username, c.password, unasked), nil
}

// dial opens a connection to the Sentinel at, which is found where to says.
func dial(ctx context.Context, at, to string, conf *tls.Config) (net.Conn, error) {
	ctx, cancel := context.WithTimeout(ctx, connectTimeout)
	defer cancel()
	conn, err := redisclient.Server{Address: at, TLS: conf, Dial: func(ctx context.Context, network, _ string) (net.Conn, error) {
		return (&net.Dialer{KeepAlive: 15 * time.Second}).DialContext(ctx, network, to)
	}}.Connect(ctx)
	if err != nil {
		return nil, fmt.Errorf("connect to sentinel %s: %w", at, err)
	}
	return &heeded{Conn: conn}, nil
}

const (
	lastLook = 20 * time.Millisecond // for what has come by the deadline
	lastFor  = time.Second           // after it: one that answers byte by byte is not waited for
)

// heeded is a connection of which nothing that has come counts as missing: when a
// deadline passes it looks once more. On a host that is short of processor the timer is
// late with the reader, and comes first; to hang up then would lose the answers of all
// groups together, and what is dialled anew is late as well.
type heeded struct {
	net.Conn
	end time.Time // the deadline of the exchange
}

func (c *heeded) SetDeadline(t time.Time) error {
	c.end = t
	return c.Conn.SetDeadline(t)
}

func (c *heeded) SetReadDeadline(t time.Time) error {
	c.end = t
	return c.Conn.SetReadDeadline(t)
}

func (c *heeded) Read(b []byte) (int, error) {
	n, err := c.Conn.Read(b)
	if now := time.Now(); n == 0 && isTimeout(err) && now.Before(c.end.Add(lastFor)) {
		if err := c.Conn.SetReadDeadline(now.Add(lastLook)); err != nil {
			return 0, err
		}
		return c.Conn.Read(b)
	}
	return n, err
}

// to is at itself, or, where its name cannot be resolved, or not yet, where it was
// found last, as far as any of the groups knows.
func (c *conversation) to(at string) string {
	if !newHost(c.host).isName {
		return at
	}
	c.set.mu.Lock()
	defer c.set.mu.Unlock()
	was := at
	for _, p := range c.parties {
		told := p.at()
		p.w.names.Same(told) // looked up anew in the background, if it is time
		if p.w.names.Answers(told) {
			return at
		}
		if ip, ok := p.w.names.Known(told); ok && was == at {
			was = ip
		}
	}
	return was
}

// ofTLS says whether err is a handshake that failed, or an alert by which the
// Sentinel refused our certificate (in TLS 1.3 that comes after our handshake).
// A handshake that got no answer, or ended with the Sentinel, tells nothing.
func ofTLS(err error) bool {
	if isTimeout(err) || errors.Is(err, context.DeadlineExceeded) || errors.Is(err, io.EOF) ||
		errors.Is(err, syscall.ECONNRESET) || errors.Is(err, syscall.EPIPE) {
		return false
	}
	return errors.Is(err, redisclient.ErrHandshake) || strings.Contains(err.Error(), "remote error: tls:")
}

// greet logs in, names the connection, and learns who is there.
func (l *link) greet(ctx context.Context) (who identity, err error) {
	// MYID is there from 6.2 on, SETNAME and INFO may not be allowed: none matters.
	answers, err := l.ask(ctx, 2*connectTimeout, []any{"SENTINEL", "MYID"}, []any{"CLIENT", "SETNAME", "redis-watchdog"}, []any{"INFO", "server"})
	if err != nil {
		return who, err
	}
	if err := refusal(answers[0]); err != nil {
		return who, err
	}
	if id := answers[0].Text(); len(id) == 40 {
		who.runID = id
	}
	who.process = runIDOf(answers[2].Text())
	if host, port, err := net.SplitHostPort(l.remote); err == nil {
		who.host, who.port = host, port
	}
	return who, nil
}

// runIDOf is the run_id in an INFO of the server: of the process, while SENTINEL
// MYID is of its sentinel.conf. Empty: there is none.
func runIDOf(info string) string {
	for line := range strings.Lines(info) {
		if id, ok := strings.CutPrefix(strings.TrimSpace(line), "run_id:"); ok {
			return id
		}
	}
	return ""
}

func isTimeout(err error) bool {
	ne, ok := errors.AsType[net.Error](err)
	return ok && ne.Timeout() && !errors.Is(err, io.EOF)
}
