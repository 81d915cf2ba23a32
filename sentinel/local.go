package sentinel

import (
	"net"

	"github.com/redis-watchdog/redis-watchdog/watchdog"
)

// Local is one Redis of the group beside this watchdog.
type Local struct {
	w      *Watcher
	name   string
	report func(watchdog.Sentinels)
	hint   func(watchdog.Announcement)

	// Under w.mu.
	runID     string
	former    []string         // run ids before it, the last one first
	before    watchdog.Address // what self was in an earlier life
	announced watchdog.Address // as it was told: its host may be a name
	self      watchdog.Address

	last watchdog.Sentinels // of Run alone
}

const maxFormer = 15 // more starts than that in Sentinel's 10 s are no supervisor's

// Local adds one local Redis; before Run. report is told the tally after every
// answer that changes more than times, and once a round; hint at once of
// another master at a newer epoch. Both are called by Run's goroutine and must
// not wait.
func (w *Watcher) Local(name string, report func(watchdog.Sentinels), hint func(watchdog.Announcement)) *Local {
	l := &Local{w: w, name: name, report: report, hint: hint}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.locals = append(w.locals, l)
	return l
}

// Identify tells how to find the Redis among those the Sentinels list: by its
// run id, else by the address it is announced under ("host:port"; a host name
// is resolved). Either may be empty. One that was started again is taken to be
// where the one before was, until the Sentinels ask it for its run id or see
// another there.
func (l *Local) Identify(runID string, announced watchdog.Address) {
	at := l.at(announced) // looks a name up for the first time: here one may wait for it
	l.w.mu.Lock()
	changed := l.runID != runID || l.announced != announced
	if l.runID != runID && l.runID != "" {
		l.former = append([]string{l.runID}, l.former[:min(len(l.former), maxFormer)]...)
	}
	l.runID, l.announced = runID, announced
	l.w.state.Told(runID, l.before)
	if here := l.w.state.whose(at); here != "" && !resolved(here) && resolved(l.before) {
		l.w.state.learnAlias(here, l.before) // a run id that says otherwise undoes it
	}
	l.w.mu.Unlock()
	if changed {
		l.w.again.Raise()
	}
}

// at is the announced address in the one spelling, by what is known of its name
// now: a lookup that failed, or was still on its way, is no answer for good.
func (l *Local) at(announced watchdog.Address) watchdog.Address {
	host, port, err := net.SplitHostPort(string(announced))
	if err != nil {
		return announced
	}
	return l.w.names.Address(host, port)
}
