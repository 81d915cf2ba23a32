package fleet

// Load is how busy a host and a Redis on it are.
type Load struct {
	Average    float64 // of the last minute
	Processors int
	Available  uint64 // MemAvailable, bytes
	Total      uint64 // MemTotal, bytes
	UsedMemory uint64 // of the Redis that would fork, bytes
	LinkUp     bool   // to its master
	Silent     float64
	Saving     bool // any Redis of the host writes or loads an RDB, rewrites its AOF or is in a full sync
}

// Why a host is left alone.
const (
	BusyLoad   = "load"
	BusyMemory = "memory"
	BusyLag    = "replica_lag"
	BusySaving = "saving"
	// BusyUnknown is a host of which it could not be found out.
	BusyUnknown = "unknown"
)

// Reasons are all of them.
func Reasons() []string {
	return []string{BusyLoad, BusyMemory, BusyLag, BusySaving, BusyUnknown}
}

const (
	// maxSilent is for how many seconds a replica may have heard nothing from its
	// master: repl-ping-replica-period is 10.
	maxSilent = 11
	// leastAvailable is the share of the host's memory that is left to it, and
	// copied the share of the Redis' that its fork may copy at the most (the audit
	// ends there).
	leastAvailable = 0.1
	copied         = 0.25
	leastCopied    = 64 << 20
)

// Busy is why an audit is not begun now; empty: it may be.
func (l Load) Busy(maxLoad float64) string {
	switch {
	case l.Saving:
		return BusySaving
	case !l.LinkUp || l.Silent < 0 || l.Silent > maxSilent:
		return BusyLag
	case l.Short():
		return BusyMemory
	case maxLoad > 0 && l.Average > maxLoad*float64(max(1, l.Processors)):
		return BusyLoad
	}
	return ""
}

// Short is whether the host would have too little memory left beside an audit.
func (l Load) Short() bool {
	return float64(l.Available) < leastAvailable*float64(l.Total)+max(leastCopied, copied*float64(l.UsedMemory))
}
