package preflight

import (
	"fmt"
	"strconv"
	"strings"
)

// replicationRefused is whether a replica carried out all that its master wrote.
// What the watchdog counted is older than what Redis says now: the newer counts.
func replicationRefused(s *subject) answer {
	role := s.infoText(s.node, "role")
	if s.short() {
		return answer{}
	}
	if role != "slave" {
		return passed(s.node.Address + " is no replica")
	}
	r := s.node.Refused
	if r == nil || r.Last.RunID == "" {
		s.lack("what "+s.node.Address+" refused of its master's writes", gapWhy(s.node, "report", "watchdog"), onHost(s.node, "systemctl status redis-watchdog"))
		return answer{}
	}
	now, id := s.info(s.node, "unexpected_error_replies"), s.infoText(s.node, "run_id")
	if s.short() {
		return answer{}
	}
	count := r.Count
	if id == r.Last.RunID {
		count += max(0, now-r.Last.Errors)
	}
	s.show("refused since its last full sync", strconv.FormatInt(count, 10), "unexpected_error_replies, counted by its watchdog, "+s.node.Address)
	if count == 0 {
		return passed(s.node.Address + " has carried out all that its master wrote")
	}
	s.showRefusals()
	remedy := s.resync()
	if r.Inherited && count == r.Count {
		return unsure(fmt.Sprintf("%s refused %d commands of its master before its watchdog first looked: whether it took a full sync after that is not known", s.node.Address, count), remedy)
	}
	return failed(fmt.Sprintf("%s refused %d commands that its master carried out: its data differs, although its link is up and its offset goes on", s.node.Address, count), remedy)
}

// showRefusals adds what Redis logged of them.
func (s *subject) showRefusals() {
	if s.node.Host == nil {
		return
	}
	for _, line := range s.node.Host.Log {
		if strings.Contains(line.Text, "is sending an error to its") {
			s.show("log", line.Text, orThe(s.node.Host.LogFile, "the log")+" of "+s.node.Address)
		}
	}
}

// resync is how a replica gets its master's data anew: as a master for the
// moment between two commands of one EXEC, in which nobody is served, it takes on
// a replication id of its own and can ask for nothing but everything. Nothing is
// offered that would leave it empty: a full sync that it cannot load.
func (s *subject) resync() string {
	look := subject{facts: s.facts} // what is not known of the builds makes this check no less certain
	own, theirs := look.build(s.node), look.build(s.master)
	if look.short() {
		return "redis-watchdog preflight " + s.facts.Group + "   # once its master answers: it names the way to a full sync"
	}
	if why := s.noSync(s.node, s.master); why != "" {
		return onHost(s.node, fmt.Sprintf("upgrade it to the master's build (%s): %s, and would be empty after one", theirs.whole(), why))
	}
	host, port := hostPort(s.master.Address)
	remedy := fmt.Sprintf("printf 'MULTI\\nREPLICAOF NO ONE\\nREPLICAOF %s %s\\nEXEC\\n' | %s   # a full sync; as a master it is seen by nobody", host, port, cli(s.node))
	if own != theirs {
		remedy += fmt.Sprintf("\n# first make both of one build: %s %d.%d refuses again what %s %d.%d alone knows",
			own.name, own.release[0], own.release[1], theirs.name, theirs.release[0], theirs.release[1])
	}
	return remedy
}
