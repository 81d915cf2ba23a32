package lab

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/redis-watchdog/redis-watchdog/watchdog"
)

// Kind is what became of a command.
type Kind string

const (
	OK           Kind = "ok"            // acknowledged, or for a read: answered
	Refused      Kind = "refused"       // an error reply; Text is its first word, such as READONLY
	TimedOut     Kind = "timed out"     // no answer in LoadConfig.Timeout; it may have been executed
	Reset        Kind = "reset"         // the connection ended before the answer; it may have been executed
	NotConnected Kind = "not connected" // nothing was sent: no Sentinel, no connection, or no login
)

// Answer is one command and what came back.
type Answer struct {
	Key      string // written; empty: NotConnected
	Redis    string // the address it was sent to
	Sent     watchdog.Instant
	Received watchdog.Instant
	Kind     Kind
	Text     string
}

// Trace is answers in the order they were received.
type Trace []Answer

func (t Trace) filter(keep func(Answer) bool) Trace {
	var kept Trace
	for _, a := range t {
		if keep(a) {
			kept = append(kept, a)
		}
	}
	return kept
}

// OK is the acknowledged, or answered.
func (t Trace) OK() Trace { return t.filter(func(a Answer) bool { return a.Kind == OK }) }

// Failed is all others.
func (t Trace) Failed() Trace { return t.filter(func(a Answer) bool { return a.Kind != OK }) }

// Received is what was received in [from, to).
func (t Trace) Received(from, to watchdog.Instant) Trace {
	return t.filter(func(a Answer) bool { return a.Received >= from && a.Received < to })
}

// Sent is what was sent in [from, to).
func (t Trace) Sent(from, to watchdog.Instant) Trace {
	return t.filter(func(a Answer) bool { return a.Sent >= from && a.Sent < to })
}

// AckedAfter is what was acknowledged (received) after that instant.
func (t Trace) AckedAfter(at watchdog.Instant) Trace {
	return t.OK().Received(at.Add(1), watchdog.Never)
}

// On is what the Redis at this address was asked.
func (t Trace) On(address string) Trace {
	return t.filter(func(a Answer) bool { return a.Redis == address })
}

// FirstOK is the first acknowledged; zero: none.
func (t Trace) FirstOK() Answer {
	for _, a := range t {
		if a.Kind == OK {
			return a
		}
	}
	return Answer{}
}

// LastOK is the last acknowledged; zero: none.
func (t Trace) LastOK() Answer {
	for _, a := range slices.Backward(t) {
		if a.Kind == OK {
			return a
		}
	}
	return Answer{}
}

// Keys is the key of each.
func (t Trace) Keys() []string {
	keys := make([]string, 0, len(t))
	for _, a := range t {
		keys = append(keys, a.Key)
	}
	return keys
}

// Count is the number of each outcome: "ok", "refused READONLY", "reset", ...
func (t Trace) Count() map[string]int {
	count := map[string]int{}
	for _, a := range t {
		name := string(a.Kind)
		if a.Kind == Refused {
			name += " " + a.Text
		}
		count[name]++
	}
	return count
}

func (t Trace) String() string {
	count := t.Count()
	var parts []string
	for _, name := range sortedKeys(count) {
		parts = append(parts, fmt.Sprintf("%d %s", count[name], name))
	}
	if len(parts) == 0 {
		return "no answers"
	}
	return strings.Join(parts, ", ")
}

// LongestWait is the longest time in which nothing was acknowledged, between
// the first and the last that were, and when it began: how long clients waited.
func (t Trace) LongestWait() (from watchdog.Instant, wait time.Duration) {
	var last watchdog.Instant
	for _, a := range t.OK() {
		if gap := a.Received.Sub(last); last != 0 && gap > wait {
			from, wait = last, gap
		}
		last = a.Received
	}
	return from, wait
}

// Slowest is the acknowledged one that took longest; zero: none.
func (t Trace) Slowest() Answer {
	var slowest Answer
	for _, a := range t.OK() {
		if a.Received.Sub(a.Sent) > slowest.Received.Sub(slowest.Sent) {
			slowest = a
		}
	}
	return slowest
}

// OverlappingWrites is every write that the old Redis acknowledged after the
// new one had acknowledged its first. Both may be traces of several Redis:
// answers of the new's first address are not the old's. The traces should
// cover one change of master.
func OverlappingWrites(old, new Trace) Trace {
	first := new.FirstOK()
	if first.Kind != OK {
		return nil
	}
	return old.AckedAfter(first.Received).filter(func(a Answer) bool { return a.Redis != first.Redis })
}

// OverlappingReads is every read that the old master answered after the other
// was promoted, until it is a replica in step (watch it to know; nil: it never
// is one). Promotion is BecameMaster of the new one's watch: the later end of
// the interval is taken, so that none is accused wrongly.
func OverlappingReads(reads Trace, old *Redis, watch *RoleWatch, promotion RoleChange) Trace {
	if promotion.At == 0 {
		return nil
	}
	until := watchdog.Never
	if watch != nil {
		if c := watch.BecameReplica(promotion.At); c.At != 0 {
			until = c.After // from here on it may have been one
		}
	}
	return reads.On(old.Address).OK().Received(promotion.At.Add(1), until)
}

// Lost is every acknowledged write whose key r does not have. Ask the final
// master, with all healed.
func Lost(writes Trace, r *Redis) Trace {
	l := r.Host.lab
	l.t.Helper()
	w, err := r.sideWire()
	if err != nil {
		l.t.Fatalf("lab: connect to %s: %v", r.Name, err)
	}
	defer w.close()
	var lost Trace
	for some := range slices.Chunk(writes.OK(), 1000) {
		reply, err := w.do(10*time.Second, append([]string{"MGET"}, some.Keys()...)...)
		values, _ := reply.([]any)
		if err != nil || len(values) != len(some) {
			l.t.Fatalf("lab: look up keys in %s: %d of %d values: %v", r.Name, len(values), len(some), err)
		}
		for i, value := range values {
			if value != some[i].Key {
				lost = append(lost, some[i])
			}
		}
	}
	return lost
}
