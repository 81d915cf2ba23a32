package sim

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/redis-watchdog/redis-watchdog/watchdog"
)

// fault is something that goes wrong, and is healed in the end.
type fault struct {
	name  string
	begin func(w *World, f *fault)
	end   func(w *World, f *fault)

	host, other int
	span        time.Duration
	on          bool
}

// supervise is the service manager starting Redis again.
func (w *World) supervise(r *redis) {
	w.after(w.between(300*ms, 3*sec), func() {
		if !r.barred {
			r.boot(w.gate(r))
		}
	})
}

// gate is whether the start gate starts it shut: a master's file on an
// enrolled host.
func (w *World) gate(r *redis) bool {
	d := w.daemons[r.host]
	return d != nil && d.disk.memory.Enrolled && !w.Breakage.noGate
}

func (w *World) cut(a, b int, on bool) { w.hosts[a].cutTo[b] = on }

func (w *World) cutBoth(a, b int, on bool) { w.cut(a, b, on); w.cut(b, a, on) }

func (w *World) procsOf(host int) []*proc {
	var all []*proc
	if host < len(w.redis) {
		all = append(all, &w.redis[host].proc)
	}
	if host < len(w.sents) {
		all = append(all, &w.sents[host].proc)
	}
	if host < len(w.daemons) && w.daemons[host] != nil {
		all = append(all, &w.daemons[host].proc)
	}
	for _, c := range w.commands {
		if c.host == host && c.up {
			all = append(all, &c.proc)
		}
	}
	return all
}

func (w *World) daemon(host int) *daemon {
	if host < len(w.daemons) && w.daemons[host] != nil {
		return w.daemons[host]
	}
	for _, d := range w.daemons {
		if d != nil {
			return d
		}
	}
	return nil
}

func (w *World) crash(host int) {
	h := w.hosts[host]
	if !h.up {
		return
	}
	h.up = false
	w.logf("host", "H%d crashes", host)
	if host < len(w.redis) {
		w.redis[host].dieSilently()
	}
	if host < len(w.sents) {
		w.sents[host].die("host")
	}
	if host < len(w.daemons) && w.daemons[host] != nil {
		w.daemons[host].die("host", false)
	}
	for _, c := range w.commands {
		if c.host == host {
			c.end(killed, "host")
		}
	}
}

func (w *World) reboot(host int) {
	h := w.hosts[host]
	if h.up {
		return
	}
	h.up = true
	h.boot++
	h.offset = -w.now + watchdog.Instant(w.between(2*sec, 8*sec))
	w.logf("host", "H%d boots", host)
	if host < len(w.redis) {
		r := w.redis[host]
		w.after(w.between(100*ms, 3*sec), func() { r.boot(w.gate(r)) })
	}
	if host < len(w.sents) {
		w.after(w.between(100*ms, 3*sec), w.sents[host].boot)
	}
	if host < len(w.daemons) && w.daemons[host] != nil {
		w.after(w.between(100*ms, 3*sec), w.daemons[host].boot)
	}
}

// heal ends everything.
func (w *World) heal() {
	for a := range w.hosts {
		for b := range w.hosts {
			w.cut(a, b, false)
		}
		w.hosts[a].slow, w.hosts[a].loss = 0, 0
		w.reboot(a)
	}
	w.etcd.thaw()
	w.etcd.boot()
	w.etcd.wait = 0
	w.etcd.fenced = [8]bool{}
	w.etcd.rev++
	for _, r := range w.redis {
		r.barred = false
		r.thaw()
		r.boot(w.gate(r))
	}
	for _, s := range w.sents {
		s.thaw()
		s.boot()
	}
	for _, d := range w.daemons {
		if d != nil {
			d.thaw()
			d.boot()
		}
	}
	for _, c := range w.commands {
		c.thaw()
	}
	w.healed = w.now
	w.logf("----", "all healed")
}

func (r *redis) dieSilently() {
	if !r.up {
		return
	}
	r.disk = r.data
	r.kill()
	r.armed = nil
	r.seen()
}

// draw makes the faults of a run.
func (w *World) plan() {
	w.disturbing = slices.DeleteFunc(slices.Clone(faults), func(f fault) bool { return strings.HasPrefix(f.name, "planned") })
	n := pick(w.rng, 1, 1, 2, 2, 3, 3, 4)
	at := w.between(18*sec, 30*sec)
	var end time.Duration
	for range n {
		list := w.kind.faults()
		f := new(fault)
		*f = list[w.rng.IntN(len(list))]
		for _, one := range slices.Concat(list, walls, lateWakes) {
			if one.name == w.only {
				*f = one
			}
		}
		f.span = pick(w.rng, w.between(200*ms, 2*sec), w.between(sec, 8*sec), w.between(5*sec, 40*sec), w.between(20*sec, 60*sec))
		w.at(watchdog.Instant(at), func() {
			f.host = w.rng.IntN(w.Hosts)
			if w.chance(0.65) {
				f.host = w.leader()
			}
			f.other = w.rng.IntN(w.Hosts)
			w.strike(f, "")
		})
		end = max(end, at+f.span)
		if w.kind == harmlessRun {
			at = end + w.between(0, 15*sec)
		} else {
			at += pick(w.rng, w.between(0, 3*sec), w.between(0, 20*sec), f.span+w.between(0, 10*sec))
		}
	}
	w.at(watchdog.Instant(max(end, at)+ms), w.heal)
}

// strike begins f, and ends it after its span.
func (w *World) strike(f *fault, when string) {
	if w.healed != 0 {
		return
	}
	f.on = true
	w.faults = append(w.faults, fmt.Sprintf("%.3f %s H%d H%d for %v%s", float64(w.now)/1e9, f.name, f.host, f.other, f.span.Round(ms), when))
	w.logf("----", "%s H%d H%d for %v%s", f.name, f.host, f.other, f.span, when)
	f.begin(w, f)
	if f.end == nil {
		return
	}
	w.after(f.span, func() {
		if w.healed == 0 {
			f.on = false
			w.logf("----", "end of %s", f.name)
			f.end(w, f)
		}
	})
}

// leader is the host of the newest master.
func (w *World) leader() int {
	best := 0
	for _, r := range w.redis {
		if r.role == master && r.promotion >= w.redis[best].promotion {
			best = r.id
		}
	}
	return best
}

func (w *World) sentinelAt(f *fault) *sentinel { return w.sents[f.other%len(w.sents)] }

func isolate(inward, outward bool) func(*World, *fault) {
	return func(w *World, f *fault) {
		for b := range w.hosts {
			if b != f.host {
				if inward {
					w.cut(b, f.host, f.on)
				}
				if outward {
					w.cut(f.host, b, f.on)
				}
			}
		}
	}
}

// split puts some hosts on one side, etcd on either.
func split(w *World, f *fault) {
	side := make([]bool, len(w.hosts))
	for i := range side {
		side[i] = w.chance(0.5)
	}
	side[f.host] = true
	for a := range side {
		for b := range side {
			if side[a] != side[b] {
				w.cut(a, b, true)
			}
		}
	}
}

func mend(w *World, _ *fault) {
	for a := range w.hosts {
		for b := range w.hosts {
			w.cut(a, b, false)
		}
	}
}

func onRedis(fn func(w *World, f *fault, r *redis)) func(*World, *fault) {
	return func(w *World, f *fault) { fn(w, f, w.redis[f.host%len(w.redis)]) }
}

func onDaemon(fn func(w *World, f *fault, d *daemon)) func(*World, *fault) {
	return func(w *World, f *fault) { fn(w, f, w.daemon(f.host)) }
}

func restartDaemon(w *World, f *fault, d *daemon, down time.Duration, orderly bool) {
	d.die("restarted", orderly)
	w.after(down, d.boot)
}
