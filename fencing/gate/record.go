package gate

// Keeping the record of the operator's values, and redis.conf, in order.

import (
	"time"

	"github.com/redis-watchdog/redis-watchdog/watchdog"
)

const (
	recordPatience = time.Second      // how long a lock waits for a slow disk
	rewriteAgain   = time.Minute      // after a CONFIG REWRITE that failed
	rewriteGiveUp  = 30 * time.Second // an answer to it that has not come
	rewriteLeast   = time.Second      // from the third within rewriteAgain on; doubled with each
)

// learn takes in what the last look tells of the operator's values.
func (g *Gate) learn() {
	w := &g.worker
	if !w.cur.known() {
		return
	}
	if !w.originals.Known && !g.readFile() {
		return
	}
	if w.seen.Role == watchdog.Nowhere {
		w.rejoin = true
	} else if !w.rejoin && carriesFence(w.originals, w.cur) {
		w.rejoin = true // a fence that was re-pointed while nobody looked
	}
	o, known := learn(w.originals, w.cur, w.rejoin, w.file)
	if !known {
		g.setFault(Fault{
			ID: "originals_unknown", Severity: watchdog.SeverityWarning,
			Text: "this Redis carries values of the watchdog's and no record says what they were before: taking min-replicas-to-write " +
				o.MinReplicasToWrite + ", replica-priority " + o.ReplicaPriority + ", replica-serve-stale-data " + o.ReplicaServeStale,
			Remedy: "compare with your configuration and CONFIG SET what differs, once this Redis serves",
		})
	}
	o.RunID, o.StartedFenced = w.seen.RunID, w.seen.StartedFenced
	if want, _ := g.wish(); o.Veto && !want.Veto && w.cur.prio != vetoValue {
		o.Veto = false
	}
	if o != w.originals {
		w.originals, w.learntAt = o, g.conf.Now()
		g.mu.Lock()
		g.details.Originals = o
		g.mu.Unlock()
	}
	if w.seen.Refusing && w.seen.Role == watchdog.Nowhere && !w.fencedSeen {
		w.fencedSeen, w.rewriteDue = true, true // so that a restart stays shut
	}
	if w.seen.Role != watchdog.Nowhere {
		w.fencedSeen = false
	}
	if o.Dirty && w.clean() || o.FileFenced && w.unfenced() {
		w.rewriteDue = true
	}
	g.rewrite()
}

// clean says that nothing of ours is in force.
func (w *worker) clean() bool {
	return w.cur == w.originals.settings() && !w.rejoin && !w.originals.Veto
}

// unfenced says that nothing of the fence is in force, whatever else of ours is.
func (w *worker) unfenced() bool {
	o := w.originals
	return !w.rejoin && (w.seen.Role == watchdog.Master || w.seen.Role == watchdog.Replica) &&
		w.cur.stale == o.ReplicaServeStale && (w.cur.prio == o.ReplicaPriority || o.Veto)
}

// readFile reads redis.conf, off the worker's way, for values from before us.
// It is false while it is being read.
func (g *Gate) readFile() bool {
	w := &g.worker
	if w.configFile == "" {
		return true
	}
	if w.fileRead == nil {
		path := w.configFile
		w.fileRead = g.diskJobs.do(func() { w.file = fileSettings(path); g.wake.Raise() })
	}
	select {
	case <-w.fileRead:
		return true
	default:
		return false
	}
}

// persist has the record kept when it has changed.
func (g *Gate) persist() {
	w := &g.worker
	if w.keeping != nil {
		select {
		case <-w.keeping:
			w.keeping = nil
			g.mu.Lock()
			w.kept = g.details.Recorded
			g.mu.Unlock()
		default:
			return
		}
	}
	if g.conf.Record == nil || w.originals == w.kept || !w.originals.Known {
		return
	}
	o := w.originals
	w.keeping = g.diskJobs.do(func() {
		err := g.conf.Record(o)
		if err == nil {
			g.clearFault("record")
		} else {
			g.setFault(Fault{
				ID: "record", Severity: watchdog.SeverityWarning, Text: "the record of the operator's values cannot be kept: " + err.Error(),
				Remedy: "make the state directory writable for the watchdog",
			})
		}
		g.keptNow(o, err)
	})
}

// keptNow is called by diskJobs; persist takes it over in the worker.
func (g *Gate) keptNow(o Originals, err error) {
	g.mu.Lock()
	if err == nil {
		g.details.Recorded = o
	}
	g.mu.Unlock()
	if err != nil {
		return // the next turn tries again: one at once would be followed by another
	}
	g.wake.Raise()
}

// recorded says whether the record on disk is good enough to put a value of
// ours in the place of one of the operator's.
func (g *Gate) recorded() bool {
	w, now := &g.worker, g.conf.Now()
	a, b := w.originals, w.kept
	a.Dirty, b.Dirty, a.FileFenced, b.FileFenced, a.StartedFenced, b.StartedFenced, a.RunID, b.RunID = false, false, false, false, false, false, "", ""
	return g.conf.Record == nil || a == b || (w.learntAt != 0 && now.Sub(w.learntAt) > recordPatience)
}

// faultRewrite is redis.conf that is not written.
const faultRewrite = "config_rewrite"

// rewriteBlock is why CONFIG REWRITE is not sent, and what to do about it.
type rewriteBlock struct{ why, remedy string }

// AllowRewrite says whether CONFIG REWRITE may be sent: it may where why is
// empty. A server that would not start on what it writes is worse than a file
// that does not say what runs. What is due is sent once it may be.
func (g *Gate) AllowRewrite(why, remedy string) {
	g.mu.Lock()
	was := g.noRewrite
	g.noRewrite = rewriteBlock{why, remedy}
	g.mu.Unlock()
	if was.why != "" && why == "" {
		g.clearFault(faultRewrite)
		g.wake.Raise()
	}
}

// rewrite has Redis write its redis.conf: with the fence in it once it is seen
// to refuse, with the operator's values once they are back. Sentinel's
// reconfigurations write what they find, so ours may be in there.
func (g *Gate) rewrite() {
	w := &g.worker
	now := g.conf.Now()
	if w.rewriting != nil {
		switch {
		case w.rewriting.finished():
			g.rewritten(now)
		case now.Sub(w.rewriting.sentAt) > rewriteGiveUp:
			w.rewriting, w.rewriteAt = nil, now.Add(rewriteAgain)
		}
		return
	}
	if !w.rewriteDue {
		g.clearFault(faultRewrite) // another Redis came, to which it was not due
		return
	}
	if now < w.rewriteAt {
		return
	}
	g.mu.Lock()
	h, blocked := g.primary, g.noRewrite
	g.mu.Unlock()
	if blocked.why != "" {
		g.setFault(Fault{
			ID: faultRewrite, Severity: watchdog.SeverityWarning,
			Text:   "CONFIG REWRITE is not sent, so redis.conf does not say what Redis does (a fence does not survive a restart of Redis): " + blocked.why,
			Remedy: blocked.remedy,
		})
		return
	}
	if h == nil {
		return
	}
	// Two at once are a fence and its end. Many are a quarrel, such as that about a
	// Redis fenced by hand, which Sentinel makes a replica again and again.
	if w.rewroteAt != 0 && now.Sub(w.rewroteAt) < rewriteAgain {
		w.rewriteAt = now.Add(w.rewritePause)
		w.rewritePause = min(max(2*w.rewritePause, rewriteLeast), rewriteAgain)
	} else {
		w.rewritePause = 0
	}
	w.rewroteAt = now
	w.rewroteOurs = w.originals
	w.rewroteOurs.Dirty = w.originals.Dirty && !w.clean()
	w.rewroteOurs.FileFenced = w.originals.FileFenced && !w.unfenced()
	w.rewriting = h.send(g.commands.one("CONFIG", "REWRITE"), 1, now, func(*call) { g.wake.Raise() })
	g.fail("gate.rewrite.sent")
}

func (g *Gate) rewritten(now watchdog.Instant) {
	w := &g.worker
	k := w.rewriting
	w.rewriting = nil
	if k.err != nil {
		return // the connection went: nothing was refused, and it is sent again on the next
	}
	if err := firstError(k.replies); err != nil {
		w.rewriteAt = now.Add(rewriteAgain)
		g.setFault(Fault{
			ID: faultRewrite, Severity: watchdog.SeverityWarning,
			Text:   "CONFIG REWRITE is refused, so redis.conf does not say what Redis does (a fence does not survive a restart of Redis): " + err.Error(),
			Remedy: "start Redis with a configuration file that it may write; until then the start gate is what keeps it shut",
		})
		return
	}
	g.clearFault(faultRewrite)
	w.rewriteDue = false
	o := w.rewroteOurs
	o.Dirty, o.FileFenced = w.originals.Dirty, w.originals.FileFenced
	if o != w.originals || o == w.rewroteOurs {
		return // what was written is out of date, or says nothing new
	}
	w.originals, w.learntAt = w.rewroteOurs, now
}
