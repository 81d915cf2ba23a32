package gate

// A Redis at its memory limit with nothing to evict. Redis 6.0 to 7.2 reject
// every command that is queued in MULTI there, whether it needs memory or not.

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/redis-watchdog/redis-watchdog/fencing/gate/resp"
	"github.com/redis-watchdog/redis-watchdog/watchdog"
)

// memory is what is configured of it.
type memory struct {
	used   string // under, at or over the limit
	ignore string // replica-ignore-maxmemory
	policy string // maxmemory-policy; there is no key with a time to live
}

// memories is every combination.
func memories() (all []memory) {
	for _, used := range []string{"under", "at", "over"} {
		for _, ignore := range []string{"yes", "no"} {
			for _, policy := range []string{"noeviction", "volatile-lru"} {
				all = append(all, memory{used, ignore, policy})
			}
		}
	}
	return all
}

func (m memory) String() string {
	return fmt.Sprintf("%s/ignore %s/%s", m.used, m.ignore, m.policy)
}

// limit sets the limit, and wants Redis to be where m says.
func (m memory) limit(s *server) {
	s.t.Helper()
	s.do("SET", "k", strings.Repeat("v", 1<<20))
	limit := map[string]string{"under": "1gb", "at": info(s.do("INFO", "memory").Text)["used_memory"], "over": "1"}[m.used]
	if r := s.do("CONFIG", "SET", "maxmemory", limit); !r.OK() {
		s.t.Fatalf("limit memory: %+v", r)
	}
	got := s.do("SET", "grown", "v")
	if m.used == "over" && !got.ErrorIs("OOM") || m.used == "under" && !got.OK() {
		s.t.Fatalf("a write when %s: got %+v", m, got)
	}
}

// everyChange has the gate make every change it knows, one after the other,
// and wants each to be seen by a client.
func everyChange(t *testing.T, m memory, start func(lines ...string) *server) {
	master, s := start(), start("maxmemory-policy "+m.policy, "replica-ignore-maxmemory "+m.ignore, "replica-priority 33")
	kept := newShelf(t)
	l := startGate(t, s, func(c *Config) { c.Store = kept })
	m.limit(s)
	eventually(t, "the originals are recorded and rights known", func() bool { return l.originals().Known && l.capabilities().Checked })
	// Its own change needs no memory: that only what is refused is refused is
	// seen with DEL of no key.
	answers := func(what, get, del string) {
		t.Helper()
		eventually(t, fmt.Sprintf("%s: GET is answered %q and DEL %q", what, get, del), func() bool {
			c := s.client()
			defer c.nc.Close()
			is := func(want string, words ...string) bool {
				r, err := c.try(words...) // the fence may cut this one too
				return err == nil && (want == "" && !r.IsError() || want != "" && r.ErrorIs(strings.Fields(want)...))
			}
			return is(get, "GET", "none") && is(del, "DEL", "none")
		})
		if d := l.Details(); len(d.Faults) != 0 && !(len(d.Faults) == 1 && d.Faults[0].ID == "rights_pause") || d.Errors != 0 {
			t.Errorf("%s: %d changes were refused, faults %+v", what, d.Errors, d.Faults)
		}
	}
	far := func() watchdog.Instant { return bootTime().Add(time.Minute) }
	open := func() {
		t.Helper()
		l.Want(watchdog.Gate{Access: watchdog.Lock, Open: true})
		l.sees("a locked master", func(r watchdog.Redis) bool { return r.Role == watchdog.Master && r.Locked })
		answers("opened", "", "NOREPLICAS")
		l.Want(watchdog.Gate{Access: watchdog.Serve, Arm: far()})
		l.sees("an armed, open master", func(r watchdog.Redis) bool {
			return r.Role == watchdog.Master && !r.Locked && r.ArmedFor != 0
		})
		answers("serving", "", "")
		checkOriginals(t, s, "33")
	}
	follow := func() {
		t.Helper()
		l.Want(watchdog.Gate{Access: watchdog.Follow, Master: watchdog.Address(master.address())})
		l.sees("a locked replica in step", func(r watchdog.Redis) bool {
			return r.Role == watchdog.Replica && r.LinkUp && r.Locked
		})
		answers("a replica", "", "READONLY")
		eventually(t, "the operator's values are back", func() bool { return s.config(keyPrio) == "33" && s.config(keyStale) == "yes" })
	}

	l.Want(watchdog.Gate{Access: watchdog.Lock})
	l.sees("the lock", func(r watchdog.Redis) bool { return r.Locked })
	answers("locked", "", "NOREPLICAS")
	open()
	held(t, l, s)
	l.Want(refuse())
	l.sees("Redis refusing", func(r watchdog.Redis) bool { return r.Refusing && r.Role == watchdog.Nowhere })
	answers("fenced", "MASTERDOWN", "READONLY")
	eventually(t, "redis.conf says so", func() bool { return s.inFile(keyStale) == "no" && s.inFile(keyPrio) == "0" })
	open()

	// The fence that stands inside Redis, without anybody.
	stop := l.serve(time.Second)
	l.sees("an armed fence", func(r watchdog.Redis) bool {
		return r.ArmedFor != 0 && r.ArmedFor < bootTime().Add(2*time.Second)
	})
	stop()
	l.stop()
	idle := s.client()
	eventually(t, "the armed fence fires", func() bool { return strings.HasPrefix(s.role(), "slave of 127.0.0.1:0") })
	if r, err := idle.try("GET", "k"); err == nil && !r.ErrorIs("MASTERDOWN") {
		t.Errorf("a client that was connected is answered by the fenced Redis: %+v", r)
	}
	if lock, prio := s.config(keyLock), s.config(keyPrio); lock != lockValue || prio != vetoValue {
		t.Errorf("the armed fence has left %s %s and %s %s", keyLock, lock, keyPrio, prio)
	}
	before := l
	l = startGate(t, s, func(c *Config) { c.Originals, c.Adopted, c.Store = before.originals(), kept.take(), kept })
	l.sees("Redis refusing", func(r watchdog.Redis) bool { return r.Refusing && r.Role == watchdog.Nowhere })
	answers("fenced by itself", "MASTERDOWN", "READONLY")
	open()

	follow() // from serving
	l.Want(watchdog.Gate{Access: watchdog.Follow, Veto: true})
	eventually(t, "the veto stands", func() bool { return s.config(keyPrio) == vetoValue })
	l.Want(watchdog.Gate{Access: watchdog.Follow})
	eventually(t, "the veto is lifted", func() bool { return s.config(keyPrio) == "33" })
	if r := s.do("REPLICAOF", "NO", "ONE"); !r.OK() {
		t.Fatalf("promote: %+v", r)
	}
	answers("born", "", "NOREPLICAS")
	open()
	l.Want(refuse())
	l.sees("Redis refusing", func(r watchdog.Redis) bool { return r.Refusing && r.Role == watchdog.Nowhere })
	follow() // from nowhere
	l.Want(watchdog.Gate{Access: watchdog.Leave, Release: true})
	checkOriginals(t, s, "33")
}

// held wants a hold: a writer waits, and goes on.
func held(t *testing.T, l *lab, s *server) {
	t.Helper()
	l.Want(watchdog.Gate{Access: watchdog.Hold, Arm: bootTime().Add(time.Minute)})
	if !l.capabilities().PauseWrite {
		l.sees("the lock of a hold", func(r watchdog.Redis) bool { return r.Locked })
		return
	}
	l.sees("the hold", func(r watchdog.Redis) bool { return r.Held })
	c := s.client()
	if _, err := c.nc.Write(resp.Append(nil, "DEL", "none")); err != nil {
		t.Fatal(err)
	}
	eventually(t, "a writer waits", func() bool {
		return strings.Contains(s.do("CLIENT", "LIST").Text, " cmd=del ")
	})
	l.Want(watchdog.Gate{Access: watchdog.Serve, Arm: bootTime().Add(time.Minute)})
	c.nc.SetDeadline(time.Now().Add(patience))
	if r, err := resp.Read(c.r); err != nil || r.IsError() {
		t.Errorf("the writer that was held: %+v, %v", r, err)
	}
}

func TestEveryChangeWorksAtAnyMemory(t *testing.T) {
	for _, m := range memories() {
		t.Run(m.String(), func(t *testing.T) {
			t.Parallel()
			everyChange(t, m, func(lines ...string) *server { return startRedis(t, lines...) })
		})
	}
}
