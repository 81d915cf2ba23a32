package preflight

import (
	"slices"
	"time"
)

// stallsKept is for how long a stall counts.
const stallsKept = 24 * time.Hour

// Stalls are the times in which a Redis ran and did not answer the watchdog
// beside it, of the last day. The zero Stalls has seen none.
type Stalls struct {
	// Bears is how long the Redis may stand still and is not fenced: how far the
	// armed fence was put off when it was put off last, at the least. 0: not known.
	Bears time.Duration `json:"bears"`
	Hours []StallHour   `json:"hours,omitempty"` // those that had any, oldest first
}

// StallHour is one hour's.
type StallHour struct {
	Hour    time.Time     `json:"hour"` // it began then, UTC, by the clock of that host; for people
	Count   int64         `json:"count"`
	Fired   int64         `json:"fired"` // of them, those in which an armed fence fired
	Longest time.Duration `json:"longest"`
	At      time.Time     `json:"at"` // when that one ended
}

// Add takes one in that ended then, and forgets what is older than a day. It says
// whether it is the longest of its hour so far.
func (s Stalls) Add(at time.Time, d time.Duration, fired bool) (now Stalls, longest bool) {
	now = s.Lately(at)
	now.Hours = slices.Clone(now.Hours)
	hour := at.UTC().Truncate(time.Hour)
	i := slices.IndexFunc(now.Hours, func(h StallHour) bool { return h.Hour.Equal(hour) })
	if i < 0 {
		now.Hours = append(now.Hours, StallHour{Hour: hour})
		i = len(now.Hours) - 1
	}
	h := &now.Hours[i]
	h.Count++
	if fired {
		h.Fired++
	}
	if longest = d > h.Longest; longest {
		h.Longest, h.At = d, at.UTC()
	}
	return now, longest
}

// Lately is what counts at that time. One from the future counts: a clock was set back.
func (s Stalls) Lately(now time.Time) Stalls {
	s.Hours = slices.DeleteFunc(slices.Clone(s.Hours), func(h StallHour) bool { return now.Sub(h.Hour) > stallsKept })
	if n := int(stallsKept/time.Hour) + 1; len(s.Hours) > n { // of a clock that jumps about
		s.Hours = s.Hours[len(s.Hours)-n:]
	}
	return s
}

// worst is the hour with the longest of all, and how many there were; count 0:
// there was none.
func (s Stalls) worst() (worst StallHour, count, fired int64) {
	for _, h := range s.Hours {
		count, fired = count+h.Count, fired+h.Fired
		if h.Longest > worst.Longest {
			worst = h
		}
	}
	return worst, count, fired
}
