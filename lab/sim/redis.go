package sim

import (
	"fmt"
	"time"

	"github.com/redis-watchdog/redis-watchdog/watchdog"
)

type role uint8

const (
	master role = iota
	replica
	nowhere // a replica of 127.0.0.1 port 0
)

func (r role) String() string { return [...]string{"master", "replica", "nowhere"}[r] }

// settings are what CONFIG SET and REPLICAOF change and CONFIG REWRITE keeps.
type settings struct {
	role      role
	following int
	locked    bool // min-replicas-to-write is the watchdog's lock
	shut      bool // replica-serve-stale-data no
	priority  int
}

// redis is one redis-server and its supervisor. Its file outlives it.
type redis struct {
	proc
	id int
	settings
	file settings
	disk dataset // what a restart loads
	data dataset

	runID         int
	barred        bool // nobody starts it again yet
	startedFenced bool // started shut by the start gate, and not opened since
	loading       watchdog.Instant
	silent        watchdog.Instant // a script runs and nothing at all is answered
	busy          watchdog.Instant // a script runs and all is answered with BUSY
	paused        watchdog.Instant
	armed         []armed
	nextArm       int

	link link // to whom it follows

	prepared bool // the watchdog's opened connection still stands (no CLIENT KILL since)
	hello    map[int][]func()
	heard    []heard // by Sentinel
	blocked  []bool  // by Sentinel: its command connection waits behind a PUBLISH that a pause postpones

	heldUp     watchdog.Instant // when it executed an opening that was sent before it stood still; zero: none
	promotedAt watchdog.Instant
	promotion  int      // which promotion made it master; 0: the first master, or none
	forced     bool     // that one was typed (SENTINEL FAILOVER)
	by         *command // whose planned failover that was; nil: nobody's
	acked      point    // up to where it acknowledged clients' writes
	tenure     bool     // it has taken writes since it became master
	writing    bool     // it acknowledges a client's write now
	reading    bool     // it answers a client's read now
}

// armed is a fence that waits inside Redis. It counts on the wall clock.
type armed struct {
	id   int
	at   watchdog.Instant // on the host's wall clock
	bare bool             // XREAD blocks, the fence is not behind it yet
}

func newRedis(w *World, id int) *redis {
	r := &redis{proc: proc{w: w, name: fmt.Sprintf("R%d", id), host: id}, id: id}
	r.blocked = make([]bool, w.Sentinels)
	r.heard = make([]heard, w.Sentinels)
	r.priority = 100
	if id > 0 {
		r.role = replica
	}
	r.data = dataset{point{0, 1000}}
	r.disk = r.data
	r.file = r.settings
	r.start()
	r.runID = 1000*id + 1
	r.prepared = true
	r.wake = r.fire
	if id > 0 {
		r.link = link{up: true, heard: w.now, life: 1, coming: r.data}
	}
	w.every(80*ms, 120*ms, r.replicate)
	w.every(40*ms, 60*ms, r.clients)
	return r
}

// boot is the supervisor starting the process with its file. gate starts it
// as a fenced replica of nowhere.
func (r *redis) boot(gate bool) {
	if r.up || !r.w.hosts[r.host].up {
		return
	}
	r.start()
	r.runID++
	r.settings = r.file
	r.startedFenced = gate && r.role == master || r.role == nowhere && gate
	if r.startedFenced {
		r.role, r.shut, r.priority = nowhere, true, 0
	}
	r.link = link{}
	r.paused, r.silent, r.busy, r.armed = 0, 0, 0, nil
	for i := range r.blocked {
		r.blocked[i] = false
	}
	r.prepared = false
	r.data = dataset{}
	if r.w.Persist {
		r.data = r.disk
	}
	r.data.at, r.acked = r.data.fork(r.w), point{}
	r.loading = r.w.now.Add(r.w.between(20*ms, r.w.LoadTime))
	r.w.logf(r.name, "started as %s run=%d startedFenced=%v loading %v", r.role, r.runID, r.startedFenced, r.loading.Sub(r.w.now))
	r.after(r.loading.Sub(r.w.now), r.seen)
	r.seen()
}

func (r *redis) die(why string) {
	if !r.up {
		return
	}
	r.w.logf(r.name, "dies: %s", why)
	r.disk = r.data
	r.kill()
	r.armed = nil
	r.seen()
	for _, s := range r.w.sents {
		r.w.send(r.host, s.host, func() { s.do(s.life, func() { s.lost(r.id) }) })
	}
	for _, o := range r.w.redis {
		if o.role == replica && o.following == r.id && o.link.up {
			r.w.send(r.host, o.host, func() { o.do(o.life, o.unlink) })
		}
	}
	r.reset()
}

// reset tells the watchdog's prepared connection that it is gone: a hint.
func (r *redis) reset() {
	r.prepared = false
	if d := r.w.daemons[r.host]; d != nil {
		r.w.send(r.host, d.host, func() { d.do(d.life, d.poll) })
	}
}

func (r *redis) answers() watchdog.Answer {
	switch {
	case !r.up:
		return watchdog.Absent
	case r.frozen || r.w.now < r.silent:
		return watchdog.Silent
	case r.w.now < r.loading:
		return watchdog.Loading
	case r.w.now < r.busy:
		return watchdog.Busy
	}
	return watchdog.Up
}

func (r *redis) canRead() bool {
	return r.answers() == watchdog.Up && (r.role == master || !r.shut || r.role == replica && r.link.up)
}

func (r *redis) canWrite() bool {
	return r.answers() == watchdog.Up && r.role == master && !r.locked && r.w.now >= r.paused
}

// seen is called after every change: clients wait at the door, so what would
// be acknowledged is.
func (r *redis) seen() {
	r.writing, r.reading = r.canWrite(), r.canRead()
	r.w.check.observe(r)
}

// clients of every host write and read, on and on.
func (r *redis) clients() {
	r.seen()
	if r.writing {
		r.data.at.off += int64(1 + r.w.rng.IntN(5))
		r.w.lines[r.data.at.line].acked = true
		r.acked = r.data.at
	}
}

// fire runs the armed fences whose time has come, before any client's command.
func (r *redis) fire() {
	if r.w.now < r.busy.Max(r.silent) {
		return // when the script ends
	}
	wall := r.wall()
	for i := 0; i < len(r.armed); i++ {
		if a := r.armed[i]; a.at <= wall {
			r.armed = append(r.armed[:i], r.armed[i+1:]...)
			i--
			if a.bare {
				continue
			}
			r.w.logf(r.name, "armed fence fires")
			r.fence()
			return
		}
	}
}

func (r *redis) wall() watchdog.Instant {
	h := r.w.hosts[r.host]
	return h.clock(r.w).Add(h.wall)
}

// arm blocks a connection for d; cover queues the fence behind it.
func (r *redis) arm(d time.Duration) (id int) {
	r.nextArm++
	r.armed = append(r.armed, armed{id: r.nextArm, at: r.wall().Add(d), bare: true})
	r.alarm(d)
	return r.nextArm
}

func (r *redis) alarm(d time.Duration) {
	// The host's clock may run slow: the timer is the world's.
	late := time.Duration(float64(d) * 2 * r.w.ClockError)
	r.after(d+late+r.w.between(ms, 6*ms), r.fire)
}

// awaitArmed looks again when the time of each comes on a clock that was set.
func (r *redis) awaitArmed() {
	for _, a := range r.armed {
		r.after(max(a.at.Sub(r.wall()), 0)+3*ms, r.fire)
	}
}

func (r *redis) cover(id int) bool {
	for i := range r.armed {
		if r.armed[i].id == id {
			r.armed[i].bare = false
			return true
		}
	}
	return false
}

// disarm closes every armed connection but keep.
func (r *redis) disarm(keep int) {
	rest := r.armed[:0]
	for _, a := range r.armed {
		if a.id == keep {
			rest = append(rest, a)
		}
	}
	r.armed = rest
}

// fence is the watchdog's MULTI … EXEC.
func (r *redis) fence() {
	r.shut = true
	if !r.w.Breakage.noPriority {
		r.priority = 0
	}
	r.follow(nowhere, 0)
	r.armed = nil
	r.reset()
	r.seen()
}

// follow is REPLICAOF.
func (r *redis) follow(to role, whom int) {
	if to == master {
		if r.role != master {
			r.data.at, r.acked = r.data.fork(r.w), point{}
			r.w.dropReplicas(r)
		}
		r.role, r.link = master, link{}
		r.startedFenced = false
		r.armed = nil
		return
	}
	if r.role == to && (to == nowhere || r.following == whom) {
		return
	}
	r.armed = nil // -UNBLOCKED
	r.role, r.following = to, whom
	r.link = link{}
	if to == replica {
		r.startedFenced = false
	}
	if r.w.Old {
		r.w.dropReplicas(r)
	}
}

func (r *redis) rewrite() {
	if r.w.ReadOnlyFile {
		return
	}
	r.file = r.settings
}

// slaveof is Sentinel's MULTI, SLAVEOF, CONFIG REWRITE, CLIENT KILL, EXEC.
func (r *redis) slaveof(to role, whom int, by string, forced bool, c *command) {
	if a := r.answers(); a != watchdog.Up {
		return
	}
	before, from := r.role, r.following
	if to == master && before != master {
		r.w.check.promoted(r)
		r.w.promotions++
		r.promotion, r.forced, r.by = r.w.promotions, forced, c
		if c != nil {
			c.promoted, c.had = r, r.data
			if c.outcome == undone {
				r.w.outcomes[overtaken]++
			}
		}
	}
	r.follow(to, whom)
	r.rewrite()
	if before != r.role || from != r.following {
		r.w.logf(r.name, "SLAVEOF %s R%d by %s (locked=%v shut=%v)", to, whom, by, r.locked, r.shut)
		r.armed = nil
		r.reset()
	}
	r.seen()
}

// pause is CLIENT PAUSE … WRITE; pauses are max-merged.
func (r *redis) pause(d time.Duration) {
	r.paused = r.paused.Max(r.w.now.Add(d))
	r.after(d+1, r.unblock)
	r.seen()
}

func (r *redis) unpause() {
	r.paused = 0
	r.unblock()
}

// unblock goes on with what a pause has postponed.
func (r *redis) unblock() {
	if r.w.now < r.paused {
		return
	}
	for i := range r.blocked {
		r.blocked[i] = false
	}
	waiting := r.hello
	r.hello = nil
	for i := range r.w.Sentinels {
		for _, fn := range waiting[i] {
			r.do(r.life, fn)
		}
	}
	r.seen()
}

// command is something on Sentinel s's command connection: it waits behind a
// PUBLISH of that connection which a pause postpones.
func (r *redis) command(s int, publish bool, fn func()) {
	if r.w.now < r.paused && publish {
		r.blocked[s] = true
	}
	if r.blocked[s] {
		if r.hello == nil {
			r.hello = map[int][]func(){}
		}
		r.hello[s] = append(r.hello[s], fn)
		return
	}
	fn()
}
