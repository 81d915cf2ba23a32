package gate

// What is said to Redis, prepared before it is needed.

import (
	"strings"

	"github.com/redis-watchdog/redis-watchdog/fencing/gate/resp"
	"github.com/redis-watchdog/redis-watchdog/watchdog"
)

// The four parameters that the gate changes, and our values of them.
const (
	keyLock  = watchdog.ParameterLock
	keyLag   = watchdog.ParameterLag
	keyPrio  = watchdog.ParameterVeto
	keyStale = watchdog.ParameterStale

	lockValue  = watchdog.LockValue
	lagValue   = watchdog.LagValue
	vetoValue  = watchdog.VetoValue
	staleValue = watchdog.StaleValue

	nowhereHost = watchdog.NowhereHost
	nowhereElse = watchdog.NowhereElse // see turnAway
	nowherePort = watchdog.NowherePort
)

func isNowhere(host, port string) bool { return watchdog.IsNowhere(host + " " + port) }

// StartFencedLines is the lines of a redis.conf that make a Redis start fenced.
func StartFencedLines() []string {
	return []string{"replicaof " + watchdog.NowhereMaster, keyStale + " " + staleValue, keyPrio + " " + vetoValue}
}

// probeKey is read and deleted (it never exists) to see whether Redis refuses.
const probeKey = "redis-watchdog:probe"

// ACLRule is what the watchdog's Redis user needs, and no more, as arguments
// of ACL SETUSER (and as they stand in an aclfile):
//
//	ACL SETUSER redis-watchdog on >PASSWORD <ACLRule>
//
// On Redis 6.0 leave resetchannels and +failover out, which it does not know.
const ACLRule = "resetchannels ~redis-watchdog:* -@all +ping +info +role +get +del +xread +multi +exec" +
	" +config|get +config|set +config|rewrite +replicaof +failover" +
	" +client|id +client|setname +client|list +client|kill +client|pause +client|unpause"

// commands builds what is sent to Redis, with the names that it gives to its commands.
type commands struct {
	renamed map[string]string
}

func (w commands) add(b []byte, command string, args ...string) []byte {
	if as, ok := w.renamed[strings.ToUpper(command)]; ok {
		command = as
	}
	return resp.Append(b, append([]string{command}, args...)...)
}

func (w commands) one(command string, args ...string) []byte { return w.add(nil, command, args...) }

// script is a prepared pipeline: its bytes and how many answers it gets.
type script struct {
	bytes []byte
	n     int
}

func (s script) with(w commands, command string, args ...string) script {
	return script{w.add(s.bytes[:len(s.bytes):len(s.bytes)], command, args...), s.n + 1}
}

func (s script) then(t script) script {
	return script{append(s.bytes[:len(s.bytes):len(s.bytes)], t.bytes...), s.n + t.n}
}

// No step of the gate is a transaction. Redis 6.0 to 7.2 reject every command
// that is queued in MULTI while they are over maxmemory with nothing to evict,
// whether it needs memory or not (server.c, processCommand), and a transaction
// with one command that Redis denies or does not know does nothing at all. What
// is sent in one write is executed in one go all the same: Redis works off what
// it has read of a connection before it turns to the next. The order within a
// script is such that every first part of it is safe by itself.

// fenceScript is the fence, leaving out what this Redis lacks. The lock comes
// first: it stops writers whatever becomes of the rest. The priority stands
// before Redis is a replica that Sentinel could choose. FAILOVER ABORT comes
// before REPLICAOF, which is refused while Redis fails over; with none running
// it answers an error, which is nobody's harm. Clients are cut last, when
// nothing is answered any more.
func fenceScript(w commands, c capabilities) script {
	var s script
	if c.Config {
		s = s.with(w, "CONFIG", "SET", keyLock, lockValue)
		s = s.with(w, "CONFIG", "SET", keyStale, staleValue)
		s = s.with(w, "CONFIG", "SET", keyPrio, vetoValue)
	}
	if c.Failover {
		s = s.with(w, "FAILOVER", "ABORT")
	}
	if c.ReplicaOf {
		s = s.with(w, "REPLICAOF", nowhereHost, nowherePort)
	}
	if c.Kill {
		s = s.with(w, "CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes")
		s = s.with(w, "CLIENT", "KILL", "TYPE", "pubsub")
	}
	return s
}

// look back: the role, and whether a reader and a writer are refused. DEL of a
// key that does not exist changes nothing where it is not refused.
func probes(w commands) script {
	return script{}.with(w, "ROLE").with(w, "GET", probeKey).with(w, "DEL", probeKey)
}

// liveScript is what the watchdog sends when clients are to be refused: the
// fence, and a look at what came of it. The pause is lifted behind the fence:
// should Redis not take all of that, the writers that wait are refused by the
// lock, and where nothing refuses them they wait on.
func liveScript(w commands, c capabilities) script {
	s := fenceScript(w, c)
	if c.PauseWrite && (c.Config || c.ReplicaOf) {
		s = s.with(w, "CLIENT", "UNPAUSE")
	}
	return s.then(probes(w))
}

// lockScript sets the lock, and the lag without which it would be void.
func lockScript(w commands, maxLag string) script {
	s := script{}.with(w, "CONFIG", "SET", keyLock, lockValue)
	if maxLag == "0" {
		s = s.with(w, "CONFIG", "SET", keyLag, lagValue)
	}
	return s
}

// openScript makes a fenced Redis a master again, born locked. It is sent only
// when Redis has taken lockScript: REPLICAOF is executed here even where the
// lock before it is denied.
func openScript(w commands, maxLag string) script {
	return lockScript(w, maxLag).with(w, "REPLICAOF", "NO", "ONE")
}

// followScript makes Redis a replica. A master that is to become one answers
// nothing until it is in sync (shut).
func followScript(w commands, c capabilities, host, port string, shut, lock bool) script {
	var s script
	if lock {
		s = s.with(w, "CONFIG", "SET", keyLock, lockValue)
	}
	if shut {
		s = s.with(w, "CONFIG", "SET", keyStale, staleValue)
		s = s.with(w, "CONFIG", "SET", keyPrio, vetoValue)
	}
	s = s.with(w, "REPLICAOF", host, port)
	if shut && c.Kill {
		s = s.with(w, "CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes")
		s = s.with(w, "CLIENT", "KILL", "TYPE", "pubsub")
	}
	return s
}
