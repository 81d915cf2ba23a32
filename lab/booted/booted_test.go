package booted

import (
	"context"
	"errors"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/redis-watchdog/redis-watchdog/lab/need"
)

func TestHostKeepsItsDiskOverPowerCutAndReboot(t *testing.T) {
	ctx := t.Context()
	h := Boot(t, "disk", Options{})
	if err := h.WriteFile(ctx, "/var/lib/some/where", 0o640, []byte("kept")); err != nil {
		t.Fatal(err)
	}
	before := bootID(t, h)
	if err := h.PowerCut(); err != nil {
		t.Fatal(err)
	}
	if _, err := h.Exec(ctx, "true"); !errors.Is(err, ErrDown) {
		t.Errorf("command after the power cut: got %v, want ErrDown", err)
	}
	if err := h.PowerOn(ctx); err != nil {
		t.Fatal(err)
	}
	checkFile(t, h)
	if after := bootID(t, h); after == before {
		t.Errorf("the host did not boot again: process 1 is still %s", after)
	}
	before = bootID(t, h)
	if err := h.Reboot(ctx); err != nil {
		t.Fatal(err)
	}
	checkFile(t, h)
	if after := bootID(t, h); after == before {
		t.Errorf("the host did not reboot: process 1 is still %s", after)
	}
}

func checkFile(t *testing.T, h *Host) {
	t.Helper()
	got, err := h.Sh(t.Context(), "stat -c %a /var/lib/some/where; cat /var/lib/some/where")
	if err != nil || got != "640\nkept" {
		t.Errorf("file on disk: got %q, %v", got, err)
	}
}

// bootID is the start of the host's process 1: the kernel's boot id is the
// machine's.
func bootID(t *testing.T, h *Host) string {
	t.Helper()
	mark, err := ownerMark(atoi(t, h.running().leader))
	if err != nil {
		t.Fatal(err)
	}
	return mark
}

func TestFreezeStopsAllAndThawGoesOn(t *testing.T) {
	ctx := t.Context()
	h := Boot(t, "frozen", Options{})
	if _, err := h.Sh(ctx, "systemd-run --quiet --unit=tick sh -c 'while :; do echo >>/run/ticks; sleep 0.05; done'"); err != nil {
		t.Fatal(err)
	}
	ticks := "/proc/" + h.running().leader + "/root/run/ticks"
	grows := func() bool {
		size := fileSize(ticks)
		for range 40 {
			if pause(ctx, 20*time.Millisecond) != nil || fileSize(ticks) > size {
				return true
			}
		}
		return false
	}
	if !grows() {
		t.Fatal("nothing ticks on the host")
	}
	if err := h.Freeze(ctx); err != nil {
		t.Fatal(err)
	}
	if grows() {
		t.Error("a frozen host ticks")
	}
	if err := h.Thaw(ctx); err != nil {
		t.Fatal(err)
	}
	if !grows() {
		t.Error("a thawed host does not tick")
	}
}

func TestExecEndsWithItsContext(t *testing.T) {
	h := Boot(t, "exec", Options{})
	ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
	defer cancel()
	if _, err := h.Exec(ctx, "sh", "-c", "sleep 1000 & sleep 1000"); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("got %v, want the deadline", err)
	}
	if out, err := h.Sh(t.Context(), "pgrep -c -x sleep || true"); err != nil || strings.TrimSpace(out) != "0" {
		t.Errorf("sleeps left on the host: %q, %v", out, err)
	}
	if _, err := h.Exec(t.Context(), "ls", "/nowhere"); err == nil || !strings.Contains(err.Error(), "No such file") {
		t.Errorf("error of a failed command: got %v, want what it wrote", err)
	}
}

// A namespace that somebody else made and watches over, as package lab does.
func TestHostLivesInTheGivenNetwork(t *testing.T) {
	holder := exec.Command("unshare", "--net", "sh", "-c", "set -e; ip link set lo up; ip link add eth-test type veth peer name eth-peer; echo up; exec sleep 1000")
	holder.SysProcAttr = &unix.SysProcAttr{Pdeathsig: unix.SIGKILL}
	out, err := holder.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := holder.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { holder.Process.Kill(); holder.Wait() })
	if _, err := out.Read(make([]byte, 8)); err != nil {
		t.Fatal(err)
	}
	h := Boot(t, "net", Options{Netns: "/proc/" + strconv.Itoa(holder.Process.Pid) + "/ns/net"})
	links, err := h.Exec(t.Context(), "ls", "/sys/class/net")
	if err != nil || !strings.Contains(links, "eth-test") {
		t.Errorf("links on the host: %q, %v; want eth-test", links, err)
	}
}

// The test runs itself as an owner that is killed with a host up.
func TestNothingIsLeftOfADeadOwner(t *testing.T) {
	if os.Getenv("BOOTED_OWNER") != "" {
		h, err := Start(t.Context(), "orphan", Options{})
		if err != nil {
			t.Fatal(err)
		}
		os.Stdout.WriteString("\n" + h.dir + "\n" + string(h.cgroup) + "\n")
		select {}
	}
	need.Root(t)
	owner := exec.Command(os.Args[0], "-test.run=^TestNothingIsLeftOfADeadOwner$")
	owner.Env = append(os.Environ(), "BOOTED_OWNER=1")
	owner.SysProcAttr = &unix.SysProcAttr{Pdeathsig: unix.SIGKILL}
	out, err := owner.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := owner.Start(); err != nil {
		t.Fatal(err)
	}
	var said []byte
	for strings.Count(string(said), "\n") < 3 {
		buf := make([]byte, 4096)
		n, err := out.Read(buf)
		said = append(said, buf[:n]...)
		if err != nil {
			t.Fatalf("owner ended: %v: %s", err, said)
		}
	}
	paths := strings.Split(strings.TrimSpace(string(said)), "\n")
	dir, group := paths[0], cgroup(paths[1])
	owner.Process.Kill()
	owner.Wait()
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	for _, path := range []string{dir, string(group)} {
		for !errors.Is(stat(path), os.ErrNotExist) {
			if pause(ctx, 20*time.Millisecond) != nil {
				t.Errorf("%s outlives its owner", path)
				break
			}
		}
	}
}

func stat(path string) error {
	_, err := os.Stat(path)
	return err
}

func atoi(t *testing.T, s string) int {
	t.Helper()
	n, err := strconv.Atoi(s)
	if err != nil {
		t.Fatal(err)
	}
	return n
}

func fileSize(path string) int64 {
	info, err := os.Stat(path)
	if err != nil {
		return 0
	}
	return info.Size()
}
