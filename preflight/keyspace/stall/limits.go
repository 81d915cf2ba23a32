package stall

import (
	"strings"
	"time"
)

// BorneLess is how much less than down-after-milliseconds a stall may last at the
// most without being fenced: a poll of the Sentinels and a part of the time to
// act (docs/decision.md, the armed fence).
const BorneLess = 700 * time.Millisecond

// DefaultMigrateTimeout is redis-cli --cluster's (--cluster-timeout 60000): how
// long MIGRATE waits for each answer of the target.
const DefaultMigrateTimeout = time.Minute

// CodisMigrateTimeout is how long codis' dashboard and proxies wait for one
// SLOTSMGRTTAGSLOT (pkg/models of 2.0: 30*1000; migration_timeout of 3.2: "30s").
const CodisMigrateTimeout = 30 * time.Second

// Limits are what stalls are held against; zero: there is none, or it is not
// known.
type Limits struct {
	DownAfter      time.Duration `json:"down_after"` // nanoseconds; Sentinel's
	NodeTimeout    time.Duration `json:"cluster_node_timeout"`
	MigrateTimeout time.Duration `json:"migrate_timeout"`
}

// Bears is how long a master of the group may stand still and be neither fenced
// nor failed over; zero: not known.
func (l Limits) Bears() time.Duration { return max(0, l.DownAfter-BorneLess) }

// For is the shortest limit that an operation has.
func (l Limits) For(op Op) time.Duration {
	shortest := l.Bears()
	add := func(d time.Duration) {
		if d > 0 && (shortest == 0 || d < shortest) {
			shortest = d
		}
	}
	add(l.NodeTimeout)
	if op == Restore {
		add(l.MigrateTimeout)
	}
	return shortest
}

func (l Limits) String() string {
	var all []string
	add := func(d time.Duration, what string) {
		if d > 0 {
			all = append(all, what+" "+d.String())
		}
	}
	add(l.DownAfter, "down-after-milliseconds")
	add(l.Bears(), "the armed fence")
	add(l.NodeTimeout, "cluster-node-timeout")
	add(l.MigrateTimeout, "MIGRATE's timeout (redis-cli --cluster)")
	return strings.Join(all, ", ")
}
