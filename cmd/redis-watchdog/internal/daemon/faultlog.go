package daemon

import (
	"sync"
	"time"

	"github.com/hashicorp/go-hclog"

	"github.com/redis-watchdog/redis-watchdog/watchdog/agent"
)

// faultLog is the one place that logs a node's faults, whoever raised them: each
// once it has lasted for faultLasts, and its end. What etcd does not answer for a
// moment needs nobody; what it has not answered for some seconds does. It also
// knows since when each is there. The zero faultLog with a log has seen none.
// Observe is for the one goroutine that publishes the node's report, begun for
// all.
type faultLog struct {
	log hclog.Logger

	mu     sync.Mutex
	active map[faultKey]activeFault // as last observed
}

// faultKey names one fault, of one or several members or Sentinels alike.
type faultKey struct {
	id       string
	severity agent.Severity
}

type activeFault struct {
	since  time.Time
	logged bool
}

// faultLasts is how long a fault must have been there to be logged.
const faultLasts = 3 * time.Second

// observe takes what is wrong now, each fault with its Since.
func (l *faultLog) observe(faults []agent.Fault, now time.Time) {
	l.mu.Lock()
	defer l.mu.Unlock()
	active := make(map[faultKey]activeFault, len(faults))
	for _, f := range faults {
		key := faultKey{f.ID, f.Severity}
		if _, again := active[key]; again {
			continue
		}
		a, known := l.active[key]
		if !known {
			a.since = f.Since
		}
		if !a.logged && now.Sub(a.since) >= faultLasts {
			a.logged = true
			log := l.log.Warn
			if f.Severity == agent.SeverityError {
				log = l.log.Error
			}
			log("fault", "id", f.ID, "text", f.Text, "remedy", f.Remedy)
		}
		active[key] = a
	}
	for key, a := range l.active {
		if _, still := active[key]; a.logged && !still {
			l.log.Info("fault is gone", "id", key.id)
		}
	}
	l.active = active
}

// begun fills in since when each of the faults is there: now, of one that was not
// observed yet. It changes nothing of the log: a status may be read as often as
// anybody likes.
func (l *faultLog) begun(faults []agent.Fault, now time.Time) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for i := range faults {
		f := &faults[i]
		f.Since = now
		if a, known := l.active[faultKey{f.ID, f.Severity}]; known {
			f.Since = a.since
		}
	}
}
