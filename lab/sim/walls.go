package sim

// Sentinels that no watchdog can ask, from some moment on: a firewall, a changed
// password. They go on as before, and the watchdogs hear their PINGs at Redis
// (package pings).

import (
	"math/rand/v2"
	"slices"
	"time"

	"github.com/redis-watchdog/redis-watchdog/watchdog"
)

const (
	// heardLate is what the adapter needs until a poll is late, and it has found the
	// Sentinel's connection and looked at it.
	heardLate = 500 * ms
	// lookedAgo is how old its look before may be when a PING comes in.
	lookedAgo = 25 * ms
	// keptEvery is how often what was heard is written down.
	keptEvery = 500 * ms
)

// walls are faults of such worlds, to be asked for by name.
var walls = []fault{
	{name: "unasked sentinels hear nothing", begin: unheard, end: unheard},
	{name: "unasked sentinels are not heard", begin: mute, end: mute},
}

func unheard(w *World, f *fault) { eachWalled(w, func(s int) { w.cut(f.host, s, f.on) }) }
func mute(w *World, f *fault)    { eachWalled(w, func(s int) { w.cut(s, f.host, f.on) }) }

func eachWalled(w *World, do func(host int)) {
	for s, walled := range w.Walled {
		if walled {
			do(s)
		}
	}
}

// wall draws, apart from all else, a world of five Sentinels of which nobody can
// ask two: as many as the quorum, so that it hangs on their PINGs who may serve.
func (c *Config) wall() {
	r := rand.New(rand.NewPCG(c.Seed, 0x3a11))
	c.Walled = make([]bool, c.Sentinels)
	if r.Float64() >= 1./6 {
		return
	}
	c.Sentinels, c.Quorum = 5, 2
	c.Hosts = max(c.Redis, c.Sentinels)
	// A minority may hold the master down: see configFor. This one is heard of by
	// what others hear of it, or when it has seen the promotion.
	c.ReadSlack = max(c.ReadSlack, 1500*ms)
	c.Walled = make([]bool, c.Sentinels)
	first := r.IntN(5)
	c.Walled[first], c.Walled[(first+1+r.IntN(4))%5] = true, true
	if c.DownAfter < 5*sec {
		return // set up at once it takes longer to hear a PING than there may be left of E
	}
	c.WalledAt = watchdog.Instant(pick(r, 0, 0, 20*sec) + time.Duration(r.Int64N(int64(20*sec))))
}

// walled says that nobody can ask that Sentinel now.
func (w *World) walled(sentinel int) bool { return w.Walled[sentinel] && w.now >= w.WalledAt }

// heard is what the kernel of its host counts on the connection from one
// Sentinel to a Redis.
type heard struct {
	connection int
	sent       int              // how many answers went out on it
	acked      int              // and up to which they are acknowledged: what was lost TCP sends again before what comes after it
	at         watchdog.Instant // the newest PING whose answer was, when it came in
}

// reply carries the answer to what came in then to a Sentinel. Its host acknowledges it, whether or not
// it runs.
func (r *redis) reply(s *sentinel, pong bool, cameIn watchdog.Instant, take func()) {
	w, life := r.w, s.life
	if !w.Walled[s.id] {
		w.send(r.host, s.host, func() { s.do(life, take) })
		return
	}
	h := &r.heard[s.id]
	h.sent++
	connection, n := h.connection, h.sent
	if w.Breakage.noAck && pong {
		h.at = cameIn
	}
	w.send(r.host, s.host, func() {
		w.send(s.host, r.host, func() {
			if h.connection != connection {
				return
			}
			h.acked = max(h.acked, n)
			if pong {
				h.at = h.at.Max(cameIn.Add(-lookedAgo))
			}
		})
		s.do(life, take)
	})
}

// hearPings is the adapter's.
func (d *daemon) hearPings() {
	w := d.w
	if w.WalledAt != 0 && w.now < w.WalledAt.Add(heardLate) || !d.r.up {
		return
	}
	clock := d.now().Sub(w.now)
	for i := range w.Walled {
		h := &d.r.heard[i]
		if !w.Walled[i] || h.at == 0 || w.WalledAt != 0 && h.at < w.WalledAt.Add(heardLate) || h.at.Add(clock) < d.core.StartedAt {
			continue
		}
		if h.acked == h.sent || w.Breakage.noAck {
			d.seenAt[i] = d.now()
		}
		if d.seenAt[i] >= h.at.Add(clock) {
			d.tally.Pinged(d.tally.Self(d.fact.RunID, address(d.id)), []watchdog.Ping{{Sentinel: sentinelKey(i), At: h.at.Add(clock), SeenAt: d.seenAt[i]}})
		}
	}
	if slices.Contains(w.Walled, true) && d.now().Sub(d.keptAt) >= keptEvery {
		d.keptAt = d.now()
		d.disk.heard = d.tally.Remember()
	}
	d.settle(false)
}
