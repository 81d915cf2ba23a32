package preflight

import (
	"errors"
	"fmt"
	"time"
)

// Policy is what an operator may choose. The zero Policy is the strictest one;
// DefaultPolicy is what the documentation calls the defaults.
type Policy struct {
	// Headroom is how much larger than the data a candidate's limit must be,
	// as a share of the data: 0.1 is a tenth.
	Headroom float64 `json:"headroom"`
	// Drift is what drift on the master or the candidate means: Blocks or
	// Warns. Empty is Blocks.
	Drift Severity `json:"drift"`
	// LargeInstance is the data size, in bytes, above which an instance is
	// larger than is wise: a full sync and a fork take too long.
	LargeInstance int64 `json:"large_instance"`
	// LagBytes and Lag are how far a candidate may be behind.
	LagBytes int64         `json:"lag_bytes"`
	Lag      time.Duration `json:"lag"`
	// Trend warns when, at the present growth, the limit is reached sooner.
	Trend time.Duration `json:"trend"`
	// Backlog is for how long a replica may be away and still catch up without
	// a full sync.
	Backlog time.Duration `json:"backlog"`
	// Fork is how long a fork may hold Redis up.
	Fork time.Duration `json:"fork"`
	// CopyOnWrite is the share of the data that is expected to be written
	// while a forked child saves it.
	CopyOnWrite float64 `json:"copy_on_write"`
	// Keys is how far key counts may differ, as a share of the master's,
	// beyond what expiry and the commands under way explain.
	Keys float64 `json:"keys"`
	// SlowCommand is from when on a command is slow, SlowWindow how long ago
	// one still counts.
	SlowCommand time.Duration `json:"slow_command"`
	SlowWindow  time.Duration `json:"slow_window"`
	// Clock is how far the wall clocks of two hosts may be apart.
	Clock time.Duration `json:"clock"`
}

// DefaultPolicy is what holds where nothing was chosen.
func DefaultPolicy() Policy {
	return Policy{
		Headroom:      0.10,
		Drift:         Blocks,
		LargeInstance: 16 << 30,
		LagBytes:      16 << 20,
		Lag:           5 * time.Second,
		Trend:         24 * time.Hour,
		Backlog:       time.Minute,
		Fork:          500 * time.Millisecond,
		CopyOnWrite:   0.25,
		Keys:          0.01,
		SlowCommand:   100 * time.Millisecond,
		SlowWindow:    10 * time.Minute,
		Clock:         2 * time.Second,
	}
}

// Validate names everything that is wrong at once. nil: all is well.
func (p Policy) Validate() error {
	var faults []error
	share := func(name string, v, most float64) {
		if !(v >= 0 && v <= most) { // NaN is none of it
			faults = append(faults, fmt.Errorf("%s (%v) must be between 0 and %v", name, v, most))
		}
	}
	span := func(name string, v, most time.Duration) {
		if v < 0 || v > most {
			faults = append(faults, fmt.Errorf("%s (%s) must be between 0s and %s", name, v, most))
		}
	}
	size := func(name string, v int64) {
		if v < 0 {
			faults = append(faults, fmt.Errorf("%s (%d) must not be negative", name, v))
		}
	}
	share("headroom", p.Headroom, 10)
	share("copy_on_write", p.CopyOnWrite, 1)
	share("keys", p.Keys, 1)
	if p.Drift != "" && p.Drift != Blocks && p.Drift != Warns {
		faults = append(faults, fmt.Errorf("drift (%q) must be %q or %q", p.Drift, Blocks, Warns))
	}
	size("large_instance", p.LargeInstance)
	size("lag_bytes", p.LagBytes)
	const day = 24 * time.Hour
	span("lag", p.Lag, time.Hour)
	span("trend", p.Trend, 365*day)
	span("backlog", p.Backlog, day)
	span("fork", p.Fork, time.Minute)
	span("slow_command", p.SlowCommand, time.Hour)
	span("slow_window", p.SlowWindow, 30*day)
	span("clock", p.Clock, day)
	return errors.Join(faults...)
}
