package main

import (
	"context"
	"errors"
	"strings"

	"github.com/redis-watchdog/redis-watchdog/preflight/gather"
	"github.com/redis-watchdog/redis-watchdog/preflight/keyspace"
	"github.com/redis-watchdog/redis-watchdog/preflight/keyspace/source"
)

// auditKeeper is the part of the coordinator that audits are kept in.
type auditKeeper interface {
	KeepAudit(ctx context.Context, group string, audit []byte) error
}

// clusterAudit is under what an audit of a node of Redis Cluster is kept; no group
// of Sentinel's can be called so.
func clusterAudit(id string) string { return "cluster/" + id }

// keeper keeps a whole audit for the preflight of a group, or of a node of Redis
// Cluster; of neither it keeps nothing. What is wrong with the configuration is said
// before the audit begins.
func (a *app) keeper(ctx context.Context, o keyspaceOptions) (func(ctx context.Context, audit keyspace.Audit, hashed bool) error, error) {
	if o.keep == "" && !o.keepCluster {
		return func(context.Context, keyspace.Audit, bool) error { return nil }, nil
	}
	c, err := a.load()
	if err != nil {
		return nil, err
	}
	group := o.keep
	if o.keepCluster {
		s, err := o.reach(o.server())
		if err != nil {
			return nil, err
		}
		id, err := gather.ClusterMaster(ctx, reachable(s))
		if err != nil {
			return nil, unknown("keep audit: %w", err)
		}
		group = clusterAudit(id)
	} else if _, _, err := a.group(group); err != nil {
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

// reachable is how gather speaks to a server that an audit speaks to.
func reachable(s source.Server) gather.Server {
	r := gather.Server{Address: s.Address, Username: s.Username, Password: s.Password, TLS: s.TLS}
	if strings.HasPrefix(s.Address, "/") {
		r.Socket = s.Address
	}
	return r
}
