package field

// What an administrator types on an ordinary day: at Redis, at a Sentinel, at
// etcd. A healthy group stays one.

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/redis-watchdog/redis-watchdog/lab"
	"github.com/redis-watchdog/redis-watchdog/lab/builds"
	"github.com/redis-watchdog/redis-watchdog/lab/watched"
)

// typed is what is typed in turn; what has an effect that lasts is taken back by
// a later line.
type typed []string

// atRedis is typed at the master and at a replica alike.
var atRedis = typed{
	"CONFIG RESETSTAT", "SLOWLOG RESET", "LATENCY RESET", "SCRIPT FLUSH", "FUNCTION FLUSH",
	"MEMORY PURGE", "MEMORY DOCTOR", "MEMORY MALLOC-STATS", "COMMAND COUNT", "ACL LOG RESET",
	"CONFIG SET slowlog-log-slower-than 0", "CONFIG SET slowlog-log-slower-than 10000",
	"CONFIG SET latency-monitor-threshold 1", "CONFIG SET latency-monitor-threshold 0",
	"CONFIG SET loglevel debug", "CONFIG SET loglevel notice",
	"CONFIG SET notify-keyspace-events KEA", `CONFIG SET notify-keyspace-events ""`,
	"CONFIG SET hz 100", "CONFIG SET hz 10",
	"CONFIG SET busy-reply-threshold 100", "CONFIG SET busy-reply-threshold 5000",
	"CONFIG SET repl-ping-replica-period 1", "CONFIG SET repl-ping-replica-period 10",
	"CONFIG SET repl-backlog-size 2mb", "CONFIG SET repl-backlog-size 1mb",
	"CONFIG SET maxmemory-clients 1mb", "CONFIG SET maxmemory-clients 0",
	`CONFIG SET client-output-buffer-limit "normal 1mb 512kb 1"`, `CONFIG SET client-output-buffer-limit "normal 0 0 0"`,
	"ACL SETUSER somebody on >secret ~* +@read", "ACL DELUSER somebody",
	"BGSAVE", "CONFIG SET appendonly yes", "CONFIG SET appendonly no",
	`CONFIG SET save "900 1"`, `CONFIG SET save ""`,
	"CLIENT UNPAUSE", "CLIENT NO-EVICT ON", "CONFIG REWRITE",
	"FLUSHDB ASYNC", "FLUSHALL", "SWAPDB 0 1", "SWAPDB 0 1",
	// Whoever was idle for a second is put out: what a fence waits on is, too.
	"CONFIG SET timeout 1", "", "CONFIG SET timeout 0",
	"CONFIG SET tcp-keepalive 1", "CONFIG SET tcp-keepalive 300",
	// Longer than a poll of ours, shorter than what a group of D = 3 s bears.
	"CLIENT PAUSE 700 WRITE", "",
}

// onlyAtReplica is what a master's clients or data would notice by themselves.
var onlyAtReplica = typed{
	"CLIENT KILL TYPE normal", "CLIENT KILL TYPE master", "CLIENT KILL TYPE pubsub",
	"CONFIG SET replica-serve-stale-data no", "CONFIG SET replica-serve-stale-data yes",
	"CONFIG SET replica-priority 10", "", "CONFIG SET replica-priority 100",
}

// words are those of a line; what is in quotes is one.
func words(line string) (all []any) {
	for i, part := range strings.Split(line, `"`) {
		if i%2 == 1 {
			all = append(all, part)
			continue
		}
		for _, word := range strings.Fields(part) {
			all = append(all, word)
		}
	}
	return all
}

// types types every line, and looks after each whether all is as it was. An
// empty line lets some time go by.
func (s *story) types(at string, lines typed, do func(args ...any) (any, error)) {
	s.t.Helper()
	for _, line := range lines {
		if line == "" {
			s.Pause(2 * time.Second)
		} else {
			s.done(at + ": " + line)
			if _, err := do(words(line)...); err != nil && !strings.Contains(err.Error(), "in progress") {
				s.t.Fatalf("%s: %s: %v", at, line, err)
			}
		}
		s.Pause(200 * time.Millisecond)
		st, err := s.master.TryStatus()
		if err != nil || st.Phase != "serve" || !st.GrantOurs {
			s.t.Errorf("after %s at %s the master's watchdog says %s, row %d %s: %v", line, at, st.Phase, st.Row, st.Reason, err)
		}
	}
}

// calm waits until nobody is told anything.
func (s *story) calm() {
	s.t.Helper()
	s.WaitGuarded()
	s.Eventually("nobody is told of anything", 2*time.Minute, func() error {
		for _, d := range s.Watchdogs {
			st, err := d.TryStatus()
			if err != nil {
				return err
			}
			for _, f := range st.Faults {
				if f.ID == "lock_scripts" && isOn(s.t, builds.Redis60) {
					continue // what that build cannot do
				}
				return fmt.Errorf("%s: %s: %s", d.Name, f.ID, f.Text)
			}
		}
		return nil
	})
}

// TestOrdinaryCommandsAtRedis: diagnosis, configuration, backups, users, and
// connections that are put out, at a replica and at the master.
func TestOrdinaryCommandsAtRedis(t *testing.T) {
	t.Parallel()
	w := start(t, watched.Options{Systemd: true})
	s := begin(t, w)
	replica := w.Others(s.master)[0]
	s.types(replica.Name, append(onlyAtReplica, "CLIENT PAUSE 700 ALL", ""), replica.Redis.Try)
	for _, d := range []*watched.Watchdog{s.master, replica} {
		lines := atRedis
		if d != s.master {
			lines = nil
			for _, line := range atRedis {
				if !strings.HasPrefix(line, "FLUSH") && !strings.HasPrefix(line, "FUNCTION") && !strings.HasPrefix(line, "SWAPDB") {
					lines = append(lines, line)
				}
			}
		}
		s.types(d.Name, lines, d.Redis.Try)
	}
	s.done("the connections of the replicas and of the Sentinels' subscriptions are put out at the master")
	s.types(s.master.Name, typed{"CLIENT KILL TYPE replica", "CLIENT KILL TYPE pubsub", "CLIENT PAUSE 700 ALL", ""}, s.master.Redis.Try)
	s.calm()
	s.undisturbed()
	s.failsOver()
}

// TestOrdinaryCommandsAtTheSentinels: one Sentinel after the other is asked, set,
// reset, disconnected, paused and started again.
func TestOrdinaryCommandsAtTheSentinels(t *testing.T) {
	t.Parallel()
	w := start(t, watched.Options{Systemd: true})
	s := begin(t, w)
	for _, one := range w.Group.Sentinels {
		s.types(one.Name, typed{
			"SENTINEL CKQUORUM mymaster", "SENTINEL FLUSHCONFIG", "SENTINEL PENDING-SCRIPTS", "SENTINEL INFO-CACHE mymaster",
			"SENTINEL SET mymaster failover-timeout 12000", "SENTINEL SET mymaster parallel-syncs 2", "SENTINEL SET mymaster parallel-syncs 1",
			"SENTINEL SET mymaster quorum 3", "SENTINEL SET mymaster quorum 2",
			"SENTINEL CONFIG SET sentinel-user somebody", "SENTINEL CONFIG SET sentinel-user \"\"",
			"CLIENT KILL TYPE pubsub", "CLIENT KILL TYPE normal", "", "CLIENT PAUSE 700 ALL", "",
		}, one.Try)
		s.done(one.Name + ": SENTINEL RESET mymaster")
		one.Do("SENTINEL", "RESET", "mymaster")
		w.Eventually(one.Name+" knows all again", time.Minute, func() error {
			if r, o := len(one.Replicas("mymaster")), len(one.Sentinels("mymaster")); r != 2 || o != 2 {
				return fmt.Errorf("it knows %d replicas and %d other Sentinels", r, o)
			}
			return nil
		})
		s.done(one.Name + " is started again")
		one.Term()
		one.Restart()
		s.types(one.Name, typed{"PING", ""}, one.Try)
	}
	s.calm()
	s.undisturbed()
	s.failsOver()
}

// failsOver ends a story: what was done in it keeps nobody from being promoted.
func (s *story) failsOver() {
	s.t.Helper()
	s.done("the master dies")
	killed := s.master.Redis.Kill()
	next := s.WaitServing(s.Others(s.master)...)
	writer := next.Host.Writer(lab.LoadConfig{To: next.Redis})
	writer.WaitOK(killed, time.Minute)
	writer.Stop()
	s.master.Redis.Restart()
	s.WaitGuarded()
}
