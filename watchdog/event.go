package watchdog

import "time"

// Event is something that Next folds into the State: a closed set.
type Event interface{ event() }

// Tick says nothing but that time has passed.
type Tick struct{}

// Late says that the watchdog was not run in time until now: on a host short of
// processor, or one that stood still, what the witnesses said meanwhile has come and
// waits to be taken in.
type Late struct{}

// Announced is a hint, not yet checked.
type Announced struct{ Announcement }

// Vetoed is the preflight's verdict on our own replica.
type Vetoed struct{ Veto bool }

func (Tick) event()        {}
func (Late) event()        {}
func (Announced) event()   {}
func (Vetoed) event()      {}
func (Redis) event()       {}
func (Sentinels) event()   {}
func (Coordinator) event() {}

// CoordinatorLost is how a master whose coordinator is away is treated while
// the Sentinels certify it.
type CoordinatorLost uint8

const (
	CoordinatorLostRefuse CoordinatorLost = iota // refuse at the grant's end
	CoordinatorLostServe                         // serve while a majority of fresh Sentinels names us (the default in the configuration)
)

// SentinelsLost is how a granted master that the Sentinels do not certify is
// treated while the coordinator is fresh.
type SentinelsLost uint8

const (
	SentinelsLostRefuse SentinelsLost = iota // the default
	SentinelsLostServe                       // serve; what is written may be thrown away on the heal
)

// Policy is the operator's choice and the timing.
type Policy struct {
	TimeToAct       time.Duration // A; zero: D/20, at least 100 ms and at most 500 ms
	SuspectAfter    time.Duration // a coordinator round this old is no longer fresh; zero: D/8, from 400 ms to 750 ms
	HintHold        time.Duration // how long an unchecked announcement holds writers; zero: D/4, at most 500 ms
	CoordinatorLost CoordinatorLost
	SentinelsLost   SentinelsLost
	BornLocked      bool // a lock stands on every replica
	Strict          bool // refuse to start where the timing does not allow the promise
}
