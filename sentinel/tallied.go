package sentinel

// What a tally says of the group besides the vote: TILT, settings, replicas.

import (
	"slices"

	"github.com/redis-watchdog/redis-watchdog/watchdog"
)

// tallyTilt finds since when those that are not in TILT, of those that answer, could
// have promoted another.
func (s *State) tallyTilt(t *watchdog.Sentinels, now watchdog.Instant) {
	var room [8]watchdog.Instant
	tilts := room[:0]
	for i := range s.Members {
		if m := &s.Members[i]; s.fresh(m, now) && m.tiltAt != 0 {
			tilts = append(tilts, m.tiltAt)
		}
	}
	enough := max(t.Answering-max(t.Quorum, t.Known/2+1)+1, 1) // that many in TILT leave too few
	if len(tilts) >= enough {
		slices.Sort(tilts)
		t.TiltAt = tilts[len(tilts)-enough]
	}
}

func (s *State) tallyConfig(t *watchdog.Sentinels, m *Member) {
	t.SentAt = t.SentAt.Max(m.Last.SentAt)
	if q := m.quorum; q > 0 && (t.Quorum == 0 || q < t.Quorum) {
		t.Quorum = q
	}
	t.Longest = max(t.Longest, m.downAfter)
	if d := m.downAfter; d > 0 && (t.DownAfter == 0 || d < t.DownAfter) {
		t.DownAfter = d
	}
}

// accuses says that this Sentinel holds self, its master, down for another
// reason than that it has reported to be a replica (our fence) for so long: for
// the PINGs that it did not answer, which is over with Sentinel's next tick if it
// answers now. One in TILT keeps what it showed, for 30 s, and judges anew before it
// begins anything.
func (a *Answer) accuses(self watchdog.Address) bool {
	in := &a.Master
	return in.Address == self && in.Flags&(FlagSDown|FlagODown) != 0 &&
		(in.PongAge > in.DownAfter || in.Reported == watchdog.Master || in.RoleFor <= in.DownAfter+roleGrace && !a.Tilt)
}

// tallyReplicas counts those that could be promoted, and finds another master
// and our own promotion among them.
func (s *State) tallyReplicas(t *watchdog.Sentinels, self watchdog.Address, now watchdog.Instant) {
	var listed, seen []watchdog.Address
	told := map[watchdog.Address]watchdog.Instant{} // when each replica's offset was last told to any of them
	for i := range s.Members {
		m := &s.Members[i]
		if !s.freshLists(m, now) {
			continue
		}
		for j := range m.Last.Replicas {
			r := &m.Last.Replicas[j]
			if r.Address != self && !slices.Contains(listed, r.Address) {
				listed = append(listed, r.Address)
			}
			if r.Priority != 0 && !slices.Contains(seen, r.Address) {
				seen = append(seen, r.Address)
			}
			if r.Address == self {
				t.Promoting = t.Promoting || r.Has(FlagPromoted) && m.Last.Master.Has(FlagFailover)
				continue
			}
			switch {
			case r.Has(FlagSDown):
			case r.Has(FlagDisconnected): // yet: right after a failover all are, and that is no word of theirs
				told[r.Address] = told[r.Address].Max(1)
			default:
				t.ReplicaOffset = max(t.ReplicaOffset, r.Offset)
				told[r.Address] = told[r.Address].Max(r.toldAt(m.ListedAt))
			}
			// A Redis that is down reports nothing: what it once said may
			// stand there for ever.
			if r.Reported == watchdog.Master && r.Flags&(FlagSDown|FlagDisconnected) == 0 &&
				r.Address != m.Last.Named && (!s.majority || r.Address != s.named) &&
				(t.OtherMaster == "" || r.Address < t.OtherMaster) {
				t.OtherMaster = r.Address
			}
		}
	}
	t.Listed, t.Replicas = len(listed), len(seen)
	for _, at := range told {
		if t.ReplicasToldAt == 0 || at < t.ReplicasToldAt {
			t.ReplicasToldAt = at
		}
	}
}

// toldAt is when the Sentinel whose lists were asked at listedAt was told the
// replica's offset, at the earliest; 1 (long ago) where it does not say.
func (i Instance) toldAt(listedAt watchdog.Instant) watchdog.Instant {
	if i.InfoAge == 0 {
		return 1
	}
	return listedAt.Add(-i.InfoAge).Max(1)
}
