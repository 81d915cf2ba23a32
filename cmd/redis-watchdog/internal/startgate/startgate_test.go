package startgate

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/redis-watchdog/redis-watchdog/lab"
	"github.com/redis-watchdog/redis-watchdog/watchdog"
	"github.com/redis-watchdog/redis-watchdog/watchdog/statedir"
)

func write(t *testing.T, name, text string) string {
	t.Helper()
	if err := os.WriteFile(name, []byte(text), 0o640); err != nil {
		t.Fatal(err)
	}
	return name
}

func text(t *testing.T, name string) string {
	t.Helper()
	b, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// What Redis itself makes of the files: whether it comes up as a master is
// asked of redis-server.
func TestFollowingIsWhatRedisDoes(t *testing.T) {
	for name, test := range map[string]struct{ files map[string]string }{
		"a master":                 {map[string]string{"redis.conf": "maxmemory 1gb\n"}},
		"a replica":                {map[string]string{"redis.conf": "replicaof 127.0.0.1 1\n"}},
		"the old name, quoted":     {map[string]string{"redis.conf": "  SlaveOf \"127.0.0.1\" '1'\n"}},
		"the last line wins":       {map[string]string{"redis.conf": "replicaof 127.0.0.1 1\nreplicaof no one\n"}},
		"a comment":                {map[string]string{"redis.conf": "#replicaof 127.0.0.1 1\n# replicaof 127.0.0.1 1\n"}},
		"an include":               {map[string]string{"redis.conf": "include DIR/more.conf\n", "more.conf": "replicaof 127.0.0.1 1\n"}},
		"an include before a line": {map[string]string{"redis.conf": "include DIR/more.conf\nreplicaof NO ONE\n", "more.conf": "replicaof 127.0.0.1 1\n"}},
		"a pattern":                {map[string]string{"redis.conf": "include DIR/*.part\n", "a.part": "replicaof 127.0.0.1 1\n", "b.part": "replicaof no one\n"}},
		"a pattern of nothing":     {map[string]string{"redis.conf": "include DIR/*.part\n"}},
		"dir and a relative name":  {map[string]string{"redis.conf": "dir DIR/sub\ninclude more.conf\n", "sub/more.conf": "replicaof 127.0.0.1 1\n"}},
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			for file, content := range test.files {
				path := filepath.Join(dir, file)
				if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
					t.Fatal(err)
				}
				write(t, path, strings.ReplaceAll(content, "DIR", dir))
			}
			file := filepath.Join(dir, "redis.conf")
			following, err := Following(file)
			if err != nil {
				t.Fatal(err)
			}
			r := lab.Loopback(t).Host("a").Redis(lab.RedisConfig{Lines: strings.Split(text(t, file), "\n")})
			if role := r.Role(); (following != "") != (role.Name == "slave") {
				t.Errorf("following %q, but Redis came up as %s", following, role)
			}
		})
	}
	dir := t.TempDir()
	circle := write(t, filepath.Join(dir, "redis.conf"), "include "+dir+"/redis.conf\n")
	if _, err := Following(circle); err == nil {
		t.Error("a file that includes itself: no error")
	}
	if _, err := Following(filepath.Join(dir, "none.conf")); err == nil {
		t.Error("a file that is not there: no error")
	}
}

// A real Redis on the file: shut from its first command, and what CONFIG REWRITE
// makes of it when it is opened holds it shut no more.
func TestShutRedisAnswersNobodyUntilItIsOpened(t *testing.T) {
	r := lab.Loopback(t).Host("a").Redis(lab.RedisConfig{Paused: true, Lines: []string{"replica-priority 50", "replica-serve-stale-data yes"}})
	before := text(t, r.ConfigFile)
	if err := os.Chmod(r.ConfigFile, 0o640); err != nil {
		t.Fatal(err)
	}
	shut := func() {
		t.Helper()
		if following, err := StartFenced(r.ConfigFile); following != "" || err != nil {
			t.Fatalf("shut: got %q, %v", following, err)
		}
	}
	shut()
	once := text(t, r.ConfigFile)
	shut()
	if again := text(t, r.ConfigFile); again != once {
		t.Errorf("shut twice, the file grows:\n%s", again)
	}
	if err := Undo(r.ConfigFile); err != nil || text(t, r.ConfigFile) != before {
		t.Errorf("undone: %v, got\n%s\nwant\n%s", err, text(t, r.ConfigFile), before)
	}
	shut()
	if info, err := os.Stat(r.ConfigFile); err != nil || info.Mode().Perm() != 0o640 {
		t.Errorf("mode: %v, %v; want that of the file there was", info.Mode(), err)
	}
	r.Restart()
	if _, err := r.Try("GET", "k"); err == nil || !strings.HasPrefix(err.Error(), "MASTERDOWN") {
		t.Errorf("GET: got %v, want MASTERDOWN", err)
	}
	if _, err := r.Try("SET", "k", "v"); err == nil || !strings.HasPrefix(err.Error(), "READONLY") {
		t.Errorf("SET: got %v, want READONLY", err)
	}
	if got := r.Config("replica-priority"); got != "0" {
		t.Errorf("replica-priority %s, want 0", got)
	}
	r.Do("CONFIG", "SET", "replica-serve-stale-data", "yes")
	r.Do("CONFIG", "SET", "replica-priority", "50")
	r.Do("REPLICAOF", "NO", "ONE")
	r.Do("CONFIG", "REWRITE")
	if following, err := Following(r.ConfigFile); following != "" || err != nil {
		t.Errorf("opened and rewritten: follows %q, %v", following, err)
	}
	if n := strings.Count(text(t, r.ConfigFile), comment[0]); n != 1 {
		t.Errorf("%d of our comments after CONFIG REWRITE, want 1", n)
	}
	r.Kill()
	shut()
	if n := strings.Count(text(t, r.ConfigFile), comment[0]); n != 1 {
		t.Errorf("%d of our comments after the second start, want 1", n)
	}
	r.Restart()
	if role := r.Role(); role.Name != "slave" {
		t.Errorf("started again: %s, want shut", role)
	}
}

func TestReplicaIsLeftAsItIs(t *testing.T) {
	file := write(t, filepath.Join(t.TempDir(), "redis.conf"), "replicaof 127.0.0.1 1\n\n\n")
	before := text(t, file)
	if following, err := StartFenced(file); following != "127.0.0.1 1" || err != nil {
		t.Errorf("got %q, %v", following, err)
	}
	if text(t, file) != before {
		t.Errorf("the file was changed:\n%s", text(t, file))
	}
}

func TestNoteLeavesOpenWhomNobodyWouldOpen(t *testing.T) {
	const now = watchdog.Instant(time.Hour)
	for name, test := range map[string]struct {
		note Note
		want bool
	}{
		"none":                     {Note{}, false},
		"released":                 {Note{Released: true}, true},
		"in maintenance":           {Note{Maintenance: now.Add(time.Second)}, true},
		"a maintenance that ended": {Note{Maintenance: now.Add(-time.Second)}, false},
	} {
		dir := t.TempDir()
		if err := test.note.Write(dir, "g", "n"); err != nil {
			t.Fatal(err)
		}
		if why := LeftOpen(dir, "g", "n", now); (why != "") != test.want {
			t.Errorf("%s: left open %q, want %v", name, why, test.want)
		}
		if why := LeftOpen(dir, "g", "other", now); why != "" {
			t.Errorf("%s: another node is left open: %s", name, why)
		}
		if err := (Note{}).Write(dir, "g", "n"); err != nil {
			t.Fatal(err)
		}
		if why := LeftOpen(dir, "g", "n", now); why != "" {
			t.Errorf("%s: taken away, and still left open: %s", name, why)
		}
	}
	dir := t.TempDir()
	if err := (Note{Maintenance: now.Add(time.Second)}).Write(dir, "g", "n"); err != nil {
		t.Fatal(err)
	}
	path := notePath(dir, "g", "n")
	boot, err := statedir.BootID()
	if err != nil {
		t.Fatal(err)
	}
	write(t, path, strings.Replace(text(t, path), boot, "another", 1))
	if why := LeftOpen(dir, "g", "n", now); why != "" {
		t.Errorf("the note of another boot: left open: %s", why)
	}
}

func TestDropInKeepsDownOnlyWhereTheWatchdogFails(t *testing.T) {
	dir := t.TempDir()
	binary := filepath.Join(dir, "redis-watchdog")
	g := Gate{Unit: "redis-server@6380.service", File: "/etc/redis/redis-6380.conf", Group: "m", Node: "n",
		Binary: binary, Config: "/etc/c.yaml", unitDir: dir}
	path, changed, err := g.On()
	if err != nil || !changed {
		t.Fatalf("on: changed %v, %v", changed, err)
	}
	if _, changed, err := g.On(); changed || err != nil {
		t.Errorf("on again: changed %v, %v", changed, err)
	}
	all, err := Enabled(dir)
	if err != nil || len(all) != 1 || all[0] != g {
		t.Errorf("standing: got %+v, %v; want %+v", all, err, g)
	}
	// As systemd would run it.
	_, command, _ := strings.Cut(text(t, path), "+/bin/sh -c '")
	command = strings.TrimSuffix(strings.TrimSpace(command), "'")
	run := func() error { return exec.CommandContext(t.Context(), "/bin/sh", "-c", command).Run() }
	if err := run(); err != nil {
		t.Errorf("no redis-watchdog there: %v, want that Redis starts", err)
	}
	for script, ok := range map[string]bool{`[ "$*" = "--config /etc/c.yaml start-gate shut m n /etc/redis/redis-6380.conf" ]`: true, "exit 2": false} {
		write(t, binary, "#!/bin/sh\n"+script+"\n")
		if err := os.Chmod(binary, 0o755); err != nil {
			t.Fatal(err)
		}
		if err := run(); (err == nil) != ok {
			t.Errorf("%s: got %v", script, err)
		}
	}
	if err := g.Off(); err != nil {
		t.Fatal(err)
	}
	if all, err := Enabled(dir); err != nil || len(all) != 0 {
		t.Errorf("off: standing %v, %v", all, err)
	}
	if _, err := os.Stat(filepath.Dir(path)); !os.IsNotExist(err) {
		t.Errorf("the directory of the drop-in is left: %v", err)
	}
	g.File = "/etc/redis/with space.conf"
	if _, _, err := g.On(); err == nil {
		t.Error("a name with a space: no error")
	}
}
