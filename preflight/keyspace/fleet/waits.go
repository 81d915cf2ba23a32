package fleet

import (
	"cmp"
	"slices"
)

// Why a node waits that is no replica which could be audited, as its watchdog sees it.
const (
	WaitsMaster      = "master"           // masters are not audited
	WaitsMaintenance = "maintenance"      // of its group
	WaitsPlanned     = "planned_failover" // of its group
	WaitsLink        = "link_down"        // to its master, or nobody knows who that is
	WaitsAnswer      = "not_answering"    // Redis is down, busy or loading
	WaitsAddress     = "no_address"       // the Sentinels' name of it is not known yet
)

// Why a unit waits of which no watchdog says why.
const (
	WaitsTurn      = "turn"       // no slot, or no audit of its host, was free yet
	WaitsUnwatched = "unwatched"  // no watchdog of its nodes reports
	WaitsResting   = "resting"    // its last audit failed; it is tried again
	WaitsNoReplica = "no_replica" // none of its nodes is a replica
)

// NodeWaits is why one node waits: those above, and those of Reasons.
func NodeWaits() []string {
	return append(Reasons(), WaitsMaintenance, WaitsPlanned, WaitsLink, WaitsAnswer, WaitsAddress, WaitsMaster)
}

// Told is what one node's watchdog says of itself.
type Told struct {
	Address string
	Replica bool
	Waits   string // why, or empty: nothing hinders, or its watchdog is older
	Stopped bool   // that was its last word: nobody guards it
}

// WaitsOf is why a unit that is not final waits, and by which of its nodes: the one
// that comes the nearest to an audit.
func WaitsOf(u Known, told []Told) (why, node string) {
	if u.Claimed {
		return WaitsResting, u.Node
	}
	told = slices.DeleteFunc(slices.Clone(told), func(t Told) bool { return t.Stopped || u.Address != "" && t.Address != u.Address })
	if len(told) == 0 {
		return WaitsUnwatched, u.Address
	}
	// The nearest: one that only waits for its turn; then one whose host is busy, and so
	// on as in NodeWaits; then one that is a master.
	order := append([]string{""}, NodeWaits()...)
	rank := func(t Told) int {
		at := slices.Index(order, t.Waits)
		if at < 0 || at == 0 && !t.Replica {
			return len(order)
		}
		return at
	}
	nearest := slices.MinFunc(told, func(a, b Told) int { return cmp.Compare(rank(a), rank(b)) })
	switch {
	case nearest.Waits != "" && nearest.Waits != WaitsMaster:
		return nearest.Waits, nearest.Address
	case nearest.Replica && nearest.Waits == "":
		return WaitsTurn, nearest.Address
	}
	return WaitsNoReplica, nearest.Address
}

// WaitsText is the sentence of a reason.
func WaitsText(why string) string {
	switch why {
	case BusyLoad:
		return "its host's load is above the bound"
	case BusyMemory:
		return "its host would have too little memory left"
	case BusyLag:
		return "its replica's link is down, or its master was not heard for 11 s"
	case BusySaving:
		return "a Redis of its host saves, loads, rewrites or is in a full sync"
	case BusyUnknown:
		return "whether its host is busy could not be found out: see that watchdog's log"
	case WaitsMaintenance:
		return "its group is in maintenance"
	case WaitsPlanned:
		return "a failover is planned for its group"
	case WaitsLink:
		return "its replica is not in touch with the master"
	case WaitsAnswer:
		return "its Redis does not answer"
	case WaitsAddress:
		return "its watchdog does not know yet what the Sentinels call it"
	case WaitsMaster, WaitsNoReplica:
		return "none of its nodes that report is a replica, and masters are not audited"
	case WaitsTurn:
		return "its turn has not come"
	case WaitsUnwatched:
		return "no watchdog of it reports"
	case WaitsResting:
		return "its last audit broke: half a minute later it is tried again"
	}
	return why
}
