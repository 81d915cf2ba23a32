package main

import (
	"context"
	"time"

	"github.com/redis-watchdog/redis-watchdog/cmd/redis-watchdog/internal/config"
	"github.com/redis-watchdog/redis-watchdog/cmd/redis-watchdog/internal/failover"
	"github.com/redis-watchdog/redis-watchdog/fencing/grant"
	"github.com/redis-watchdog/redis-watchdog/watchdog"
	"github.com/redis-watchdog/redis-watchdog/watchdog/agent"
)

// coordinator is what the command line asks of etcd.
type coordinator interface {
	Read(ctx context.Context, group string) (grant.Group, error)
	ReadHistory(ctx context.Context, group string, limit int) ([]string, error)

	Fence(ctx context.Context, group string, node watchdog.Address, order grant.Order) error
	Unfence(ctx context.Context, group string, node watchdog.Address, order grant.Order, force bool) error
	Release(ctx context.Context, group string, node watchdog.Address, order grant.Order) error
	Unrelease(ctx context.Context, group string, node watchdog.Address) error
	Adopt(ctx context.Context, group string, master watchdog.Address, epoch uint64, order grant.Order) (watchdog.Agreement, error)
	AdoptCluster(ctx context.Context, group string, order grant.Order) error
	SetMaintenance(ctx context.Context, group string, length time.Duration, order grant.Order) error
	EndMaintenance(ctx context.Context, group string) error
	Forget(ctx context.Context, group string, node watchdog.Address, order grant.Order) error

	failover.Coordinator
	WriteHistory(ctx context.Context, group string, record any) error

	Close() error
}

// openCoordinator dials nobody: an etcd that is away is the error of the
// first request.
func openCoordinator(c *config.Config) (coordinator, error) {
	tls, err := c.Etcd.TLS.Client()
	if err != nil {
		return nil, err
	}
	store, err := grant.Open(grant.Config{
		Endpoints: c.Etcd.Endpoints,
		Prefix:    c.Etcd.Prefix,
		Username:  c.Etcd.Username,
		Password:  string(c.Etcd.Password),
		TLS:       tls,
		Now:       agent.Boottime,
	})
	if err != nil {
		return nil, err
	}
	return store, nil
}
