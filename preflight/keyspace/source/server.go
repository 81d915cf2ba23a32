package source

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"strings"
	"time"

	"github.com/redis-watchdog/redis-watchdog/preflight/keyspace"
	"github.com/redis-watchdog/redis-watchdog/preflight/keyspace/size"
	"github.com/redis-watchdog/redis-watchdog/watchdog/redisclient"
)

// Server is a Redis that is asked.
type Server struct {
	Address  string // host:port, or the path of a unix socket
	Username string
	Password string
	TLS      *tls.Config // nil: none
	// Commands are those that rename-command renamed, as redisclient.Server has
	// them. A stream heeds all it asks but MEMORY, REPLCONF and SYNC; a scan none.
	Commands map[string]string
	// Dial opens a connection; nil: a net.Dialer.
	Dial func(ctx context.Context, network, address string) (net.Conn, error)
}

// answerWithin bounds every question to a server, and the dialling.
const answerWithin = 5 * time.Second

// maxReply is what SCAN may answer: a name can have 512 MB.
const maxReply = 1 << 30

func (s Server) redis() redisclient.Server {
	to := redisclient.Server{Address: s.Address, Username: s.Username, Password: s.Password, TLS: s.TLS,
		Commands: s.Commands, Dial: s.Dial, MaxReply: maxReply}
	if strings.HasPrefix(s.Address, "/") {
		to.Socket = s.Address
	}
	return to
}

// dial opens a connection, with TLS where there is TLS.
func (s Server) dial(ctx context.Context) (net.Conn, error) {
	ctx, cancel := context.WithTimeout(ctx, answerWithin)
	defer cancel()
	return s.redis().Connect(ctx)
}

// client asks questions. It never repeats one; each is to have its deadline.
func (s Server) client() *redisclient.Client { return redisclient.Open(s.redis(), 2) }

// learn asks the server for its allocator's size classes, where o has none, and
// is how they are known. INFO says "jemalloc-5.3.0" of Debian's library and of
// the one in Redis' sources alike. That it does not tell, or classes of no known
// shape, is no error: the audit says that they are assumed.
func learn(ctx context.Context, c *redisclient.Client, facts map[string]string, o *Options) string {
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
func info(ctx context.Context, c *redisclient.Client) (map[string]string, error) {
	ctx, cancel := context.WithTimeout(ctx, answerWithin)
	defer cancel()
	text, err := c.Named(ctx, "INFO").Text()
	if err != nil {
		if errors.Is(err, redisclient.ErrGarbage) {
			err = fmt.Errorf("does not answer as a Redis does: %w", err)
		}
		if text, refused := redisclient.Refusal(err); refused {
			err = errors.New(text)
		}
		return nil, fmt.Errorf("INFO: %w", err)
	}
	if !strings.Contains(text, "redis_version:") {
		return nil, fmt.Errorf("INFO: is no Redis: it answers %.60q", text)
	}
	return fields(text), nil
}

// fields are INFO's lines; of what occurs twice the first.
func fields(text string) map[string]string {
	fields := map[string]string{}
	for line := range strings.Lines(text) {
		if name, value, ok := strings.Cut(strings.TrimRight(line, "\r\n"), ":"); ok {
			if _, twice := fields[name]; !twice {
				fields[name] = value
			}
		}
	}
	return fields
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
