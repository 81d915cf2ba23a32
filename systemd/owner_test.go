package systemd

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/hashicorp/go-hclog"
	"golang.org/x/sys/unix"

	"github.com/redis-watchdog/redis-watchdog/lab/need"
)

// group makes a control group of this name in the hierarchy that units are found
// by, and removes it.
func group(t *testing.T, name string) string {
	t.Helper()
	for _, mount := range []string{"/sys/fs/cgroup/systemd", "/sys/fs/cgroup/unified", "/sys/fs/cgroup"} {
		dir := filepath.Join(mount, fmt.Sprintf("test-%d-%s", os.Getpid(), name))
		if _, err := os.Stat(filepath.Join(mount, "cgroup.procs")); err != nil || os.Mkdir(dir, 0o755) != nil {
			continue
		}
		t.Cleanup(func() {
			for range 100 { // until the kernel has let go of the processes
				if os.Remove(dir) == nil {
					return
				}
				time.Sleep(10 * time.Millisecond)
			}
			t.Errorf("%s is left", dir)
		})
		return dir
	}
	t.Fatal("no control group can be made here")
	return ""
}

// in starts a script in a control group; it prints the number of the process
// that is meant.
func in(t *testing.T, group, script string) int {
	t.Helper()
	cmd := exec.Command("sh", "-c", "echo $$ > "+group+"/cgroup.procs; "+script)
	cmd.SysProcAttr = &unix.SysProcAttr{Setpgid: true, Pdeathsig: unix.SIGKILL}
	out, err := cmd.StdoutPipe()
	if err == nil {
		err = cmd.Start()
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = unix.Kill(-cmd.Process.Pid, unix.SIGKILL) // what it started too
		_ = cmd.Wait()
	})
	var pid int
	if _, err := fmt.Fscan(out, &pid); err != nil {
		t.Fatal(err)
	}
	return pid
}

// Whose unit is it: by the kernel alone, with processes that sleep.
func TestUnitThatRunsMoreIsNobodysOwn(t *testing.T) {
	need.Root(t)
	const sleep = "sleep 600"
	for name, c := range map[string]struct {
		script string
		shared bool
	}{
		"itself":                          {"echo $$; exec " + sleep, false},
		"a wrapper":                       {sleep + " & echo $!; wait", false},
		"a supervisor of it alone":        {"sh -c '" + sleep + " & echo $!; wait' ; true", false},
		"with a child of its own":         {"sh -c 'echo $$; " + sleep + " & wait'; true", false},
		"a supervisor of two":             {sleep + " & " + sleep + " & echo $!; wait", true},
		"cron, which let go of it":        {sleep + " & (" + sleep + " & echo $!); wait", true},
		"a supervisor of another program": {"sh -c '" + sleep + "; true' & " + sleep + " & echo $!; wait", true},
	} {
		dir := group(t, strings.ReplaceAll(name, " ", "-")+".service")
		pid := in(t, dir, c.script)
		unit, err := Alone(pid)
		if errors.Is(err, ErrShared) != c.shared || err != nil && !c.shared || unit != filepath.Base(dir) {
			t.Errorf("%s: got %q, %v", name, unit, err)
		}
	}
	scope := group(t, "docker-x.scope")
	if unit, err := Alone(in(t, scope, "echo $$; exec "+sleep)); unit != "" || err != nil {
		t.Errorf("a container's scope: got %q, %v", unit, err)
	}
	if _, err := Alone(1 << 30); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("a process that is not there: %v", err)
	}
}

// A Redis that shares its unit is killed alone.
func TestSharedUnitIsNotKilled(t *testing.T) {
	need.Root(t)
	dir := group(t, "supervisor.service")
	pid := in(t, dir, "sleep 600 & sleep 600 & echo $!; wait")
	for begun := time.Now(); ; time.Sleep(time.Millisecond) { // the shell forks first, and becomes the other program then
		name, err := os.ReadFile(fmt.Sprintf("/proc/%d/comm", pid))
		if strings.TrimSpace(string(name)) == "sleep" {
			break
		}
		if err != nil || time.Since(begun) > time.Minute {
			t.Fatalf("the process is called %q: %v", name, err)
		}
	}
	s := NewRedis(NewUnits(hclog.NewNullLogger()), filepath.Base(dir)) // there is no such unit, nor a manager: neither is asked
	defer s.Close()
	if err := s.prepareProcess(Claim{PID: pid, Executable: "sleep"}); err != nil {
		t.Fatal(err)
	}
	if err := s.Kill(t.Context(), pid, ""); err != nil {
		t.Fatal(err)
	}
	for begun := time.Now(); ; time.Sleep(time.Millisecond) { // the killed one is there until the shell has waited for it
		left, err := os.ReadFile(filepath.Join(dir, "cgroup.procs"))
		words := strings.Fields(string(left))
		if err == nil && len(words) == 2 {
			break
		}
		if err != nil || len(words) < 2 || time.Since(begun) > time.Minute {
			t.Fatalf("left of it: %v, %v; want the supervisor and the other", words, err)
		}
	}
}
