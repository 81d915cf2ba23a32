package pings

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/redis-watchdog/redis-watchdog/watchdog"
)

// How long after a list the next is asked for: seldomer while it brings nothing,
// at once for Sentinels that were not among those asked for; and Redis is spared by
// what a list costs it, not by how long a busy host took to bring it.
func TestWhenTheNextListIsAskedFor(t *testing.T) {
	const short, long = 3 << 10, 3 << 20 // bytes: ten clients, ten thousand
	first, more := []Sentinel{{ID: "a", Unasked: true}}, []Sentinel{{ID: "a", Unasked: true}, {ID: "b", Unasked: true}}
	for _, c := range []struct {
		name      string
		fruitless int
		size      int
		took      time.Duration
		next      []Sentinel
		want      time.Duration
	}{
		{"the first brought nothing", 0, short, time.Millisecond, first, listEvery},
		{"the fourth brought nothing", 3, short, time.Millisecond, first, 8 * listEvery},
		{"the hundredth brought nothing", 99, short, time.Millisecond, first, listAtMost},
		{"the host was busy", 0, short, time.Second, first, listEvery},
		{"another is of interest", 99, short, time.Second, more, listShare * short * listPerByte},
		{"many clients", 0, long, time.Second, first, listShare * long * listPerByte},
		{"many clients, and another is of interest", 0, long, time.Second, more, listShare * long * listPerByte},
		{"many clients, on a fast host", 0, long, 3 * time.Millisecond, more, listShare * 3 * time.Millisecond},
	} {
		now := watchdog.Instant(time.Hour)
		s := lister{done: make(chan listed, 1), fruitless: c.fruitless, cfg: Config{
			Now: func() watchdog.Instant { return now },
			Clients: func(context.Context) (string, error) {
				return strings.Repeat("x", c.size), nil
			},
		}}
		s.known = first
		s.ask(t.Context(), first)
		r := <-s.done
		r.took = c.took
		s.ended(r)
		now = now.Add(c.want - 1)
		if s.ask(t.Context(), c.next); s.busy {
			t.Errorf("%s: asked before %v", c.name, c.want)
		}
		now++
		if s.ask(t.Context(), c.next); !s.busy {
			t.Errorf("%s: not asked after %v", c.name, c.want)
		}
		s.wait()
	}
}
