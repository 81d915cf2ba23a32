package pings

// One connection, from what the kernel counts on it.

import (
	"time"

	"github.com/redis-watchdog/redis-watchdog/watchdog"
)

const (
	pingSize = 14 // "*1\r\n$4\r\nPING\r\n"
	pongSize = 7  // "+PONG\r\n"
	// mostOver is the most that TLS adds to either, each in a record of its own
	// and by as much: 22 bytes in TLS 1.3, 29 in 1.2.
	mostOver = 64
	// What a hello takes (PUBLISH of two addresses, an id, a name, epochs).
	leastHello = 60
	mostHello  = 1000
	mostAtOnce = 16              // PINGs that were answered between two looks
	quietFor   = 2 * time.Second // what was not answered for so long is not going to be
)

// track follows one connection. The zero track has seen nothing.
type track struct {
	base   counters // when all that had come in was answered
	baseAt watchdog.Instant
	last   counters
	lastAt watchdog.Instant // when last was first seen
	lookAt watchdog.Instant // of the look before

	grewAt watchdog.Instant // of the look before what came in last
	grewBy uint64           // how much that was

	over     uint64 // what TLS adds
	overSure bool

	waiting watchdog.Instant // the newest PING that was answered, and the answer not acknowledged yet; zero: none
	at      watchdog.Instant // the newest whose answer was; zero: none
	seenAt  watchdog.Instant // when nothing was under way
}

// see takes in what was counted; at was taken before.
func (t *track) see(c counters, at watchdog.Instant) {
	if t.baseAt == 0 || c.cookie != t.base.cookie || c.received < t.last.received || c.sent < t.last.sent {
		*t = track{base: c, baseAt: at, last: c, lastAt: at, lookAt: at}
		return
	}
	came, went := c.received-t.base.received, c.sent-t.base.sent
	unchanged := c.received == t.last.received && c.sent == t.last.sent
	if grown := c.received - t.last.received; grown > 0 {
		t.grewAt, t.grewBy = t.lookAt, grown
	}
	if !unchanged {
		t.last, t.lastAt = c, at
	}
	switch {
	case came == 0 && went == 0:
		t.baseAt = at
	case c.unread > 0: // Redis has not come to it
	case t.pongs(came, went):
		// The newest of them came after the look before it was seen.
		t.waiting = t.baseAt
		if t.grewBy == pingSize+t.over {
			t.waiting = t.grewAt
		}
		t.base, t.baseAt = c, at
	case unchanged && (went > 0 || at.Sub(t.lastAt) >= quietFor):
		t.base, t.baseAt = c, at // something else, and over
	}
	t.lookAt = at
	if c.unacked > 0 || c.unread > 0 {
		return
	}
	t.seenAt = at
	if t.waiting != 0 {
		t.at, t.waiting = t.waiting, 0
	}
}

// pongs says whether what came and what went are PINGs and a PONG to each, with
// or without one hello among them (Sentinel sends one every 2 s), which is
// answered by a number. Where TLS adds to each that is only told of one PING, or
// of one with a hello that was sent with it.
func (t *track) pongs(came, went uint64) bool {
	if came-went == pingSize-pongSize && came >= pingSize && came <= pingSize+mostOver {
		over := came - pingSize
		if t.overSure && over != t.over {
			return false
		}
		t.over, t.overSure = over, true
		return true
	}
	for n := uint64(1); n <= mostAtOnce; n++ {
		if came == n*(pingSize+t.over) && went == n*(pongSize+t.over) {
			return true
		}
		if t.over > 0 && n > 1 {
			continue
		}
		hello := came - n*pingSize - t.over
		if answer := went - n*pongSize - t.over; (answer == 4 || answer == 5) && hello >= leastHello && hello <= mostHello { // ":1\r\n", ":12\r\n"
			return true
		}
	}
	return false
}
