package main

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/spf13/cobra"

	"github.com/redis-watchdog/redis-watchdog/cmd/redis-watchdog/internal/orders"
	"github.com/redis-watchdog/redis-watchdog/fencing/grant"
	"github.com/redis-watchdog/redis-watchdog/watchdog"
	"github.com/redis-watchdog/redis-watchdog/watchdog/agent"
)

func (a *app) fenceCommand() *cobra.Command {
	var f orderFlags
	c := &cobra.Command{
		Use:   "fence GROUP",
		Short: "shut one Redis: it refuses reads and writes until unfence",
		RunE: func(c *cobra.Command, args []string) error {
			return a.orderNode(c.Context(), args[0], f, nodeOrder{
				name: "fence",
				local: func(o orders.Order) orders.Order {
					o.Fence = true
					return o
				},
				send: func(ctx context.Context, store coordinator, t target, order grant.Order) error {
					return store.Fence(ctx, t.group, t.address, order)
				},
				done:  func(s agent.Status) bool { return s.FencedByHand && s.Phase == "refuse" },
				stays: func(agent.Status) string { return "" },
			})
		},
	}
	a.nodeFlagsOf(c, &f)
	return c
}

func (a *app) unfenceCommand() *cobra.Command {
	var f orderFlags
	c := &cobra.Command{
		Use:   "unfence GROUP",
		Short: "take fence or release back; the Redis opens once it is the granted master or a replica of it",
		Long: "unfence takes back an order of fence or release. The Redis opens when it is the granted master or a replica of the true one.\n\n" +
			"With --force it may, for ten minutes, become master although its data is empty, behind that of a reachable replica, or came from disk and is behind what the last master told etcd: what only the others have is lost.",
		RunE: func(c *cobra.Command, args []string) error {
			if f.local && f.force {
				return fmt.Errorf("--force goes through etcd: opening needs the grant, which only etcd gives; leave --local out")
			}
			return a.orderNode(c.Context(), args[0], f, a.unfence(f.force))
		},
	}
	a.nodeFlagsOf(c, &f)
	c.Flags().BoolVar(&f.force, "force", false, "open it, or let it be promoted, although its data is empty or behind")
	return c
}

func (a *app) unfence(force bool) nodeOrder {
	return nodeOrder{
		name:  "unfence",
		local: func(orders.Order) orders.Order { return orders.Order{} },
		send: func(ctx context.Context, store coordinator, t target, order grant.Order) error {
			if err := store.Unfence(ctx, t.group, t.address, order, force); err != nil {
				return err
			}
			g, err := store.Read(ctx, t.group)
			if err != nil {
				return err
			}
			if _, released := g.Control.Released[t.address]; !released {
				return nil
			}
			return store.Unrelease(ctx, t.group, t.address)
		},
		done: func(s agent.Status) bool {
			// What was forced of a replica has come about when a Sentinel may promote it.
			vetoed := force && s.Role == watchdog.Replica.String() && (s.Veto || s.PromotableReplicas == 0)
			return !s.FencedByHand && s.Reason != "released" && s.Phase != "refuse" && s.Phase != "" && !vetoed
		},
		stays: func(s agent.Status) string {
			switch {
			case s.FencedByHand:
				return "an order of fence is still in force; if it was given with --local, on the host of the node: redis-watchdog unfence " + s.Group + " --local"
			case s.Phase != "refuse":
				return ""
			case s.Reason == "data_behind" || s.Reason == "data_unrelated":
				return "taken back, but it stays shut: its data is empty, or behind a replica's or what the last master told etcd (redis-watchdog status " + s.Group +
					"); let Sentinel promote whoever has more, or: redis-watchdog unfence " + s.Group + " --force"
			case s.Reason == "replicas_forgotten":
				return "taken back, but it stays shut: the Sentinels list no replica any more, and one may have more data; look there, or accept the loss: redis-watchdog unfence " + s.Group + " --force"
			}
			return fmt.Sprintf("taken back, but it stays shut for another reason: %s (row %d); it opens by itself when that is gone: redis-watchdog status %s --watch",
				s.Reason, s.Row, s.Group)
		},
	}
}

func (a *app) releaseCommand() *cobra.Command {
	var f orderFlags
	all := false
	c := &cobra.Command{
		Use:   "release GROUP | release --all",
		Short: "undo everything at one Redis and leave it alone: nothing guards it until unfence",
		RunE: func(c *cobra.Command, args []string) error {
			if all {
				return a.releaseAll(c.Context(), f)
			}
			return a.orderNode(c.Context(), args[0], f, release())
		},
	}
	a.nodeFlagsOf(c, &f)
	c.Flags().BoolVar(&all, "all", false, "every Redis of this host, as with --local: before redis-watchdog is removed")
	c.Args = func(_ *cobra.Command, args []string) error {
		switch {
		case all && (len(args) > 0 || f.node != ""):
			return errors.New("--all is every Redis of this host: no GROUP and no --node with it")
		case !all && len(args) != 1:
			return fmt.Errorf("release needs one GROUP or --all, not %d groups", len(args))
		}
		return nil
	}
	return c
}

func release() nodeOrder {
	return nodeOrder{
		name: "release",
		local: func(o orders.Order) orders.Order {
			o.Release = true
			return o
		},
		send: func(ctx context.Context, store coordinator, t target, order grant.Order) error {
			return store.Release(ctx, t.group, t.address, order)
		},
		// Nothing of ours may be left: no lock, no fence, no start block that
		// keeps it down.
		done: func(s agent.Status) bool {
			killed := slices.ContainsFunc(s.Faults, func(f agent.Fault) bool { return f.ID == agent.FaultKilled })
			return s.Reason == "released" && s.Phase != "refuse" && s.Phase != "lock" && s.Phase != "hold" && !s.Armed && s.Deadline < 0 && !killed
		},
		stays: func(agent.Status) string { return "" },
	}
}

// releaseAll releases every Redis of this host; the first that was not seen
// released gives the exit code, and keeps none of the others from it.
func (a *app) releaseAll(ctx context.Context, f orderFlags) error {
	c, err := a.load()
	if err != nil {
		return err
	}
	f.local = true
	var first error
	for _, g := range c.Groups {
		for _, n := range g.Nodes {
			f.node = n.Name
			if err := a.orderNode(ctx, g.Name, f, release()); err != nil && first == nil {
				first = err
			}
		}
	}
	return first
}
