package gate

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"github.com/redis-watchdog/redis-watchdog/watchdog"
)

// Users in an included file: what CONFIG REWRITE would write no Redis 7.0 starts
// on. The fence holds without it; what is due is written once it may be.
func TestNoRewriteThatRedisWouldNotStartOn(t *testing.T) {
	dir := t.TempDir()
	users := filepath.Join(dir, "users.conf")
	if err := os.WriteFile(users, []byte("user app on >secret ~* +@all\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	s := startRedis(t, "include "+users)
	before, err := os.ReadFile(s.conf)
	if err != nil {
		t.Fatal(err)
	}
	l := startGate(t, s, func(c *Config) { c.NoRewrite = "not known yet" })
	l.Want(refuse())
	l.sees("refusing", func(r watchdog.Redis) bool { return r.Refusing && r.Role == watchdog.Nowhere })
	eventually(t, "the fault is there", func() bool { return l.fault(faultRewrite) != nil })
	l.AllowRewrite("user app would stand twice", "move it")
	eventually(t, "the fault says why", func() bool { f := l.fault(faultRewrite); return f != nil && f.Remedy == "move it" })
	if now, err := os.ReadFile(s.conf); err != nil || string(now) != string(before) {
		t.Errorf("redis.conf was written: %v\n%s", err, now)
	}
	s.kill()
	s.start() // it would not, on a rewritten file
	l.sees("refusing again", func(r watchdog.Redis) bool { return r.Refusing && r.Role == watchdog.Nowhere })

	// Mended, as the remedy has it.
	if err := os.WriteFile(s.conf, []byte(string(before)+"user app on >secret ~* +@all\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(users, nil, 0o644); err != nil {
		t.Fatal(err)
	}
	l.AllowRewrite("", "")
	eventually(t, "the fence is in the file, the fault is gone", func() bool {
		return s.inFile("replicaof") == fmt.Sprintf("%s %d", "127.0.0.1", 0) && l.fault(faultRewrite) == nil
	})
	s.kill()
	s.start()
}
