package main

import (
	"errors"
	"runtime"

	"github.com/spf13/cobra"

	"github.com/redis-watchdog/redis-watchdog/cmd/redis-watchdog/internal/config"
	"github.com/redis-watchdog/redis-watchdog/cmd/redis-watchdog/internal/terminal"
)

func (a *app) checkConfigCommand() *cobra.Command {
	c := &cobra.Command{
		Use:   "check-config",
		Short: "name everything that is wrong with the configuration; touch nothing",
		Args:  cobra.NoArgs,
		Long: "check-config reads the configuration and every file that it names, and asks nobody.\n" +
			"Run by root it reads them as the user that the unit redis-watchdog.service runs as, where there is one.",
		RunE: func(c *cobra.Command, _ []string) error {
			if done, err := a.checkAsService(c.Context()); done {
				return err
			}
			return a.checkConfig()
		},
	}
	a.outputFlag(c)
	return c
}

// checkedConfig is the output of check-config -o json.
type checkedConfig struct {
	OK     bool          `json:"ok"`
	File   string        `json:"file"`
	Groups []string      `json:"groups,omitempty"`
	Faults []configFault `json:"faults"`
}

type configFault struct {
	Line    int    `json:"line"`
	Key     string `json:"key"`
	Value   string `json:"value"`
	Problem string `json:"problem"`
	Remedy  string `json:"remedy"`
}

func (a *app) checkConfig() error {
	asJSON, err := a.json()
	if err != nil {
		return err
	}
	c, err := a.load()
	if asJSON {
		result := checkedConfig{OK: err == nil, File: a.configPath, Faults: []configFault{}}
		faults, known := errors.AsType[config.Faults](err)
		if err != nil && !known {
			result.Faults = append(result.Faults, configFault{Problem: err.Error()})
		}
		for _, f := range faults {
			result.Faults = append(result.Faults, configFault{f.Line, f.Key, f.Value, f.Problem, f.Remedy})
		}
		if err == nil {
			result.Groups = groupNames(c)
			return a.printJSON(result)
		}
		if err := a.printJSON(result); err != nil {
			return err
		}
		return &exitError{code: exitUsage}
	}
	if err != nil {
		return err
	}
	p := a.printer()
	p.Line(terminal.Green, "OK  %s", a.configPath)
	for _, g := range c.Groups {
		for _, n := range g.Nodes {
			network, address := n.Network()
			p.Line(terminal.Plain, "    %s/%s: %s %s, %d sentinels", g.Name, n.Name, network, address, len(g.Sentinels))
		}
	}
	return nil
}

func (a *app) versionCommand() *cobra.Command {
	c := &cobra.Command{
		Use:   "version",
		Short: "print the version",
		Args:  cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error {
			asJSON, err := a.json()
			if err != nil {
				return err
			}
			if asJSON {
				return a.printJSON(map[string]string{"version": version, "go_version": runtime.Version(), "platform": runtime.GOOS + "/" + runtime.GOARCH})
			}
			a.printer().Line(terminal.Plain, "redis-watchdog %s (%s, %s/%s)", version, runtime.Version(), runtime.GOOS, runtime.GOARCH)
			return nil
		},
	}
	a.outputFlag(c)
	return c
}
