package watched

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/redis-watchdog/redis-watchdog/lab"
)

// Liar answers as a Sentinel does, and says what it is told to: that is what
// no real one can be made to do. How Sentinel behaves is never read off it.
type Liar struct {
	Address string

	mu     sync.Mutex
	master string
	epoch  uint64
	heard  map[chan string]bool // subscriptions
	work   sync.WaitGroup
}

// NewLiar starts a liar on a host. It tells the truth at first.
func NewLiar(t lab.T, h *lab.Host, master string, epoch uint64) *Liar {
	t.Helper()
	listener := h.Listen(h.Port(26379))
	l := &Liar{Address: listener.Addr().String(), master: master, epoch: epoch, heard: map[chan string]bool{}}
	ctx, cancel := context.WithCancel(context.Background())
	l.work.Go(func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			l.work.Go(func() {
				stop := context.AfterFunc(ctx, func() { conn.Close() })
				defer stop()
				defer conn.Close()
				l.serve(ctx, conn)
			})
		}
	})
	t.Cleanup(func() { listener.Close(); cancel(); l.work.Wait() })
	return l
}

// Name makes it name another master at an epoch from now on.
func (l *Liar) Name(master string, epoch uint64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.master, l.epoch = master, epoch
}

// Announce publishes a +switch-master.
func (l *Liar) Announce(from, to string) {
	words := strings.NewReplacer(":", " ")
	text := "mymaster " + words.Replace(from) + " " + words.Replace(to)
	l.mu.Lock()
	defer l.mu.Unlock()
	for c := range l.heard {
		select {
		case c <- text:
		default: // whoever does not read misses it
		}
	}
}

func (l *Liar) serve(ctx context.Context, conn net.Conn) {
	r := bufio.NewReader(conn)
	for {
		words, err := readCommand(r)
		if err != nil {
			return
		}
		if strings.EqualFold(words[0], "SUBSCRIBE") {
			l.publish(ctx, conn, words[1:])
			return
		}
		if _, err := io.WriteString(conn, l.answer(strings.ToUpper(strings.Join(words, " ")))); err != nil {
			return
		}
	}
}

// publish answers no pings of a subscriber, which dials anew then.
func (l *Liar) publish(ctx context.Context, conn net.Conn, channels []string) {
	for i, c := range channels {
		fmt.Fprintf(conn, "*3\r\n$9\r\nsubscribe\r\n$%d\r\n%s\r\n:%d\r\n", len(c), c, i+1)
	}
	texts := make(chan string, 16)
	l.mu.Lock()
	l.heard[texts] = true
	l.mu.Unlock()
	defer func() {
		l.mu.Lock()
		delete(l.heard, texts)
		l.mu.Unlock()
	}()
	end := time.NewTimer(time.Minute)
	defer end.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-end.C:
			return
		case text := <-texts:
			if _, err := fmt.Fprintf(conn, "*3\r\n$7\r\nmessage\r\n$14\r\n+switch-master\r\n$%d\r\n%s\r\n", len(text), text); err != nil {
				return
			}
		}
	}
}

func (l *Liar) answer(command string) string {
	l.mu.Lock()
	host, port, _ := net.SplitHostPort(l.master)
	epoch := l.epoch
	l.mu.Unlock()
	switch {
	case strings.HasPrefix(command, "HELLO "):
		return array("server", "redis")
	case command == "SENTINEL MYID":
		return array(strings.Repeat("f", 40))[4:]
	case strings.HasPrefix(command, "SENTINEL GET-MASTER-ADDR-BY-NAME "):
		return array(host, port)
	case strings.HasPrefix(command, "SENTINEL MASTER "):
		return array("name", "mymaster", "ip", host, "port", port, "runid", "", "flags", "master",
			"last-ok-ping-reply", "10", "down-after-milliseconds", "3000", "role-reported", "master",
			"role-reported-time", "1000", "config-epoch", fmt.Sprint(epoch), "num-slaves", "0",
			"num-other-sentinels", "3", "quorum", "2", "failover-timeout", "10000")
	case strings.HasPrefix(command, "SENTINEL REPLICAS "), strings.HasPrefix(command, "SENTINEL SENTINELS "):
		return "*0\r\n"
	case strings.HasPrefix(command, "INFO"):
		return "$15\r\nsentinel_tilt:0\r\n"
	}
	return "+OK\r\n"
}

func array(words ...string) string {
	s := fmt.Sprintf("*%d\r\n", len(words))
	for _, w := range words {
		s += fmt.Sprintf("$%d\r\n%s\r\n", len(w), w)
	}
	return s
}

func readCommand(r *bufio.Reader) ([]string, error) {
	n, err := readSize(r, "*")
	if err != nil {
		return nil, err
	}
	words := make([]string, n)
	for i := range words {
		size, err := readSize(r, "$")
		if err != nil {
			return nil, err
		}
		word := make([]byte, size+2)
		if _, err := io.ReadFull(r, word); err != nil {
			return nil, err
		}
		words[i] = string(word[:size])
	}
	return words, nil
}

func readSize(r *bufio.Reader, kind string) (int, error) {
	line, err := r.ReadString('\n')
	if err != nil {
		return 0, err
	}
	digits, ok := strings.CutPrefix(strings.TrimSpace(line), kind)
	n, err := strconv.Atoi(digits)
	if !ok || err != nil || n < 1 || n > 1<<16 {
		return 0, fmt.Errorf("%q does not begin with %s and a size", line, kind)
	}
	return n, nil
}
