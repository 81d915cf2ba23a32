package sim

// What a simulated Sentinel answers.

import (
	"strconv"
	"time"

	tally "github.com/redis-watchdog/redis-watchdog/sentinel"
	"github.com/redis-watchdog/redis-watchdog/watchdog"
)

// answer is what a Sentinel says to a poll.
func (s *sentinel) answer() tally.Answer {
	now := s.w.now
	m := &s.m
	a := tally.Answer{Named: address(s.shown()), Full: true, Tilt: s.tilt != 0}
	a.Master = s.instance(s.conf.master, m)
	a.Master.Epoch, a.Master.Quorum, a.Master.FailoverTimeout = s.conf.epoch, s.conf.quorum, s.conf.failoverTimeout
	a.Master.Failover = tally.FailoverState(s.failover)
	if m.odown != 0 {
		a.Master.Flags |= tally.FlagODown
	}
	if s.failover != none {
		a.Master.Flags |= tally.FlagFailover
	}
	for i := range s.sents {
		if s.sents[i].known {
			a.Master.Others++
			p := &s.sents[i]
			a.Sentinels = append(a.Sentinels, tally.Peer{RunID: sentinelKey(i), Address: watchdog.Address(sentinelKey(i)), Dial: sentinelKey(i),
				PongAge: now.Sub(p.pong).Truncate(ms), HelloAge: now.Sub(p.hello).Truncate(ms)})
		}
	}
	for i := range s.others {
		if o := &s.others[i]; o.known && i != s.conf.master {
			in := s.instance(i, o)
			in.Priority, in.Offset = o.priority, o.offset
			if o.info != 0 {
				in.InfoAge = max(now.Sub(o.info), time.Millisecond)
			}
			if s.failover >= sendNoOne && i == s.promoted {
				in.Flags |= tally.FlagPromoted
			}
			a.Replicas = append(a.Replicas, in)
			a.Master.Replicas++
		}
	}
	return a
}

func (s *sentinel) instance(id int, in *instance) tally.Instance {
	now := s.w.now
	t := tally.Instance{
		Address: address(id), RunID: strconv.Itoa(in.runID), PongAge: now.Sub(in.avail).Truncate(time.Millisecond), DownAfter: s.conf.downAfter,
		Reported: watchdog.Master, RoleFor: now.Sub(in.roleSince).Truncate(time.Millisecond),
	}
	if in.ping != 0 {
		t.PingAge = now.Sub(in.ping).Truncate(time.Millisecond)
	}
	if in.slave {
		t.Reported = watchdog.Replica
	}
	if in.down != 0 {
		t.Flags |= tally.FlagSDown
	}
	if !in.connected {
		t.Flags |= tally.FlagDisconnected
	}
	if in.runID == 0 {
		t.RunID = ""
	}
	return t
}

// event leaves out of a fact what the breakage says.
func (b *breakage) event(e watchdog.Event, now watchdog.Instant) watchdog.Event {
	switch f := e.(type) {
	case watchdog.Sentinels:
		if b.noE {
			f.E, f.EFrom = watchdog.Never, now
			return f
		}
	case watchdog.Coordinator:
		if b.noWait {
			f.Grant.GivenUp = true
			return f
		}
	}
	return e
}

// news is the Watcher's: whether more has changed than that time went by.
func news(old, t watchdog.Sentinels) bool {
	if t.E < old.E || t.RoleTerm < old.RoleTerm || t.EFrom > old.EFrom {
		return true
	}
	old.SentAt, old.E, old.EFrom, old.RoleTerm, old.TiltAt = t.SentAt, t.E, t.EFrom, t.RoleTerm, t.TiltAt
	old.EAsked, old.EAskedFrom, old.EOnce, old.Vouched, old.EByPings = t.EAsked, t.EAskedFrom, t.EOnce, t.Vouched, t.EByPings
	return old != t
}
