package failover

import (
	"time"

	"github.com/redis-watchdog/redis-watchdog/watchdog"
)

// Plan is one planned failover. All fields are needed.
type Plan struct {
	Group     string
	ID        string // of the order in etcd; random
	From, To  watchdog.Address
	Others    []watchdog.Address // the replicas that must not be promoted
	DownAfter time.Duration      // the smallest that any Sentinel reports
}

// Kind is what an Action does. The zero Kind ends the failover.
type Kind uint8

const (
	Finish     Kind = iota // nothing is left to do: Result and Err are final
	Begin                  // write the order to etcd
	Look                   // read etcd, and what the Sentinels were last heard to say
	Stop                   // write the second half of the order: From's writers are to be stopped
	FailOver               // SENTINEL FAILOVER
	SetTimeout             // SENTINEL SET failover-timeout
	End                    // take the order back
)

// Action is what is to be done next. Its outcome is the next Event.
type Action struct {
	Kind  Kind
	After time.Duration    // how long to wait first
	Until watchdog.Instant // what has not come of it by then is an error; zero: as soon as the asked one's own limit says so
	// Through says that it is carried out although the command is interrupted.
	Through bool

	Lasts    time.Duration // Begin, Stop: how long the order stands at most, whatever becomes of us
	Poll     bool          // Look: have the Sentinels asked anew
	Sentinel string        // FailOver, SetTimeout: its address
	Timeout  time.Duration // SetTimeout: the value

	Say string // what is so now, for people; empty: nothing new

	Result Result // Finish
	Err    error  // Finish: why it could not even begin; then nothing was changed
}

// Failure is how a request failed.
type Failure uint8

const (
	Unanswered Failure = iota // it may have been done, or not
	Refused                   // it was not done, and the asked one says why
	NotSent                   // it was not done
)

// Event is what came of the last Action; the zero Event begins.
type Event struct {
	Err     error   // nil: it was done, or etcd was read
	Failure Failure // with Err, of FailOver and SetTimeout
	// Interrupted says that a Look was not, because the command is to end.
	Interrupted bool

	View      View       // of a Look, without Err
	Sentinels []Sentinel // of every Look
}

// View is what etcd shows of a planned failover at one revision.
type View struct {
	Order   string           // the ID of the order that stands; empty: none
	Master  watchdog.Address // of the agreement
	Holder  watchdog.Address // of the grant; empty: nobody
	Answers map[watchdog.Address]Answer
}

// Answer is what the watchdog of a Redis has answered to an order. The zero
// Answer is none.
type Answer struct {
	ID        string // of the order it answers
	Stop      bool   // of the order it answers
	Role      string // "master", "replica" or another
	Following watchdog.Address
	LinkUp    bool
	Vetoed    bool  // its replica-priority is seen to be 0
	Barred    bool  // 0 is its operator's own replica-priority
	Held      bool  // no write is executed: the lock is seen set
	Serving   bool  // as a master that accepts writes
	Offset    int64 // of replication; with Held, the last there will be
	Fault     string
}

// Sentinel is one of them as it was last heard.
type Sentinel struct {
	Address   string
	Answering bool
	Tilt      bool
	Failover  bool             // it shows one that may still promote
	Master    watchdog.Address // it names; empty: none
	// Timeout is its failover-timeout; zero: not known.
	Timeout  time.Duration
	Replicas []Replica // it lists
}

// Replica is a replica as a Sentinel shows it.
type Replica struct {
	Address  watchdog.Address
	Priority int  // 0: it does not promote it; -1: not told
	Down     bool // it holds it s_down, or has no connection to it
}

// Outcome is what became of a planned failover. The zero Outcome is none yet.
type Outcome string

const (
	Done    Outcome = "done"    // the new master is granted
	Undone  Outcome = "undone"  // it came to nothing; the old master serves on
	Unclear Outcome = "unknown" // half done, and what becomes of it could not be seen
)

// Times are when each step was seen done, counted from before the order to stop
// the writers was written; zero: it was not.
type Times struct {
	Held     time.Duration `json:"held"`     // no write is executed at the old master
	Equal    time.Duration `json:"equal"`    // the new one has all of its data
	Asked    time.Duration `json:"asked"`    // a Sentinel took the order
	Promoted time.Duration `json:"promoted"` // the new one is a master, still locked
	Agreed   time.Duration `json:"agreed"`   // etcd names it
	Granted  time.Duration `json:"granted"`  // the grant is its own
	Opened   time.Duration `json:"opened"`   // it was seen to accept writes
}

// Result is what became of it, for people and machines.
type Result struct {
	Outcome Outcome `json:"outcome"`
	Text    string  `json:"text"`   // what state the group is in, and what to do
	Offset  int64   `json:"offset"` // of replication, at which old and new master were equal
	Times   Times   `json:"times"`
}
