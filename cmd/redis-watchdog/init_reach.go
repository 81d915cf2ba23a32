package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/redis-watchdog/redis-watchdog/cmd/redis-watchdog/internal/config"
	"github.com/redis-watchdog/redis-watchdog/cmd/redis-watchdog/internal/discover"
	"github.com/redis-watchdog/redis-watchdog/preflight/gather"
)

// reach connects to each server with what is about to be written, up to its
// user's password (which a server is still to be told), and notes what it did not
// reach. The error joins all for which the configuration would guard nothing: a
// Redis of this host, all Sentinels of a group, or all of etcd are not reached
// with it.
func reach(ctx context.Context, c *config.Config) (notes []string, err error) {
	r := &reached{}
	r.etcd(ctx, c)
	for i := range c.Groups {
		g := &c.Groups[i]
		for _, n := range g.Nodes {
			r.redis(ctx, g, n)
		}
		r.sentinels(ctx, g)
	}
	return r.notes, errors.Join(r.wrong...)
}

type reached struct {
	notes []string
	wrong []error
}

func (r *reached) note(format string, args ...any) {
	r.notes = append(r.notes, fmt.Sprintf(format, args...))
}

func (r *reached) fail(format string, args ...any) {
	r.wrong = append(r.wrong, fmt.Errorf(format, args...))
}

func (r *reached) etcd(ctx context.Context, c *config.Config) {
	secure, last := c.Etcd.TLS.Client()
	if last != nil {
		r.fail("etcd: %w", last)
		return
	}
	answer := 0
	for _, endpoint := range c.Etcd.Endpoints {
		if err := discover.EtcdAnswers(ctx, endpoint, secure); err != nil {
			r.note("etcd at %s is not reached with what is written: %v", endpoint, err)
			last = err
			continue
		}
		answer++
	}
	if answer == 0 {
		r.fail("no member of etcd is reached with what would be written: %w", last)
	}
}

func (r *reached) redis(ctx context.Context, g *config.Group, n config.Node) {
	secure, err := n.TLS.Client()
	server := gather.Server{Address: n.Address, Socket: n.Socket, TLS: secure, Commands: n.Commands}
	if err == nil {
		err = server.LetsIn(ctx)
	}
	if err != nil && !refused(err) {
		r.fail("the Redis of group %s at %s is not reached with what would be written: %w", g.Name, server, err)
	}
}

func (r *reached) sentinels(ctx context.Context, g *config.Group) {
	secure, last := g.SentinelTLS.Client()
	if last != nil {
		r.fail("the Sentinels of group %s: %w", g.Name, last)
		return
	}
	answer := 0
	for _, address := range g.Sentinels {
		master, err := gather.Server{Address: address, TLS: secure}.Monitors(ctx, g.Name)
		if err == nil && master == "" {
			err = fmt.Errorf("it monitors no group %q", g.Name)
		}
		if err != nil && !refused(err) {
			r.note("the Sentinel at %s is not reached with what is written: %v", address, err)
			last = err
			continue
		}
		answer++
	}
	switch {
	case answer == 0:
		r.fail("no Sentinel of group %s is reached with what would be written: %w", g.Name, last)
	case 2*answer <= len(g.Sentinels):
		r.note("of the %d Sentinels of group %s %d answer: nobody is granted until a majority does", len(g.Sentinels), g.Name, answer)
	}
}

// refused is whether a server was reached, and wants another user.
func refused(err error) bool {
	return slices.ContainsFunc([]string{"NOAUTH", "NOPERM", "WRONGPASS"}, func(code string) bool { return strings.Contains(err.Error(), code) })
}
