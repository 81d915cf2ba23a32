package main

import (
	"fmt"
	"slices"
	"strings"

	"github.com/redis-watchdog/redis-watchdog/cmd/redis-watchdog/internal/terminal"
	"github.com/redis-watchdog/redis-watchdog/preflight"
)

// evidenceShown is how much evidence of one finding is shown without -v.
const evidenceShown = 6

// printReport writes the verdict first, then what blocks with its evidence and
// remedy, what many checks want for, then the warnings, the candidates, and a line an area of what passed.
func printReport(p *terminal.Printer, r preflight.Report, verbose bool) {
	printPreflightVerdict(p, r)
	var names []string
	lacking := map[string][]preflight.Finding{}
	if !verbose {
		names, lacking = lackingAlike(r)
	}
	for _, f := range r.Findings {
		if _, told := lacking[f.Lacks]; told {
			continue
		}
		if f.Severity == preflight.Blocks && f.Outcome != preflight.Passed {
			p.Line(terminal.Plain, "")
			printFinding(p, f, verbose)
		}
	}
	for _, name := range names {
		printLacking(p, name, lacking[name])
	}
	first := true
	for _, f := range r.Findings {
		if _, told := lacking[f.Lacks]; told || f.Severity == preflight.Blocks || f.Outcome == preflight.Passed {
			continue
		}
		if first || verbose {
			p.Line(terminal.Plain, "")
		}
		first = false
		printNote(p, f, verbose)
	}
	if len(r.Candidates) > 1 {
		p.Line(terminal.Plain, "")
		printCandidates(p, r)
	}
	p.Line(terminal.Plain, "")
	printPassed(p, r, verbose)
}

// alike is how many checks want for one answer before they are told in one.
const alike = 3

// lackingAlike is the checks that want for one and the same answer, by that, where
// they are so many that they are told in one; and the answers in their order.
func lackingAlike(r preflight.Report) (names []string, by map[string][]preflight.Finding) {
	by = map[string][]preflight.Finding{}
	for _, f := range r.Findings {
		if f.Lacks == "" {
			continue
		}
		if by[f.Lacks] == nil {
			names = append(names, f.Lacks)
		}
		by[f.Lacks] = append(by[f.Lacks], f)
	}
	names = slices.DeleteFunc(names, func(name string) bool {
		few := len(by[name]) < alike
		if few {
			delete(by, name)
		}
		return few
	})
	return names, by
}

// printLacking tells them together, with the one remedy that helps them all.
func printLacking(p *terminal.Printer, name string, all []preflight.Finding) {
	blocking := 0
	for _, f := range all {
		if f.Severity == preflight.Blocks {
			blocking++
		}
	}
	p.Line(terminal.Plain, "")
	p.Line(terminal.Yellow, "UNKNOWN  %d checks, %d of which block, want for %s; -v names them", len(all), blocking, name)
	p.Line(terminal.Plain, "         %s", all[0].Reason)
	printRemedy(p, all[0])
}

func printPreflightVerdict(p *terminal.Printer, r preflight.Report) {
	failed, unclear, warnings := 0, 0, 0
	for _, f := range r.Findings {
		switch {
		case f.Outcome == preflight.Passed || f.Severity == preflight.Informs:
		case f.Severity == preflight.Warns:
			warnings++
		case f.Outcome == preflight.Failed:
			failed++
		default:
			unclear++
		}
	}
	move := fmt.Sprintf("%s: %s to %s", r.Group, orDash(r.Master), orDash(r.Candidate))
	switch r.Verdict {
	case preflight.MayGo:
		p.Line(terminal.Green, "MAY GO   %s; %s", move, count(warnings, "warning"))
	case preflight.Blocked:
		p.Line(terminal.Red, "BLOCKED  %s; %s, %d could not be found out, %s", move, blocks(failed), unclear, count(warnings, "warning"))
	default:
		p.Line(terminal.Yellow, "UNKNOWN  %s; %s that block could not be found out, %s", move, count(unclear, "check"), count(warnings, "warning"))
	}
	if r.Why != "" {
		p.Line(terminal.Plain, "         this candidate: %s", r.Why)
	}
}

func count(n int, what string) string {
	if n == 1 {
		return "1 " + what
	}
	return fmt.Sprintf("%d %ss", n, what)
}

func blocks(n int) string {
	if n == 1 {
		return "1 check blocks"
	}
	return fmt.Sprintf("%d checks block", n)
}

func outcomeWord(f preflight.Finding) (string, terminal.Colour) {
	switch {
	case f.Outcome == preflight.Passed:
		return "passed", terminal.Green
	case f.Outcome == preflight.Unknown:
		return "UNKNOWN", terminal.Yellow
	case f.Severity == preflight.Blocks:
		return "BLOCKS", terminal.Red
	case f.Severity == preflight.Warns:
		return "warns", terminal.Yellow
	}
	return "informs", terminal.Plain
}

func severityColour(s preflight.Severity) terminal.Colour {
	switch s {
	case preflight.Blocks:
		return terminal.Red
	case preflight.Warns:
		return terminal.Yellow
	}
	return terminal.Plain
}

// printFinding is a finding in full.
func printFinding(p *terminal.Printer, f preflight.Finding, verbose bool) {
	word, colour := outcomeWord(f)
	p.Line(colour, "%-8s %s%s", word, f.Check, at(f))
	p.Line(terminal.Plain, "         %s", f.Reason)
	printEvidence(p, f, verbose)
	printRemedy(p, f)
}

// printNote is a warning in short: the evidence is in its reason.
func printNote(p *terminal.Printer, f preflight.Finding, verbose bool) {
	if verbose {
		printFinding(p, f, verbose)
		return
	}
	word, colour := outcomeWord(f)
	p.Line(colour, "%-8s %s%s: %s", word, f.Check, at(f), f.Reason)
	if f.Severity != preflight.Informs {
		printRemedy(p, f)
	}
}

func at(f preflight.Finding) string {
	if f.Node == "" {
		return ""
	}
	return " at " + f.Node
}

func printEvidence(p *terminal.Printer, f preflight.Finding, verbose bool) {
	var rows [][]terminal.Cell
	for i, e := range f.Evidence {
		if i == evidenceShown && !verbose {
			break
		}
		rows = append(rows, []terminal.Cell{{Text: e.What}, {Text: e.Value}, {Text: e.From}})
	}
	p.List("           ", rows)
	if more := len(f.Evidence) - len(rows); more > 0 {
		p.Line(terminal.Faint, "           and %d more; -v shows them", more)
	}
}

func printRemedy(p *terminal.Printer, f preflight.Finding) {
	for i, line := range strings.Split(f.Remedy, "\n") {
		switch {
		case line == "":
		case i == 0:
			p.Line(terminal.Plain, "         remedy: %s", line)
		default:
			p.Line(terminal.Plain, "                 %s", line)
		}
	}
}

func printCandidates(p *terminal.Printer, r preflight.Report) {
	rows := [][]terminal.Cell{heading("CANDIDATE", "VERDICT", "WARNINGS", "OFFSET", "PRIORITY", "ITS OWN CHECKS THAT BLOCK")}
	for _, c := range r.Candidates {
		name := c.Address
		if name == r.Candidate {
			name += " *"
		}
		word, colour := verdictWord(c.Verdict)
		rows = append(rows, []terminal.Cell{{Text: name}, {Text: word, Colour: colour}, {Text: fmt.Sprint(c.Warnings)}, {Text: fmt.Sprint(c.Offset)},
			{Text: fmt.Sprint(c.Priority)}, {Text: orDash(strings.Join(c.Blocking, " "))}})
	}
	p.Table("", rows)
}

func verdictWord(v preflight.Verdict) (string, terminal.Colour) {
	switch v {
	case preflight.MayGo:
		return "may go", terminal.Green
	case preflight.Blocked:
		return "blocked", terminal.Red
	}
	return "unknown", terminal.Yellow
}

// printPassed is what passed: a line an area, or with -v every check.
func printPassed(p *terminal.Printer, r preflight.Report, verbose bool) {
	area := map[string]string{}
	for _, c := range preflight.Catalogue() {
		area[c.ID] = c.Area
	}
	for _, name := range preflight.Areas() {
		var passed []preflight.Finding
		all := 0
		for _, f := range r.Findings {
			if area[f.Check] != name {
				continue
			}
			all++
			if f.Outcome == preflight.Passed {
				passed = append(passed, f)
			}
		}
		if all == 0 {
			continue
		}
		colour := terminal.Green
		if len(passed) < all {
			colour = terminal.Plain
		}
		p.Line(colour, "passed   %-12s %d of %d", name, len(passed), all)
		for _, f := range passed {
			if verbose {
				p.Line(terminal.Plain, "         %s%s: %s", f.Check, at(f), f.Reason)
			}
		}
	}
}

func printStory(p *terminal.Printer, c preflight.Check) {
	p.Line(terminal.Bold, "%s (%s, %s)", c.ID, c.Area, string(c.Severity))
	p.Line(terminal.Plain, "%s.", c.Title)
	for _, part := range []struct{ name, text string }{
		{"Why", c.Story.Why}, {"Otherwise", c.Story.Otherwise}, {"Fix", c.Story.Fix}, {"Silence", c.Story.Silence},
	} {
		if part.text != "" {
			p.Line(terminal.Plain, "")
			p.Line(terminal.Bold, "%s", part.name)
			for _, line := range fold(part.text, 76) {
				p.Line(terminal.Plain, "    %s", line)
			}
		}
	}
	if c.Veto {
		p.Line(terminal.Plain, "")
		p.Line(terminal.Plain, "A replica that fails it is kept from being promoted (the standing veto).")
	}
}

// fold breaks a text into lines of at most so many bytes, at spaces.
func fold(text string, width int) []string {
	var lines []string
	line := ""
	for word := range strings.FieldsSeq(text) {
		if line != "" && len(line)+1+len(word) > width {
			lines, line = append(lines, line), ""
		}
		if line != "" {
			line += " "
		}
		line += word
	}
	return append(lines, line)
}
