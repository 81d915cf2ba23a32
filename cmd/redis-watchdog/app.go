package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/user"
	"strings"

	"github.com/spf13/cobra"

	"github.com/redis-watchdog/redis-watchdog/cmd/redis-watchdog/internal/config"
	"github.com/redis-watchdog/redis-watchdog/cmd/redis-watchdog/internal/terminal"
)

// Exit codes.
const (
	exitFine    = 0
	exitBlocked = 1  // blocked, or a check failed
	exitUnknown = 2  // could not find out: treat it as blocked
	exitUsage   = 64 // usage or configuration (EX_USAGE of sysexits.h)
)

// exitError ends the process with a code. Any other error is one of usage,
// because cobra's are.
type exitError struct {
	code int
	err  error // nil: what there is to say has been printed
}

func (e *exitError) Error() string { return fmt.Sprint(e.err) }
func (e *exitError) Unwrap() error { return e.err }

func blocked(format string, args ...any) error {
	return &exitError{code: exitBlocked, err: fmt.Errorf(format, args...)}
}

func unknown(format string, args ...any) error {
	return &exitError{code: exitUnknown, err: fmt.Errorf(format, args...)}
}

// app is what the commands share: where they read and write.
type app struct {
	out, errOut io.Writer
	env         func(string) string
	open        func(*config.Config) (coordinator, error)
	facts       factsFunc
	sentinels   sentinelsFunc
	change      func(*config.Config, config.Group) changer
	ask         func() (bool, error) // y or n of a person

	configPath string
	output     string
}

func newApp() *app {
	return &app{out: os.Stdout, errOut: os.Stderr, env: os.Getenv, open: openCoordinator,
		facts: gatherFacts, sentinels: askSentinels, change: changeRedis, ask: func() (bool, error) { return answer(os.Stdin) }}
}

// more is the commands of builds with tags: see man.go.
var more []*cobra.Command

// execute runs one command line and returns the exit code.
func execute(ctx context.Context, a *app, args []string) int {
	root := a.command()
	root.SetArgs(args)
	root.SetOut(a.out)
	root.SetErr(a.errOut)
	err := root.ExecuteContext(ctx)
	if err == nil {
		return exitFine
	}
	code := exitUsage
	if e, ok := errors.AsType[*exitError](err); ok {
		code = e.code
		if e.err == nil {
			return code
		}
	}
	printer := terminal.New(a.errOut, a.env("NO_COLOR"))
	if faults, ok := errors.AsType[config.Faults](err); ok {
		for _, f := range faults {
			printer.Line(terminal.Plain, "%s", f)
		}
		return code
	}
	printer.Line(terminal.Plain, "redis-watchdog: %s", err)
	if code == exitUsage {
		printer.Line(terminal.Plain, "see redis-watchdog --help")
	}
	return code
}

func (a *app) command() *cobra.Command {
	root := &cobra.Command{
		Use:   "redis-watchdog",
		Short: "at most one Redis of a Sentinel group accepts writes",
		Long: "redis-watchdog stands beside every Redis of a Sentinel-managed group and lets at most one of them accept writes.\n\n" +
			"Exit codes: 0 fine, 1 blocked or a check failed, 2 could not find out (treat it as blocked), 64 usage or configuration.",
		SilenceErrors: true,
		SilenceUsage:  true,
		Args:          cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error {
			return errors.New("no command given")
		},
	}
	path := a.env("REDIS_WATCHDOG_CONFIG")
	if path == "" {
		path = config.DefaultPath
	}
	root.PersistentFlags().StringVarP(&a.configPath, "config", "c", path, "configuration file; $REDIS_WATCHDOG_CONFIG")
	root.AddCommand(a.initCommand(), a.runCommand(), a.checkConfigCommand(), a.statusCommand(), a.preflightCommand(), a.fenceCommand(), a.unfenceCommand(),
		a.releaseCommand(), a.maintenanceCommand(), a.adoptCommand(), a.forgetCommand(), a.failoverCommand(), a.historyCommand(), a.keyspaceCommand(), a.startGateCommand(), a.versionCommand())
	root.AddCommand(more...)
	return root
}

// outputFlag is for every command that prints what it found; more are the forms
// that only this one has.
func (a *app) outputFlag(c *cobra.Command, more ...string) {
	forms := append([]string{"text", "json"}, more...)
	c.Flags().StringVarP(&a.output, "output", "o", "text", strings.Join(forms, " or "))
	// The only error is that there is no such flag.
	_ = c.RegisterFlagCompletionFunc("output", cobra.FixedCompletions(forms, cobra.ShellCompDirectiveNoFileComp))
}

func (a *app) json() (bool, error) {
	switch a.output {
	case "text", "":
		return false, nil
	case "json":
		return true, nil
	}
	return false, fmt.Errorf("output %q is neither text nor json", a.output)
}

func (a *app) printJSON(v any) error {
	encoder := json.NewEncoder(a.out)
	encoder.SetIndent("", "  ")
	if err := encoder.Encode(v); err != nil {
		return unknown("write output: %w", err)
	}
	return nil
}

func (a *app) printer() *terminal.Printer { return terminal.New(a.out, a.env("NO_COLOR")) }

// load reads the configuration; every fault of it ends with 64.
func (a *app) load() (*config.Config, error) {
	c, err := config.Load(a.configPath, a.env)
	if err != nil {
		return nil, &exitError{code: exitUsage, err: err}
	}
	return c, nil
}

// group reads the configuration and finds the group in it.
func (a *app) group(name string) (*config.Config, config.Group, error) {
	c, err := a.load()
	if err != nil {
		return nil, config.Group{}, err
	}
	g, ok := c.Group(name)
	if !ok {
		return nil, config.Group{}, fmt.Errorf("no group %q in %s; there is %s", name, a.configPath, strings.Join(groupNames(c), ", "))
	}
	return c, g, nil
}

func groupNames(c *config.Config) []string {
	names := make([]string, len(c.Groups))
	for i, g := range c.Groups {
		names[i] = g.Name
	}
	return names
}

// completeGroups offers the groups of the configuration to the shell.
func (a *app) completeGroups(_ *cobra.Command, args []string, _ string) ([]string, cobra.ShellCompDirective) {
	if len(args) > 0 {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	c, err := config.Load(a.configPath, a.env)
	if err != nil {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	return groupNames(c), cobra.ShellCompDirectiveNoFileComp
}

// operator is who gives an order, for the record.
func (a *app) operator() string {
	name := a.env("SUDO_USER")
	if name == "" {
		if u, err := user.Current(); err == nil {
			name = u.Username
		}
	}
	if host, err := os.Hostname(); err == nil {
		name += "@" + host
	}
	return name
}
