package gate

import (
	"strconv"
	"strings"
	"sync/atomic"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/redis-watchdog/redis-watchdog/watchdog"
)

// A record that cannot be written is tried again now and then, which costs Redis
// no more looks than a gate makes that has nothing to write, and it is written
// when there is room.
func TestRecordIsTriedAgainWhileTheDiskIsFull(t *testing.T) {
	t.Parallel()
	s, calm := startRedis(t), startRedis(t)
	var attempts atomic.Int64
	var room atomic.Bool
	l := startGate(t, s, func(c *Config) {
		c.Record = func(Originals) error {
			attempts.Add(1)
			if !room.Load() {
				return unix.ENOSPC
			}
			return nil
		}
	})
	other := startGate(t, calm)
	for _, g := range []*lab{l, other} {
		g.sees("a master", func(r watchdog.Redis) bool { return r.Role == watchdog.Master })
	}
	eventually(t, "the record is tried again", func() bool { return l.fault("record") != nil && attempts.Load() > 1 })
	from, looked, compared := attempts.Load(), s.looks(t), calm.looks(t)
	eventually(t, "the other Redis is looked at ten times more", func() bool { return calm.looks(t) >= compared+10 })
	if tried, looks := attempts.Load()-from, s.looks(t)-looked; tried > 30 || looks > 30 {
		t.Errorf("the record was tried %d times and Redis looked at %d times, while the other was 10 times", tried, looks)
	}
	room.Store(true)
	eventually(t, "nothing is wrong", func() bool { return l.fault("record") == nil })
}

// looks is how often Redis was asked for its role.
func (s *server) looks(t *testing.T) int64 {
	t.Helper()
	text := s.do("INFO", "commandstats").Text
	_, calls, found := strings.Cut(text, "cmdstat_role:calls=")
	if !found {
		return 0
	}
	n, err := strconv.ParseInt(calls[:strings.IndexByte(calls, ',')], 10, 64)
	if err != nil {
		t.Fatalf("%q: %v", text, err)
	}
	return n
}
