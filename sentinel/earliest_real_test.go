package sentinel

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/redis-watchdog/redis-watchdog/lab"
	"github.com/redis-watchdog/redis-watchdog/watchdog"
)

// On real Sentinels: a Redis that stands still is held down by the quorum after
// E and not before, whatever happened to their connections at that moment; and
// E is no earlier than it has to be, down-after behind the stop.
func TestQuorumHoldsDownAfterEAndNotBefore(t *testing.T) {
	for _, c := range []struct {
		name string
		stop func(r *lab.Redis)
	}{
		{"stopped", func(r *lab.Redis) { r.Stop() }},
		// They connect anew at once, to one that answers no more.
		{"stopped when it has cut the Sentinels", func(r *lab.Redis) { r.Do("CLIENT", "KILL", "TYPE", "normal"); r.Stop() }},
		{"stopped when it has cut their subscriptions", func(r *lab.Redis) { r.Do("CLIENT", "KILL", "TYPE", "pubsub"); r.Stop() }},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			l := lab.Loopback(t)
			const down = 2 * time.Second
			g := l.Group(lab.GroupConfig{DownAfter: down})
			s := watch(t, Config{Sentinels: addresses(g.Sentinels...), PollEvery: 100 * time.Millisecond}, g.Redis[0])
			s.until(l, "all is well", func(r watchdog.Sentinels) bool {
				return r.Known == 3 && r.Answering == 3 && r.Votes == 3 && !r.Accused && r.Quorum == 2
			})
			time.Sleep(rand.N(1100 * time.Millisecond)) // any moment between two PINGs
			heldDown(t, l, g, s, down, func() { c.stop(g.Redis[0]) })
		})
	}
}

// heldDown stops the master of g, and judges what s is told until two of three
// Sentinels hold it down.
func heldDown(t *testing.T, l *lab.Lab, g *lab.Group, s *seen, down time.Duration, stop func()) {
	t.Helper()
	from := make([]int, len(g.Sentinels))
	for i, one := range g.Sentinels {
		from[i] = len(one.Text())
	}
	reports := len(s.all())
	stopped := lab.Now()
	stop()
	var held []watchdog.Instant
	l.Eventually("two Sentinels hold it down", 20*time.Second+5*down, func() error {
		held = held[:0]
		for i, one := range g.Sentinels {
			if at, ok := saidDown(t, one.Text()[from[i]:]); ok {
				held = append(held, at)
			}
		}
		if len(held) < 2 {
			return fmt.Errorf("%d do", len(held))
		}
		return nil
	})
	slices.Sort(held)
	quorum := held[1]
	best := watchdog.Instant(0)
	for _, r := range s.all()[reports:] {
		if r.SentAt >= quorum { // it shows s_down itself
			break
		}
		if r.E > quorum {
			t.Errorf("E is %v after the quorum held it down, in an answer asked for %v before", r.E.Sub(quorum), quorum.Sub(r.SentAt))
		}
		best = best.Max(r.E)
	}
	t.Logf("stopped; E %v later, the quorum held it down %v after E", best.Sub(stopped), quorum.Sub(best))
	if early := stopped.Add(down).Sub(best); early > down/100 {
		t.Errorf("E is %v before down-after has passed since the stop", early)
	}
}

// saidDown is when a log last said +sdown of the master, in the lab's time.
func saidDown(t *testing.T, text string) (at watchdog.Instant, ok bool) {
	t.Helper()
	for line := range strings.Lines(text) {
		words := strings.Fields(line)
		if len(words) < 8 || words[6] != "+sdown" || words[7] != "master" {
			continue
		}
		when, err := time.ParseInLocation("2 Jan 2006 15:04:05.000", strings.Join(words[1:5], " "), time.Local)
		if err != nil {
			t.Fatalf("%q: %v", line, err)
		}
		// Its milliseconds are rounded down.
		at, ok = lab.Now().Add(time.Until(when)+time.Millisecond), true
	}
	return at, ok
}
