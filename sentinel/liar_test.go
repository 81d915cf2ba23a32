package sentinel

// Lies and garbage: the one thing a real Sentinel cannot be asked for. All that
// is here answers falsely; how Sentinel behaves is tested on real ones.

import (
	"bufio"
	"context"
	"fmt"
	"net"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/redis-watchdog/redis-watchdog/lab"
	"github.com/redis-watchdog/redis-watchdog/watchdog"
)

// liar answers every command line by line as say tells; a nil reply closes the
// connection. Subscribers get wrong once in a while.
type liar struct {
	net.Listener
	say   func(command string) string
	wrong atomic.Pointer[string] // a message to every subscriber, every 20 ms
}

func newLiar(t *testing.T, say func(command string) string) *liar {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	l := &liar{Listener: ln, say: say}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() {
		defer close(done)
		for {
			conn, err := ln.Accept()
			if err != nil {
				return
			}
			stop := context.AfterFunc(ctx, func() { conn.Close() })
			go func() { defer stop(); defer conn.Close(); l.serve(ctx, conn) }()
		}
	}()
	t.Cleanup(func() { ln.Close(); cancel(); <-done })
	return l
}

func (l *liar) serve(ctx context.Context, conn net.Conn) {
	r := bufio.NewReader(conn)
	for {
		var n int
		if _, err := fmt.Fscanf(r, "*%d\r\n", &n); err != nil {
			return
		}
		var words []string
		for range n {
			var size int
			var word string
			if _, err := fmt.Fscanf(r, "$%d\r\n%s\r\n", &size, &word); err != nil {
				return
			}
			words = append(words, word)
		}
		words[0] = strings.ToUpper(words[0])
		if words[0] == "SUBSCRIBE" {
			for i, c := range words[1:] {
				fmt.Fprintf(conn, "*3\r\n$9\r\nsubscribe\r\n$%d\r\n%s\r\n:%d\r\n", len(c), c, i+1)
			}
			tick := time.NewTicker(20 * time.Millisecond)
			defer tick.Stop()
			for ctx.Err() == nil {
				<-tick.C
				if text := l.wrong.Load(); text != nil {
					if _, err := fmt.Fprintf(conn, "*3\r\n$7\r\nmessage\r\n$14\r\n+switch-master\r\n$%d\r\n%s\r\n", len(*text), *text); err != nil {
						return
					}
				}
			}
			return
		}
		reply := l.say(strings.Join(words, " "))
		if reply == "" {
			return
		}
		if _, err := conn.Write([]byte(reply)); err != nil {
			return
		}
	}
}

// honest is a Sentinel that names master at epoch and finds nothing wrong.
func honest(id int, master string, epoch int) func(string) string {
	host, port, _ := strings.Cut(master, ":")
	fields := []string{"name", "mymaster", "ip", host, "port", port, "runid", "", "flags", "master",
		"last-ok-ping-reply", "10", "down-after-milliseconds", "5000", "role-reported", "master",
		"role-reported-time", "1000", "config-epoch", fmt.Sprint(epoch), "num-slaves", "0",
		"num-other-sentinels", "2", "quorum", "2", "failover-timeout", "60000"}
	return func(command string) string {
		switch command {
		case "HELLO 2":
			return "*2\r\n$6\r\nserver\r\n$5\r\nredis\r\n"
		case "SENTINEL MYID":
			return array(strings.Repeat(fmt.Sprint(id), 40))[4:]
		case "SENTINEL GET-MASTER-ADDR-BY-NAME mymaster":
			return array(host, port)
		case "SENTINEL MASTER mymaster":
			return array(fields...)
		case "SENTINEL REPLICAS mymaster", "SENTINEL SENTINELS mymaster":
			return "*0\r\n"
		case "INFO sentinel":
			return "$15\r\nsentinel_tilt:0\r\n"
		}
		return "+OK\r\n"
	}
}

func array(words ...string) string {
	s := fmt.Sprintf("*%d\r\n", len(words))
	for _, w := range words {
		s += fmt.Sprintf("$%d\r\n%s\r\n", len(w), w)
	}
	return s
}

func TestALiarMovesNobody(t *testing.T) {
	t.Parallel()
	const truth, lie = "127.0.0.1:1", "127.0.0.1:2"
	l := lab.Loopback(t)
	two := []string{newLiar(t, honest(1, truth, 4)).Addr().String(), newLiar(t, honest(2, truth, 4)).Addr().String()}
	tests := []struct {
		name  string
		third func(command string) string
		wrong string // +switch-master, again and again
		hints int
		ok    func(s *seen) bool // in the end
	}{
		{"it publishes a switch and does not name it", honest(3, truth, 4), "mymaster 127.0.0.1 1 127.0.0.1 2", 0,
			func(s *seen) bool { return s.last().Votes == 3 }},
		{"it names another at a higher epoch, and publishes it", honest(3, lie, 9), "mymaster 127.0.0.1 1 127.0.0.1 2", 1,
			func(s *seen) bool { return s.last().MaxEpoch == 9 }},
		{"it names another at the same epoch", honest(3, lie, 4), "", 0,
			func(s *seen) bool { return s.last().Answering == 3 }},
		{"it speaks another language", func(string) string { return "HTTP/1.1 400 Bad Request\r\n\r\n" }, "", 0,
			func(s *seen) bool { return s.fault("sentinel_garbage") != nil }},
		{"it hangs up", func(string) string { return "" }, "", 0,
			func(s *seen) bool { return s.View().Sentinels[2].Failures > 1 }},
		{"it announces a gigabyte", func(string) string { return "$1000000000\r\n" }, "", 0,
			func(s *seen) bool { return s.fault("sentinel_garbage") != nil }},
		{"it nests without end", func(string) string { return strings.Repeat("*1\r\n", 100) }, "", 0,
			func(s *seen) bool { return s.fault("sentinel_garbage") != nil }},
		{"it counts a thousand Sentinels", func(command string) string {
			return strings.Replace(honest(3, truth, 4)(command), "$19\r\nnum-other-sentinels\r\n$1\r\n2", "$19\r\nnum-other-sentinels\r\n$4\r\n1000", 1)
		}, "", 0, func(s *seen) bool { return s.fault("sentinel_unclear") != nil }},
		{"its PONG is of tomorrow", func(command string) string {
			return strings.Replace(honest(3, truth, 4)(command), "$18\r\nlast-ok-ping-reply\r\n$2\r\n10", "$18\r\nlast-ok-ping-reply\r\n$9\r\n-86400000", 1)
		}, "", 0, func(s *seen) bool { return s.fault("sentinel_unclear") != nil }},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			third := newLiar(t, tt.third)
			if tt.wrong != "" {
				third.wrong.Store(&tt.wrong)
			}
			s := watch(t, Config{Sentinels: append(two[:2:2], third.Addr().String())}, nil)
			s.local.Identify("", truth)
			// The liar may be heard before the second of the two: then two name the
			// truth, and nobody is certified yet.
			certified := func(r watchdog.Sentinels) bool {
				return r.Master == truth && r.Epoch == 4 && r.E > r.SentAt && !r.Failover
			}
			s.until(l, "the majority certifies the truth", certified)
			l.Eventually("the lie is heard", 10*time.Second, func() error {
				if tt.ok(s) {
					return nil
				}
				return fmt.Errorf("last %+v, view %+v, faults %+v", s.last(), s.View(), s.Faults())
			})
			n := len(s.all())
			s.until(l, "some reports more", func(watchdog.Sentinels) bool { return len(s.all()) > n+3 })
			was := false
			for _, r := range s.all() {
				if r.Master != "" && r.Master != truth || was && !certified(r) {
					t.Errorf("moved: %+v", r)
				}
				was = was || certified(r)
			}
			s.mu.Lock()
			defer s.mu.Unlock()
			if len(s.hints) > tt.hints {
				t.Errorf("hints %+v, want at most %d", s.hints, tt.hints)
			}
		})
	}
}
