package main

import (
	"encoding/json"
	"fmt"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/redis-watchdog/redis-watchdog/cmd/redis-watchdog/internal/terminal"
	"github.com/redis-watchdog/redis-watchdog/cmd/redis-watchdog/internal/why"
	"github.com/redis-watchdog/redis-watchdog/fencing/grant"
	"github.com/redis-watchdog/redis-watchdog/preflight"
	"github.com/redis-watchdog/redis-watchdog/watchdog/agent"
)

func (a *app) historyCommand() *cobra.Command {
	limit := 50
	c := &cobra.Command{
		Use:               "history GROUP",
		Short:             "who decided what, when, on which evidence; oldest first",
		Args:              cobra.ExactArgs(1),
		ValidArgsFunction: a.completeGroups,
		RunE: func(c *cobra.Command, args []string) error {
			asJSON, err := a.json()
			if err != nil {
				return err
			}
			if limit < 0 {
				return fmt.Errorf("--limit %d is negative", limit)
			}
			cfg, _, err := a.group(args[0])
			if err != nil {
				return err
			}
			store, err := a.open(cfg)
			if err != nil {
				return unknown("open etcd: %w", err)
			}
			defer func() { _ = store.Close() }() // nothing was written
			records, err := store.ReadHistory(c.Context(), args[0], limit)
			if err != nil {
				return unknown("%w; this host's own decisions are in the log: journalctl -u redis-watchdog", err)
			}
			return a.printHistory(records, asJSON)
		},
	}
	a.outputFlag(c)
	c.Flags().IntVarP(&limit, "limit", "n", limit, "the newest so many; 0 is all that are kept")
	return c
}

func (a *app) printHistory(records []string, asJSON bool) error {
	if asJSON {
		all, causes := make([]json.RawMessage, 0, len(records)), why.Explain(records)
		for i, record := range records {
			if !json.Valid([]byte(record)) {
				quoted, err := json.Marshal(record)
				if err != nil {
					return unknown("encode history record: %w", err)
				}
				record = string(quoted)
			} else if cause, ok := causes[i]; ok {
				text, err := json.Marshal(cause)
				if err != nil {
					return unknown("encode likely cause: %w", err)
				}
				// Unknown fields are kept as they are: it is put behind them.
				record = strings.TrimSuffix(strings.TrimSpace(record), "}") + `,"likely_cause":` + string(text) + "}"
			}
			all = append(all, json.RawMessage(record))
		}
		return a.printJSON(all)
	}
	p := a.printer()
	if len(records) == 0 {
		p.Line(terminal.Plain, "no decision is recorded")
		return nil
	}
	rows := [][]terminal.Cell{heading("TIME", "NODE", "FROM", "TO", "ROW", "REASON", "GRANT", "MASTER", "TERM", "SENTINELS", "ETCD AGE")}
	causes := why.Explain(records)
	for i, record := range records {
		if row, ok := otherRow(record); ok {
			rows = append(rows, row)
			continue
		}
		var s agent.Step
		if err := json.Unmarshal([]byte(record), &s); err != nil {
			rows = append(rows, []terminal.Cell{{Text: "-"}, {Text: "not understood: " + record}})
			continue
		}
		node := s.Self
		if node == "" {
			node = s.Node
		}
		rows = append(rows, []terminal.Cell{
			{Text: s.Time.Local().Format(time.DateTime + ".000")}, {Text: node}, {Text: s.From}, {Text: s.To, Colour: phaseColour(s.To)},
			{Text: fmt.Sprint(s.Row)}, {Text: toAndFro(s)}, {Text: s.Grant}, {Text: orDash(s.Master)}, {Text: s.Term},
			{Text: fmt.Sprintf("%d/%d", s.Votes, s.Known)}, {Text: seconds(s.CoordinatorAge, s.CoordinatorAge >= 0)},
		})
		if cause, ok := causes[i]; ok {
			rows = append(rows, []terminal.Cell{{Text: ""}, {Text: node}, {Text: "-"}, {Text: "-"}, {Text: "-"}, {Text: "likely cause: " + cause.Text}})
		}
	}
	p.Table("", rows)
	return nil
}

// toAndFro is the reason of a step, with how many before it were not recorded.
func toAndFro(s agent.Step) string {
	if s.Before == 0 {
		return s.Reason
	}
	return fmt.Sprintf("%s (and %d to and fro before)", s.Reason, s.Before)
}

// otherRow is the line of a record that is no step of a decision: a planned
// failover, a veto that changed, a stall of Redis and its cause, or a node that was
// forgotten.
func otherRow(record string) ([]terminal.Cell, bool) {
	var f failoverOutput
	if json.Unmarshal([]byte(record), &f) != nil {
		return nil, false
	}
	switch f.Kind {
	case "veto":
		return vetoRow(record)
	case "stall":
		return stallRow(record)
	case why.RecordKind:
		return causeRow(record)
	case grant.KindForget:
		return forgetRow(record)
	}
	if f.Kind != "failover" {
		return nil, false
	}
	text := fmt.Sprintf("planned failover by %s: %s", f.By, f.Outcome)
	if len(f.Forced) > 0 {
		text += fmt.Sprintf(", forced %s (%s)", strings.Join(f.Forced, ","), f.Reason)
	}
	return []terminal.Cell{{Text: f.Time.Local().Format(time.DateTime + ".000")}, {Text: "-"}, {Text: f.From}, {Text: f.To}, {Text: "-"}, {Text: text}}, true
}

func vetoRow(record string) ([]terminal.Cell, bool) {
	var v struct {
		Time    time.Time           `json:"time"`
		Self    string              `json:"address"`
		Veto    bool                `json:"veto"`
		Reasons []preflight.Finding `json:"reasons"`
	}
	if json.Unmarshal([]byte(record), &v) != nil {
		return nil, false
	}
	text := "veto lifted"
	if v.Veto {
		text = "veto:"
	} else if len(v.Reasons) > 0 {
		text = "left to Sentinel all the same:"
	}
	for _, f := range v.Reasons {
		text += " " + f.Check + ": " + f.Reason
	}
	return []terminal.Cell{{Text: v.Time.Local().Format(time.DateTime + ".000")}, {Text: v.Self}, {Text: "-"}, {Text: "-"}, {Text: "-"}, {Text: text}}, true
}

func causeRow(record string) ([]terminal.Cell, bool) {
	var r why.Record
	if json.Unmarshal([]byte(record), &r) != nil {
		return nil, false
	}
	return []terminal.Cell{{Text: r.Time.Local().Format(time.DateTime + ".000")}, {Text: r.Self}, {Text: "-"}, {Text: "-"}, {Text: "-"}, {Text: r.Text()}}, true
}

func stallRow(record string) ([]terminal.Cell, bool) {
	var v struct {
		Time  time.Time `json:"time"`
		Self  string    `json:"address"`
		Lasts float64   `json:"seconds"`
		Slept float64   `json:"watchdog_not_run_seconds"`
		Fired bool      `json:"fence_fired"`
	}
	if json.Unmarshal([]byte(record), &v) != nil {
		return nil, false
	}
	text := fmt.Sprintf("Redis stood still for %.1f s", v.Lasts)
	if v.Slept > 0 {
		text += fmt.Sprintf(", the watchdog for %.1f s of it too: its host, most likely", v.Slept)
	}
	if v.Fired {
		text += ", past its armed fence, which fired"
	}
	return []terminal.Cell{{Text: v.Time.Local().Format(time.DateTime + ".000")}, {Text: v.Self}, {Text: "-"}, {Text: "-"}, {Text: "-"}, {Text: text}}, true
}

func forgetRow(record string) ([]terminal.Cell, bool) {
	var f grant.Forgotten
	if json.Unmarshal([]byte(record), &f) != nil {
		return nil, false
	}
	text := "forgotten by " + f.By
	if f.Reason != "" {
		text += ": " + f.Reason
	}
	return []terminal.Cell{{Text: f.Time.Local().Format(time.DateTime + ".000")}, {Text: string(f.Node)}, {Text: "-"}, {Text: "-"}, {Text: "-"}, {Text: text}}, true
}
