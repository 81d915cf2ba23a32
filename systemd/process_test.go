package systemd

import (
	"context"
	"errors"
	"os/exec"
	"testing"
	"time"

	"github.com/hashicorp/go-hclog"
	"golang.org/x/sys/unix"
)

func start(t *testing.T) *exec.Cmd {
	t.Helper()
	cmd := exec.Command("sleep", "1000")
	cmd.SysProcAttr = &unix.SysProcAttr{Pdeathsig: unix.SIGKILL}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { cmd.Process.Kill(); cmd.Wait() })
	return cmd
}

func TestProcessIsKilledAndSeenGone(t *testing.T) {
	cmd := start(t)
	p, err := OpenProcess(Claim{PID: cmd.Process.Pid, Uptime: time.Nanosecond, Executable: "/usr/bin/sleep"})
	if err != nil {
		t.Fatal(err)
	}
	defer p.Close()
	if p.exited() {
		t.Fatal("gone before the kill")
	}
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	if err := p.Kill(ctx); err != nil {
		t.Fatal(err)
	}
	if err := p.Kill(ctx); err != nil {
		t.Errorf("killed twice: %v", err)
	}
	cmd.Wait()
	if got := cmd.ProcessState.String(); got != "signal: killed" {
		t.Errorf("got %q, want killed", got)
	}
}

func TestAnotherProcessOfThatNumberIsLeftAlone(t *testing.T) {
	cmd := start(t)
	pid := cmd.Process.Pid
	for _, c := range []Claim{
		{PID: pid},                             // no redis-server
		{PID: pid, Executable: "redis-server"}, // another name
		{PID: pid, Executable: "sleep", Uptime: time.Hour}, // another age
	} {
		if p, err := OpenProcess(c); !errors.Is(err, ErrOtherProcess) {
			t.Errorf("%+v: got %v, %v, want ErrOtherProcess", c, p, err)
		}
	}
	s := NewRedis(NewUnits(hclog.NewNullLogger()), "")
	if err := s.Kill(t.Context(), pid, ""); !errors.Is(err, ErrOtherProcess) {
		t.Errorf("helper: got %v, want ErrOtherProcess", err)
	}
	if err := s.Kill(t.Context(), 0, ""); !errors.Is(err, ErrNoProcess) {
		t.Errorf("helper without a number: got %v, want ErrNoProcess", err)
	}
	if cmd.Process.Signal(unix.Signal(0)) != nil {
		t.Error("it is dead")
	}
	if _, err := OpenProcess(Claim{PID: 1 << 30}); err == nil {
		t.Error("a process that does not exist was opened")
	}
}

func TestPreparedProcessIsNotItsSuccessor(t *testing.T) {
	cmd := start(t)
	s := NewRedis(NewUnits(hclog.NewNullLogger()), "")
	defer s.Close()
	if err := s.Prepare(t.Context(), Claim{PID: cmd.Process.Pid, Executable: "sleep"}); err != nil {
		t.Fatal(err)
	}
	cmd.Process.Kill()
	cmd.Wait()
	// Its number may be somebody else's by now; the pidfd is not.
	if err := s.Kill(t.Context(), 0, ""); err != nil {
		t.Errorf("kill of a dead process: %v", err)
	}
}

func TestParseStatSurvivesNames(t *testing.T) {
	stat := "7 (a) b (c) S 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 4200 20 21"
	name, started, err := parseStat(stat)
	if err != nil || name != "a) b (c" || started != 42*time.Second {
		t.Errorf("got %q, %v, %v", name, started, err)
	}
	for _, bad := range []string{"", "7 S 1", "7 (a", "7 (a) S 1 2"} {
		if _, _, err := parseStat(bad); err == nil {
			t.Errorf("%q is accepted", bad)
		}
	}
}

func TestUnitOfAProcess(t *testing.T) {
	for text, want := range map[string]string{
		"0::/system.slice/redis-server.service\n":                                                        "redis-server.service",
		"0::/system.slice/system-redis\\x2dserver.slice/redis-server@second.service\n":                   "redis-server@second.service",
		"0::/system.slice/redis.service/sub.service/x\n":                                                 "redis.service",
		"12:memory:/other.service\n1:name=systemd:/system.slice/redis.service\n0::/\n":                   "redis.service",
		"0::/user.slice/user-1000.slice/user@1000.service/app.slice/redis.service\n":                     "",
		"0::/user.slice/user-1000.slice/session-1.scope\n":                                               "",
		"0::/system.slice/docker-0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef.scope": "",
		"": "",
	} {
		if got := UnitOf(text); got != want {
			t.Errorf("%q: got %q, want %q", text, got, want)
		}
	}
}
