package preflight

import (
	"fmt"
	"time"
)

func persistenceChecks() []check {
	return []check{
		{Check{ID: "persistence_writable", Severity: Blocks, Veto: true}, ofPair, persistenceWritable},
		{Check{ID: "persistence_restart", Severity: Warns}, ofPair, persistenceRestart},
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
		return n.Address + " failed to save and has stop-writes-on-bgsave-error yes: as a master it refuses every write (MISCONF)", onHost(n, disk+"; then "+cli(n)+" BGSAVE")
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
