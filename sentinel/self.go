package sentinel

import (
	"slices"

	"github.com/redis-watchdog/redis-watchdog/watchdog"
)

// Self is how the Sentinels call the Redis with that run id, or else (a Redis
// that was just started, whose run id they learn with their next INFO, 10 s at
// the latest) the announced address, if they list it, or else how they called
// it last: SENTINEL RESET makes them forget run ids and replicas until their
// next INFO. Empty: they have never listed it, or another has been seen there.
func (s *State) Self(runID string, announced watchdog.Address) watchdog.Address {
	announced = s.whose(announced)
	var found []watchdog.Address
	listed := false
	see := func(in *Instance) {
		if in.Address == "" {
			return
		}
		listed = listed || in.Address == announced
		if runID != "" && in.RunID == runID {
			found = append(found, in.Address)
		}
	}
	for i := range s.Members {
		see(&s.Members[i].Last.Master)
		for j := range s.Members[i].Last.Replicas {
			see(&s.Members[i].Last.Replicas[j])
		}
	}
	// They may disagree while one is behind: what most say, or the first in
	// order of spelling, so that the choice does not flutter.
	slices.Sort(found)
	best, most := watchdog.Address(""), 0
	for i, n := 0, 0; i < len(found); i++ {
		if n++; i > 0 && found[i] != found[i-1] {
			n = 1
		}
		if n > most {
			best, most = found[i], n
		}
	}
	if best == "" && listed {
		return announced
	}
	if best == "" && runID != "" {
		return s.lastAddress(runID)
	}
	return best
}

// Addresses are all Redis the Sentinels list for the group, sorted. One of which
// only a name is known that has never been resolved is none of them.
func (s *State) Addresses() []watchdog.Address {
	var all []watchdog.Address
	for i := range s.Members {
		a := &s.Members[i].Last
		all = append(all, a.Named, a.Master.Address)
		for _, r := range a.Replicas {
			all = append(all, r.Address)
		}
	}
	slices.Sort(all)
	all = slices.Compact(all)
	return slices.DeleteFunc(all, func(a watchdog.Address) bool { return !resolved(a) })
}
