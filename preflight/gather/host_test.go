package gather_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/redis-watchdog/redis-watchdog/lab"
	"github.com/redis-watchdog/redis-watchdog/preflight"
	"github.com/redis-watchdog/redis-watchdog/preflight/gather"
)

// fixture is a host on paper.
func fixture(t *testing.T, files map[string]string) string {
	t.Helper()
	root := t.TempDir()
	for name, text := range files {
		path := filepath.Join(root, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return root
}

func whole() map[string]string {
	return map[string]string{
		"proc/meminfo":                               "MemTotal:       16000000 kB\nMemFree: 1 kB\nMemAvailable:    8000000 kB\nSwapTotal:  2000 kB\nSwapFree:  1500 kB\n",
		"proc/sys/vm/overcommit_memory":              "0\n",
		"proc/sys/net/core/somaxconn":                "4096\n",
		"sys/kernel/mm/transparent_hugepage/enabled": "always [madvise] never\n",
		"proc/42/cgroup":                             "0::/system.slice/redis.service\n",
		"proc/42/limits":                             "Limit Soft Hard Units\nMax open files            10032                65535                files\n",
		"proc/42/status":                             "Name: redis-server\nVmSwap:\t     12 kB\n",
		"sys/fs/cgroup/system.slice/memory.max":      "max\n",
		"var/log/redis.log":                          "1:M 24 Nov 2026 06:18:30.123 * Ready\n1:M 24 Nov 2026 06:18:31.456 # WARNING overcommit_memory is set to 0!\n",
	}
}

func config(root string) gather.HostConfig {
	return gather.HostConfig{
		Root: root, PID: 42, LogFile: "/var/log/redis.log", Synchronised: func() (bool, error) { return false, nil },
		UnitName: "redis.service", Unit: func(context.Context) (string, time.Duration, error) { return "on-failure", 90 * time.Second, nil },
	}
}

func TestHostIsReadWhole(t *testing.T) {
	h, gaps := gather.Host(t.Context(), config(fixture(t, whole())))
	without(t, gaps)
	at := time.Date(2026, 11, 24, 6, 18, 31, 456e6, time.Local)
	want := preflight.Host{
		MemoryTotal: 16000000 << 10, MemoryAvailable: 8000000 << 10, SwapTotal: 2000 << 10, SwapUsed: 500 << 10,
		Overcommit: "0", THP: "madvise", Somaxconn: 4096, FilesLimit: 10032, RedisSwapped: 12 << 10, ClockUnsynchronised: true,
		Restarts: "yes", StartTimeout: 90, Unit: "redis.service", LogFile: "/var/log/redis.log", Log: []preflight.LogLine{{At: at, Text: "WARNING overcommit_memory is set to 0!"}},
	}
	got := *h
	got.Now = time.Time{}
	if fmt.Sprintf("%+v", got) != fmt.Sprintf("%+v", want) {
		t.Errorf("got  %+v\nwant %+v", got, want)
	}
}

// The tightest of all cgroups around Redis is its memory.
func TestHostMemoryIsTheCgroups(t *testing.T) {
	for name, files := range map[string]map[string]string{
		"of the slice": {
			"sys/fs/cgroup/system.slice/memory.max": "4294967296\n", "sys/fs/cgroup/system.slice/memory.current": "3221225472\n",
			"sys/fs/cgroup/system.slice/memory.stat":              "anon 1\ninactive_file 1073741824\n",
			"sys/fs/cgroup/system.slice/redis.service/memory.max": "8589934592\n",
		},
		"of version 1": {
			"proc/42/cgroup": "5:cpu:/x\n4:memory:/redis\n",
			"sys/fs/cgroup/memory/redis/memory.limit_in_bytes": "4294967296\n", "sys/fs/cgroup/memory/redis/memory.usage_in_bytes": "2147483648\n",
		},
	} {
		all := whole()
		for path, text := range files {
			all[path] = text
		}
		h, gaps := gather.Host(t.Context(), config(fixture(t, all)))
		without(t, gaps)
		if h.MemoryTotal != 4<<30 || h.MemoryAvailable != 2<<30 {
			t.Errorf("%s: got %d of %d, want 2 GiB of 4", name, h.MemoryAvailable, h.MemoryTotal)
		}
	}
}

// Whatever is not there is one Gap, and a value that nobody takes for good.
func TestHostWithoutAFileHasAGap(t *testing.T) {
	for path, gap := range map[string]string{
		"proc/meminfo": "host.memory", "proc/sys/vm/overcommit_memory": "host.overcommit", "proc/sys/net/core/somaxconn": "host.somaxconn",
		"proc/42/limits": "host.files", "proc/42/status": "host.swap", "var/log/redis.log": "host.log",
	} {
		files := whole()
		delete(files, path)
		h, gaps := gather.Host(t.Context(), config(fixture(t, files)))
		if !slices.Equal(gapNames(gaps), []string{gap}) {
			t.Errorf("%s: gaps %+v, want %s", path, gaps, gap)
		}
		switch gap {
		case "host.memory":
			if h.MemoryTotal != -1 {
				t.Errorf("memory %d", h.MemoryTotal)
			}
		case "host.files":
			if h.FilesLimit != -1 {
				t.Errorf("files %d", h.FilesLimit)
			}
		}
	}
	c := config(fixture(t, whole()))
	c.PID, c.Unit = 0, func(context.Context) (string, time.Duration, error) { return "", 0, errors.New("no bus") }
	c.Synchronised = func() (bool, error) { return false, errors.New("no clock") }
	h, gaps := gather.Host(t.Context(), c)
	if got := gapNames(gaps); !slices.Equal(got, []string{"host.clock", "host.files", "host.restarts", "host.swap"}) || h.Restarts != "unknown" || h.ClockUnsynchronised {
		t.Errorf("gaps %v, %+v", got, h)
	}
}

func TestHostLogOfAnyKind(t *testing.T) {
	long := strings.Repeat("1:S 24 Nov 2026 06:18:30.123 * chatter\n", 10000)
	var many strings.Builder
	for i := range 30 {
		fmt.Fprintf(&many, "1:S 24 Nov 2026 06:18:30.123 # w%d\n", i)
	}
	for name, test := range map[string]struct {
		log  string
		want []string
		gap  bool
	}{
		"empty":            {"", nil, false},
		"no line end":      {"9:M 1 Jan 2026 00:00:00.000 # x", []string{"x"}, false},
		"old ones go":      {"1:M 24 Nov 2026 06:18:31.456 # far up\n" + long + "1:C 24 Nov 2026 06:18:31.456 # last\n", []string{"last"}, false},
		"twenty":           {many.String(), nil, false},
		"no time":          {"1:M 99 Nov 2026 06:18:31.456 # x\n# not one either\n", nil, false},
		"rubbish":          {"\x00\x01\x02", nil, true},
		"long line is cut": {"1:M 24 Nov 2026 06:18:31.456 # " + strings.Repeat("y", 5000) + "\n", []string{strings.Repeat("y", 300) + " …"}, false},
	} {
		files := whole()
		files["var/log/redis.log"] = test.log
		h, gaps := gather.Host(t.Context(), config(fixture(t, files)))
		if (len(gaps) > 0) != test.gap {
			t.Errorf("%s: gaps %+v", name, gaps)
		}
		var got []string
		for _, l := range h.Log {
			got = append(got, l.Text)
		}
		if name == "twenty" {
			if len(got) != 20 || got[0] != "w10" || got[19] != "w29" {
				t.Errorf("%s: %v", name, got)
			}
		} else if !slices.Equal(got, test.want) {
			t.Errorf("%s: got %q, want %q", name, got, test.want)
		}
	}
}

// A pipe nobody writes to, or a directory, keeps nobody waiting.
func TestHostLogThatIsNoFile(t *testing.T) {
	root := fixture(t, whole())
	path := filepath.Join(root, "var/log/redis.log")
	if err := errors.Join(os.Remove(path), syscall.Mkfifo(path, 0o600)); err != nil {
		t.Fatal(err)
	}
	if _, gaps := gather.Host(t.Context(), config(root)); !slices.Equal(gapNames(gaps), []string{"host.log"}) {
		t.Errorf("a pipe: %+v", gaps)
	}
	if err := errors.Join(os.Remove(path), os.Mkdir(path, 0o700)); err != nil {
		t.Fatal(err)
	}
	if _, gaps := gather.Host(t.Context(), config(root)); !slices.Equal(gapNames(gaps), []string{"host.log"}) {
		t.Errorf("a directory: %+v", gaps)
	}
}

// The machine itself, beside a real Redis and its own log.
func TestHostOfARealRedis(t *testing.T) {
	l := lab.Loopback(t)
	h := l.Host("a")
	log := filepath.Join(t.TempDir(), "redis.log")
	r := h.Redis(lab.RedisConfig{Lines: []string{"logfile " + log}})
	r.Term()
	r.Restart()
	host, gaps := gather.Host(t.Context(), gather.HostConfig{PID: r.PID(), LogFile: log})
	for _, g := range gaps {
		if g.What != "host.restarts" {
			t.Errorf("gap %+v", g)
		}
	}
	if host.MemoryTotal <= 0 || host.MemoryAvailable <= 0 || host.Somaxconn <= 0 || host.FilesLimit <= 0 || host.RedisSwapped < 0 || host.Overcommit == "" || host.THP == "" {
		t.Errorf("%+v", host)
	}
	text, err := os.ReadFile(log)
	if err != nil {
		t.Fatal(err)
	}
	if want := strings.Count(string(text), " # "); len(host.Log) != want || want == 0 {
		t.Errorf("%d warnings, the log has %d:\n%s", len(host.Log), want, text)
	}
}
