package preflight

import (
	"fmt"
	"slices"
	"strings"
)

func driftChecks() []check {
	return []check{
		{Check{ID: idDriftRunning, Severity: Blocks, Elsewhere: Warns, Veto: true}, ofNodes, driftRunning},
		{Check{ID: "drift_file", Severity: Warns, Elsewhere: Informs}, ofNodes, driftFile},
		{Check{ID: "drift_allowed", Severity: Informs, Elsewhere: Informs}, ofNodes, driftAllowed},
		{Check{ID: "drift_starts", Severity: Blocks, Elsewhere: Warns}, ofNodes, driftStarts},
		{Check{ID: "drift_rewrite", Severity: Warns, Elsewhere: Warns}, ofNodes, driftRewrite},
	}
}

func driftRunning(s *subject) answer {
	d := s.drift(s.node)
	if d == nil {
		return answer{}
	}
	for _, p := range d.Drifted {
		s.show(p.Name, quoteEmpty(p.Running), "CONFIG GET on "+s.node.Address)
		s.show(p.Name, quoteEmpty(p.File), orThe(p.Where, orThe(d.File, "default"))+" of "+s.node.Address)
	}
	if len(d.Drifted) > 0 {
		return answer{outcome: Failed, reason: driftReason(s.node, d.Drifted), remedy: driftRemedy(s.node, d.Drifted), fixes: driftFixes(s.node, d.Drifted),
			masterToo: driftsAlike(d.Drifted, s.master), each: true}
	}
	if len(d.Unknown) > 0 {
		p := d.Unknown[0]
		for _, p := range d.Unknown {
			s.show(p.Name, quoteEmpty(p.Running), "CONFIG GET on "+s.node.Address)
		}
		more := ""
		if len(d.Unknown) > 1 {
			more = fmt.Sprintf(" (and %d more)", len(d.Unknown)-1)
		}
		return unsure(fmt.Sprintf("%s of %s could not be compared with %s: %s%s", p.Name, s.node.Address, orThe(d.File, "what a restart gives"), orThe(p.Why, "no reason was given"), more),
			unknownRemedy(s.node))
	}
	return passed(fmt.Sprintf("%s runs as %s says (%s)", s.node.Address, orThe(d.File, "its command line"), orThe(d.Method, "method unknown")))
}

// unknownRemedy is how what could not be compared can be.
func unknownRemedy(n *Node) string {
	switch n.Drift.CommandLine {
	case "hidden", "unread":
		return onHost(n, "say in redis-watchdog.yaml, in command_line of this node, what redis-server is started with; or write it into redis.conf and restart Redis without options")
	}
	return onHost(n, "let the watchdog read redis.conf and run the binary of Redis, or name what may differ in drift_ignore")
}

// driftsAlike is whether the master has drifted in all of it in the same way: the
// CONFIG SET that was typed on every node, or the edit that waits for the next
// restart on each. Of secrets it is enough that they have drifted there too.
func driftsAlike(drifted []Parameter, master *Node) bool {
	if master == nil || master.Drift == nil {
		return false
	}
	return !slices.ContainsFunc(drifted, func(p Parameter) bool {
		return !slices.ContainsFunc(master.Drift.Drifted, func(m Parameter) bool {
			return m.Name == p.Name && (secret(p) && secret(m) || m.Running == p.Running && m.File == p.File)
		})
	})
}

func driftReason(n *Node, drifted []Parameter) string {
	p := drifted[0]
	text := fmt.Sprintf("%s runs with %s %s, a restart gives %s", n.Address, p.Name, quoteEmpty(p.Running), quoteEmpty(p.File))
	if secret(p) {
		text = fmt.Sprintf("%s runs with another %s than a restart gives", n.Address, p.Name)
	}
	if len(drifted) > 1 {
		text += fmt.Sprintf("; %d parameters differ", len(drifted))
	}
	return text
}

func secret(p Parameter) bool { return p.Running == Masked || p.File == Masked }

// driftRemedy is both ways out, for a person to choose.
func driftRemedy(n *Node, drifted []Parameter) string {
	lines := []string{cli(n) + " CONFIG REWRITE   # keep what runs; or go back to the file:"}
	if !keeps(n, drifted) {
		lines = []string{"# CONFIG REWRITE would not keep it (drift_rewrite); to go back to the file:"}
	}
	for _, p := range drifted {
		switch {
		case secret(p):
			lines = append(lines, "# "+p.Name+" is a secret: set it by hand, or put the running one into the file")
		case immutable(n, p.Name):
			lines = append(lines, "# "+p.Name+" needs a restart of Redis")
		default:
			lines = append(lines, set(n, p.Name, p.File))
		}
	}
	return strings.Join(lines, "\n")
}

// keeps is whether CONFIG REWRITE would end the drift, as far as that is
// foreseen.
func keeps(n *Node, drifted []Parameter) bool {
	if n.Drift == nil || n.Drift.Rewrite == nil {
		return true
	}
	return !slices.ContainsFunc(n.Drift.Rewrite.Lost, func(lost Parameter) bool {
		return lost.Why == "" && slices.ContainsFunc(drifted, func(p Parameter) bool { return p.Name == lost.Name })
	})
}

// driftFixes offers to keep what runs, and then, a parameter at a time, to go
// back to the file. What a person may have written into the file for the next
// restart, or a secret, is never overwritten: then nothing is offered to keep.
func driftFixes(n *Node, drifted []Parameter) []Fix {
	var fixes []Fix
	keep := keeps(n, drifted)
	for _, p := range drifted {
		if secret(p) || immutable(n, p.Name) {
			keep = false
			continue
		}
		if p.Name == "maxmemory" {
			continue // a smaller one evicts: only its own check offers to set it
		}
		fixes = append(fixes, Fix{Kind: FixSet, Node: n.Address, Parameter: p.Name, Value: p.File, Was: p.Running})
	}
	if keep {
		fixes = append([]Fix{{Kind: FixRewrite, Node: n.Address}}, fixes...)
	}
	return fixes
}

// immutable is whether a parameter of a node cannot be set while it runs
// (config.c, IMMUTABLE_CONFIG and PROTECTED_CONFIG of any version from 6.0 on;
// io-threads is another since Valkey 9.1).
func immutable(n *Node, name string) bool {
	if name == "io-threads" && n != nil {
		look := subject{}
		b := look.build(n)
		return !(b.name == "valkey" && b.since(9, 1))
	}
	if strings.HasSuffix(name, "cpulist") || strings.HasPrefix(name, "syslog-") {
		return true
	}
	switch name {
	case "aclfile", "always-show-logo", "appenddirname", "appendfilename", "cluster-config-file", "cluster-enabled", "cluster-port",
		"daemonize", "databases", "dbfilename", "dir", "disable-thp", "enable-debug-command", "enable-module-command",
		"enable-protected-configs", "io-threads", "io-threads-do-reads", "logfile", "pidfile", "rdbchecksum", "replicaof", "slaveof",
		"set-proc-title", "socket-mark-id", "supervised", "tcp-backlog", "unixsocket", "unixsocketperm":
		return true
	}
	return false
}

func driftFile(s *subject) answer {
	d := s.drift(s.node)
	if d == nil {
		return answer{}
	}
	s.show("redis.conf", orThe(d.File, "none"), "INFO on "+s.node.Address)
	return verdictOn(d.File != "", s.node.Address+" was started with "+d.File,
		s.node.Address+" runs without a redis.conf: what is set, and whom it follows, is gone with a restart",
		onHost(s.node, "start redis-server with a configuration file that it may write"))
}

func driftAllowed(s *subject) answer {
	d := s.drift(s.node)
	if d == nil {
		return answer{}
	}
	var names []string
	for _, p := range d.Allowed {
		names = append(names, p.Name)
		s.show(p.Name, quoteEmpty(p.Running), "CONFIG GET on "+s.node.Address)
		s.show(p.Name, quoteEmpty(p.File), orThe(p.Where, orThe(d.File, "default"))+" of "+s.node.Address)
	}
	return verdictOn(len(names) == 0, "nothing differs that drift_ignore allows",
		fmt.Sprintf("%s differs from its file in what drift_ignore allows: %s", s.node.Address, strings.Join(names, ", ")),
		"nothing; or take it out of drift_ignore")
}
