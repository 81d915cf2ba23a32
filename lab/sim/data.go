package sim

import "github.com/redis-watchdog/redis-watchdog/watchdog"

// timeline is the history one master writes; it goes on from a point of another.
type timeline struct {
	from  point
	acked bool // a client's write on it was acknowledged
}

type point struct {
	line int
	off  int64
}

// dataset is what a Redis has. The zero dataset is empty.
type dataset struct{ at point }

func (d dataset) empty() bool { return d.at.off == 0 }

// fork begins a new timeline here, as a new replication id does.
func (d dataset) fork(w *World) point {
	w.lines = append(w.lines, timeline{from: d.at})
	return point{len(w.lines) - 1, d.at.off}
}

// has is whether all of p is in d.
func (w *World) has(d dataset, p point) bool {
	if p.off == 0 {
		return true
	}
	// what of p lies on its own line, or is inherited
	for p.line != 0 && p.off <= w.lines[p.line].from.off {
		p = w.lines[p.line].from
	}
	at := d.at
	for at.line != p.line {
		if at.line == 0 {
			return false
		}
		at = w.lines[at.line].from
	}
	return p.off <= at.off
}

// last is the newest timeline with acknowledged writes that d holds a part of.
func (w *World) last(d dataset) int {
	at := d.at
	for at.line != 0 {
		l := w.lines[at.line]
		if l.acked && at.off > l.from.off {
			return at.line
		}
		at = l.from
	}
	return 0
}

// link is a replica's to its master.
type link struct {
	up     bool
	done   watchdog.Instant // when the running synchronisation ends; zero: none runs
	tried  watchdog.Instant
	heard  watchdog.Instant
	down   watchdog.Instant // since when, if it ever was up since REPLICAOF
	coming dataset
	life   int // of the master it is linked to
}

func (r *redis) unlink() {
	if r.link.up {
		r.w.logf(r.name, "link to R%d down", r.following)
		r.link = link{down: r.w.now}
		r.seen()
	}
}

// dropReplicas is disconnectSlaves.
func (w *World) dropReplicas(m *redis) {
	for _, o := range w.redis {
		if o.role == replica && o.following == m.id {
			w.send(m.host, o.host, func() { o.do(o.life, o.unlink) })
		}
	}
}

// replicate is the replica's part of replication: a stream, and an attempt a
// second while there is none.
func (r *redis) replicate() {
	if r.role != replica || r.answers() != watchdog.Up {
		return
	}
	m, l := r.w.redis[r.following], &r.link
	ok := m != r && m.answers() == watchdog.Up && r.w.reach(r.host, m.host)
	switch {
	case l.up && l.life != m.life && ok:
		r.unlink()
	case l.up:
		if ok && m.role != nowhere {
			r.data, l.coming, l.heard = l.coming, m.data, r.w.now
		}
		if r.w.now.Sub(l.heard) > 60*sec {
			r.unlink()
		}
	case l.done != 0:
		if !ok || l.life != m.life || m.role == nowhere {
			l.done = 0
		} else if r.w.now >= l.done {
			r.w.logf(r.name, "in sync with R%d", r.following)
			*l = link{up: true, heard: r.w.now, coming: m.data, life: m.life}
			r.data = m.data
			r.w.check.synced(r)
			r.seen()
		}
	case ok && r.w.now.Sub(l.tried) > sec:
		l.tried = r.w.now
		if m.role == nowhere || m.role == replica && !m.link.up {
			return
		}
		l.life = m.life
		if r.w.has(m.data, r.data.at) && !r.data.empty() {
			l.done = r.w.now.Add(50 * ms)
		} else {
			l.done = r.w.now.Add(r.w.between(300*ms, r.w.SyncTime))
		}
	}
}
