package sim

import (
	"fmt"
	"time"

	"github.com/redis-watchdog/redis-watchdog/watchdog"
)

// sentinel is one redis-sentinel, after sentinel.c of Redis 7.0. Times are the
// world's: Sentinel only ever compares its own.
type sentinel struct {
	proc
	id   int
	conf conf

	m       instance   // the master
	others  []instance // by Redis; known replicas
	sents   []peer     // by Sentinel
	tilt    watchdog.Instant
	lastRun watchdog.Instant

	failover  state
	forced    bool
	by        *command // who forced it; nil: typed
	elect     uint64   // failover_epoch
	startedAt watchdog.Instant
	changedAt watchdog.Instant
	promoted  int
}

// conf is sentinel.conf: it outlives the process.
type conf struct {
	master       int
	epoch        uint64 // config-epoch
	current      uint64 // current-epoch
	leader       int    // voted for
	leaderEpoch  uint64
	knownReplica []bool
	knownPeer    []bool
	quorum       int
	downAfter    time.Duration

	failoverTimeout time.Duration
}

type state uint8

const (
	none state = iota
	waitStart
	selectSlave
	sendNoOne
	waitPromotion
	reconfSlaves
	updateConfig
)

// instance is what Sentinel holds of one Redis.
type instance struct {
	known     bool
	connected bool
	ping      watchdog.Instant // act_ping_time: the first unanswered ping; zero: none
	pinged    watchdog.Instant // last_ping_time
	pong      watchdog.Instant // last_pong_time: any answer
	avail     watchdog.Instant // last_avail_time: a valid one
	down      watchdog.Instant // s_down since; zero: not
	odown     watchdog.Instant
	lastDown  watchdog.Instant // s_down_since_time, which outlives the flag
	info      watchdog.Instant // info_refresh
	asked     watchdog.Instant
	published watchdog.Instant
	dialled   watchdog.Instant

	slave     bool // role-reported
	roleSince watchdog.Instant
	following int // -1: nowhere
	confSince watchdog.Instant
	linkDown  time.Duration
	linkUp    bool
	priority  int
	offset    int64
	runID     int

	sent, inprog, done bool
	sentAt             watchdog.Instant
}

// peer is what it holds of another Sentinel.
type peer struct {
	known       bool
	pong, hello watchdog.Instant
	pinged      watchdog.Instant
	masterDown  bool
	replied     watchdog.Instant
	askedAt     watchdog.Instant
	leader      int
	leaderEpoch uint64
	published   watchdog.Instant
}

func newSentinel(w *World, id int) *sentinel {
	s := &sentinel{proc: proc{w: w, name: fmt.Sprintf("S%d", id), host: id}, id: id}
	s.conf = conf{quorum: w.Quorum, downAfter: w.DownAfter, failoverTimeout: w.FailoverTimeout, leader: -1, epoch: w.FirstEpoch, current: w.FirstEpoch}
	if id == 0 && w.OddDownAfter > 0 {
		s.conf.downAfter = w.OddDownAfter
	}
	s.conf.knownReplica = make([]bool, w.Redis)
	s.conf.knownPeer = make([]bool, w.Sentinels)
	for i := range w.Redis {
		s.conf.knownReplica[i] = i != 0
	}
	for i := range w.Sentinels {
		s.conf.knownPeer[i] = i != id
	}
	s.boot()
	return s
}

// boot reads sentinel.conf.
func (s *sentinel) boot() {
	if s.up || !s.w.hosts[s.host].up {
		return
	}
	s.start()
	s.failover, s.forced, s.by, s.tilt, s.lastRun = none, false, nil, 0, s.w.now
	s.startedAt, s.changedAt = 0, 0
	s.others = make([]instance, s.w.Redis)
	s.sents = make([]peer, s.w.Sentinels)
	s.m = s.fresh(false)
	for i, known := range s.conf.knownReplica {
		if known && i != s.conf.master {
			s.others[i] = s.fresh(true)
		}
	}
	for i, known := range s.conf.knownPeer {
		if known {
			s.sents[i] = peer{known: true, pong: s.w.now, hello: s.w.now, leader: -1}
		}
	}
	s.every(53*ms, 100*ms, s.tick)
}

func (s *sentinel) die(why string) {
	if s.up {
		s.w.logf(s.name, "dies: %s", why)
		s.kill()
	}
}

// fresh is createSentinelRedisInstance.
func (s *sentinel) fresh(slave bool) instance {
	return instance{
		known: true, ping: s.w.now, pong: s.w.now, avail: s.w.now,
		slave: slave, roleSince: s.w.now, confSince: s.w.now, following: -1, priority: 100,
	}
}

func (s *sentinel) of(redis int) *instance {
	if redis == s.conf.master {
		return &s.m
	}
	return &s.others[redis]
}

func (s *sentinel) tick() {
	w := s.w
	if w.now.Sub(s.lastRun) > 2*sec {
		s.tilt = w.now
		w.logf(s.name, "+tilt")
	}
	s.lastRun = w.now
	s.talk(s.conf.master, &s.m)
	for i := range s.others {
		if s.others[i].known {
			s.talk(i, &s.others[i])
		}
	}
	for i := range s.sents {
		if s.sents[i].known {
			s.talkPeer(i)
		}
	}
	if s.tilt != 0 {
		if w.now.Sub(s.tilt) < 30*sec {
			return
		}
		s.tilt = 0
		w.logf(s.name, "-tilt")
	}
	for i := range s.others {
		if s.others[i].known {
			s.checkDown(i, &s.others[i], false)
		}
	}
	s.checkDown(s.conf.master, &s.m, true)
	s.checkObjectivelyDown()
	if s.startIfNeeded() {
		s.askPeers(true)
	}
	s.machine()
	s.askPeers(false)
	if s.failover == updateConfig {
		s.switchToPromoted()
	}
}

// talk sends what is due to one Redis: sentinelReconnectInstance and
// sentinelSendPeriodicCommands.
func (s *sentinel) talk(id int, in *instance) {
	w, r := s.w, s.w.redis[id]
	if !in.connected {
		if w.now.Sub(in.dialled) < sec {
			return
		}
		in.dialled = w.now
		s.dial(r)
		return
	}
	period := 10 * sec
	if in != &s.m && (s.m.odown != 0 || s.failover != none || in.linkDown != 0) {
		period = sec
	}
	pingPeriod := min(sec, s.conf.downAfter)
	if (in.info == 0 || w.now.Sub(in.info) > period) && w.now.Sub(in.asked) > 300*ms {
		in.asked = w.now
		s.askInfo(r)
	}
	if w.now.Sub(in.pong) > pingPeriod && w.now.Sub(in.pinged) > pingPeriod/2 {
		in.pinged = w.now
		if in.ping == 0 {
			in.ping = w.now
		}
		s.sendPing(r)
	}
	if w.now.Sub(in.published) > 2*sec {
		in.published = w.now
		s.publish(r)
	}
}

func (s *sentinel) dial(r *redis) {
	if !r.up {
		return
	}
	id := r.id
	s.ask(&r.proc, func() func() {
		h := &r.heard[s.id]
		h.connection, h.sent, h.acked = h.connection+1, 0, 0
		return func() {
			if in := s.of(id); in.known {
				in.connected = true
			}
		}
	})
}

// lost is the connection to a Redis being reset.
func (s *sentinel) lost(id int) {
	if in := s.of(id); in.known {
		in.connected = false
		in.dialled = s.w.now
	}
}

func (s *sentinel) sendPing(r *redis) {
	id := r.id
	s.tell(&r.proc, func() {
		var reply func()
		pong, cameIn := false, s.w.now
		r.command(s.id, false, func() {
			a := r.answers()
			valid := a == watchdog.Up || a == watchdog.Loading
			pong = a == watchdog.Up && r.role != nowhere // else it is an error, a valid one or not
			reply = func() { s.onPong(id, valid) }
			if a == watchdog.Silent {
				reply = nil
			}
		})
		if reply == nil && r.up && r.blocked[s.id] {
			// answered when the pause ends
			r.hello[s.id][len(r.hello[s.id])-1] = func() {
				r.reply(s, true, cameIn, func() { s.onPong(id, true) })
			}
		}
		if reply != nil {
			r.reply(s, pong, cameIn, reply)
		}
	})
}

func (s *sentinel) onPong(id int, valid bool) {
	in := s.of(id)
	if !in.known {
		return
	}
	in.pong = s.w.now
	if valid {
		in.avail, in.ping = s.w.now, 0
	}
}

// checkDown is sentinelCheckSubjectivelyDown.
func (s *sentinel) checkDown(id int, in *instance, isMaster bool) {
	w := s.w
	var elapsed time.Duration
	switch {
	case in.ping != 0:
		elapsed = w.now.Sub(in.ping)
	case !in.connected:
		elapsed = w.now.Sub(in.avail)
	}
	if elapsed > s.conf.downAfter || isMaster && in.slave && w.now.Sub(in.roleSince) > s.conf.downAfter+20*sec {
		if in.down == 0 {
			in.down, in.lastDown = w.now, w.now
			w.logf(s.name, "+sdown R%d", id)
		}
	} else if in.down != 0 {
		in.down = 0
		w.logf(s.name, "-sdown R%d", id)
	}
}

func (s *sentinel) checkObjectivelyDown() {
	votes := 0
	if s.m.down != 0 {
		votes = 1
		for i := range s.sents {
			if s.sents[i].known && s.sents[i].masterDown {
				votes++
			}
		}
	}
	switch down := votes > 0 && votes >= s.conf.quorum; {
	case down && s.m.odown == 0:
		s.m.odown = s.w.now
		s.w.logf(s.name, "+odown R%d %d/%d", s.conf.master, votes, s.conf.quorum)
	case !down:
		s.m.odown = 0
	}
}

// talkPeer pings another Sentinel and tells it the hello.
func (s *sentinel) talkPeer(i int) {
	w, p, o := s.w, &s.sents[i], s.w.sents[i]
	if w.now.Sub(p.pong) > sec && w.now.Sub(p.pinged) > 500*ms {
		p.pinged = w.now
		s.ask(&o.proc, func() func() { return func() { s.sents[i].pong = w.now } })
	}
	if w.now.Sub(p.published) > 2*sec {
		p.published = w.now
		h := s.hello()
		s.tell(&o.proc, func() { o.onHello(h) })
	}
}

// askPeers is sentinelAskMasterStateToOtherSentinels.
func (s *sentinel) askPeers(force bool) {
	w := s.w
	for i := range s.sents {
		p := &s.sents[i]
		if !p.known {
			continue
		}
		if w.now.Sub(p.replied) > 5*sec {
			p.masterDown, p.leader = false, -1
		}
		if s.m.down == 0 || !force && w.now.Sub(p.replied) < sec || !force && w.now.Sub(p.askedAt) < 500*ms {
			continue
		}
		p.askedAt = w.now
		o, who, epoch, addr := w.sents[i], -1, s.conf.current, s.conf.master
		if s.failover != none {
			who = s.id
		}
		s.ask(&o.proc, func() func() {
			down, leader, lepoch := o.isMasterDown(addr, epoch, who)
			return func() {
				p := &s.sents[i]
				p.replied, p.masterDown = w.now, down
				if leader >= 0 {
					p.leader, p.leaderEpoch = leader, lepoch
				}
			}
		})
	}
}

func (s *sentinel) isMasterDown(addr int, epoch uint64, who int) (down bool, leader int, leaderEpoch uint64) {
	if addr != s.conf.master {
		return false, -1, 0
	}
	down = s.m.down != 0 && s.tilt == 0
	if who < 0 {
		return down, -1, 0
	}
	leader, leaderEpoch = s.vote(epoch, who)
	return down, leader, leaderEpoch
}

// vote is sentinelVoteLeader.
func (s *sentinel) vote(epoch uint64, who int) (int, uint64) {
	s.conf.current = max(s.conf.current, epoch)
	if s.conf.leaderEpoch < epoch && s.conf.current <= epoch {
		s.conf.leader, s.conf.leaderEpoch = who, s.conf.current
		if who != s.id {
			s.startedAt = s.w.now.Add(s.w.between(0, sec))
		}
	}
	return s.conf.leader, s.conf.leaderEpoch
}
