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
	"github.com/redis-watchdog/redis-watchdog/fencing/grant"
	"github.com/redis-watchdog/redis-watchdog/watchdog/agent"
)

// The verdicts of status.
const (
	verdictOK      = "ok"
	verdictFault   = "fault"
	verdictUnknown = "unknown"
)

// statusReport is the output of status -o json.
type statusReport struct {
	Verdict  string         `json:"verdict"`  // ok, fault, unknown
	Nodes    []agent.Status `json:"nodes"`    // of this host, as its watchdog says
	Groups   []groupReport  `json:"groups"`   // as etcd has them; empty with --local
	Problems []string       `json:"problems"` // what could not be found out
}

// groupReport is one group as etcd has it.
type groupReport struct {
	Group       string             `json:"group"`
	Agreement   grant.MasterRecord `json:"agreement"`
	Grant       grant.Holding      `json:"grant"`
	Maintenance grant.Maintenance  `json:"maintenance"`
	Control     grant.Control      `json:"control"`
	Nodes       []agent.Status     `json:"nodes"`  // of the other hosts
	Silent      []string           `json:"silent"` // nodes seen in this group whose watchdog does not report
	Problems    []string           `json:"problems"`
}

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
	c, err := a.load()
	if err != nil {
		return err
	}
	if _, known := c.Group(o.group); o.group != "" && !known {
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
		report := collect(ctx, c, store, o.group)
		switch {
		case asJSON && o.watch:
			err = json.NewEncoder(a.out).Encode(report) // one line each
		case asJSON:
			err = a.printJSON(report)
		default:
			if o.watch {
				printer.Clear()
			}
			printStatus(printer, report)
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
		return exitOf(report.Verdict)
	}
}

func exitOf(verdict string) error {
	switch verdict {
	case verdictOK:
		return nil
	case verdictFault:
		return &exitError{code: exitBlocked}
	}
	return &exitError{code: exitUnknown}
}

// collect asks everybody. A nil store leaves etcd out.
func collect(ctx context.Context, c *config.Config, store coordinator, only string) statusReport {
	report := statusReport{Nodes: []agent.Status{}, Groups: []groupReport{}, Problems: []string{}}
	nodes, err := localStatus(ctx, c)
	if err != nil {
		report.Problems = append(report.Problems, err.Error())
	}
	for _, n := range nodes {
		if only == "" || n.Group == only {
			report.Nodes = append(report.Nodes, n)
		}
	}
	for _, g := range c.Groups {
		if only != "" && g.Name != only {
			continue
		}
		for _, n := range g.Nodes {
			if err == nil && !slices.ContainsFunc(nodes, func(s agent.Status) bool { return s.Group == g.Name && s.Node == n.Name }) {
				report.Problems = append(report.Problems,
					fmt.Sprintf("%s/%s is in %s, but the running watchdog does not know it; systemctl restart redis-watchdog", g.Name, n.Name, c.File))
			}
		}
		if store == nil {
			continue
		}
		read, err := store.Read(ctx, g.Name)
		if err != nil {
			report.Problems = append(report.Problems, fmt.Sprintf("ask etcd for group %s: %v", g.Name, err))
			continue
		}
		report.Groups = append(report.Groups, newGroupReport(read, report.Nodes))
	}
	report.Verdict = judge(report)
	return report
}

func newGroupReport(g grant.Group, local []agent.Status) groupReport {
	out := groupReport{Group: g.Name, Agreement: g.Agreement, Grant: g.Grant, Maintenance: g.Maintenance, Control: g.Control,
		Nodes: []agent.Status{}, Silent: []string{}, Problems: append([]string{}, g.Problems...)}
	here := func(address string) bool {
		return slices.ContainsFunc(local, func(s agent.Status) bool { return s.Group == g.Name && s.Address == address })
	}
	said := reports(g)
	for address, s := range said {
		if !here(address) {
			s.Group = g.Name
			out.Nodes = append(out.Nodes, s)
		}
	}
	slices.SortFunc(out.Nodes, func(a, b agent.Status) int { return strings.Compare(a.Address, b.Address) })
	for address := range g.Nodes {
		if _, understood := said[address]; !understood {
			out.Problems = append(out.Problems, "the report of "+address+" in etcd cannot be understood; its watchdog may be another version")
		}
	}
	for _, node := range g.Record.Nodes {
		if _, reports := g.Nodes[string(node)]; !reports && !here(string(node)) {
			out.Silent = append(out.Silent, string(node))
		}
	}
	return out
}

// judge is the worst of all: a fault is certain, so it comes before what could
// not be found out.
func judge(r statusReport) string {
	unclear := len(r.Problems) > 0 || len(r.Nodes) == 0
	faulty := func(s agent.Status) bool { return !s.Guarded || len(s.Faults) > 0 }
	fault := slices.ContainsFunc(r.Nodes, faulty)
	for _, g := range r.Groups {
		fault = fault || slices.ContainsFunc(g.Nodes, faulty) || len(g.Silent) > 0
		unclear = unclear || len(g.Problems) > 0
	}
	switch {
	case fault:
		return verdictFault
	case unclear:
		return verdictUnknown
	}
	return verdictOK
}
