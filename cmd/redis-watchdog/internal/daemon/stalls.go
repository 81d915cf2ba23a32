package daemon

// What is made of a Redis that stood still: a log line, a figure, a record of the
// history, and what a preflight is told. Nothing is decided by it.

import (
	"time"

	"github.com/redis-watchdog/redis-watchdog/fencing/gate"
	"github.com/redis-watchdog/redis-watchdog/preflight"
	"github.com/redis-watchdog/redis-watchdog/watchdog/agent"
)

// stallTold is the shortest stall that is told to people.
const stallTold = time.Second

// stallStep is the history's record of a stall.
type stallStep struct {
	Kind  string    `json:"kind"` // "stall"
	Time  time.Time `json:"time"` // when it was over
	Group string    `json:"group"`
	Node  string    `json:"node"`
	Self  string    `json:"address"`
	Lasts float64   `json:"seconds"`
	Slept float64   `json:"watchdog_not_run_seconds"` // of them; 0: it was run all the time
	Fired bool      `json:"fence_fired"`
}

// stalled is told by the gate.
func (x *node) stalled(s gate.Stall) {
	x.metrics.Stalled(s.For, s.Fired)
	if s.Fired {
		x.woke.Store(&s.RunID)
	}
	if s.For < stallTold && !s.Fired {
		return
	}
	args := []any{"for", s.For.String(), "fence_fired", s.Fired}
	if s.Slept > 0 {
		args = append(args, "watchdog_not_run", s.Slept.String())
	}
	x.log.Warn("Redis stood still", args...)
	now := time.Now()
	longest := false
	if s.For >= stallTold {
		longest = x.reporter.stallOver(now, s)
	}
	if !longest && !s.Fired {
		return // a slow command that comes again and again would fill the history
	}
	step := stallStep{Kind: "stall", Time: now.UTC(), Group: x.group, Node: x.name, Self: string(x.local.Self()),
		Lasts: s.For.Seconds(), Slept: s.Slept.Seconds(), Fired: s.Fired}
	if err := x.keeper.History(step); err != nil {
		x.log.Warn("history record not queued", "error", err)
	}
	x.reporter.puzzled(s)
}

// openedAgain counts a fence that fired on a wake and is opened again.
func (x *node) openedAgain(t agent.Turn) {
	switch t.To {
	case "serve":
		if run := x.woke.Swap(nil); run != nil && *run == t.RunID {
			x.metrics.StallOpened()
		}
	case "follow":
		x.woke.Store(nil)
	}
}

// loadStalls takes up what an earlier life saw.
func (s *reporter) loadStalls() {
	var had preflight.Stalls
	if err := s.x.records.Load("stalls", &had); err != nil {
		s.x.log.Error("record of stalls not read: starting without", "error", err)
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.stalls.Hours = append(had.Hours, s.stalls.Hours...)
}

// stallOver takes one in, and says whether it is the longest of its hour.
func (s *reporter) stallOver(now time.Time, one gate.Stall) (longest bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.stalls, longest = s.stalls.Add(now, one.For, one.Fired)
	s.stallsNew = true
	return longest
}

// stallsOf is what a report says of them at that time, but for what the group bears;
// what is new is on disk before it is told to anybody.
func (s *reporter) stallsOf(at time.Time) preflight.Stalls {
	s.mu.Lock()
	now, unsaved := s.stalls.Lately(at), s.stallsNew
	s.stalls, s.stallsNew = now, false
	s.mu.Unlock()
	if !unsaved {
		return now
	}
	if err := s.x.records.Save("stalls", now); err != nil {
		s.x.log.Error("record of stalls not written: a restart of the watchdog would forget them", "error", err)
		s.mu.Lock()
		s.stallsNew = true
		s.mu.Unlock()
	}
	return now
}
