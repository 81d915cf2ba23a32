package lab_test

import (
	"bufio"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/redis-watchdog/redis-watchdog/lab"
)

const ownerVariable = "LAB_TEST_OWNER"

// TestOwner is no test: it is the process that TestNothingRemainsOfADeadOwner
// kills.
func TestOwner(t *testing.T) {
	if os.Getenv(ownerVariable) == "" {
		return
	}
	l := lab.New(t)
	a, b := l.Host("a"), l.Host("b")
	master := a.Redis(lab.RedisConfig{})
	replica := b.Redis(lab.RedisConfig{ReplicaOf: master})
	// One that is stopped, and one whose child has no Pdeathsig.
	replica.Stop()
	shell := b.Start("shell", "sh", "-c", "sleep 1000 & echo $! >child; wait")
	child := 0
	l.Eventually("the shell has a child", 10*time.Second, func() error {
		data, err := os.ReadFile(filepath.Join(shell.Dir, "child"))
		if err != nil {
			return err
		}
		child, err = strconv.Atoi(strings.TrimSpace(string(data)))
		return err
	})
	l.CutBoth(a, b)
	fmt.Println("ready", l.Dir(), master.PID(), replica.PID(), shell.PID(), child)
	l.Pause(time.Minute)
}

func TestNothingRemainsOfADeadOwner(t *testing.T) {
	owner := exec.Command(os.Args[0], "-test.run=^TestOwner$", "-test.v")
	owner.Env = append(os.Environ(), ownerVariable+"=1", "LAB_KEEP=")
	owner.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	out, err := owner.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := owner.Start(); err != nil {
		t.Fatal(err)
	}
	defer owner.Wait()
	defer owner.Process.Kill()
	var dir string
	var pids []string
	for lines := bufio.NewScanner(out); lines.Scan(); {
		if words := strings.Fields(lines.Text()); len(words) > 0 && words[0] == "ready" {
			dir, pids = words[1], words[2:]
			break
		}
		t.Log(lines.Text())
	}
	if len(pids) != 4 {
		t.Fatal("the owner did not get ready")
	}
	networks := map[string]bool{}
	for _, pid := range pids {
		name, err := os.Readlink("/proc/" + pid + "/ns/net")
		if err != nil {
			t.Fatalf("process %s: %v", pid, err)
		}
		networks[name] = true
	}
	if len(networks) != 2 {
		t.Fatalf("networks of two hosts: got %v", networks)
	}

	if err := owner.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	deadline := time.Now().Add(20 * time.Second)
	for err := remains(dir, pids, networks); err != nil; err = remains(dir, pids, networks) {
		if time.Now().After(deadline) {
			t.Fatal(err)
		}
		<-time.After(20 * time.Millisecond)
	}
}

// remains says what is left of a lab.
func remains(dir string, pids []string, networks map[string]bool) error {
	if _, err := os.Stat(dir); !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("%s is still there", dir)
	}
	for _, pid := range pids {
		if _, err := os.Stat("/proc/" + pid); err == nil {
			return fmt.Errorf("process %s is still there", pid)
		}
	}
	// A network without a name lives by processes and by descriptors.
	links, _ := filepath.Glob("/proc/[0-9]*/ns/net")
	descriptors, _ := filepath.Glob("/proc/[0-9]*/fd/*")
	for _, link := range append(links, descriptors...) {
		if name, err := os.Readlink(link); err == nil && (networks[name] || strings.HasPrefix(name, dir)) {
			return fmt.Errorf("%s is still %s", link, name)
		}
	}
	command, _ := filepath.Glob("/proc/[0-9]*/cmdline")
	for _, file := range command {
		if data, err := os.ReadFile(file); err == nil && strings.Contains(string(data), dir) {
			return fmt.Errorf("%s is still %q", file, data)
		}
	}
	mounts, err := os.ReadFile("/proc/self/mountinfo")
	if err == nil && strings.Contains(string(mounts), dir) {
		return errors.New("a mount is still there")
	}
	return nil
}

func TestSweepRemovesWhatOwnerAndReaperLeft(t *testing.T) {
	dead := exec.Command("true")
	if err := dead.Run(); err != nil {
		t.Fatal(err)
	}
	root := t.TempDir()
	t.Setenv("TMPDIR", root)
	orphan := exec.Command("sleep", "1000")
	orphan.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
	if err := orphan.Start(); err != nil {
		t.Fatal(err)
	}
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", orphan.Process.Pid))
	if err != nil {
		t.Fatal(err)
	}
	write := func(name, text string) {
		path := filepath.Join(root, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	write("rwlab-1-left/owner", fmt.Sprintf("%d 12345\n", dead.Process.Pid))
	write("rwlab-1-left/a-sleep/pid", fmt.Sprintf("%d %s\n", orphan.Process.Pid, strings.Fields(string(stat))[21]))
	write("rwlab-1-left/a-stranger/pid", fmt.Sprintf("%d 1\n", os.Getpid()))
	write("rwlab-1-kept/timeline", "kept after a failure\n")

	if err := lab.Sweep(); err != nil {
		t.Fatal(err)
	}
	if err := orphan.Wait(); err == nil {
		t.Error("the orphan ended by itself")
	}
	if _, err := os.Stat(filepath.Join(root, "rwlab-1-left")); err == nil {
		t.Error("what was left is still there")
	}
	if _, err := os.Stat(filepath.Join(root, "rwlab-1-kept")); err != nil {
		t.Errorf("what was kept is gone: %v", err)
	}
}
