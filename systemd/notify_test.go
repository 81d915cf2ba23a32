package systemd

import (
	"context"
	"errors"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// receiver is the manager's end of a real notify socket.
type receiver struct {
	conn *net.UnixConn
}

// listen makes a notify socket and sets the environment as systemd does.
func listen(t *testing.T) *receiver {
	t.Helper()
	path := filepath.Join(t.TempDir(), "notify")
	conn, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: path, Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	t.Setenv("NOTIFY_SOCKET", path)
	t.Setenv("WATCHDOG_USEC", "")
	t.Setenv("WATCHDOG_PID", "")
	t.Setenv("LISTEN_PID", "")
	return &receiver{conn: conn}
}

// next is the next message and the descriptor that came with it, nil if none.
func (r *receiver) next(t *testing.T) (string, *os.File) {
	t.Helper()
	r.conn.SetReadDeadline(time.Now().Add(10 * time.Second))
	buf, oob := make([]byte, 4096), make([]byte, unix.CmsgSpace(4*8))
	n, oobn, _, _, err := r.conn.ReadMsgUnix(buf, oob)
	if err != nil {
		t.Fatalf("read notification: %v", err)
	}
	if oobn == 0 {
		return string(buf[:n]), nil
	}
	messages, err := unix.ParseSocketControlMessage(oob[:oobn])
	if err != nil {
		t.Fatal(err)
	}
	fds, err := unix.ParseUnixRights(&messages[0])
	if err != nil || len(fds) != 1 {
		t.Fatalf("descriptors: got %v, %v, want one", fds, err)
	}
	return string(buf[:n]), os.NewFile(uintptr(fds[0]), "received")
}

func open(t *testing.T) *Notifier {
	t.Helper()
	n, err := OpenNotifier()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { n.Close() })
	return n
}

func TestNotifierSpeaksTheProtocol(t *testing.T) {
	r := listen(t)
	t.Setenv("WATCHDOG_USEC", "3000000")
	t.Setenv("WATCHDOG_PID", strconv.Itoa(os.Getpid()))
	n := open(t)
	if got := n.WatchdogInterval(); got != 3*time.Second {
		t.Errorf("watchdog interval: got %v, want 3s", got)
	}
	for _, name := range []string{"NOTIFY_SOCKET", "WATCHDOG_USEC", "WATCHDOG_PID"} {
		if v, ok := os.LookupEnv(name); ok {
			t.Errorf("%s=%q is left for children", name, v)
		}
	}
	steps := []struct {
		send func() error
		want string
	}{
		{n.Alive, "WATCHDOG=1\nEXTEND_TIMEOUT_USEC=30000000"},
		{func() error { return n.Ready("serving m1\nREADY=0") }, "READY=1\nSTATUS=serving m1 READY=0"},
		{n.Alive, "WATCHDOG=1"},
		{func() error { return n.Status("refuse m1: isolated") }, "STATUS=refuse m1: isolated"},
		{func() error { return n.ExtendTimeout(1500 * time.Millisecond) }, "EXTEND_TIMEOUT_USEC=1500000"},
		{func() error { return n.Stopping("unguarded") }, "STOPPING=1\nSTATUS=unguarded"},
	}
	for _, s := range steps {
		if err := s.send(); err != nil {
			t.Fatal(err)
		}
		if got, _ := r.next(t); got != s.want {
			t.Errorf("got %q, want %q", got, s.want)
		}
	}
	if err := n.Reloading("reading"); err != nil {
		t.Fatal(err)
	}
	got, _ := r.next(t)
	usec, ok := strings.CutPrefix(got, "RELOADING=1\nMONOTONIC_USEC=")
	usec, ok2 := strings.CutSuffix(usec, "\nSTATUS=reading")
	var now unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_MONOTONIC, &now); err != nil {
		t.Fatal(err)
	}
	at, err := strconv.ParseInt(usec, 10, 64)
	if age := now.Nano()/1000 - at; !ok || !ok2 || err != nil || age < 0 || age > 10_000_000 {
		t.Errorf("got %q, want a monotonic time of just now", got)
	}
}

func TestNotifierOutsideOfSystemdDoesNothing(t *testing.T) {
	listen(t)
	t.Setenv("NOTIFY_SOCKET", "")
	n := open(t)
	s := OpenStore(n)
	for _, err := range []error{n.Ready("x"), n.Alive(), n.Barrier(t.Context()), (*Notifier)(nil).Ready("x"), (*Notifier)(nil).Alive(), s.Barrier(t.Context())} {
		if err != nil {
			t.Error(err)
		}
	}
	kept, err := s.Probe(t.Context())
	if n.Enabled() || s.Available() || kept || err != nil {
		t.Errorf("enabled %t, available %t, kept %t, %v; want nothing", n.Enabled(), s.Available(), kept, err)
	}
	if err := s.Store("x", os.Stdin); !errors.Is(err, ErrNoStore) {
		t.Errorf("store: got %v, want ErrNoStore", err)
	}
}

func TestFullQueueIsAnErrorAtOnce(t *testing.T) {
	listen(t)
	n := open(t)
	var err error
	for range 1 << 20 { // until nobody reading has filled the queue
		if err = n.Alive(); err != nil {
			break
		}
	}
	if !errors.Is(err, ErrQueueFull) {
		t.Errorf("got %v, want ErrQueueFull", err)
	}
}

func TestNotifierFindsAReplacedSocket(t *testing.T) {
	r := listen(t)
	path := os.Getenv("NOTIFY_SOCKET")
	n := open(t)
	r.conn.Close()
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	if err := n.Alive(); err == nil {
		t.Error("nobody listens, and no error")
	}
	conn, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: path, Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if err := n.Status("back"); err != nil {
		t.Fatal(err)
	}
	if got, _ := (&receiver{conn: conn}).next(t); got != "STATUS=back" {
		t.Errorf("got %q", got)
	}
}

func TestBarrierWaitsForTheManager(t *testing.T) {
	r := listen(t)
	n := open(t)
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if err := n.Barrier(ctx); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("manager silent: got %v, want the deadline", err)
	}
	got, f := r.next(t)
	if got != "BARRIER=1" || f == nil {
		t.Fatalf("got %q and %v", got, f)
	}
	f.Close()
	done := make(chan error, 1)
	go func() { done <- n.Barrier(t.Context()) }()
	_, f = r.next(t)
	select {
	case err := <-done:
		t.Errorf("passed before the manager closed its end: %v", err)
	case <-time.After(30 * time.Millisecond):
	}
	f.Close()
	if err := <-done; err != nil {
		t.Error(err)
	}
}

func TestStoredDescriptorOutlivesOurs(t *testing.T) {
	r := listen(t)
	s := OpenStore(open(t))
	read, write, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer read.Close()
	if err := s.Store("fence m1.7", write); err != nil {
		t.Fatal(err)
	}
	write.Close()
	got, kept := r.next(t)
	if got != "FDSTORE=1\nFDNAME=fence m1.7" || kept == nil {
		t.Fatalf("got %q and %v", got, kept)
	}
	if _, err := kept.WriteString("x"); err != nil {
		t.Errorf("kept descriptor: %v", err)
	}
	kept.Close()
	if err := s.Remove("fence m1.7"); err != nil {
		t.Fatal(err)
	}
	if got, _ := r.next(t); got != "FDSTOREREMOVE=1\nFDNAME=fence m1.7" {
		t.Errorf("got %q", got)
	}
	for _, bad := range []string{"", "a:b", "a\nREADY=1", strings.Repeat("x", 256), "ü"} {
		if err := s.Store(bad, read); err == nil {
			t.Errorf("name %q is accepted", bad)
		}
	}
}

// The manager of the test keeps what it is sent, or not.
func TestProbeSeesWhetherAnythingIsKept(t *testing.T) {
	for _, keeps := range []bool{true, false} {
		r := listen(t)
		s := OpenStore(open(t))
		done := make(chan struct{})
		go func() {
			defer close(done)
			_, f := r.next(t)
			if !keeps {
				f.Close()
			}
			_, barrier := r.next(t)
			barrier.Close()
			r.next(t) // the removal
			if keeps {
				f.Close()
			}
		}()
		kept, err := s.Probe(t.Context())
		<-done
		if err != nil || kept != keeps || s.Available() != keeps {
			t.Errorf("got %t, %v, available %t, want %t", kept, err, s.Available(), keeps)
		}
	}
}

func TestAvailableIsWhatSystemd254Says(t *testing.T) {
	for value, want := range map[string]bool{"64": true, "0": false, "": false, "many": false} {
		listen(t)
		t.Setenv("FDSTORE", value)
		if got := OpenStore(open(t)).Available(); got != want {
			t.Errorf("FDSTORE=%q: got %t, want %t", value, got, want)
		}
	}
}
