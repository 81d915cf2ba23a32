package watchdog

// The operator's failover, while its order stands: writers stop at the old
// master before another is promoted, and only the one chosen can be.

// PlannedFailover is the order for a failover. It comes from etcd under a lease of its
// length, so that it ends by itself when whoever gave it is gone. The zero
// PlannedFailover is none.
type PlannedFailover struct {
	ID       string // random
	From, To Address
	Stop     bool    // From's writers are to be stopped; before that only the candidates are chosen
	Forced   bool    // To may be promoted although its own preflight vetoes it
	Until    Instant // it stands until then, whatever becomes of etcd
}

func (h PlannedFailover) inForce(now Instant) bool { return h.ID != "" && now < h.Until }

// vetoed says whether our replica must not be promoted: by its own preflight, for
// what its data is, or because a planned failover has chosen another.
func (s State) vetoed(now Instant) bool {
	h, self := s.Coordinator.Orders.PlannedFailover, s.Memory.Self
	own := s.Vetoed || s.DataVetoed() || s.SharedVetoed()
	switch {
	case !h.inForce(now) || self == "":
		return own
	case self == h.To:
		return own && !h.Forced
	}
	return true
}

// DataVetoed says whether our replica must not be promoted for what its data is.
// Nothing is said before Redis was heard, nor by a newcomer, which changes nothing.
func (s State) DataVetoed() bool {
	return s.Redis.Role == Replica && s.Redis.SentAt != 0 && !s.newcomer() && !s.Data().Good()
}

// SharedVetoed says whether our replica must not be promoted because another
// group's Sentinels list it too: whichever promoted it would put its data in the
// place of the other's.
func (s State) SharedVetoed() bool {
	return s.Redis.Role == Replica && s.Redis.SentAt != 0 && !s.newcomer() && s.Coordinator.Elsewhere != ""
}

// stopped says whether our writers are to be stopped for a planned failover. Once they
// are, the end of the order does not let them back while a Sentinel shows a
// failover that may still promote: what they wrote then would be thrown away.
func (s State) stopped(now Instant) bool {
	h := s.Coordinator.Orders.PlannedFailover
	ordered := h.Stop && h.inForce(now) && h.From == s.Memory.Self && h.From != ""
	// A restart hears the Sentinels before etcd.
	remembered := s.Coordinator.RoundAt == 0 && now < s.Memory.StopUntil
	return s.Redis.Role == Master && (ordered || remembered || s.StopSince != 0 && s.Sentinels.Failover)
}

// withPlannedFailover makes the verdict of the table stricter while a planned
// failover stops our writers, and never milder: what would serve holds, for D/2
// at the most (a pause delays Sentinel's own commands too), and then locks, until
// another is master or the order has ended. The lock stands beneath the hold, so
// that nobody's death lets a writer through.
//
// The old master answers reads until it is deposed: nobody accepts writes
// meanwhile, so both say the same.
func (s State) withPlannedFailover(p Policy, now Instant, d Verdict) Verdict {
	g := &d.Want.Gate
	if !s.stopped(now) || g.Access != Serve && g.Access != Hold {
		return d
	}
	limit := p.Timing(s.Sentinels.DownAfter).DownAfter / 2
	spent := now.Sub(s.HoldSince.orNow(now)) >= limit || now.Sub(s.StopSince.orNow(now)) >= limit
	switch {
	case g.Access == Hold && (!spent || d.Row == RowIsolated || d.Row == RowClaim): // these two end by themselves
		g.Beneath = true
		return d
	case spent:
		g.Access = Lock
	default:
		g.Access, g.Beneath = Hold, true
	}
	if d.Row != RowUncertified {
		d.Row = RowHint
	}
	d.Reason = "planned_failover"
	return d
}
