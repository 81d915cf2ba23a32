package daemon

import (
	"time"

	"github.com/redis-watchdog/redis-watchdog/fencing/gate"
	"github.com/redis-watchdog/redis-watchdog/preflight"
)

// loadRefused takes up what an earlier life saw our replica refuse.
func (s *reporter) loadRefused() {
	if err := s.x.records.Load("refused", &s.refused); err != nil {
		s.x.log.Error("record of refused writes not read: starting without", "error", err)
		s.refused = preflight.Refused{}
	}
}

// countRefused takes in what the gate's newest look shows of our Redis as a
// replica. What changed is on disk before it is told to anybody.
func (s *reporter) countRefused(l gate.Replication) {
	before := s.refused
	now := before.Next(preflight.ReplicaLook(l), time.Now().UTC())
	s.refused = now
	if now.Count == before.Count && now.Syncing == before.Syncing && now.Last.RunID == before.Last.RunID && now.Last.Errors == before.Last.Errors {
		return
	}
	switch {
	case now.Count > before.Count:
		s.x.log.Error("replica refused what its master wrote: its data differs", "commands", now.Count-before.Count, "since_full_sync", now.Count)
	case now.Count < before.Count:
		s.x.log.Info("replica has its master's data again", "refused", before.Count)
	}
	if err := s.x.records.Save("refused", now); err != nil {
		s.x.log.Error("record of refused writes not written: a restart of the watchdog would forget them", "error", err)
	}
}
