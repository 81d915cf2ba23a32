package sentinel

// A connection to a Sentinel: dialled, made secure, logged in, and who answers.

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"syscall"
	"time"

	"github.com/redis-watchdog/redis-watchdog/watchdog/resp"
)

const connectTimeout = time.Second

// connect dials the Sentinel. Host names are looked up each time; one that is not
// found is taken for what it was.
func (c *conversation) connect(ctx context.Context) (net.Conn, error) {
	at := net.JoinHostPort(c.host, c.port)
	ctx, cancel := context.WithTimeout(ctx, connectTimeout)
	defer cancel()
	conn, err := dial(ctx, c.to(at))
	if err == nil && c.tls != nil {
		conn, err = secure(ctx, conn, c.tls, at)
	}
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

func (c *heeded) Read(b []byte) (int, error) {
	n, err := c.Conn.Read(b)
	if now := time.Now(); n == 0 && isTimeout(err) && now.Before(c.end.Add(lastFor)) {
		if err := c.SetReadDeadline(now.Add(lastLook)); err != nil {
			return 0, err
		}
		return c.Conn.Read(b)
	}
	return n, err
}

func dial(ctx context.Context, to string) (net.Conn, error) {
	return (&net.Dialer{KeepAlive: 15 * time.Second}).DialContext(ctx, "tcp", to)
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

func secure(ctx context.Context, raw net.Conn, conf *tls.Config, at string) (net.Conn, error) {
	conf = conf.Clone()
	if conf.ServerName == "" {
		conf.ServerName, _, _ = net.SplitHostPort(at)
	}
	conn := tls.Client(raw, conf)
	if err := conn.HandshakeContext(ctx); err != nil {
		raw.Close()
		return nil, fmt.Errorf("%w: %w", errHandshake, err)
	}
	return conn, nil
}

var errHandshake = errors.New("tls handshake")

// ofTLS says whether err is a handshake that failed, or an alert by which the
// Sentinel refused our certificate (in TLS 1.3 that comes after our handshake).
// A handshake that got no answer, or ended with the Sentinel, tells nothing.
func ofTLS(err error) bool {
	if isTimeout(err) || errors.Is(err, context.DeadlineExceeded) || errors.Is(err, io.EOF) ||
		errors.Is(err, syscall.ECONNRESET) || errors.Is(err, syscall.EPIPE) {
		return false
	}
	return errors.Is(err, errHandshake) || strings.Contains(err.Error(), "remote error: tls:")
}

// greet authenticates, names the connection, and learns who is there.
func (c *conversation) greet(conn net.Conn, r *replies) (who identity, err error) {
	if err := authenticate(conn, r, c.username, c.password); err != nil {
		return who, err
	}
	// MYID is there from 6.2 on, SETNAME and INFO may not be allowed: none matters.
	out := resp.Append(resp.Append(nil, "SENTINEL", "MYID"), "CLIENT", "SETNAME", "redis-watchdog")
	if err := send(conn, connectTimeout, resp.Append(out, "INFO", "server")); err != nil {
		return who, err
	}
	r.reset()
	at, err := r.next()
	if err != nil {
		return who, fmt.Errorf("read SENTINEL MYID: %w", err)
	}
	if _, err := r.next(); err != nil {
		return who, fmt.Errorf("read CLIENT SETNAME: %w", err)
	}
	info, err := r.next()
	if err != nil {
		return who, fmt.Errorf("read INFO: %w", err)
	}
	if err := refusal(r, at); err != nil {
		return who, err
	}
	if v := r.vals[at]; v.kind == '$' && v.n == 40 {
		who.runID = string(r.text(v))
	}
	if v := r.vals[info]; v.kind == '$' {
		who.process = runIDOf(r.text(v))
	}
	if host, port, err := net.SplitHostPort(conn.RemoteAddr().String()); err == nil {
		who.host, who.port = host, port
	}
	return who, nil
}

// runIDOf is the run_id in an INFO of the server: of the process, while SENTINEL
// MYID is of its sentinel.conf. Empty: there is none.
func runIDOf(info []byte) string {
	for line := range bytes.Lines(info) {
		if id, ok := bytes.CutPrefix(bytes.TrimSpace(line), []byte("run_id:")); ok {
			return string(id)
		}
	}
	return ""
}

// authenticate sends AUTH if there is a password. A Sentinel that has none of
// its own refuses the command and answers the rest: we go on.
func authenticate(conn net.Conn, r *replies, username, password string) error {
	if password == "" {
		return nil
	}
	auth := resp.Append(nil, "AUTH", password)
	if username != "" {
		auth = resp.Append(nil, "AUTH", username, password)
	}
	if err := send(conn, connectTimeout, auth); err != nil {
		return err
	}
	r.reset()
	at, err := r.next()
	if err != nil {
		return fmt.Errorf("read AUTH: %w", err)
	}
	v := r.vals[at]
	if v.kind == '-' && !bytes.Contains(r.text(v), []byte("without any password configured")) {
		return fmt.Errorf("%w: %s", errRefused, r.text(v))
	}
	return nil
}

// send writes b and sets the deadline for the whole exchange.
func send(conn net.Conn, timeout time.Duration, b []byte) error {
	if err := conn.SetDeadline(time.Now().Add(timeout)); err != nil {
		return fmt.Errorf("set deadline: %w", err)
	}
	if _, err := conn.Write(b); err != nil {
		return fmt.Errorf("send: %w", err)
	}
	return nil
}

func isTimeout(err error) bool {
	ne, ok := errors.AsType[net.Error](err)
	return ok && ne.Timeout() && !errors.Is(err, io.EOF)
}
