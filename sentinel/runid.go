package sentinel

import (
	"slices"

	"github.com/redis-watchdog/redis-watchdog/watchdog"
)

const maxRunIDs = 64

type runID struct {
	of watchdog.Address
	id string
}

// learnRunIDs remembers who is at which address. A Sentinel that has just
// switched names a master whose run id it has forgotten (sentinelResetMaster)
// and learns again with its next INFO; it knew it as a replica's until then.
func (s *State) learnRunIDs(a *Answer) {
	s.learnRunID(&a.Master)
	for i := range a.Replicas {
		s.learnRunID(&a.Replicas[i])
	}
}

func (s *State) learnRunID(in *Instance) {
	if in.Address == "" || in.RunID == "" {
		return
	}
	i := slices.IndexFunc(s.runIDs, func(r runID) bool { return r.of == in.Address })
	switch {
	case i >= 0:
		s.runIDs[i].id = in.RunID
		return
	case len(s.runIDs) == maxRunIDs:
		s.runIDs = slices.Delete(s.runIDs, 0, 1)
	}
	s.runIDs = append(s.runIDs, runID{in.Address, in.RunID})
}

// lastAddress is where that Redis was last seen, if no other has been seen there
// since.
func (s *State) lastAddress(id string) watchdog.Address {
	if id == "" {
		return ""
	}
	for _, r := range slices.Backward(s.runIDs) {
		if r.id == id {
			return r.of
		}
	}
	return ""
}

// RunID is of the Redis last seen at the address; empty: not known. It is for
// people: a Redis restarted since has another.
func (w *Watcher) RunID(of watchdog.Address) string {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, r := range w.state.runIDs {
		if r.of == of {
			return r.id
		}
	}
	return ""
}
