package booted

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strconv"
	"time"

	"golang.org/x/sys/unix"
)

// Exec runs a command on the host as root and returns its standard output. An
// error carries what it wrote to standard error. When ctx ends, the command and
// all its children are killed.
func (h *Host) Exec(ctx context.Context, args ...string) (string, error) {
	return h.exec(ctx, nil, args...)
}

// Sh runs a shell script on the host.
func (h *Host) Sh(ctx context.Context, script string) (string, error) {
	return h.exec(ctx, nil, "/bin/sh", "-euc", script)
}

// WriteFile writes a file on the host, with the directories above it.
func (h *Host) WriteFile(ctx context.Context, path string, mode os.FileMode, content []byte) error {
	perm := strconv.FormatUint(uint64(mode.Perm()), 8)
	_, err := h.exec(ctx, bytes.NewReader(content), "install", "-D", "-m", perm, "/dev/stdin", path)
	if err != nil {
		return fmt.Errorf("write %s: %w", path, err)
	}
	return nil
}

// CopyIn copies a file of the machine to path on the host, with its mode.
func (h *Host) CopyIn(ctx context.Context, file, path string) error {
	f, err := os.Open(file)
	if err != nil {
		return fmt.Errorf("copy in: %w", err)
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return fmt.Errorf("copy in: %w", err)
	}
	perm := strconv.FormatUint(uint64(info.Mode().Perm()), 8)
	if _, err := h.exec(ctx, f, "install", "-D", "-m", perm, "/dev/stdin", path); err != nil {
		return fmt.Errorf("copy %s in to %s: %w", file, path, err)
	}
	return nil
}

// Journal is what the units wrote in this boot, and what systemd wrote about
// them; all of the journal when none is named.
func (h *Host) Journal(ctx context.Context, units ...string) (string, error) {
	args := []string{"journalctl", "--boot", "--no-pager", "--output=short-precise"}
	for _, u := range units {
		args = append(args, "--unit="+u)
	}
	return h.Exec(ctx, args...)
}

// exec runs a command in the host's namespaces and in a cgroup of its own
// inside the host's: it is frozen and dies with the host.
func (h *Host) exec(ctx context.Context, stdin io.Reader, args ...string) (string, error) {
	m := h.running()
	h.mu.Lock()
	leader := ""
	if m != nil {
		leader = m.leader
	}
	h.execs++
	name := "exec-" + strconv.Itoa(h.execs)
	h.mu.Unlock()
	if leader == "" {
		return "", ErrDown
	}
	group, err := h.cgroup.child(name)
	if err != nil {
		return "", err
	}
	defer func() {
		ctx, cancel := context.WithTimeout(context.Background(), stopTimeout)
		defer cancel()
		_ = group.remove(ctx) // what stays is removed with the host
	}()
	dir, err := os.Open(string(group))
	if err != nil {
		return "", fmt.Errorf("open cgroup: %w", err)
	}
	defer dir.Close()

	enter := []string{"--target", leader, "--mount", "--uts", "--ipc", "--net", "--pid", "--root", "--wd", "--"}
	cmd := exec.CommandContext(ctx, "nsenter", append(enter, args...)...)
	cmd.Env = []string{"PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "HOME=/root", "LC_ALL=C", "SYSTEMD_PAGER="}
	cmd.SysProcAttr = &unix.SysProcAttr{Pdeathsig: unix.SIGKILL, UseCgroupFD: true, CgroupFD: int(dir.Fd())}
	// nsenter has a child in the host: killing nsenter alone would leave it.
	cmd.Cancel = func() error { return group.set("cgroup.kill", "1") }
	cmd.WaitDelay = 2 * time.Second
	cmd.Stdin = stdin
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	if err := cmd.Run(); err != nil {
		if ctx.Err() != nil {
			err = errors.Join(context.Cause(ctx), err)
		}
		return stdout.String(), fmt.Errorf("run %q on %s: %w: %s", args, h.Name, err, tail(stderr.String()))
	}
	return stdout.String(), nil
}
