package booted

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

// cgroup is the directory of a cgroup2 group. Only its core files are used
// (kill, freeze, events, procs): no controller needs to be there.
type cgroup string

// callersCgroup is the group this process is in.
func callersCgroup() (cgroup, error) {
	mounts, err := os.ReadFile("/proc/self/mounts")
	if err != nil {
		return "", fmt.Errorf("find cgroup2: %w", err)
	}
	own, err := os.ReadFile("/proc/self/cgroup")
	if err != nil {
		return "", fmt.Errorf("find own cgroup: %w", err)
	}
	var mount, path string
	for line := range strings.Lines(string(mounts)) {
		if fields := strings.Fields(line); len(fields) > 2 && fields[2] == "cgroup2" {
			mount = fields[1]
			break
		}
	}
	for line := range strings.Lines(string(own)) {
		if p, ok := strings.CutPrefix(strings.TrimSpace(line), "0::"); ok {
			path = p
		}
	}
	if mount == "" || path == "" {
		return "", errors.New("find own cgroup: no cgroup2 is mounted")
	}
	return cgroup(filepath.Join(mount, path)), nil
}

// child makes the group name below g.
func (g cgroup) child(name string) (cgroup, error) {
	c := cgroup(filepath.Join(string(g), name))
	if err := os.Mkdir(string(c), 0o755); err != nil {
		return "", fmt.Errorf("make cgroup: %w", err)
	}
	return c, nil
}

func (g cgroup) set(file, value string) error {
	if err := os.WriteFile(filepath.Join(string(g), file), []byte(value), 0); err != nil {
		return fmt.Errorf("set cgroup: %w", err)
	}
	return nil
}

// await waits until cgroup.events says want ("populated 0", "frozen 1").
func (g cgroup) await(ctx context.Context, want string) error {
	for {
		events, err := os.ReadFile(filepath.Join(string(g), "cgroup.events"))
		if err != nil {
			return fmt.Errorf("await cgroup %q: %w", want, err)
		}
		if slices.Contains(strings.Split(strings.TrimSpace(string(events)), "\n"), want) {
			return nil
		}
		if err := pause(ctx, 2*time.Millisecond); err != nil {
			return fmt.Errorf("await cgroup %q: %w", want, err)
		}
	}
}

// kill kills every process in the group and below, frozen or not, all at once.
func (g cgroup) kill(ctx context.Context) error {
	if err := g.set("cgroup.kill", "1"); err != nil {
		return err
	}
	return g.await(ctx, "populated 0")
}

// remove kills what is left in the group and takes it and all below away. A
// group that is not there is no error.
func (g cgroup) remove(ctx context.Context) error {
	if _, err := os.Stat(string(g)); errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err := g.kill(ctx); err != nil {
		return err
	}
	var groups []string
	err := filepath.WalkDir(string(g), func(path string, d fs.DirEntry, err error) error {
		if err == nil && d.IsDir() {
			groups = append(groups, path)
		}
		if errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		return err
	})
	if err != nil {
		return fmt.Errorf("list cgroup: %w", err)
	}
	for _, path := range slices.Backward(groups) { // the innermost first
		if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return fmt.Errorf("remove cgroup: %w", err)
		}
	}
	return nil
}

// procs lists the processes of the group and of all below it.
func (g cgroup) procs() ([]string, error) {
	var pids []string
	err := filepath.WalkDir(string(g), func(path string, d fs.DirEntry, err error) error {
		if errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		if err != nil || d.Name() != "cgroup.procs" {
			return err
		}
		data, err := os.ReadFile(path)
		if errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		pids = append(pids, strings.Fields(string(data))...)
		return err
	})
	return pids, err
}
