package failover

// A Sentinel waits for a candidate that has died for a whole failover-timeout
// (180 s by default), and meanwhile nobody may serve: it could be promoted at any
// time. So that timeout is set to nothing for a moment, which ends the failover
// as its own lapse would; that is a setting of the operator's, and is put back
// also when the command is interrupted. A command that is killed in this moment
// leaves it, which is a fault (sentinel_failover_timeout).

import (
	"fmt"
	"time"

	"github.com/redis-watchdog/redis-watchdog/watchdog"
)

// shorten sets it to nothing.
func (f *Failover) shorten(now watchdog.Instant, sentinels []Sentinel) Action {
	f.ended, f.timeout = true, 0
	for _, s := range sentinels {
		if s.Address == f.at {
			f.timeout = s.Timeout
		}
	}
	if f.timeout <= 0 {
		f.left = fmt.Errorf("sentinel %s is not heard: it gives up by itself after its failover-timeout", f.at)
		return f.followOn(now)
	}
	f.phase = shortening
	return f.set(now, time.Millisecond)
}

func (f *Failover) set(now watchdog.Instant, d time.Duration) Action {
	return Action{Kind: SetTimeout, Through: true, Until: now.Add(giveUpTime), Sentinel: f.at, Timeout: d}
}

// followOn looks for what comes of a failover that was to be given up.
func (f *Failover) followOn(now watchdog.Instant) Action {
	f.wait(now, following, followTime)
	return f.look(now, 0)
}

func (f *Failover) shortened(now watchdog.Instant, e Event) Action {
	switch {
	case e.Err == nil:
		f.wait(now, givingUp, giveUpTime)
		return f.look(now, 0)
	case e.Failure == Refused:
		f.left = fmt.Errorf("sentinel %s refuses that (%w): it gives up by itself within %s", f.at, e.Err, f.timeout)
		return f.followOn(now)
	}
	f.left = fmt.Errorf("sentinel %s is not heard (%w): it gives up by itself within %s", f.at, e.Err, f.timeout)
	if e.Failure == NotSent {
		return f.followOn(now)
	}
	return f.restore(now) // it may have heard
}

func (f *Failover) restore(now watchdog.Instant) Action {
	f.phase = restoring
	f.tries++
	return f.set(now, f.timeout)
}

func (f *Failover) restored(now watchdog.Instant, e Event) Action {
	if e.Err != nil && f.tries < restoreTries {
		return f.restore(now)
	}
	if e.Err != nil {
		altered := fmt.Errorf("failover-timeout of sentinel %s was set to 1 and could not be put back (%w): SENTINEL SET %s failover-timeout %d",
			f.at, e.Err, f.plan.Group, f.timeout.Milliseconds())
		if f.left != nil {
			altered = fmt.Errorf("%w; %w", f.left, altered)
		}
		f.left = altered
	}
	return f.followOn(now)
}
