package preflight

import (
	"time"

	"github.com/redis-watchdog/redis-watchdog/preflight/keyspace"
	"github.com/redis-watchdog/redis-watchdog/preflight/keyspace/stall"
)

// LongestStalls is the longest that each operation on one key of an audit would hold
// a Redis up, at the most and with the settings that it has now; of stall.Resync it
// is all keys. nil: these were not read. What cannot happen (an eviction without a
// limit) is 0.
func LongestStalls(audit keyspace.Kept, n Node) map[stall.Op]time.Duration {
	s := subject{facts: &Facts{Nodes: []Node{n}}, role: ofGroup}
	lazy, evicts := s.lazyfree(&n), s.configOf(&n, "maxmemory", "0") != "0" && s.evicts(&n)
	if s.short() {
		return nil
	}
	longest := map[stall.Op]time.Duration{}
	for _, op := range stall.Ops() {
		longest[op] = 0
		for _, k := range audit.Worst {
			switch {
			case op == stall.Resync, op == stall.Expire && !k.TTL, op == stall.Evict && !evicts:
			default:
				longest[op] = max(longest[op], stall.One(op, k.Key, lazy, audit.Rates).High)
			}
		}
	}
	if !lazy.Flush {
		longest[stall.Resync] = audit.Emptying().High
	}
	return longest
}

// KeyStalls is the longest that removing each of an audit's worst keys would hold a
// Redis up, in their order, as keyspace_stall judges it: by a client, by expiry, by
// eviction, with the settings that it has now. MIGRATE and RESTORE no setting makes
// shorter, and they come only where somebody moves slots: they are not in it. nil: the
// settings of this Redis were not read.
func KeyStalls(audit keyspace.Kept, n Node) []time.Duration {
	s := subject{facts: &Facts{Nodes: []Node{n}}, role: ofGroup}
	lazy, evicts := s.lazyfree(&n), s.configOf(&n, "maxmemory", "0") != "0" && s.evicts(&n)
	if s.short() {
		return nil
	}
	longest := make([]time.Duration, len(audit.Worst))
	for i, k := range audit.Worst {
		for op := range removals(k, evicts) {
			longest[i] = max(longest[i], stall.One(op, k.Key, lazy, audit.Rates).High)
		}
	}
	return longest
}
