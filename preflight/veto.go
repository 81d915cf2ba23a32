package preflight

// The standing verdict on one replica, from report to report.

import (
	"cmp"
	"slices"

	"github.com/redis-watchdog/redis-watchdog/watchdog/sorted"
)

// Veto is why a replica must not be promoted. The zero Veto is no veto.
type Veto struct {
	Reasons []Finding `json:"reasons"` // the checks that failed, as they were last seen to
}

// IsSet says whether there is a reason.
func (v Veto) IsSet() bool { return len(v.Reasons) > 0 }

// Checks are the ids of the reasons, sorted.
func (v Veto) Checks() []string {
	ids := make([]string, 0, len(v.Reasons))
	for _, f := range v.Reasons {
		ids = append(ids, f.Check)
	}
	slices.Sort(ids)
	return slices.Compact(ids)
}

// Next is the verdict after a node report whose checks found own (see Own). A check
// that failed is a reason until it is seen to pass, or blocks no more (the
// operator has made a warning of it, an upgrade has dropped it), or the master
// fails it too. What could
// not be found out neither vetoes nor takes a veto back, and a report that came
// to nothing changes nothing.
func (v Veto) Next(own []Finding) Veto {
	if len(own) == 0 {
		return v
	}
	var next Veto
	unknown := map[string]bool{}
	for _, f := range own {
		switch {
		case f.Severity == Blocks && f.Outcome == Unknown:
			unknown[f.Check] = true
		case f.vetoes():
			next.Reasons = append(next.Reasons, f)
		}
	}
	for _, f := range v.Reasons {
		if unknown[f.Check] {
			next.Reasons = append(next.Reasons, f)
		}
	}
	sorted.By(next.Reasons, func(a, b Finding) int { return cmp.Compare(a.Check, b.Check) })
	return next
}

// vetoes is whether a finding (see Own) keeps a replica from being promoted.
func (f Finding) vetoes() bool { return f.Severity == Blocks && f.Outcome == Failed && !f.MasterToo }

// Last says whether own is the one to leave to Sentinel when every replica of
// the group is vetoed (last_replica: allow): the one with the fewest reasons,
// the lowest address among equals. Reasons are the check ids of every replica
// that could be promoted, own among them, as each publishes them before this
// rule: all watchdogs choose the same one, and choosing changes nothing it rests
// on.
func Last(own string, reasons map[string][]string) bool {
	best := ""
	for address, checks := range reasons {
		switch n := len(checks); {
		case n == 0:
			return false
		case best == "" || n < len(reasons[best]) || n == len(reasons[best]) && address < best:
			best = address
		}
	}
	return own != "" && best == own
}
