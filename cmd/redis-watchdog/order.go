package main

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/redis-watchdog/redis-watchdog/cmd/redis-watchdog/internal/config"
	"github.com/redis-watchdog/redis-watchdog/cmd/redis-watchdog/internal/orders"
	"github.com/redis-watchdog/redis-watchdog/cmd/redis-watchdog/internal/terminal"
	"github.com/redis-watchdog/redis-watchdog/fencing/grant"
	"github.com/redis-watchdog/redis-watchdog/watchdog/agent"
)

// orderFlags are those of every command that orders something.
type orderFlags struct {
	node    string
	reason  string
	timeout time.Duration
	local   bool
	force   bool
}

func (a *app) orderFlagsOf(c *cobra.Command, f *orderFlags) {
	a.outputFlag(c)
	c.Args = cobra.ExactArgs(1)
	c.ValidArgsFunction = a.completeGroups
	c.Flags().StringVar(&f.reason, "reason", "", "why, for the record")
	c.Flags().DurationVar(&f.timeout, "timeout", 15*time.Second, "how long to wait until it is seen done; the order stays in force")
}

// nodeFlagsOf are those of the commands for one node.
func (a *app) nodeFlagsOf(c *cobra.Command, f *orderFlags) {
	a.orderFlagsOf(c, f)
	c.Flags().StringVar(&f.node, "node", "", "name of a node of this host, or the address of any as the Sentinels have it; default: the one of this host")
	c.Flags().BoolVar(&f.local, "local", false, "for a node of this host, not through etcd: for when it is away")
}

// done is the output of an order with -o json.
type done struct {
	Order  string        `json:"order"`
	Group  string        `json:"group"`
	Target string        `json:"target"`
	Done   bool          `json:"done"` // it was seen
	Text   string        `json:"text"` // further lines are commands, one a line
	Seen   *agent.Status `json:"seen,omitempty"`
}

// report prints what became of an order and gives the exit code.
func (a *app) report(d done, code int) error {
	asJSON, err := a.json()
	if err != nil {
		return err
	}
	if asJSON {
		err = a.printJSON(d)
	} else {
		colour, verdict := terminal.Green, "DONE     "
		switch code {
		case exitBlocked:
			colour, verdict = terminal.Red, "BLOCKED  "
		case exitUnknown:
			colour, verdict = terminal.Yellow, "UNKNOWN  "
		}
		text, commands, _ := strings.Cut(d.Text, "\n")
		p := a.printer()
		p.Line(colour, verdict+"%s %s: %s", d.Order, d.Target, text)
		p.Lines(terminal.Plain, "    ", commands)
	}
	if err != nil || code == exitFine {
		return err
	}
	return &exitError{code: code}
}

// nodeOrder is an order for one node and how it is seen to be done.
type nodeOrder struct {
	name  string
	local func(orders.Order) orders.Order                               // what stands on this host afterwards
	send  func(context.Context, coordinator, target, grant.Order) error // through etcd
	done  func(agent.Status) bool
	// stays explains why it is not done although the order has been heard;
	// empty: it has not been heard.
	stays func(agent.Status) string
}

func (a *app) orderNode(ctx context.Context, group string, f orderFlags, o nodeOrder) error {
	if _, err := a.json(); err != nil {
		return err
	}
	c, g, err := a.group(group)
	if err != nil {
		return err
	}
	t, err := findTarget(ctx, c, g, f.node)
	if err != nil && !(f.local && t.node != "") {
		return err
	}
	store, err := a.open(c)
	if err != nil {
		return unknown("open etcd: %w", err)
	}
	defer func() { _ = store.Close() }() // what was written has been confirmed already
	if err := a.give(ctx, c, store, t, f, o); err != nil {
		return err
	}
	seen, ok, err := wait(ctx, f.timeout, func(ctx context.Context) (agent.Status, error) { return observe(ctx, c, store, t) }, o.done)
	result := done{Order: o.name, Group: group, Target: t.String(), Done: ok, Seen: &seen}
	switch {
	case ok:
		result.Text = fmt.Sprintf("seen: %s (row %d, %s)", seen.Phase, seen.Row, seen.Reason)
		return a.report(result, exitFine)
	case err != nil:
		result.Seen = nil
		result.Text = fmt.Sprintf("the order is in force, but whether it is done could not be found out: %v", err)
		return a.report(result, exitUnknown)
	}
	if why := o.stays(seen); why != "" {
		result.Text = why
		return a.report(result, exitBlocked)
	}
	result.Text = fmt.Sprintf("the order is in force, but was not seen done within %s: %s (row %d, %s); see redis-watchdog status %s",
		f.timeout, orDash(seen.Phase), seen.Row, orDash(seen.Reason), group)
	return a.report(result, exitUnknown)
}

// give puts the order where the node's watchdog finds it.
func (a *app) give(ctx context.Context, c *config.Config, store coordinator, t target, f orderFlags, o nodeOrder) error {
	now := time.Now()
	if f.local {
		if t.node == "" {
			return fmt.Errorf("%s is not on this host: give the order there, or without --local", t)
		}
		order := o.local(orders.Order{By: a.operator(), At: now, Reason: f.reason})
		if err := orders.Write(c.StateDir, t.group, t.node, order); err != nil {
			return unknown("%s: %w; run it as root", o.name, err)
		}
		return nil
	}
	if t.address == "" {
		return unknown("the Sentinels list no address for %s yet; give it as --node HOST:PORT, or use --local", t)
	}
	err := again(func() error { return o.send(ctx, store, t, grant.Order{By: a.operator(), At: now, Reason: f.reason}) })
	if _, ours := errors.AsType[*exitError](err); ours {
		return err
	}
	if err != nil {
		return unknown("%s: %w; when etcd is away, use --local on the host of the node", o.name, err)
	}
	if t.node == "" {
		return nil
	}
	// The newest order holds: an older one given on this host must not stand
	// against it.
	standing, err := orders.Read(c.StateDir, t.group, t.node)
	if err == nil && standing == (orders.Order{}) {
		return nil
	}
	if err := orders.Write(c.StateDir, t.group, t.node, orders.Order{}); err != nil {
		return unknown("%s: take back the order given with --local: %w; run it as root", o.name, err)
	}
	return nil
}

// again tries a compare-and-swap that lost a few times more.
func again(try func() error) error {
	var err error
	for range 5 {
		if err = try(); !errors.Is(err, grant.ErrChanged) {
			return err
		}
	}
	return err
}
