package preflight

import (
	"cmp"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/redis-watchdog/redis-watchdog/watchdog/sorted"
)

// Judge says whether a failover of the group to the replica at to may go
// ahead. An empty to judges every replica and chooses the best one.
//
// Nothing but the arguments counts: no clock, no network. What is not in facts
// is Unknown, and no blocking check passes on it.
func Judge(policy Policy, facts Facts, to string) Report {
	all, now := checks(), map[string][]said{}
	master := find(&facts, facts.Master)
	report := Report{Group: facts.Group, Master: facts.Master}
	of := func(n *Node, role scope) subject {
		return subject{policy: policy, facts: &facts, master: master, node: n, role: role, now: now}
	}
	common := judgeAll(all, of(nil, ofGroup))
	if master != nil {
		common = append(common, judgeAll(all, of(master, ofMaster))...)
	}
	for i := range facts.Nodes {
		if n := &facts.Nodes[i]; n != master && find(&facts, n.Address) == n {
			report.Candidates = append(report.Candidates, stand(all, of(n, ofCandidate), common))
		}
	}
	sorted.By(report.Candidates, better)
	chosen := choose(&report, to)
	report.Findings = append(report.Findings, common...)
	if chosen == nil {
		report.Findings = append(report.Findings, noCandidate(facts, master, to))
	} else {
		report.Candidate = chosen.Address
		report.Findings = append(report.Findings, Finding{Check: idCandidate, Severity: Blocks, Outcome: Passed, Evidence: []Evidence{},
			Reason: chosen.Address + " is a replica of the group"})
		report.Findings = append(report.Findings, chosen.Findings...)
		for _, other := range report.Candidates {
			if n := find(&facts, other.Address); other.Address != chosen.Address {
				report.Findings = append(report.Findings,
					judgeAll(all, of(n, ofBystander))...)
			}
		}
	}
	order(report.Findings, facts.Master, report.Candidate)
	report.Verdict = VerdictOf(report.Findings)
	return report
}

// Own is the checks that the standing veto uses, judged of one replica: those
// that rest on its own facts and its master's. Only Failed ones of severity
// Blocks veto (see Vetoes), and only where the master does not fail them too: a
// fact that is missing for a moment, or a fault of all nodes alike, must not
// take the last candidate away.
func Own(policy Policy, group string, master, own Node) []Finding {
	facts := Facts{Group: group, Master: master.Address, Nodes: []Node{master, own}}
	var some []check
	for _, c := range checks() {
		if c.Veto {
			some = append(some, c)
		}
	}
	s := subject{policy: policy, facts: &facts, master: &facts.Nodes[0], node: &facts.Nodes[1], role: ofCandidate, now: map[string][]said{}}
	findings := judgeAll(some, s)
	order(findings, master.Address, own.Address)
	return findings
}

// Vetoes is the ids of the findings that keep a replica vetoed.
func Vetoes(own []Finding) []string {
	var ids []string
	for _, f := range own {
		if f.vetoes() {
			ids = append(ids, f.Check)
		}
	}
	return ids
}

// VerdictOf is the worst of the findings that block. A failed one is certain,
// so it comes before one that could not be found out.
func VerdictOf(findings []Finding) Verdict {
	verdict := MayGo
	for _, f := range findings {
		switch {
		case f.Severity != Blocks || f.Outcome == Passed:
		case f.Outcome == Failed:
			return Blocked
		default:
			verdict = Unsure
		}
	}
	return verdict
}

// Blocking is the findings that keep a failover from going ahead.
func (r Report) Blocking() []Finding {
	var blocking []Finding
	for _, f := range r.Findings {
		if f.Severity == Blocks && f.Outcome != Passed {
			blocking = append(blocking, f)
		}
	}
	return blocking
}

func find(facts *Facts, address string) *Node {
	for i := range facts.Nodes {
		if address != "" && facts.Nodes[i].Address == address {
			return &facts.Nodes[i]
		}
	}
	return nil
}

// judgeAll asks every check whose scope the subject's role is in.
func judgeAll(all []check, s subject) []Finding {
	var findings []Finding
	for _, c := range all {
		if c.scope&s.role != 0 {
			findings = append(findings, c.ask(s))
		}
	}
	return findings
}

// ask is one check of one subject.
func (c check) ask(s subject) Finding {
	s.seen, s.missing = nil, nil
	a := c.judge(&s)
	f := Finding{Check: c.ID, Severity: c.Severity, Outcome: a.outcome, Evidence: s.seen, Reason: a.reason, Remedy: a.remedy, Fixes: a.fixes, MasterToo: a.masterToo}
	if s.role == ofBystander {
		f.Severity = c.Elsewhere
	}
	if c.ID == idDriftRunning && f.Severity == Blocks && s.policy.Drift == Warns {
		f.Severity = Warns
	}
	if s.node != nil {
		f.Node = s.node.Address
	}
	if len(s.missing) > 0 {
		m := s.missing[0]
		f.Outcome, f.Fixes, f.Remedy, f.MasterToo = Unknown, nil, m.remedy, false
		f.Lacks = m.answer
		f.Reason = fmt.Sprintf("%s could not be found out: %s", m.what, m.why)
	}
	if f.Outcome == Passed {
		f.Remedy, f.Fixes = "", nil
	}
	f.Remedy, f.Fixes = s.honest(f.Remedy, f.Fixes)
	f.Remedy, f.Fixes = s.tried(f.Remedy, f.Fixes, a.each, a.together)
	if f.Evidence == nil {
		f.Evidence = []Evidence{} // an array in JSON, also when empty
	}
	return f
}

// stand is one replica's standing.
func stand(all []check, s subject, common []Finding) Candidate {
	n, own := s.node, judgeAll(all, s)
	c := Candidate{Address: n.Address, Blocking: []string{}, Findings: own, Priority: priorityOf(n)}
	for _, f := range own {
		switch {
		case f.Outcome == Passed || f.Severity == Informs:
		case f.Severity == Blocks:
			c.Blocking = append(c.Blocking, f.Check)
		default:
			c.Warnings++
		}
	}
	if n.Redis != nil {
		// Not a number: no offset is known, which is as good as the oldest.
		c.Offset, _ = strconv.ParseInt(n.Redis.Info["slave_repl_offset"], 10, 64)
	}
	c.Verdict = VerdictOf(slices.Concat(common, own))
	return c
}

// priorityOf is replica-priority as the operator set it; Sentinel's default
// where it cannot be known.
func priorityOf(n *Node) int {
	text := ""
	if n.Redis != nil {
		text = n.Redis.Config["replica-priority"]
	}
	if n.Watchdog != nil && n.Watchdog.OwnPriority != "" {
		text = n.Watchdog.OwnPriority
	}
	if v, err := strconv.Atoi(text); err == nil {
		return v
	}
	return 100
}

// better orders candidates: fewest blocks, fewest warnings, newest data, and
// then as Sentinel would.
func better(a, b Candidate) int {
	return cmp.Or(
		cmp.Compare(len(a.Blocking), len(b.Blocking)),
		cmp.Compare(a.Warnings, b.Warnings),
		cmp.Compare(b.Offset, a.Offset),
		cmp.Compare(a.Priority, b.Priority),
		strings.Compare(a.Address, b.Address),
	)
}

// choose is the candidate asked for, or the best; it says why. nil: none.
func choose(r *Report, to string) *Candidate {
	if to != "" {
		for i := range r.Candidates {
			if r.Candidates[i].Address == to {
				r.Why = "asked for"
				return &r.Candidates[i]
			}
		}
		return nil
	}
	if len(r.Candidates) == 0 {
		return nil
	}
	best := &r.Candidates[0]
	if len(r.Candidates) == 1 {
		r.Why = "it is the only replica"
		return best
	}
	next := r.Candidates[1]
	switch {
	case len(best.Blocking) < len(next.Blocking):
		r.Why = fmt.Sprintf("%d checks of its own block, against %d of %s", len(best.Blocking), len(next.Blocking), next.Address)
	case best.Warnings < next.Warnings:
		r.Why = fmt.Sprintf("%d warnings of its own, against %d of %s", best.Warnings, next.Warnings, next.Address)
	case best.Offset > next.Offset:
		r.Why = fmt.Sprintf("the newest data: offset %d, against %d of %s", best.Offset, next.Offset, next.Address)
	case best.Priority < next.Priority:
		r.Why = fmt.Sprintf("replica-priority %d, against %d of %s", best.Priority, next.Priority, next.Address)
	default:
		r.Why = "no worse than " + next.Address + "; the first by address"
	}
	return best
}

// noCandidate is the finding that there is nobody to promote.
func noCandidate(facts Facts, master *Node, to string) Finding {
	f := Finding{Check: idCandidate, Severity: Blocks, Outcome: Failed, Evidence: []Evidence{},
		Remedy: "redis-watchdog status " + facts.Group}
	names := []string{}
	for i := range facts.Nodes {
		if n := &facts.Nodes[i]; n != master {
			names = append(names, n.Address)
		}
	}
	switch {
	case to != "" && to == facts.Master:
		f.Reason = to + " is the master already"
	case to != "":
		f.Reason = fmt.Sprintf("%s is no replica of the group; there is %s", to, orThe(strings.Join(names, ", "), "none"))
	default:
		f.Reason = "no Sentinel lists a replica: there is nobody to promote"
	}
	return f
}

// order sorts findings: blocking ones first, failed before unknown, and within
// that the catalogue's order (which they come in), the candidate before the
// master before others.
func order(findings []Finding, master, candidate string) {
	rank := map[string]int{}
	for i, c := range checks() {
		rank[c.ID] = i
	}
	weight := func(f Finding) int {
		if f.Outcome == Passed {
			return 9
		}
		w := map[Severity]int{Blocks: 0, Warns: 2, Informs: 4}[f.Severity]
		if f.Outcome == Unknown {
			w++
		}
		return w
	}
	place := func(f Finding) int {
		switch f.Node {
		case "":
			return 0
		case candidate:
			return 1
		case master:
			return 2
		}
		return 3
	}
	sorted.By(findings, func(a, b Finding) int {
		return cmp.Or(cmp.Compare(weight(a), weight(b)), cmp.Compare(rank[a.Check], rank[b.Check]),
			cmp.Compare(place(a), place(b)), strings.Compare(a.Node, b.Node))
	})
}
