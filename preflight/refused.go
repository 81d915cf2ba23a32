package preflight

import "time"

// What a replica refused of what its master wrote. It answers nobody then, its
// link stays up and its offset goes on, so that it looks to be in step; only
// unexpected_error_replies counts it (networking.c, afterErrorReply). Nothing
// but a full sync makes the data its master's again.

// Refused is what a replica's watchdog knows of that. It is kept over restarts
// of the watchdog, and the harm over restarts of the replica: it may load what
// it had and go on from there. The zero Refused has seen nothing yet.
type Refused struct {
	Count int64     `json:"count"` // refused since the last full sync that was seen; 0: nothing
	Since time.Time `json:"since"` // of the first of them, by the clock of that host; for people
	// Inherited says that all of Count stood there already at the very first
	// look: they may be older than the last full sync.
	Inherited bool `json:"inherited,omitempty"`

	Syncing bool        `json:"syncing,omitempty"` // a full sync began and has not been seen to end
	Last    ReplicaLook `json:"last"`
}

// ReplicaLook is one reading of INFO at a replica: all of it in one instant.
type ReplicaLook struct {
	RunID   string `json:"run_id"`  // empty: there was no reading
	Replica bool   `json:"replica"` // role:slave
	LinkUp  bool   `json:"link_up"`
	Syncing bool   `json:"syncing"` // master_sync_in_progress
	Errors  int64  `json:"errors"`  // unexpected_error_replies
	// The backlog: a full sync throws it away and begins a new one, a partial one
	// goes on with it.
	BacklogFirst  int64 `json:"backlog_first"`  // repl_backlog_first_byte_offset
	BacklogLength int64 `json:"backlog_length"` // repl_backlog_histlen
	BacklogSize   int64 `json:"backlog_size"`
	// Loaded are the keys of the last RDB that was loaded, those that had expired
	// among them; -1: not told (before 7.0). A running replica loads none but for
	// a full sync.
	Loaded int64 `json:"loaded"`
}

// end is the offset up to which the backlog reaches.
func (l ReplicaLook) end() int64 { return l.BacklogFirst + l.BacklogLength - 1 }

// Next is what is known after another look. It clears nothing but on the sight
// of a full sync: one that was missed (it was over between two looks, under
// heavy writes) leaves what stood.
func (r Refused) Next(now ReplicaLook, at time.Time) Refused {
	was := r.Last
	if now.RunID == "" {
		return r
	}
	next := r
	next.Last = now
	if !now.Replica {
		// Its data is the truth. What it counts as a master are its replicas'
		// connections.
		return Refused{Last: now}
	}
	grown := now.Errors
	switch {
	case was.RunID == now.RunID && !was.Replica:
		grown = 0 // the rest it counted as a master
	case was.RunID == now.RunID && now.Errors >= was.Errors:
		grown = now.Errors - was.Errors // less: CONFIG RESETSTAT
	case was.RunID != now.RunID:
		next.Syncing = false // what it has on disk may be from before
	}
	switch {
	case now.Syncing:
		next.Syncing = true
	case next.Syncing && now.LinkUp:
		// Once begun, nothing but a whole one brings the link up again.
		next = Refused{Last: now}
	case now.resynced(was):
		next = Refused{Last: now}
	}
	if grown == 0 {
		return next
	}
	if next.Count == 0 {
		next.Since, next.Inherited = at, was.RunID == ""
	} else {
		next.Inherited = false
	}
	next.Count += grown
	return next
}

// resynced is whether a full sync lies between two looks at one run of a
// replica: it has loaded another RDB, or its backlog has nothing left of what it
// had, which so few bytes cannot have pushed out.
func (l ReplicaLook) resynced(was ReplicaLook) bool {
	if was.RunID != l.RunID || !was.Replica || !l.LinkUp {
		return false
	}
	if was.Loaded != l.Loaded && was.Loaded >= 0 && l.Loaded >= 0 {
		return true
	}
	written := l.end() - was.end()
	return was.BacklogLength > 0 && was.BacklogSize == l.BacklogSize && l.BacklogFirst > was.end() &&
		written >= 0 && written <= l.BacklogSize/2
}
