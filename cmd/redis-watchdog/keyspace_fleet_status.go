package main

import (
	"context"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/redis-watchdog/redis-watchdog/cmd/redis-watchdog/internal/terminal"
	"github.com/redis-watchdog/redis-watchdog/preflight/keyspace/fleet"
)

// fleetStatus is what -o json of status prints.
type fleetStatus struct {
	Run      *fleet.Run     `json:"run"` // null: there is none
	Progress fleet.Progress `json:"progress"`
	Units    []fleetUnit    `json:"units"`
	Unread   []string       `json:"unread"` // records that make no sense
}

type fleetUnit struct {
	fleet.Unit
	Running bool `json:"running"`
}

// fleetStatus prints how far the run is. Exit code 1: something of it failed, or
// cannot be read.
func (a *app) fleetStatus(_ context.Context, _ fleetList, now fleetNow) error {
	if now.wrong != nil {
		return unknown("%w", now.wrong)
	}
	asJSON, err := a.json()
	if err != nil {
		return err
	}
	s := fleetStatus{Progress: fleet.ProgressOf(now.run, now.units, len(now.unread)), Units: []fleetUnit{}, Unread: append([]string{}, now.unread...)}
	if now.entry.Modified != 0 {
		s.Run = &now.run
	}
	for _, u := range now.units {
		s.Units = append(s.Units, fleetUnit{u.Unit, u.Claimed && u.State == fleet.Begun})
	}
	if asJSON {
		err = a.printJSON(s)
	} else {
		printFleet(a.printer(), s)
	}
	if err == nil && (s.Progress.Failed > 0 || s.Progress.Unread > 0) {
		err = &exitError{code: exitBlocked}
	}
	return err
}

func printFleet(p *terminal.Printer, s fleetStatus) {
	if s.Run == nil {
		p.Line(terminal.Plain, "there is no run: redis-watchdog keyspace fleet start")
		return
	}
	what := "one replica of each group"
	if s.Run.Every {
		what = "every replica"
	}
	if s.Run.Groups != "" {
		what += " " + s.Run.Groups
	}
	state := string(s.Run.State)
	if s.Progress.Finished {
		state = "finished"
	}
	p.Line(terminal.Bold, "%s: %s, at most %d at one time; begun by %s, %s", state, what, s.Run.Parallel, s.Run.By, s.Run.At.Format(time.RFC3339))
	g := s.Progress
	over := g.Done + g.Failed + g.LeftOut
	if p.Screen() && g.Total > 0 {
		const width = 40
		full := min(width, over*width/g.Total)
		p.Line(terminal.Plain, "[%s%s] %d %%", strings.Repeat("=", full), strings.Repeat(" ", width-full), over*100/g.Total)
	}
	p.Line(terminal.Plain, "of %d audits %d are done, %d failed, %d left out, %d running, %d waiting", g.Total, g.Done, g.Failed, g.LeftOut, g.Running, g.Waiting)
	p.Line(terminal.Plain, "%s keys, %s", countText(g.Keys), bytesText(g.Bytes))
	switch {
	case g.Left != nil:
		p.Line(terminal.Plain, "left: %s to %s, by how long %d took; longer while hosts are busy", roughly(g.Left.Low), roughly(g.Left.High), g.Done)
	case g.Unknown != "":
		p.Line(terminal.Plain, "how long it will take is not known: %s", g.Unknown)
	}
	for _, text := range s.Unread {
		p.Line(terminal.Red, "%s", text)
	}
	rows := [][]terminal.Cell{{{Text: "AUDIT"}, {Text: "STATE"}, {Text: "NODE"}, {Text: "TRIES"}, {Text: "SINCE"}, {Text: "WHY"}}}
	for _, u := range s.Units {
		state, colour := string(u.State), terminal.Plain
		switch {
		case u.Running:
			state = "running"
		case u.State == fleet.Failed:
			colour = terminal.Red
		case u.State == fleet.LeftOut || u.Reason != "":
			colour = terminal.Yellow
		default:
			continue // what waits, or is done, is counted
		}
		rows = append(rows, []terminal.Cell{{Text: u.Key()}, {Text: state, Colour: colour}, {Text: u.Node}, {Text: strconv.Itoa(u.Tries)}, {Text: u.At.Format(time.RFC3339)}, {Text: u.Reason}})
	}
	if len(rows) > 1 {
		p.Line(terminal.Plain, "")
		p.Table("", rows)
	}
}

// roughly is a duration that a person reads.
func roughly(d time.Duration) string {
	switch {
	case d >= 72*time.Hour:
		return fmt.Sprintf("%.0f days", d.Hours()/24)
	case d >= time.Hour:
		return strings.TrimSuffix(d.Round(time.Minute).String(), "0s")
	}
	return d.Round(time.Second).String()
}
