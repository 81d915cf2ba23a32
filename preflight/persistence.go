package preflight

import (
	"fmt"
	"time"
)

func persistenceChecks() []check {
	return []check{
		{Check{ID: "persistence_writable", Severity: Blocks, Veto: true}, ofPair, persistenceWritable},
		{Check{ID: "persistence_restart", Severity: Warns}, ofPair, persistenceRestart},
		{Check{ID: "persistence_load_timeout", Severity: Warns, Elsewhere: Warns}, ofNodes, persistenceLoadTimeout},
		{Check{ID: "persistence_status", Severity: Warns, Elsewhere: Warns}, ofNodes, persistenceStatus},
		{Check{ID: "persistence_fork", Severity: Warns}, ofPair, persistenceFork},
		{Check{ID: "persistence_fork_time", Severity: Warns}, ofPair, persistenceForkTime},
		{Check{ID: "persistence_fsync", Severity: Warns}, ofPair, persistenceFsync},
		{Check{ID: "persistence_size", Severity: Warns}, ofMaster, persistenceSize},
	}
}

// persistenceWritable is whether Redis refuses writes because it cannot save:
// MISCONF, which a replica shows only when it is master (server.c,
// writeCommandsDeniedByDiskError).
func persistenceWritable(s *subject) answer {
	reason, remedy := s.denied(s.node)
	if s.short() {
		return answer{}
	}
	if reason == "" {
		return passed("nothing keeps " + s.node.Address + " from accepting writes")
	}
	a := failed(reason, remedy)
	if s.node != s.master && s.master != nil && s.master.Redis != nil {
		master := subject{facts: s.facts, master: s.master, node: s.master}
		theirs, _ := master.denied(s.master)
		if a.masterToo = theirs != "" && !master.short(); a.masterToo {
			s.seen = append(s.seen, master.seen...)
		}
	}
	return a
}

// denied is why a Redis refuses writes as a master because it cannot save, and
// what helps; empty: it does not.
func (s *subject) denied(n *Node) (reason, remedy string) {
	aof, rdb := s.keeps(n)
	stop := s.config(n, "stop-writes-on-bgsave-error")
	save := s.infoText(n, "rdb_last_bgsave_status")
	write := s.infoText(n, "aof_last_write_status")
	if s.short() {
		return "", ""
	}
	disk := "df -h " + orThe(n.Redis.Config["dir"], "/var/lib/redis")
	switch {
	case aof && write != "ok":
		return n.Address + " cannot write its append-only file: as a master it refuses every write (MISCONF)", onHost(n, disk+"; the log of Redis says what failed")
	case rdb && stop == "yes" && save != "ok":
		return n.Address + " failed to save and has stop-writes-on-bgsave-error yes: as a master it refuses every write (MISCONF)", cli(n) + " BGSAVE   # once there is room for it, and Redis may write there: " + onHost(n, disk)
	}
	return "", ""
}

func persistenceRestart(s *subject) answer {
	aof, rdb := s.keeps(s.node)
	if s.short() {
		return answer{}
	}
	if aof || rdb {
		return passed("a restart finds data on disk")
	}
	h := s.host(s.node)
	if h == nil {
		return answer{}
	}
	s.show("restarts", orThe(h.Restarts, "unknown"), "the service manager of "+s.node.Address)
	switch h.Restarts {
	case "no":
		return passed("it keeps nothing on disk, and nobody starts it again after a crash")
	case "yes":
		return failed(fmt.Sprintf("%s keeps nothing on disk and is started again after a crash: as a master it comes back empty, and its replicas empty themselves after it", s.node.Address),
			set(s.node, "appendonly", "yes")+"   # or save, or Restart=no in its unit; then CONFIG REWRITE")
	}
	s.hostLack(s.node, "whether something starts Redis again", "host.restarts")
	return answer{}
}

// loadRate is of how many bytes of used_memory a second of loading is reckoned
// with: 187 MB of small keys took Redis 7.0.15 3.7 to 5 s (36 to 48 MiB a second) on
// two busy cores, and an append-only file without a preamble takes longer.
const loadRate = 30 << 20

// persistenceLoadTimeout is whether the service manager waits until the data is
// loaded. Redis says READY=1 then and not before; a start that takes longer is ended
// by SIGTERM, with nothing loaded, and the next begins anew (seen with 7.0.15 and
// systemd 252; systemd/loading_test.go). What is on disk is loaded whatever save
// says: a replica has an RDB file of its last full sync.
//
// Before 6.2.6 a replica is ready for the service manager when it is in step with
// its master (replication.c of 6.0.16 and 6.2.0).
func persistenceLoadTimeout(s *subject) answer {
	h := s.host(s.node)
	version := s.infoText(s.node, "redis_version")
	role := s.infoText(s.node, "role")
	if s.short() {
		return answer{}
	}
	if h.Unit == "" {
		return passed("no unit is configured (nodes[].unit): how long it may load was not looked at")
	}
	if h.StartTimeout == 0 {
		s.hostLack(s.node, "how long the service manager lets Redis load", "host.restarts")
		return answer{}
	}
	if h.StartTimeout < 0 {
		return passed("a start may take as long as it takes")
	}
	waits := time.Duration(h.StartTimeout * float64(time.Second))
	s.show("TimeoutStartSec", waits.String(), "the service manager of "+s.node.Address)
	remedy := onHost(s.node, WaitForLoading(h.Unit))
	if v, known := versionNumbers(version); role == "slave" && known && (v[0] < 6 || v[0] == 6 && (v[1] < 2 || v[1] == 2 && v[2] < 6)) {
		return failed(fmt.Sprintf("a start of %s may take %s, and a replica of Redis %s is ready for its service manager when it is in step with a master: without one it is ended and started anew, for ever", s.node.Address, waits, version), remedy)
	}
	took, how := s.loads(h)
	if s.short() {
		return answer{}
	}
	return verdictOn(took <= waits, fmt.Sprintf("a start may take %s, and %s", waits, how),
		fmt.Sprintf("a start of %s may take %s, but %s: its service manager ends Redis before it serves, and starts it anew, for ever", s.node.Address, waits, how), remedy)
}

// WaitForLoading is the shell command that lets a unit's start take as long as it
// takes, one that is under way, too.
func WaitForLoading(unit string) string {
	return "d=/etc/systemd/system/" + unit + `.d; mkdir -p $d && printf '[Service]\nTimeoutStartSec=infinity\n' >$d/zz-loading.conf && systemctl daemon-reload`
}

// loads is how long a start of the node takes: as it loads just now, or reckoned
// by its size.
func (s *subject) loads(h *Host) (took time.Duration, how string) {
	if s.infoOf(s.node, "loading", "0") == "1" {
		since := time.Unix(s.info(s.node, "loading_start_time"), 0)
		left := time.Duration(s.info(s.node, "loading_eta_seconds")) * time.Second
		took = max(h.Now.Sub(since), 0) + max(left, 0)
		return took, fmt.Sprintf("it is loading just now, which takes about %s", took.Round(time.Second))
	}
	used := s.infoBytes(s.node, "used_memory")
	took = time.Duration(float64(used) / loadRate * float64(time.Second))
	return took, fmt.Sprintf("%s take about %s to load", size(used), took.Round(time.Second))
}

func persistenceStatus(s *subject) answer {
	save := s.infoText(s.node, "rdb_last_bgsave_status")
	rewrite := s.infoText(s.node, "aof_last_bgrewrite_status")
	write := s.infoText(s.node, "aof_last_write_status")
	if s.short() {
		return answer{}
	}
	return verdictOn(save == "ok" && rewrite == "ok" && write == "ok", "saving works",
		fmt.Sprintf("saving failed at %s: snapshot %s, AOF rewrite %s, AOF write %s", s.node.Address, save, rewrite, write),
		onHost(s.node, "the log of Redis says what failed; "+cli(s.node)+" INFO persistence"))
}

func persistenceFork(s *subject) answer {
	save, rewrite := s.infoText(s.node, "rdb_bgsave_in_progress"), s.infoText(s.node, "aof_rewrite_in_progress")
	if s.short() {
		return answer{}
	}
	return verdictOn(save == "0" && rewrite == "0", "no fork is running",
		s.node.Address+" is saving: a failover now asks for more copy-on-write and disk at once", "wait; "+cli(s.node)+" INFO persistence")
}

func persistenceForkTime(s *subject) answer {
	took := time.Duration(min(s.info(s.node, "latest_fork_usec"), int64(time.Hour/time.Microsecond))) * time.Microsecond
	used := s.infoBytes(s.node, "used_memory")
	if s.short() {
		return answer{}
	}
	return verdictOn(took <= s.policy.Fork, fmt.Sprintf("the latest fork took %s", took),
		fmt.Sprintf("the latest fork of %s held it up for %s with %s of data", s.node.Address, took, size(used)),
		onHost(s.node, "echo never > /sys/kernel/mm/transparent_hugepage/enabled; or smaller instances"))
}

func persistenceFsync(s *subject) answer {
	if aof := s.config(s.node, "appendonly"); aof == "no" {
		return passed("no append-only file")
	}
	if s.short() {
		return answer{}
	}
	delayed := s.info(s.node, "aof_delayed_fsync")
	if s.short() {
		return answer{}
	}
	return verdictOn(delayed == 0, "no fsync was late",
		fmt.Sprintf("%d times %s had to wait for the disk before it could write its AOF, since it started", delayed, s.node.Address),
		onHost(s.node, "a faster disk, or one of its own; iostat -x 1"))
}

func persistenceSize(s *subject) answer {
	used := s.infoBytes(s.node, "used_memory")
	if s.short() {
		return answer{}
	}
	return verdictOn(used <= s.policy.LargeInstance, "the data is of a wise size",
		fmt.Sprintf("the data is %s, larger than %s: a full sync, a fork and a restart take long", size(used), size(s.policy.LargeInstance)),
		"split it into several groups")
}
