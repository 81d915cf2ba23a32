package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"time"

	"github.com/spf13/cobra"

	"github.com/redis-watchdog/redis-watchdog/cmd/redis-watchdog/internal/config"
	"github.com/redis-watchdog/redis-watchdog/fencing/grant"
	"github.com/redis-watchdog/redis-watchdog/watchdog"
	"github.com/redis-watchdog/redis-watchdog/watchdog/agent"
)

func (a *app) maintenanceCommand() *cobra.Command {
	var f orderFlags
	length := 30 * time.Minute
	parent := &cobra.Command{
		Use:   "maintenance",
		Short: "let the watchdogs of a group change nothing for a while",
		Args:  cobra.NoArgs,
		RunE:  func(*cobra.Command, []string) error { return errors.New("maintenance needs on or off") },
	}
	on := &cobra.Command{
		Use:   "on GROUP",
		Short: "change nothing, say what would have been done, go on renewing; ends by itself",
		RunE: func(c *cobra.Command, args []string) error {
			if length < 10*time.Second || length > 24*time.Hour {
				return fmt.Errorf("--for %s is not between 10s and 24h", length)
			}
			return a.orderGroup(c.Context(), args[0], f, groupOrder{
				name: "maintenance on",
				send: func(ctx context.Context, store coordinator, order grant.Order) error {
					return store.SetMaintenance(ctx, args[0], length, order)
				},
				done: func(s agent.Status) bool { return s.Maintenance > 0 },
			})
		},
	}
	off := &cobra.Command{
		Use:   "off GROUP",
		Short: "end it now",
		RunE: func(c *cobra.Command, args []string) error {
			return a.orderGroup(c.Context(), args[0], f, groupOrder{
				name: "maintenance off",
				send: func(ctx context.Context, store coordinator, _ grant.Order) error {
					return store.EndMaintenance(ctx, args[0])
				},
				done: func(s agent.Status) bool { return s.Maintenance == 0 },
			})
		},
	}
	a.orderFlagsOf(on, &f)
	a.orderFlagsOf(off, &f)
	on.Flags().DurationVar(&length, "for", length, "how long, from 10s to 24h")
	parent.AddCommand(on, off)
	return parent
}

func (a *app) adoptCommand() *cobra.Command {
	var f orderFlags
	var to string
	var epoch uint64
	var cluster bool
	c := &cobra.Command{
		Use:   "adopt GROUP --to ADDRESS | --this-etcd",
		Short: "settle by hand what the watchdogs do not: which master is the true one, or that this etcd is",
		Long: "adopt --to writes ADDRESS into the agreement in a new generation: the way out of a conflict between the Sentinels and etcd. Every other master is deposed.\n\n" +
			"adopt --this-etcd lets the watchdogs follow the etcd cluster of the configuration although they knew another: after it was made anew.",
		RunE: func(c *cobra.Command, args []string) error {
			if (to == "") != cluster {
				return errors.New("adopt needs either --to ADDRESS or --this-etcd")
			}
			if cluster {
				return a.orderGroup(c.Context(), args[0], f, groupOrder{
					name: "adopt --this-etcd",
					send: func(ctx context.Context, store coordinator, order grant.Order) error {
						return store.AdoptCluster(ctx, args[0], order)
					},
					done: func(s agent.Status) bool { return s.CoordinatorAge >= 0 && s.CoordinatorAge < 5 },
				})
			}
			if _, _, err := net.SplitHostPort(to); err != nil {
				return fmt.Errorf("--to %q is not an address HOST:PORT", to)
			}
			return a.adopt(c.Context(), args[0], to, epoch, f)
		},
	}
	a.orderFlagsOf(c, &f)
	c.Flags().StringVar(&to, "to", "", "address of the master, as the Sentinels have it")
	c.Flags().Uint64Var(&epoch, "epoch", 0, "its config epoch, when no Sentinel names it; default: as the Sentinels show it")
	c.Flags().BoolVar(&cluster, "this-etcd", false, "follow this etcd cluster and this group id although another was known")
	return c
}

func (a *app) adopt(ctx context.Context, group, to string, epoch uint64, f orderFlags) error {
	c, _, err := a.group(group)
	if err != nil {
		return err
	}
	if epoch == 0 {
		if epoch, err = namedEpoch(ctx, c, group, to); err != nil {
			return err
		}
	}
	var written watchdog.Agreement
	return a.orderGroup(ctx, group, f, groupOrder{
		name: "adopt --to " + to,
		send: func(ctx context.Context, store coordinator, order grant.Order) error {
			written, err = store.Adopt(ctx, group, watchdog.Address(to), epoch, order)
			return err
		},
		done: func(s agent.Status) bool {
			return s.AgreedMaster == to && watchdog.Term{Generation: s.Generation, Epoch: s.Epoch}.Compare(written.Term) >= 0
		},
	})
}

// namedEpoch is the highest config epoch at which a Sentinel names the address.
func namedEpoch(ctx context.Context, c *config.Config, group, address string) (uint64, error) {
	nodes, err := localStatus(ctx, c)
	if err != nil {
		return 0, unknown("find the config epoch of %s: %w; or give it: --epoch", address, err)
	}
	var epoch uint64
	named := false
	for _, n := range nodes {
		for _, s := range n.Sentinels {
			if n.Group == group && s.Answering && s.Master == address {
				named, epoch = true, max(epoch, s.Epoch)
			}
		}
	}
	if !named {
		return 0, blocked("no answering Sentinel names %s as the master of %s: it would be deposed at once; make them agree first (SENTINEL MONITOR, or a failover), or give the epoch: --epoch", address, group)
	}
	return epoch, nil
}

// groupOrder is an order for a whole group; every node of this host must be
// seen to have heard it.
type groupOrder struct {
	name string
	send func(context.Context, coordinator, grant.Order) error
	done func(agent.Status) bool
}

func (a *app) orderGroup(ctx context.Context, group string, f orderFlags, o groupOrder) error {
	if _, err := a.json(); err != nil {
		return err
	}
	c, g, err := a.group(group)
	if err != nil {
		return err
	}
	store, err := a.open(c)
	if err != nil {
		return unknown("open etcd: %w", err)
	}
	defer func() { _ = store.Close() }() // what was written has been confirmed already
	err = again(func() error {
		return o.send(ctx, store, grant.Order{By: a.operator(), At: time.Now(), Reason: f.reason})
	})
	switch {
	case errors.Is(err, grant.ErrNoGroup):
		return blocked("%s: %w; a watchdog of the group must have run with this etcd once", o.name, err)
	case err != nil:
		return unknown("%s: %w; it goes through etcd only: see redis-watchdog status %s", o.name, err, group)
	}
	until := time.Now().Add(f.timeout)
	for _, n := range g.Nodes {
		t := target{group: group, node: n.Name}
		seen, ok, err := wait(ctx, time.Until(until), func(ctx context.Context) (agent.Status, error) { return observe(ctx, c, store, t) }, o.done)
		if ok {
			continue
		}
		d := done{Order: o.name, Group: group, Target: t.String(), Seen: &seen,
			Text: fmt.Sprintf("the order is in force, but was not seen heard within %s: %s (row %d, %s); see redis-watchdog status %s", f.timeout, orDash(seen.Phase), seen.Row, orDash(seen.Reason), group)}
		if err != nil {
			d.Seen, d.Text = nil, fmt.Sprintf("the order is in force, but whether it was heard could not be found out: %v", err)
		}
		return a.report(d, exitUnknown)
	}
	return a.report(done{Order: o.name, Group: group, Target: group, Done: true, Text: "heard by every node of this host"}, exitFine)
}
