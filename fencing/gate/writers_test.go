package gate

// What the lock and the hold stop, of all that can write, on the build itself.

import (
	"fmt"
	"testing"
	"time"

	"github.com/redis-watchdog/redis-watchdog/fencing/gate/resp"
	"github.com/redis-watchdog/redis-watchdog/preflight"
	"github.com/redis-watchdog/redis-watchdog/watchdog"
)

// writer is a way to write to a key.
type writer struct {
	name   string
	script bool
	since  string // the first version that has it; empty: all
	words  func(key string) [][]string
}

func writers() []writer {
	one := func(words ...string) func(string) [][]string {
		return func(key string) [][]string {
			out := append([]string{}, words...)
			for i, w := range out {
				if w == "KEY" {
					out[i] = key
				}
			}
			return [][]string{out}
		}
	}
	queued := func(words ...string) func(string) [][]string {
		return func(key string) [][]string {
			return [][]string{{"MULTI"}, one(words...)(key)[0], {"EXEC"}}
		}
	}
	const lua = "return redis.call('incr', KEYS[1])"
	return []writer{
		{name: "INCR", words: one("INCR", "KEY")},
		{name: "BITFIELD", words: one("BITFIELD", "KEY", "SET", "u8", "0", "65")},
		{name: "SORT … STORE", words: one("SORT", "list", "STORE", "KEY")},
		{name: "GEORADIUS … STORE", words: one("GEORADIUS", "places", "0", "0", "1", "m", "STORE", "KEY")},
		{name: "XADD", words: one("XADD", "KEY", "*", "f", "v")},
		{name: "PFADD", words: one("PFADD", "KEY", "e")},
		{name: "BRPOPLPUSH", words: one("BRPOPLPUSH", "list", "KEY", "0")},
		{name: "MULTI INCR EXEC", words: queued("INCR", "KEY")},
		{name: "EVAL", script: true, words: one("EVAL", lua, "1", "KEY")},
		{name: "EVAL pcall", script: true, words: one("EVAL", "return redis.pcall('rpush', KEYS[1], '1')", "1", "KEY")},
		{name: "EVALSHA", script: true, words: func(key string) [][]string {
			return [][]string{{"EVALSHA", "LOADED", "1", key}}
		}},
		{name: "MULTI EVAL EXEC", script: true, words: queued("EVAL", lua, "1", "KEY")},
		{name: "EVAL with a shebang", script: true, since: "7.0", words: one("EVAL", "#!lua\n"+lua, "1", "KEY")},
		{name: "FCALL", script: true, since: "7.0", words: one("FCALL", "wr", "1", "KEY")},
	}
}

// lockAndHold wants the lock, and then the hold, to stop every writer; but for
// what the version's lock is known not to stop (preflight.LockStopsScripts):
// that is really executed.
func lockAndHold(t *testing.T, s *server) {
	s.do("RPUSH", "list", "1", "2", "3")
	s.do("GEOADD", "places", "0", "0", "here")
	sha := s.do("SCRIPT", "LOAD", "return redis.call('incr', KEYS[1])").Text
	version := info(s.do("INFO", "server").Text)["redis_version"]
	if version >= "7" {
		if r := s.do("FUNCTION", "LOAD", "#!lua name=w\nredis.register_function('wr', function(k) return redis.call('incr', k[1]) end)"); r.IsError() {
			t.Fatalf("FUNCTION LOAD: %+v", r)
		}
	}
	stops, known := preflight.LockStopsScripts(version)
	if !known {
		t.Fatalf("%q is no version", version)
	}
	l := startGate(t, s)
	l.sees("a master", func(r watchdog.Redis) bool { return r.Role == watchdog.Master })
	eventually(t, "the originals are recorded and rights known", func() bool { return l.originals().Known && l.capabilities().Checked })

	// try sends every writer, each over a connection of its own, and is what each
	// came to: whether its key is there.
	try := func(what string) (came map[string]bool) {
		t.Helper()
		came = map[string]bool{}
		for i, w := range writers() {
			if w.since > version {
				continue
			}
			c, key := s.client(), fmt.Sprintf("%s:%d", what, i)
			for _, words := range w.words(key) {
				if words[0] == "EVALSHA" {
					words[1] = sha
				}
				if _, err := c.nc.Write(resp.Append(nil, words...)); err != nil {
					t.Fatal(err)
				}
			}
		}
		// They have been read when what came after them has been answered, twice.
		for range 2 {
			s.do("PING")
		}
		time.Sleep(20 * time.Millisecond)
		for i, w := range writers() {
			if w.since <= version {
				came[w.name] = s.do("EXISTS", fmt.Sprintf("%s:%d", what, i)).Num == 1
			}
		}
		return came
	}
	want := func(what string, came map[string]bool, passes func(writer) bool) {
		t.Helper()
		for _, w := range writers() {
			if done, tried := came[w.name]; tried && done != passes(w) {
				t.Errorf("%s, %s: %s was executed: %v", version, what, w.name, done)
			}
		}
	}
	none := func(writer) bool { return false }
	scripts := func(w writer) bool { return w.script && !stops }

	l.Want(watchdog.Gate{Access: watchdog.Lock})
	l.sees("the lock", func(r watchdog.Redis) bool { return r.Locked })
	want("locked", try("locked"), scripts)

	l.Want(watchdog.Gate{Access: watchdog.Serve})
	l.sees("no lock", func(r watchdog.Redis) bool { return !r.Locked })
	all := try("open")
	want("open", all, func(writer) bool { return true })
	if len(all) < 12 {
		t.Errorf("%d ways to write were tried", len(all))
	}

	l.Want(watchdog.Gate{Access: watchdog.Hold})
	if l.capabilities().PauseWrite {
		l.sees("the hold", func(r watchdog.Redis) bool { return r.Held })
		want("held", try("held"), none)
		l.Want(watchdog.Gate{Access: watchdog.Serve})
		eventually(t, "whoever waited goes on", func() bool {
			for i, w := range writers() {
				if w.since <= version && s.do("EXISTS", fmt.Sprintf("held:%d", i)).Num != 1 {
					return false
				}
			}
			return true
		})
		return
	}
	l.sees("the lock of a hold", func(r watchdog.Redis) bool { return r.Locked })
	want("held by the lock", try("held"), scripts)
}

func TestLockAndHoldStopEveryWriter(t *testing.T) { lockAndHold(t, startRedis(t)) }
