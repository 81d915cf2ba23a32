package daemon

// This host's part in an audit of the whole fleet. Nothing that guards a Redis waits
// for it: it has a goroutine of its own, and what takes time is a process of its own,
// of the lowest priority.

import (
	"context"
	"errors"
	"fmt"
	"os"
	"runtime"
	"strconv"
	"strings"
	"time"

	"github.com/redis-watchdog/redis-watchdog/cmd/redis-watchdog/internal/auditor"
	"github.com/redis-watchdog/redis-watchdog/preflight/gather"
	"github.com/redis-watchdog/redis-watchdog/preflight/keyspace/fleet"
	"github.com/redis-watchdog/redis-watchdog/watchdog"
	"github.com/redis-watchdog/redis-watchdog/watchdog/agent"
	"github.com/redis-watchdog/redis-watchdog/watchdog/statedir"
)

// loadTimeout bounds all that is asked for a Load.
const loadTimeout = 3 * time.Second

// auditFleet follows the fleet's work list until ctx ends.
func (d *Daemon) auditFleet(ctx context.Context) error {
	key, err := hostKey()
	if err != nil {
		d.log.Warn("this host takes no part in audits of the fleet", "error", err)
		<-ctx.Done()
		return context.Cause(ctx)
	}
	r := auditor.New(auditor.Config{
		Store: func() auditor.Store { return d.store.Load() }, Host: fleetHost{d}, Key: key, Name: hostName(), Now: agent.Boottime, Log: d.log.Named("fleet"),
		Count: func(why fleet.Why) { d.counts.Audited(why.String()) },
	})
	d.auditing.Store(r)
	return r.Run(ctx)
}

// hostKey is the same for all watchdogs that share processors, memory and addresses:
// of one boot, and one network namespace. Containers with a network of their own are
// hosts of their own to it.
func hostKey() (string, error) {
	boot, err := statedir.BootID()
	if err != nil {
		return "", err
	}
	net, err := os.Readlink("/proc/self/ns/net")
	if err != nil {
		return "", fmt.Errorf("find own network namespace: %w", err)
	}
	return boot + "-" + strings.Trim(strings.TrimPrefix(net, "net:"), "[]"), nil
}

// fleetHost is every Redis here.
type fleetHost struct{ d *Daemon }

// Nodes are all of them. Only a replica that is in touch with its master is one:
// not in maintenance, nor while a failover is planned for its group.
func (f fleetHost) Nodes() []fleet.Node {
	var all []fleet.Node
	for _, x := range f.d.nodes() {
		s := x.agent.Status(agent.Extras{})
		x.mu.Lock()
		off := x.fleetOff
		x.mu.Unlock()
		why := notAudited(s)
		all = append(all, fleet.Node{Group: x.group, Address: s.Address, Off: off, Master: s.Role == "master", Replica: why == "", Why: why})
	}
	return all
}

// notAudited is why a node is no replica that may be audited; empty: it is one.
func notAudited(s agent.Status) string {
	switch {
	case s.Address == "":
		return fleet.WaitsAddress
	case s.Answer != "up":
		return fleet.WaitsAnswer
	case s.Role == "master":
		return fleet.WaitsMaster
	case s.Maintenance != 0:
		return fleet.WaitsMaintenance
	case s.Coordinator.Orders.PlannedFailover != watchdog.PlannedFailover{}:
		return fleet.WaitsPlanned
	case s.Role != "replica" || !s.LinkUp || s.Master == s.Address:
		return fleet.WaitsLink
	}
	return ""
}

// unaudited is why an audit of the fleet waits for this node; empty: it does not.
func (x *node) unaudited(s agent.Status) string {
	if x.auditing == nil {
		return ""
	}
	if r := x.auditing.Load(); r != nil {
		return r.State().Nodes[fleet.Node{Group: x.group, Address: s.Address}.Key()]
	}
	return ""
}

// node is the one that is meant; nil: it is here no more.
func (f fleetHost) node(n fleet.Node) *node {
	for _, x := range f.d.nodes() {
		if x.group == n.Group && x.agent.Status(agent.Extras{}).Address == n.Address {
			return x
		}
	}
	return nil
}

var errNotHere = errors.New("this Redis is configured here no more")

// Load asks every Redis of the host whether it saves, and the one that is meant for
// the rest. One that does not answer is an error: its host is left alone.
func (f fleetHost) Load(ctx context.Context, n fleet.Node) (fleet.Load, error) {
	ctx, cancel := context.WithTimeout(ctx, loadTimeout)
	defer cancel()
	l := fleet.Load{Processors: runtime.NumCPU()}
	own := f.node(n)
	if own == nil {
		return l, errNotHere
	}
	for _, x := range f.d.nodes() {
		info, err := x.info(ctx)
		if err != nil {
			return l, fmt.Errorf("%s/%s: %w", x.group, x.name, err)
		}
		l.Saving = l.Saving || saving(info)
		if x == own {
			l.LinkUp = info["role"] == "slave" && info["master_link_status"] == "up"
			l.Silent = number(info["master_last_io_seconds_ago"])
			l.UsedMemory = uint64(max(0, number(info["used_memory"])))
		}
	}
	total, available, err := gather.Memory(own.gate.Details().PID)
	if err != nil {
		return l, err
	}
	l.Total, l.Available = uint64(max(0, total)), uint64(max(0, available))
	text, err := os.ReadFile("/proc/loadavg")
	if err != nil {
		return l, err
	}
	first, _, _ := strings.Cut(string(text), " ")
	l.Average, err = strconv.ParseFloat(first, 64)
	return l, err
}

// number is -1 where it is none.
func number(text string) float64 {
	n, err := strconv.ParseFloat(text, 64)
	if err != nil {
		return -1
	}
	return n
}

// saving is whether a child of Redis, or Redis itself, writes or reads all its data.
func saving(info map[string]string) bool {
	for _, field := range []string{"rdb_bgsave_in_progress", "aof_rewrite_in_progress", "aof_rewrite_scheduled", "module_fork_in_progress",
		"loading", "async_loading", "master_sync_in_progress"} {
		if v := info[field]; v != "" && v != "0" {
			return true
		}
	}
	return false
}

// info is INFO of this Redis.
func (x *node) info(ctx context.Context) (map[string]string, error) {
	text, err := x.reporter.server.Do(ctx, "INFO")
	if err != nil {
		return nil, err
	}
	fields := map[string]string{}
	for line := range strings.Lines(text) {
		if name, value, ok := strings.Cut(strings.TrimRight(line, "\r\n"), ":"); ok {
			fields[name] = value
		}
	}
	if fields["run_id"] == "" {
		return nil, errors.New("INFO has no run_id")
	}
	return fields, nil
}
