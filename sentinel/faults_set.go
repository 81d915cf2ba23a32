package sentinel

// What the Sentinels of a group have set otherwise than one another: somebody
// typed SENTINEL SET at one, and not at the others.

import (
	"fmt"
	"maps"
	"net"
	"slices"
	"strings"
)

// settings is one parameter, as each Sentinel that answers has it.
type settings struct {
	name string // as SENTINEL SET calls it
	of   map[string]int64
}

// most is the value that most have, the largest of those that as many have.
func (s settings) most() (value int64) {
	counts := map[int64]int{}
	for _, v := range s.of {
		counts[v]++
	}
	for v, n := range counts {
		if n > counts[value] || n == counts[value] && v > value {
			value = v
		}
	}
	return value
}

// differ says that not all have the same.
func (s settings) differ() bool {
	return len(s.of) > 0 && len(slices.Compact(slices.Sorted(maps.Values(s.of)))) > 1
}

// shown is who has what, the Sentinels that have it otherwise than most by name.
func (s settings) shown(unit string) string {
	most, n := s.most(), 0
	var others []string
	for _, key := range slices.Sorted(maps.Keys(s.of)) {
		if v := s.of[key]; v == most {
			n++
		} else {
			others = append(others, fmt.Sprintf("%d%s at %s", v, unit, key))
		}
	}
	return strings.Join(append([]string{fmt.Sprintf("%d%s at %d of them", most, unit, n)}, others...), ", ")
}

// setTo are the commands by which all have that value, a line for each that has
// another.
func (s settings) setTo(group string, value int64) string {
	var lines []string
	for _, key := range slices.Sorted(maps.Keys(s.of)) {
		if host, port, err := net.SplitHostPort(key); err == nil && s.of[key] != value {
			lines = append(lines, fmt.Sprintf("redis-cli -h %s -p %s SENTINEL SET %s %s %d", host, port, group, s.name, value))
		}
	}
	return strings.Join(lines, "\n")
}

// quorumFaults is what is wrong with the quorum that each Sentinel has, of so many
// known.
func (s settings) quorumFaults(group string, known int) *Fault {
	majority := int64(known/2 + 1)
	values := slices.Sorted(maps.Values(s.of))
	if len(values) == 0 {
		return nil
	}
	least, largest, want := values[0], values[len(values)-1], s.most()
	var text string
	switch {
	case least < majority:
		text, want = fmt.Sprintf("the quorum of group %q is %d of %d known sentinels, below a majority: a minority may decide that the master is down", group, least, known), max(want, majority)
	case least > int64(known):
		text, want = fmt.Sprintf("the quorum of group %q is %d of %d known sentinels: there will be no failover", group, least, known), majority
	case largest > int64(known):
		text, want = fmt.Sprintf("the quorum of group %q is above the %d known sentinels at some: these never begin a failover", group, known), min(want, majority)
	case s.differ():
		text = fmt.Sprintf("the quorum of group %q differs among its sentinels: each begins a failover by its own, and for the watchdogs the smallest counts", group)
	default:
		return nil
	}
	if want > int64(known) {
		want = majority
	}
	return &Fault{ID: "sentinel_quorum", Severity: severityWarning, Text: text + " (" + s.shown("") + ")", Remedy: s.setTo(group, want)}
}
