package gather

// What only the host of a Redis shows.

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/redis-watchdog/redis-watchdog/preflight"
)

// HostConfig is where to look. Everything is read, and nothing but Unit asks
// anybody.
type HostConfig struct {
	Root string // of the file system: for tests. Empty: /
	PID  int    // of Redis on this host; 0: not known
	// LogFile is Redis' log, absolute; empty: it logs elsewhere (syslog, the
	// journal) and its warnings are not read.
	LogFile  string
	UnitName string // of systemd that runs Redis; empty: none is configured
	// Unit says what Redis' supervisor does when it ends, as systemd's Restart=
	// has it ("no", "always", "on-failure", …), and how long it lets it load (zero:
	// as long as it takes). Nil, or an error: not known.
	Unit func(ctx context.Context) (restart string, startTimeout time.Duration, err error)
	// Synchronised is whether the kernel's clock is disciplined. Nil: adjtimex
	// says.
	Synchronised func() (bool, error)
}

// errNoPID is a process that nobody named.
var errNoPID = errors.New("the process of Redis is not known")

const maxFile = 256 << 10 // no file in /proc that is read here is larger

// Host reads what the host shows. What cannot be read is a Gap.
func Host(ctx context.Context, c HostConfig) (*preflight.Host, []preflight.Gap) {
	h := &preflight.Host{
		Somaxconn: -1, FilesLimit: -1, RedisSwapped: -1, MemoryTotal: -1, MemoryAvailable: -1,
		SwapTotal: -1, SwapUsed: -1, Restarts: "unknown", Unit: c.UnitName, LogFile: c.LogFile, Now: time.Now(),
	}
	r := hostReader{c: c, h: h}
	r.try("host.memory", r.memory)
	r.try("host.overcommit", r.overcommit)
	r.try("host.thp", r.thp)
	r.try("host.somaxconn", r.somaxconn)
	r.try("host.files", r.files)
	r.try("host.swap", r.swapped)
	r.try("host.clock", r.clock)
	r.try("host.restarts", func() error { return r.restarts(ctx) })
	r.try("host.log", r.log)
	return h, r.gaps
}

// Memory is how much of it the Redis with that process id may use and how much of
// that is available, bytes: the host's, or what its cgroup leaves it.
func Memory(pid int) (total, available int64, err error) {
	r := hostReader{c: HostConfig{PID: pid}, h: &preflight.Host{}}
	err = r.memory()
	return r.h.MemoryTotal, r.h.MemoryAvailable, err
}

type hostReader struct {
	c    HostConfig
	h    *preflight.Host
	gaps []preflight.Gap
}

func (r *hostReader) try(what string, read func() error) {
	if err := read(); err != nil {
		r.gaps = append(r.gaps, preflight.Gap{What: what, Why: err.Error()})
	}
}

func (r *hostReader) read(path string) (string, error) {
	f, err := os.Open(filepath.Join("/", r.c.Root, path))
	if err != nil {
		return "", err
	}
	defer f.Close()
	b, err := io.ReadAll(io.LimitReader(f, maxFile))
	return string(b), err
}

// process is a file of Redis' process.
func (r *hostReader) process(name string) (string, error) {
	if r.c.PID <= 0 {
		return "", errNoPID
	}
	return r.read(fmt.Sprintf("proc/%d/%s", r.c.PID, name))
}

func (r *hostReader) memory() error {
	text, err := r.read("proc/meminfo")
	if err != nil {
		return err
	}
	kilobytes := map[string]int64{}
	for line := range strings.Lines(text) {
		name, rest, _ := strings.Cut(line, ":")
		if words := strings.Fields(rest); len(words) > 0 {
			if n, err := strconv.ParseInt(words[0], 10, 64); err == nil {
				kilobytes[name] = n << 10
			}
		}
	}
	total, ok := kilobytes["MemTotal"]
	available, ok2 := kilobytes["MemAvailable"]
	if !ok || !ok2 {
		return errors.New("meminfo names no MemTotal or no MemAvailable")
	}
	r.h.MemoryTotal, r.h.MemoryAvailable = total, available
	r.h.SwapTotal, r.h.SwapUsed = kilobytes["SwapTotal"], kilobytes["SwapTotal"]-kilobytes["SwapFree"]
	if limit, used, ok := r.cgroup(); ok && limit < total {
		r.h.MemoryTotal = limit
		r.h.MemoryAvailable = min(available, max(limit-used, 0))
	}
	return nil
}

// cgroup is the tightest limit around Redis, and what is used below it without
// the page cache that would be given up; false: there is none.
func (r *hostReader) cgroup() (limit, used int64, ok bool) {
	text, err := r.process("cgroup")
	if err != nil {
		return 0, 0, false
	}
	for line := range strings.Lines(text) {
		parts := strings.SplitN(strings.TrimSpace(line), ":", 3)
		if len(parts) != 3 {
			continue
		}
		mount, max, current, inactive := "sys/fs/cgroup", "memory.max", "memory.current", "inactive_file"
		switch {
		case parts[0] == "0":
		case strings.Contains(","+parts[1]+",", ",memory,"):
			mount, max, current, inactive = "sys/fs/cgroup/memory", "memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file"
		default:
			continue
		}
		for dir := filepath.Clean("/" + parts[2]); ; dir = filepath.Dir(dir) {
			if l, err := r.bytesIn(mount, dir, max); err == nil && (!ok || l < limit) {
				u, _ := r.bytesIn(mount, dir, current)
				limit, used, ok = l, u-r.stat(filepath.Join(mount, dir, "memory.stat"), inactive), true
			}
			if dir == "/" {
				break
			}
		}
	}
	return limit, used, ok
}

func (r *hostReader) bytesIn(parts ...string) (int64, error) {
	text, err := r.read(filepath.Join(parts...))
	if err != nil {
		return 0, err
	}
	return strconv.ParseInt(strings.TrimSpace(text), 10, 64) // "max" is no number: no limit
}

func (r *hostReader) stat(path, key string) int64 {
	text, err := r.read(path)
	if err != nil {
		return 0
	}
	for line := range strings.Lines(text) {
		if name, value, _ := strings.Cut(strings.TrimSpace(line), " "); name == key {
			return number(value, 0)
		}
	}
	return 0
}

func (r *hostReader) overcommit() error {
	text, err := r.read("proc/sys/vm/overcommit_memory")
	r.h.Overcommit = strings.TrimSpace(text)
	return err
}

func (r *hostReader) thp() error {
	text, err := r.read("sys/kernel/mm/transparent_hugepage/enabled")
	if errors.Is(err, os.ErrNotExist) {
		r.h.THP = "never" // a kernel without it
		return nil
	}
	_, word, _ := strings.Cut(text, "[")
	r.h.THP, _, _ = strings.Cut(word, "]")
	return err
}

// somaxconn is read in the network namespace of Redis, which is where its
// process sees it: /proc/PID/root would be another's mount of our own.
func (r *hostReader) somaxconn() error {
	if r.c.Root == "" && r.c.PID > 0 && !sameNetwork(r.c.PID) {
		return errors.New("Redis runs in a network namespace of its own")
	}
	text, err := r.read("proc/sys/net/core/somaxconn")
	if err == nil {
		r.h.Somaxconn, err = strconv.ParseInt(strings.TrimSpace(text), 10, 64)
	}
	return err
}

func sameNetwork(pid int) bool {
	ours, err := os.Readlink("/proc/self/ns/net")
	theirs, err2 := os.Readlink(fmt.Sprintf("/proc/%d/ns/net", pid))
	return err != nil || err2 != nil || ours == theirs
}

func (r *hostReader) files() error {
	text, err := r.process("limits")
	if err != nil {
		return err
	}
	for line := range strings.Lines(text) {
		if rest, ok := strings.CutPrefix(line, "Max open files"); ok {
			words := strings.Fields(rest)
			if len(words) > 0 && words[0] == "unlimited" {
				r.h.FilesLimit = 1 << 62
				return nil
			}
			if len(words) > 0 {
				r.h.FilesLimit, err = strconv.ParseInt(words[0], 10, 64)
				return err
			}
		}
	}
	return errors.New("limits name no open files")
}

func (r *hostReader) swapped() error {
	text, err := r.process("status")
	if err != nil {
		return err
	}
	for line := range strings.Lines(text) {
		if rest, ok := strings.CutPrefix(line, "VmSwap:"); ok {
			r.h.RedisSwapped = number(strings.TrimSuffix(strings.TrimSpace(rest), " kB"), -1) << 10
			return nil
		}
	}
	return errors.New("status names no VmSwap")
}

func (r *hostReader) clock() error {
	synchronised := r.c.Synchronised
	if synchronised == nil {
		synchronised = disciplined
	}
	ok, err := synchronised()
	r.h.ClockUnsynchronised = err == nil && !ok
	return err
}

// disciplined asks the kernel; it changes nothing, which needs no right.
func disciplined() (bool, error) {
	var t unix.Timex
	if _, err := unix.Adjtimex(&t); err != nil {
		return false, fmt.Errorf("adjtimex: %w", err)
	}
	return t.Status&unix.STA_UNSYNC == 0, nil
}

func (r *hostReader) restarts(ctx context.Context) error {
	if r.c.Unit == nil {
		return errors.New("no unit is configured (nodes[].unit)")
	}
	word, timeout, err := r.c.Unit(ctx)
	switch {
	case err != nil:
		return err
	case word == "":
		return errors.New("the unit names no Restart=")
	case word == "no":
		r.h.Restarts = "no"
	default:
		r.h.Restarts = "yes"
	}
	r.h.StartTimeout = timeout.Seconds()
	if timeout == 0 {
		r.h.StartTimeout = -1
	}
	return nil
}

func (r *hostReader) log() error {
	if r.c.LogFile == "" {
		return nil // there is none to read, which is no Gap: LogFile says so
	}
	// Without O_NONBLOCK a pipe would keep us until somebody writes to it.
	f, err := os.OpenFile(filepath.Join("/", r.c.Root, r.c.LogFile), os.O_RDONLY|unix.O_NONBLOCK, 0)
	if err != nil {
		return err
	}
	defer f.Close()
	text, err := tail(f, logTail)
	if err != nil {
		return err
	}
	if bytes.IndexByte(text, 0) >= 0 {
		return fmt.Errorf("%s is no text", r.c.LogFile)
	}
	r.h.Log = warnings(string(text))
	return nil
}
