package main

import (
	"bufio"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/redis-watchdog/redis-watchdog/cmd/redis-watchdog/internal/config"
	"github.com/redis-watchdog/redis-watchdog/cmd/redis-watchdog/internal/failover"
	"github.com/redis-watchdog/redis-watchdog/cmd/redis-watchdog/internal/terminal"
	"github.com/redis-watchdog/redis-watchdog/fencing/grant"
	"github.com/redis-watchdog/redis-watchdog/preflight"
	"github.com/redis-watchdog/redis-watchdog/sentinel"
	"github.com/redis-watchdog/redis-watchdog/watchdog"
	"github.com/redis-watchdog/redis-watchdog/watchdog/agent"
	steps "github.com/redis-watchdog/redis-watchdog/watchdog/failover"
)

type failoverOptions struct {
	to     string
	force  []string
	reason string
	yes    bool
}

// failoverOutput is the output of failover -o json, and its record in the
// history.
type failoverOutput struct {
	Kind   string    `json:"kind"` // "failover"
	Time   time.Time `json:"time"`
	Group  string    `json:"group"`
	By     string    `json:"by"`
	Reason string    `json:"reason"`
	From   string    `json:"from"`
	To     string    `json:"to"`
	// Forced are the blocking checks that were overridden by name.
	Forced []string `json:"forced"`
	// Blocked are those that stood in the way; then nothing was begun.
	Blocked []string `json:"blocked"`
	steps.Result
	After []preflight.Finding `json:"after,omitempty"` // the checks after the switch that did not pass
}

func (a *app) failoverCommand() *cobra.Command {
	var o failoverOptions
	c := &cobra.Command{
		Use:   "failover GROUP",
		Short: "make another Redis the master, and lose nothing",
		Long: "failover runs the preflight, stops the master's writers for a moment, waits until the chosen replica has everything, has a Sentinel fail over, and sees the grant move. Whatever goes wrong before that is undone; when it is killed, its order ends by itself.\n\n" +
			"Exit code: 0 done, 1 blocked or undone (the old master serves on), 2 it could not be found out.",
		Example: "  redis-watchdog failover mymaster\n" +
			"  redis-watchdog failover mymaster --to 10.0.0.12:6379 --force memory_limit --reason \"the limit is raised right after\"",
		ValidArgsFunction: a.completeGroups,
		Args:              cobra.ExactArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			asJSON, err := a.json()
			switch {
			case err != nil:
				return err
			case len(o.force) > 0 && o.reason == "":
				return errors.New("--force needs --reason TEXT, for the record")
			case asJSON && !o.yes:
				return errors.New("-o json cannot ask: give --yes")
			}
			for _, id := range o.force {
				if !slices.ContainsFunc(preflight.Catalogue(), func(c preflight.Check) bool { return c.ID == id }) {
					return fmt.Errorf("--force %s: no check is called so", id)
				}
			}
			return a.failover(c.Context(), args[0], o, asJSON)
		},
	}
	a.outputFlag(c)
	c.Flags().StringVar(&o.to, "to", "", "the replica to promote, HOST:PORT as the Sentinels have it; default: the best one")
	c.Flags().StringSliceVar(&o.force, "force", nil, "go ahead although these checks (by id) block it; those not named still do")
	c.Flags().StringVar(&o.reason, "reason", "", "why, for the record")
	c.Flags().BoolVar(&o.yes, "yes", false, "do not ask")
	return c
}

func (a *app) failover(ctx context.Context, group string, o failoverOptions, asJSON bool) error {
	c, g, err := a.group(group)
	if err != nil {
		return err
	}
	before, err := a.facts(ctx, c, g, false)
	if err != nil {
		return unknown("read the facts of %s: %w", group, err)
	}
	report := preflight.Judge(preflightPolicy(g), before, o.to)
	out := failoverOutput{Kind: "failover", Time: time.Now().UTC(), Group: group, By: a.operator(), Reason: o.reason, From: report.Master, To: report.Candidate, Forced: []string{}, Blocked: []string{}}
	for _, f := range report.Findings {
		switch {
		case f.Severity != preflight.Blocks || f.Outcome == preflight.Passed:
		case slices.Contains(o.force, f.Check):
			out.Forced = appendNew(out.Forced, f.Check)
		default:
			out.Blocked = appendNew(out.Blocked, f.Check)
		}
	}
	if !asJSON {
		printReport(a.printer(), report, false)
	}
	switch {
	case len(out.Blocked) > 0 || out.To == "":
		return a.failoverBlocked(out, report.Verdict, asJSON)
	case !o.yes && !a.confirmed(out):
		return blocked("not confirmed: nothing was done")
	}
	store, err := a.open(c)
	if err != nil {
		return unknown("open etcd: %w", err)
	}
	defer func() { _ = store.Close() }() // what was written has been confirmed already
	if out.Result, err = a.carryOut(ctx, store, g, before, out, asJSON); err != nil {
		return err
	}
	if out.Outcome == steps.Done {
		out.After = a.afterwards(ctx, c, g, before, out)
	}
	a.recordFailover(ctx, store, out)
	return a.reportFailover(out, asJSON)
}

func appendNew(all []string, one string) []string {
	if slices.Contains(all, one) {
		return all
	}
	return append(all, one)
}

// failoverBlocked says what stands in the way; with certainty, or for want of it.
func (a *app) failoverBlocked(out failoverOutput, verdict preflight.Verdict, asJSON bool) error {
	code := exitBlocked
	if verdict == preflight.Unsure {
		code = exitUnknown
	}
	out.Outcome, out.Text = steps.Undone, "nothing was begun: blocked by "+strings.Join(out.Blocked, ", ")
	if asJSON {
		if err := a.printJSON(out); err != nil {
			return err
		}
	} else {
		a.printer().Line(terminal.Red, "BLOCKED  failover %s: %s", out.Group, out.Text)
		a.printer().Line(terminal.Plain, "         mend it (see above), or override by name: --force %s --reason TEXT", strings.Join(out.Blocked, ","))
	}
	return &exitError{code: code}
}

func (a *app) confirmed(out failoverOutput) bool {
	p := a.printer()
	p.Line(terminal.Bold, "make %s the master of %s in place of %s? Writers wait for about 1.5 s. [y/N]", out.To, out.Group, out.From)
	line, err := bufio.NewReader(os.Stdin).ReadString('\n')
	return err == nil && strings.EqualFold(strings.TrimSpace(line), "y")
}

const watchFor = 3 * time.Second // for every Sentinel to be heard

// carryOut does what was ordered. The error is one that nothing was begun with.
func (a *app) carryOut(ctx context.Context, store coordinator, g config.Group, before preflight.Facts, out failoverOutput, quiet bool) (steps.Result, error) {
	tls, err := g.SentinelTLS.Client()
	if err != nil {
		return steps.Result{}, unknown("sentinel_tls: %w", err)
	}
	watcher, err := sentinel.New(sentinel.Config{
		Group: g.Name, Sentinels: g.Sentinels, Username: g.SentinelUsername, Password: string(g.SentinelPassword), TLS: tls, Now: agent.Boottime,
	})
	if err != nil {
		return steps.Result{}, unknown("%w", err)
	}
	watching, cancel := context.WithCancel(context.WithoutCancel(ctx))
	ended := make(chan error, 1)
	go func() { ended <- watcher.Run(watching) }()
	defer func() { cancel(); <-ended }()
	down := shortestDownAfter(ctx, watcher)
	if down == 0 {
		return steps.Result{}, unknown("no Sentinel answers within %s: nothing was begun", watchFor)
	}
	p := failover.Config{
		Group: g.Name, DownAfter: down, Coordinator: store, Sentinels: watcher, Now: agent.Boottime,
		Order: grant.PlannedFailoverRecord{
			Order: grant.Order{By: out.By, At: out.Time, Reason: out.Reason}, ID: rand.Text(),
			From: watchdog.Address(out.From), To: watchdog.Address(out.To), Forced: out.Forced, Force: len(out.Forced) > 0,
		},
		Say: func(format string, args ...any) {
			if !quiet {
				a.printer().Line(terminal.Faint, "  "+format, args...)
			}
		},
	}
	for _, n := range before.Nodes {
		if n.Address != out.From && n.Address != out.To {
			p.Others = append(p.Others, watchdog.Address(n.Address))
		}
	}
	result, err := failover.Run(ctx, p)
	switch {
	case errors.Is(err, grant.ErrBusy), errors.Is(err, grant.ErrNotMaster), errors.Is(err, grant.ErrNoGroup), errors.Is(err, grant.ErrChanged):
		return result, blocked("%w; nothing was begun", err)
	case err != nil:
		return result, unknown("%w; whether the order is in force could not be found out: it changes nothing for clients and ends by itself within 16 s", err)
	}
	return result, nil
}

// shortestDownAfter is what the Sentinels report; zero: none answers.
func shortestDownAfter(ctx context.Context, w *sentinel.Watcher) time.Duration {
	ctx, cancel := context.WithTimeout(ctx, watchFor)
	defer cancel()
	for {
		down, answering := time.Duration(0), 0
		view := w.View()
		for _, s := range view.Sentinels {
			if s.Answering {
				answering++
				if down == 0 || s.DownAfter < down {
					down = s.DownAfter
				}
			}
		}
		if answering > 0 && answering >= view.Known {
			return down
		}
		select {
		case <-ctx.Done():
			return down
		case <-time.After(lookAtSentinels):
		}
	}
}

const (
	lookAtSentinels = 50 * time.Millisecond
	settleFor       = 20 * time.Second // for the old master to be a replica in step
)

// afterwards waits until the old master follows the new one, and checks what
// became of the group.
func (a *app) afterwards(ctx context.Context, c *config.Config, g config.Group, before preflight.Facts, out failoverOutput) []preflight.Finding {
	until := time.Now().Add(settleFor)
	for {
		after, err := a.facts(ctx, c, g, false)
		if err == nil {
			failed := slices.DeleteFunc(preflight.PostSwitch(before, after), func(f preflight.Finding) bool { return f.Outcome == preflight.Passed })
			if len(failed) == 0 || time.Now().After(until) {
				return failed
			}
		}
		if ctx.Err() != nil || err != nil && time.Now().After(until) {
			return []preflight.Finding{{Check: "after_facts", Severity: preflight.Warns, Outcome: preflight.Unknown, Evidence: []preflight.Evidence{},
				Reason: fmt.Sprintf("the group could not be read after the switch: %v", err), Remedy: "redis-watchdog preflight " + g.Name}}
		}
		select {
		case <-ctx.Done():
		case <-time.After(time.Second):
		}
	}
}

func (a *app) recordFailover(ctx context.Context, store coordinator, out failoverOutput) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 3*time.Second)
	defer cancel()
	if err := store.WriteHistory(ctx, out.Group, out); err != nil {
		a.printer().Line(terminal.Yellow, "not recorded in the history: %v", err)
	}
}

// reportFailover prints what became of it and gives the exit code.
func (a *app) reportFailover(out failoverOutput, asJSON bool) error {
	code, colour, verdict := exitFine, terminal.Green, "DONE     "
	switch out.Outcome {
	case steps.Undone:
		code, colour, verdict = exitBlocked, terminal.Red, "UNDONE   "
	case steps.Unclear:
		code, colour, verdict = exitUnknown, terminal.Yellow, "UNKNOWN  "
	}
	var err error
	if asJSON {
		err = a.printJSON(out)
	} else {
		p := a.printer()
		p.Line(colour, verdict+"failover %s: %s", out.Group, out.Text)
		p.Line(terminal.Plain, "         %s", times(out.Times))
		for _, f := range out.After {
			p.Line(terminal.Yellow, "         %s: %s", f.Check, f.Reason)
			p.Line(terminal.Plain, "             %s", f.Remedy)
		}
	}
	if err != nil || code == exitFine {
		return err
	}
	return &exitError{code: code}
}

// times is how long each step took, counted from the order to stop the writers.
func times(t steps.Times) string {
	var parts []string
	for _, step := range []struct {
		name string
		at   time.Duration
	}{{"writers held", t.Held}, {"offsets equal", t.Equal}, {"Sentinel asked", t.Asked}, {"promoted", t.Promoted}, {"agreed in etcd", t.Agreed}, {"granted", t.Granted}, {"seen to accept writes", t.Opened}} {
		if step.at != 0 {
			parts = append(parts, fmt.Sprintf("%s %s", step.name, step.at.Round(time.Millisecond)))
		}
	}
	if len(parts) == 0 {
		return "no client noticed anything"
	}
	return strings.Join(parts, ", ")
}
