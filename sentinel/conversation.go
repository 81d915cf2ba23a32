package sentinel

// One Sentinel: a connection that polls and one that is told of events.

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/redis-watchdog/redis-watchdog/watchdog"
	"github.com/redis-watchdog/redis-watchdog/watchdog/resp"
)

const (
	connectTimeout = time.Second
	backoffMin     = 50 * time.Millisecond
	backoffMax     = time.Second
	aliveEvery     = 10 * time.Second // a subscription this quiet is asked whether it lives
	aliveTimeout   = 5 * time.Second
	// lateAfter is when a poll that is not answered yet is news: others have to be
	// heard in its place.
	lateAfter = 100 * time.Millisecond
)

// channels are the events that make the polls run now. What they say is not
// read, but for the group they are about.
var channels = []string{
	"+switch-master", "+promoted-slave", "+config-update-from", "+try-failover", "+elected-leader",
	"+failover-state-wait-promotion", "+failover-end", "+odown", "-odown", "+sdown", "-sdown",
	"+tilt", "-tilt", "+reset-master", "+sentinel", "+slave", "+monitor", "-monitor", "+set",
	"-failover-abort-not-elected", "-failover-abort-no-good-slave", "-failover-abort-slave-timeout",
	"+convert-to-slave", "+sentinel-address-switch",
}

// heard is what a conversation brings to the Watcher.
type heard struct {
	c      *conversation
	answer Answer
	err    error // the poll, or the attempt to connect, came to nothing
	met    bool  // a new connection: runID and at are set, answer is not
	runID  string
	// process is run_id of its INFO; empty: not told.
	process string
	at      watchdog.Address
}

// conversation is with one Sentinel, until its context ends.
type conversation struct {
	w    *Watcher
	key  string
	stop context.CancelFunc
	ask  chan struct{} // capacity 1: poll now
	full atomic.Bool   // the poll asked for shall be a full one
	up   atomic.Bool   // connected: an ask will be answered, by an answer or an error
	late atomic.Bool   // the poll under way takes longer than lateAfter

	mu    sync.Mutex
	dials []string
	next  int // of dials

	unquiet bool // of the poll goroutine: the last answer was out of the ordinary
	lists   [2]int
}

// poll asks for a poll; false: not connected.
func (c *conversation) poll(full bool) bool {
	if full {
		c.full.Store(true)
	}
	select {
	case c.ask <- struct{}{}:
	default: // one is waiting already
	}
	return c.up.Load()
}

func (c *conversation) dialsAre(dials []string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.dials = append(c.dials[:0], dials...)
}

// run polls until ctx ends.
func (c *conversation) run(ctx context.Context) {
	// Who it is must be known even if it never answers: others may name it,
	// and it must not be counted twice. That is also when its name begins to be
	// looked up, so that connect knows soon whether it can be.
	if host, port, err := net.SplitHostPort(c.key); err == nil {
		c.w.tell(ctx, heard{c: c, met: true, at: c.w.names.Address([]byte(host), []byte(port))})
	}
	keep(ctx, func() (bool, error) {
		conn, err := c.connect(ctx)
		if err != nil {
			c.w.tell(ctx, heard{c: c, err: err})
			return false, err
		}
		stop := context.AfterFunc(ctx, func() { conn.Close() })
		defer stop()
		defer conn.Close()
		good, err := c.talk(ctx, conn)
		c.up.Store(false)
		c.w.tell(ctx, heard{c: c, err: err})
		return good, err
	})
}

// keep calls f again and again until ctx ends, at once after f was any good and
// with a growing, jittered pause while it is none.
func keep(ctx context.Context, f func() (good bool, err error)) {
	pause := backoffMin
	for ctx.Err() == nil {
		good, _ := f()
		if good {
			pause = backoffMin
		}
		wait := time.NewTimer(pause/2 + rand.N(pause))
		select {
		case <-ctx.Done():
		case <-wait.C:
		}
		wait.Stop()
		pause = min(2*pause, backoffMax)
	}
}

// connect dials the Sentinel where it was found last, and at the next of its
// addresses after a failure. Host names are looked up each time; one that is not
// found is taken for what it was.
func (c *conversation) connect(ctx context.Context) (net.Conn, error) {
	c.mu.Lock()
	at := c.dials[c.next%len(c.dials)]
	c.mu.Unlock()
	ctx, cancel := context.WithTimeout(ctx, connectTimeout)
	defer cancel()
	to := at
	c.w.names.Same(at) // looked up anew in the background, if it is time
	if ip, ok := c.w.names.Known(at); ok && !c.w.names.Answers(at) {
		to = ip // its name cannot be resolved, or not yet: it will be where it was
	}
	conn, err := c.w.cfg.Dial(ctx, "tcp", to)
	if err == nil && c.w.cfg.TLS != nil {
		conn, err = secure(ctx, conn, c.w.cfg.TLS, at)
	}
	if err != nil {
		c.mu.Lock()
		c.next++
		c.mu.Unlock()
		return nil, fmt.Errorf("connect to sentinel %s: %w", at, err)
	}
	return conn, nil
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

// talk polls over one connection until it fails.
func (c *conversation) talk(ctx context.Context, conn net.Conn) (good bool, err error) {
	r := &replies{src: conn}
	if err := c.greet(ctx, conn, r); err != nil {
		return false, err
	}
	late := time.AfterFunc(time.Hour, func() {
		c.late.Store(true)
		kick(c.w.again)
	})
	late.Stop()
	defer func() { late.Stop(); c.late.Store(false) }()
	c.full.Store(true)
	c.up.Store(true)
	for {
		late.Reset(lateAfter)
		a, full, err := c.pollOnce(conn, r)
		late.Stop()
		c.late.Store(false)
		if err != nil {
			return good, err // what follows on this connection means nothing
		}
		good = true
		c.w.tell(ctx, heard{c: c, answer: a})
		if again := c.look(&a); again && !full {
			c.full.Store(true)
			continue
		}
		select {
		case <-ctx.Done():
			return good, context.Cause(ctx)
		case <-c.ask:
		}
	}
}

// look says whether an answer is out of the ordinary, so that the lists are
// worth asking at once, and remembers it: while it lasts every poll is full.
func (c *conversation) look(a *Answer) (again bool) {
	m := &a.Master
	lists := [2]int{m.Others, m.Replicas}
	odd := m.Flags != 0 || m.Failover != FailoverNone || m.Reported != watchdog.Master || a.fault() != "" || a.Named == ""
	again = odd || lists != c.lists
	c.unquiet, c.lists = odd, lists
	return again
}

// greet authenticates, names the connection, and learns who is there.
func (c *conversation) greet(ctx context.Context, conn net.Conn, r *replies) error {
	if err := authenticate(conn, r, &c.w.cfg); err != nil {
		return err
	}
	// MYID is there from 6.2 on, SETNAME and INFO may not be allowed: none matters.
	out := resp.Append(resp.Append(nil, "SENTINEL", "MYID"), "CLIENT", "SETNAME", "redis-watchdog")
	if err := send(conn, connectTimeout, resp.Append(out, "INFO", "server")); err != nil {
		return err
	}
	r.reset()
	at, err := r.next()
	if err != nil {
		return fmt.Errorf("read SENTINEL MYID: %w", err)
	}
	if _, err := r.next(); err != nil {
		return fmt.Errorf("read CLIENT SETNAME: %w", err)
	}
	info, err := r.next()
	if err != nil {
		return fmt.Errorf("read INFO: %w", err)
	}
	if err := refusal(r, at); err != nil {
		return err
	}
	id := heard{c: c, met: true}
	if v := r.vals[at]; v.kind == '$' && v.n == 40 {
		id.runID = string(r.text(v))
	}
	if v := r.vals[info]; v.kind == '$' {
		id.process = runIDOf(r.text(v))
	}
	if host, port, err := net.SplitHostPort(conn.RemoteAddr().String()); err == nil {
		id.at = c.w.names.Address([]byte(host), []byte(port))
	}
	c.w.tell(ctx, id)
	return nil
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
func authenticate(conn net.Conn, r *replies, cfg *Config) error {
	if cfg.Password == "" {
		return nil
	}
	auth := resp.Append(nil, "AUTH", cfg.Password)
	if cfg.Username != "" {
		auth = resp.Append(nil, "AUTH", cfg.Username, cfg.Password)
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

func (c *conversation) pollOnce(conn net.Conn, r *replies) (a Answer, full bool, err error) {
	// Nothing may have come unasked: a connection out of step answers the
	// question before this one.
	if r.reset(); len(r.buf) != 0 {
		return a, false, fmt.Errorf("%w: bytes that were not asked for", errProtocol)
	}
	full = c.full.Swap(false) || c.unquiet
	out, n := c.w.lean, leanReplies
	if full {
		out, n = c.w.full, fullReplies
	}
	sentAt := c.w.cfg.Now()
	if err := send(conn, c.w.pollTimeout(), out); err != nil {
		return a, full, err
	}
	var at [fullReplies]int
	for i := range n {
		if at[i], err = r.next(); err != nil {
			return a, full, fmt.Errorf("read poll: %w", err)
		}
	}
	a, err = parse(r, at[:n], c.w.names)
	a.SentAt = sentAt
	return a, full, err
}

// listen keeps a subscription until ctx ends.
func (c *conversation) listen(ctx context.Context) {
	keep(ctx, func() (bool, error) {
		conn, err := c.connect(ctx)
		if err != nil {
			return false, err // the poll connection says so
		}
		stop := context.AfterFunc(ctx, func() { conn.Close() })
		defer stop()
		defer conn.Close()
		return c.events(conn)
	})
}

func (c *conversation) events(conn net.Conn) (good bool, err error) {
	r := &replies{src: conn}
	if err := authenticate(conn, r, &c.w.cfg); err != nil {
		return false, err
	}
	if err := send(conn, connectTimeout, resp.Append(nil, append([]string{"SUBSCRIBE"}, channels...)...)); err != nil {
		return false, err
	}
	for range channels {
		r.reset()
		at, err := r.next()
		if err != nil {
			return false, fmt.Errorf("read SUBSCRIBE: %w", err)
		}
		if r.vals[at].kind != '*' {
			err := fmt.Errorf("subscribe: %s", r.text(r.vals[at]))
			c.w.unsubscribed(c.key, err)
			return false, err
		}
	}
	c.w.subscribed(c.key)
	c.w.PollNow() // whatever was published meanwhile is lost
	asked := false
	for {
		wait := aliveEvery
		if asked {
			wait = aliveTimeout
		}
		if err := conn.SetDeadline(time.Now().Add(wait)); err != nil {
			return true, fmt.Errorf("set deadline: %w", err)
		}
		r.reset()
		at, err := r.next()
		switch {
		case isTimeout(err) && !asked && len(r.buf) == 0:
			asked = true
			if err := send(conn, aliveTimeout, resp.Append(nil, "PING")); err != nil {
				return true, err
			}
		case err != nil:
			return true, fmt.Errorf("read events: %w", err)
		default:
			asked = false
			if c.concerns(r, at) {
				c.w.PollNow()
			}
		}
	}
}

func isTimeout(err error) bool {
	ne, ok := errors.AsType[net.Error](err)
	return ok && ne.Timeout() && !errors.Is(err, io.EOF)
}

// concerns says whether a message is about our group, or about the Sentinel.
func (c *conversation) concerns(r *replies, i int) bool {
	v := r.vals[i]
	if v.kind != '*' || v.n != 3 || r.vals[i+3].kind != '$' {
		return false
	}
	if name := r.text(r.vals[i+2]); bytes.HasSuffix(name, []byte("tilt")) {
		return true
	}
	group := []byte(c.w.cfg.Group)
	for word := range bytes.FieldsSeq(r.text(r.vals[i+3])) {
		if bytes.Equal(word, group) {
			return true
		}
	}
	return false
}
