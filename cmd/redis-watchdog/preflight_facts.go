package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/redis-watchdog/redis-watchdog/cmd/redis-watchdog/internal/config"
	"github.com/redis-watchdog/redis-watchdog/fencing/grant"
	"github.com/redis-watchdog/redis-watchdog/preflight"
	"github.com/redis-watchdog/redis-watchdog/preflight/gather"
	"github.com/redis-watchdog/redis-watchdog/preflight/keyspace"
	"github.com/redis-watchdog/redis-watchdog/watchdog"
)

// factsFunc reads a whole group.
type factsFunc func(ctx context.Context, c *config.Config, g config.Group, probeKey bool) (preflight.Facts, error)

// gatherFacts reads it from this host. An error is one of the configuration;
// what could not be read is a gap in the facts.
func gatherFacts(ctx context.Context, c *config.Config, g config.Group, probeKey bool) (preflight.Facts, error) {
	opened, err := openCoordinator(c)
	if err != nil {
		return preflight.Facts{}, err
	}
	// Nothing was written that an end of the connection could undo.
	defer func() { _ = opened.Close() }()
	store, ok := opened.(reportStore)
	if !ok {
		return preflight.Facts{}, errors.New("this etcd client cannot ask for reports")
	}
	conf, err := gatherConfig(ctx, c, g)
	if err != nil {
		return preflight.Facts{}, err
	}
	conf.Coordinator, conf.ReportTimeout = reports{store: store, group: g.Name}, g.Preflight.ReportTimeout
	facts, err := gather.Group(ctx, conf)
	if err == nil {
		share(ctx, store, &facts)
	}
	if err != nil || !probeKey {
		return facts, err
	}
	probe(ctx, serversOf(conf), &facts)
	return facts, nil
}

// share notes which nodes another group lists too.
func share(ctx context.Context, store reportStore, facts *preflight.Facts) {
	var addresses []watchdog.Address
	for _, n := range facts.Nodes {
		addresses = append(addresses, watchdog.Address(n.Address))
	}
	shared, err := store.Shared(ctx, facts.Group, addresses)
	if err != nil {
		facts.Gaps = append(facts.Gaps, preflight.Gap{What: "listed", Why: err.Error()})
		return
	}
	for _, one := range shared {
		for i := range facts.Nodes {
			if n := &facts.Nodes[i]; n.Address == string(one.Address) {
				n.Elsewhere = one.Group
			}
		}
	}
}

// gatherConfig is how the servers of a group are reached.
func gatherConfig(ctx context.Context, c *config.Config, g config.Group) (gather.Config, error) {
	tls, err := g.SentinelTLS.Client()
	if err != nil {
		return gather.Config{}, fmt.Errorf("sentinel_tls: %w", err)
	}
	conf := gather.Config{Group: g.Name, Local: map[string]gather.Server{},
		Sentinels: gather.SentinelConfig{Group: g.Name, Addresses: g.Sentinels, Username: g.SentinelUsername, Password: string(g.SentinelPassword), TLS: tls}}
	nodes, _ := localStatus(ctx, c) // for how the Sentinels call them; without it their sockets are not used
	for i, n := range g.Nodes {
		server, err := serverOf(n)
		if err != nil {
			return gather.Config{}, fmt.Errorf("nodes[%d]: tls: %w", i, err)
		}
		if i == 0 {
			conf.Redis = server
		}
		address := n.Announced
		if s, ok := pick(nodes, target{group: g.Name, node: n.Name}); ok && s.Address != "" {
			address = s.Address
		}
		if address != "" {
			conf.Local[address] = server
		}
	}
	return conf, nil
}

func serverOf(n config.Node) (gather.Server, error) {
	tls, err := n.TLS.Client()
	if err != nil {
		return gather.Server{}, err
	}
	return gather.Server{Address: n.Address, Socket: n.Socket, Username: n.Username, Password: string(n.Password), TLS: tls, Commands: n.Commands}, nil
}

// serversOf is how each Redis of the group is spoken to, by its address.
func serversOf(c gather.Config) func(address string) gather.Server {
	return func(address string) gather.Server {
		if s, ok := c.Local[address]; ok {
			return s
		}
		s := c.Redis
		s.Address, s.Socket = address, ""
		return s
	}
}

// changeRedis sends commands to the Redis of a group.
func changeRedis(c *config.Config, g config.Group) changer {
	return func(ctx context.Context, address string, command ...string) (string, error) {
		conf, err := gatherConfig(ctx, c, g)
		if err != nil {
			return "", err
		}
		return serversOf(conf)(address).Do(ctx, command...)
	}
}

// reportStore is the part of the coordinator that reports go through.
type reportStore interface {
	Read(ctx context.Context, group string) (grant.Group, error)
	Ask(ctx context.Context, group, id string) error
	Reports(ctx context.Context, group string, answered func([]byte) bool) (map[string][]byte, error)
	Members(ctx context.Context) []grant.MemberState
	TryToWrite(ctx context.Context) error
	Audit(ctx context.Context, group string) ([]byte, error)
	Shared(ctx context.Context, group string, addresses []watchdog.Address) ([]grant.Shared, error)
}

// reports is gather's view of etcd.
type reports struct {
	store reportStore
	group string
}

func (s reports) Ask(ctx context.Context, id string) error { return s.store.Ask(ctx, s.group, id) }

func (s reports) Reports(ctx context.Context, answered func([]byte) bool) (map[string][]byte, error) {
	return s.store.Reports(ctx, s.group, answered)
}

func (s reports) Read(ctx context.Context) (preflight.Coordinator, error) {
	var state preflight.Coordinator
	for _, m := range s.store.Members(ctx) {
		one := preflight.Member{Endpoint: m.Endpoint, Version: m.Version, Learner: m.Learner}
		if m.Err != nil {
			one.Error = m.Err.Error()
		}
		state.Members = append(state.Members, one)
	}
	g, err := s.store.Read(ctx, s.group)
	if err != nil {
		return state, err
	}
	if err := s.store.TryToWrite(ctx); err != nil {
		state.Unwritable = err.Error()
	}
	state.Audit, state.AuditError = s.audit(ctx)
	if len(g.Problems) > 0 {
		return state, errors.New(g.Problems[0])
	}
	state.Agreement, state.Epoch, state.Generation = string(g.Agreement.Address), g.Agreement.Epoch, g.Agreement.Generation
	state.Known, state.Holder, state.Maintenance = g.Agreement.Known, string(g.Grant.Holder), !g.Maintenance.At.IsZero()
	return state, nil
}

// audit is the newest audit of the key space, and why there is none; neither: none
// was kept.
func (s reports) audit(ctx context.Context) (*preflight.Audit, string) {
	text, err := s.store.Audit(ctx, s.group)
	if err != nil {
		return nil, err.Error()
	}
	if text == nil {
		return nil, ""
	}
	kept, left, err := keyspace.ReadKept(text)
	if err != nil {
		return nil, err.Error()
	}
	return &preflight.Audit{Kept: kept, Age: time.Since(kept.At), Left: left}, ""
}
