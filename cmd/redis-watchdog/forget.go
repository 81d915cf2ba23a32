package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/redis-watchdog/redis-watchdog/cmd/redis-watchdog/internal/config"
	"github.com/redis-watchdog/redis-watchdog/fencing/grant"
	"github.com/redis-watchdog/redis-watchdog/preflight"
	"github.com/redis-watchdog/redis-watchdog/preflight/gather"
	"github.com/redis-watchdog/redis-watchdog/watchdog"
)

// sentinelsFunc asks the Sentinels of a group.
type sentinelsFunc func(ctx context.Context, c *config.Config, g config.Group) ([]preflight.Sentinel, error)

func askSentinels(ctx context.Context, c *config.Config, g config.Group) ([]preflight.Sentinel, error) {
	conf, err := gatherConfig(ctx, c, g)
	if err != nil {
		return nil, err
	}
	return gather.Sentinels(ctx, conf.Sentinels), nil
}

// forgetFor is how long forget waits: what a watchdog last said stands for 30 s,
// and what its Sentinels list for 40 s, by the beat at which that is looked at.
const forgetFor = time.Minute

func (a *app) forgetCommand() *cobra.Command {
	var f orderFlags
	c := &cobra.Command{
		Use:   "forget GROUP ADDRESS",
		Short: "remove what etcd holds of a Redis that was taken out for good",
		Long: "forget removes what etcd holds of a Redis that was taken out for good, so that nobody waits for it and status does not miss it. ADDRESS is as status shows it.\n\n" +
			"It is refused while the node is the master, reports, is listed by a Sentinel, is fenced by hand, or may have the newest of the group's data; it says what to do first. A node that comes back joins again by itself.",
	}
	a.orderFlagsOf(c, &f)
	c.Args = cobra.ExactArgs(2)
	timeout := c.Flags().Lookup("timeout")
	timeout.Usage = "how long to wait until what its watchdog and the Sentinels last said of it has lapsed"
	timeout.DefValue = forgetFor.String()
	f.timeout = forgetFor
	c.RunE = func(c *cobra.Command, args []string) error { return a.forget(c.Context(), args[0], args[1], f) }
	return c
}

func (a *app) forget(ctx context.Context, group, address string, f orderFlags) error {
	if _, err := a.json(); err != nil {
		return err
	}
	if _, _, err := net.SplitHostPort(address); err != nil {
		return fmt.Errorf("%q is not an address HOST:PORT, as redis-watchdog status shows it", address)
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
	result := done{Order: "forget", Group: group, Target: group + " " + address}
	for until := time.Now().Add(f.timeout); ; {
		stays, passes, err := a.tryForget(ctx, c, g, store, address, f)
		switch {
		case err != nil:
			return unknown("forget: %w", err)
		case stays == "":
			result.Done, result.Text = true, "etcd holds nothing of it any more; it is in redis-watchdog history "+group
			return a.report(result, exitFine)
		case !passes || !time.Now().Before(until):
			result.Text = stays
			return a.report(result, exitBlocked)
		}
		select {
		case <-ctx.Done():
			return unknown("forget: %w; until then: %s", context.Cause(ctx), stays)
		case <-time.After(min(time.Second, time.Until(until))):
		}
	}
}

// tryForget is one attempt. It says why the node stays, and whether that may pass
// by itself; empty: it was forgotten. An error: it could not be found out.
func (a *app) tryForget(ctx context.Context, c *config.Config, g config.Group, store coordinator, address string, f orderFlags) (stays string, passes bool, err error) {
	sentinels, err := a.sentinels(ctx, c, g)
	if err != nil {
		return "", false, err
	}
	if stays, err = listedText(g.Name, address, sentinels); stays != "" || err != nil {
		return stays, false, err
	}
	order := grant.Order{By: a.operator(), At: time.Now(), Reason: f.reason}
	err = again(func() error { return store.Forget(ctx, g.Name, watchdog.Address(address), order) })
	if kept, ok := errors.AsType[*grant.KeptError](err); ok {
		return keptText(g.Name, kept), kept.Kept.Passes(), nil
	}
	if errors.Is(err, grant.ErrNoGroup) {
		return err.Error(), false, nil
	}
	return "", false, err
}

// listedText says which of the Sentinels list the address, and how they forget it;
// empty: none of those that answer. An error: none answers.
func listedText(group, address string, all []preflight.Sentinel) (string, error) {
	var by, lines, silent []string
	for _, s := range all {
		host, port, err := net.SplitHostPort(s.Address)
		switch {
		case s.Error != "":
			silent = append(silent, s.Address+": "+s.Error)
			continue
		case s.Master == address:
			return fmt.Sprintf("the Sentinel %s names it as the master: move the master first: redis-watchdog failover %s", s.Address, group), nil
		case !slices.ContainsFunc(s.Replicas, func(v preflight.SentinelView) bool { return v.Address == address }) &&
			!slices.ContainsFunc(s.Unread, func(u preflight.Unread) bool { return u.Name == address }):
			continue
		case err != nil:
			host, port = s.Address, "26379"
		}
		by = append(by, s.Address)
		lines = append(lines, fmt.Sprintf("redis-cli -h %s -p %s SENTINEL RESET %s", host, port, group))
	}
	if len(silent) == len(all) {
		return "", fmt.Errorf("no Sentinel of %s answers, so whether one lists %s is not known: %s", group, address, strings.Join(silent, "; "))
	}
	if len(by) == 0 {
		return "", nil
	}
	return fmt.Sprintf("%s list it as a replica. Stop its Redis, then have them forget it, one after the other, while no failover and no backup runs:\n%s",
		strings.Join(by, ", "), strings.Join(lines, "\nsleep 20\n")), nil
}

// keptText says why etcd does not let a node be forgotten, and what to do.
func keptText(group string, e *grant.KeptError) string {
	switch e.Kept {
	case grant.KeptMaster, grant.KeptGrant:
		return fmt.Sprintf("it is the master: move the master first: redis-watchdog failover %s", group)
	case grant.KeptNobody:
		return fmt.Sprintf("nobody holds the grant now (the agreed master is %s), so whose data the group goes on with is open, and it may be this node's: wait until a master serves: redis-watchdog status %s",
			orNone(string(e.By)), group)
	case grant.KeptData:
		return fmt.Sprintf("the newest that etcd knows of the group's data is what this node had; it may go once the master of now has told how far its own goes: redis-watchdog status %s", group)
	case grant.KeptFenced:
		return fmt.Sprintf("an order to fence it is in force, and it would open when it comes back: take that back first: redis-watchdog unfence %s --node %s", group, e.Node)
	case grant.KeptReports:
		return "its watchdog reports: stop it first, on its host: systemctl disable --now redis-watchdog"
	case grant.KeptListed:
		return fmt.Sprintf("the watchdog of %s says that a Sentinel lists it, one that was not asked from here: SENTINEL RESET %s there; what it says lapses half a minute after", e.By, group)
	case grant.KeptNotThere:
		nodes := make([]string, len(e.Nodes))
		for i, n := range e.Nodes {
			nodes[i] = string(n)
		}
		return fmt.Sprintf("etcd holds nothing of it; the nodes of the group are %s", orNone(strings.Join(nodes, ", ")))
	}
	return string(e.Kept)
}

func orNone(s string) string {
	if s == "" {
		return "none"
	}
	return s
}
