package helper

import (
	"context"
	"errors"
	"net"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/hashicorp/go-hclog"
	"golang.org/x/sys/unix"

	"github.com/redis-watchdog/redis-watchdog/systemd"
)

// serving starts a Server that kills what is called like a Redis, or like that,
// and is asked by the Client.
func serving(t *testing.T, names ...string) *Client {
	t.Helper()
	path := filepath.Join(t.TempDir(), "helper")
	l, err := net.Listen("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	log := hclog.NewNullLogger()
	s := NewServer(systemd.NewUnits(log), append([]string{"redis-server", "valkey-server"}, names...), nil, log)
	ctx, stop := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- s.Serve(ctx, l) }()
	t.Cleanup(func() {
		stop()
		if err := <-ended; !errors.Is(err, context.Canceled) {
			t.Errorf("serve: %v", err)
		}
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	return New(path)
}

func sleeping(t *testing.T) *exec.Cmd {
	t.Helper()
	cmd := exec.Command("sleep", "1000")
	cmd.SysProcAttr = &unix.SysProcAttr{Pdeathsig: unix.SIGKILL}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = cmd.Process.Kill(); _ = cmd.Wait() })
	return cmd
}

func soon(t *testing.T) context.Context {
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	t.Cleanup(cancel)
	return ctx
}

func TestRedisOfNoUnitIsKilled(t *testing.T) {
	cmd := sleeping(t)
	r := serving(t, "sleep").Redis("mymaster/first", "")
	if err := r.Prepare(soon(t), systemd.Claim{PID: cmd.Process.Pid, Executable: "/usr/bin/sleep"}); err != nil {
		t.Fatal(err)
	}
	if err := r.Kill(soon(t), cmd.Process.Pid, ""); err != nil {
		t.Fatal(err)
	}
	_ = cmd.Wait()
	if got := cmd.ProcessState.String(); got != "signal: killed" {
		t.Errorf("got %q, want killed", got)
	}
}

// What the watchdog asks for is not believed: it may be somebody else by now.
func TestOthersAreRefused(t *testing.T) {
	cmd := sleeping(t)
	client := serving(t)
	pid := cmd.Process.Pid
	for name, ask := range map[string]func() error{
		"a process of another name, prepared": func() error {
			return client.Redis("a", "").Prepare(soon(t), systemd.Claim{PID: pid, Executable: "/usr/bin/sleep"})
		},
		"the same, said to be a Redis": func() error {
			return client.Redis("a", "").Prepare(soon(t), systemd.Claim{PID: pid, Executable: "/usr/bin/redis-server"})
		},
		"the same, killed":           func() error { return client.Redis("a", "").Kill(soon(t), pid, "") },
		"the same, as a unit's":      func() error { return client.Redis("a", "ssh.service").Kill(soon(t), pid, "") },
		"a unit by its name alone":   func() error { return client.Redis("a", "ssh.service").Kill(soon(t), 0, "") },
		"a unit that is a path":      func() error { return client.Redis("a", "../../etc/x.service").Kill(soon(t), pid, "") },
		"a unit that is no service":  func() error { return client.Redis("a", "multi-user.target").Restore(soon(t)) },
		"something that is no order": func() error { _, err := client.ask(soon(t), request{Op: "reboot"}); return err },
	} {
		if err := ask(); err == nil {
			t.Errorf("%s: done, want it refused", name)
		} else {
			t.Logf("%s: %v", name, err)
		}
	}
	if err := cmd.Process.Signal(unix.Signal(0)); err != nil {
		t.Errorf("the process was killed: %v", err)
	}
}

func TestRubbishIsNotAnsweredAndHarmsNobody(t *testing.T) {
	cmd := sleeping(t)
	client := serving(t, "sleep")
	for _, line := range []string{"\n", "GET / HTTP/1.1\r\n\r\n", `{"op":7}` + "\n", `{"op":"kill","within":-1}` + "\n", strings.Repeat("x", 2*maxLine)} {
		conn, err := net.Dial("unix", client.path)
		if err != nil {
			t.Fatal(err)
		}
		_, _ = conn.Write([]byte(line)) // it may hang up while we write
		_ = conn.Close()
	}
	if err := client.Redis("a", "").Prepare(soon(t), systemd.Claim{PID: cmd.Process.Pid, Executable: "sleep"}); err != nil {
		t.Errorf("after rubbish: %v", err)
	}
}

func TestMissingHelperIsSaid(t *testing.T) {
	err := New(filepath.Join(t.TempDir(), "none")).Redis("a", "").Kill(soon(t), 1, "")
	if err == nil || !strings.Contains(err.Error(), "systemctl status redis-watchdog-helper.socket") {
		t.Errorf("got %v, want where to look", err)
	}
}

// A helper that hangs is given up by the caller's deadline.
func TestCallersDeadlineHolds(t *testing.T) {
	l, err := net.Listen("unix", filepath.Join(t.TempDir(), "deaf"))
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if err := New(l.Addr().String()).Redis("a", "").Kill(ctx, 1, ""); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("got %v, want the deadline", err)
	}
}
