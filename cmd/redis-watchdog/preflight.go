package main

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"strings"

	"github.com/spf13/cobra"

	"github.com/redis-watchdog/redis-watchdog/cmd/redis-watchdog/internal/config"
	"github.com/redis-watchdog/redis-watchdog/cmd/redis-watchdog/internal/terminal"
	"github.com/redis-watchdog/redis-watchdog/preflight"
)

type preflightOptions struct {
	to       string
	fix      bool
	yes      bool
	probeKey bool
	verbose  bool
	explain  string
	migrate  string // a slot; empty: a failover is judged
	cluster  string // HOST:PORT of a node of Redis Cluster
	reach    keyspaceOptions
}

// preflightOutput is the output of preflight -o json.
type preflightOutput struct {
	preflight.Report
	Fixed []fixed `json:"fixed,omitempty"` // with --fix
}

func (a *app) preflightCommand() *cobra.Command {
	var o preflightOptions
	c := &cobra.Command{
		Use:   "preflight GROUP",
		Short: "say whether a failover may go ahead, and what stands against it",
		Long: "preflight reads the whole group and judges a failover before anything is touched.\n\n" +
			"Exit code: 0 it may go ahead, 1 a check blocks it, 2 it could not be found out (which blocks too).",
		Example: "  redis-watchdog preflight mymaster\n" +
			"  redis-watchdog preflight mymaster --to 10.0.0.12:6379 --fix\n" +
			"  redis-watchdog preflight mymaster --migrate codis:359\n" +
			"  redis-watchdog preflight --migrate cluster:12182 --cluster 10.0.0.21:7000\n" +
			"  redis-watchdog preflight --explain memory_limit_file",
		Args:              cobra.MaximumNArgs(1),
		ValidArgsFunction: a.completeGroups,
		RunE: func(c *cobra.Command, args []string) error {
			asJSON, err := a.json()
			switch {
			case err != nil:
				return err
			case o.explain != "":
				return a.explain(o.explain, asJSON)
			case o.migrate != "":
				return a.migrate(c.Context(), args, o, asJSON)
			case o.cluster != "":
				return fmt.Errorf("--cluster is for --migrate cluster:SLOT")
			case o.reach.user != "" || o.reach.password != "" || o.reach.ca != "":
				return fmt.Errorf("--user, --password-file and --tls-ca are for --cluster")
			case len(args) == 0:
				return fmt.Errorf("no group given")
			case o.yes && !o.fix:
				return fmt.Errorf("--yes is for --fix")
			case o.fix && !o.yes && asJSON:
				return fmt.Errorf("--fix asks on a terminal; with -o json give --yes too")
			}
			return a.preflight(c.Context(), args[0], o, asJSON)
		},
	}
	a.outputFlag(c)
	f := c.Flags()
	f.StringVar(&o.to, "to", "", "judge this replica, HOST:PORT as the Sentinels have it; default: every replica, and the best one is named")
	f.BoolVar(&o.fix, "fix", false, "offer the remedies that are safe and can be undone, one by one")
	f.BoolVar(&o.yes, "yes", false, "with --fix, do not ask")
	f.BoolVar(&o.probeKey, "probe-key", false, "write a key to the master and see it arrive at every replica")
	f.BoolVarP(&o.verbose, "verbose", "v", false, "show the checks that pass, too")
	f.StringVar(&o.explain, "explain", "", "tell the story of one check, or of all: list")
	f.StringVar(&o.migrate, "migrate", "", "judge no failover but the move of a slot to another node: codis:SLOT out of GROUP (none: of every group), or cluster:SLOT")
	f.StringVar(&o.cluster, "cluster", "", "with --migrate cluster:SLOT: a node of the Redis Cluster, HOST:PORT")
	f.StringVar(&o.reach.user, "user", "", "user of the nodes of --cluster (rights +cluster|nodes +cluster|countkeysinslot +config|get)")
	f.StringVar(&o.reach.password, "password-file", "", "file with the password of --user, or of the default user")
	f.StringVar(&o.reach.ca, "tls-ca", "", "speak TLS to --cluster, and trust this authority")
	// The only error is that there is no such flag.
	_ = c.RegisterFlagCompletionFunc("explain", func(*cobra.Command, []string, string) ([]string, cobra.ShellCompDirective) {
		ids := []string{"list"}
		for _, check := range preflight.Catalogue() {
			ids = append(ids, check.ID)
		}
		return ids, cobra.ShellCompDirectiveNoFileComp
	})
	return c
}

func (a *app) preflight(ctx context.Context, group string, o preflightOptions, asJSON bool) error {
	c, g, err := a.group(group)
	if err != nil {
		return err
	}
	judge := func() (preflight.Report, error) {
		facts, err := a.facts(ctx, c, g, o.probeKey)
		if err != nil {
			return preflight.Report{}, unknown("read the facts of %s: %w", group, err)
		}
		return preflight.Judge(preflightPolicy(g), facts, o.to), nil
	}
	report, err := judge()
	if err != nil {
		return err
	}
	printer := a.printer()
	var done []fixed
	if o.fix {
		if !asJSON {
			printReport(printer, report, o.verbose)
		}
		fixer := fixer{app: a, printer: printer, judge: judge, change: a.change(c, g), yes: o.yes, quiet: asJSON}
		if report, done, err = fixer.run(ctx, report); err != nil {
			return err
		}
		if len(done) == 0 && !asJSON {
			return exitOfVerdict(report.Verdict)
		}
	}
	if asJSON {
		err = a.printJSON(preflightOutput{Report: report, Fixed: done})
	} else {
		printReport(printer, report, o.verbose)
	}
	if err != nil {
		return err
	}
	return exitOfVerdict(report.Verdict)
}

func exitOfVerdict(v preflight.Verdict) error {
	switch v {
	case preflight.MayGo:
		return nil
	case preflight.Blocked:
		return &exitError{code: exitBlocked}
	}
	return &exitError{code: exitUnknown}
}

// explain tells the story of one check, or lists them.
func (a *app) explain(id string, asJSON bool) error {
	all := preflight.Catalogue()
	if id == "list" {
		if asJSON {
			return a.printJSON(all)
		}
		rows := [][]terminal.Cell{heading("CHECK", "AREA", "SEVERITY", "WHAT MUST BE SO")}
		for _, c := range all {
			rows = append(rows, []terminal.Cell{{Text: c.ID}, {Text: c.Area}, {Text: string(c.Severity), Colour: severityColour(c.Severity)}, {Text: c.Title}})
		}
		a.printer().Table("", rows)
		return nil
	}
	for _, c := range all {
		if c.ID != id {
			continue
		}
		if asJSON {
			return a.printJSON(c)
		}
		printStory(a.printer(), c)
		return nil
	}
	var near []string
	for _, c := range all {
		if strings.Contains(c.ID, id) || strings.HasPrefix(c.ID, strings.SplitN(id, "_", 2)[0]) {
			near = append(near, c.ID)
		}
	}
	if near == nil {
		return fmt.Errorf("no check %q; see redis-watchdog preflight --explain list", id)
	}
	return fmt.Errorf("no check %q; there is %s", id, strings.Join(near, ", "))
}

// answer reads y or n of a person; anything but yes is no.
func answer(in io.Reader) (bool, error) {
	line, err := bufio.NewReader(in).ReadString('\n')
	if err != nil && line == "" {
		return false, fmt.Errorf("read the answer: %w", err)
	}
	word := strings.ToLower(strings.TrimSpace(line))
	return word == "y" || word == "yes", nil
}

// preflightPolicy is what an operator chose for a group.
func preflightPolicy(g config.Group) preflight.Policy { return g.Preflight.Policy() }
