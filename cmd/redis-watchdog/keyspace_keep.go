package main

import (
	"context"
	"errors"

	"github.com/redis-watchdog/redis-watchdog/preflight/keyspace"
)

// auditKeeper is the part of the coordinator that audits are kept in.
type auditKeeper interface {
	KeepAudit(ctx context.Context, group string, audit []byte) error
}

// keeper keeps a whole audit for the preflight of a group; of no group it keeps
// nothing. What is wrong with the configuration is said before the audit begins.
func (a *app) keeper(group string) (func(ctx context.Context, audit keyspace.Audit, hashed bool) error, error) {
	if group == "" {
		return func(context.Context, keyspace.Audit, bool) error { return nil }, nil
	}
	c, _, err := a.group(group)
	if err != nil {
		return nil, err
	}
	return func(ctx context.Context, audit keyspace.Audit, hashed bool) error {
		text, err := audit.Keep(a.operator(), hashed)
		if err != nil {
			return unknown("keep audit: %w", err)
		}
		opened, err := a.open(c)
		if err != nil {
			return unknown("open etcd: %w", err)
		}
		defer func() { _ = opened.Close() }() // what was written has been answered
		store, ok := opened.(auditKeeper)
		if !ok {
			return unknown("keep audit: %w", errors.New("this etcd client keeps none"))
		}
		if err := store.KeepAudit(ctx, group, text); err != nil {
			return unknown("%w", err)
		}
		return nil
	}, nil
}
