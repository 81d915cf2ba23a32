package main

import (
	"fmt"
	"time"

	"github.com/redis-watchdog/redis-watchdog/cmd/redis-watchdog/internal/report"
	"github.com/redis-watchdog/redis-watchdog/cmd/redis-watchdog/internal/terminal"
	"github.com/redis-watchdog/redis-watchdog/watchdog/agent"
)

// printStatus writes the verdict first, then a line a node, then what is wrong
// with its remedy.
func printStatus(p *terminal.Printer, r report.Report) {
	printVerdict(p, r)
	if len(r.Nodes) > 0 {
		p.Line(terminal.Plain, "")
		p.Table("", nodeRows(r.Nodes))
	}
	for _, g := range r.Groups {
		p.Line(terminal.Plain, "")
		printGroup(p, g)
	}
	for _, n := range r.Nodes {
		printFaults(p, n.Group+"/"+n.Node, n.Faults)
	}
	for _, g := range r.Groups {
		for _, n := range g.Nodes { // on other hosts the nodes may be called alike
			printFaults(p, g.Group+" "+n.Address, n.Faults)
		}
	}
}

func printVerdict(p *terminal.Printer, r report.Report) {
	unguarded, silent, faults := report.Count(r)
	switch r.Verdict {
	case report.OK:
		p.Line(terminal.Green, "OK       every Redis is guarded, no faults")
	case report.Fault:
		p.Line(terminal.Red, "FAULT    %d not guarded, %d without a report, %d faults", unguarded, silent, faults)
	default:
		p.Line(terminal.Yellow, "UNKNOWN  it could not be found out whether every Redis is guarded")
	}
	for _, problem := range r.Problems {
		p.Line(terminal.Yellow, "         %s", problem)
	}
}

func nodeRows(nodes []agent.Status) [][]terminal.Cell {
	rows := [][]terminal.Cell{heading("GROUP", "NODE", "ADDRESS", "ROLE", "PHASE", "FOR", "GUARDED", "GRANT", "FENCE IN", "ETCD", "SENTINELS", "WHY")}
	for _, n := range nodes {
		role := n.Role
		if n.Answer != "up" {
			role += " (" + n.Answer + ")"
		}
		phase := n.Phase
		if n.Wanted != "" && n.Wanted != n.Phase {
			phase += " → " + n.Wanted
		}
		rows = append(rows, []terminal.Cell{
			{Text: n.Group}, {Text: n.Node}, {Text: orDash(n.Address)}, {Text: role},
			{Text: phase, Colour: phaseColour(n.Phase)}, {Text: since(n.Since)}, guardedCell(n),
			{Text: seconds(n.GrantRemaining, n.GrantOurs)}, {Text: seconds(n.Deadline, n.Deadline >= 0)},
			{Text: seconds(n.CoordinatorAge, n.CoordinatorAge >= 0)},
			{Text: fmt.Sprintf("%d/%d agree", n.SentinelsAgreeing, n.SentinelsKnown)},
			{Text: fmt.Sprintf("%s (row %d)%s", orDash(n.Reason), n.Row, kept(n))},
		})
	}
	return rows
}

func printGroup(p *terminal.Printer, g report.Group) {
	p.Line(terminal.Bold, "%s: master %s, generation %d, epoch %d; grant %s", g.Group,
		orDash(string(g.Agreement.Address)), g.Agreement.Generation, g.Agreement.Epoch, orDash(string(g.Grant.Holder)))
	if !g.Maintenance.At.IsZero() {
		p.Line(terminal.Yellow, "  maintenance until %s, by %s: %s", g.Maintenance.Until.Local().Format(time.DateTime), g.Maintenance.By, orDash(g.Maintenance.Reason))
	}
	for node, order := range g.Control.Fenced {
		p.Line(terminal.Yellow, "  fenced by hand: %s, by %s at %s: %s", string(node), order.By, order.At.Local().Format(time.DateTime), orDash(order.Reason))
	}
	for node, order := range g.Control.Released {
		p.Line(terminal.Yellow, "  released: %s, by %s at %s: %s", string(node), order.By, order.At.Local().Format(time.DateTime), orDash(order.Reason))
	}
	if len(g.Nodes) > 0 {
		rows := [][]terminal.Cell{heading("OTHER HOSTS", "ROLE", "PHASE", "FOR", "GUARDED", "SENTINELS", "WHY")}
		for _, n := range g.Nodes {
			rows = append(rows, []terminal.Cell{{Text: n.Address}, {Text: n.Role}, {Text: n.Phase, Colour: phaseColour(n.Phase)}, {Text: since(n.Since)}, guardedCell(n),
				{Text: fmt.Sprintf("%d/%d agree", n.SentinelsAgreeing, n.SentinelsKnown)},
				{Text: fmt.Sprintf("%s (row %d)%s", orDash(n.Reason), n.Row, kept(n))}})
		}
		p.Table("  ", rows)
	}
	for _, address := range g.Silent {
		text, command := g.SilentText()
		p.Line(terminal.Red, "  %s%s%s", address, text, command)
	}
	for _, address := range g.Gone {
		text, command := g.GoneText(address)
		p.Line(terminal.Plain, "  %s%s%s", address, text, command)
	}
	for _, problem := range g.Problems {
		p.Line(terminal.Yellow, "  %s", problem)
	}
}

func printFaults(p *terminal.Printer, name string, faults []agent.Fault) {
	for i, f := range faults {
		if i == 0 {
			p.Line(terminal.Plain, "")
		}
		colour := terminal.Yellow
		if f.Severity == agent.SeverityError {
			colour = terminal.Red
		}
		p.Line(colour, "%s: %s: %s: %s", name, string(f.Severity), f.ID, f.Text)
		p.Lines(terminal.Plain, "    ", f.Remedy)
	}
}

func heading(names ...string) []terminal.Cell {
	row := make([]terminal.Cell, len(names))
	for i, name := range names {
		row[i] = terminal.Cell{Text: name}
	}
	return row
}

func guardedCell(n agent.Status) terminal.Cell {
	if n.Guarded {
		return terminal.Cell{Text: "yes", Colour: terminal.Green}
	}
	return terminal.Cell{Text: "NO", Colour: terminal.Red}
}

func phaseColour(phase string) terminal.Colour {
	switch phase {
	case "serve", "follow":
		return terminal.Green
	case "hold", "lock":
		return terminal.Yellow
	case "refuse":
		return terminal.Red
	}
	return terminal.Plain
}

func orDash(s string) string {
	if s == "" {
		return "-"
	}
	return s
}

func seconds(s float64, known bool) string {
	if !known {
		return "-"
	}
	return fmt.Sprintf("%.1fs", s)
}

func since(t time.Time) string {
	if t.IsZero() {
		return "-"
	}
	d := time.Since(t)
	switch {
	case d < time.Minute:
		return d.Round(time.Second).String()
	case d < 48*time.Hour:
		return d.Round(time.Minute).String()
	}
	return fmt.Sprintf("%dd", int(d.Hours()/24))
}

// kept is what maintenance keeps from being done, and a veto from being promoted.
func kept(n agent.Status) string {
	text := ""
	switch {
	case n.Veto && n.VetoSeen:
		text = ", veto set"
	case n.Veto && n.Role == "replica":
		text = ", veto not shown by every Sentinel yet"
	}
	if n.Would != "" {
		text += ", would " + n.Would
	}
	return text
}
