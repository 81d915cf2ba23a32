package sim

// What a Sentinel makes of INFO: sentinelRefreshInstanceInfo.

import (
	"time"

	"github.com/redis-watchdog/redis-watchdog/watchdog"
)

// info is what one INFO told.
type info struct {
	role      role
	following int
	linkUp    bool
	linkDown  time.Duration
	priority  int
	offset    int64
	runID     int
	replicas  []int
}

func (s *sentinel) askInfo(r *redis) {
	id := r.id
	s.ask(&r.proc, func() func() {
		if r.blocked[s.id] {
			return nil
		}
		if a := r.answers(); a == watchdog.Silent || a == watchdog.Busy {
			return nil
		}
		i := r.info()
		return func() { s.onInfo(id, i) }
	})
}

func (r *redis) info() info {
	i := info{role: r.role, following: r.following, linkUp: r.link.up, priority: r.priority, offset: r.data.at.off, runID: r.runID}
	if r.role == nowhere {
		i.following = -1
	}
	if r.role != master && !r.link.up {
		i.linkDown = -sec
		if r.link.down != 0 {
			i.linkDown = max(sec, r.w.now.Sub(r.link.down))
		}
	}
	if r.role != replica { // also one fenced: its replicas stay attached from 7.0 on
		for _, o := range r.w.redis {
			if o.up && o.role == replica && o.following == r.id && o.link.up {
				i.replicas = append(i.replicas, o.id)
			}
		}
	}
	return i
}

// onInfo is sentinelRefreshInstanceInfo.
func (s *sentinel) onInfo(id int, i info) {
	w, in := s.w, s.of(id)
	if !in.known {
		return
	}
	isMaster := id == s.conf.master
	in.info, in.runID = w.now, i.runID
	for _, o := range i.replicas {
		if isMaster && !s.others[o].known && o != s.conf.master {
			s.others[o] = s.fresh(true)
			s.conf.knownReplica[o] = true
		}
	}
	slave := i.role != master
	if slave {
		if in.following != i.following {
			in.following, in.confSince = i.following, w.now
		}
		in.linkUp, in.linkDown, in.priority, in.offset = i.linkUp, i.linkDown, i.priority, i.offset
	}
	if slave != in.slave {
		in.slave, in.roleSince = slave, w.now
		if slave {
			in.confSince = w.now
		}
	}
	if s.tilt != 0 || isMaster {
		return
	}
	if !slave {
		s.slaveIsMaster(id, in)
		return
	}
	if in.following != s.conf.master && s.failover == none {
		wait := s.conf.failoverTimeout
		if s.looksSane() && s.noDownFor(in, wait) && w.now.Sub(in.confSince) > wait {
			w.logf(s.name, "+fix-slave-config R%d -> R%d", id, s.conf.master)
			s.sendSlaveOf(id, replica, s.conf.master)
		}
	}
	if in.sent && in.following == s.promoted {
		in.sent, in.inprog = false, true
	}
	if in.inprog && in.linkUp {
		in.inprog, in.done = false, true
	}
}

func (s *sentinel) slaveIsMaster(id int, in *instance) {
	w := s.w
	if s.failover == waitPromotion && id == s.promoted {
		s.conf.epoch = s.elect
		w.logf(s.name, "+promoted-slave R%d epoch %d", id, s.conf.epoch)
		s.setState(reconfSlaves)
		s.announce()
		return
	}
	const wait = 8 * time.Second
	if !(s.failover != none && id == s.promoted && s.failover > selectSlave) && s.looksSane() && s.noDownFor(in, wait) && w.now.Sub(in.roleSince) > wait {
		w.logf(s.name, "+convert-to-slave R%d -> R%d", id, s.conf.master)
		s.sendSlaveOf(id, replica, s.conf.master)
	}
}

func (s *sentinel) looksSane() bool {
	return !s.m.slave && s.m.down == 0 && s.m.odown == 0 && s.w.now.Sub(s.m.info) < 20*sec
}

// noDownFor is sentinelRedisInstanceNoDownFor.
func (s *sentinel) noDownFor(in *instance, d time.Duration) bool {
	return in.lastDown == 0 || s.w.now.Sub(in.lastDown) > d
}
