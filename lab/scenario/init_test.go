package scenario

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/redis-watchdog/redis-watchdog/lab"
	"github.com/redis-watchdog/redis-watchdog/lab/watched"
)

// TestInitMakesAWorkingConfiguration: on three hosts with a Redis and a Sentinel
// that want passwords, init finds the group; what it prints is done at the
// servers; and the watchdogs guard the group with what it wrote.
func TestInitMakesAWorkingConfiguration(t *testing.T) {
	t.Parallel()
	w := watched.Start(t, watched.Options{Paused: true, Systemd: true,
		Group: lab.GroupConfig{Redis: lab.RedisConfig{Password: ownerSecret}, Sentinel: lab.SentinelConfig{Password: ownerSecret}}})
	w.Group.WaitStable()
	binary, err := watched.Binary()
	if err != nil {
		t.Fatal(err)
	}
	run := func(d *watched.Watchdog, file string, more ...string) (string, int) {
		args := append([]string{"init", "--etcd", strings.Join(w.Etcd.Endpoints(), ","), "--config", file}, more...)
		p := d.Host.Run(lab.Command{Name: "init", Path: binary, Args: args})
		code := p.Wait()
		return p.Text(), code
	}
	var said, first string
	for i, d := range w.Watchdogs {
		dir, file := d.Dir, d.ConfigFile
		if err := os.Remove(file); err != nil { // the lab's own
			t.Fatal(err)
		}
		if text, code := run(d, file, "--dry-run"); code != 0 || !strings.Contains(text, d.Redis.Host.IP) {
			t.Fatalf("%s: init --dry-run ended with %d: %s", d.Name, code, text)
		}
		if _, err := os.Stat(file); err == nil {
			t.Fatal("--dry-run wrote the configuration")
		}
		if i > 0 { // the same passwords on every host, as it says
			for _, name := range []string{"redis-password", "sentinel-password"} {
				secret, err := os.ReadFile(filepath.Join(first, name))
				if err == nil {
					err = os.WriteFile(filepath.Join(dir, name), secret, 0o600)
				}
				if err != nil {
					t.Fatal(err)
				}
			}
		} else {
			first = dir
		}
		text, code := run(d, file)
		if code != 0 {
			t.Fatalf("%s: init ended with %d: %s", d.Name, code, text)
		}
		if i > 0 && aclLines(text) != said {
			t.Errorf("%s is told other users than the first:\n%s\n%s", d.Name, aclLines(text), said)
		}
		said = aclLines(text)
		for _, name := range []string{"redis-password", "sentinel-password"} {
			secret, err := os.ReadFile(filepath.Join(dir, name))
			if err != nil {
				t.Fatal(err)
			}
			if strings.Contains(text, strings.TrimSpace(string(secret))) {
				t.Errorf("it printed the secret in %s", name)
			}
		}
		written, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		if text, code := run(d, file); code != 1 || !strings.Contains(text, "not overwritten") {
			t.Errorf("%s: a second init ended with %d: %s", d.Name, code, text)
		}
		if again, err := os.ReadFile(file); err != nil || string(again) != string(written) {
			t.Errorf("%s: the second init changed the file: %v", d.Name, err)
		}
		c := d.Config()
		more := "state_dir: " + c.StateDir + "\nruntime_dir: " + c.RuntimeDir + "\nhttp: {listen: \"" + d.HTTP + "\"}\n"
		if err := os.WriteFile(file, []byte(string(written)+more), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	redis, sentinel, _ := strings.Cut(said, "\n")
	for _, r := range w.Group.Redis {
		r.Do(wordsOf(redis)...)
	}
	for _, s := range w.Group.Sentinels {
		s.Do(wordsOf(sentinel)...)
	}
	for _, d := range w.Watchdogs {
		d.Restart()
	}
	w.WaitGuarded()
	noFaults(t, w)
}

// aclLines are the users init tells of: Redis' and then Sentinel's.
func aclLines(text string) string {
	var all []string
	for line := range strings.Lines(text) {
		if line = strings.TrimSpace(line); strings.HasPrefix(line, "ACL SETUSER") {
			all = append(all, line)
		}
	}
	return strings.Join(all, "\n")
}

func wordsOf(line string) []any {
	var words []any
	for _, word := range strings.Fields(line) {
		words = append(words, word)
	}
	return words
}
