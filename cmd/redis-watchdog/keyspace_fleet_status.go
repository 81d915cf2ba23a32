package main

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"slices"
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
	Waits    map[string]int `json:"waits"`                   // how many wait, by why: fleet.WaitsOf
	Unknown  string         `json:"waits_unknown,omitempty"` // why it is not known why they wait; empty: it is
	Units    []fleetUnit    `json:"units"`
	Unread   []string       `json:"unread"` // records that make no sense
}

type fleetUnit struct {
	fleet.Unit
	Running bool   `json:"running"`
	Waits   string `json:"waits,omitempty"`    // why
	By      string `json:"waits_by,omitempty"` // its node of which that is so; empty: none is known
}

// fleetStatus prints how far the run is. Exit code 1: something of it failed, or
// cannot be read, as why audits wait.
func (a *app) fleetStatus(ctx context.Context, l fleetList, now fleetNow) error {
	if now.wrong != nil {
		return unknown("%w", now.wrong)
	}
	asJSON, err := a.json()
	if err != nil {
		return err
	}
	s := fleetStatus{Progress: fleet.ProgressOf(now.run, now.units, len(now.unread)), Waits: map[string]int{}, Units: []fleetUnit{}, Unread: append([]string{}, now.unread...)}
	if now.entry.Modified != 0 {
		s.Run = &now.run
	}
	told := map[string][]fleet.Told{}
	if s.Progress.Waiting > 0 {
		if err := fleetTold(ctx, l, now.run, func(group string, t fleet.Told) { told[group] = append(told[group], t) }); err != nil {
			s.Unknown = err.Error() // how far it is was read all the same
		}
	}
	for _, u := range now.units {
		unit := fleetUnit{Unit: u.Unit, Running: u.Claimed && u.State == fleet.Begun}
		if !unit.Running && !u.Final() && s.Unknown == "" {
			unit.Waits, unit.By = fleet.WaitsOf(u, told[u.Group])
			s.Waits[unit.Waits]++
		}
		s.Units = append(s.Units, unit)
	}
	if asJSON {
		err = a.printJSON(s)
	} else {
		printFleet(a.printer(), s)
	}
	if err == nil && (s.Progress.Failed > 0 || s.Progress.Unread > 0 || s.Unknown != "") {
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
	if s.Unknown != "" {
		p.Line(terminal.Yellow, "why they wait is not known: %s", s.Unknown)
	}
	printWaits(p, s)
	rows := [][]terminal.Cell{{{Text: "AUDIT"}, {Text: "STATE"}, {Text: "NODE"}, {Text: "TRIES"}, {Text: "SINCE"}, {Text: "WHY"}}}
	more := 0
	for _, u := range s.Units {
		state, colour, node, why := string(u.State), terminal.Plain, u.Node, u.Reason
		switch {
		case u.Running:
			state = "running"
		case u.State == fleet.Failed:
			colour = terminal.Red
		case u.State == fleet.LeftOut:
			colour = terminal.Yellow
		case u.Waits != "" && (u.Waits != fleet.WaitsTurn || u.Reason != ""):
			state, colour, node = "waiting", terminal.Yellow, u.By
			why = fleet.WaitsText(u.Waits)
			if u.Reason != "" {
				why += "; before: " + u.Reason
			}
			if len(rows) > mostWaiting {
				more++
				continue
			}
		default:
			continue // what waits for its turn, or is done, is counted
		}
		since := ""
		if !u.At.IsZero() {
			since = u.At.Format(time.RFC3339)
		}
		rows = append(rows, []terminal.Cell{{Text: u.Key()}, {Text: state, Colour: colour}, {Text: node}, {Text: strconv.Itoa(u.Tries)}, {Text: since}, {Text: why}})
	}
	if len(rows) > 1 {
		p.Line(terminal.Plain, "")
		p.Table("", rows)
	}
	if more > 0 {
		p.Line(terminal.Plain, "and %d more that wait: -o json has them all", more)
	}
}

// mostWaiting is how many rows there may be before no further one that waits is shown.
const mostWaiting = 50

// printWaits says in sums why audits wait, the most frequent reason first.
func printWaits(p *terminal.Printer, s fleetStatus) {
	reasons := slices.SortedFunc(maps.Keys(s.Waits), func(a, b string) int {
		return cmp.Or(cmp.Compare(s.Waits[b], s.Waits[a]), cmp.Compare(a, b))
	})
	for _, why := range reasons {
		p.Line(terminal.Plain, "%7d wait: %s (%s)", s.Waits[why], fleet.WaitsText(why), why)
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
