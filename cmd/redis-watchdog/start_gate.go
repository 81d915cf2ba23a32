package main

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/hashicorp/go-hclog"
	"github.com/spf13/cobra"

	"github.com/redis-watchdog/redis-watchdog/cmd/redis-watchdog/internal/config"
	"github.com/redis-watchdog/redis-watchdog/cmd/redis-watchdog/internal/startgate"
	"github.com/redis-watchdog/redis-watchdog/cmd/redis-watchdog/internal/terminal"
	"github.com/redis-watchdog/redis-watchdog/systemd"
	"github.com/redis-watchdog/redis-watchdog/watchdog"
	"github.com/redis-watchdog/redis-watchdog/watchdog/agent"
)

// gateTimeout bounds what is asked of Redis and of systemd.
const gateTimeout = 30 * time.Second

func (a *app) startGateCommand() *cobra.Command {
	var openFiles bool
	parent := &cobra.Command{
		Use:   "start-gate",
		Short: "have the Redis of this host start shut, to be opened by their watchdog",
		Long: "With the start gate on, a Redis of this host that comes back (crash, reboot, upgrade) starts shut, unless its redis.conf makes it a replica: it answers no client before its watchdog has opened it by the grant.\n" +
			"It is a drop-in of the unit of each Redis. Run it as root.",
		Args: cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error { return errors.New("start-gate needs on, off or status") },
	}
	on := &cobra.Command{
		Use: "on", Short: "for every Redis of the configuration; nothing is restarted", Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error { return a.startGateOn(c.Context()) },
	}
	off := &cobra.Command{
		Use: "off", Short: "for every Redis of this host", Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error { return a.startGateOff(c.Context(), openFiles) },
	}
	off.Flags().BoolVar(&openFiles, "open-files", false, "take the gate's values out of the redis.conf of a Redis that does not run, too")
	status := &cobra.Command{
		Use: "status", Short: "which gates are on", Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error { return a.startGateStatus(c.Context()) },
	}
	a.outputFlag(status)
	// What the drop-in runs.
	shut := &cobra.Command{
		Use: "shut GROUP NODE FILE", Hidden: true, Args: cobra.ExactArgs(3),
		RunE: func(_ *cobra.Command, args []string) error { return a.startGateShut(args[0], args[1], args[2]) },
	}
	parent.AddCommand(on, off, status, shut)
	return parent
}

// startGateOn writes the drop-ins of all nodes or says what stands against one.
func (a *app) startGateOn(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, gateTimeout)
	defer cancel()
	c, err := a.load()
	if err != nil {
		return err
	}
	units := systemd.NewUnits(hclog.NewNullLogger())
	defer func() { _ = units.Close() }() // nothing was left under way
	var gates []startgate.Gate
	for _, g := range c.Groups {
		for _, n := range g.Nodes {
			one, err := a.startGate(ctx, units, g, n)
			if err != nil {
				return err
			}
			gates = append(gates, one)
		}
	}
	p := a.printer()
	for _, g := range gates {
		path, _, err := g.On()
		if err != nil {
			return unknown("start gate of %s: %w; run it as root", g.Unit, err)
		}
		p.Line(terminal.Plain, "written: %s", path)
	}
	if err := units.Reread(ctx); err != nil {
		return unknown("%w; then: systemctl daemon-reload", err)
	}
	for _, g := range gates {
		if err := gateLoaded(ctx, units, g); err != nil {
			return err
		}
		p.Line(terminal.Green, "on: %s starts shut from now on, unless %s makes it a replica", g.Unit, g.File)
	}
	return nil
}

// startGate finds out all that the gate of a node has to know, or what stands
// against it.
func (a *app) startGate(ctx context.Context, units *systemd.Units, g config.Group, n config.Node) (startgate.Gate, error) {
	none := startgate.Gate{}
	where := g.Name + "/" + n.Name
	if n.Unit == "" {
		return none, blocked("%s: the start gate is a drop-in of its unit, and nodes[].unit is not set in %s", where, a.configPath)
	}
	service, err := units.Service(ctx, n.Unit)
	if err != nil {
		return none, unknown("%s: %w", where, err)
	}
	for _, arg := range service.Start {
		if name := strings.ToLower(arg); name == "--replicaof" || name == "--slaveof" {
			return none, blocked("%s: %s starts Redis with %s, which its file cannot overrule: put that into redis.conf", where, n.Unit, arg)
		}
	}
	server, err := serverOf(n)
	if err != nil {
		return none, unknown("%s: tls: %w", where, err)
	}
	info, err := server.Do(ctx, "INFO", "server")
	if err != nil {
		return none, unknown("%s: ask Redis for the file it was started on: %w", where, err)
	}
	if pid, err := strconv.Atoi(infoField(info, "process_id")); err == nil {
		if _, err := units.Owns(ctx, n.Unit, pid); errors.Is(err, systemd.ErrShared) {
			return none, blocked("%s: %w; the start gate is a drop-in of the unit that starts Redis: give it one of its own", where, err)
		}
	}
	file := infoField(info, "config_file")
	if file == "" {
		return none, blocked("%s: this Redis was started without a redis.conf; the start gate needs one", where)
	}
	if version := infoField(info, "redis_version"); strings.HasPrefix(version, "6.") {
		return none, blocked("%s: Redis %s: before 7.0 replicas that meet a shut master forget how far they were (slave_repl_offset), so that nobody could tell whether it is behind them; the start gate needs 7.0", where, version)
	}
	if _, err := startgate.Following(file); err != nil {
		return none, unknown("%s: %w; run it as root", where, err)
	}
	if err := startgate.Reachable(file); err != nil {
		return none, blocked("%s: %w; name the file itself where Redis is started", where, err)
	}
	binary, err := os.Executable()
	if err == nil {
		binary, err = filepath.EvalSymlinks(binary)
	}
	if err != nil {
		return none, unknown("find redis-watchdog itself: %w", err)
	}
	path, err := filepath.Abs(a.configPath)
	if err != nil {
		return none, unknown("find the configuration: %w", err)
	}
	return startgate.Gate{Unit: service.ID, File: file, Group: g.Name, Node: n.Name, Binary: binary, Config: path}, nil
}

func infoField(info, name string) string {
	for line := range strings.Lines(info) {
		if value, ok := strings.CutPrefix(strings.TrimSpace(line), name+":"); ok {
			return value
		}
	}
	return ""
}

// gateLoaded asks systemd whether the drop-in counts: one that is overruled by
// another of a later name is none.
func gateLoaded(ctx context.Context, units *systemd.Units, g startgate.Gate) error {
	service, err := units.Service(ctx, g.Unit)
	if err != nil {
		return unknown("%w", err)
	}
	want := strings.Join(g.Arguments(), " ")
	if !slices.ContainsFunc(service.StartPre, func(command []string) bool { return strings.Contains(strings.Join(command, " "), want) }) {
		return blocked("the start gate of %s is written but not part of the unit: another drop-in empties ExecStartPre=; see systemctl cat %[1]s", g.Unit)
	}
	return nil
}

func (a *app) startGateOff(ctx context.Context, openFiles bool) error {
	ctx, cancel := context.WithTimeout(ctx, gateTimeout)
	defer cancel()
	gates, err := startgate.Enabled("")
	if err != nil {
		return unknown("%w", err)
	}
	p := a.printer()
	if len(gates) == 0 {
		p.Line(terminal.Plain, "no start gate is on")
		return nil
	}
	units := systemd.NewUnits(hclog.NewNullLogger())
	defer func() { _ = units.Close() }()
	for _, g := range gates {
		if err := g.Off(); err != nil {
			return unknown("%w; run it as root", err)
		}
	}
	if err := units.Reread(ctx); err != nil {
		return unknown("%w; then: systemctl daemon-reload", err)
	}
	for _, g := range gates {
		p.Line(terminal.Green, "off: %s starts as its redis.conf says", g.Unit)
		service, err := units.Service(ctx, g.Unit)
		if errors.Is(err, systemd.ErrNotLoaded) || err == nil && service.Running || g.File == "" {
			continue // one that is held shut is opened by its watchdog, and its file with it
		}
		if err != nil {
			return unknown("%w", err)
		}
		if openFiles {
			if err := startgate.Undo(g.File); err != nil {
				return unknown("%w", err)
			}
		} else if following, err := startgate.Following(g.File); err == nil && watchdog.IsNowhere(following) {
			p.Line(terminal.Yellow, "      %s still holds it shut; a watchdog opens it, or: redis-watchdog start-gate off --open-files", g.File)
		}
	}
	return nil
}

type gateStatus struct {
	Group  string `json:"group"`
	Node   string `json:"node"`
	Unit   string `json:"unit"`
	File   string `json:"file"`
	On     bool   `json:"on"`               // part of the loaded unit
	Reason string `json:"reason,omitempty"` // why it is not, although its drop-in is there
}

func (a *app) startGateStatus(ctx context.Context) error {
	asJSON, err := a.json()
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, gateTimeout)
	defer cancel()
	gates, err := startgate.Enabled("")
	if err != nil {
		return unknown("%w", err)
	}
	units := systemd.NewUnits(hclog.NewNullLogger())
	defer func() { _ = units.Close() }()
	all := []gateStatus{}
	for _, g := range gates {
		s := gateStatus{Group: g.Group, Node: g.Node, Unit: g.Unit, File: g.File, On: true}
		if err := gateLoaded(ctx, units, g); err != nil {
			s.On, s.Reason = false, err.Error()
		}
		all = append(all, s)
	}
	if asJSON {
		return a.printJSON(all)
	}
	p := a.printer()
	if len(all) == 0 {
		p.Line(terminal.Plain, "no start gate is on; redis-watchdog start-gate on")
	}
	for _, s := range all {
		if s.On {
			p.Line(terminal.Green, "on       %s/%s %s, on %s", s.Group, s.Node, s.Unit, s.File)
		} else {
			p.Line(terminal.Red, "NOT ON   %s/%s %s: %s", s.Group, s.Node, s.Unit, s.Reason)
		}
	}
	return nil
}

// startGateShut runs before every start of a Redis. What it cannot find out
// makes it shut: a released or maintained node must be seen to be one.
func (a *app) startGateShut(group, node, file string) error {
	p := terminal.New(a.errOut, a.env("NO_COLOR"))
	// Secrets that only the service is handed are no fault here.
	if why := startgate.LeftOpen(config.Unchecked(a.configPath, a.env).StateDir, group, node, agent.Boottime()); why != "" {
		p.Line(terminal.Plain, "%s/%s starts as its redis.conf says: %s", group, node, why)
		return nil
	}
	following, err := startgate.StartFenced(file)
	switch {
	case err != nil:
		return unknown("%w; the start gate keeps this Redis down rather than have it start open: redis-watchdog start-gate off takes the gate away", err)
	case following != "":
		p.Line(terminal.Plain, "%s/%s starts as a replica of %s", group, node, following)
	default:
		p.Line(terminal.Plain, "%s/%s starts shut: its watchdog opens it by the grant; see redis-watchdog status", group, node)
	}
	return nil
}
