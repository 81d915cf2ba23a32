package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/redis-watchdog/redis-watchdog/cmd/redis-watchdog/internal/terminal"
	"github.com/redis-watchdog/redis-watchdog/preflight/drift"
	"github.com/redis-watchdog/redis-watchdog/preflight/keyspace"
	"github.com/redis-watchdog/redis-watchdog/preflight/keyspace/fit"
	"github.com/redis-watchdog/redis-watchdog/preflight/keyspace/source"
	"github.com/redis-watchdog/redis-watchdog/preflight/keyspace/stall"
)

// Where rates come from, by --fit; anything else is a program.
const (
	fitAuto = "auto"
	fitOff  = "off"
)

// wouldStall puts into the audit what its keys would do to the server they are of.
// What cannot be asked or measured is taken from the build's defaults and from the
// table, and the audit says so.
func (a *app) wouldStall(ctx context.Context, o keyspaceOptions, audit *keyspace.Audit) {
	var info, settings map[string]string
	limits := stall.Limits{DownAfter: o.downAfter, MigrateTimeout: stall.DefaultMigrateTimeout}
	var failed error
	if address := o.server(); address != "" {
		var s source.Server
		if s, failed = o.reach(address); failed == nil {
			info, settings, failed = source.Settings(ctx, s, append(stall.Parameters(), "cluster-node-timeout"))
		}
		if ms, err := strconv.ParseInt(settings["cluster-node-timeout"], 10, 64); err == nil && info["cluster_enabled"] == "1" {
			limits.NodeTimeout = time.Duration(ms) * time.Millisecond
		}
		delete(settings, "cluster-node-timeout")
	}
	rates, err := stall.Rates{}, failed
	if err == nil {
		rates, err = fitted(ctx, o, audit.Source.Server, info)
	}
	if err != nil {
		rates = stall.Coarse(err.Error())
	}
	audit.WouldStall(stall.LazyfreeOf(audit.Source.Server, settings), rates, limits)
}

// server is the address that is audited live; empty: a file is.
func (o keyspaceOptions) server() string {
	if o.from != "" {
		return o.from
	}
	return o.scan
}

// fitted are rates of the program that runs, measured here.
func fitted(ctx context.Context, o keyspaceOptions, server string, info map[string]string) (stall.Rates, error) {
	c := fit.Config{Server: server}
	switch {
	case o.fit == fitOff:
		return stall.Rates{}, errors.New("--fit off")
	case server == "":
		return stall.Rates{}, errors.New("which version wrote it is not known")
	case o.fit != fitAuto:
		c.Binary = o.fit
	case !ofThisHost(o.server()):
		return stall.Rates{}, errors.New("the server is not of this host; --fit names its program")
	default:
		local, err := drift.LocalProgram(info)
		if err != nil {
			return stall.Rates{}, err
		}
		defer local.Close()
		c.Binary, c.Root, c.Credential = local.Binary, local.Root, local.Credential
	}
	return fit.Run(ctx, c)
}

// ofThisHost is whether an address is one of ours; a name other than localhost is
// not looked up.
func ofThisHost(address string) bool {
	if strings.HasPrefix(address, "/") {
		return true
	}
	host, _, err := net.SplitHostPort(address)
	if err != nil {
		return false
	}
	ip := net.ParseIP(host)
	if host == "localhost" || ip.IsLoopback() {
		return true
	}
	own, err := net.InterfaceAddrs()
	return err == nil && ip != nil && slices.ContainsFunc(own, func(a net.Addr) bool {
		n, ok := a.(*net.IPNet)
		return ok && n.IP.Equal(ip)
	})
}

// fitProgram finds a program that --fit names; auto and off stay as they are.
func fitProgram(name string) (string, error) {
	if name == fitAuto || name == fitOff {
		return name, nil
	}
	binary, err := exec.LookPath(name)
	if err != nil {
		return "", fmt.Errorf("--fit: %w", err)
	}
	return filepath.Abs(binary)
}

// stallShown is how long the worst operation on a key takes at the most before it
// is worth a line.
const stallShown = 10 * time.Millisecond

func printStalls(p *terminal.Printer, s *keyspace.Stalls, cut func(int) int) {
	if s == nil {
		return
	}
	p.Line(terminal.Plain, "")
	shown := slices.DeleteFunc(slices.Clone(s.Keys), func(k keyspace.StallOf) bool { return k.Worst().High < stallShown })
	if len(shown) == 0 {
		p.Line(terminal.Plain, "no key would hold the server up for %s or longer", stall.Text(stallShown))
		return
	}
	heads := []terminal.Cell{{Text: "WOULD STALL"}, {Text: "DB"}}
	for _, op := range stall.Ops() {
		heads = append(heads, terminal.Cell{Text: strings.ToUpper(string(op))})
	}
	rows := [][]terminal.Cell{heads}
	for _, k := range shown[:cut(len(shown))] {
		row := []terminal.Cell{{Text: shortKey(k.Key)}, {Text: strconv.Itoa(k.DB)}}
		for _, c := range k.Costs {
			row = append(row, costCell(c, s.Limits))
		}
		rows = append(rows, row)
	}
	p.Table("", rows)
	p.Line(terminal.Plain, "times by %s; at a key's removal lazyfree is %s", s.Rates.From, s.Lazyfree)
	if text := s.Limits.String(); text != "" {
		p.Line(terminal.Plain, "held against %s", text)
	}
}

// costCell is red where it will last longer than a limit, yellow where it may.
func costCell(c stall.Cost, l stall.Limits) terminal.Cell {
	if !c.Known {
		return terminal.Cell{Text: "?"}
	}
	if c.Lazy {
		return terminal.Cell{Text: "lazy"}
	}
	cell := terminal.Cell{Text: c.Range.String()}
	switch c.Range.Against(l.For(c.Op)) {
	case stall.Above:
		cell.Colour = terminal.Red
	case stall.Around:
		cell.Colour = terminal.Yellow
	}
	return cell
}
