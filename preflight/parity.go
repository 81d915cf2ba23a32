package preflight

import (
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/redis-watchdog/redis-watchdog/watchdog"
)

func parityChecks() []check {
	return []check{
		{Check{ID: "parity_persistence", Severity: Blocks, Veto: true}, ofCandidate, parityPersistence},
		{Check{ID: "parity_saving", Severity: Warns}, ofCandidate, paritySaving},
		{Check{ID: "parity_databases", Severity: Blocks, Veto: true}, ofCandidate, parityDatabases},
		{Check{ID: "parity_modules", Severity: Blocks, Veto: true}, ofCandidate, parityModules},
		{Check{ID: "parity_module_versions", Severity: Warns}, ofCandidate, parityModuleVersions},
		{Check{ID: "parity_notifications", Severity: Warns}, ofCandidate, parityNotifications},
		{Check{ID: "parity_min_replicas", Severity: Blocks}, ofCandidate, parityMinReplicas},
		{Check{ID: "parity_output_buffer", Severity: Warns}, ofCandidate, parityOutputBuffer},
		{Check{ID: "parity_maxclients", Severity: Blocks, Veto: true}, ofCandidate, parityMaxclients},
		{Check{ID: "parity_version", Severity: Warns}, ofCandidate, parityVersion},
		{Check{ID: "parity_settings", Severity: Warns}, ofCandidate, paritySettings},
		{Check{ID: "parity_acl", Severity: Blocks, Veto: true}, ofCandidate, parityACL},
		{Check{ID: "parity_acl_extra", Severity: Warns}, ofCandidate, parityACLExtra},
		{Check{ID: "parity_commands", Severity: Blocks, Veto: true}, ofCandidate, parityCommands},
		{Check{ID: "parity_commands_extra", Severity: Warns}, ofCandidate, parityCommandsExtra},
		{Check{ID: "parity_reach", Severity: Blocks, Veto: true}, ofCandidate, parityReach},
		{Check{ID: "parity_tls", Severity: Blocks, Veto: true}, ofCandidate, parityTLS},
		{Check{ID: "parity_auth", Severity: Blocks, Veto: true}, ofCandidate, parityAuth},
	}
}

// keeps is what a Redis keeps on disk.
func (s *subject) keeps(n *Node) (aof, rdb bool) {
	return s.config(n, "appendonly") == "yes", s.config(n, "save") != ""
}

func parityPersistence(s *subject) answer {
	masterAOF, masterRDB := s.keeps(s.master)
	ownAOF, ownRDB := s.keeps(s.node)
	if s.short() {
		return answer{}
	}
	ok := (ownAOF || !masterAOF) && (ownAOF || ownRDB || !masterRDB)
	remedy := set(s.node, "appendonly", "yes")
	what := "an append-only file"
	if !masterAOF {
		remedy, what = set(s.node, "save", s.master.Redis.Config["save"]), "snapshots"
	}
	return verdictOn(ok, "the candidate keeps on disk what the master keeps",
		fmt.Sprintf("the master keeps %s, %s does not: promoted, a crash loses what would have been on disk", what, s.node.Address),
		remedy+"\n"+cli(s.node)+" CONFIG REWRITE")
}

func paritySaving(s *subject) answer {
	return s.alike("the candidate saves as the master does", "as a master it saves otherwise", "save", "appendfsync", "appendonly", "aof-use-rdb-preamble", "stop-writes-on-bgsave-error")
}

// alike compares the running values of parameters; the versions of both may
// lack one.
func (s *subject) alike(good, consequence string, names ...string) answer {
	var differ, remedies []string
	for _, name := range names {
		theirs, ours := s.configOf(s.master, name, ""), s.configOf(s.node, name, "")
		if theirs != ours {
			differ = append(differ, fmt.Sprintf("%s is %s at %s and %s at the master", name, quoteEmpty(ours), s.node.Address, quoteEmpty(theirs)))
			remedies = append(remedies, set(s.node, name, theirs))
		}
	}
	if s.short() || len(differ) == 0 {
		return passed(good)
	}
	a := failed(strings.Join(differ, "; ")+": "+consequence, strings.Join(append(remedies, cli(s.node)+" CONFIG REWRITE"), "\n"))
	a.each = true
	return a
}

func parityDatabases(s *subject) answer {
	theirs, ours := s.configInt(s.master, "databases"), s.configInt(s.node, "databases")
	if s.short() {
		return answer{}
	}
	return verdictOn(ours >= theirs, fmt.Sprintf("%d databases, the master has %d", ours, theirs),
		fmt.Sprintf("%s has %d databases, the master %d: clients of the others are refused", s.node.Address, ours, theirs),
		onHost(s.node, fmt.Sprintf("databases %d in redis.conf, and restart Redis", theirs)))
}

// modules is name to version; nil is recorded as missing.
func (s *subject) modules(n *Node) map[string]string {
	r := s.redis(n)
	if r == nil {
		return nil
	}
	if r.Modules == nil {
		s.lack("the modules of "+n.Address, gapWhy(n, "modules", "info"), cli(n)+" MODULE LIST")
		return nil
	}
	s.show("modules", orThe(strings.Join(r.Modules, " "), "none"), s.by(n, "INFO modules"))
	byName := map[string]string{}
	for _, m := range r.Modules {
		name, version, _ := strings.Cut(m, "@")
		byName[name] = version
	}
	return byName
}

func parityModules(s *subject) answer {
	theirs, ours := s.modules(s.master), s.modules(s.node)
	if s.short() {
		return answer{}
	}
	look := subject{facts: s.facts} // of a build that is not known nothing is built in
	master := look.build(s.master)
	var absent []string
	for _, name := range slices.Sorted(maps.Keys(theirs)) {
		if _, ok := ours[name]; !ok && !master.builtIn(name) {
			absent = append(absent, name)
		}
	}
	return verdictOn(len(absent) == 0, "the candidate has every module of the master",
		fmt.Sprintf("%s lacks the module %s of the master: its commands are refused, its data cannot be loaded", s.node.Address, strings.Join(absent, ", ")),
		onHost(s.node, "loadmodule in redis.conf, and restart Redis; or "+cli(s.node)+" MODULE LOAD /path/to/module.so"))
}

func parityModuleVersions(s *subject) answer {
	theirs, ours := s.modules(s.master), s.modules(s.node)
	if s.short() {
		return answer{}
	}
	look := subject{facts: s.facts}
	master := look.build(s.master)
	var differ []string
	for _, name := range slices.Sorted(maps.Keys(theirs)) {
		if v, ok := ours[name]; ok && v != theirs[name] && !master.builtIn(name) {
			differ = append(differ, fmt.Sprintf("%s %s against %s", name, v, theirs[name]))
		}
	}
	return verdictOn(len(differ) == 0, "modules are of the same versions",
		fmt.Sprintf("modules of %s are of other versions than the master's: %s", s.node.Address, strings.Join(differ, ", ")),
		onHost(s.node, "install the master's version of the module, and restart Redis"))
}

func parityNotifications(s *subject) answer {
	return s.alike("keyspace notifications are alike", "who listens for them hears something else", "notify-keyspace-events")
}

// ownMinReplicas is min-replicas-to-write as the operator set it.
func (s *subject) ownMinReplicas(n *Node) int64 {
	text := s.config(n, "min-replicas-to-write")
	if n == nil {
		return 0
	}
	if n.Watchdog != nil && n.Watchdog.OwnMinReplicas != "" && text == watchdog.LockValue {
		text = n.Watchdog.OwnMinReplicas
		s.show("min-replicas-to-write", text, "what the operator set, by the watchdog of "+n.Address)
	} else if text == watchdog.LockValue {
		s.lack("the operator's min-replicas-to-write of "+n.Address, "the lock is set and no watchdog says what it replaced", onHost(n, "systemctl status redis-watchdog"))
		return 0
	}
	return s.whole(text, "min-replicas-to-write", n)
}

func parityMinReplicas(s *subject) answer {
	need := s.ownMinReplicas(s.node)
	if s.short() {
		return answer{}
	}
	left := 0
	for _, n := range s.others(s.node) {
		if n.Redis != nil && len(n.Redis.Info) > 0 {
			left++
		}
	}
	s.show("replicas that will be left", strconv.Itoa(left), "the nodes that answer, with the old master")
	return verdictOn(need <= int64(left), fmt.Sprintf("min-replicas-to-write %d, and %d replicas will be left", need, left),
		fmt.Sprintf("%s wants %d replicas to write, and %d will be left: it refuses every write", s.node.Address, need, left),
		set(s.node, "min-replicas-to-write", strconv.Itoa(left))+"   # or bring the missing replicas back")
}

func parityOutputBuffer(s *subject) answer {
	return s.alike("client-output-buffer-limit is alike", "slow clients, subscribers or replicas are dropped at other sizes", "client-output-buffer-limit")
}

func parityMaxclients(s *subject) answer {
	limit, now := s.configInt(s.node, "maxclients"), s.info(s.master, "connected_clients")
	theirs := s.configInt(s.master, "maxclients")
	if s.short() {
		return answer{}
	}
	if limit >= theirs {
		return passed(fmt.Sprintf("maxclients %d is no less than the master's %d", limit, theirs))
	}
	need := grow(now, s.policy.Headroom)
	return verdictOn(limit >= need, fmt.Sprintf("maxclients %d, the master has %d clients", limit, now),
		fmt.Sprintf("%s accepts %d clients and the master has %d: some are refused", s.node.Address, limit, now),
		set(s.node, "maxclients", strconv.FormatInt(max(need, theirs), 10))+"\n"+cli(s.node)+" CONFIG REWRITE")
}

// build is whose server it is, and which.
func (s *subject) build(n *Node) (b build) {
	b.name = "redis"
	text := ""
	if r := s.redis(n); r == nil {
		return build{}
	} else if v := r.Info["valkey_version"]; v != "" {
		b.name, text = "valkey", v
		s.show("valkey_version", v, s.by(n, "INFO"))
	} else {
		text = s.infoText(n, "redis_version")
	}
	parts := strings.SplitN(text, ".", 3)
	for i := range min(2, len(parts)) {
		v, err := strconv.Atoi(parts[i])
		if err != nil {
			s.lack("the version of "+n.Address, fmt.Sprintf("%q is none", text), cli(n)+" INFO server")
			return b
		}
		b.release[i] = v
	}
	return b
}

func parityVersion(s *subject) answer {
	own := s.build(s.node)
	var empty, other []string
	for _, n := range s.others(s.node) {
		if n.Redis == nil {
			continue // it is missed elsewhere
		}
		its := s.build(n)
		switch why := s.noSync(n, s.node); {
		case why != "":
			empty = append(empty, n.Address+" ("+why+")")
		case its.name != own.name || !its.since(own.release[0], own.release[1]):
			other = append(other, n.Address+" ("+its.whole()+")")
		}
	}
	master := s.build(s.master)
	if s.short() {
		return answer{}
	}
	switch {
	case len(empty) > 0:
		return failed(fmt.Sprintf("%s is %s, and these would be empty after a full sync with it, and answer nobody: %s", s.node.Address, own.whole(), strings.Join(empty, ", ")),
			"upgrade the others right after the failover, each without the dump.rdb and append-only files it had, or choose a replica of the build most nodes have")
	case len(other) > 0:
		return failed(fmt.Sprintf("%s is %s and these are not: %s; they load its data, and refuse commands that they do not know", s.node.Address, own.whole(), strings.Join(other, ", ")),
			"upgrade the others right after the failover, or choose a replica of the build most nodes have")
	case master.name == own.name && !own.since(master.release[0], master.release[1]):
		return failed(fmt.Sprintf("%s is %s, older than the master's %s: clients may miss commands", s.node.Address, own, master), onHost(s.node, "upgrade Redis"))
	}
	return passed("every node can replicate from " + own.whole())
}

func paritySettings(s *subject) answer {
	theirs, ours := s.redis(s.master), s.redis(s.node)
	s.reads.note(s.master, everySetting)
	s.reads.note(s.node, everySetting)
	if theirs == nil || ours == nil {
		return answer{}
	}
	if len(theirs.Config) == 0 || len(ours.Config) == 0 {
		s.configText(s.master, "maxmemory")
		s.configText(s.node, "maxmemory")
		return answer{}
	}
	var differ, remedies []string
	for _, name := range slices.Sorted(maps.Keys(theirs.Config)) {
		value, ok := ours.Config[name]
		if !ok || value == theirs.Config[name] || ownAffair(name) {
			continue
		}
		differ = append(differ, name)
		s.show(name, quoteEmpty(value), s.by(s.node, "CONFIG GET"))
		s.show(name, quoteEmpty(theirs.Config[name]), s.by(s.master, "CONFIG GET"))
		if !immutable(s.node, name) && theirs.Config[name] != Masked && value != Masked {
			remedies = append(remedies, set(s.node, name, theirs.Config[name]))
		}
	}
	a := verdictOn(len(differ) == 0, "no further setting differs",
		fmt.Sprintf("%s differs from the master in %s", s.node.Address, strings.Join(differ, ", ")),
		strings.Join(remedies, "\n"))
	a.each = true
	return a
}

// ownAffair is whether a parameter may differ between nodes, or has a check of
// its own.
func ownAffair(name string) bool {
	for _, prefix := range []string{"tls-", "cluster-", "syslog-", "replica-announce-", "slave-announce-", "bind"} {
		if strings.HasPrefix(name, prefix) {
			return true
		}
	}
	if strings.HasSuffix(name, "cpulist") {
		return true
	}
	switch name {
	case "port", "unixsocket", "unixsocketperm", "dir", "dbfilename", "appendfilename", "appenddirname", "logfile", "pidfile", "aclfile",
		"daemonize", "supervised", "proc-title-template", "set-proc-title", "crash-log-enabled", "loglevel", "oom-score-adj", "oom-score-adj-values",
		"replicaof", "slaveof", "masterauth", "masteruser", "primaryauth", "primaryuser", "protected-mode", "requirepass",
		// The watchdog's, the operator's preference, and what another check judges.
		"replica-priority", "slave-priority", "replica-serve-stale-data", "slave-serve-stale-data",
		"min-replicas-to-write", "min-slaves-to-write", "min-replicas-max-lag", "min-slaves-max-lag",
		"maxmemory", "save", "appendonly", "appendfsync", "aof-use-rdb-preamble", "stop-writes-on-bgsave-error",
		"databases", "notify-keyspace-events", "client-output-buffer-limit", "maxclients", "repl-backlog-size", "replica-read-only", "slave-read-only",
		"tcp-backlog", "disable-thp":
		return true
	}
	return false
}
