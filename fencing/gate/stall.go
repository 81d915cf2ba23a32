package gate

import (
	"time"

	"github.com/redis-watchdog/redis-watchdog/watchdog"
)

// StallLeast is the shortest time without an answer that is told as a Stall.
const StallLeast = lookTimeout

// Stall is a time in which a Redis that went on running did not answer: a slow
// command, a fork, a host that was paused. One that answers BUSY or LOADING
// answers.
type Stall struct {
	RunID string           // of the Redis
	From  watchdog.Instant // when what it did not answer was asked: up to one poll after it stood still
	For   time.Duration    // from then until it answered; at least StallLeast
	Slept time.Duration    // for how long of it the watchdog was not run either; 0: it was
	Fired bool             // its armed fence fired meanwhile: it woke past its time, and refuses
}

// debt is an answer that a Redis owes. The zero debt: it owes none.
type debt struct {
	runID string
	since watchdog.Instant // when the first that it did not answer was asked
	slept time.Duration
}

// owes notes that what was asked then has not been answered.
func (d *debt) owes(runID string, asked watchdog.Instant) {
	if d.since == 0 || d.runID != runID {
		*d = debt{runID: runID, since: asked}
	}
}

// sleptIn notes how long a wait for an answer took that should have taken no more
// than most.
func (d *debt) sleptIn(took, most time.Duration) {
	if took > most+sleptLeast {
		d.slept += took - most
	}
}

// sleptLeast is how late a busy host may run us, and it is no standing still.
const sleptLeast = 200 * time.Millisecond

// paid tells of the stall, if it was one, that this answer ends.
func (g *Gate) paid(l *observation, before, seen watchdog.Redis) {
	d := g.worker.owed
	g.worker.owed = debt{}
	d.owes(seen.RunID, l.call.sentAt) // another run than owed: that one is gone
	at := watchdog.Instant(l.answeredAt.Load())
	if at == 0 {
		at = g.conf.Now() // it came this moment
	}
	g.mu.Lock()
	sent := g.fenceSent
	g.mu.Unlock()
	s := Stall{RunID: seen.RunID, From: d.since, For: at.Sub(d.since), Slept: d.slept}
	// One that was hung up, and that Redis had not seen to be, fires unheard.
	s.Fired = watchdog.Instant(g.firedAt.Load()) >= d.since ||
		!sent && before.RunID == seen.RunID && before.Role == watchdog.Master && seen.Role == watchdog.Nowhere
	if s.For < StallLeast || s.RunID == "" || g.conf.Stalled == nil {
		return
	}
	g.conf.Stalled(s)
}
