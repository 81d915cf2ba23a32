package preflight

// What becomes of redis.conf when CONFIG REWRITE writes it, and of a Redis that
// is started on it.

import (
	"fmt"
	"regexp"
	"slices"
	"strings"
)

func driftStarts(s *subject) answer {
	if d := s.node.Drift; d != nil && d.Refused != "" {
		s.show("redis.conf", orThe(d.File, "none"), "INFO on "+s.node.Address)
		for _, l := range d.Twice {
			s.show("once too often", l.Name, l.place()+" of "+s.node.Address)
		}
		return failed(s.node.Address+" would not start again: "+d.Refused, startRemedy(s.node))
	}
	d, w := s.rewrite()
	switch {
	case d == nil:
		return answer{}
	case d.File == "":
		return passed(s.node.Address + " starts on its command line")
	case w == nil:
		return answer{}
	case w.Refused == "":
		return passed(fmt.Sprintf("%s starts on %s as it is, and as CONFIG REWRITE writes it (%s)", s.node.Address, d.File, w.Method))
	}
	for _, l := range w.Twice {
		s.show("outside of "+d.File, l.Name, l.place()+" of "+s.node.Address)
	}
	return failed(s.node.Address+" would not start again after a CONFIG REWRITE, which Sentinel sends in every failover: "+w.Refused,
		rewriteRemedy(s.node))
}

// rewrite is the comparison with a node's file, and what CONFIG REWRITE would
// make of that. Either is nil where it is recorded as missing; of a Redis
// without a file there is no second.
func (s *subject) rewrite() (*Drift, *Rewrite) {
	d := s.drift(s.node)
	if d == nil || d.File == "" {
		return d, nil
	}
	if d.Rewrite == nil {
		s.lack("what CONFIG REWRITE would write at "+s.node.Address, "its watchdog does not say", onHost(s.node, "upgrade redis-watchdog"))
	}
	return d, d.Rewrite
}

func driftRewrite(s *subject) answer {
	_, w := s.rewrite()
	var wrong, remedies []string
	if w != nil && w.Denied != "" {
		wrong = append(wrong, s.node.Address+" cannot write its redis.conf: "+w.Denied)
		remedies = append(remedies, onHost(s.node, fmt.Sprintf(
			"let Redis write the directory of %s (its owner and mode, ReadWritePaths= of its unit; in a container mount the directory, not the file)", s.node.Drift.File)))
	}
	if w != nil && len(w.Lost) > 0 {
		wrong = append(wrong, s.node.Address+": after a CONFIG REWRITE and a restart "+s.lost(w.Lost))
		remedies = append(remedies, keptRemedy(s.node, w.Lost))
	}
	return verdictOn(len(wrong) == 0, "CONFIG REWRITE keeps what runs", strings.Join(wrong, "; "), strings.Join(remedies, "\n"))
}

// lost is what of the running values a rewrite would not keep.
func (s *subject) lost(parameters []Parameter) string {
	var lost []string
	for _, p := range parameters {
		text := p.Name + " would come back as another"
		if !secret(p) {
			text = fmt.Sprintf("%s %s would come back as %s (%s)", p.Name, quoteEmpty(p.Running), quoteEmpty(p.File), orThe(p.Where, "a default"))
		}
		s.show(p.Name, quoteEmpty(p.Running), "CONFIG GET on "+s.node.Address)
		s.show(p.Name, quoteEmpty(p.File), orThe(p.Where, "a default")+" of "+s.node.Address+", after a CONFIG REWRITE")
		if p.Why != "" && !secret(p) {
			text += " " + p.Why
		}
		lost = append(lost, text)
	}
	return strings.Join(lost, ", ")
}

// OfFile is what the checks of a node's redis.conf, and of what CONFIG REWRITE
// would make of it, say of that node alone.
func OfFile(n Node) []Finding {
	facts := Facts{Nodes: []Node{n}}
	findings := judgeAll(only(driftChecks(), "drift_starts", "drift_rewrite"), subject{policy: DefaultPolicy(), facts: &facts, node: &facts.Nodes[0], role: ofCandidate})
	for i := range findings { // on that host: it need not be named
		host := onHost(&n, "")
		findings[i].Remedy = strings.ReplaceAll("\n"+findings[i].Remedy, "\n"+host, "\n")[1:]
	}
	return findings
}

// place is where a line stands.
func (l Line) place() string {
	if l.File == "" {
		return "the command line"
	}
	return fmt.Sprintf("%s:%d", l.File, l.Line)
}

// startRemedy is how a file that is refused as it stands starts again.
func startRemedy(n *Node) string {
	d := n.Drift
	var lines []string
	for _, l := range d.Twice {
		switch {
		case l.File == "":
			lines = append(lines, onHost(n, fmt.Sprintf("take %q off the command line of Redis; %s has it", "--"+l.Name, d.File)))
		case l.File == d.File:
			lines = append(lines, onHost(n, fmt.Sprintf("delete all lines of %q but one from %s", l.Name, d.File)))
		default:
			lines = append(lines, onHost(n, "sed -i -E "+shellQuote(`/^[[:space:]]*`+linePattern(l.Name)+`([[:space:]]|$)/Id`)+" "+shellQuote(l.File)+"   # "+d.File+" has it"))
		}
	}
	if len(lines) == 0 {
		lines = append(lines, onHost(n, "correct that line; Redis must not be restarted before"))
	}
	return strings.Join(lines, "\n")
}

// linePattern is a name as an extended regular expression of sed(1).
func linePattern(name string) string {
	kind, rest, _ := strings.Cut(name, " ")
	return kind + `[[:space:]]+"?` + strings.ReplaceAll(regexp.QuoteMeta(rest), "/", `\/`) + `"?`
}

// rewriteRemedy moves into the file what a rewrite would write into it as well.
func rewriteRemedy(n *Node) string {
	w := n.Drift.Rewrite
	var files, lines []string
	kinds := map[string]bool{}
	for _, l := range w.Twice {
		if l.File == "" {
			lines = append(lines, onHost(n, fmt.Sprintf("put what --%s says into %s, and take it off the command line of Redis", l.Name, n.Drift.File)))
			continue
		}
		kind, _, _ := strings.Cut(l.Name, " ")
		kinds[kind] = true
		if file := shellQuote(l.File); !slices.Contains(files, file) {
			files = append(files, file)
		}
	}
	if len(files) > 0 {
		kind := "user"
		switch {
		case kinds["user"] && kinds["loadmodule"]:
			kind = "(user|loadmodule)"
		case kinds["loadmodule"]:
			kind = "loadmodule"
		}
		from := strings.Join(files, " ")
		lines = append(lines, onHost(n, fmt.Sprintf("{ echo; grep -hiE '^[[:space:]]*%s[[:space:]]' %s; } >> %s && sed -i -E '/^[[:space:]]*%s[[:space:]]/Id' %s",
			kind, from, shellQuote(n.Drift.File), kind, from)))
	}
	if len(lines) == 0 {
		lines = append(lines, onHost(n, "change that value, or upgrade Redis; no CONFIG REWRITE before"))
	}
	return strings.Join(lines, "\n")
}

// keptRemedy says how a rewrite would have the last word.
func keptRemedy(n *Node, lost []Parameter) string {
	var lines []string
	for _, p := range lost {
		switch {
		case p.Name == "save":
			lines = append(lines, onHost(n, fmt.Sprintf("every save point on a line of its own in %s, above its first include, and none in an included file", n.Drift.File)))
		case strings.HasPrefix(p.Name, "user "):
			lines = append(lines, onHost(n, p.Name+": one line, in "+n.Drift.File))
		case p.Where == "command line":
			lines = append(lines, onHost(n, fmt.Sprintf("take --%s off the command line of Redis; %s says it", p.Name, n.Drift.File)))
		default:
			lines = append(lines, onHost(n, fmt.Sprintf("move the line of %s from %s to the end of %s", p.Name, orThe(p.Where, "the included file"), n.Drift.File)))
		}
	}
	return strings.Join(lines, "\n")
}

// unwritable is why CONFIG REWRITE must not be offered at a node; empty: it may.
func unwritable(n *Node) string {
	switch {
	case n == nil || n.Drift == nil || n.Drift.Rewrite == nil:
	case n.Drift.Rewrite.Refused != "":
		return "Redis would not start on what it writes (drift_starts)"
	case n.Drift.Rewrite.Denied != "":
		return "Redis cannot write its redis.conf (drift_rewrite)"
	}
	return ""
}

// honest takes CONFIG REWRITE out of what is offered where it would do harm or
// come to nothing.
func (s *subject) honest(remedy string, fixes []Fix) (string, []Fix) {
	why := unwritable(s.node)
	if why == "" || !strings.Contains(remedy, "CONFIG REWRITE") && len(fixes) == 0 {
		return remedy, fixes
	}
	fixes = slices.DeleteFunc(slices.Clone(fixes), func(f Fix) bool { return f.Kind == FixRewrite })
	if !strings.Contains(remedy, "CONFIG REWRITE") {
		return remedy, fixes
	}
	var lines []string
	for line := range strings.SplitSeq(remedy, "\n") {
		command, _, _ := strings.Cut(line, "   #")
		if !strings.HasSuffix(command, " CONFIG REWRITE") {
			lines = append(lines, line)
		}
	}
	file := orThe(s.node.Drift.File, "redis.conf")
	return strings.Join(append(lines, "# no CONFIG REWRITE: "+why+". Write it into "+file+" by hand"), "\n"), fixes
}
