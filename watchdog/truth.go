package watchdog

// Who is master: the truth, what is written of it, and who may claim.

import "time"

// truth is the newer, by (generation, config epoch), of the newest agreement
// known and what a majority of the known Sentinels says now. Sentinel has no
// generations: what a majority says is of the agreement's. Another address at
// no higher epoch is a conflict: then nobody is named, and nobody deposed.
func (s State) truth() (Agreement, bool) {
	known, maj := s.Memory.Agreement, s.Sentinels
	if c := s.Coordinator.Agreement; c.Master != "" && c.Term == known.Term && c.Master != known.Master {
		return Agreement{Term: known.Term}, true
	}
	switch {
	case maj.Master == "":
		return known, false
	case known.Master == "":
		return Agreement{Term{0, maj.Epoch}, maj.Master}, false
	case maj.Epoch > known.Epoch:
		return Agreement{Term{known.Generation, maj.Epoch}, maj.Master}, false
	case maj.Master == known.Master:
		return known, false
	}
	return Agreement{Term: known.Term}, true
}

// Truth is who is master now by all we know; second is whether the Sentinels
// and the agreement are in conflict, and then the first names nobody.
func (s State) Truth() (Agreement, bool) { return s.truth() }

// witnessed is what the Sentinels say, as far as it holds at now. A Sentinel acts
// on the role that it was told of last, for up to 20 s and a down-after, and asks
// for it every 10 s: of a Redis that is fenced, or was until a moment ago, only an
// answer tells which that is.
func (s State) witnessed(now Instant) Sentinels {
	f, m := s.Sentinels, s.Memory
	if f.Pinged && (s.Redis.Role == Nowhere || m.OpenedAt != 0 && now.Sub(m.OpenedAt) < roleTermToOpen) {
		f.Pinged, f.E, f.EFrom = false, f.EAsked, f.EAskedFrom
	}
	return f
}

// earliest is E, or what an earlier life of this watchdog knew of it.
func (s State) earliest(armed time.Duration) Instant {
	return s.Sentinels.E.Max(s.known(armed))
}

// known is the instant before which, by what an earlier life of this watchdog knew
// when it armed its last deadline, nobody else is promoted by the Sentinels, nor
// granted. It holds on until the Sentinels show something worse than silence: else
// a restart would fence before the last Sentinel has answered. Zero: nothing is.
func (s State) known(armed time.Duration) Instant {
	if s.inherited == 0 || s.Sentinels.Failover || s.Sentinels.Accused {
		return 0
	}
	return s.inherited.Add(armed)
}

// lease is an instant that L was not before, as an earlier life of this watchdog
// knew it when it armed its last deadline: with coordinator_lost: refuse that is
// before L. Else a watchdog that was restarted beside a coordinator which takes
// longer to answer than startGrace would take a grant that goes on for one that
// has ended. It counts until the coordinator says that the grant is not ours, or
// it was renewed in this life. Zero: nothing is known.
func (s State) lease(armed time.Duration) Instant {
	c := s.Coordinator
	if s.inherited == 0 || c.Grant.RenewedAt != 0 || c.RoundAt != 0 && !c.Grant.Ours {
		return 0
	}
	return s.inherited.Add(armed)
}

// propose is the agreement that should be written, if any. The adapter's
// compare-and-swap decides; a stale view here costs a lost race, no more.
func (s State) propose(now Instant) Proposal {
	c, maj, known := s.Coordinator, s.Sentinels, s.Memory.Agreement
	if c.Membership != Member || c.RoundAt == 0 || maj.Master == "" {
		return Proposal{}
	}
	write := func(generation uint64, cause Cause) Proposal {
		return Proposal{
			Agreement: Agreement{Term{generation, maj.Epoch}, maj.Master},
			Replaces:  c.Agreement,
			Cause:     cause,
		}
	}
	_, conflict := s.truth()
	switch {
	case known.Master == "":
		return write(1, CauseFirst)
	case maj.Epoch > known.Epoch && maj.Master != known.Master:
		return write(known.Generation, CauseFailover)
	case maj.Epoch > known.Epoch:
		return write(known.Generation, CauseEpoch)
	case conflict:
		// Sentinel's epochs began anew and then it failed over. While
		// anybody holds the grant it is an alarm and no more; and so it is
		// while the one named is no master: then a sentinel.conf was written
		// that names last week's, and an agreement on it would make the true
		// master the replica of its own replica. Only the one named knows.
		if c.Grant.Holder == "" && s.oddFor(now) >= unbrokenToBreak &&
			s.Redis.Role == Master && maj.Master == s.Memory.Self {
			return write(known.Generation+1, CauseConflict)
		}
	case maj.Epoch < known.Epoch:
		if s.oddFor(now) >= unbrokenToOpen {
			return write(known.Generation+1, CauseReset)
		}
	case c.Agreement.Compare(known.Term) < 0:
		return write(known.Generation, CauseBehind)
	}
	return Proposal{}
}

// oddFor is how long, without a break, the majority has contradicted the
// newest agreement: both have to have been known for so long.
func (s State) oddFor(now Instant) time.Duration {
	if s.OddSince == 0 {
		return 0
	}
	return now.Sub(s.OddSince.Max(s.Sentinels.NamedSince))
}

// keepGrant renews a grant that is ours and claims one that is not, as far as
// either is allowed.
func (s State) keepGrant(p Policy, v view, now Instant) GrantWant {
	switch {
	case s.Redis.SentAt == 0 || now.Sub(s.Redis.SentAt) > v.DownAfter/2:
		return GrantLeave // a Redis that hangs must not keep its successor waiting
	case v.other || s.Redis.Role == Replica:
		return GrantLeave // nor one that has a successor, in maintenance neither
	case v.inForce:
		return GrantRenew
	case s.mayClaim(p, v, now):
		return GrantClaim
	}
	return GrantLeave
}

func (s State) mayClaim(p Policy, v view, now Instant) bool {
	c, f := s.Coordinator, s.Sentinels
	switch {
	case c.Membership != Member || v.self == "" || f.Master != v.self:
		return false
	case c.Agreement.Master != v.self || c.Agreement.Compare(s.Memory.Agreement.Term) < 0:
		return false // written first; the claim's transaction finds it unchanged
	case now >= v.act && p.SentinelsLost == SentinelsLostRefuse && s.Redis.Role != Nowhere:
		return false // a grant we would have to refuse on is none
	case c.Grant.Holder != "" && c.Grant.Holder != v.self:
		return false
	case s.Redis.Role == Master && !s.Data().Good():
		return false // promoted with data of its disk: what was acknowledged since would be gone
	}
	// A grant that lapsed was not given up: its holder may still be serving,
	// certified by Sentinels that named it until a moment ago (row 11).
	// Whoever was named before is waited for too: etcd may have forgotten it
	// (emptied, restored), and only its own giving up says that it refused.
	long := now.Sub(f.NamedSince) >= max(v.DownAfter, f.Longest)
	seenDown := f.Quorum > 0 && f.DownVotes >= f.Quorum // Former was
	last, givenUp := c.Grant.Last, c.Grant.Last != "" && c.Grant.GivenUp
	if f.Former != "" && f.Former != v.self && !(givenUp && last == f.Former) && !seenDown && !long {
		return false
	}
	return last == "" || last == v.self || givenUp || last == f.Former && seenDown || long
}

// afterFence is what becomes of the grant of a Redis that is fenced by hand:
// kept while the truth names us, so that the unfence needs no wait.
func (s State) afterFence(p Policy, v view, now Instant) GrantWant {
	if v.other {
		return s.giveUpIfRefusing()
	}
	return s.keepGrant(p, v, now)
}

func (s State) giveUp() GrantWant {
	if s.Coordinator.Grant.Ours {
		return GrantGiveUp
	}
	return GrantLeave
}

// giveUpIfRefusing keeps invariant I6.
func (s State) giveUpIfRefusing() GrantWant {
	if s.Redis.Refusing && s.Redis.Role == Nowhere {
		return s.giveUp()
	}
	return GrantLeave
}
