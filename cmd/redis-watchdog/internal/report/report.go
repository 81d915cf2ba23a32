// Package report puts together what the watchdog of a host says and what etcd
// holds of its groups: `status` prints it and the status page shows it, so that
// the two say the same.
package report

import (
	"encoding/json"
	"slices"
	"strings"

	"github.com/redis-watchdog/redis-watchdog/fencing/grant"
	"github.com/redis-watchdog/redis-watchdog/watchdog/agent"
	"github.com/redis-watchdog/redis-watchdog/watchdog/sorted"
)

// The verdicts.
const (
	OK      = "ok"      // every Redis is guarded and there is no fault
	Fault   = "fault"   // there is one, or somebody is not guarded
	Unknown = "unknown" // it could not be found out
)

// Report is everything there is to say.
type Report struct {
	Verdict  string         `json:"verdict"`  // ok, fault, unknown
	Nodes    []agent.Status `json:"nodes"`    // of this host, as its watchdog says
	Groups   []Group        `json:"groups"`   // as etcd has them; empty when it was not asked
	Problems []string       `json:"problems"` // what could not be found out
}

// Group is one group as etcd has it.
type Group struct {
	Group       string             `json:"group"`
	Agreement   grant.MasterRecord `json:"agreement"`
	Grant       grant.Holding      `json:"grant"`
	Maintenance grant.Maintenance  `json:"maintenance"`
	Control     grant.Control      `json:"control"`
	Nodes       []agent.Status     `json:"nodes"`  // of the other hosts
	Silent      []string           `json:"silent"` // nodes seen in this group whose watchdog does not report
	Gone        []string           `json:"gone"`   // likewise, and nobody has listed or heard them for a day: no fault
	Problems    []string           `json:"problems"`
	// Unwritable is the fault for which nobody can report: a silent node may be
	// guarded all the same, and what others say may be old. Empty: none.
	Unwritable string `json:"unwritable,omitempty"`
}

// NewGroup is what etcd holds of a group, without the nodes of this host, of
// which the local watchdog knows better.
func NewGroup(g grant.Group, local []agent.Status) Group {
	out := Group{Group: g.Name, Agreement: g.Agreement, Grant: g.Grant, Maintenance: g.Maintenance, Control: g.Control,
		Nodes: []agent.Status{}, Silent: []string{}, Gone: []string{}, Problems: append([]string{}, g.Problems...)}
	here := func(address string) bool {
		return slices.ContainsFunc(local, func(s agent.Status) bool { return s.Group == g.Name && s.Address == address })
	}
	said := Nodes(g)
	for address, s := range said {
		if !here(address) {
			s.Group = g.Name
			out.Nodes = append(out.Nodes, s)
		}
	}
	sorted.By(out.Nodes, func(a, b agent.Status) int { return strings.Compare(a.Address, b.Address) })
	for address := range g.Nodes {
		if _, understood := said[address]; !understood {
			out.Problems = append(out.Problems, "the report of "+address+" in etcd cannot be understood; its watchdog may be another version")
		}
	}
	slices.Sort(out.Problems)
	for _, node := range g.Record.Nodes {
		_, reports := g.Nodes[string(node)]
		switch {
		case reports || here(string(node)):
		case slices.Contains(g.Gone, node):
			out.Gone = append(out.Gone, string(node))
		default:
			out.Silent = append(out.Silent, string(node))
		}
	}
	if out.Unwritable = unwritable(local); out.Unwritable != "" {
		out.Problems = append(out.Problems, "etcd takes no writes ("+out.Unwritable+"): what other hosts report may be old")
	}
	return out
}

// unwritable is the fault that etcd takes no writes, as any watchdog of this host
// has it.
func unwritable(local []agent.Status) string {
	for _, s := range local {
		for _, f := range s.Faults {
			switch f.ID {
			case grant.FaultNoSpace, grant.FaultCorrupt, grant.FaultReadOnly:
				return f.ID
			}
		}
	}
	return ""
}

// SilentText says what it means that a node does not report.
func (g Group) SilentText() (text, command string) {
	if g.Unwritable != "" {
		return ": etcd has no report of its watchdog, and takes no writes (" + g.Unwritable + "): whether it is guarded is seen there: ",
			"redis-watchdog status --local"
	}
	return ": its watchdog does not report: nobody guards it; there: ", "systemctl status redis-watchdog"
}

// GoneText says what it means that a node is gone.
func (g Group) GoneText(address string) (text, command string) {
	return ": gone: no Sentinel has listed it and no watchdog reported for it for a day; where it was taken out for good: ",
		"redis-watchdog forget " + g.Group + " " + address
}

// Nodes are what the watchdogs of a group say in etcd, by address; one that
// cannot be understood is left out.
func Nodes(g grant.Group) map[string]agent.Status {
	nodes := map[string]agent.Status{}
	for address, report := range g.Nodes {
		var s agent.Status
		if json.Unmarshal([]byte(report), &s) == nil {
			s.Address = address
			nodes[address] = s
		}
	}
	return nodes
}

// Judge is the worst of all: a fault is certain, so it comes before what could
// not be found out.
func Judge(r Report) string {
	unclear := len(r.Problems) > 0 || len(r.Nodes) == 0
	faulty := func(s agent.Status) bool { return !s.Guarded || len(s.Faults) > 0 }
	fault := slices.ContainsFunc(r.Nodes, faulty)
	for _, g := range r.Groups {
		fault = fault || slices.ContainsFunc(g.Nodes, faulty) || len(g.Silent) > 0
		unclear = unclear || len(g.Problems) > 0
	}
	switch {
	case fault:
		return Fault
	case unclear:
		return Unknown
	}
	return OK
}

// Count is how many nodes are not guarded, how many do not report, and how many
// faults there are.
func Count(r Report) (unguarded, silent, faults int) {
	count := func(nodes []agent.Status) {
		for _, n := range nodes {
			faults += len(n.Faults)
			if !n.Guarded {
				unguarded++
			}
		}
	}
	count(r.Nodes)
	for _, g := range r.Groups {
		count(g.Nodes)
		silent += len(g.Silent)
	}
	return unguarded, silent, faults
}
