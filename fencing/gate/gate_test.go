package gate

import (
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/redis-watchdog/redis-watchdog/fencing/gate/resp"
	"github.com/redis-watchdog/redis-watchdog/watchdog"
)

var never = watchdog.Never

func refuse() watchdog.Gate { return watchdog.Gate{Access: watchdog.Refuse, StopBy: never} }

func TestGateTouchesNothingBeforeItIsTold(t *testing.T) {
	s := startRedis(t)
	l := startGate(t, s)
	l.sees("a master", func(r watchdog.Redis) bool {
		return r.Answer == watchdog.Up && r.Role == watchdog.Master && r.RunID != ""
	})
	if got := s.do("SET", "k", "v"); !got.OK() {
		t.Errorf("SET: got %+v", got)
	}
	eventually(t, "the originals are recorded", func() bool { return l.originals().Known })
	want := Originals{Known: true, MinReplicasToWrite: "0", MinReplicasMaxLag: "10", ReplicaPriority: "100", ReplicaServeStale: "yes", RunID: l.last().RunID}
	if got := l.originals(); got != want {
		t.Errorf("recorded: got %+v, want %+v", got, want)
	}
}

// What an earlier life has recorded counts from the first moment, and without
// being written again: the drift check tells the operator's values by it.
func TestRecordOfAnEarlierLifeIsOnRecord(t *testing.T) {
	s := startRedis(t)
	l := startGate(t, s)
	l.Want(watchdog.Gate{Access: watchdog.Lock})
	l.sees("a locked master", func(r watchdog.Redis) bool { return r.Locked })
	eventually(t, "the lock is on record", func() bool { return l.originals().Dirty })
	l.stop()
	was := l.originals()
	again := startGate(t, s, func(c *Config) { c.Originals = was })
	if got := again.Details().Recorded; got != was {
		t.Errorf("recorded: got %+v, want %+v", got, was)
	}
}

func TestOperatorsChangeIsLearntWithoutAHint(t *testing.T) {
	t.Parallel()
	s := startRedis(t)
	l := startGate(t, s)
	l.Want(watchdog.Gate{Access: watchdog.Serve})
	eventually(t, "the originals are recorded", func() bool { return l.originals().Known })
	s.do("CONFIG", "SET", keyPrio, "42")
	eventually(t, "the new priority is recorded", func() bool { return l.originals().ReplicaPriority == "42" })
	if got := s.config(keyPrio); got != "42" {
		t.Errorf("priority: got %s", got)
	}
}

func TestLockRefusesWritesAndServeTakesItOff(t *testing.T) {
	s := startRedis(t, "min-replicas-max-lag 0")
	l := startGate(t, s)
	l.Want(watchdog.Gate{Access: watchdog.Lock})
	l.sees("the lock", func(r watchdog.Redis) bool { return r.Locked })
	if got := s.do("SET", "k", "v"); !got.ErrorIs("NOREPLICAS") {
		t.Errorf("SET while locked: got %+v", got)
	}
	if got := s.do("GET", "k"); got.IsError() {
		t.Errorf("GET while locked: got %+v", got)
	}
	l.Want(watchdog.Gate{Access: watchdog.Serve})
	l.sees("no lock", func(r watchdog.Redis) bool { return !r.Locked })
	if got := s.do("SET", "k", "v"); !got.OK() {
		t.Errorf("SET: got %+v", got)
	}
	if lock, lag := s.config(keyLock), s.config(keyLag); lock != "0" || lag != "0" {
		t.Errorf("originals: got %s %s, want 0 0", lock, lag)
	}
}

func TestHoldMakesWritersWait(t *testing.T) {
	s := startRedis(t)
	l := startGate(t, s)
	l.sees("a master", func(r watchdog.Redis) bool { return r.Role == watchdog.Master })
	eventually(t, "rights are known", func() bool { return l.capabilities().Checked })
	l.Want(watchdog.Gate{Access: watchdog.Hold})
	l.sees("the hold", func(r watchdog.Redis) bool { return r.Held })
	writer := s.client()
	answered := make(chan resp.Reply, 1)
	go func() {
		r, _ := writer.try("SET", "k", "v")
		answered <- r
	}()
	for range 20 { // reads go on for longer than one pause lasts
		if got := s.do("GET", "k"); got.IsError() || !got.Null {
			t.Fatalf("GET while held: got %+v", got)
		}
		select {
		case r := <-answered:
			t.Fatalf("SET was answered while held: %+v", r)
		case <-time.After(2 * onePause / 20):
		}
	}
	l.Want(watchdog.Gate{Access: watchdog.Serve})
	if got := <-answered; !got.OK() {
		t.Errorf("SET after the hold: got %+v", got)
	}
	l.sees("no hold", func(r watchdog.Redis) bool { return !r.Held })
}

func TestRefuseCutsClientsAndSurvivesARestart(t *testing.T) {
	s := startRedis(t, "replica-priority 50")
	l := startGate(t, s)
	l.Want(watchdog.Gate{Access: watchdog.Serve})
	eventually(t, "the originals are recorded", func() bool { return l.originals().Known })
	c := s.client()
	c.do("SET", "k", "v")
	l.Want(refuse())
	l.sees("Redis refusing", func(r watchdog.Redis) bool { return r.Refusing && r.Role == watchdog.Nowhere })
	if _, err := c.try("GET", "k"); err == nil {
		t.Errorf("an open connection was answered after the fence")
	}
	if got := s.do("GET", "k"); !got.ErrorIs("MASTERDOWN") {
		t.Errorf("GET: got %+v", got)
	}
	if got := s.do("SET", "k", "w"); !got.ErrorIs("READONLY") {
		t.Errorf("SET: got %+v", got)
	}
	eventually(t, "the fence is in redis.conf", func() bool {
		return s.inFile("replicaof") == "127.0.0.1 0" && s.inFile(keyStale) == "no" && s.inFile(keyPrio) == "0"
	})
	s.kill()
	l.sees("nobody listening", func(r watchdog.Redis) bool { return r.Answer == watchdog.Absent && r.Refusing })
	s.start()
	r := l.sees("a shut Redis", func(r watchdog.Redis) bool { return r.Answer == watchdog.Up && r.Refusing })
	if !r.StartedFenced {
		t.Errorf("a Redis that came up shut is not called gated")
	}
	if got := s.do("GET", "k"); !got.ErrorIs("MASTERDOWN") {
		t.Errorf("GET after the restart: got %+v", got)
	}
	// Opened again: locked, then everything as the operator had it.
	l.Want(watchdog.Gate{Access: watchdog.Lock, Open: true})
	l.sees("a locked master", func(r watchdog.Redis) bool { return r.Role == watchdog.Master && r.Locked && !r.StartedFenced })
	l.Want(watchdog.Gate{Access: watchdog.Serve})
	l.sees("no lock", func(r watchdog.Redis) bool { return !r.Locked })
	checkOriginals(t, s, "50")
}

func checkOriginals(t *testing.T, s *server, prio string) {
	t.Helper()
	now := map[string]string{keyLock: "0", keyLag: "10", keyPrio: prio, keyStale: "yes"}
	for key, want := range now {
		eventually(t, key+" is the operator's again", func() bool { return s.config(key) == want })
	}
	eventually(t, "redis.conf is the operator's again", func() bool {
		for key, want := range now {
			if got := s.inFile(key); got != "" && got != want {
				return false
			}
		}
		return true
	})
}

func TestFencedRedisIsFencedAgain(t *testing.T) {
	s := startRedis(t)
	l := startGate(t, s)
	l.Want(refuse())
	l.sees("Redis refusing", func(r watchdog.Redis) bool { return r.Refusing })
	s.do("REPLICAOF", "NO", "ONE")
	eventually(t, "it is fenced again", func() bool { return s.role() == "slave of 127.0.0.1:0 connect" && l.Details().Fences >= 2 })
	s.do("CONFIG", "SET", keyStale, "yes")
	eventually(t, "it refuses again", func() bool {
		c := s.client()
		defer c.nc.Close()
		r, err := c.try("GET", "k") // the fence may kill this one too
		return err == nil && r.ErrorIs("MASTERDOWN")
	})
}

func TestFencedRedisStaysFencedWithoutOpen(t *testing.T) {
	s := startRedis(t)
	l := startGate(t, s)
	l.Want(refuse())
	l.sees("Redis refusing", func(r watchdog.Redis) bool { return r.Refusing })
	for _, a := range []watchdog.Access{watchdog.Serve, watchdog.Lock, watchdog.Hold, watchdog.Leave, watchdog.Follow} {
		l.Want(watchdog.Gate{Access: a, Arm: bootTime().Add(time.Minute)})
		l.mu.Lock()
		from := l.reports
		l.mu.Unlock()
		eventually(t, "some looks", func() bool { l.mu.Lock(); defer l.mu.Unlock(); return l.reports > from+3 })
		if r := l.last(); !r.Refusing || r.Role != watchdog.Nowhere {
			t.Errorf("%v: got %+v", a, r)
		}
	}
}

func TestRejoinAnswersNothingUntilInSync(t *testing.T) {
	master := startRedis(t)
	s := startRedis(t)
	l := startGate(t, s)
	master.do("SET", "k", "master's")
	s.do("SET", "k", "stale")
	l.Want(watchdog.Gate{Access: watchdog.Serve})
	eventually(t, "the originals are recorded", func() bool { return l.originals().Known })
	l.Want(refuse())
	l.sees("Redis refusing", func(r watchdog.Redis) bool { return r.Refusing })
	l.Want(watchdog.Gate{Access: watchdog.Follow, Master: watchdog.Address(master.address())})
	eventually(t, "a read is answered", func() bool {
		r := s.do("GET", "k")
		if !r.IsError() && r.Text != "master's" {
			t.Fatalf("GET during the rejoin: got %+v", r)
		}
		return !r.IsError()
	})
	r := l.sees("a locked replica", func(r watchdog.Redis) bool { return r.Role == watchdog.Replica && r.LinkUp && r.Locked })
	if r.Following != watchdog.Address(master.address()) {
		t.Errorf("following: got %q, want %q", r.Following, master.address())
	}
	eventually(t, "the originals are back", func() bool { return s.config(keyPrio) == "100" && s.config(keyStale) == "yes" })
	if s.config(keyLock) != lockValue {
		t.Errorf("the replica is not locked")
	}
	eventually(t, "the fence is out of redis.conf", func() bool {
		return s.inFile("replicaof") == "127.0.0.1 "+master.port && s.inFile(keyPrio) != "0" && s.inFile(keyStale) != "no"
	})
	// Promoted as Sentinel does it: born locked. Nobody leads it back.
	l.Want(watchdog.Gate{Access: watchdog.Follow})
	c := s.client()
	c.do("MULTI")
	c.do("SLAVEOF", "NO", "ONE")
	c.do("CONFIG", "REWRITE")
	c.do("CLIENT", "KILL", "TYPE", "normal")
	c.try("EXEC")
	if got := s.do("SET", "k", "v"); !got.ErrorIs("NOREPLICAS") {
		t.Errorf("first write after a promotion: got %+v", got)
	}
	l.Want(watchdog.Gate{Access: watchdog.Serve, Arm: bootTime().Add(time.Minute)})
	l.sees("an open, armed master", func(r watchdog.Redis) bool { return r.Role == watchdog.Master && !r.Locked && r.ArmedFor != 0 })
	checkOriginals(t, s, "100")
}

func TestVetoIsKeptAndTheOperatorsZeroStays(t *testing.T) {
	master := startRedis(t)
	s := startRedis(t, "replicaof 127.0.0.1 "+master.port)
	l := startGate(t, s)
	l.Want(watchdog.Gate{Access: watchdog.Follow, Veto: true})
	eventually(t, "the veto stands", func() bool { return s.config(keyPrio) == "0" })
	if o := l.originals(); !o.Veto || o.ReplicaPriority != "100" {
		t.Errorf("record under the veto: %+v", o)
	}
	// A crash, and another watchdog with the record.
	l.stop()
	again := startGate(t, s, func(c *Config) { c.Originals = l.originals() })
	again.Want(watchdog.Gate{Access: watchdog.Follow})
	eventually(t, "the veto is lifted", func() bool { return s.config(keyPrio) == "100" })
	s.do("CONFIG", "SET", keyPrio, "0")
	again.ObserveNow()
	eventually(t, "the operator's 0 is recorded", func() bool { return again.originals().ReplicaPriority == "0" })
	again.Want(watchdog.Gate{Access: watchdog.Follow, Veto: true})
	again.sees("anything", func(r watchdog.Redis) bool { return r.Locked })
	again.Want(watchdog.Gate{Access: watchdog.Follow, Unlocked: true})
	again.sees("no lock", func(r watchdog.Redis) bool { return !r.Locked })
	if got := s.config(keyPrio); got != "0" {
		t.Errorf("the operator's priority: got %s, want 0", got)
	}
}

func TestReleaseGivesEverythingBack(t *testing.T) {
	master := startRedis(t)
	s := startRedis(t, "replicaof 127.0.0.1 "+master.port, "replica-priority 7")
	l := startGate(t, s)
	l.Want(watchdog.Gate{Access: watchdog.Follow, Veto: true})
	eventually(t, "veto and lock stand", func() bool { return s.config(keyPrio) == "0" && s.config(keyLock) == lockValue })
	s.do("CONFIG", "REWRITE") // as Sentinel's reconfigurations do
	l.Want(watchdog.Gate{Access: watchdog.Leave, Release: true})
	checkOriginals(t, s, "7")
}

// reconfigure does what Sentinel does to a Redis.
func (s *server) reconfigure(words ...string) {
	s.t.Helper()
	c := s.client()
	c.do("MULTI")
	c.do(append([]string{"SLAVEOF"}, words...)...)
	c.do("CONFIG", "REWRITE")
	c.do("CLIENT", "KILL", "TYPE", "normal")
	c.do("CLIENT", "KILL", "TYPE", "pubsub")
	c.try("EXEC")
}

// Sentinel has made a fenced Redis a replica, and cut every connection: the gate
// looks what it is before it fences again.
func TestFencedRedisThatBecomesAReplicaIsLeftToItsOwner(t *testing.T) {
	const rounds = 10 // whoever reconnects first
	master, blind := startRedis(t), 0
	for range rounds {
		s := startRedis(t)
		l := startGate(t, s)
		l.Want(refuse())
		l.sees("Redis refusing", func(r watchdog.Redis) bool { return r.Refusing })
		eventually(t, "its fence is counted", func() bool { return l.Details().Fences > 0 }) // a look may show it before
		first := l.Details()
		s.reconfigure("127.0.0.1", master.port)
		// One that says nothing in time may be a master by now, and is fenced
		// again: a machine that stands still makes Redis such a one.
		eventually(t, "it is a replica", func() bool {
			r := l.last()
			return l.Details().Blind > first.Blind || r.Role == watchdog.Replica && r.LinkUp
		})
		l.mu.Lock()
		from := l.reports
		l.mu.Unlock()
		eventually(t, "some looks", func() bool { l.mu.Lock(); defer l.mu.Unlock(); return l.reports > from+3 })
		d, r := l.Details(), l.last()
		again, unasked := d.Fences-first.Fences, d.Blind-first.Blind
		if first.Fences != 1 || again != unasked || unasked == 0 && r.Role != watchdog.Replica {
			t.Errorf("fenced %d times, and %d times again, %d of them unasked, it is %+v; want once, and a replica", first.Fences, again, unasked, r)
		}
		if unasked > 0 {
			blind++
		}
	}
	if blind == rounds {
		t.Errorf("in all %d rounds Redis did not say in time what it is", rounds)
	}
}

// A master is fenced again whoever has cut the connections.
func TestFencedRedisThatBecomesAMasterIsFencedAgain(t *testing.T) {
	s := startRedis(t)
	l := startGate(t, s)
	l.Want(refuse())
	l.sees("Redis refusing", func(r watchdog.Redis) bool { return r.Refusing })
	for n := range int64(10) {
		s.reconfigure("NO", "ONE")
		eventually(t, "it is fenced again", func() bool { return l.Details().Fences >= 2+n && s.role() == "slave of 127.0.0.1:0 connect" })
		l.sees("Redis refusing", func(r watchdog.Redis) bool { return r.Refusing && r.Role == watchdog.Nowhere })
	}
}

// One that was fenced by hand is fenced whatever Sentinel makes of it; that is a
// quarrel which nobody wins, and redis.conf is not written for every round of it.
func TestQuarrelAboutAFenceDoesNotWearTheDisk(t *testing.T) {
	master := startRedis(t)
	s := startRedis(t)
	l := startGate(t, s)
	want := refuse()
	want.AnyRole = true
	l.Want(want)
	l.sees("Redis refusing", func(r watchdog.Redis) bool { return r.Refusing })
	const rounds = 30
	for range rounds {
		fenced := l.Details().Fences
		s.reconfigure("127.0.0.1", master.port)
		eventually(t, "it is fenced again", func() bool { return l.Details().Fences > fenced })
	}
	l.sees("Redis refusing", func(r watchdog.Redis) bool { return r.Refusing && r.Role == watchdog.Nowhere })
	line := s.do("INFO", "commandstats").Text
	_, calls, _ := strings.Cut(line, "cmdstat_config|rewrite:calls=")
	calls, _, _ = strings.Cut(calls, ",")
	n, err := strconv.Atoi(calls)
	if err != nil {
		t.Fatalf("%q: %v", line, err)
	}
	if ours := n - rounds; ours > 8 {
		t.Errorf("%d CONFIG REWRITEs of ours in %d rounds", ours, rounds)
	}
}

// A fence by hand is never wrong for long in Sentinel's eyes: see turnAway.
func TestFenceByHandFollowsOneNobodyAndThenAnother(t *testing.T) {
	s := startRedis(t)
	l := startGate(t, s)
	want := refuse()
	want.AnyRole = true
	l.Want(want)
	l.sees("Redis refusing", func(r watchdog.Redis) bool { return r.Refusing })
	for _, host := range []string{nowhereElse, nowhereHost, nowhereElse} {
		eventually(t, "it follows "+host, func() bool { return s.role() == "slave of "+host+":0 connect" })
		if r := l.sees("nowhere", func(r watchdog.Redis) bool { return r.Role == watchdog.Nowhere }); !r.Refusing {
			t.Errorf("at %s it does not refuse", host)
		}
	}
	if n := l.Details().Fences; n != 1 {
		t.Errorf("fenced %d times, want once", n)
	}
	l.Want(watchdog.Gate{Access: watchdog.Lock, Open: true})
	l.sees("a locked master", func(r watchdog.Redis) bool { return r.Role == watchdog.Master && r.Locked })
}

// The fence itself cuts everybody, and those who begin another connection at once
// are not cut again before they can have been heard on it: see putOut.
func TestClientsAreNotPutOutRightBehindTheFence(t *testing.T) {
	s := startRedis(t)
	l := startGate(t, s)
	want := refuse()
	want.PutOut = true
	ended := func(c *client) {
		eventually(t, "the connection is ended", func() bool {
			_, err := c.try("PING")
			return err != nil
		})
	}
	first, begun := s.client(), bootTime()
	l.Want(want)
	ended(first) // by the fence
	ended(s.client())
	if after := bootTime().Sub(begun); after < putOutEvery {
		t.Errorf("cut again %v after the fence", after)
	}
}
