package watchdog

import "time"

// NextEdge is the next instant after now at which the passing of time alone
// could change the verdict; Never if there is none. It may name one too many
// (an edge that changes nothing), never one too few.
func NextEdge(p Policy, s State, now Instant) Instant {
	s.Sentinels = s.witnessed(now)
	v := look(p, s, now)
	g, m := s.Coordinator.Grant, s.Memory
	next := Never
	for _, at := range [...]Instant{
		v.act, v.act.Add(-heardAgain), v.doubt, v.lapse, g.Until, s.hintUntil, s.Coordinator.Orders.Maintenance,
		after(g.RenewedAt, v.SuspectAfter),
		after(s.Coordinator.RoundAt, v.SuspectAfter),
		after(s.Sentinels.EFrom, v.Uncertified),
		after(s.Sentinels.NamedSince, unbrokenToOpen),
		after(s.Sentinels.NamedSince, unbrokenToBreak),
		after(s.Sentinels.NamedSince, max(v.DownAfter, s.Sentinels.Longest)),
		after(s.Redis.SentAt, v.DownAfter/2),
		after(s.HoldSince, v.DownAfter/2),
		after(s.LateAt, v.SuspectAfter),
		v.certifiedUntil().Add(v.Armed - v.Act),
		after(s.ClaimSince, v.HintHold),
		after(s.HoldSince, v.HintHold),
		v.silent,
		after(s.AnswersSince, v.waking), after(s.AnswersSince, min(v.waking, awaitTerm)),
		after(s.StopSince, v.DownAfter/2),
		s.Coordinator.Orders.PlannedFailover.Until, s.Memory.StopUntil,
		after(s.AgreedSince, unbrokenToBreak),
		after(s.StrayedAt, unbrokenToBreak),
		after(s.AgreedSince.Max(s.StrayedAt), v.wayOutTerm()),
		after(s.Sentinels.BackAt, backToOpen),
		after(s.Sentinels.TiltAt, tiltToOpen),
		after(s.OddSince, unbrokenToOpen),
		after(s.OddSince, unbrokenToBreak),
		after(s.StartedAt, startGrace),
		after(m.PromotedAt, promotionTerm),
		after(m.OpenedAt, roleTermToOpen),
		after(m.FencedAt, awaitTerm),
		after(m.OpenedAt, openedTerm),
		after(m.FencedAt, v.wayOutTerm()),
		after(m.FencedAt, 2*v.wayOutTerm()),
		s.Sentinels.RoleTerm.Add(-roleTermToOpen),
	} {
		// One nanosecond past the edge: some rows hold until, some from it.
		if at >= now && at < next {
			next = at + 1
		}
	}
	return next
}

// after is d past t, and zero for an event that never was.
func after(t Instant, d time.Duration) Instant {
	if t == 0 {
		return 0
	}
	return t.Add(d)
}
