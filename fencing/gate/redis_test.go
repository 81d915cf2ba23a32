package gate

// A real redis-server on loopback, and a client of it, for the tests.

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/hashicorp/go-hclog"
	"golang.org/x/sys/unix"

	"github.com/redis-watchdog/redis-watchdog/fencing/gate/resp"
	"github.com/redis-watchdog/redis-watchdog/lab/freeport"
	"github.com/redis-watchdog/redis-watchdog/lab/need"
	"github.com/redis-watchdog/redis-watchdog/lab/slot"
	"github.com/redis-watchdog/redis-watchdog/watchdog"
)

var patience = 15 * time.Second

// onePause is one CLIENT PAUSE of the gates under test. It is longer than the
// product's, which a machine that stands still for a moment outlasts: that the
// hold then lets writers through is said in docs/guarantees.md, and is not tested here.
const onePause = 2 * time.Second

func bootTime() watchdog.Instant {
	var ts unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_BOOTTIME, &ts); err != nil {
		panic(err)
	}
	return watchdog.Instant(ts.Nano())
}

// server is one redis-server.
type server struct {
	t      testing.TB
	dir    string
	port   string
	socket string
	conf   string
	binary string
	cmd    *exec.Cmd
	ended  chan struct{}
}

func freePort(t testing.TB) string {
	t.Helper()
	port, release, err := freeport.Take()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(release)
	return strconv.Itoa(port)
}

func startRedis(t testing.TB, lines ...string) *server {
	t.Helper()
	dir, err := os.MkdirTemp("", "gate")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	return startIn(t, dir, "redis-server", lines...)
}

// startIn is startRedis in a directory that is there, and of a binary.
func startIn(t testing.TB, dir, binary string, lines ...string) *server {
	t.Helper()
	need.Servers(t)
	slot.Take(t)
	s := &server{t: t, dir: dir, binary: binary, port: freePort(t), socket: filepath.Join(dir, "s"), conf: filepath.Join(dir, "redis.conf")}
	conf := fmt.Sprintf("port %s\nbind 127.0.0.1\nunixsocket %s\ndir %s\nsave \"\"\nrepl-diskless-sync-delay 0\nmaxclients 2000\n%s\n",
		s.port, s.socket, dir, strings.Join(lines, "\n"))
	if err := os.WriteFile(s.conf, []byte(conf), 0o644); err != nil {
		t.Fatal(err)
	}
	s.start()
	return s
}

func (s *server) start() {
	s.t.Helper()
	s.cmd = exec.Command(s.binary, s.conf)
	s.cmd.Dir = s.dir
	out, err := os.OpenFile(filepath.Join(s.dir, "log"), os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o644)
	if err != nil {
		s.t.Fatal(err)
	}
	defer out.Close()
	s.cmd.Stdout, s.cmd.Stderr = out, out
	started := make(chan error, 1)
	s.ended = make(chan struct{})
	cmd, ended := s.cmd, s.ended
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	go func() { // Pdeathsig counts the thread that forked: keep it
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		err := cmd.Start()
		started <- err
		if err == nil {
			cmd.Wait()
		}
		close(ended)
	}()
	if err := <-started; err != nil {
		s.t.Fatalf("start redis-server: %v", err)
	}
	s.t.Cleanup(s.kill)
	eventually(s.t, "redis-server listens", func() bool {
		c, err := net.Dial("unix", s.socket)
		if err == nil {
			c.Close()
		}
		return err == nil
	})
}

func (s *server) signal(sig syscall.Signal) { s.cmd.Process.Signal(sig) }

func (s *server) kill() {
	s.signal(syscall.SIGKILL)
	<-s.ended
}

func (s *server) address() string { return "127.0.0.1:" + s.port }

// client is one connection to a server.
type client struct {
	t  testing.TB
	nc net.Conn
	r  *bufio.Reader
}

func (s *server) client() *client {
	s.t.Helper()
	nc, err := net.Dial("tcp", s.address())
	if err != nil {
		s.t.Fatal(err)
	}
	s.t.Cleanup(func() { nc.Close() })
	return &client{s.t, nc, bufio.NewReaderSize(nc, 16<<10)}
}

// try sends a command and reads its answer.
func (c *client) try(words ...string) (resp.Reply, error) {
	c.nc.SetDeadline(time.Now().Add(patience))
	if _, err := c.nc.Write(resp.Append(nil, words...)); err != nil {
		return resp.Reply{}, err
	}
	return resp.Read(c.r)
}

func (c *client) do(words ...string) resp.Reply {
	c.t.Helper()
	r, err := c.try(words...)
	if err != nil {
		c.t.Fatalf("%v: %v", words, err)
	}
	return r
}

// do asks over a connection of its own.
func (s *server) do(words ...string) resp.Reply {
	s.t.Helper()
	c := s.client()
	defer c.nc.Close()
	return c.do(words...)
}

func (s *server) config(key string) string {
	s.t.Helper()
	r := s.do("CONFIG", "GET", key)
	if len(r.Elems) != 2 {
		s.t.Fatalf("CONFIG GET %s: %+v", key, r)
	}
	return r.Elems[1].Text
}

func (s *server) role() string {
	s.t.Helper()
	c := s.client()
	defer c.nc.Close()
	r, err := c.try("ROLE")
	if err != nil { // a fence killed this connection too
		return err.Error()
	}
	if r.IsError() {
		return r.Text
	}
	role := r.Elems[0].Text
	if role == "slave" {
		return fmt.Sprintf("slave of %s:%d %s", r.Elems[1].Text, r.Elems[2].Num, r.Elems[3].Text)
	}
	return role
}

// inFile is what redis.conf says of key; "" for nothing.
func (s *server) inFile(key string) string {
	b, _ := os.ReadFile(s.conf)
	value := ""
	for line := range strings.Lines(string(b)) {
		if f := strings.Fields(line); len(f) > 1 && f[0] == key {
			value = strings.Join(f[1:], " ")
		}
	}
	return value
}

func eventually(t testing.TB, what string, ok func() bool) {
	t.Helper()
	end := time.Now().Add(patience)
	for !ok() {
		if time.Now().After(end) {
			t.Fatalf("%s: not within %v", what, patience)
		}
		time.Sleep(2 * time.Millisecond)
	}
}

// lab is a gate at work beside a server.
type lab struct {
	*Gate
	t      testing.TB
	s      *server
	cancel context.CancelFunc
	ended  chan struct{}

	mu       sync.Mutex
	seen     watchdog.Redis
	record   Originals
	reports  int
	log      bytes.Buffer
	stopOnce sync.Once
}

func startGate(t testing.TB, s *server, change ...func(*Config)) *lab {
	t.Helper()
	l := &lab{t: t, s: s, ended: make(chan struct{})}
	conf := Config{
		Address: s.address(), Socket: s.socket, Now: bootTime,
		Log:    hclog.New(&hclog.LoggerOptions{Output: &lockedWriter{l: l}, Level: hclog.Debug}),
		Record: func(o Originals) error { l.mu.Lock(); l.record = o; l.mu.Unlock(); return nil },

		pauseFor: onePause,
	}
	for _, c := range change {
		c(&conf)
	}
	g, err := New(conf)
	if err != nil {
		t.Fatal(err)
	}
	l.Gate = g
	ctx, cancel := context.WithCancel(context.Background())
	l.cancel = cancel
	go func() {
		g.Run(ctx, func(r watchdog.Redis) {
			l.mu.Lock()
			l.seen = r
			l.reports++
			l.mu.Unlock()
		})
		close(l.ended)
	}()
	t.Cleanup(func() {
		l.stop()
		if t.Failed() {
			l.mu.Lock()
			t.Logf("gate's log:\n%s", l.log.String())
			t.Logf("seen %+v faults %+v", l.seen, g.Details().Faults)
			l.mu.Unlock()
		}
	})
	return l
}

type lockedWriter struct{ l *lab }

func (w *lockedWriter) Write(b []byte) (int, error) {
	w.l.mu.Lock()
	defer w.l.mu.Unlock()
	return w.l.log.Write(b)
}

func (l *lab) stop() {
	l.stopOnce.Do(func() {
		l.cancel()
		select {
		case <-l.ended:
		case <-time.After(patience):
			l.t.Error("Run has not ended")
		}
	})
}

func (l *lab) last() watchdog.Redis {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.seen
}

func (l *lab) originals() Originals {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.record
}

// sees waits until what is reported is ok.
func (l *lab) sees(what string, ok func(watchdog.Redis) bool) watchdog.Redis {
	l.t.Helper()
	var r watchdog.Redis
	eventually(l.t, "the gate sees "+what, func() bool { r = l.last(); return ok(r) })
	return r
}

func (l *lab) fault(id string) *Fault {
	for _, f := range l.Details().Faults {
		if f.ID == id {
			return &f
		}
	}
	return nil
}

// serve wants a serving master with a fence that is put off every little while
// until the test ends or stop is called.
func (l *lab) serve(ahead time.Duration) (stop func()) {
	return l.serveEvery(20*time.Millisecond, ahead)
}

func (l *lab) serveEvery(every, ahead time.Duration) (stop func()) {
	quit, done := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(done)
		for {
			l.Want(watchdog.Gate{Access: watchdog.Serve, Arm: bootTime().Add(ahead)})
			select {
			case <-quit:
				return
			case <-time.After(every):
			}
		}
	}()
	var once sync.Once
	stop = func() { once.Do(func() { close(quit); <-done }) }
	l.t.Cleanup(stop)
	return stop
}
