package preflight

// What the write lock, and the hold, are worth on a build.
//
// Lua's redis.call obeys min-replicas-to-write since 6.0.17, 6.2.7 and 7.0
// ("Add checks for min-slave-* configs when evaluating Lua scripts", #10160 in
// their release notes). Before that a script writes through the lock: through
// that of a replica that was promoted and not granted yet, and through the hold
// of a build without CLIENT PAUSE WRITE (before 6.2), which is the same lock.
// Nothing that stands on a replica harmlessly keeps scripts from writing once it
// is promoted: tried on 6.0.16 were maxmemory (DEL and LPOP need none), a failed
// save (PING fails too, and Sentinel calls it down) and ACL rules (they would
// take the place of the operator's own, and need the right to set them).

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// LockStopsScripts is whether min-replicas-to-write stops what scripts write, by
// the version that Redis says; known is false for what is no version. Valkey
// says 7.2.4.
func LockStopsScripts(version string) (stops, known bool) {
	v, known := versionNumbers(version)
	if !known {
		return false, false
	}
	switch {
	case v[0] == 6 && v[1] == 0:
		return v[2] >= 17, true
	case v[0] == 6 && v[1] == 2:
		return v[2] >= 7, true
	}
	return v[0] >= 7, true
}

// versionNumbers are those of a version such as 7.0.15 or 7.0.0-rc1; false: it is
// none.
func versionNumbers(version string) (v [3]int, known bool) {
	parts := strings.SplitN(version, ".", 3)
	if len(parts) != 3 {
		return v, false
	}
	for i, part := range parts {
		digits := strings.IndexFunc(part, func(r rune) bool { return r < '0' || r > '9' })
		if i == 2 && digits > 0 {
			part = part[:digits]
		}
		n, err := strconv.Atoi(part)
		if err != nil || n < 0 {
			return v, false
		}
		v[i] = n
	}
	return v, true
}

// What became of a write by a script, under the lock.
const (
	ScriptRefused  = "refused"
	ScriptExecuted = "executed"
)

func lockScripts(s *subject) answer {
	version := s.infoText(s.node, "redis_version")
	if s.short() {
		return answer{}
	}
	stops, known := LockStopsScripts(version)
	if d := s.node.Drift; d != nil && d.LockedScript != "" { // the build itself, not what is said of it
		stops, known = d.LockedScript == ScriptRefused, true
		s.show("a write by a script under the lock", d.LockedScript, "the same binary, started on a copy by the watchdog of "+s.node.Address)
	}
	switch {
	case !known:
		s.lack("whether the lock of "+s.node.Address+" stops scripts", fmt.Sprintf("%q is no version", version), cli(s.node)+" INFO server")
		return answer{}
	case stops:
		return passed("the write lock stops scripts too")
	}
	users, why := s.scriptUsers()
	if why != "" {
		return passed("scripts would write through the lock on this build, but " + why)
	}
	who := "every client may run one"
	if users != nil {
		who = "may be run by " + strings.Join(users, ", ")
	}
	return failed(fmt.Sprintf("Redis %s at %s does not stop scripts by its write lock: EVAL and EVALSHA (%s) write to it once it is promoted, granted or not, beside a master that still serves, and they are not stopped before a planned failover",
		version, s.node.Address, who), lockRemedy(s.node, users))
}

// scriptUsers is who may run scripts, nil where that is not known; or why nobody
// can.
func (s *subject) scriptUsers() (users []string, why string) {
	r := s.node.Redis
	if r.Scripts == nil {
		return nil, ""
	}
	removed := func(command string) bool {
		d := s.node.Drift
		return !slices.Contains(r.Scripts.Commands, command) && d != nil && d.Renamed[strings.ToUpper(command)] == removedCommand
	}
	switch {
	case removed("eval") && removed("evalsha"):
		s.show("EVAL and EVALSHA", "unknown", s.by(s.node, "EVAL"))
		return nil, "EVAL and EVALSHA are renamed away"
	case r.Scripts.Users == nil:
		return nil, ""
	case len(r.Scripts.Users) == 0:
		return nil, "no user may run one"
	}
	s.show("users that may run scripts", strings.Join(r.Scripts.Users, " "), s.by(s.node, "ACL LIST"))
	return r.Scripts.Users, ""
}

func lockRemedy(n *Node, users []string) string {
	remedy := "upgrade to Redis 6.0.17, 6.2.7, 7.0 or later, or to Valkey; until then write by no script during a failover"
	if len(users) == 0 {
		return remedy + ", or where nothing uses scripts take EVAL and EVALSHA from every user of it (ACL SETUSER <user> -eval -evalsha)"
	}
	lines := []string{remedy + ", or where nothing uses scripts:"}
	for _, u := range users {
		lines = append(lines, cli(n)+" ACL SETUSER "+shellQuote(u)+" -eval -evalsha")
	}
	keep := "CONFIG REWRITE"
	if n.Redis.Config["aclfile"] != "" {
		keep = "ACL SAVE"
	}
	return strings.Join(append(lines, cli(n)+" "+keep), "\n")
}

// OfBuild is what a node's own build is not able to do, of that node alone.
func OfBuild(n Node) []Finding {
	facts := Facts{Nodes: []Node{n}}
	return judgeAll(only(watchdogChecks(), idLockScripts), subject{policy: DefaultPolicy(), facts: &facts, node: &facts.Nodes[0], role: ofCandidate})
}
