package booted

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

const (
	defaultSuite = "bookworm"
	// recipe is part of a root's name: raise it when what a root contains
	// changes.
	recipe = "2"
	// buildTimeout bounds the making of a root: some 45 s with a near mirror, and
	// a quarter of an hour on a machine that is starved.
	buildTimeout = 25 * time.Minute
)

// basePackages is what every root has.
func basePackages() []string {
	return []string{"systemd-sysv", "dbus", "iproute2", "procps", "redis-server", "redis-sentinel"}
}

// cacheDir is .cache/booted of the repository that the working directory is in.
func cacheDir() (string, error) {
	dir, err := os.Getwd()
	if err != nil {
		return "", fmt.Errorf("find repository: %w", err)
	}
	for {
		if _, err := os.Stat(filepath.Join(dir, "go.mod")); err == nil {
			return filepath.Join(dir, ".cache", "booted"), nil
		}
		parent := filepath.Dir(dir)
		if parent == dir {
			return "", errors.New("find repository: no go.mod above the working directory")
		}
		dir = parent
	}
}

// Root returns the directory of the root for a Debian suite ("": bookworm) with
// packages beside the base ones, and makes it if it is not there. Only one
// process makes it; the others wait.
func Root(ctx context.Context, suite string, packages ...string) (string, error) {
	cache, err := cacheDir()
	if err != nil {
		return "", err
	}
	if suite == "" {
		suite = defaultSuite
	}
	all := append(basePackages(), packages...)
	slices.Sort(all)
	all = slices.Compact(all)
	sum := sha256.Sum256([]byte(recipe + " " + strings.Join(all, " ")))
	root := filepath.Join(cache, "root-"+suite+"-"+hex.EncodeToString(sum[:4]))

	ctx, cancel := context.WithTimeout(ctx, buildTimeout)
	defer cancel()
	if err := os.MkdirAll(cache, 0o755); err != nil {
		return "", fmt.Errorf("make root cache: %w", err)
	}
	unlock, err := lock(ctx, root+".lock")
	if err != nil {
		return "", fmt.Errorf("lock root cache: %w", err)
	}
	defer unlock()
	if _, err := os.Stat(root); err == nil {
		return root, nil
	}
	unfinished := root + ".unfinished"
	if err := removeUnfinished(unfinished); err != nil {
		return "", err
	}
	if err := build(ctx, unfinished, suite, all); err != nil {
		return "", errors.Join(fmt.Errorf("build %s root: %w", suite, err), removeUnfinished(unfinished))
	}
	if err := os.Rename(unfinished, root); err != nil {
		return "", fmt.Errorf("finish root: %w", err)
	}
	return root, nil
}

// removeUnfinished removes what an interrupted build left. A debootstrap that
// was killed leaves /proc mounted in there, and what is mounted is not ours to
// remove.
func removeUnfinished(dir string) error {
	mounts, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil {
		return fmt.Errorf("remove unfinished root: %w", err)
	}
	for _, line := range slices.Backward(strings.Split(string(mounts), "\n")) { // the newest first
		if f := strings.Fields(line); len(f) > 4 && strings.HasPrefix(f[4], dir+"/") {
			if err := unix.Unmount(f[4], unix.MNT_DETACH); err != nil {
				return fmt.Errorf("remove unfinished root: unmount %s: %w", f[4], err)
			}
		}
	}
	if err := os.RemoveAll(dir); err != nil {
		return fmt.Errorf("remove unfinished root: %w", err)
	}
	return nil
}

func build(ctx context.Context, dir, suite string, packages []string) error {
	err := runTool(ctx, "debootstrap", "--variant=minbase", "--include="+strings.Join(packages, ","), suite, dir) // from its own mirror
	if err != nil {
		return err
	}
	// A host boots bare: what it shall run is the test's to start.
	err = runTool(ctx, "systemctl", "--root="+dir, "--quiet", "disable",
		"redis-server.service", "redis-sentinel.service",
		"apt-daily.timer", "apt-daily-upgrade.timer", "dpkg-db-backup.timer", "e2scrub_all.timer", "fstrim.timer")
	if err != nil {
		return err
	}
	err = runTool(ctx, "systemctl", "--root="+dir, "--quiet", "mask",
		"systemd-networkd.service", "systemd-networkd.socket", "systemd-timesyncd.service", "console-getty.service")
	if err != nil {
		return err
	}
	// Each host gets ids of its own; a shared one would make all of them the
	// same machine to D-Bus and the journal.
	for _, id := range []string{"etc/machine-id", "var/lib/dbus/machine-id"} {
		if err := os.Remove(filepath.Join(dir, id)); err != nil && !errors.Is(err, os.ErrNotExist) {
			return fmt.Errorf("remove machine id: %w", err)
		}
	}
	archives, err := filepath.Glob(filepath.Join(dir, "var/cache/apt/archives/*.deb"))
	if err != nil {
		return fmt.Errorf("list package archives: %w", err)
	}
	for _, archive := range archives {
		if err := os.Remove(archive); err != nil {
			return fmt.Errorf("remove package archive: %w", err)
		}
	}
	return nil
}

// lock takes an exclusive lock on the file at path, or gives up when ctx ends.
// The kernel drops it when this process dies.
func lock(ctx context.Context, path string) (unlock func(), err error) {
	f, err := os.OpenFile(path, os.O_CREATE|os.O_RDWR|unix.O_CLOEXEC, 0o644)
	if err != nil {
		return nil, err
	}
	for {
		err := unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB)
		if err == nil {
			return func() { f.Close() }, nil
		}
		if !errors.Is(err, unix.EWOULDBLOCK) && !errors.Is(err, unix.EINTR) {
			f.Close()
			return nil, fmt.Errorf("lock %s: %w", path, err)
		}
		if err := pause(ctx, 200*time.Millisecond); err != nil {
			f.Close()
			return nil, fmt.Errorf("lock %s: %w", path, err)
		}
	}
}

// runTool runs a program of the machine to its end; its output goes into the
// error.
func runTool(ctx context.Context, name string, args ...string) error {
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.SysProcAttr = &unix.SysProcAttr{Pdeathsig: unix.SIGKILL}
	cmd.Env = append(os.Environ(), "LC_ALL=C", "DEBIAN_FRONTEND=noninteractive")
	cmd.WaitDelay = 2 * time.Second
	out, err := cmd.CombinedOutput()
	if err != nil {
		return fmt.Errorf("run %s: %w: %s", name, err, tail(string(out)))
	}
	return nil
}

// tail is the last lines of a program's output.
func tail(out string) string {
	lines := strings.Split(strings.TrimSpace(out), "\n")
	return strings.Join(lines[max(0, len(lines)-12):], "\n")
}

// pause waits for d or for ctx to end.
func pause(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return context.Cause(ctx)
	case <-timer.C:
		return nil
	}
}
