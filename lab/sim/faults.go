package sim

import (
	"slices"
	"time"

	"github.com/redis-watchdog/redis-watchdog/watchdog"
)

// What can go wrong. In every run one to three of these.

var harmless = []fault{
	{name: "watchdog restarted", begin: onDaemon(func(w *World, f *fault, d *daemon) { restartDaemon(w, f, d, w.between(20*ms, 400*ms), false) })},
	{name: "watchdog stopped and started", begin: onDaemon(func(w *World, f *fault, d *daemon) { restartDaemon(w, f, d, f.span, true) })},
	{name: "etcd down", begin: func(w *World, _ *fault) { w.etcd.kill() }, end: func(w *World, _ *fault) { w.etcd.boot() }},
	{name: "etcd frozen", begin: func(w *World, _ *fault) { w.etcd.freeze() }, end: func(w *World, _ *fault) { w.etcd.thaw() }},
	{name: "etcd slow", begin: func(w *World, _ *fault) { w.etcd.wait = w.between(50*ms, sec) }, end: func(w *World, _ *fault) { w.etcd.wait = 0 }},
	{name: "etcd unreachable", begin: etcdCut, end: etcdCut},
	{name: "sentinel restarted", begin: func(w *World, f *fault) {
		s := w.sentinelAt(f)
		s.die("restarted")
		w.after(w.between(50*ms, 3*sec), s.boot)
	}},
	{name: "sentinel killed", begin: func(w *World, f *fault) { w.sentinelAt(f).die("killed") }, end: func(w *World, f *fault) { w.sentinelAt(f).boot() }},
	{name: "lie", begin: lie},
	// Over before the next begins.
	{name: "redis stands still, and wakes in time", begin: onRedis(func(w *World, f *fault, r *redis) { standStill(w, min(w.bearable(), f.span), &r.proc) })},
	{name: "host stands still, and wakes in time", begin: func(w *World, f *fault) { standStill(w, min(w.bearable(), f.span), w.procsOf(f.host)...) }},
	{name: "sentinel stands still", begin: func(w *World, f *fault) {
		// Beside others that cannot be asked it may be one too many: FINDINGS.md.
		if !slices.Contains(w.Walled, true) {
			standStill(w, min(2*w.DownAfter, f.span), &w.sentinelAt(f).proc) // over before the next begins
		}
	}},
	{name: "etcd unreachable, watchdogs not run for moments", begin: func(w *World, f *fault) {
		etcdCut(w, f)
		for _, d := range w.daemons {
			if d != nil {
				notRun(w, f, w.DownAfter/5, &d.proc)
			}
		}
	}, end: etcdCut},
}

var faults = append([]fault{
	{name: "redis killed and restarted", begin: onRedis(func(w *World, f *fault, r *redis) { r.die("killed"); w.supervise(r) })},
	{name: "redis killed", begin: onRedis(func(w *World, f *fault, r *redis) { r.barred = true; r.die("killed") }),
		end: onRedis(func(w *World, f *fault, r *redis) { r.barred = false; r.boot(w.gate(r)) })},
	{name: "redis frozen", begin: onRedis(func(w *World, f *fault, r *redis) { r.freeze(); r.seen() }),
		end: onRedis(func(w *World, f *fault, r *redis) { r.thaw() })},
	{name: "long script", begin: onRedis(func(w *World, f *fault, r *redis) { r.script(f.span) })},
	{name: "host frozen", begin: hostFrozen, end: hostFrozen},
	{name: "redis stands still", begin: onRedis(func(w *World, _ *fault, r *redis) { standStill(w, 2*w.DownAfter, &r.proc) })},
	{name: "redis stands still", begin: onRedis(func(w *World, _ *fault, r *redis) { standStill(w, 2*w.DownAfter, &r.proc) })},
	{name: "host stands still", begin: func(w *World, f *fault) { standStill(w, 2*w.DownAfter, w.procsOf(f.host)...) }},
	{name: "host crashed", begin: func(w *World, f *fault) { w.crash(f.host) }, end: func(w *World, f *fault) { w.reboot(f.host) }},
	{name: "watchdog killed", begin: onDaemon(func(w *World, f *fault, d *daemon) { d.die("killed", false) }),
		end: onDaemon(func(w *World, f *fault, d *daemon) { d.boot() })},
	{name: "watchdog frozen", begin: onDaemon(func(w *World, f *fault, d *daemon) { d.freeze() }),
		end: onDaemon(func(w *World, f *fault, d *daemon) { d.thaw() })},
	{name: "watchdog crashes again and again", begin: onDaemon(crashLoop)},
	{name: "all watchdogs crash again and again", begin: func(w *World, f *fault) {
		for _, d := range w.daemons {
			if d != nil {
				crashLoop(w, f, d)
			}
		}
	}},
	{name: "isolated", begin: isolate(true, true), end: isolate(true, true)},
	{name: "isolated", begin: isolate(true, true), end: isolate(true, true)},
	{name: "deaf", begin: isolate(true, false), end: isolate(true, false)},
	{name: "mute", begin: isolate(false, true), end: isolate(false, true)},
	{name: "pair cut", begin: func(w *World, f *fault) { w.cutBoth(f.host, f.other, true) }, end: func(w *World, f *fault) { w.cutBoth(f.host, f.other, false) }},
	{name: "pair cut one way", begin: func(w *World, f *fault) { w.cut(f.host, f.other, true) }, end: func(w *World, f *fault) { w.cut(f.host, f.other, false) }},
	{name: "split", begin: split, end: mend},
	{name: "split", begin: split, end: mend},
	{name: "cut from all but etcd", begin: butEtcd, end: butEtcd},
	{name: "lossy", begin: func(w *World, f *fault) { w.hosts[f.host].loss = 0.3 }, end: func(w *World, f *fault) { w.hosts[f.host].loss = 0 }},
	{name: "slow", begin: func(w *World, f *fault) { w.hosts[f.host].slow = w.between(20*ms, 400*ms) }, end: func(w *World, f *fault) { w.hosts[f.host].slow = 0 }},
	{name: "etcd emptied", begin: func(w *World, _ *fault) { w.etcd.empty() }},
	{name: "etcd restored", begin: restored},
	{name: "grant deleted", begin: func(w *World, _ *fault) { w.etcd.deleteGrant() }},
	{name: "sentinel frozen", begin: func(w *World, f *fault) { w.sentinelAt(f).freeze() }, end: func(w *World, f *fault) { w.sentinelAt(f).thaw() }},
	{name: "all sentinels restarted", begin: func(w *World, f *fault) {
		for _, s := range w.sents {
			s.die("restarted")
			w.after(w.between(50*ms, 2*sec), s.boot)
		}
	}},
	{name: "sentinel reset", begin: func(w *World, f *fault) { w.sentinelAt(f).resetIfUp() }},
	{name: "all sentinels reset", begin: func(w *World, f *fault) {
		for _, s := range w.sents {
			s.resetIfUp()
		}
	}},
	{name: "removed and monitored", begin: func(w *World, f *fault) {
		lead := w.leader()
		for _, s := range w.sents {
			w.after(w.between(0, 500*ms), func() { s.monitorAnew(lead) })
		}
	}},
	{name: "failover typed", begin: typed},
	{name: "failover typed", begin: typed},
	{name: "clock stepped", begin: func(w *World, f *fault) {
		w.hosts[f.host].wall += w.between(-w.DownAfter/50, w.DownAfter/10)
		for _, r := range w.redis {
			if r.host == f.host {
				r.awaitArmed()
			}
		}
	}},
	{name: "fenced by hand", begin: func(w *World, f *fault) { w.order(f.host, true) }, end: func(w *World, f *fault) { w.order(f.host, false) }},
	{name: "down-after changed", begin: func(w *World, f *fault) {
		d := pick(w.rng, 3*sec, 5*sec, 10*sec)
		w.ReadSlack = 10 * sec // where the change is not heard of in time, reads are not promised
		for _, s := range w.sents {
			w.after(w.between(0, sec), func() { s.conf.downAfter = d })
		}
	}},
	{name: "coup", begin: coup, end: mend},
	{name: "coup on a host that stands still", begin: slowCoup, end: mend},
	{name: "watchdog not run for moments", begin: onDaemon(func(w *World, f *fault, d *daemon) { notRun(w, f, w.DownAfter, &d.proc) })},
	{name: "host stands still for moments", begin: func(w *World, f *fault) { notRun(w, f, w.DownAfter/2, w.procsOf(f.host)...) }},
	{name: "planned failover disturbed", begin: disturbed},
	{name: "planned failover disturbed", begin: disturbed},
	{name: "planned failover disturbed", begin: disturbed},
	{name: "planned failover, watchdog killed", begin: func(w *World, f *fault) {
		commanded(w, pick(w.rng, "stop", "fail over", "follow"), func(c *command) {
			w.after(w.between(0, 300*ms), func() { restartDaemon(w, f, w.daemon(c.from), w.between(100*ms, 5*sec), false) })
		})
	}},
	{name: "stale candidate", begin: staleCandidate, end: mend},
	{name: "lie repeated", begin: func(w *World, f *fault) {
		for t := range int(f.span / sec) {
			w.after(sec*time.Duration(t), func() { lie(w, f) })
		}
	}},
}, append(planned, harmless...)...)

// planned: an operator wants another master.
var planned = []fault{
	{name: "planned failover", begin: func(w *World, f *fault) { commanded(w, "", nil) }},
	{name: "planned failover killed", begin: func(w *World, f *fault) {
		commanded(w, pick(w.rng, "prepare", "stop", "fail over", "follow"), func(c *command) {
			w.after(w.between(0, 300*ms), func() { c.end(killed, "killed") })
		})
	}},
	{name: "planned failover interrupted", begin: func(w *World, f *fault) {
		commanded(w, pick(w.rng, "prepare", "stop", "fail over", "follow"), func(c *command) {
			w.after(w.between(0, 300*ms), func() { c.interrupted = true })
		})
	}},
}

func etcdCut(w *World, f *fault) {
	for h := range w.Hosts {
		w.cutBoth(h, w.etcd.host, f.on)
	}
}

func butEtcd(w *World, f *fault) {
	for h := range w.Hosts {
		if h != f.host {
			w.cutBoth(h, f.host, f.on)
		}
	}
}

func hostFrozen(w *World, f *fault) {
	ps := w.procsOf(f.host)
	w.rng.Shuffle(len(ps), func(i, j int) { ps[i], ps[j] = ps[j], ps[i] })
	for _, p := range ps {
		if f.on {
			p.freeze()
		} else {
			p.thaw()
		}
	}
	if f.host < len(w.redis) {
		w.redis[f.host].seen()
	}
}

func crashLoop(w *World, f *fault, d *daemon) {
	end := w.now.Add(f.span)
	var again func()
	again = func() {
		if w.now >= end || !w.hosts[d.host].up {
			return
		}
		d.die("crashes", false)
		w.after(w.between(20*ms, 600*ms), func() {
			d.boot()
			w.after(w.between(20*ms, 2*sec), again)
		})
	}
	again()
}

func restored(w *World, _ *fault) {
	e := w.etcd
	if len(e.history) == 0 {
		return
	}
	old := e.history[w.rng.IntN(len(e.history))]
	e.restore(old)
	w.logf(e.name, "restored to revision %d", old.rev)
}

// lie is a Sentinel's +switch-master that nothing stands behind.
func lie(w *World, f *fault) {
	s := w.sentinelAt(f)
	if !s.up {
		return
	}
	wrong, epoch := w.rng.IntN(w.Redis), s.conf.epoch+uint64(w.rng.IntN(3))
	w.logf(s.name, "lies: master R%d epoch %d", wrong, epoch)
	for _, d := range w.daemons {
		if d != nil {
			s.tell(&d.proc, func() { d.announced(s.id, wrong, epoch) })
		}
	}
}

func typed(w *World, f *fault) {
	if s := w.sentinelAt(f); s.up && !s.frozen {
		s.failoverCommand()
	}
}

func (s *sentinel) resetIfUp() {
	if s.up {
		s.resetCommand()
	}
}

// script blocks Redis: nothing for 5 s (busy-reply-threshold), then BUSY.
func (r *redis) script(d time.Duration) {
	if r.answers() != watchdog.Up {
		return
	}
	r.w.logf(r.name, "runs a script for %v", d)
	r.silent = r.w.now.Add(min(d, 5*sec))
	r.busy = r.w.now.Add(d)
	r.seen()
	r.after(d, func() { r.fire(); r.seen() })
}

// order is the operator's fence.
func (w *World) order(host int, fence bool) {
	if host < len(w.redis) {
		w.etcd.fenced[host] = fence
		w.etcd.rev++
	}
}

// coup types a failover behind the back of a master whose watchdog sleeps and
// whose coordinator is away.
func coup(w *World, f *fault) {
	lead := w.leader()
	w.cutBoth(lead, w.etcd.host, true)
	w.after(w.between(2*sec, 6*sec), func() {
		d := w.daemon(lead)
		d.freeze()
		w.after(f.span, d.thaw)
		w.after(w.between(0, 2*sec), func() { typed(w, f) })
	})
}

// bearable is the longest stall that must change nothing: two seconds less than D,
// or a second where D is three (docs/decision.md, "A stall is not a partition").
func (w *World) bearable() time.Duration { return max(w.DownAfter-2*sec, sec) }

// standStill has processes stand still together once, for at most so long.
func standStill(w *World, most time.Duration, ps ...*proc) {
	standFor(w, w.between(0, most), ps...)
}

func standFor(w *World, span time.Duration, ps ...*proc) {
	w.rng.Shuffle(len(ps), func(i, j int) { ps[i], ps[j] = ps[j], ps[i] })
	for _, p := range ps {
		p.freeze()
	}
	seen := func() {
		for _, r := range w.redis {
			r.seen()
		}
	}
	seen()
	w.after(span, func() {
		for _, p := range ps {
			p.thaw()
		}
		seen()
	})
}

// notRun has processes stand still together again and again, as those of a
// virtual machine whose processor is taken away: for at most so long, and run
// for at most as long in between.
func notRun(w *World, f *fault, most time.Duration, ps ...*proc) {
	end := w.now.Add(f.span)
	var again func()
	again = func() {
		if w.now >= end || w.healed != 0 {
			return
		}
		for _, p := range ps {
			p.freeze()
		}
		w.after(w.between(50*ms, most), func() {
			for _, p := range ps {
				p.thaw()
			}
			w.after(w.between(20*ms, 2*most), again)
		})
	}
	w.after(w.between(0, 2*most), again)
}

// slowCoup is a coup on one whose watchdog, or whole host, is not run for
// moments, and which can be cut from some Sentinels too.
func slowCoup(w *World, f *fault) {
	lead := w.leader()
	f.span = max(f.span, 2*w.DownAfter)
	w.cutBoth(lead, w.etcd.host, true)
	if d := w.daemon(lead); w.chance(0.7) {
		notRun(w, f, w.DownAfter*3/2, &d.proc)
	} else {
		notRun(w, f, w.DownAfter/2, w.procsOf(lead)...)
	}
	if w.chance(0.3) {
		w.cutBoth(lead, w.rng.IntN(w.Hosts), true)
	}
	for range 2 {
		w.after(w.between(0, f.span), func() { typed(w, f) })
	}
}

// staleCandidate leaves a fenced master without its watchdog, lets another
// take over, and kills that one.
func staleCandidate(w *World, f *fault) {
	f.host = w.leader()
	d := w.daemon(f.host)
	d.die("killed", false)
	isolate(true, true)(w, f)
	w.after(w.DownAfter+w.between(3*sec, 6*sec), func() {
		f.on = false
		mend(w, f)
		w.after(w.between(sec, 6*sec), func() {
			r := w.redis[w.leader()]
			r.barred = true
			r.die("killed")
			w.after(w.between(2*sec, 3*w.DownAfter), func() { r.barred = false; r.boot(w.gate(r)) })
		})
	})
}

// commanded is redis-watchdog failover on one of the hosts. then is called when
// it has come to step.
func commanded(w *World, step string, then func(*command)) {
	host, to := w.rng.IntN(w.Hosts), w.rng.IntN(w.Redis)
	if lead := w.leader(); to == lead {
		to = (to + 1) % w.Redis
	}
	if !w.hosts[host].up {
		return
	}
	c := newCommand(w, host, to)
	c.onStep = func(name string) {
		if name == step {
			then(c)
		}
	}
	c.begin()
}

// disturbed is one in whose course something else goes wrong.
func disturbed(w *World, f *fault) {
	step := pick(w.rng, "prepare", "stop", "stop", "fail over", "follow", "follow")
	commanded(w, step, func(c *command) {
		g := new(fault)
		*g = pick(w.rng, w.disturbing...)
		g.span, g.host, g.other = f.span, pick(w.rng, c.from, c.from, c.to, c.host), w.rng.IntN(w.Hosts)
		if c.at >= 0 && w.chance(0.6) {
			g.other = pick(w.rng, c.at, c.to)
		}
		w.after(w.between(0, 800*ms), func() { w.strike(g, " in "+step+" of "+c.name) })
	})
}
