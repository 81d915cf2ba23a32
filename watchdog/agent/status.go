package agent

// The snapshot of one node that the status page, the command line, the role
// checks and the metrics are made from. It is a copy: nobody holds a lock on
// the decision loop to read it.

import (
	"time"

	"github.com/redis-watchdog/redis-watchdog/watchdog"
)

// A node's faults are watchdog's.
type (
	Fault    = watchdog.Fault
	Severity = watchdog.Severity
)

const (
	SeverityError   = watchdog.SeverityError
	SeverityWarning = watchdog.SeverityWarning
)

// FaultKilled is the ID of the fault of a Redis that the watchdog has killed, and
// keeps down where a unit is configured.
const FaultKilled = "redis_killed"

// FaultLockScripts is the ID of the fault of a Redis whose build lets scripts
// write through the write lock.
const FaultLockScripts = "lock_scripts"

// Status is what one node knows and does. Durations are seconds. Wall-clock
// times are for people; no decision rests on them. What a node publishes in etcd
// is its Lasting status, in which every age is -1.
type Status struct {
	Group   string `json:"group"`   // the Sentinel master name
	Node    string `json:"node"`    // the name of this Redis in the configuration
	Address string `json:"address"` // how the Sentinels call it; empty: not known yet
	RunID   string `json:"run_id"`

	Phase  string    `json:"phase"`           // serve, hold, lock, refuse, follow, down (answers nobody), unknown: what is seen, not what is wanted
	Wanted string    `json:"wanted"`          // serve, hold, lock, refuse, follow, leave: what the decision wants
	Row    int       `json:"row"`             // of the decision table (docs/decision.md)
	Reason string    `json:"reason"`          // stable, snake_case
	Would  string    `json:"would,omitempty"` // in maintenance: what is not done, as "access: reason (row)"
	Since  time.Time `json:"since"`           // of phase

	Role       string  `json:"role"`   // master, replica, nowhere (fenced), unknown
	Answer     string  `json:"answer"` // up, silent, absent, loading, busy
	Following  string  `json:"following,omitempty"`
	LinkUp     bool    `json:"link_up"`
	LagSeconds float64 `json:"lag_seconds"` // replica: seconds since its master was last heard (master_last_io_seconds_ago); -1: unknown
	Guarded    bool    `json:"guarded"`     // protection is in force (false after an orderly stop, or with faults that void it)
	Ready      bool    `json:"ready"`       // guarded, but for what the build of this Redis cannot do: no waiting changes that, and the fence is armed

	Master             string  `json:"master"`        // of the truth: the newer of agreement and majority; empty: nobody, or a conflict
	Generation         uint64  `json:"generation"`    // of the agreement in etcd
	Epoch              uint64  `json:"epoch"`         // likewise
	AgreedMaster       string  `json:"agreed_master"` // likewise
	GrantHolder        string  `json:"grant_holder"`
	GrantOurs          bool    `json:"grant_ours"`
	GrantRemaining     float64 `json:"grant_remaining_seconds"`    // until L; 0: none in force
	Armed              bool    `json:"armed"`                      // a fence is armed
	Deadline           float64 `json:"fence_deadline_seconds"`     // until it fires; -1: none is armed
	EarliestPromotion  float64 `json:"earliest_promotion_seconds"` // until E; -1: never
	CoordinatorAge     float64 `json:"coordinator_age_seconds"`    // since the start of the last good round; -1: never
	SentinelsKnown     int     `json:"sentinels_known"`
	SentinelsAnswering int     `json:"sentinels_answering"`
	SentinelsAgreeing  int     `json:"sentinels_agreeing"`
	PromotableReplicas int     `json:"promotable_replicas"` // priority not 0 at a Sentinel; while none answers: 0
	Quorum             int     `json:"quorum"`
	DownAfter          float64 `json:"down_after_seconds"`
	Maintenance        float64 `json:"maintenance_remaining_seconds"`
	FencedByHand       bool    `json:"fenced_by_hand"`
	Enrolled           bool    `json:"enrolled"`
	Veto               bool    `json:"veto"` // it is to be kept from being promoted
	// VetoReasons are the ids of the checks that its own preflight fails, also
	// where last_replica: allow leaves it to Sentinel all the same.
	VetoReasons []string `json:"veto_reasons"`
	VetoSeen    bool     `json:"veto_seen"` // every Sentinel that answers shows its priority as 0

	// Data is why clients may be given what this Redis has, or why not: unknown,
	// behind, unrelated; in_step, whole, own, best, unrecorded, accepted.
	Data string `json:"data"`

	// Unaudited is why an audit of the fleet has to wait for this node, one of
	// fleet.NodeWaits; empty: nothing hinders it, or none is to be made.
	Unaudited string `json:"unaudited,omitempty"`

	Faults    []Fault          `json:"faults"`
	Sentinels []SentinelStatus `json:"sentinels"`

	Redis       watchdog.Redis       `json:"-"`
	Coordinator watchdog.Coordinator `json:"-"`
	Want        watchdog.Want        `json:"-"`
}

// SentinelStatus is one Sentinel's word.
type SentinelStatus struct {
	Address    string  `json:"address"`
	RunID      string  `json:"run_id"`
	Answering  bool    `json:"answering"`
	Master     string  `json:"master"`
	Epoch      uint64  `json:"epoch"`
	Tilt       bool    `json:"tilt"`
	Down       bool    `json:"down"`        // holds the local Redis s_down
	AgeSeconds float64 `json:"age_seconds"` // since its last answer; -1: never
	Error      string  `json:"error,omitempty"`
}
