package drift

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/redis-watchdog/redis-watchdog/lab/need"
	"github.com/redis-watchdog/redis-watchdog/preflight"
)

// marking is a program that does no harm, and leaves a mark when it is run.
func marking(t *testing.T, r *running, owner int) (name, mark string) {
	t.Helper()
	dir := filepath.Join(r.outside, "bin")
	name, mark = filepath.Join(dir, "redis-server"), filepath.Join(r.outside, "mark")
	err := errors.Join(os.MkdirAll(dir, 0o755), os.WriteFile(name, []byte("#!/bin/sh\n: > "+mark+"\n"), 0o755), os.Chmod(name, 0o755), os.Chown(name, owner, owner))
	if err != nil {
		t.Fatal(err)
	}
	return name, mark
}

func notRun(t *testing.T, d preflight.Drift, mark, why string) {
	t.Helper()
	if _, err := os.Stat(mark); err == nil {
		t.Errorf("it was run")
	}
	said := slices.ContainsFunc(d.Notes, func(n string) bool { return strings.HasPrefix(n, "no shadow run: ") && strings.Contains(n, why) })
	if d.Method != "table" || !said {
		t.Errorf("method %q, notes %q; want the table, because %s", d.Method, d.Notes, why)
	}
}

// INFO of a Redis in other hands names any program there is, and any process.
func TestNothingIsRunBecauseINFOSaysSo(t *testing.T) {
	need.Root(t)
	r := plain(t, "maxmemory 1gb\n")
	for owner, why := range map[int]string{4321: "others than root may write", 0: "others than root may write /tmp"} { // where tests lie anybody may write
		name, mark := marking(t, r, owner)
		o := r.options(true)
		o.PID, o.Info["executable"] = 0, name
		notRun(t, Read(t.Context(), o), mark, why)
	}
	name, mark := marking(t, r, 0)
	sh := exec.CommandContext(t.Context(), "/bin/sh", "-c", "exec sleep 600")
	if err := sh.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = sh.Process.Kill(); _ = sh.Wait() })
	o := r.options(true)
	o.PID, o.Info["process_id"], o.Info["executable"], o.CommandLine = 0, strconv.Itoa(sh.Process.Pid), name, nil
	d := Read(t.Context(), o)
	notRun(t, d, mark, "others than root may write /tmp")
	if d.CommandLine != "unread" {
		t.Errorf("the process that INFO names was looked at: %s", d.CommandLine)
	}
	for _, other := range []string{"/usr/bin/env", "bin/redis-server", "", "/nowhere/redis-server"} {
		o.Info["executable"] = other
		d := Read(t.Context(), o)
		if d.Method != "table" {
			t.Errorf("%q: method %s", other, d.Method)
		}
	}
	// What the unit starts may have any name, if it is root's.
	o.Info["executable"], o.Program = "/nowhere/redis-server", "/usr/bin/env"
	reader := &reader{Options: o}
	if p, err := reader.program(); err != nil || p.binary == "" {
		t.Errorf("the unit's program: %+v, %v", p, err)
	}
	o.Program = name
	notRun(t, Read(t.Context(), o), mark, "others than root may write")
}

// A container brings its own program, and its root is not ours.
func TestAProgramOfAContainerIsNotRun(t *testing.T) {
	need.Root(t)
	r := local().prepare(t)
	name, mark := marking(t, r, 0)
	real, err := filepath.EvalSymlinks("/usr/bin/redis-server")
	if err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(real)
	if err == nil {
		err = os.WriteFile(name+".copy", text, 0o755)
	}
	if err != nil {
		t.Fatal(err)
	}
	r.write("redis.conf", "port 0\nunixsocket "+r.dir+"/s\ndir "+r.dir+"\n")
	r.target.binary = "/usr/bin/unshare"
	r.mustStart("", "--mount", "sh", "-ec", "mount --bind "+name+".copy "+real+"; exec /usr/bin/redis-server "+r.dir+"/redis.conf")
	notRun(t, Read(t.Context(), r.options(true)), mark, "is not what runs: Redis is in a container, or has been replaced")
}
