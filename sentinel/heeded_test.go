package sentinel

import (
	"crypto/tls"
	"errors"
	"io"
	"net"
	"testing"
	"time"

	"github.com/redis-watchdog/redis-watchdog/lab"
)

// What has come by the deadline is read, however late we are; what has not is missing.
func TestAnAnswerThatWaitsInTheSocketIsNotMissing(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	far := make(chan net.Conn, 1)
	go func() {
		conn, err := l.Accept()
		if err != nil {
			return // the test has failed
		}
		far <- conn
	}()
	near, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer near.Close()
	there := <-far
	defer there.Close()

	c, b := &heeded{Conn: near}, make([]byte, 1)
	past := func(d time.Duration) {
		if err := c.SetReadDeadline(time.Now().Add(-d)); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := there.Write([]byte("ab")); err != nil {
		t.Fatal(err)
	}
	for _, want := range "ab" {
		past(lastFor / 2)
		if n, err := c.Read(b); n != 1 || err != nil || rune(b[0]) != want {
			t.Errorf("what had come: got %d bytes %q, %v, want %q", n, b, err, want)
		}
	}
	past(lastFor / 2)
	if n, err := c.Read(b); n != 0 || !isTimeout(err) {
		t.Errorf("nothing had come: got %d bytes, %v, want a timeout", n, err)
	}
	if _, err := there.Write([]byte("c")); err != nil {
		t.Fatal(err)
	}
	past(2 * lastFor)
	if n, err := c.Read(b); n != 0 || !isTimeout(err) {
		t.Errorf("long after its deadline: got %d bytes, %v, want a timeout", n, err)
	}
	there.Close()
	past(lastFor / 2)
	if n, err := c.Read(b); n != 1 || err != nil {
		t.Errorf("what came long ago: got %d bytes, %v", n, err)
	}
	past(lastFor / 2)
	if _, err := c.Read(b); !errors.Is(err, io.EOF) {
		t.Errorf("the end had come: got %v, want EOF", err)
	}
}

// A Sentinel that does not take our certificate says so after our handshake, and hangs
// up. Whoever speaks only then is told all the same.
func TestARefusedCertificateIsToldHoweverLateWeSpeak(t *testing.T) {
	t.Parallel()
	l := lab.Loopback(t)
	h := l.Host("a")
	ca := l.CA()
	s := h.Sentinel(lab.SentinelConfig{TLS: ca, Monitors: []lab.Monitor{{Group: "g0", Master: h.Redis(lab.RedisConfig{}), Quorum: 1}}, Lines: []string{"tls-replication no"}})
	conf := ca.ClientConfig()
	strange, err := tls.LoadX509KeyPair(lab.Loopback(t).CA().Client("strange")) // of an authority that it does not know
	if err != nil {
		t.Fatal(err)
	}
	conf.Certificates = []tls.Certificate{strange}
	for _, late := range []time.Duration{0, 300 * time.Millisecond} {
		conn, err := dial(t.Context(), s.Address, s.Address, conf)
		if err != nil {
			t.Fatal(err)
		}
		time.Sleep(late)
		link := newLink(conn, "", "", false)
		if _, err := link.greet(t.Context()); err == nil || !ofTLS(err) {
			t.Errorf("speaking %v late: %v, want its word against the certificate", late, err)
		}
		link.close()
	}
}
