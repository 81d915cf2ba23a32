// Command picture records one failover of a real group and draws it: what the
// clients, the Redis, the grant and the Sentinels did, on one time line. Run it by
// `make picture`; it needs root, for its namespaces. The drawing of README.md is
// such a recording.
package main

import (
	"fmt"
	"os"
	"strings"
	"sync"
	"time"

	"github.com/redis-watchdog/redis-watchdog/lab"
	"github.com/redis-watchdog/redis-watchdog/lab/watched"
	"github.com/redis-watchdog/redis-watchdog/watchdog"
	"github.com/redis-watchdog/redis-watchdog/watchdog/agent"
)

const (
	downAfter = 5 * time.Second
	before    = time.Second // of the cut, in the picture
	after     = time.Second // of the grant
	rate      = 400         // writes a second, each writer
	every     = 20 * time.Millisecond
)

func main() {
	if len(os.Args) != 2 {
		fmt.Fprintln(os.Stderr, "usage: picture FILE.svg")
		os.Exit(64)
	}
	os.Exit(lab.NewProgram("picture", os.Stderr).Run(func(p *lab.Program) {
		r := record(p)
		if err := os.WriteFile(os.Args[1], []byte(draw(r)), 0o644); err != nil {
			p.Fatalf("write picture: %v", err)
		}
		p.Logf("%s: %s", os.Args[1], r.story())
	}))
}

// sample is one status of a node.
type sample struct {
	at watchdog.Instant
	agent.Status
}

// record cuts a master off with a writer beside it, and waits until a writer on
// the other side has been served for a while.
func record(p *lab.Program) recording {
	w := watched.Start(p, watched.Options{Group: lab.GroupConfig{DownAfter: downAfter}})
	roles := w.Group.WatchRoles()
	old := w.WaitServing()
	sampled := watch(p, w)
	inside := old.Host.Writer(lab.LoadConfig{Name: "inside", To: old.Redis, Rate: rate})
	outside := w.Others(old)[0].Host.Writer(lab.LoadConfig{Name: "outside", Sentinels: w.Group.Sentinels, Rate: rate, Timeout: time.Second})
	begun := lab.Now()
	inside.WaitOK(begun, time.Minute)
	outside.WaitOK(begun, time.Minute)
	w.Pause(before + 200*time.Millisecond)

	cut := w.Mark("cut")
	w.Isolate(old.Host)
	next := w.WaitServing(w.Others(old)...)
	outside.WaitOK(lab.Now(), time.Minute)
	w.Pause(after)
	samples := sampled()
	r := recording{cut: cut, old: node(samples[old], cut), next: node(samples[next], cut)}
	r.old.writes = seconds(inside.Stop().On(old.Redis.Address), cut)
	r.next.writes = seconds(outside.Stop().On(next.Redis.Address), cut)
	for i, redis := range w.Group.Redis {
		switch redis {
		case old.Redis:
			if fence, ok := roles[i].First(cut, func(r lab.Role) bool { return r.Following == "127.0.0.1:0" }); ok {
				r.fence = fence.At.Sub(cut).Seconds()
			}
		case next.Redis:
			r.promoted = roles[i].BecameMaster(cut).At.Sub(cut).Seconds()
		}
	}
	r.down = heldDown(w, cut)
	if r.fence <= 0 || r.promoted <= 0 {
		p.Fatalf("fenced %v s after the cut, another promoted %v s after it: nothing to draw", r.fence, r.promoted)
	}
	return r
}

// watch asks every watchdog for its status until it is called, and is all it got.
func watch(p *lab.Program, w *watched.World) func() map[*watched.Watchdog][]sample {
	done := make(chan struct{})
	var asking sync.WaitGroup
	all := make([][]sample, len(w.Watchdogs))
	for i, d := range w.Watchdogs {
		asking.Go(func() {
			tick := time.NewTicker(every)
			defer tick.Stop()
			for {
				select {
				case <-done:
					return
				case <-tick.C:
				}
				at := lab.Now()
				if s, err := d.TryStatus(); err == nil {
					all[i] = append(all[i], sample{at, s})
				}
			}
		})
	}
	stop := sync.OnceFunc(func() { close(done); asking.Wait() })
	p.Cleanup(stop)
	return func() map[*watched.Watchdog][]sample {
		stop()
		by := map[*watched.Watchdog][]sample{}
		for i, d := range w.Watchdogs {
			by[d] = all[i]
		}
		return by
	}
}

// node is what the samples say, in seconds after the cut.
func node(samples []sample, cut watchdog.Instant) (n nodeRecord) {
	for _, s := range samples {
		at := s.at.Sub(cut).Seconds()
		if at < -before.Seconds() {
			at = -before.Seconds()
		}
		n.phases = n.phases.add(at, s.Phase)
		grant := ""
		if s.GrantOurs {
			grant = "grant"
		}
		n.grants = n.grants.add(at, grant)
		if s.EarliestPromotion > 0 {
			n.earliest = at + s.EarliestPromotion
		}
		n.end = at
	}
	return n
}

func seconds(writes lab.Trace, cut watchdog.Instant) (all []float64) {
	for _, a := range writes.OK() {
		all = append(all, a.Received.Sub(cut).Seconds())
	}
	return all
}

// heldDown is when each Sentinel held the master down, by its log, whose clock is
// the machine's.
func heldDown(w *watched.World, cut watchdog.Instant) (all []float64) {
	now := lab.Now()
	wall := w.Wall(now)
	for _, s := range w.Group.Sentinels {
		for line := range strings.Lines(s.Text()) {
			_, rest, ok := strings.Cut(line, ":X ")
			if !ok || !strings.Contains(rest, "+sdown master") || len(rest) < len("28 Nov 2026 23:24:39.813") {
				continue
			}
			at, err := time.ParseInLocation("02 Jan 2006 15:04:05.000", rest[:len("28 Nov 2026 23:24:39.813")], time.Local)
			if err == nil {
				if after := now.Add(at.Sub(wall)).Sub(cut).Seconds(); after > 0 {
					all = append(all, after)
				}
			}
		}
	}
	return all
}
