package watchdog

import "time"

// The decision. Read it top to bottom: the first row that matches wins, and
// the rows are those of docs/decision.md. What it must never break:
//
//  I1. Clients may write only in rows 9 and 11, and in 10 where the operator
//      chose sentinels_lost: serve. Each needs that the last grant was ours (9
//      and 10: that it is in force), and none is reached by a Redis that was
//      promoted and not yet granted. Whoever holds no grant is locked or
//      refuses; whoever was promoted was born locked.
//  I2. Wherever clients may write, an armed fence is wanted before E, and where
//      L bounds it (coordinator_lost: refuse, a quorum above a majority), before
//      L. Redis fires it whether or not anybody is awake.
//  I3. Nobody refuses because of silence alone while the other witness stands:
//      a lone lost coordinator is row 11, a lone lost Sentinel majority row 10
//      only once E - A has passed.
//  I4. A Redis that just turned master by Sentinel's hand is neither paused
//      nor fenced until its promotion has been heard of or refuted (row 6).
//  I5. A fence is opened only by the grant (row 5), or, where it fired by itself
//      and E - A has been ahead ever since, by what would have it serve (row
//      11); never by a restart, a timeout or a lone voice.
//  I6. A grant is given up only when the refusal was seen; else it lapses.
//  I7. A planned failover makes the table's verdict stricter for writers and changes
//      nothing else; while it stops a master, that one never serves.
//
// FuzzNext holds these against arbitrary histories.

// Row is a row of the decision table, by its number there; RowStart is none.
type Row int

const (
	RowStart         Row = iota // at start, silence is not yet evidence; also: released
	RowManual                   // 1
	RowMaintenance              // 2
	RowReplica                  // 3
	RowSilentReplica            // 4
	RowFenced                   // 5
	RowPromoted                 // 6
	RowDeposed                  // 7
	RowHint                     // 8
	RowServe                    // 9
	RowUncertified              // 10
	RowCertified                // 11
	RowIsolated                 // 12
	RowClaim                    // 13
	RowElse                     // 14
)

// Verdict is a decision and its reason (stable, snake_case).
type Verdict struct {
	Row    Row
	Reason string
	Want   Want
	Would  Would // in maintenance: what it kept from being done
}

// Would is a verdict that is told and not carried out.
type Would struct {
	Row    Row
	Reason string // empty: nothing is kept from being done
	Access Access
}

// view is what the table asks, computed once.
type view struct {
	Timing
	truth    Agreement // zero Master: nobody is named
	conflict bool
	self     Address

	e      Instant // E, or what an earlier life of this watchdog knew of it
	alone  Instant // before it nobody else is promoted by the Sentinels, nor granted: E, and where it counts PINGs, what bounds a grant as well
	act    Instant // E - A, or alone - A where that is earlier
	heard  Instant // of the oldest answer that E rests on
	doubt  Instant // from here on the Sentinels' word is running out: a healthy group has renewed it long ago
	silent Instant // the same, and it is their PINGs that are not answered: what they remember of our role is no such sign
	// waking is for how long, from when our Redis answers again, nobody waits because
	// the Sentinels do not hear it.
	waking    time.Duration
	until     Instant // L
	lapse     Instant // L - A
	strict    bool    // coordinator_lost: refuse
	high      bool    // the quorum is above a majority: E counts Sentinels that a successor does not need
	fresh     bool    // the coordinator's last good renewal is young
	absent    bool    // the coordinator answers and says the grant is not ours
	inForce   bool    // the grant is ours and L has not passed
	lastOurs  bool    // the last grant was ours and this Redis' (it may have lapsed)
	certified bool    // a majority of fresh Sentinels names us and none can have promoted another
	truthUs   bool    // the truth names us, or nobody is named and a majority names us
	other     bool    // the truth names another
	fired     bool    // the armed fence fired while we were to serve, and E - A has been ahead ever since, and is by what it takes to be heard again
	starting  bool
}

func look(p Policy, s State, now Instant) view {
	s.Sentinels = s.witnessed(now)
	v := view{Timing: p.Timing(s.Sentinels.DownAfter), self: s.Memory.Self}
	g := s.Coordinator.Grant
	v.truth, v.conflict = s.truth()
	v.e = s.earliest(v.Armed)
	v.strict = p.CoordinatorLost == CoordinatorLostRefuse
	v.until, v.heard = g.Until, s.Sentinels.EFrom
	if v.strict {
		v.until = v.until.Max(s.lease(v.Armed))
	}
	v.lapse = v.until.Add(-v.Act)
	if v.alone = v.e; s.Sentinels.Pinged {
		v.alone = v.e.Min(g.Until.Max(s.Sentinels.Vouched).Max(s.known(v.Armed)))
	}
	v.act = v.alone.Add(-v.Act)
	v.high = s.Sentinels.Quorum > s.Sentinels.Known/2+1
	v.doubt = v.e.Add(-v.Act - v.doubtFor())
	v.silent = v.doubt.Max(s.Sentinels.EByPings.Add(-v.Act - v.doubtFor()))
	v.waking = s.waking(v)
	v.inForce = s.granted(now)
	v.fresh = g.Ours && g.RenewedAt != 0 && now.Sub(g.RenewedAt) <= v.SuspectAfter
	v.absent = !g.Ours && s.Coordinator.RoundAt != 0 && now.Sub(s.Coordinator.RoundAt) <= v.SuspectAfter
	v.lastOurs = s.Memory.Granted != "" && s.Memory.Granted == s.Redis.RunID
	v.certified = v.self != "" && s.Sentinels.Master == v.self &&
		now.Sub(s.Sentinels.EFrom) <= v.Uncertified && now < v.act
	// Opened any later, it would be shut again before the Sentinels can have heard it;
	// and they begin a connection once a second: cut twice, they hear it too late.
	v.fired = s.FiredAt != 0 && now < v.act.Add(-heardAgain)
	named := v.self != "" && s.Sentinels.Master == v.self
	v.truthUs = v.self != "" && v.truth.Master == v.self || v.truth.Master == "" && named
	v.other = v.truth.Master != "" && v.truth.Master != v.self && v.self != ""
	heardAll := s.Sentinels.Known > 0 && s.Sentinels.Answering == s.Sentinels.Known && s.Coordinator.RoundAt != 0
	v.starting = now.Sub(s.StartedAt) < startGrace && !heardAll
	return v
}

func decide(p Policy, s State, now Instant) Verdict {
	s.Sentinels = s.witnessed(now)
	v := look(p, s, now)
	o, r := s.Coordinator.Orders, s.Redis
	verdict := func(row Row, reason string, g Gate, grant GrantWant) Verdict {
		g.Unlocked = !p.BornLocked
		g.Veto = s.vetoed(now)
		if g.StopArmed = g.StopBy; g.Access == Refuse {
			g.StopArmed = g.StopBy.Add(2 * v.DownAfter)
		}
		w := Want{Gate: g, Grant: grant, PollNow: now < s.hintUntil || !v.fresh && v.lastOurs, Await: s.awaits(v, row, now)}
		if !o.Released {
			w.Propose = s.propose(now)
		}
		return Verdict{Row: row, Reason: reason, Want: w}
	}
	// refuse keeps the armed fence that stands: it is the same fence.
	refuse := func(stopBy Instant) Gate { return Gate{Access: Refuse, StopBy: stopBy} }
	since := s.RefuseSince.orNow(now)
	awake := r.Answer == Up && now.Sub(s.AnswersSince) >= v.waking

	switch {
	case o.Released:
		return verdict(RowStart, "released", Gate{Access: Leave, Release: true}, GrantLeave)

	// 1. Fenced by hand.
	case o.Fence:
		return verdict(RowManual, "fenced_by_hand", Gate{Access: Refuse, StopBy: Never, AnyRole: true}, s.afterFence(p, v, now))

	// 2. Maintenance: no fence, no lock, no arm; the grant is kept.
	case now < o.Maintenance:
		kept := verdict(RowMaintenance, "maintenance", Gate{Access: Leave}, s.keepGrant(p, v, now))
		s.Coordinator.Orders.Maintenance = 0
		without := decide(p, s, now)
		kept.Would = Would{without.Row, without.Reason, without.Want.Gate.Access}
		return kept

	// 4 (first half). A Redis never seen, or a silent replica: wait.
	case r.Role == RoleUnknown:
		return verdict(RowSilentReplica, "redis_never_seen", Gate{Access: Leave}, GrantLeave)

	// 14, first of all: a newcomer changes nothing. What it locked or shut now
	// could not be opened again before etcd is there.
	case s.newcomer() && v.starting:
		return verdict(RowStart, "starting", Gate{Access: Leave}, GrantLeave)
	case s.newcomer():
		return verdict(RowElse, "not_enrolled", Gate{Access: Leave}, GrantLeave)

	case r.Role == Replica && r.Answer != Up:
		return verdict(RowSilentReplica, "replica_silent", Gate{Access: Follow}, s.giveUp())

	// 3. A replica of somebody serves as one, always locked, and gives any
	// grant up. One that missed a failover is re-pointed: Sentinel repairs
	// that only after failover-timeout.
	case r.Role == Replica && s.stranded(v, now):
		return verdict(RowReplica, "named_but_replica", Gate{Access: Refuse, StopBy: Never, AnyRole: true}, s.giveUp())
	case r.Role == Replica:
		to, reason := s.repoint(v, now)
		return verdict(RowReplica, reason, Gate{Access: Follow, Master: to}, s.giveUp())

	// 4 (second half). A master that does not answer goes by the rows below:
	// whatever they want stays queued.

	// 5. Fenced. It follows the true master; it is opened by the grant and
	// nothing else; or it stays.
	case r.Role == Nowhere:
		return s.fenced(p, v, now, verdict)

	// 6. Just promoted, not by us, and the truth does not know it yet: locked,
	// reads as before. A pause or a fence here makes Sentinel abort its own
	// failover and lose a whole failover-timeout.
	case s.justPromoted(v, now):
		return verdict(RowPromoted, "just_promoted", Gate{Access: Lock}, GrantLeave)

	// Just started beside a locked master that was not granted in this life:
	// the middle of a promotion looks like this after a reboot, and what is
	// remembered cannot tell. Who promoted it is heard in a moment.
	case v.other && v.starting && r.Locked && !v.lastOurs:
		return verdict(RowStart, "starting", Gate{Access: Leave, Arm: s.Memory.Deadline}, GrantLeave)

	// 7. Deposed: the truth names another. The grant goes when the refusal is
	// seen, not before.
	case v.other:
		return verdict(RowDeposed, "deposed", refuse(since.Add(v.Act)), s.giveUpIfRefusing())

	// 8. An unchecked announcement holds writers for a moment, where they
	// would be served otherwise.
	case now < s.hintUntil && v.inForce && v.fresh && now < v.act:
		return verdict(RowHint, "unchecked_announcement", Gate{Access: Hold, Arm: v.grantedUntil()}, s.keepGrant(p, v, now))
	case now < s.hintUntil && v.certifiedServes(p, now):
		return verdict(RowHint, "unchecked_announcement", Gate{Access: Hold, Arm: v.certifiedUntil()}, s.keepGrant(p, v, now))

	// Opened by the way out: the Sentinels hold us down for the fence that was,
	// until their next INFO, also while they have nobody to promote. Locked till
	// then; fencing again now would go on for ever.
	case v.inForce && v.fresh && s.Memory.OpenedLate == r.RunID && now.Sub(s.Memory.OpenedAt) < openedTerm &&
		(now >= v.act || s.Sentinels.RoleTerm != Never):
		locked := Gate{Access: Lock}
		if now < v.act { // the fence that came with the opening stays armed as long as one may be
			locked.Arm = v.grantedUntil()
		}
		return verdict(RowClaim, "opened_not_yet_certified", locked, s.keepGrant(p, v, now))

	// 10 (first half). The Sentinels' word runs out. If they are on the other
	// side they promote another, and the heal throws away what is written from
	// now on: let the writers wait for what comes, their word or the refusal. Not
	// where they hear us, and would act on the role that an INFO told them: the hold
	// delays the next INFO, which tells another, behind a PUBLISH.
	case v.inForce && v.fresh && !v.starting && awake && now < v.act && now >= v.silent && p.SentinelsLost == SentinelsLostRefuse &&
		now.Sub(s.HoldSince.orNow(now)) < v.DownAfter/2:
		return verdict(RowUncertified, "sentinels_fall_silent", Gate{Access: Hold, Arm: v.grantedUntil()}, s.keepGrant(p, v, now))

	// 9. Both witnesses stand.
	case v.inForce && v.fresh && now < v.act:
		return verdict(RowServe, "granted", Gate{Access: Serve, Arm: v.grantedUntil()}, s.keepGrant(p, v, now))

	// 11. The coordinator is away, but the Sentinels certify us: they are the
	// only ones who could promote another, and they have not.
	case v.certifiedServes(p, now):
		return verdict(RowCertified, "certified_by_sentinels", Gate{Access: Serve, Arm: v.certifiedUntil()}, s.keepGrant(p, v, now))

	// Just started: below this line the rows act on what was not heard.
	case v.starting:
		return verdict(RowStart, "starting", Gate{Access: Leave, Arm: s.Memory.Deadline}, s.keepGrant(p, v, now))

	// 10. The Sentinels' majority may be on the other side: all that is
	// written here would be thrown away on the heal.
	case v.inForce && v.fresh && p.SentinelsLost == SentinelsLostServe:
		return verdict(RowUncertified, "sentinels_lost_serve", Gate{Access: Serve, Arm: v.until.Add(-v.Armed)}, s.keepGrant(p, v, now))
	case v.inForce && v.fresh:
		return verdict(RowUncertified, "sentinels_do_not_certify", refuse(since.Add(v.Act)), s.keepGrant(p, v, now))

	// 12. Isolated: hold at once, refuse in time.
	case v.lastOurs && !v.absent:
		return s.isolated(p, v, now, verdict)

	// 13. The truth names us and we hold no grant: locked until we do. Not one
	// that may have been replaced since: it would answer reads.
	case v.truthUs && (now < v.act || s.young(now) || !s.Memory.Enrolled || p.SentinelsLost == SentinelsLostServe):
		return s.claiming(p, v, now, verdict)
	}
	// 14. Anything else: nobody vouches for this master.
	if s.Memory.Enrolled {
		return verdict(RowElse, "nobody_vouches", refuse(since.Add(v.DownAfter/2)), s.giveUpIfRefusing())
	}
	return verdict(RowElse, "not_enrolled", Gate{Access: Leave}, s.keepGrant(p, v, now))
}

// awaits says that clients wait for what the Sentinels say next: they hear our
// Redis again, which was fenced or stood still, and until that is known the
// verdict goes by how long they did not.
func (s State) awaits(v view, row Row, now Instant) bool {
	switch s.Redis.Role {
	case Nowhere:
		return row == RowFenced && v.truthUs && v.inForce && now.Sub(s.Memory.FencedAt) < awaitTerm
	case Master:
		return v.lastOurs && s.AnswersSince != 0 && now.Sub(s.AnswersSince) < min(v.waking, awaitTerm) && now >= v.doubt
	}
	return false
}

// waking is view.waking. A Redis that stands still answers none of Sentinel's PINGs,
// and nobody else either: that is no sign of a cut. Their silence counts from when it
// woke, and is suspect when it has lasted as long as any other that is. But only a
// stall that explains their silence has that effect: one so long that they could come
// to doubt for it, and that had begun, as far as their answers can tell, when they
// sent the first PING that was not answered. Neither a short one after a cut nor the
// watchdog's own start makes writers go on for D/2 more, who would lose all of it.
func (s State) waking(v view) time.Duration {
	if s.StoodFrom == 0 || s.AnswersSince.Sub(s.StoodFrom) < v.suspicious()-v.Uncertified {
		return v.Uncertified
	}
	// What E counts from may be older by a poll, and by one period of their PINGs.
	if silentFrom := v.e.Max(s.Sentinels.EByPings).Add(-v.DownAfter); silentFrom < s.StoodFrom.Add(-v.Poll-pingPeriod) {
		return v.Uncertified
	}
	return v.suspicious()
}

// late says that the watchdog was not run in time a moment ago.
func (s State) late(v view, now Instant) bool {
	return s.LateAt != 0 && now.Sub(s.LateAt) < v.SuspectAfter
}

type verdictFunc func(row Row, reason string, g Gate, grant GrantWant) Verdict

// certifiedServes is row 11's condition.
func (v view) certifiedServes(p Policy, now Instant) bool {
	return !v.fresh && !v.absent && v.lastOurs && v.certified && !v.conflict &&
		(p.CoordinatorLost == CoordinatorLostServe || now < v.lapse)
}

// certifiedUntil is when a fence fires that stands by the Sentinels' word: right
// before E, for Redis fires it by itself and needs no time to be told. Until E
// nobody else is promoted by the Sentinels, nor granted, whether or not L has
// passed meanwhile: docs/decision.md, "What the armed fence rests on". Where
// nobody can be promoted E is never, but that may change while we are frozen:
// then it counts from the answers that said so.
func (v view) certifiedUntil() Instant {
	e := v.alone
	if e == Never {
		e = v.heard.Add(v.DownAfter)
	}
	if v.strict {
		e = e.Min(v.until)
	}
	return e.Add(-v.Armed)
}

// grantedUntil is the same under a grant that is confirmed.
func (v view) grantedUntil() Instant {
	switch {
	case v.strict || v.high:
		return v.alone.Min(v.until).Add(-v.Armed)
	case v.e == Never:
		return v.certifiedUntil().Max(v.until.Add(-v.Armed))
	}
	return v.certifiedUntil()
}

// isolated is row 12. A hold is short: it delays Sentinel's own commands too,
// and must be over before the heal.
//
// The fence stands armed where row 11 has it, which serves in the same case: a
// hold that nobody renews lets no second writer be. L bounds neither, unless the
// policy or a quorum above the majority has it so; then a hold that began before
// L still gets the time of one round of polls, for a watchdog that was not run
// for a moment has not asked the Sentinels, and what it refuses now only etcd
// can open again.
//
// While the watchdog is late, what ends the hold may have come and not be read. What
// it is short for ends with E, too: before that no Sentinel commands anything that
// the hold delays. So it goes on to the time to act before the armed fence fires.
func (s State) isolated(p Policy, v view, now Instant, verdict verdictFunc) Verdict {
	held := s.HoldSince.orNow(now)
	last, fires := v.act, v.certifiedUntil()
	switch {
	case v.strict:
		last = last.Min(v.lapse)
	case v.high && held < v.until:
		last = last.Min(v.lapse.Max(held.Add(v.HintHold)))
		fires = last
	}
	until := last.Min(held.Add(v.DownAfter / 2))
	if s.late(v, now) {
		until = until.Max(fires.Add(v.Armed - v.Act)).Min(last)
	}
	// Refused is refused: that L has passed meanwhile is no reason to hold again.
	refused := s.Verdict.Row == RowIsolated && s.RefuseSince != 0
	reason := "isolated"
	if v.certified {
		reason = "coordinator_lost" // the Sentinels would certify; the policy wants both
	}
	if now < until && !refused {
		return verdict(RowIsolated, reason, Gate{Access: Hold, Arm: fires.Max(until)}, s.keepGrant(p, v, now))
	}
	// A Redis that is slow to refuse is killed when it has to be, no earlier.
	// That may be long past (sentinels_lost: serve); the refusal still gets its
	// time before it is enforced.
	stopBy := s.RefuseSince.orNow(now).Add(v.Act).Max(last)
	return verdict(RowIsolated, reason, Gate{Access: Refuse, StopBy: stopBy}, s.keepGrant(p, v, now))
}

// claiming is row 13. A Redis that was never locked by a promotion and never
// granted is not locked now: installing the watchdog is no event. One that
// served until a moment ago (the grant key deleted by hand, the watchdog
// stopped and started) makes its writers wait for the claim a moment, before
// they get errors.
func (s State) claiming(p Policy, v view, now Instant, verdict verdictFunc) Verdict {
	grant := s.keepGrant(p, v, now)
	switch {
	case !s.Memory.Enrolled && (s.Memory.Promoted == "" || !s.Redis.Locked && now.Sub(s.Memory.PromotedAt) > promotionTerm):
		// Or promoted long ago beside a newcomer, which locked nothing.
		return verdict(RowClaim, "claiming_not_enrolled", Gate{Access: Leave}, grant)
	case s.Coordinator.RoundAt != 0 && s.unfit() != "": // and so it does not claim
		return verdict(RowClaim, s.unfit(), Gate{Access: Lock}, grant)
	case v.lastOurs && !s.Redis.Locked && now < v.act && now.Sub(s.ClaimSince.orNow(now)) < v.HintHold &&
		now.Sub(s.HoldSince.orNow(now)) < v.DownAfter/2: // a hold of row 12 counts
		return verdict(RowClaim, "claiming_again", Gate{Access: Hold, Arm: v.alone.Add(-v.Armed)}, grant)
	case v.lastOurs && now < v.act:
		return verdict(RowClaim, "claiming_again", Gate{Access: Lock, Arm: v.alone.Add(-v.Armed)}, grant)
	}
	return verdict(RowClaim, "claiming", Gate{Access: Lock}, grant)
}

func (t Instant) orNow(now Instant) Instant {
	if t == 0 {
		return now
	}
	return t
}

// fenced is row 5 and the unfence rule.
func (s State) fenced(p Policy, v view, now Instant, verdict verdictFunc) Verdict {
	// A Sentinel whose login was refused goes on with that connection, and holds
	// down whom it is not let in by, also when its password has become right.
	stay := Gate{Access: Refuse, StopBy: Never, PutOut: s.Sentinels.Erring}
	switch {
	case v.other && s.listed(v.truth.Master):
		grant := s.giveUpIfRefusing()
		return verdict(RowFenced, "rejoining", Gate{Access: Follow, Master: v.truth.Master}, grant)
	case v.other:
		return verdict(RowFenced, "true_master_not_listed", stay, s.giveUpIfRefusing())
	case v.truth.Master == "" || v.truth.Master != v.self:
		return verdict(RowFenced, "nobody_named", stay, s.giveUpIfRefusing())
	}
	grant := s.keepGrant(p, v, now)
	if why := s.unmetClause(p, v, now); why != "" {
		return verdict(RowFenced, why, stay, grant)
	}
	// It answers readers from the opening on: the fence of row 9 or 11 is armed from
	// that instant. Past E - A (the way out) none can be.
	open := Gate{Access: Lock, Open: true}
	switch {
	case now >= v.act:
	case v.inForce && v.fresh:
		open.Arm = v.grantedUntil()
	default:
		open.Arm = v.certifiedUntil()
	}
	return verdict(RowFenced, "unfencing", open, grant)
}

// unmetClause says which clause of the unfence rule is not met; empty: all are.
func (s State) unmetClause(p Policy, v view, now Instant) string {
	f, m := s.Sentinels, s.Memory
	wayOut := s.wayOut(v, now)
	switch {
	case !(v.inForce && v.fresh) && !(v.fired && v.certifiedServes(p, now)):
		return "no_grant"
	case s.Redis.Answer != Up:
		return "redis_silent"
	case f.Master != v.self || f.Epoch < s.Memory.Agreement.Epoch:
		return "no_majority"
	case !s.grantKept && now.Sub(f.NamedSince) < unbrokenToOpen:
		return "majority_too_young"
	case f.Failover:
		return "failover_running"
	case f.MaxEpoch > f.Epoch:
		return "higher_epoch_seen"
	case f.OtherMaster != "":
		return "other_master_seen"
	case f.Accused && !v.fired: // row 9 serves with fewer of them than it takes to promote another
		return "held_down"
	case f.BackAt != 0 && now.Sub(f.BackAt) < backToOpen:
		return "sentinel_just_back" // what it told the others while we did not hear it still counts there
	case now >= v.doubt && p.SentinelsLost == SentinelsLostRefuse && !wayOut && !v.fired:
		return "sentinels_do_not_certify" // or row 10 would shut it again at once
	case f.RoleTerm.Sub(now) <= roleTermToOpen && !wayOut && !v.fired:
		return "left_to_sentinel"
	case m.Fenced != s.Redis.RunID && s.Redis.Offset < f.ReplicaOffset && f.ReplicaOffset > neverInStep && !s.Coordinator.Orders.Unfence:
		return "data_behind"
	case m.Fenced != s.Redis.RunID && f.Listed == 0 && m.Peers && !s.Coordinator.Orders.Unfence:
		return "replicas_forgotten" // by a SENTINEL RESET: whether they have more cannot be told
	case m.Fenced != s.Redis.RunID && f.ReplicasToldAt != 0 && f.ReplicasToldAt < m.FencedAt && !s.Coordinator.Orders.Unfence:
		return "replicas_not_heard" // since it came up: what they had before may be less than what they got
	case m.Fenced != s.Redis.RunID:
		return s.unfit()
	}
	return ""
}

// wayOut says that it has been fenced for so long that Sentinel would have promoted
// another for the role that it remembers, if it could. One in TILT does nothing for
// 30 s, and then acts on what is long due: where the others are too few, its time
// begins anew with the end of that, once.
func (s State) wayOut(v view, now Instant) bool {
	f, m := s.Sentinels, s.Memory
	if m.FencedAt == 0 || f.Failover {
		return false
	}
	fenced, term := now.Sub(m.FencedAt), v.wayOutTerm()
	return fenced >= term && (f.TiltAt == 0 || now.Sub(f.TiltAt) >= tiltToOpen || fenced >= 2*term)
}

// neverInStep is the offset that a replica shows which came up without one (from
// an AOF, or empty) and has not been in step since.
const neverInStep = 1

// unfit says why our data may not be given to clients; empty: it may.
func (s State) unfit() string {
	switch d := s.Data(); {
	case d.Good():
		return ""
	case d == DataBehind:
		return "data_behind"
	case d == DataUnrelated:
		return "data_unrelated"
	}
	return "data_unknown"
}

// young says that it was promoted so lately that the Sentinels' evidence may
// still be about the time before, and that it has not been granted since.
func (s State) young(now Instant) bool {
	m := s.Memory
	return m.Promoted != "" && m.Promoted == s.Redis.RunID && now.Sub(m.PromotedAt) <= promotionTerm
}

// justPromoted is row 6's condition.
func (s State) justPromoted(v view, now Instant) bool {
	m, f, over := s.Memory, s.Sentinels, s.Memory.PromotedOver
	if over.Generation == 0 {
		over.Generation = v.truth.Generation // no record was known then: reading it is no news of Sentinel's
	}
	switch {
	case m.Promoted == "" || m.Promoted != s.Redis.RunID:
		return false
	case v.self != "" && v.truth.Master == v.self:
		return false // heard of, before we saw it: row 13 claims
	case v.truth.Compare(over) > 0:
		return false // heard of, or overtaken: the rows below
	case f.Unanimous && f.Master != v.self && f.SentAt.Sub(m.PromotedAt) > v.Uncertified:
		return false // refuted by all, in answers younger than the promotion
	}
	return now.Sub(m.PromotedAt) <= promotionTerm || f.Failover || 2*f.Answering <= f.Known
}

// stranded says that we are a replica although both have named us the master
// for so long that Sentinel would have repaired it, if it could: it had nobody
// to promote (a redis.conf that could not be written, a group of fenced ones
// following each other). Shut, it is opened by the unfence rule.
func (s State) stranded(v view, now Instant) bool {
	a, f := s.Memory.Agreement, s.Sentinels
	since := s.AgreedSince.Max(s.StrayedAt)
	return s.AgreedSince != 0 && a.Master == v.self && now.Sub(since) >= v.wayOutTerm() &&
		!f.Failover && f.OtherMaster == "" && !s.Redis.LinkUp && s.Redis.Offset >= f.ReplicaOffset
}

// repoint is whom a replica shall follow instead; empty: as it is. Never us:
// a replica that both name as the master is Sentinel's to promote. Nor one that
// is in touch with a master of which it is not known who it is.
func (s State) repoint(v view, now Instant) (Address, string) {
	a := s.Memory.Agreement
	if s.AgreedSince == 0 || now.Sub(s.AgreedSince.Max(s.StrayedAt)) < unbrokenToBreak || s.Sentinels.Failover ||
		a.Master == v.self || a.Master == s.Redis.Following || s.Redis.Following == "" && s.Redis.LinkUp {
		return "", "replica"
	}
	return a.Master, "missed_failover"
}

// listed says whether our own Sentinels list the address: no other is ever
// followed, whatever etcd says.
func (s State) listed(a Address) bool {
	return s.Sentinels.Master == a || s.Coordinator.Listed && s.Coordinator.Agreement.Master == a
}
