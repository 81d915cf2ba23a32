package sim

// Stalls at every step, beside whatever else goes wrong (-sim.stalls): whenever a
// watchdog wants something else than before, a failover goes on, or a planned one
// comes to its next step, somebody who has a part in it may stand still.

import "time"

const (
	stallChance  = 0.2
	stallsAtMost = 12 // in one run: it shall come to its end
)

// opening says that the watchdog of this host opens its Redis: in the runs that are
// about that, the host stands still then or in the moment after.
func (w *World) opening(host int) {
	if !w.Config.openings || w.kind != anyRun || w.healed != 0 || w.stalls >= stallsAtMost {
		return
	}
	w.stalls++
	w.after(w.between(0, 2*ms), func() { standFor(w, w.between(w.DownAfter, 2*w.DownAfter), w.procsOf(host)...) })
}

// stepped says that something went on that concerns these hosts.
func (w *World) stepped(hosts ...int) {
	if !w.stallsNow() || !w.chance(stallChance) {
		return
	}
	host := hosts[w.rng.IntN(len(hosts))]
	if host < 0 || host >= w.Hosts {
		return
	}
	w.stalls++
	after := pick(w.rng, 0, w.between(0, 20*ms), w.between(0, 500*ms))
	most := 2 * w.DownAfter
	w.after(after, func() { w.stall(host, most) })
}

func (w *World) stallsNow() bool {
	return w.Config.stalls && w.kind == anyRun && w.healed == 0 && w.now >= w.WatchFrom && w.stalls < stallsAtMost
}

// stall has somebody on a host stand still, or etcd, for at most so long.
func (w *World) stall(host int, most time.Duration) {
	if w.healed != 0 {
		return
	}
	var ps []*proc
	switch w.rng.IntN(6) {
	case 0, 1:
		if host < len(w.redis) {
			ps = []*proc{&w.redis[host].proc}
		}
	case 2:
		if host < len(w.daemons) && w.daemons[host] != nil {
			ps = []*proc{&w.daemons[host].proc}
		}
	case 3:
		if host < len(w.sents) {
			ps = []*proc{&w.sents[host].proc}
		}
	case 4:
		ps = w.procsOf(host)
	case 5:
		w.logf("----", "etcd stands still")
		w.etcd.freeze()
		w.after(w.between(0, most), w.etcd.thaw)
		return
	}
	if len(ps) == 0 {
		return
	}
	w.logf("----", "%d on H%d stand still, %s the first", len(ps), host, ps[0].name)
	standStill(w, most, ps...)
}

// wakesLate is a fault to be asked for by name: a Redis stands still for nearly
// down-after-milliseconds. Sentinel alone hears it again before it holds it down.
const wakesLate = "redis stands still for nearly down-after"

var lateWakes = []fault{{name: wakesLate, begin: onRedis(func(w *World, _ *fault, r *redis) {
	standFor(w, w.between(w.DownAfter*7/8, w.DownAfter-10*ms), &r.proc)
})}}
