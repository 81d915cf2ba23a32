package daemon

// A process that is run late. What keeps masters open comes first then: the evidence
// and the fences that are put off with it. What is for people waits, is left out and
// counted, for the work of one slow moment would be what makes the next.

import (
	"sync"
	"sync/atomic"
	"time"

	"github.com/redis-watchdog/redis-watchdog/watchdog"
	"github.com/redis-watchdog/redis-watchdog/watchdog/agent"
)

const (
	// lateLeast is how late counts: a host that is merely busy runs us within some
	// ten milliseconds.
	lateLeast = 100 * time.Millisecond
	// lateLasts is how long after it was last late a process counts as such.
	lateLasts = 2 * time.Second
	// latePatience is how long what is for people waits for that to be over: of a host
	// that is short of processor for good people are to be told, and vetoes judged.
	latePatience = 10 * time.Second
)

// lateness is how late this process was run lately. The zero value has never been late.
type lateness struct {
	left atomic.Uint64 // what was left out for it
	was  atomic.Bool   // it was late, and that is not known to be over

	mu   sync.Mutex
	most time.Duration
	at   watchdog.Instant // when it was last late; zero: never
}

// seen takes in by how much it was late at now.
func (l *lateness) seen(late time.Duration, now watchdog.Instant) {
	if late < lateLeast {
		return
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.over(now) {
		l.most = 0
	}
	l.most, l.at = max(l.most, late), now
	l.was.Store(true)
}

func (l *lateness) over(now watchdog.Instant) bool { return l.at == 0 || now.Sub(l.at) >= lateLasts }

// lately is by how much it was late at the most, since it was last in time for
// lateLasts; zero: it is in time.
func (l *lateness) lately(now watchdog.Instant) time.Duration {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.over(now) {
		l.was.Store(false)
		return 0
	}
	return l.most
}

// armedLate is lately for those who arm fences, where these wait for one another: of a
// few Redis each is better put off as far as it can be.
func (d *Daemon) armedLate() time.Duration {
	if !d.many.Load() {
		return 0
	}
	return d.lately()
}

// lately is for those who ask often, and have no other clock.
func (d *Daemon) lately() time.Duration {
	if !d.late.was.Load() {
		return 0
	}
	return d.late.lately(agent.Boottime())
}

// patience is that of one who does something for people again and again. It is for
// one goroutine.
type patience struct {
	late  *lateness
	since watchdog.Instant // since when it has waited; zero: it does not
}

// waits says whether this time is to be left out.
func (p *patience) waits(now watchdog.Instant) bool {
	switch {
	case p.late.lately(now) == 0:
		p.since = 0
		return false
	case p.since == 0:
		p.since = now
	case now.Sub(p.since) >= latePatience:
		p.since = now // and from then on anew
		return false
	}
	p.late.left.Add(1)
	return true
}
