package shadow

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/redis-watchdog/redis-watchdog/lab/need"
	"github.com/redis-watchdog/redis-watchdog/preflight"
	"github.com/redis-watchdog/redis-watchdog/preflight/redisconf"
)

// oneFile is a Source of a single file.
type oneFile string

func (f oneFile) Read(string) ([]byte, error)           { return []byte(f), nil }
func (f oneFile) List(string) ([]string, error)         { return nil, nil }
func (f oneFile) Exists(string) bool                    { return false }
func (f oneFile) Directory(name string) (string, error) { return name, nil }

func shadowOf(t *testing.T, text string) Config {
	t.Helper()
	return shadowOfVersion(t, "redis", "7.0.15", text)
}

func shadowOfVersion(t *testing.T, server, version, text string) Config {
	t.Helper()
	need.Servers(t)
	build, err := redisconf.ForVersion(server, version)
	if err != nil {
		t.Fatal(err)
	}
	read, err := redisconf.Evaluate(build, oneFile(text), redisconf.Start{File: "/r.conf", Dir: "/"})
	if err != nil {
		t.Fatal(err)
	}
	binary, err := exec.LookPath("redis-server")
	if err != nil {
		t.Fatal(err)
	}
	return Config{Binary: binary, Build: build, Read: read, Temporary: t.TempDir()}
}

// nothingLeft fails where the shadow's directory still is.
func nothingLeft(t *testing.T, c Config) {
	t.Helper()
	if left, err := os.ReadDir(c.Temporary); err != nil || len(left) > 0 {
		t.Errorf("left behind: %v, %v", left, err)
	}
}

func TestShadowAnswersAndTouchesNothing(t *testing.T) {
	dir := t.TempDir()
	real := filepath.Join(dir, "real")
	text := fmt.Sprintf("dir %s\nunixsocket %s.sock\npidfile %s.pid\nlogfile %s.log\nappendonly yes\ndbfilename d.rdb\n"+
		"daemonize yes\nport 7777\nreplicaof 127.0.0.1 1\nloadmodule /nowhere.so\nsome.module yes\nrename-command CONFIG ''\n"+
		"requirepass pw\nuser default off\nmaxmemory 3gb\nsave 9 9\nsyslog-enabled yes\ntls-port 5\ntls-cert-file /nowhere\n", dir, real, real, real)
	c := shadowOf(t, text)
	result, err := Run(t.Context(), c)
	if err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]string{"maxmemory": "3221225472", "save": "9 9", "requirepass": "pw", "hz": "10", "port": "0", "dbfilename": "d.rdb"} {
		if result.Config[name] != want {
			t.Errorf("%s: got %q, want %q", name, result.Config[name], want)
		}
	}
	if !strings.HasPrefix(result.Version, "7.") || result.BuildID == "" || len(result.Users) != 1 || !strings.HasPrefix(result.Users[0], "user default off") {
		t.Errorf("got version %q, build %q, users %v", result.Version, result.BuildID, result.Users)
	}
	if result.LockedScript != preflight.ScriptRefused {
		t.Errorf("a script under the lock: got %q, want it refused", result.LockedScript)
	}
	if touched, err := os.ReadDir(dir); err != nil || len(touched) > 0 {
		t.Errorf("the real directory was touched: %v, %v", touched, err)
	}
	nothingLeft(t, c)
}

func TestShadowReadsTheACLFile(t *testing.T) {
	c := shadowOf(t, "aclfile /etc/redis/users.acl\n")
	c.ACL = []byte("user default on nopass ~* +@all\nuser alice on >wonderland ~a:* +get")
	result, err := Run(t.Context(), c)
	if err != nil {
		t.Fatal(err)
	}
	if len(result.Users) != 2 || !strings.Contains(result.Users[0], "~a:*") {
		t.Errorf("got %v", result.Users)
	}
	nothingLeft(t, c)
}

func TestShadowThatIsRefusedSaysWhereAndNoSecret(t *testing.T) {
	c := shadowOf(t, "maxmemory 1gb\nuser alice on >hunter2 hunter3\n")
	_, err := Run(t.Context(), c)
	var refused *Refused
	if !errors.As(err, &refused) || refused.At.Line != 2 || strings.Contains(err.Error(), "hunter") {
		t.Errorf("got %v", err)
	}
	nothingLeft(t, c)
}

// What cannot be run is an error of another kind: it says nothing of the file.
func TestShadowThatCannotRunIsNoRefusal(t *testing.T) {
	for name, change := range map[string]func(*Config){
		"no binary":    func(c *Config) { c.Binary = "/nowhere/redis-server" },
		"no directory": func(c *Config) { c.Temporary = "/nowhere" },
		"not Redis": func(c *Config) {
			c.Binary, c.Deadline = "/usr/bin/sleep", 200*time.Millisecond // it ends at once: "-" is no time
		},
		"no permission": func(c *Config) { c.Binary = "/etc/hostname" },
	} {
		c := shadowOf(t, "hz 10\n")
		change(&c)
		result, err := Run(t.Context(), c)
		var refused *Refused
		if result != nil || err == nil || errors.As(err, &refused) && refused.At.File != "" {
			t.Errorf("%s: got %v, %v", name, result, err)
		}
	}
}

func TestShadowEndsWithItsDeadline(t *testing.T) {
	dir := t.TempDir()
	script := filepath.Join(dir, "hangs")
	if err := os.WriteFile(script, []byte("#!/bin/sh\nwhile :; do read line || sleep 1000; done\n"), 0o755); err != nil {
		t.Fatal(err)
	}
	c := shadowOf(t, "hz 10\n")
	c.Binary, c.Deadline = script, 300*time.Millisecond
	ended := make(chan error, 1)
	go func() {
		_, err := Run(t.Context(), c)
		ended <- err
	}()
	select {
	case err := <-ended:
		if err == nil {
			t.Error("it answered")
		}
	case <-time.After(time.Minute):
		t.Fatal("it did not end")
	}
	nothingLeft(t, c)
}

func BenchmarkShadow(b *testing.B) {
	build, err := redisconf.ForVersion("redis", "7.0.15")
	if err != nil {
		b.Fatal(err)
	}
	read, err := redisconf.Evaluate(build, oneFile("maxmemory 1gb\n"), redisconf.Start{File: "/r.conf", Dir: "/"})
	if err != nil {
		b.Fatal(err)
	}
	for b.Loop() {
		if _, err := Run(b.Context(), Config{Binary: "/usr/bin/redis-server", Build: build, Read: read}); err != nil {
			b.Fatal(err)
		}
	}
}
