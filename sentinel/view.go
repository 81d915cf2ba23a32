package sentinel

// What people and the evidence in etcd are shown.

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/redis-watchdog/redis-watchdog/watchdog"
)

// SentinelView is one Sentinel as it was last heard.
type SentinelView struct {
	Address   string // where it is found: resolved if it was ever reached
	RunID     string // empty: not known
	Answering bool
	Master    watchdog.Address // it names; empty: none
	Epoch     uint64
	Tilt      bool
	Down      []watchdog.Address // the Redis it holds s_down
	Failover  bool               // it shows a failover not past wait_promotion
	Replicas  []ReplicaView      // it lists, as of its last answer that told them
	Quorum    int
	DownAfter time.Duration
	// FailoverTimeout is how long a failover may take in each of its steps.
	FailoverTimeout time.Duration
	SentAt          watchdog.Instant // of its last answer; zero: never
	Error           string           // of the last poll; empty: it was answered

	// Counted since the conversation began.
	Polls, Failures, Garbage, Subscriptions uint64
}

// ReplicaView is a replica as one Sentinel shows it.
type ReplicaView struct {
	Address  watchdog.Address
	Priority int  // 0: it does not promote it; -1: not told
	Down     bool // it holds it s_down, or has no connection to it
}

// View is a copy of everything heard, at one instant.
type View struct {
	At        watchdog.Instant
	Known     int
	Majority  bool             // more than half of Known name Master at Epoch
	Master    watchdog.Address // the last that a majority named
	Epoch     uint64
	Sentinels []SentinelView
}

// Saying is who names master at epoch now, by run id (or address): the evidence
// for an agreement.
func (v View) Saying(master watchdog.Address, epoch uint64) []string {
	var ids []string
	for _, s := range v.Sentinels {
		if !s.Answering || s.Master != master || s.Epoch != epoch {
			continue
		}
		if s.RunID == "" {
			ids = append(ids, s.Address)
		} else {
			ids = append(ids, s.RunID)
		}
	}
	return ids
}

// View is what was heard up to now.
func (w *Watcher) View() View {
	w.mu.Lock()
	defer w.mu.Unlock()
	now := w.cfg.Now()
	s := &w.state
	v := View{At: now, Known: s.known.n, Majority: s.majority, Master: s.named, Epoch: s.epoch}
	for i := range s.Members {
		m := &s.Members[i]
		a := &m.Last
		word := SentinelView{
			Address: string(m.Address), RunID: m.RunID, Answering: s.fresh(m, now),
			Master: a.Named, Epoch: a.Master.Epoch, Tilt: m.Tilt, Failover: a.Master.failing(),
			Quorum: a.Master.Quorum, DownAfter: a.Master.DownAfter, FailoverTimeout: a.Master.FailoverTimeout, SentAt: a.SentAt,
		}
		if word.Address == "" {
			word.Address = m.Key
		}
		if a.Master.Has(FlagSDown) {
			word.Down = append(word.Down, a.Master.Address)
		}
		for _, r := range a.Replicas {
			if r.Has(FlagSDown) {
				word.Down = append(word.Down, r.Address)
			}
			word.Replicas = append(word.Replicas, ReplicaView{r.Address, r.Priority, r.Has(FlagSDown) || r.Has(FlagDisconnected)})
		}
		if n := w.notes[m.Key]; n != nil {
			word.Error, word.Polls, word.Failures = n.err, n.polls, n.failures
			word.Garbage, word.Subscriptions = n.garbage, n.subscriptions
		}
		v.Sentinels = append(v.Sentinels, word)
	}
	return v
}

// Addresses are all Redis the Sentinels list for the group, sorted: whom the
// gate may follow, and by which a stranger is told.
func (w *Watcher) Addresses() []watchdog.Address {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.state.Addresses()
}

// Self is how the Sentinels call this Redis; empty: they do not list it.
func (l *Local) Self() watchdog.Address {
	l.w.mu.Lock()
	defer l.w.mu.Unlock()
	return l.self
}

func (w *Watcher) note(key string) *note {
	n := w.notes[key]
	if n == nil {
		n = &note{}
		w.notes[key] = n
	}
	return n
}

// subscribed, as unsubscribed, noteGood and noteError, is called under w.mu.
func (w *Watcher) subscribed(key string) {
	n := w.note(key)
	n.subscriptions++
	n.deaf = ""
}

// unsubscribed notes that a Sentinel does not let us subscribe: its polls are
// answered all the same, so nothing else would tell.
func (w *Watcher) unsubscribed(key string, err error) { w.note(key).deaf = err.Error() }

// noteGood and noteError keep what Faults makes of a conversation; whoever shows
// the faults logs them. For whoever looks closer, each streak has its first and its
// last line here.
func (w *Watcher) noteGood(key string) {
	n := w.note(key)
	n.polls++
	if n.kind != errorNone {
		w.log.Debug("sentinel answers", "group", w.cfg.Group, "sentinel", key, "failures", n.failures)
	}
	n.kind, n.err = errorNone, ""
}

func (w *Watcher) noteError(key string, err error) {
	if errors.Is(err, context.Canceled) {
		return
	}
	n := w.note(key)
	kind := errorAway
	switch {
	case errors.Is(err, errRefused):
		kind = errorRefused
	case ofTLS(err):
		kind = errorTLS
	case isGarbage(err):
		kind = errorGarbage
		n.garbage++
	}
	n.failures++
	if n.kind != kind {
		w.log.Debug("conversation with sentinel failed", "group", w.cfg.Group, "sentinel", key, "error", err)
	}
	n.kind, n.err = kind, fmt.Sprint(err)
}
