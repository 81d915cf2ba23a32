package redisclient

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/redis/go-redis/v9/logging"
	"github.com/redis/go-redis/v9/maintnotifications"
)

// backstop bounds a call whose context has no deadline. Every context of this
// project has one, and that one counts: the library takes its own timeouts on a
// clock that is up to 50 ms behind.
const backstop = 30 * time.Second

var errNoAnswer = errors.New("no answer in time")

// Client is go-redis' client for one server.
type Client struct {
	*redis.Client
	server Server
	ctx    context.Context // ends with Close
	stop   context.CancelFunc

	mu      sync.Mutex
	dialled error // why there is no connection (yet); nil: there is
	reached bool  // a connection was opened and let in
	closed  bool
	dials   sync.WaitGroup
}

// Open makes a client that dials when it is first used, and holds at most size
// connections. It is to be closed.
func Open(s Server, size int) *Client {
	ctx, stop := context.WithCancel(context.Background())
	c := &Client{server: s, ctx: ctx, stop: stop}
	o := &redis.Options{
		Network: "tcp", Addr: s.Address, Dialer: c.dial,
		// RESP2: the same from Redis 6.0 to Valkey 9, and nothing comes unasked.
		Protocol: 2, DisableIdentity: true,
		MaintNotificationsConfig: &maintnotifications.Config{Mode: maintnotifications.ModeDisabled},
		// Once: no command again, no dialling again.
		MaxRetries: -1, DialerRetries: 1,
		ContextTimeoutEnabled: true, DialTimeout: backstop, ReadTimeout: backstop, WriteTimeout: backstop, PoolTimeout: backstop,
		// -1: else pipelines have ten more connections of their own, and one that
		// cannot be dialled or logs in wrongly is tried again over the others.
		PoolSize: size, MaxActiveConns: size, PipelinePoolSize: -1,
		OnConnect: c.connected,
	}
	if s.Socket != "" {
		o.Network, o.Addr = "unix", s.Socket
	}
	if !s.logsInByAuth() {
		o.Username, o.Password = s.Username, s.Password
	}
	logging.Disable() // else it writes to our standard error, and every error it has is returned too
	c.Client = redis.NewClient(o)
	c.AddHook(greeting{})
	return c
}

var errLost = errors.New("the connection is lost")

// Over makes a client that speaks over one connection, which is open and secure
// already, and owns it. When that is lost there is no other: the library would dial
// anew in the middle of a call, and whoever subscribes or keeps count of what one
// connection says must know of it. How s is reached does not matter.
func Over(conn net.Conn, s Server) *Client {
	var taken atomic.Bool
	s.Address, s.Socket, s.TLS = conn.RemoteAddr().String(), "", nil
	s.Dial = func(context.Context, string, string) (net.Conn, error) {
		if taken.Swap(true) {
			return nil, errLost
		}
		return conn, nil
	}
	return Open(s, 2)
}

// Close ends every connection, also one that waits for a reply, and waits for
// those that are being opened.
func (c *Client) Close() error {
	c.mu.Lock()
	c.closed = true
	c.mu.Unlock()
	c.stop()
	err := c.Client.Close()
	c.dials.Wait()
	if errors.Is(err, redis.ErrClosed) {
		return nil
	}
	return err
}

// dial opens a connection. The library's context is not that of the call which
// needs it, and outlives it.
func (c *Client) dial(ctx context.Context, _, _ string) (net.Conn, error) {
	c.mu.Lock()
	if c.closed {
		c.mu.Unlock()
		return nil, redis.ErrClosed
	}
	c.dials.Add(1)
	c.dialled = errNoAnswer
	c.mu.Unlock()
	defer c.dials.Done()
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	defer context.AfterFunc(c.ctx, cancel)()
	conn, err := c.server.Connect(ctx)
	c.mu.Lock()
	c.dialled = err
	c.mu.Unlock()
	if err != nil {
		return nil, err
	}
	return bound(conn, limits{cmp.Or(c.server.MaxReply, DefaultMaxReply), c.server.MaxBurst, c.server.Unasked}), nil
}

// logsInByAuth says whether the user and password go by an AUTH of our own:
// where HELLO, which the library would send them with, has another name.
func (s Server) logsInByAuth() bool {
	_, renamed := s.Commands["hello"]
	return renamed && s.Password != ""
}

// connected is run on every connection that was let in.
func (c *Client) connected(ctx context.Context, conn *redis.Conn) error {
	if c.server.logsInByAuth() {
		name, there := c.server.named("auth")
		if !there {
			return ErrRemoved
		}
		words := []any{name}
		if c.server.Username != "" {
			words = append(words, c.server.Username)
		}
		if err := conn.Do(ctx, append(words, c.server.Password)...).Err(); err != nil && !needsNone(err) {
			return refusal{err.Error()}
		}
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.reached = true
	return nil
}

// refusal is the server's word against us. It is no redis.Error, after which the
// library would go on with the connection.
type refusal struct{ text string }

func (r refusal) Error() string { return r.text }

// Reached says whether a connection was opened and let in.
func (c *Client) Reached() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.reached
}

// Refusal is what the server said against letting us in; false: err is another.
func Refusal(err error) (text string, ok bool) {
	if r, ok := errors.AsType[refusal](err); ok {
		text = r.text
	} else if r, ok := errors.AsType[redis.Error](err); ok {
		text = r.Error()
	} else {
		return "", false
	}
	return WithoutWords(text), true
}

// WithoutWords is an error text without the words of the command that it is about: a
// server that does not know AUTH quotes the password.
func WithoutWords(text string) string {
	before, _, _ := strings.Cut(text, ", with args beginning with")
	return before
}

// needsNone is the answer of a server that has no password.
func needsNone(err error) bool {
	return strings.Contains(err.Error(), "without any password configured") ||
		strings.Contains(err.Error(), "no password is set")
}

// greeting looks at the answer to HELLO. The library takes any error for a server
// that does not know it: it would send a wrong password once more, by AUTH, and
// what a full or a protected server said would be lost.
type greeting struct{}

func (greeting) DialHook(next redis.DialHook) redis.DialHook { return next }

func (greeting) ProcessPipelineHook(next redis.ProcessPipelineHook) redis.ProcessPipelineHook {
	return next
}

func (greeting) ProcessHook(next redis.ProcessHook) redis.ProcessHook {
	return func(ctx context.Context, cmd redis.Cmder) error {
		err := next(ctx, cmd)
		if err == nil || cmd.Name() != "hello" {
			return err
		}
		for _, final := range []string{"WRONGPASS ", "DENIED ", "ERR max number of clients"} {
			if strings.HasPrefix(err.Error(), final) {
				return refusal{err.Error()}
			}
		}
		return err
	}
}

// where says how far a call came that came to nothing.
func (c *Client) where(ctx context.Context, command string, err error) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	switch {
	case c.reached:
		return fmt.Errorf("ask %s for %s: %w", c.server, command, explain(ctx, err))
	case c.dialled != nil:
		return fmt.Errorf("connect to %s: %w", c.server, c.dialled)
	}
	return fmt.Errorf("log in to %s: %w", c.server, explain(ctx, err))
}

// explain says in one word what a deadline does to a connection.
func explain(ctx context.Context, err error) error {
	if timeout, ok := errors.AsType[net.Error](err); ctx.Err() != nil || ok && timeout.Timeout() {
		return errNoAnswer
	}
	return err
}
