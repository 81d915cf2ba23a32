package goredis

// Servers that are gone, that hang, that answer late; callers that give up.

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/redis-watchdog/redis-watchdog/lab"
	"github.com/redis-watchdog/redis-watchdog/watchdog/redisclient"
)

const short = 200 * time.Millisecond

// An answer that comes after its caller gave up is nobody's.
func TestALateAnswerIsNeverTakenForAnother(t *testing.T) { lateAnswer(t, lab.Loopback(t), "") }

func lateAnswer(t *testing.T, l *lab.Lab, binary string) {
	r := l.Host("a").Redis(lab.RedisConfig{Binary: binary})
	c := ours(t, redisclient.Server{Address: r.Address}, 1)
	for i := range 5 {
		first := c.Do(within(t, long), "CLIENT", "ID").Val()
		r.Stop()
		err := c.Echo(within(t, short), "late").Err()
		r.Cont()
		if err == nil {
			t.Error("a stopped Redis answered")
		}
		if got, err := c.Echo(within(t, long), fmt.Sprint(i)).Result(); err != nil || got != fmt.Sprint(i) {
			t.Errorf("asked for %d: got %q, %v", i, got, err)
		}
		if again := c.Do(within(t, long), "CLIENT", "ID").Val(); again == first {
			t.Errorf("the connection on which an answer is late was used again: client %v", first)
		}
	}
}

// Without ContextTimeoutEnabled a deadline means nothing to a read that waits,
// and a cancel never does.
func TestACallEndsWithItsContext(t *testing.T) {
	r := lab.Loopback(t).Host("a").Redis(lab.RedisConfig{})
	conn := asItComes(t, &redis.Options{Addr: r.Address, ReadTimeout: long, MaxRetries: -1}).Conn()
	defer conn.Close()
	if err := conn.Ping(within(t, long)).Err(); err != nil {
		t.Fatal(err)
	}
	r.Stop()
	ctx := within(t, short)
	ended := make(chan error, 1)
	go func() { ended <- conn.Ping(ctx).Err() }()
	<-ctx.Done()
	select {
	case err := <-ended:
		t.Errorf("as it comes: it ended with its deadline: %v", err)
	case <-time.After(short):
	}
	r.Cont()
	if err := <-ended; err != nil {
		t.Errorf("as it comes: %v, want the late answer", err)
	}

	r.Stop()
	defer r.Cont()
	server := redisclient.Server{Address: r.Address}
	if _, err := redisclient.Ask(within(t, short), server, []string{"PING"}); err == nil || !strings.Contains(err.Error(), "no answer in time") {
		t.Errorf("a deadline: %v", err)
	}
	cancelled, cancel := context.WithCancel(within(t, long))
	time.AfterFunc(short, cancel)
	if _, err := redisclient.Ask(cancelled, server, []string{"PING"}); err == nil || within(t, long).Err() != nil {
		t.Errorf("a cancel: %v", err)
	}
}

// A connection that the server closed is noticed before anything is sent on it,
// by a look at the socket; through TLS the library cannot look.
func TestAConnectionThatWasClosedMeanwhile(t *testing.T) {
	l := lab.Loopback(t)
	ca := l.CA()
	h := l.Host("a")
	plain := h.Redis(lab.RedisConfig{Name: "plain"})
	secure := h.Redis(lab.RedisConfig{Name: "secure", TLS: ca})
	for name, c := range map[string]struct {
		r      *lab.Redis
		server redisclient.Server
		fails  int
	}{
		"plain": {plain, redisclient.Server{Address: plain.Address}, 0},
		"tls":   {secure, redisclient.Server{Address: secure.Address, TLS: ca.ClientConfig()}, 1},
	} {
		client := ours(t, c.server, 1)
		if err := client.Ping(within(t, long)).Err(); err != nil {
			t.Fatal(err)
		}
		c.r.Kill()
		c.r.Restart()
		failed := 0
		for client.Ping(within(t, long)).Err() != nil {
			if failed++; failed > 5 {
				break
			}
		}
		if failed != c.fails {
			t.Errorf("%s: %d calls failed, want %d", name, failed, c.fails)
		}
	}
}

// As it comes the library dials five times for one call, and when as many dials
// have failed as the pool has places, goes on dialling behind the caller's back.
func TestADeadServerIsDialledOnce(t *testing.T) {
	l := lab.Loopback(t)
	r := l.Host("a").Redis(lab.RedisConfig{})
	r.Kill()
	var w wires
	c := asItComes(t, &redis.Options{Addr: r.Address, Dialer: w.dial, MaxRetries: -1, PoolSize: 1})
	if err := c.Ping(within(t, long)).Err(); err == nil {
		t.Fatal("a dead Redis answered")
	}
	if n := w.dialled(); n < 5 {
		t.Errorf("as it comes: dialled %d times, want 5", n)
	}
	l.Eventually("it dials though nobody asks", long, func() error {
		if n := w.dialled(); n < 7 {
			return fmt.Errorf("dialled %d times", n)
		}
		return nil
	})
	var once wires
	_, err := redisclient.Ask(within(t, long), redisclient.Server{Address: r.Address, Dial: once.dial}, []string{"PING"})
	if n := once.dialled(); err == nil || !strings.Contains(err.Error(), "connect to "+r.Address) || n != 1 {
		t.Errorf("ours: dialled %d times: %v", n, err)
	}
}

// The library dials on in a goroutine of its own when the caller has given up.
// What redisclient opened is closed when Ask is back.
func TestNobodyDialsWhenAskIsBack(t *testing.T) {
	ended := make(chan struct{})
	server := redisclient.Server{Address: "127.0.0.1:1", Dial: func(ctx context.Context, _, _ string) (net.Conn, error) {
		defer close(ended)
		<-ctx.Done() // a peer that does not answer a SYN
		return nil, ctx.Err()
	}}
	_, err := redisclient.Ask(within(t, short), server, []string{"PING"})
	select {
	case <-ended:
	default:
		t.Error("it dials still")
	}
	if err == nil || !strings.Contains(err.Error(), "connect to 127.0.0.1:1: no answer in time") {
		t.Errorf("got %v", err)
	}
}

// Who finds every connection in use waits for one, no longer than its context.
func TestAFullPoolEndsWithTheContext(t *testing.T) {
	l := lab.Loopback(t)
	r := l.Host("a").Redis(lab.RedisConfig{})
	c := ours(t, redisclient.Server{Address: r.Address}, 1)
	blocked := make(chan error, 1)
	go func() { blocked <- c.BLPop(within(t, long), 0, "queue").Err() }()
	l.Eventually("one is blocked", long, func() error {
		if !strings.Contains(fmt.Sprint(r.Do("CLIENT", "LIST")), "cmd=blpop") {
			return errors.New("not yet")
		}
		return nil
	})
	if err := c.Ping(within(t, short)).Err(); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("with every connection in use: %v", err)
	}
	r.Do("RPUSH", "queue", "go on")
	if err := <-blocked; err != nil {
		t.Errorf("the one that was blocked: %v", err)
	}
	if err := c.Ping(within(t, long)).Err(); err != nil {
		t.Errorf("afterwards: %v", err)
	}
}

// As it comes a client's pipelines go over connections of their own, ten more
// than PoolSize and MaxActiveConns say.
func TestPipelinesShareTheConnections(t *testing.T) {
	r := lab.Loopback(t).Host("a").Redis(lab.RedisConfig{})
	same := func(c *redis.Client) bool {
		one, err := c.Do(within(t, long), "CLIENT", "ID").Int64()
		if err != nil {
			t.Fatal(err)
		}
		pipe := c.Pipeline()
		other := pipe.Do(within(t, long), "CLIENT", "ID")
		if _, err := pipe.Exec(within(t, long)); err != nil {
			t.Fatal(err)
		}
		return other.Val() == one
	}
	if same(asItComes(t, &redis.Options{Addr: r.Address, PoolSize: 1, MaxActiveConns: 1})) {
		t.Error("as it comes: they share one (PipelinePoolSize need not be set any more)")
	}
	if !same(ours(t, redisclient.Server{Address: r.Address}, 1).Client) {
		t.Error("ours: they do not")
	}
}
