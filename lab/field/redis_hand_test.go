package field

// What is typed at Redis, or done to its files, and takes something from the
// watchdog or from the group.

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/redis-watchdog/redis-watchdog/lab"
	"github.com/redis-watchdog/redis-watchdog/lab/watched"
)

// TestUserOfTheWatchdogIsLost: an ACL file is written anew, without the user of the
// watchdogs, and loaded.
func TestUserOfTheWatchdogIsLost(t *testing.T) {
	t.Parallel()
	const user = "user redis-watchdog on >secret ~redis-watchdog:* &* +@all"
	file := filepath.Join(t.TempDir(), "password")
	if err := os.WriteFile(file, []byte("secret\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	w := start(t, watched.Options{Systemd: true,
		Group: lab.GroupConfig{Redis: lab.RedisConfig{Users: []string{"user default on nopass ~* &* +@all", user}}},
		Config: func(c *watched.Config) {
			n := c.Groups[0]["nodes"].([]map[string]any)[0]
			n["username"], n["password_file"] = "redis-watchdog", file
		}})
	s := begin(t, w)
	for _, d := range w.Watchdogs {
		path := filepath.Join(d.Redis.Dir, "users.acl")
		text, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		var left []string
		for line := range strings.Lines(string(text)) {
			if !strings.Contains(line, "redis-watchdog") {
				left = append(left, line)
			}
		}
		if err := os.WriteFile(path, []byte(strings.Join(left, "")), 0o644); err != nil {
			t.Fatal(err)
		}
		s.done(d.Name + ": users.acl without the watchdog's user, ACL LOAD")
		d.Redis.Do("ACL", "LOAD")
	}
	s.everybodyIsTold("redis_auth", "WRONGPASS", "ACL LIST")
	s.told(s.master, "armed_off", "a frozen or killed watchdog does not fence it")
	w.Pause(10 * time.Second) // nobody can be asked, and nobody has to: it serves
	s.done("its line is there again, and ACL LOAD")
	for _, d := range w.Watchdogs {
		path := filepath.Join(d.Redis.Dir, "users.acl")
		text, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, append(text, (user+"\n")...), 0o644); err != nil {
			t.Fatal(err)
		}
		d.Redis.Do("ACL", "LOAD")
	}
	s.calm()
	// ACL LOAD itself puts out whoever is logged in (7.0), and nobody is refused.
	for what, load := range map[string]*lab.Load{"write": s.writer, "read": s.reader} {
		for _, a := range load.Stop().Failed() {
			if a.Kind != lab.Reset {
				t.Errorf("a %s failed: %s %s", what, a.Kind, a.Text)
			}
		}
	}
	s.quiet(func(line string) bool { return needless(line) && !strings.Contains(line, " to=hold ") })
	s.failsOver()
}

// TestOperatorSetsMinReplicas: min-replicas-to-write 1 on every node, which is the
// parameter of our lock, and what a failover makes of it.
func TestOperatorSetsMinReplicas(t *testing.T) {
	t.Parallel()
	w := start(t, watched.Options{Systemd: true})
	s := begin(t, w)
	for _, d := range append(w.Others(s.master), s.master) {
		s.types(d.Name, typed{"CONFIG SET min-replicas-to-write 1", "CONFIG SET min-replicas-max-lag 5", "CONFIG REWRITE"}, d.Redis.Try)
	}
	for _, d := range w.Others(s.master) {
		w.Eventually(d.Name+" is locked again", time.Minute, func() error { return configured(d.Redis, "min-replicas-to-write", "1000000") })
	}
	s.calm()
	if err := configured(s.master.Redis, "min-replicas-to-write", "1"); err != nil {
		t.Error(err)
	}
	s.unrefused()
	old := s.master
	s.failsOver()
	now := w.WaitServing(w.Others(old)...)
	for parameter, want := range map[string]string{"min-replicas-to-write": "1", "min-replicas-max-lag": "5"} {
		if err := configured(now.Redis, parameter, want); err != nil {
			t.Errorf("the new master: %v", err)
		}
	}
}

// configured is why a parameter is not what it should be.
func configured(r *lab.Redis, parameter, want string) error {
	if got := r.Config(parameter); got != want {
		return fmt.Errorf("%s of %s is %s, not %s", parameter, r.Name, got, want)
	}
	return nil
}

// TestRoleWritesRedisConfAnew: a role writes its template over every redis.conf,
// with what Sentinel and the watchdog had written into it gone, and restarts
// nobody. Later a replica is restarted, as a master by its file; Sentinel and its
// watchdog make it a replica again.
func TestRoleWritesRedisConfAnew(t *testing.T) {
	t.Parallel()
	w := start(t, watched.Options{Systemd: true})
	s := begin(t, w)
	replicaof := regexp.MustCompile(`(?m)^(replicaof|min-replicas-to-write|min-replicas-max-lag|replica-priority) .*\n`)
	for _, d := range w.Watchdogs {
		text, err := os.ReadFile(d.Redis.ConfigFile)
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(d.Redis.ConfigFile, replicaof.ReplaceAll(text, nil), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	s.done("redis.conf of every node is the role's again")
	replica := w.Others(s.master)[0]
	s.done(replica.Name + " is restarted with it")
	replica.Redis.Restart()
	w.Eventually("it is a replica of the master again", time.Minute, func() error { return follows(replica, s.master) })
	s.calm()
	s.unrefused()
	s.failsOver()
}

// TestReplicasAreShutDown: SHUTDOWN at one replica after the other, which its
// supervisor starts again. A connection that ends is no refusal, whatever was
// being sent on it.
func TestReplicasAreShutDown(t *testing.T) {
	t.Parallel()
	w := start(t, watched.Options{Systemd: true})
	s := begin(t, w)
	for _, d := range w.Others(s.master) {
		from := len(d.Text())
		for range 3 {
			for _, how := range []string{"SHUTDOWN NOSAVE", "SHUTDOWN SAVE"} {
				s.done(d.Name + ": " + how)
				_, _ = d.Redis.Try(words(how)...) // it answers by its end
				d.Redis.Wait()
				w.Pause(500 * time.Millisecond)
				d.Redis.Restart()
				w.Group.WaitReplicas()
			}
		}
		for line := range strings.Lines(d.Text()[from:]) {
			if strings.Contains(line, "id=gate_step") || strings.Contains(line, "id=config_rewrite") {
				t.Errorf("%s is told of a refusal: %s", d.Name, line)
			}
		}
	}
	s.calm()
	s.unrefused()
	s.failsOver()
}
