package watchdog

import "time"

// Severity of a Fault.
type Severity string

const (
	SeverityError   Severity = "error"   // a promise is not kept; a person must act
	SeverityWarning Severity = "warning" // the margin is smaller than it should be
)

// Fault is something that keeps a promise from being kept, until it is gone.
// docs/faults.md has every ID.
type Fault struct {
	ID       string    `json:"id"` // stable, snake_case: "fence_rights", "timing", "conflict", "coordinator", ...
	Severity Severity  `json:"severity"`
	Text     string    `json:"text"`   // one sentence, with the values
	Remedy   string    `json:"remedy"` // what to do, pasteable where it can be
	Since    time.Time `json:"since"`  // by the wall clock, for people; filled in where a status is made; zero before
}
