package goredis

import (
	"bytes"
	"context"
	"net"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/redis-watchdog/redis-watchdog/watchdog/redisclient"
)

// long bounds what is no test of a deadline: the machine may be busy.
const long = 30 * time.Second

func within(t *testing.T, d time.Duration) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), d)
	t.Cleanup(cancel)
	return ctx
}

// wires records what is sent on the connections it opens, one after the other.
type wires struct {
	mu    sync.Mutex
	dials int
	sent  bytes.Buffer
}

func (w *wires) dial(ctx context.Context, network, address string) (net.Conn, error) {
	w.mu.Lock()
	w.dials++
	w.mu.Unlock()
	var d net.Dialer
	conn, err := d.DialContext(ctx, network, address)
	if err != nil {
		return nil, err
	}
	return &wire{conn.(*net.TCPConn), w}, nil
}

func (w *wires) dialled() int {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.dials
}

// commands are what was sent, in lower case and with a space between the words,
// and forgets it.
func (w *wires) commands() (all []string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for command := range strings.SplitSeq(w.sent.String(), "*") {
		var words []string
		for i, line := range strings.Split(command, "\r\n") {
			if i > 1 && i%2 == 0 && line != "" {
				words = append(words, strings.ToLower(line))
			}
		}
		if words != nil {
			all = append(all, strings.Join(words, " "))
		}
	}
	w.sent.Reset()
	return all
}

type wire struct {
	*net.TCPConn
	to *wires
}

func (w *wire) Write(p []byte) (int, error) {
	w.to.mu.Lock()
	w.to.sent.Write(p)
	w.to.mu.Unlock()
	return w.TCPConn.Write(p)
}

// asItComes is the library with nothing set but where to.
func asItComes(t *testing.T, o *redis.Options) *redis.Client {
	c := redis.NewClient(o)
	t.Cleanup(func() { c.Close() })
	return c
}

func ours(t *testing.T, s redisclient.Server, size int) *redisclient.Client {
	c := redisclient.Open(s, size)
	t.Cleanup(func() {
		if err := c.Close(); err != nil {
			t.Errorf("close: %v", err)
		}
	})
	return c
}
