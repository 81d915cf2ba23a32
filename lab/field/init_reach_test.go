package field

// What init writes is connected with before it is called good, and guards.

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/redis-watchdog/redis-watchdog/lab"
	"github.com/redis-watchdog/redis-watchdog/lab/need"
	"github.com/redis-watchdog/redis-watchdog/lab/watched"
)

// runInit runs init on a host.
func runInit(t *testing.T, d *watched.Watchdog, file string, more ...string) (text string, code int) {
	t.Helper()
	binary, err := watched.Binary()
	if err != nil {
		t.Fatal(err)
	}
	p := d.Host.Run(lab.Command{Name: "init", Path: binary, Args: append([]string{"init", "--config", file}, more...)})
	code = p.Wait()
	return p.Text(), code
}

// guardsByInit lets init write the configuration of every host, and the watchdogs
// guard the group with it as it is, but for where the lab has its directories.
func guardsByInit(t *testing.T, w *watched.World, written func(host *lab.Host, text string)) {
	t.Helper()
	for _, d := range w.Watchdogs {
		c := d.Config()
		if err := os.Remove(d.ConfigFile); err != nil { // the lab's own
			t.Fatal(err)
		}
		text, code := runInit(t, d, d.ConfigFile, "--etcd", strings.Join(w.Etcd.Endpoints(), ","))
		if code != 0 {
			t.Fatalf("%s: init ended with %d: %s", d.Name, code, text)
		}
		yaml, err := os.ReadFile(d.ConfigFile)
		if err != nil {
			t.Fatal(err)
		}
		written(d.Host, string(yaml))
		more := "state_dir: " + c.StateDir + "\nruntime_dir: " + c.RuntimeDir + "\nhttp: {listen: \"" + d.HTTP + "\"}\n"
		if err := os.WriteFile(d.ConfigFile, []byte(string(yaml)+more), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	for _, d := range w.Watchdogs {
		d.Restart()
	}
	w.WaitGuarded()
}

// has fails where a text lacks a part.
func has(t *testing.T, text string, parts ...string) {
	t.Helper()
	for _, part := range parts {
		if !strings.Contains(text, part) {
			t.Errorf("%q is not in:\n%s", part, text)
		}
	}
}

// wrapper is a program that does something in a mount namespace of its own and
// becomes another in there, with the same arguments.
func wrapper(t *testing.T, program, script string) string {
	t.Helper()
	need.Root(t)
	file := filepath.Join(t.TempDir(), "run")
	text := fmt.Sprintf("#!/bin/sh\nexec unshare --mount sh -ec '%s\nexec %s \"$@\"' sh \"$@\"\n", script, program)
	if err := os.WriteFile(file, []byte(text), 0o755); err != nil {
		t.Fatal(err)
	}
	return file
}

// TestInitFollowsWhatRuns: TLS on a port below the other or alone, with clients
// that need a certificate and servers whose certificate is for a name; commands
// renamed in a file that another includes; a redis.conf that is another where
// the Redis runs than here. What init writes guards the group.
func TestInitFollowsWhatRuns(t *testing.T) {
	need.Servers(t)
	t.Run("tls-port below port", func(t *testing.T) {
		l := lab.New(t)
		ca := l.CA()
		cert, key := ca.Server("redis.lab")
		w := watched.StartIn(l, t, watched.Options{Paused: true, Group: lab.GroupConfig{Redis: lab.RedisConfig{
			Lines: []string{"tls-port 6378", "tls-cert-file " + cert, "tls-key-file " + key, "tls-ca-cert-file " + ca.File}}}})
		guardsByInit(t, w, func(_ *lab.Host, text string) { has(t, text, `address: "127.0.0.1:6379"`) })
	})
	t.Run("nothing but TLS", func(t *testing.T) {
		l := lab.New(t)
		ca := l.CA()
		cert, key := ca.Server("redis.lab")
		bind := "bind"
		for _, h := range l.Hosts("a", "b", "c") {
			bind += " -" + h.IP // one that is not there is left out
		}
		w := watched.StartIn(l, t, watched.Options{Paused: true, Group: lab.GroupConfig{
			Redis:    lab.RedisConfig{TLS: ca, Lines: []string{bind, "tls-auth-clients yes", "tls-cert-file " + cert, "tls-key-file " + key}},
			Sentinel: lab.SentinelConfig{TLS: ca}}})
		guardsByInit(t, w, func(h *lab.Host, text string) {
			has(t, text, fmt.Sprintf("address: %q", h.IP+":6379"), fmt.Sprintf("tls: {ca: %q, cert: %q, key: %q, server_name: ", ca.File, cert, key),
				fmt.Sprintf("sentinel_tls: {ca: %q}", ca.File))
		})
	})
	t.Run("renamed in an included file", func(t *testing.T) {
		dir := t.TempDir()
		for file, text := range map[string]string{
			"first.conf": "dir " + dir + "\ninclude second.txt\n",
			"second.txt": "rename-command CONFIG x-config\nrename-command CLIENT x-client\nrename-command HELLO \"\"\nrename-command DEBUG \"\"\n",
		} {
			if err := os.WriteFile(filepath.Join(dir, file), []byte(text), 0o644); err != nil {
				t.Fatal(err)
			}
		}
		w := start(t, watched.Options{Paused: true, Group: lab.GroupConfig{
			Redis:   lab.RedisConfig{Lines: []string{"include " + dir + "/*.conf"}},
			Monitor: lab.Monitor{Lines: []string{"sentinel rename-command %[1]s CONFIG x-config", "sentinel rename-command %[1]s CLIENT x-client"}}}})
		guardsByInit(t, w, func(_ *lab.Host, text string) {
			has(t, text, "commands:\n", `client: "x-client"`, `config: "x-config"`, `hello: ""`)
			if strings.Contains(text, "debug") {
				t.Errorf("a command that the watchdog does not use:\n%s", text)
			}
		})
	})
	t.Run("files of another mount namespace", func(t *testing.T) {
		w := start(t, watched.Options{Paused: true, Group: lab.GroupConfig{Redis: lab.RedisConfig{
			Binary: wrapper(t, "redis-server", `cp "$1" seen.conf; echo "rename-command SLOWLOG x-slowlog" >>seen.conf; mount --bind seen.conf "$1"`)}}})
		guardsByInit(t, w, func(_ *lab.Host, text string) { has(t, text, `slowlog: "x-slowlog"`) })
	})
}

// TestInitSaysWhatIsNotSo: a Redis that announces an address no interface has; a
// sentinel.conf that its Sentinel cannot replace, and which so does not say who
// is in the group: the Sentinel is asked.
func TestInitSaysWhatIsNotSo(t *testing.T) {
	need.Servers(t)
	w := start(t, watched.Options{Paused: true, Group: lab.GroupConfig{Sentinel: lab.SentinelConfig{
		Binary: wrapper(t, "redis-sentinel", `mount --bind "$1" "$1"`)}}})
	d, etcd := w.Watchdogs[1], "--etcd="+strings.Join(w.Etcd.Endpoints(), ",")
	c, text, code := initOn(t, d, etcd)
	if code != 0 || len(c.Groups) != 1 {
		t.Fatalf("init ended with %d: %s", code, text)
	}
	has(t, text, "cannot replace "+w.Group.Sentinels[1].ConfigFile, "127.0.0.1:6379")
	for _, s := range w.Group.Sentinels {
		has(t, fmt.Sprint(c.Groups[0]["sentinels"]), s.Address)
	}

	const nowhere = "10.99.0.9"
	d.Redis.Do("CONFIG", "SET", "replica-announce-ip", nowhere)
	d.Redis.Do("CONFIG", "REWRITE")
	d.Redis.Do("CLIENT", "KILL", "TYPE", "master")
	w.Eventually("the Sentinels list it by that address alone", 2*time.Minute, func() error {
		for _, s := range w.Group.Sentinels {
			if lists(s, w.Group.Name, d.Redis.Address) {
				s.Do("SENTINEL", "RESET", w.Group.Name)
			}
			if lists(s, w.Group.Name, d.Redis.Address) || !lists(s, w.Group.Name, nowhere+":6379") {
				return fmt.Errorf("%s lists %v", s.Name, s.Replicas(w.Group.Name))
			}
		}
		return nil
	})
	c, text, code = initOn(t, d, etcd)
	if nodes := fmt.Sprint(c.Groups); code != 0 || !strings.Contains(nodes, "127.0.0.1:6379") {
		t.Errorf("init ended with %d: %s", code, nodes)
	}
	has(t, text, "announces "+nowhere+":6379, an address that no interface of this host has")
}

// TestInitConnectsBeforeItWrites: the certificate of a Redis is of another
// authority than its own file names; no etcd answers where it is said to be.
// Nothing is written then, and --dry-run prints it all the same.
func TestInitConnectsBeforeItWrites(t *testing.T) {
	need.Servers(t)
	l := lab.New(t)
	ca := l.CA()
	cert, key := l.CA().Server("redis.lab")
	w := watched.StartIn(l, t, watched.Options{Hosts: 1, Sentinels: []string{"a"}, Paused: true, Group: lab.GroupConfig{Quorum: 1,
		Redis:    lab.RedisConfig{Lines: []string{"port 0", "tls-port 6379", "tls-replication no", "tls-auth-clients no", "tls-cert-file " + cert, "tls-key-file " + key, "tls-ca-cert-file " + ca.File}},
		Sentinel: lab.SentinelConfig{Lines: []string{"tls-replication yes", "tls-auth-clients no", "tls-cert-file " + cert, "tls-key-file " + key, "tls-ca-cert-file " + filepath.Join(filepath.Dir(cert), "ca.crt")}}}})
	d := w.Watchdogs[0]
	file := filepath.Join(d.Dir, "init.yaml")
	for _, one := range []struct {
		etcd string
		said []string
	}{
		{w.Etcd.Endpoints()[0], []string{"the Redis of group mymaster at 127.0.0.1:6379 is not reached", "authority"}},
		{"http://127.0.0.1:9", []string{"no member of etcd is reached"}},
	} {
		text, code := runInit(t, d, file, "--etcd", one.etcd)
		if code != 2 {
			t.Errorf("init ended with %d", code)
		}
		has(t, text, append(one.said, "nothing is written")...)
		if _, err := os.Stat(file); err == nil {
			t.Error("it was written")
		}
		text, code = runInit(t, d, file, "--dry-run", "--etcd", one.etcd)
		if code != 2 {
			t.Errorf("init --dry-run ended with %d", code)
		}
		has(t, text, append(one.said, "groups:\n  - name: \"mymaster\"")...)
	}
}
