package field

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/redis-watchdog/redis-watchdog/lab"
	"github.com/redis-watchdog/redis-watchdog/lab/watched"
	"github.com/redis-watchdog/redis-watchdog/watchdog/agent"
)

// include has a Redis read a file of these lines, first of all.
func include(t *testing.T, r *lab.Redis, name, lines string) {
	t.Helper()
	r.Kill()
	file := filepath.Join(r.Dir, name)
	text, err := os.ReadFile(r.ConfigFile)
	if err == nil {
		err = os.WriteFile(file, []byte(lines), 0o640)
	}
	if err == nil {
		err = os.WriteFile(r.ConfigFile, []byte("include "+file+"\n"+string(text)), 0o640)
	}
	if err != nil {
		t.Fatal(err)
	}
	r.Restart()
}

// TestUsersInAnIncludedFile: as a role of configuration management lays it out,
// the users stand in a file of their own that redis.conf includes. CONFIG
// REWRITE, which Sentinel sends with every change of a role and README had for
// our own user, writes them into redis.conf as well, and no Redis 7.0 starts on
// that: "Duplicate user found".
func TestUsersInAnIncludedFile(t *testing.T) {
	w := start(t, watched.Options{Paused: true})
	for _, r := range w.Group.Redis {
		include(t, r, "users.conf", "user app on >secret ~app:* +@read +@write\n")
	}
	w.Group.WaitReplicas()
	for _, d := range w.Watchdogs {
		d.Restart()
	}
	w.WaitGuarded()
	s := begin(t, w)
	s.done("users stand in a file that redis.conf includes")
	for _, d := range w.Watchdogs {
		s.told(d, "drift_starts", "user app of users.conf:1 would stand in redis.conf as well", "sed -i")
	}
	to := w.Others(s.master)[0]
	text, code := s.master.CLI("failover", w.Group.Name, "--to", to.Redis.Address, "--yes")
	if code != 1 || !strings.Contains(text, "drift_starts") {
		t.Errorf("the failover ended with %d: %s", code, text)
	}

	// Our own fence writes nothing that Redis would not start on.
	if text, code := s.master.CLI("fence", w.Group.Name, "--node", to.Redis.Address, "--reason", "a story"); code != 0 {
		t.Fatalf("fence ended with %d: %s", code, text)
	}
	to.WaitPhase("refuse")
	s.told(to, "config_rewrite", "CONFIG REWRITE is not sent")
	to.Redis.Kill()
	to.Redis.Restart()
	if text, code := s.master.CLI("unfence", w.Group.Name, "--node", to.Redis.Address); code != 0 {
		t.Fatalf("unfence ended with %d: %s", code, text)
	}
	to.WaitPhase("follow")

	for _, d := range w.Watchdogs {
		status := s.told(d, "drift_starts", "sed -i")
		s.paste(d, remedyOf(status, "drift_starts"))
		d.WaitFor("does not say drift_starts any more", func(st agent.Status) bool { return remedyOf(st, "drift_starts") == "" })
	}
	s.undisturbed()

	w.Eventually("the planned failover goes ahead", patience, func() error {
		if text, code := s.master.CLI("failover", w.Group.Name, "--to", to.Redis.Address, "--yes"); code != 0 {
			return fmt.Errorf("it ended with %d: %s", code, text)
		}
		return nil
	})
	w.WaitServing(to)
	for _, r := range w.Group.Replicas(to.Redis) {
		r.Do("CONFIG", "REWRITE")
		r.Kill()
		r.Restart()
	}
}
