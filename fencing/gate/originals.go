package gate

// The operator's values of what the gate changes.

import (
	"bufio"
	"os"
	"strings"

	"github.com/redis-watchdog/redis-watchdog/watchdog"
)

// Originals is what the operator set, and what must be remembered over a crash
// to tell his values from ours. It is comparable. The zero value knows nothing.
type Originals struct {
	Known              bool   `json:"known"`
	MinReplicasToWrite string `json:"min_replicas_to_write"`
	MinReplicasMaxLag  string `json:"min_replicas_max_lag"`
	ReplicaPriority    string `json:"replica_priority"`
	ReplicaServeStale  string `json:"replica_serve_stale_data"`

	Veto          bool   `json:"veto"`           // a replica-priority of 0 is ours
	Dirty         bool   `json:"dirty"`          // redis.conf may hold values of ours: to be rewritten once none is in force
	FileFenced    bool   `json:"file_fenced"`    // it may hold the fence: to be rewritten as soon as that is off, although a replica's lock is in force
	RunID         string `json:"run_id"`         // of the Redis last seen
	StartedFenced bool   `json:"started_fenced"` // that Redis was started shut and has not been opened since
}

// settings are the four parameters as Redis has them now.
type settings struct {
	lock, lag, prio, stale string
}

func (s settings) known() bool {
	return s.lock != "" && s.lag != "" && s.prio != "" && s.stale != ""
}

func (s settings) locked() bool { return s.lock == lockValue && s.lag != "0" }

// defaults are Redis' own, for when nothing better is known.
func defaults() settings { return settings{lock: "0", lag: "10", prio: "100", stale: "yes"} }

func (o Originals) settings() settings {
	return settings{o.MinReplicasToWrite, o.MinReplicasMaxLag, o.ReplicaPriority, o.ReplicaServeStale}
}

// carriesFence says whether cur carries the fence's values, which are left when a
// fence is no longer a replica of nowhere: Sentinel re-pointed it, or we died
// between opening and restoring.
func carriesFence(o Originals, cur settings) bool {
	return cur.stale == staleValue && cur.prio == vetoValue && cur.lock == lockValue &&
		(!o.Known || o.ReplicaServeStale != staleValue || o.ReplicaPriority != vetoValue)
}

// learn is o with what cur tells of the operator's values: everything that is
// not ours. fenced says that the values of the fence may be in force. known is
// false when a value had to be guessed (then file, or Redis' default, stands
// in for it).
func learn(o Originals, cur settings, fenced bool, file settings) (learnt Originals, known bool) {
	first := !o.Known
	fenced = fenced || carriesFence(o, cur)
	known = true
	guess := func(from, ours, otherwise string) string {
		known = false
		if from != "" && from != ours {
			return from
		}
		return otherwise
	}
	d := defaults()
	switch {
	case cur.lock != lockValue:
		o.MinReplicasToWrite = cur.lock
	case first:
		o.MinReplicasToWrite = guess(file.lock, lockValue, d.lock)
	}
	if ours := cur.lock == lockValue && cur.lag == lagValue && o.MinReplicasMaxLag == "0"; first || !ours {
		o.MinReplicasMaxLag = cur.lag
	}
	switch {
	case cur.stale != staleValue || !fenced:
		o.ReplicaServeStale = cur.stale
	case first:
		o.ReplicaServeStale = guess(file.stale, staleValue, d.stale)
	}
	switch {
	case cur.prio != vetoValue || !(fenced || o.Veto):
		o.ReplicaPriority = cur.prio
	case first:
		o.ReplicaPriority = guess(file.prio, vetoValue, d.prio)
	}
	o.Known = true
	if cur.lock == lockValue || fenced || o.Veto {
		o.Dirty = true
	}
	if fenced {
		o.FileFenced = true
	}
	return o, known
}

// aim is what the four parameters shall be for w; cur where nothing is to be
// done. It is the one owner of all of them.
func aim(w watchdog.Gate, seen watchdog.Redis, cur settings, o Originals, rejoining, pauseWrite bool) settings {
	to := cur
	if w.Access == watchdog.Refuse || (w.Access == watchdog.Leave && !w.Release) {
		return to
	}
	lock := func(on bool) {
		if on {
			to.lock = lockValue
			if cur.lag == "0" {
				to.lag = lagValue
			}
		} else if cur.lock == lockValue {
			to.lock, to.lag = o.MinReplicasToWrite, o.MinReplicasMaxLag
		}
	}
	switch seen.Role {
	case watchdog.Nowhere: // fenced: nothing is restored before it has a role
		return to
	case watchdog.Replica:
		if w.Access != watchdog.Hold && w.Access != watchdog.Leave {
			lock(!w.Unlocked || rejoining) // until restored the lock is part of the mark: see marked
		}
		if rejoining && !seen.LinkUp {
			return to
		}
	case watchdog.Master:
		switch w.Access {
		case watchdog.Lock, watchdog.Follow:
			lock(true)
		case watchdog.Serve:
			lock(false)
		case watchdog.Hold:
			if !pauseWrite || w.Beneath {
				lock(true)
			}
		}
	default:
		return to
	}
	if w.Release {
		lock(false)
	}
	to.stale, to.prio = o.ReplicaServeStale, o.ReplicaPriority
	if w.Veto && !w.Release && seen.Role == watchdog.Replica {
		to.prio = vetoValue
	}
	return to
}

// fileSettings reads what redis.conf itself says of the four; includes are not
// followed. What it does not say is "". A value of ours does not stand for one
// of the operator's above it: the start gate puts ours at the end.
func fileSettings(path string) settings {
	var s settings
	f, err := os.Open(path)
	if err != nil {
		return s
	}
	defer f.Close()
	lines := bufio.NewScanner(f)
	for lines.Scan() {
		words := strings.Fields(lines.Text())
		if len(words) != 2 {
			continue
		}
		value := strings.ToLower(strings.Trim(words[1], `"'`))
		set := func(of *string, ours string) {
			if *of == "" || value != ours {
				*of = value
			}
		}
		switch strings.ToLower(words[0]) {
		case keyLock, "min-slaves-to-write":
			set(&s.lock, lockValue)
		case keyLag, "min-slaves-max-lag":
			set(&s.lag, "")
		case keyPrio, "slave-priority":
			set(&s.prio, vetoValue)
		case keyStale, "slave-serve-stale-data":
			set(&s.stale, staleValue)
		}
	}
	return s
}
