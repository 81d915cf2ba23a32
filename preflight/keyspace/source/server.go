package source

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/redis/go-redis/v9/maintnotifications"

	"github.com/redis-watchdog/redis-watchdog/preflight/keyspace"
	"github.com/redis-watchdog/redis-watchdog/preflight/keyspace/size"
)

// Server is a Redis that is asked.
type Server struct {
	Address  string // host:port, or the path of a unix socket
	Username string
	Password string
	TLS      *tls.Config // nil: none
	// Dial opens a connection; nil: a net.Dialer.
	Dial func(ctx context.Context, network, address string) (net.Conn, error)
}

// answerWithin bounds every question to a server, and the dialling.
const answerWithin = 5 * time.Second

func (s Server) network() string {
	if strings.HasPrefix(s.Address, "/") {
		return "unix"
	}
	return "tcp"
}

// dial opens a connection, with TLS where there is TLS.
func (s Server) dial(ctx context.Context, network, address string) (net.Conn, error) {
	dial := s.Dial
	if dial == nil {
		dial = (&net.Dialer{Timeout: answerWithin}).DialContext
	}
	conn, err := dial(ctx, network, address)
	if err != nil || s.TLS == nil {
		return conn, err
	}
	c := s.TLS.Clone()
	if c.ServerName == "" {
		c.ServerName, _, _ = net.SplitHostPort(address)
	}
	secure := tls.Client(conn, c)
	if err := secure.HandshakeContext(ctx); err != nil {
		conn.Close()
		return nil, fmt.Errorf("tls handshake: %w", err)
	}
	return secure, nil
}

// client asks questions. It never repeats one, and every one has its deadline.
func (s Server) client() *redis.Client {
	return redis.NewClient(&redis.Options{
		Network: s.network(), Addr: s.Address, Username: s.Username, Password: s.Password, Dialer: s.dial,
		Protocol: 2, MaxRetries: -1, DialerRetries: 1, PoolSize: 2, DialTimeout: answerWithin, ReadTimeout: answerWithin, WriteTimeout: answerWithin,
		ContextTimeoutEnabled: true, DisableIdentity: true,
		MaintNotificationsConfig: &maintnotifications.Config{Mode: maintnotifications.ModeDisabled},
	})
}

// learn asks the server for its allocator's size classes, where o has none, and
// is how they are known. INFO says "jemalloc-5.3.0" of Debian's library and of
// the one in Redis' sources alike. That it does not tell, or classes of no known
// shape, is no error: the audit says that they are assumed.
func learn(ctx context.Context, c *redis.Client, facts map[string]string, o *Options) string {
	switch allocator := facts["mem_allocator"]; {
	case o.Classes != nil:
		return keyspace.ClassesGiven
	case allocator == "libc":
		o.Classes = size.Libc()
		return keyspace.ClassesAsked
	case !strings.HasPrefix(allocator, "jemalloc"):
		return keyspace.ClassesAssumed
	}
	ctx, cancel := context.WithTimeout(ctx, answerWithin)
	defer cancel()
	text, err := c.Do(ctx, "MEMORY", "MALLOC-STATS").Text()
	if err != nil {
		return keyspace.ClassesAssumed
	}
	classes, err := size.FromStats(text)
	if err != nil {
		return keyspace.ClassesAssumed
	}
	o.Classes = classes
	return keyspace.ClassesAsked
}

// info is INFO everything as a map; what occurs twice keeps the first.
func info(ctx context.Context, c *redis.Client) (map[string]string, error) {
	ctx, cancel := context.WithTimeout(ctx, answerWithin)
	defer cancel()
	text, err := c.Info(ctx).Result()
	if err != nil {
		_, refused := errors.AsType[redis.Error](err)
		_, network := errors.AsType[net.Error](err)
		if !refused && !network && !errors.Is(err, io.EOF) && ctx.Err() == nil {
			err = fmt.Errorf("does not answer as a Redis does: %w", err)
		}
		return nil, fmt.Errorf("INFO: %w", err)
	}
	if !strings.Contains(text, "redis_version:") {
		return nil, fmt.Errorf("INFO: is no Redis: it answers %.60q", text)
	}
	fields := map[string]string{}
	for line := range strings.Lines(text) {
		if name, value, ok := strings.Cut(strings.TrimRight(line, "\r\n"), ":"); ok {
			if _, twice := fields[name]; !twice {
				fields[name] = value
			}
		}
	}
	return fields, nil
}

// writer is the server's name and version, as "valkey 8.1.1".
func writer(info map[string]string) string {
	if v := info["valkey_version"]; v != "" {
		return "valkey " + v
	}
	if v := info["redis_version"]; v != "" {
		return "redis " + v
	}
	return ""
}
