// Package why names the likely cause of what a group's history tells: of a Redis
// that stood still, of a fence, of a failover. It is for people. Nothing is decided
// by it, and what is not known is said to be unknown.
package why

import (
	"fmt"
	"time"
)

// Kind of a cause.
type Kind string

// Kinds. Unknown is the zero Kind.
const (
	Unknown Kind = ""
	Command Kind = "command" // the slow log has a command that took as long
	Fork    Kind = "fork"    // a fork took as long
	Host    Kind = "host"    // the watchdog beside it was not run either
	Stall   Kind = "stall"   // Redis stood still, and what it did is not known
	Ended   Kind = "ended"   // nothing listened where Redis had been
	Network Kind = "network" // Redis answered its watchdog all along
	Planned Kind = "planned" // an operator asked for it
)

// Stood is a Redis that stood still, and what could be read once it answered.
type Stood struct {
	For   time.Duration
	Slept time.Duration // of it the watchdog was not run either
	Since time.Duration // from its end until the slow log was read
	Slow  []Slow        // of the slow log; nil: none, or not read
	Forks int64         // total_forks more than before; -1: not known
	Fork  time.Duration // latest_fork_usec
}

// Slow is an entry of the slow log.
type Slow struct {
	Age     time.Duration // since it was written, which is when the command had ended, by that Redis' clock (whole seconds)
	Took    time.Duration
	Command string // in upper case
	Key     string // the first that it names; empty: none, or not known
}

// Cause is the likely one.
type Cause struct {
	Kind Kind
	Slow Slow // of a Command
	Fork time.Duration
}

// clockGrain is what a time of whole seconds, and a clock read a moment later, may
// be wrong by.
const clockGrain = 2 * time.Second

// OfStall judges one. What explains less than half of it explains it not.
func OfStall(s Stood) Cause {
	best := Cause{}
	for _, e := range s.Slow {
		// A poll may ask up to a second before the command ended, or begin late.
		if e.Took*2 < s.For || e.Took > s.For+clockGrain || e.Age > s.Since+clockGrain {
			continue
		}
		if e.Took > best.Slow.Took {
			best = Cause{Kind: Command, Slow: e}
		}
	}
	switch {
	case s.Slept*2 >= s.For && s.For > 0:
		return Cause{Kind: Host}
	case best.Kind == Command:
		return best
	case s.Forks > 0 && s.Fork*2 >= s.For && s.Fork <= s.For+clockGrain:
		return Cause{Kind: Fork, Fork: s.Fork}
	}
	return Cause{Kind: Stall}
}

// Record is the history's record of it.
type Record struct {
	Kind    string    `json:"kind"` // "cause"
	Time    time.Time `json:"time"`
	Group   string    `json:"group"`
	Node    string    `json:"node"`
	Self    string    `json:"address"`
	Seconds float64   `json:"seconds"` // that Redis stood still
	Cause   Kind      `json:"cause"`
	Took    float64   `json:"took_seconds,omitempty"` // the command, or the fork
	Command string    `json:"command,omitempty"`
	// Key is the name of the key, where the audit that is kept has names in clear;
	// KeyHash the first half of its SHA-256, as keyspace --hash-names has it.
	Key     string `json:"key,omitempty"`
	KeyHash string `json:"key_hash,omitempty"`
	// What the audit that is kept knows of that key.
	Type     string     `json:"type,omitempty"`
	Elements uint64     `json:"elements,omitempty"`
	Bytes    uint64     `json:"bytes,omitempty"`
	Audited  *time.Time `json:"audited,omitempty"`
}

// RecordKind is the kind of a Record.
const RecordKind = "cause"

// Text is the cause in words, with its evidence.
func (r Record) Text() string {
	stood := fmt.Sprintf("Redis stood still for %.1f s", r.Seconds)
	switch r.Cause {
	case Command:
		text := r.Command
		switch {
		case r.Key != "":
			text += fmt.Sprintf(" %q", r.Key)
		case r.KeyHash != "":
			text += " of the key with hash " + r.KeyHash
		}
		text = fmt.Sprintf("%s: SLOWLOG has %s, which took %.1f s", stood, text, r.Took)
		if r.Audited != nil {
			text += fmt.Sprintf("; the audit of %s knows it as a %s of %d elements", r.Audited.UTC().Format("2006-01-02"), r.Type, r.Elements)
		}
		return text
	case Fork:
		return fmt.Sprintf("%s: a fork took %.1f s (latest_fork_usec)", stood, r.Took)
	case Host:
		return stood + ", and its watchdog was not run either: its host was paused, or out of processors"
	}
	return stood + "; what it did is not known: no command in SLOWLOG and no fork explains it"
}
