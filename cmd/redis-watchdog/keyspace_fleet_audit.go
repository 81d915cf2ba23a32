package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/redis/go-redis/v9/logging"
	"github.com/spf13/cobra"
	"golang.org/x/sys/unix"

	"github.com/redis-watchdog/redis-watchdog/cmd/redis-watchdog/internal/config"
	"github.com/redis-watchdog/redis-watchdog/cmd/redis-watchdog/internal/daemon"
	"github.com/redis-watchdog/redis-watchdog/preflight/keyspace"
	"github.com/redis-watchdog/redis-watchdog/preflight/keyspace/source"
	"github.com/redis-watchdog/redis-watchdog/preflight/keyspace/stall"
)

// fleetAuditCommand is what a watchdog runs as a process of its own: it audits one
// Redis of this host and prints what is to be kept.
func (a *app) fleetAuditCommand() *cobra.Command {
	hashed := false
	c := &cobra.Command{
		Use: "audit GROUP NODE", Short: "audit one Redis of this host, as its watchdog has it done", Args: cobra.ExactArgs(2), Hidden: true,
		RunE: func(c *cobra.Command, args []string) error {
			if err := lowestPriority(); err != nil {
				return unknown("%w", err)
			}
			return a.fleetAudit(c.Context(), args[0], args[1], hashed)
		},
	}
	c.Flags().BoolVar(&hashed, "hash-names", false, "keep hashes instead of names")
	return c
}

const (
	niceness    = 19
	ioIdle      = 3 << 13 // IOPRIO_CLASS_IDLE, which any process may take (linux/ioprio.h)
	ofOurGroup  = 2       // IOPRIO_WHO_PGRP
	killedFirst = "1000"  // of oom_score_adj, which any process may raise
)

// lowestPriority has everybody else of the host run first: the process group, for
// priority is a thread's. It is an error when the processor's cannot be lowered, as
// under a seccomp filter; what the disk's queue makes of it, and the kernel when
// memory is short, is done where it may be.
func lowestPriority() error {
	if err := unix.Setpriority(unix.PRIO_PGRP, 0, niceness); err != nil {
		return fmt.Errorf("no audit beside a watchdog without the lowest priority: setpriority: %w (the unit's SystemCallFilter must allow it)", err)
	}
	_, _, _ = unix.Syscall(unix.SYS_IOPRIO_SET, ofOurGroup, 0, ioIdle)
	_ = os.WriteFile("/proc/self/oom_score_adj", []byte(killedFirst), 0o600)
	return nil
}

func (a *app) fleetAudit(ctx context.Context, group, name string, hashed bool) error {
	// A service manager that stops the watchdog tells all its processes. Whoever began
	// this one ends it, and must not see it fail before.
	signal.Ignore(os.Interrupt, syscall.SIGTERM)
	_, g, err := a.group(group)
	if err != nil {
		return err
	}
	var node *config.Node
	for i := range g.Nodes {
		if g.Nodes[i].Name == name {
			node = &g.Nodes[i]
		}
	}
	if node == nil {
		return fmt.Errorf("group %q has no node %q in %s", group, name, a.configPath)
	}
	tls, err := node.TLS.Client()
	if err != nil {
		return unknown("tls: %w", err)
	}
	before, err := io.ReadAll(io.LimitReader(os.Stdin, keyspace.MaxKept))
	if err != nil {
		return unknown("read the audit before: %w", err)
	}
	logging.Disable() // go-redis' own, of what is returned as an error besides
	_, address := node.Network()
	s := source.Server{Address: address, Username: node.Username, Password: string(node.Password), TLS: tls, Commands: node.Commands}
	audit, err := source.Stream(ctx, s, source.StreamOptions{Options: source.Options{CRC: true, HashNames: hashed, Now: time.Now}})
	if err != nil {
		return unknown("%w", err)
	}
	_, settings, err := source.Settings(ctx, s, stall.Parameters())
	if err != nil {
		return unknown("%w", err)
	}
	audit.WouldStall(stall.LazyfreeOf(audit.Source.Server, settings), ratesOf(before, audit.Source.Server), stall.Limits{
		DownAfter: g.DownAfter, MigrateTimeout: stall.DefaultMigrateTimeout})
	kept, err := audit.Keep("fleet@"+hostOrNone(), hashed)
	if err != nil {
		return unknown("%w", err)
	}
	if err := json.NewEncoder(a.out).Encode(daemon.FleetAudit{Kept: kept, Keys: audit.Keys, Bytes: audit.Bytes}); err != nil {
		return unknown("write output: %w", err)
	}
	return nil
}

// ratesOf are those that were fitted for an earlier audit of the same build: a
// throw-away server beside every Redis of the fleet would be more than an audit.
func ratesOf(before []byte, server string) stall.Rates {
	if kept, _, err := keyspace.ReadKept(before); err == nil && kept.Rates.Fitted && kept.Server == server {
		return kept.Rates
	}
	return stall.Coarse("the fleet's audits measure none")
}

func hostOrNone() string {
	name, err := os.Hostname()
	if err != nil {
		return "?"
	}
	return name
}
