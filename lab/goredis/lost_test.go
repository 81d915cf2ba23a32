package goredis

// Connections that are lost, and what is published.

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/redis-watchdog/redis-watchdog/lab"
	"github.com/redis-watchdog/redis-watchdog/watchdog/redisclient"
)

// over is a client of ours over a connection of its own.
func over(t *testing.T, address string, s redisclient.Server) *redisclient.Client {
	t.Helper()
	conn, err := net.Dial("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	c := redisclient.Over(conn, s)
	t.Cleanup(func() { c.Close(); conn.Close() })
	return c
}

// As it comes a call that finds the connection lost is the first on another, and a
// subscription that is lost is there again before the call that tells of the loss is
// back: nobody learns that something may have been missed.
func TestALostConnectionIsNotReplaced(t *testing.T) {
	s := lab.Loopback(t).Host("a").Redis(lab.RedisConfig{})
	lose := func() { s.Do("CLIENT", "KILL", "TYPE", "pubsub"); s.Do("CLIENT", "KILL", "TYPE", "normal") }
	theirs := asItComes(t, &redis.Options{Addr: s.Address, MaxRetries: -1})
	subscribed := theirs.Subscribe(within(t, long), "c")
	defer subscribed.Close()
	own := over(t, s.Address, redisclient.Server{})
	ownSubscribed := over(t, s.Address, redisclient.Server{Unasked: true}).Subscribe(within(t, long), "c")
	defer ownSubscribed.Close()
	for name, c := range map[string]*redis.Client{"as it comes": theirs, "ours": own.Client} {
		if err := c.Ping(within(t, long)).Err(); err != nil {
			t.Fatal(name, err)
		}
	}
	for name, p := range map[string]*redis.PubSub{"as it comes": subscribed, "ours": ownSubscribed} {
		if _, err := p.ReceiveTimeout(within(t, long), long); err != nil {
			t.Fatal(name, err)
		}
	}
	lose()
	if err := theirs.Ping(within(t, long)).Err(); err != nil {
		t.Errorf("as it comes: %v, want another connection", err)
	}
	for range 2 {
		if err := own.Ping(within(t, long)).Err(); err == nil {
			t.Error("ours: answered on another connection")
		}
	}
	if m, err := subscribed.ReceiveTimeout(within(t, long), long); err == nil {
		t.Errorf("as it comes: %v, want to be told once", m)
	}
	if n, err := s.Try("PUBSUB", "NUMSUB", "c"); err != nil || n.([]any)[1] != int64(1) {
		t.Errorf("as it comes: subscribed %v, %v, want that it is again", n, err)
	}
	for range 2 {
		if m, err := ownSubscribed.ReceiveTimeout(within(t, long), long); err == nil {
			t.Errorf("ours: %v on another connection", m)
		}
	}
}

// counted counts the bytes that come.
type counted struct {
	net.Conn
	bytes atomic.Int64
}

func (c *counted) Read(b []byte) (int, error) {
	n, err := c.Conn.Read(b)
	c.bytes.Add(int64(n))
	return n, err
}

// A wait for a message that ends in the middle of one forgets what it has read of
// it: the rest is taken for another. So whoever waits looks whether bytes came.
func TestAMessageThatComesInPartsIsLost(t *testing.T) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	const message = "*3\r\n$7\r\nmessage\r\n$1\r\nc\r\n$5\r\nhello\r\n"
	before := []string{"*0\r\n", "*3\r\n$9\r\nsubscribe\r\n$1\r\nc\r\n:1\r\n"} // to HELLO and SUBSCRIBE
	rest, ended := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(ended)
		conn, err := listener.Accept()
		if err != nil {
			return
		}
		defer conn.Close()
		room := make([]byte, 4096)
		for _, said := range before {
			if _, err := conn.Read(room); err != nil {
				return
			}
			io.WriteString(conn, said)
		}
		io.WriteString(conn, message[:30])
		<-rest
		io.WriteString(conn, message[30:]+message)
		io.Copy(io.Discard, conn)
	}()
	conn, err := net.Dial("tcp", listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	counted := &counted{Conn: conn}
	c := redisclient.Over(counted, redisclient.Server{Unasked: true})
	p := c.Subscribe(within(t, long), "c")
	defer func() { p.Close(); c.Close(); <-ended }()
	if _, err := p.ReceiveTimeout(within(t, long), long); err != nil {
		t.Fatal(err)
	}
	for half := int64(len(before[0]) + len(before[1]) + 30); counted.bytes.Load() < half; {
		_, err := p.ReceiveTimeout(within(t, long), short)
		if slow, ok := errors.AsType[net.Error](err); !ok || !slow.Timeout() {
			t.Fatalf("half a message: %v", err)
		}
	}
	if m, err := p.ReceiveTimeout(within(t, long), short); err == nil {
		t.Fatalf("half a message: %v", m)
	}
	close(rest)
	got, err := p.ReceiveTimeout(within(t, long), long)
	if m, ok := got.(*redis.Message); err == nil && ok && strings.HasSuffix(m.Payload, "hello") {
		t.Errorf("the first of two messages is %+v: the library goes on where it stopped, and need not be watched any more", m)
	}
}

// more has the server answer one command more than is sent: in the same write, and so
// in the same answer.
type more struct {
	net.Conn
	on atomic.Bool
}

func (m *more) Write(p []byte) (int, error) {
	sent := len(p)
	if m.on.Load() {
		p = append(bytes.Clone(p), "*2\r\n$4\r\nECHO\r\n$4\r\nmore\r\n"...)
	}
	_, err := m.Conn.Write(p)
	return sent, err
}

// As it comes the library reads whatever is there; who reads the connection after it
// misses that. Ours has the answers and nothing else, or there is an error: after a
// replica's REPLCONF what follows SYNC is read by another.
func TestNothingIsReadBeyondTheAnswers(t *testing.T) {
	s := lab.Loopback(t).Host("a").Redis(lab.RedisConfig{Lines: []string{`save ""`, "repl-diskless-sync-delay 0"}})
	dial := func() *more {
		conn, err := net.Dial("tcp", s.Address)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { conn.Close() })
		return &more{Conn: conn}
	}
	conn := dial()
	theirs := asItComes(t, &redis.Options{Addr: s.Address, MaxRetries: -1, Dialer: func(context.Context, string, string) (net.Conn, error) { return conn, nil }}).Conn()
	defer theirs.Close()
	if err := theirs.Ping(within(t, long)).Err(); err != nil {
		t.Fatal(err)
	}
	conn.on.Store(true)
	if err := theirs.Ping(within(t, long)).Err(); err != nil {
		t.Errorf("as it comes: %v", err)
	}
	conn.SetReadDeadline(time.Now().Add(time.Second))
	if n, err := conn.Read(make([]byte, 64)); err == nil {
		t.Errorf("as it comes: %d bytes are left", n)
	}

	conn = dial()
	own := redisclient.Over(conn, redisclient.Server{})
	defer own.Close()
	if _, err := own.Ask(within(t, long), []string{"REPLCONF", "capa", "eof"}); err != nil {
		t.Fatal(err)
	}
	conn.SetDeadline(time.Now().Add(long))
	if _, err := io.WriteString(conn, "*1\r\n$4\r\nSYNC\r\n"); err != nil {
		t.Fatal(err)
	}
	b := make([]byte, 1)
	for b[0] = '\n'; b[0] == '\n'; {
		if _, err := io.ReadFull(conn, b); err != nil {
			t.Fatal(err)
		}
	}
	if b[0] != '$' {
		t.Errorf("ours: SYNC is answered from %q on", b)
	}

	conn = dial()
	other := redisclient.Over(conn, redisclient.Server{})
	defer other.Close()
	if _, err := other.Ask(within(t, long), []string{"PING"}); err != nil {
		t.Fatal(err)
	}
	conn.on.Store(true)
	if _, err := other.Ask(within(t, long), []string{"PING"}); !errors.Is(err, redisclient.ErrUnasked) {
		t.Errorf("ours, of more than was asked for: %v", err)
	}
}
