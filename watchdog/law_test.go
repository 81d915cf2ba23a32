package watchdog

// The law: what no history may break. The scripts and FuzzNext are held to it
// after every event. It is written against the facts, not against view, so
// that a wrong view does not excuse a wrong verdict.

import (
	"fmt"
	"slices"
	"testing"
	"time"
)

// law remembers what the invariants need of the past.
type law struct {
	role       Role
	run        string
	promotedAt Instant // when this run turned master by another hand; zero: it did not
	granted    bool    // it was granted since
	heard      bool    // anything was heard since that may have ended row 6
	holdSince  Instant // since when writers are held in one stretch
	heldAt     Instant // when that was last said: the pause in Redis dies by itself
	holdLimit  time.Duration
}

func newLaw() *law { return &law{} }

// facts are the instants the verdict is judged by.
type facts struct {
	Timing
	act, lapse Instant // E - A, L - A
	e          Instant
	before     Instant // until it an earlier life knew that there is nobody else; zero: it did not
	grant      Grant
	inForce    bool
}

func factsOf(p Policy, s State, now Instant) facts {
	t := p.Timing(s.Sentinels.DownAfter)
	e, before := s.witnessed(now).E, Instant(0) // beside one that was just opened, what the answers say
	if !s.Sentinels.Failover && !s.Sentinels.Accused && s.inherited != 0 {
		before = s.inherited.Add(t.Armed)
		e = e.Max(before)
	}
	g := s.Coordinator.Grant
	until := g.Until
	if s.inherited != 0 && g.RenewedAt == 0 && (g.Ours || s.Coordinator.RoundAt == 0) { // all that is known of the lease is what was armed under it
		until = until.Max(s.inherited.Add(t.Armed))
	}
	return facts{t, e.Add(-t.Act), until.Add(-t.Act), e, before, g, g.Ours && now < g.Until}
}

// hold fails the test if the step from was to s breaks the law.
func (l *law) hold(t *testing.T, p Policy, was State, now Instant, e Event, s State) {
	t.Helper()
	if _, tick := e.(Tick); !tick { // most are ticks, and those decide no other way
		if again := Next(p, was, now, e); again != s {
			t.Fatalf("Next is not deterministic for %T:\n got %+v\nthen %+v", e, s, again)
		}
	}
	l.follow(now, e, s)
	f := factsOf(p, s, now)
	for _, broken := range []string{
		l.promoted(s, now), l.stretch(p, s, f, now), outlived(p, was.Memory.Granted, s, f, now),
		access(p, s), arm(p, s, f, now), refusal(s, f, now), quiet(s, now),
		opened(p, s, f, now), followed(s), grant(s, f, now), proposal(s), planned(p, was, now, e, s), reasoned(s), untilTheEdge(p, s, now),
	} {
		if broken != "" {
			t.Fatalf("after %T: %s\nverdict %s\nstate %+v", e, broken, show(s.Verdict, now), s)
		}
	}
}

func (l *law) follow(now Instant, e Event, s State) {
	switch e := e.(type) {
	case Redis:
		// What an answer did not tell is as it was, as for the core.
		if e.Role == RoleUnknown {
			e.Role = l.role
		}
		if e.RunID == "" {
			e.RunID = l.run
		}
		if e.Role == RoleUnknown || e.RunID == "" {
			break
		}
		switch {
		case e.Role == Master && l.role == Replica && e.RunID == l.run:
			l.promotedAt, l.granted, l.heard = now, false, false
		case e.Role != Master || e.RunID != l.run:
			l.promotedAt = 0
		}
		l.role, l.run = e.Role, e.RunID
	case Sentinels:
		l.heard = true
	case Coordinator:
		l.heard = true
		if e.Membership != Stranger && e.Grant.Ours && e.Grant.RenewedAt >= l.promotedAt && now < e.Grant.Until {
			l.granted = true
		}
	}
}

// promoted is I1's second half and I4.
func (l *law) promoted(s State, now Instant) string {
	access := s.Verdict.Want.Gate.Access
	switch {
	case l.promotedAt == 0 || s.Redis.Role != Master:
		return ""
	case !l.granted && (access == Serve || access == Hold):
		return fmt.Sprintf("I1: promoted at %d and not granted since, yet %v", l.promotedAt, access)
	case !l.heard && now.Sub(l.promotedAt) <= promotionTerm && !s.Coordinator.Orders.Fence && access != Lock && access != Leave:
		return fmt.Sprintf("I4: just promoted and nothing heard since, yet %v", access)
	}
	return ""
}

// outlived: no read is answered by a master that Sentinel can have replaced by
// itself. Row 6 is not the old one, and a start has a second to hear.
// One whose first grant comes with this very event has not served.
func outlived(p Policy, granted string, s State, f facts, now Instant) string {
	g := s.Verdict.Want.Gate
	served := granted != "" && granted == s.Redis.RunID && granted == s.Memory.Granted && s.Redis.Role == Master
	if !served || p.SentinelsLost == SentinelsLostServe || now < f.act || g.Access == Refuse ||
		s.Verdict.Row == RowStart || s.Verdict.Row == RowMaintenance || s.Verdict.Row == RowPromoted ||
		s.Verdict.Reason == "opened_not_yet_certified" { // the way out: locked
		return ""
	}
	return fmt.Sprintf("%v %v after E - A", g.Access, now.Sub(f.act))
}

// stretch: a hold delays Sentinel's own commands, so it is short.
func (l *law) stretch(p Policy, s State, f facts, now Instant) string {
	if s.Verdict.Want.Gate.Access != Hold {
		l.holdSince = 0
		return ""
	}
	if l.holdSince == 0 || now.Sub(l.heldAt) > time.Second {
		l.holdSince, l.holdLimit = now, 0
	}
	l.heldAt = now
	l.holdLimit = max(l.holdLimit, f.DownAfter/2)
	if s.Verdict.Row == RowIsolated && s.late(look(p, s, now), now) { // then the armed fence alone bounds it
		l.holdLimit = max(l.holdLimit, now.Sub(l.holdSince))
	}
	if held := now.Sub(l.holdSince); held > l.holdLimit {
		return fmt.Sprintf("writers are held for %v in one stretch, more than D/2 (%v)", held, l.holdLimit)
	}
	return ""
}

// access is I1's first half: which rows may want what.
func access(p Policy, s State) string {
	v, in := s.Verdict, false
	byOrder := v.Reason == "planned_failover" && (v.Row == RowHint || v.Row == RowUncertified)
	switch v.Want.Gate.Access {
	case Serve:
		in = v.Row == RowServe || v.Row == RowCertified || v.Row == RowUncertified && p.SentinelsLost == SentinelsLostServe
	case Hold:
		in = v.Row == RowHint || v.Row == RowIsolated || v.Row == RowClaim || v.Row == RowUncertified && p.SentinelsLost == SentinelsLostRefuse || byOrder
	case Lock:
		in = v.Row == RowFenced || v.Row == RowPromoted || v.Row == RowClaim || byOrder
	case Follow:
		in = v.Row == RowReplica || v.Row == RowSilentReplica || v.Row == RowFenced
	case Leave:
		in = v.Row == RowStart || v.Row == RowMaintenance || v.Row == RowSilentReplica || v.Row == RowClaim || v.Row == RowElse
	case Refuse:
		in = v.Row == RowManual || v.Row == RowFenced || v.Row == RowDeposed || v.Row == RowUncertified ||
			v.Row == RowIsolated || v.Row == RowElse || v.Reason == "named_but_replica"
	}
	if in {
		return ""
	}
	return fmt.Sprintf("I1: %v in row %d", v.Want.Gate.Access, v.Row)
}

// arm is I2.
func arm(p Policy, s State, f facts, now Instant) string {
	g, row := s.Verdict.Want.Gate, s.Verdict.Row
	strict := p.CoordinatorLost == CoordinatorLostRefuse
	high := s.Sentinels.Quorum > s.Sentinels.Known/2+1
	lease := f.lapse.Add(f.Act - f.Armed)
	asked := s // of one that is fenced only answers tell, not PINGs
	asked.Sentinels = s.witnessed(now)
	switch {
	case row == RowStart && g.Access == Leave:
		return ""
	case g.Open && g.Arm == 0 && now < factsOf(p, asked, now).act:
		return "I2: it is opened to readers before E - A, and no armed fence is wanted"
	case g.Open && g.Arm == 0:
		return "" // by the way out
	case g.Access != Serve && g.Access != Hold && row != RowClaim && !g.Open && s.Verdict.Reason != "planned_failover":
		if g.Arm != 0 {
			return "an armed fence is wanted where nobody is served"
		}
		return ""
	case row == RowClaim && g.Access != Hold && g.Arm == 0:
		return ""
	case g.Arm == 0:
		return "I2: clients may write and no armed fence is wanted"
	case g.Arm <= now:
		return fmt.Sprintf("the armed fence would fire at once (%v ago)", now.Sub(g.Arm))
	case (row != RowUncertified || p.SentinelsLost == SentinelsLostRefuse) && g.Arm > f.e.Add(-f.Armed):
		return fmt.Sprintf("I2: armed %v after the time before E", g.Arm.Sub(f.e.Add(-f.Armed)))
	case row == RowUncertified && p.SentinelsLost == SentinelsLostServe && g.Arm != lease:
		return "I2: sentinels_lost: serve is not armed by the lease"
	case (row == RowServe && (strict || high) || (row == RowCertified || g.Open) && strict) && g.Arm > lease:
		return fmt.Sprintf("I2: armed %v after the lease", g.Arm.Sub(lease))
	case s.witnessed(now).Pinged && row != RowUncertified && g.Arm > f.grant.Until.Max(s.Sentinels.Vouched).Max(f.before).Add(-f.Armed):
		return "I2: armed by PINGs for when another may have been granted"
	case row == RowIsolated && strict && g.Arm > lease:
		return "row 12 is armed after the lease, against the policy"
	case row == RowIsolated && high && s.HoldSince < f.grant.Until && g.Arm > f.lapse.Max(s.HoldSince.Add(f.HintHold)):
		return "row 12 is armed after L - A for longer than a round of polls, with a quorum above the majority"
	}
	return ""
}

// refusal is I3, and what a refusal must bring with it.
func refusal(s State, f facts, now Instant) string {
	v := s.Verdict
	if v.Want.Gate.Access != Refuse {
		return ""
	}
	truth, _ := s.truth()
	switch {
	case v.Want.Gate.StopBy == 0:
		return "a refusal that nothing enforces"
	case s.Redis.Role == Replica && !v.Want.Gate.AnyRole:
		return "a replica shall refuse, and its gate leaves replicas as they are"
	case v.Row == RowUncertified && now < f.act:
		return "I3: row 10 refuses before E - A"
	case v.Row == RowDeposed && (truth.Master == "" || truth.Master == s.Memory.Self):
		return "I3: deposed by nobody"
	case v.Row == RowElse && !s.Memory.Enrolled:
		return "row 14 refuses on a host that is not enrolled"
	case v.Row == RowIsolated && f.grant.Ours && now.Sub(f.grant.RenewedAt) <= f.SuspectAfter:
		return "I3: isolated although the coordinator is fresh"
	}
	return ""
}

// quiet: maintenance changes nothing, and row 6 touches nothing but the lock.
func quiet(s State, now Instant) string {
	o, v := s.Coordinator.Orders, s.Verdict
	g := v.Want.Gate
	if now < o.Maintenance && !o.Fence && !o.Released {
		if v.Row != RowMaintenance || g != (Gate{Access: Leave, Veto: g.Veto, Unlocked: g.Unlocked}) || v.Want.Grant == GrantGiveUp {
			return "maintenance changes something"
		}
	}
	if v.Row == RowPromoted && (g.Access != Lock || g.Open || g.Arm != 0 || v.Want.Grant != GrantLeave) {
		return "I4: row 6 does more than lock"
	}
	return ""
}

// opened is I5.
func opened(p Policy, s State, f facts, now Instant) string {
	n, m := s.Sentinels, s.Memory
	fired := s.FiredAt != 0 && now < f.act && m.Granted != "" && m.Granted == s.Redis.RunID &&
		now.Sub(n.EFrom) <= f.Uncertified && (p.CoordinatorLost == CoordinatorLostServe || now < f.lapse)
	switch {
	case !s.Verdict.Want.Gate.Open:
		return ""
	case s.Verdict.Row != RowFenced || s.Redis.Role != Nowhere || s.Verdict.Want.Gate.Access != Lock:
		return "I5: opens what is not fenced, or not locked"
	case !f.inForce && !fired:
		return "I5: opens without the grant"
	case s.Memory.Self == "" || n.Master != s.Memory.Self || n.Failover || n.Accused && !(s.FiredAt != 0 && now < f.act) || n.OtherMaster != "" || n.MaxEpoch > n.Epoch:
		return "I5: opens although the Sentinels do not stand behind it"
	}
	return ""
}

func followed(s State) string {
	m := s.Verdict.Want.Gate.Master
	listed := m == s.Sentinels.Master || s.Coordinator.Listed && m == s.Coordinator.Agreement.Master
	switch {
	case m == "":
		return ""
	case s.Verdict.Want.Gate.Access != Follow || m == s.Memory.Self:
		return "follows itself, or names a master it does not follow"
	case !listed:
		return fmt.Sprintf("follows %q, which our Sentinels do not list", m)
	}
	return ""
}

// grant is I6, and who may claim and renew.
func grant(s State, f facts, now Instant) string {
	c, r := s.Coordinator, s.Redis
	hung := r.SentAt == 0 || now.Sub(r.SentAt) > f.DownAfter/2
	switch s.Verdict.Want.Grant {
	case GrantGiveUp:
		if !c.Grant.Ours || r.Role != Replica && !(r.Role == Nowhere && r.Refusing) {
			return "I6: given up without having been seen to refuse"
		}
	case GrantClaim:
		switch {
		case c.Membership != Member:
			return "claims in a group that is not known to be ours"
		case c.Agreement.Master != s.Memory.Self || s.Memory.Self == "" || s.Sentinels.Master != s.Memory.Self:
			return "claims although agreement or majority does not name us"
		case c.Grant.Holder != "" && c.Grant.Holder != s.Memory.Self:
			return "claims what another holds"
		case hung:
			return "claims for a Redis that hangs"
		case r.Role == Master && s.Memory.Promoted == r.RunID && stale(s):
			return "claims, promoted, for data of its disk that the record says more than"
		}
	case GrantRenew:
		switch {
		case !f.inForce:
			return "renews what has lapsed"
		case hung:
			return "renews for a Redis that hangs"
		case r.Role == Replica:
			return "renews for a replica"
		}
	}
	return ""
}

// stale: it has not been in step since it started, and the last master had more
// than it says it has; and nobody answers for that.
func stale(s State) bool {
	rec, own, m, d := s.Coordinator.Record, s.Redis.Position, s.Memory, s.Coordinator.Disks
	switch {
	case rec.ID == "" || rec.Offset == 0 || !m.Peers || s.Coordinator.Orders.Unfence:
		return false
	case m.InStep == s.Redis.RunID || m.Granted == s.Redis.RunID || d.Of == own && d.Missing == 0 && d.Better == "":
		return false
	case rec.Master == m.Self && own.ID != rec.ID && own.Before != rec.ID && own.ID != rec.Before:
		return false // its own log
	}
	return !(own.ID == rec.ID && own.Offset >= rec.Offset) && !(own.Before == rec.ID && own.Until >= rec.Offset)
}

func proposal(s State) string {
	w, known := s.Verdict.Want.Propose, s.Memory.Agreement
	switch {
	case w == (Proposal{}):
		return ""
	case w.Master == "" || w.Master != s.Sentinels.Master || w.Cause == CauseNone:
		return "proposes what no majority says"
	case s.Coordinator.Membership != Member || w.Replaces != s.Coordinator.Agreement:
		return "proposes into a record it has not seen"
	case w.Term.Compare(known.Term) < 0 || w.Term.Compare(s.Coordinator.Agreement.Term) < 0:
		return fmt.Sprintf("proposes %v, older than the known %v", w.Term, known.Term)
	case w.Term == known.Term && w.Master != known.Master:
		return fmt.Sprintf("proposes another master at the known term %v", w.Term)
	}
	return ""
}

// planned is I7. The table without the order is asked what it would have said.
func planned(p Policy, was State, now Instant, e Event, s State) string {
	h, v := s.Coordinator.Orders.PlannedFailover, s.Verdict
	bare := was.fold(p, now, e)
	bare.StopSince, bare.Coordinator.Orders.PlannedFailover = 0, PlannedFailover{}
	plain := decide(p, bare, now)
	free := map[Access]int{Serve: 3, Hold: 2, Lock: 1}
	own := s.Vetoed || s.DataVetoed() || s.SharedVetoed()
	stops := h.Stop && h.inForce(now) && h.From != "" && h.From == s.Memory.Self && s.Redis.Role == Master
	changed := v.Want.Gate
	changed.Access, changed.Beneath, changed.Veto = plain.Want.Gate.Access, false, plain.Want.Gate.Veto
	switch {
	case free[v.Want.Gate.Access] > free[plain.Want.Gate.Access]:
		return fmt.Sprintf("I7: a planned failover makes %v of %v", v.Want.Gate.Access, plain.Want.Gate.Access)
	case v.Want.Gate.Access != plain.Want.Gate.Access && v.Reason != "planned_failover":
		return fmt.Sprintf("I7: a planned failover changes %v to %v and does not say so", plain.Want.Gate.Access, v.Want.Gate.Access)
	case changed != plain.Want.Gate || v.Want.Grant != plain.Want.Grant || v.Want.Propose != plain.Want.Propose:
		return "I7: a planned failover changes more than what writers may"
	case stops && v.Want.Gate.Access == Serve:
		return "I7: serves although a planned failover stops the writers"
	case v.Want.Gate.Access == Hold && v.Want.Gate.Beneath != s.stopped(now):
		return "I7: the lock is beneath a hold if and only if a planned failover stops the writers"
	case v.Reason == "planned_failover" && !s.stopped(now):
		return "I7: stopped by no order"
	case h.inForce(now) && s.Memory.Self != "" && s.Memory.Self != h.To && !v.Want.Gate.Veto:
		return "I7: another than the one chosen could be promoted"
	case !h.inForce(now) && v.Want.Gate.Veto != own, h.inForce(now) && s.Memory.Self != "" && s.Memory.Self == h.To && v.Want.Gate.Veto != (own && !h.Forced):
		return "I7: the veto is not the preflight's"
	}
	return ""
}

// reasoned: a fence is wanted, or found, for one of the reasons that are counted.
func reasoned(s State) string {
	v := s.Verdict
	if (v.Want.Gate.Access == Refuse || v.Row == RowFenced) && !slices.Contains(FenceReasons(), v.Reason) {
		return fmt.Sprintf("row %d refuses for %q, which is not among FenceReasons", v.Row, v.Reason)
	}
	return ""
}

// untilTheEdge is NextEdge's contract: before the instant that it names the passing
// of time alone changes no verdict. It names one nanosecond past the edge, for what
// holds until it has ended there.
func untilTheEdge(p Policy, s State, now Instant) string {
	for range 4 { // what this decision made of the state is no passing of time
		s = Next(p, s, now, Tick{})
	}
	if again := Next(p, s, now, Tick{}); shapeOf(again.Verdict) != shapeOf(s.Verdict) {
		return "" // it has not come to rest: the next turn decides otherwise at whatever time
	}
	edge := NextEdge(p, s, now)
	last := edge.Add(-2)
	if edge == Never {
		last = now.Add(time.Hour)
	}
	for _, at := range []Instant{now.Add(last.Sub(now) / 2), last} {
		if at <= now {
			continue
		}
		if got := Next(p, s, at, Tick{}).Verdict; shapeOf(got) != shapeOf(s.Verdict) {
			return fmt.Sprintf("nothing was to change before %v, and after %v the verdict is %s", edge.Sub(now), at.Sub(now), show(got, at))
		}
	}
	return ""
}
