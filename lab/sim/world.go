package sim

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"time"

	"github.com/redis-watchdog/redis-watchdog/watchdog"
)

const (
	ms  = time.Millisecond
	sec = time.Second
)

// World is one group and its surroundings in one run.
type World struct {
	Config
	rng     *rand.Rand
	now     watchdog.Instant // the world's own time; no process sees it
	queue   queue
	hosts   []*host // one per machine, and the last one is etcd's
	redis   []*redis
	sents   []*sentinel
	daemons []*daemon // by host; nil where there is none
	etcd    *etcd
	lines   []timeline
	check   checker

	commands   []*command // the operators' planned failovers
	outcomes   [outcomes]int
	disturbing []fault // what may go wrong in the course of one

	promotions int  // how many SLAVEOF NO ONE of Sentinel's were executed
	stalls     int  // how many stalls there were at a step
	heldUp     bool // see checker.heldUp
	done       bool // ends the run
	trace      *strings.Builder
	faults     []string
	kind       kind
	healed     watchdog.Instant // when everything was healed
}

// host is a machine: its links are in the world's cut table, its clock is its own.
type host struct {
	id     int
	up     bool
	boot   int
	offset watchdog.Instant // what its CLOCK_BOOTTIME showed at the world's zero
	rate   float64          // error of its clock, parts of one
	wall   time.Duration    // its wall clock minus its boot clock; stepped by faults
	cutTo  []bool           // by host: what we send does not arrive
	slow   time.Duration    // added to every packet in and out
	loss   float64
}

func newWorld(c Config, traced bool) *World {
	w := &World{Config: c, rng: rand.New(rand.NewPCG(c.Seed, 0x5eed))}
	if traced {
		w.trace = &strings.Builder{}
	}
	w.now = watchdog.Instant(sec)
	w.lines = []timeline{{}}
	n := c.Hosts + 1
	for i := range n {
		w.hosts = append(w.hosts, &host{
			id: i, up: true, cutTo: make([]bool, n),
			offset: watchdog.Instant(w.between(time.Hour, 100*time.Hour)),
			rate:   (w.rng.Float64() - 0.5) * 2 * c.ClockError,
		})
	}
	w.etcd = newEtcd(w, c.Hosts)
	for i := range c.Redis {
		w.redis = append(w.redis, newRedis(w, i))
	}
	for i := range c.Sentinels {
		w.sents = append(w.sents, newSentinel(w, i))
	}
	w.daemons = make([]*daemon, c.Hosts)
	for i := range c.Redis {
		if c.Watched[i] {
			w.daemons[i] = newDaemon(w, i)
		}
	}
	w.check.w = w
	return w
}

// logf adds a line to the history, when there is one.
func (w *World) logf(who, format string, args ...any) {
	if w.trace == nil {
		return
	}
	fmt.Fprintf(w.trace, "%9.3f %-4s %s\n", float64(w.now)/1e9, who, fmt.Sprintf(format, args...))
}

func (w *World) between(a, b time.Duration) time.Duration {
	if b <= a {
		return a
	}
	return a + time.Duration(w.rng.Int64N(int64(b-a)))
}

func (w *World) chance(p float64) bool { return w.rng.Float64() < p }

// clock is what the host's CLOCK_BOOTTIME shows now.
func (h *host) clock(w *World) watchdog.Instant {
	return w.now + h.offset + watchdog.Instant(float64(w.now)*h.rate)
}

func (w *World) at(t watchdog.Instant, fn func()) {
	if t < w.now {
		t = w.now
	}
	w.queue.push(t, fn)
}

func (w *World) after(d time.Duration, fn func()) { w.at(w.now.Add(d), fn) }

// every runs fn again and again, between a and b apart, until the run ends.
func (w *World) every(a, b time.Duration, fn func()) {
	var again func()
	again = func() {
		fn()
		w.after(w.between(a, b), again)
	}
	w.after(w.between(0, b), again)
}

func (w *World) run(until watchdog.Instant) {
	for !w.done && len(w.queue.heap) > 0 {
		t, fn := w.queue.pop()
		if t > until {
			w.now = until
			return
		}
		w.now = t
		fn()
	}
}

// reach is whether packets pass both ways between two hosts.
func (w *World) reach(a, b int) bool {
	if a == b {
		return w.hosts[a].up
	}
	ha, hb := w.hosts[a], w.hosts[b]
	return ha.up && hb.up && !ha.cutTo[b] && !hb.cutTo[a]
}

// send carries fn from host a to host b. What is sent into a cut is lost, or
// sent again by TCP, so that it arrives long after its sender gave it up.
func (w *World) send(a, b int, fn func()) {
	if a == b {
		w.after(w.between(30*time.Microsecond, 200*time.Microsecond), fn)
		return
	}
	w.transmit(a, b, fn, 200*ms)
}

func (w *World) transmit(a, b int, fn func(), rto time.Duration) {
	ha, hb := w.hosts[a], w.hosts[b]
	if !ha.up || !hb.up {
		return
	}
	if ha.cutTo[b] || (ha.loss+hb.loss > 0 && w.chance(ha.loss+hb.loss)) {
		if rto > 20*sec || (rto == 200*ms && ha.cutTo[b] && w.chance(0.4)) {
			return
		}
		boot := ha.boot
		w.after(rto, func() {
			if ha.boot == boot {
				w.transmit(a, b, fn, rto*2)
			}
		})
		return
	}
	w.after(w.between(w.Delay/2, w.Delay*3/2)+ha.slow+hb.slow, fn)
}

// queue is a heap of what is to happen, in order of time and then of asking.
type queue struct {
	heap []item
	seq  uint64
}

type item struct {
	at  watchdog.Instant
	seq uint64
	fn  func()
}

func (a *item) before(b *item) bool { return a.at < b.at || a.at == b.at && a.seq < b.seq }

func (q *queue) push(t watchdog.Instant, fn func()) {
	q.seq++
	q.heap = append(q.heap, item{t, q.seq, fn})
	h, i := q.heap, len(q.heap)-1
	x := h[i]
	for i > 0 {
		up := (i - 1) / 4
		if !x.before(&h[up]) {
			break
		}
		h[i] = h[up]
		i = up
	}
	h[i] = x
}

func (q *queue) pop() (watchdog.Instant, func()) {
	h := q.heap
	top, last := h[0], h[len(h)-1]
	h[len(h)-1] = item{}
	h = h[:len(h)-1]
	q.heap = h
	if len(h) == 0 {
		return top.at, top.fn
	}
	i := 0
	for {
		c := 4*i + 1
		if c >= len(h) {
			break
		}
		best := c
		for k := c + 1; k < min(c+4, len(h)); k++ {
			if h[k].before(&h[best]) {
				best = k
			}
		}
		if !h[best].before(&last) {
			break
		}
		h[i] = h[best]
		i = best
	}
	h[i] = last
	return top.at, top.fn
}
