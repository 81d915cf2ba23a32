package sim

import (
	"time"

	"github.com/redis-watchdog/redis-watchdog/watchdog"
)

// The failover of a Sentinel: election, selection, promotion, reconfiguration.

func (s *sentinel) startIfNeeded() bool {
	if s.m.odown == 0 || s.failover != none || s.w.now.Sub(s.startedAt) < 2*s.conf.failoverTimeout && s.startedAt != 0 {
		return false
	}
	s.begin()
	return true
}

func (s *sentinel) begin() {
	s.conf.current++
	s.elect = s.conf.current
	s.setState(waitStart)
	s.startedAt = s.w.now.Add(s.w.between(0, sec))
	s.w.logf(s.name, "+try-failover R%d epoch %d forced=%v", s.conf.master, s.elect, s.forced)
}

func (s *sentinel) setState(f state) {
	s.failover, s.changedAt = f, s.w.now
	s.w.stepped(s.host, s.conf.master, s.promoted)
}

func (s *sentinel) abort(why string) {
	s.w.logf(s.name, "-failover-abort-%s R%d", why, s.conf.master)
	if s.failover >= waitPromotion {
		s.w.redis[s.promoted].forced = true // taken back: the old master is the master again
	}
	s.setState(none)
	s.forced, s.by = false, nil
	for i := range s.others {
		o := &s.others[i]
		o.sent, o.inprog, o.done = false, false, false
	}
}

func (s *sentinel) machine() {
	w := s.w
	switch s.failover {
	case waitStart:
		if !s.forced && s.leader(s.elect) != s.id {
			if w.now.Sub(s.startedAt) > min(10*sec, s.conf.failoverTimeout) {
				s.abort("not-elected")
			}
			return
		}
		w.logf(s.name, "+elected-leader epoch %d", s.elect)
		s.setState(selectSlave)
	case selectSlave:
		best := s.selectSlave()
		if best < 0 {
			s.abort("no-good-slave")
			return
		}
		w.logf(s.name, "+selected-slave R%d", best)
		s.promoted = best
		s.setState(sendNoOne)
	case sendNoOne:
		if !s.others[s.promoted].connected {
			if w.now.Sub(s.changedAt) > s.conf.failoverTimeout {
				s.abort("slave-timeout")
			}
			return
		}
		s.sendSlaveOf(s.promoted, master, 0)
		s.setState(waitPromotion)
	case waitPromotion:
		if w.now.Sub(s.changedAt) > s.conf.failoverTimeout {
			s.abort("slave-timeout")
		}
	case reconfSlaves:
		s.reconfigure()
	}
}

// leader is sentinelGetLeader.
func (s *sentinel) leader(epoch uint64) int {
	votes := make([]int, len(s.sents))
	voters, winner, most := 1, -1, 0
	for i := range s.sents {
		p := &s.sents[i]
		if !p.known {
			continue
		}
		voters++
		if p.leader >= 0 && p.leaderEpoch == s.conf.current {
			votes[p.leader]++
		}
	}
	for i, n := range votes {
		if n > most {
			winner, most = i, n
		}
	}
	mine := s.id
	if winner >= 0 {
		mine = winner
	}
	if who, e := s.vote(epoch, mine); who >= 0 && e == epoch {
		votes[who]++
		if votes[who] > most {
			winner, most = who, votes[who]
		}
	}
	if winner >= 0 && (most < voters/2+1 || most < s.conf.quorum) {
		return -1
	}
	return winner
}

// selectSlave is sentinelSelectSlave.
func (s *sentinel) selectSlave() int {
	w, best := s.w, -1
	var maxDown time.Duration
	if s.m.down != 0 {
		maxDown = w.now.Sub(s.m.down)
	}
	maxDown += 10 * s.conf.downAfter
	validity := 30 * sec
	if s.m.down != 0 {
		validity = 5 * sec
	}
	for i := range s.others {
		o := &s.others[i]
		if !o.known || o.down != 0 || !o.connected || w.now.Sub(o.avail) > 5*sec || o.priority == 0 ||
			o.info == 0 || w.now.Sub(o.info) > validity || o.linkDown > maxDown {
			continue
		}
		if best < 0 || o.priority < s.others[best].priority ||
			o.priority == s.others[best].priority && o.offset > s.others[best].offset {
			best = i
		}
	}
	return best
}

func (s *sentinel) reconfigure() {
	w, inprog, left := s.w, 0, 0
	for i := range s.others {
		o := &s.others[i]
		if !o.known || i == s.promoted {
			continue
		}
		if o.sent || o.inprog {
			inprog++
		}
		if !o.done && o.down == 0 {
			left++
		}
	}
	timeout := w.now.Sub(s.changedAt) > s.conf.failoverTimeout
	if left == 0 || timeout {
		if timeout {
			w.logf(s.name, "+failover-end-for-timeout")
			for i := range s.others {
				if o := &s.others[i]; o.known && i != s.promoted && !o.done && o.connected {
					s.sendSlaveOf(i, replica, s.promoted)
				}
			}
		}
		s.failover = updateConfig
		return
	}
	for i := range s.others {
		o := &s.others[i]
		if !o.known || i == s.promoted || o.done || inprog >= 1 {
			continue
		}
		if o.sent && w.now.Sub(o.sentAt) > 10*sec {
			o.sent = false
		}
		if o.sent || o.inprog || !o.connected {
			continue
		}
		s.sendSlaveOf(i, replica, s.promoted)
		o.sent, o.sentAt = true, w.now
		inprog++
	}
}

func (s *sentinel) sendSlaveOf(id int, to role, whom int) {
	r, forced, by := s.w.redis[id], s.forced, s.by
	s.tell(&r.proc, func() {
		r.command(s.id, false, func() { r.slaveof(to, whom, s.name, forced, by) })
	})
}

// switchToPromoted and the hello end in sentinelResetMasterAndChangeAddress.
func (s *sentinel) switchToPromoted() {
	s.w.logf(s.name, "+switch-master R%d -> R%d epoch %d (leader)", s.conf.master, s.promoted, s.conf.epoch)
	s.changeAddress(s.promoted)
}

func (s *sentinel) changeAddress(to int) {
	old := s.conf.master
	list := make([]bool, len(s.others))
	for i := range s.others {
		list[i] = s.others[i].known
	}
	list[old] = true
	s.conf.master = to
	s.reset(list)
	s.hint()
}

func (s *sentinel) reset(list []bool) {
	s.failover, s.forced, s.by, s.startedAt, s.changedAt = none, false, nil, 0, s.w.now
	s.m = s.fresh(false)
	for i := range s.others {
		s.others[i] = instance{}
		s.conf.knownReplica[i] = false
		if list[i] && i != s.conf.master {
			s.others[i] = s.fresh(true)
			s.conf.knownReplica[i] = true
		}
	}
}

// hint is the event that subscribers get.
func (s *sentinel) hint() {
	for _, d := range s.w.daemons {
		if d != nil {
			master, epoch := s.conf.master, s.conf.epoch
			s.tell(&d.proc, func() { d.announced(s.id, master, epoch) })
		}
	}
}

type hello struct {
	from    int
	current uint64
	master  int
	epoch   uint64
}

func (s *sentinel) hello() hello {
	return hello{s.id, s.conf.current, s.shown(), s.conf.epoch}
}

// shown is sentinelGetCurrentMasterAddress.
func (s *sentinel) shown() int {
	if s.failover >= reconfSlaves {
		return s.promoted
	}
	return s.conf.master
}

func (s *sentinel) publish(r *redis) {
	h := s.hello()
	s.tell(&r.proc, func() {
		r.command(s.id, true, func() {
			if r.answers() != watchdog.Up {
				return
			}
			for _, o := range r.w.sents {
				if o != s {
					if in := o.of(r.id); in.known && in.connected {
						r.tell(&o.proc, func() { o.onHello(h) })
					}
				}
			}
		})
	})
}

// onHello is sentinelProcessHelloMessage.
func (s *sentinel) onHello(h hello) {
	p := &s.sents[h.from]
	if !p.known && h.from != s.id {
		*p = peer{known: true, pong: s.w.now, leader: -1}
		s.conf.knownPeer[h.from] = true
	}
	if h.from != s.id {
		p.hello = s.w.now
	}
	s.conf.current = max(s.conf.current, h.current)
	if s.conf.epoch < h.epoch {
		s.conf.epoch = h.epoch
		if h.master != s.conf.master {
			s.w.logf(s.name, "+config-update-from S%d: +switch-master R%d -> R%d epoch %d", h.from, s.conf.master, h.master, h.epoch)
			s.changeAddress(h.master)
		}
	}
}

// announce forces a hello to everybody.
func (s *sentinel) announce() {
	s.m.published = 0
	for i := range s.others {
		s.others[i].published = 0
	}
	for i := range s.sents {
		s.sents[i].published = 0
	}
}

func (s *sentinel) resetCommand() {
	s.w.logf(s.name, "SENTINEL RESET")
	if s.failover >= waitPromotion {
		s.w.redis[s.promoted].forced = true // the operator has called it off half-way
	}
	for i := range s.sents {
		s.sents[i] = peer{leader: -1}
		s.conf.knownPeer[i] = false
	}
	s.reset(make([]bool, len(s.others)))
}

// monitorAnew is SENTINEL REMOVE and MONITOR.
func (s *sentinel) monitorAnew(addr int) {
	s.conf.master, s.conf.epoch = addr, 0
	s.resetCommand()
	s.w.logf(s.name, "SENTINEL REMOVE, MONITOR R%d", addr)
}

// failoverCommand is SENTINEL FAILOVER.
func (s *sentinel) failoverCommand() bool {
	if s.failover != none || s.selectSlave() < 0 {
		s.w.logf(s.name, "SENTINEL FAILOVER: INPROG or NOGOODSLAVE")
		return false
	}
	s.forced = true
	s.begin()
	return true
}

// failoverFor is the same, typed by a command.
func (s *sentinel) failoverFor(c *command) bool {
	if !s.failoverCommand() {
		return false
	}
	s.by = c
	return true
}
