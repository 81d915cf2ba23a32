package main

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/redis-watchdog/redis-watchdog/cmd/redis-watchdog/internal/config"
	"github.com/redis-watchdog/redis-watchdog/cmd/redis-watchdog/internal/report"
	"github.com/redis-watchdog/redis-watchdog/watchdog/agent"
)

type statusOptions struct {
	group    string
	local    bool
	watch    bool
	interval time.Duration
}

func (a *app) statusCommand() *cobra.Command {
	var o statusOptions
	c := &cobra.Command{
		Use:   "status [GROUP]",
		Short: "say whether every Redis is guarded, and what each watchdog does and why",
		Long: "status asks the watchdog of this host, and etcd for the rest of each group.\n\n" +
			"Exit code: 0 all is guarded and there is no fault, 1 there is one, 2 it could not be found out.",
		Args:              cobra.MaximumNArgs(1),
		ValidArgsFunction: a.completeGroups,
		RunE: func(c *cobra.Command, args []string) error {
			if len(args) > 0 {
				o.group = args[0]
			}
			return a.status(c.Context(), o)
		},
	}
	a.outputFlag(c)
	c.Flags().BoolVarP(&o.watch, "watch", "w", false, "show it again and again until interrupted")
	c.Flags().DurationVar(&o.interval, "interval", time.Second, "with --watch, how often")
	c.Flags().BoolVar(&o.local, "local", false, "ask this host's watchdog only, not etcd")
	return c
}

func (a *app) status(ctx context.Context, o statusOptions) error {
	asJSON, err := a.json()
	if err != nil {
		return err
	}
	if o.interval < 100*time.Millisecond {
		return fmt.Errorf("interval %s is below 100ms", o.interval)
	}
	c, wrong := a.load()
	if wrong != nil {
		// A watchdog that runs has refused this file: what it is doing is asked
		// for all the same, and its own word on the file is among the faults.
		c, o.local = config.Unchecked(a.configPath, a.env), true
		c.Groups = nil
		if _, err := localStatus(ctx, c); err != nil {
			return wrong
		}
	} else if _, known := c.Group(o.group); o.group != "" && !known {
		return fmt.Errorf("no group %q in %s; there is %s", o.group, a.configPath, strings.Join(groupNames(c), ", "))
	}
	var store coordinator
	if !o.local {
		if store, err = a.open(c); err != nil {
			return unknown("open etcd: %w", err)
		}
		// Nothing was written: how the connection ends does not matter.
		defer func() { _ = store.Close() }()
	}
	printer := a.printer()
	for {
		said := collect(ctx, c, store, o.group)
		if wrong != nil {
			said.Problems = append(said.Problems, "etcd was not asked, for the configuration on disk has faults:")
			said.Problems = append(said.Problems, strings.Split(wrong.Error(), "\n")...)
			said.Verdict = report.Judge(said)
		}
		switch {
		case asJSON && o.watch:
			err = json.NewEncoder(a.out).Encode(said) // one line each
		case asJSON:
			err = a.printJSON(said)
		default:
			if o.watch {
				printer.Clear()
			}
			printStatus(printer, said)
		}
		if err != nil {
			return unknown("write output: %w", err)
		}
		if o.watch {
			select {
			case <-ctx.Done():
			case <-time.After(o.interval):
				continue
			}
		}
		return exitOf(said.Verdict)
	}
}

func exitOf(verdict string) error {
	switch verdict {
	case report.OK:
		return nil
	case report.Fault:
		return &exitError{code: exitBlocked}
	}
	return &exitError{code: exitUnknown}
}

// collect asks everybody. A nil store leaves etcd out.
func collect(ctx context.Context, c *config.Config, store coordinator, only string) report.Report {
	r := report.Report{Nodes: []agent.Status{}, Groups: []report.Group{}, Problems: []string{}}
	nodes, err := localStatus(ctx, c)
	if err != nil {
		r.Problems = append(r.Problems, err.Error())
	}
	for _, n := range nodes {
		if only == "" || n.Group == only {
			r.Nodes = append(r.Nodes, n)
		}
	}
	for _, g := range c.Groups {
		if only != "" && g.Name != only {
			continue
		}
		for _, n := range g.Nodes {
			if err == nil && !slices.ContainsFunc(nodes, func(s agent.Status) bool { return s.Group == g.Name && s.Node == n.Name }) {
				r.Problems = append(r.Problems,
					fmt.Sprintf("%s/%s is in %s, but the running watchdog does not know it; systemctl restart redis-watchdog", g.Name, n.Name, c.File))
			}
		}
		if store == nil {
			continue
		}
		read, err := store.Read(ctx, g.Name)
		if err != nil {
			r.Problems = append(r.Problems, fmt.Sprintf("ask etcd for group %s: %v", g.Name, err))
			continue
		}
		r.Groups = append(r.Groups, report.NewGroup(read, r.Nodes))
	}
	r.Verdict = report.Judge(r)
	return r
}
