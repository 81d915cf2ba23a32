package main

import (
	"context"
	"fmt"
	"net"
	"slices"
	"strings"
	"time"

	"github.com/redis-watchdog/redis-watchdog/cmd/redis-watchdog/internal/config"
	"github.com/redis-watchdog/redis-watchdog/cmd/redis-watchdog/internal/report"
	"github.com/redis-watchdog/redis-watchdog/watchdog"
	"github.com/redis-watchdog/redis-watchdog/watchdog/agent"
)

// target is the node an order is for.
type target struct {
	group   string
	node    string           // its name in our configuration; empty: of another host
	address watchdog.Address // how the Sentinels call it; empty: not known, good for a local order only
}

func (t target) String() string {
	switch {
	case t.node == "":
		return fmt.Sprintf("%s %s", t.group, t.address)
	case t.address == "":
		return fmt.Sprintf("%s/%s", t.group, t.node)
	}
	return fmt.Sprintf("%s/%s (%s)", t.group, t.node, t.address)
}

// findTarget understands --node: the name of a node of this host, or the
// address of any; empty is the only one of this host.
func findTarget(ctx context.Context, c *config.Config, g config.Group, written string) (target, error) {
	t := target{group: g.Name}
	names := make([]string, len(g.Nodes))
	for i, n := range g.Nodes {
		names[i] = n.Name
	}
	if written == "" {
		if len(names) > 1 {
			return t, fmt.Errorf("group %q has several nodes on this host; name one with --node: %s", g.Name, strings.Join(names, ", "))
		}
		written = names[0]
	}
	nodes, err := localStatus(ctx, c)
	if i := slices.Index(names, written); i >= 0 {
		t.node, t.address = written, watchdog.Address(g.Nodes[i].Announced)
		if s, ok := pick(nodes, t); ok && s.Address != "" {
			t.address = watchdog.Address(s.Address)
		}
		if t.address == "" && err != nil {
			return t, unknown("find how the Sentinels call %s: %w; give it as --node HOST:PORT, or use --local", t, err)
		}
		return t, nil
	}
	if _, _, err := net.SplitHostPort(written); err != nil {
		return t, fmt.Errorf("node %q is neither a node of group %q on this host (%s) nor an address HOST:PORT", written, g.Name, strings.Join(names, ", "))
	}
	t.address = watchdog.Address(written)
	for _, s := range nodes {
		if s.Group == g.Name && s.Address == written {
			t.node = s.Node
		}
	}
	return t, nil
}

func pick(nodes []agent.Status, t target) (agent.Status, bool) {
	for _, s := range nodes {
		if s.Group == t.group && s.Node == t.node {
			return s, true
		}
	}
	return agent.Status{}, false
}

// observe is what the target's watchdog says of it now.
func observe(ctx context.Context, c *config.Config, store coordinator, t target) (agent.Status, error) {
	if t.node != "" {
		nodes, err := localStatus(ctx, c)
		if err != nil {
			return agent.Status{}, err
		}
		if s, ok := pick(nodes, t); ok {
			return s, nil
		}
		return agent.Status{}, fmt.Errorf("the running watchdog does not know %s; systemctl restart redis-watchdog", t)
	}
	g, err := store.Read(ctx, t.group)
	if err != nil {
		return agent.Status{}, err
	}
	s, ok := report.Nodes(g)[string(t.address)]
	if !ok {
		return s, fmt.Errorf("no watchdog reports for %s; on its host: systemctl status redis-watchdog", t.address)
	}
	return s, nil
}

const observeEvery = 200 * time.Millisecond

// wait looks until done says so, the time is up, or ctx ends; it returns the
// last that was seen, and the error of the last look.
func wait(ctx context.Context, timeout time.Duration, look func(context.Context) (agent.Status, error), done func(agent.Status) bool) (agent.Status, bool, error) {
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	var last agent.Status
	var failed error
	for {
		if s, err := look(ctx); err == nil {
			last, failed = s, nil
			if done(s) {
				return s, true, nil
			}
		} else if ctx.Err() == nil {
			failed = err
		}
		select {
		case <-ctx.Done():
			return last, false, failed
		case <-time.After(observeEvery):
		}
	}
}
