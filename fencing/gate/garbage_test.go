package gate

import (
	"net"
	"strings"
	"testing"

	"github.com/redis-watchdog/redis-watchdog/watchdog"
)

func TestGarbageIsUnknownAndSaidOnce(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			c.Write([]byte("HTTP/1.1 400 Bad Request\r\n\r\n"))
			c.Close()
		}
	}()
	t.Cleanup(func() { l.Close(); <-done })
	g := startGate(t, &server{t: t, port: strings.TrimPrefix(l.Addr().String(), "127.0.0.1:")})
	g.Want(refuse())
	eventually(t, "it is counted", func() bool { return g.Details().Garbage > 2 })
	if f := g.fault("redis_protocol"); f == nil {
		t.Errorf("no fault")
	}
	if r := g.last(); r.Answer != watchdog.Silent || r.Refusing {
		t.Errorf("seen: got %+v", r)
	}
}
