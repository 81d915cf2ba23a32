package watchdog

// The small values everything else is made of.

import (
	"fmt"
	"math"
	"time"
)

// Instant is a point in time: nanoseconds of CLOCK_BOOTTIME, the clock that
// goes on in suspend. Two Instants of different boots say nothing about each
// other. The zero Instant is "never happened" where it marks an event, and
// "long past" where it marks an end: both are the safe reading.
type Instant int64

// Never is the end that does not come, such as the E of a group in which no
// replica can be promoted.
const Never Instant = math.MaxInt64

// Add is the instant d after t. Never stays Never, and nothing overflows.
func (t Instant) Add(d time.Duration) Instant {
	if t == Never {
		return Never
	}
	if d > 0 && int64(t) > math.MaxInt64-int64(d) {
		return Never
	}
	return t + Instant(d)
}

// Sub is the time from u to t. It is negative when u is the later one.
func (t Instant) Sub(u Instant) time.Duration {
	if t == Never {
		return math.MaxInt64
	}
	return time.Duration(t - u)
}

// Beat is the next instant after t at which everybody acts who acts every so
// often: a multiple of every. Who wakes together costs the host one wakeup.
func (t Instant) Beat(every time.Duration) Instant {
	return t.Add(every - time.Duration(t)%every)
}

// Min is the earlier of the two.
func (t Instant) Min(u Instant) Instant {
	if u < t {
		return u
	}
	return t
}

// Max is the later of the two.
func (t Instant) Max(u Instant) Instant {
	if u > t {
		return u
	}
	return t
}

// Address is where a Redis is found, as "host:port" ("[v6]:port"), in the one
// spelling the sentinel adapter resolved it to (an IP wherever one is known).
// Two Addresses are the same Redis if and only if they are equal. The empty
// Address is nobody.
type Address string

// Term orders agreements. A Generation starts whenever Sentinel's epochs began
// anew (REMOVE and MONITOR, a rewritten sentinel.conf) or an operator adopted
// another master; within one, Sentinel's config epoch orders.
type Term struct {
	Generation uint64
	Epoch      uint64
}

// Compare is -1, 0 or +1 as t is older than, equal to or newer than u.
func (t Term) Compare(u Term) int {
	switch {
	case t.Generation != u.Generation:
		if t.Generation < u.Generation {
			return -1
		}
		return +1
	case t.Epoch != u.Epoch:
		if t.Epoch < u.Epoch {
			return -1
		}
		return +1
	}
	return 0
}

func (t Term) String() string { return fmt.Sprintf("%d/%d", t.Generation, t.Epoch) }

// Agreement is the master that more than half of the known Sentinels reported
// alike, as etcd holds it. The zero Agreement is "none was ever made".
type Agreement struct {
	Term
	Master Address
}
