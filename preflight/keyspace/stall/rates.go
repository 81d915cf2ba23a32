package stall

import "time"

// Rate is what one unit costs, in nanoseconds.
type Rate struct {
	Few  float64 `json:"few"`  // at the least, in a value that fits the processor's caches
	Low  float64 `json:"low"`  // at the least, in a large one
	High float64 `json:"high"` // at the most
}

// Rates of one server on one host.
type Rates struct {
	Fitted  bool           `json:"fitted"` // by a throw-away server of the same program on the same host
	From    string         `json:"from"`   // whose they are, for people
	Free    map[Class]Rate `json:"free"`
	Dump    map[Class]Rate `json:"dump"`    // DUMP, without its answer's way
	Restore map[Class]Rate `json:"restore"` // RESTORE, without its request's way
}

// Valid is whether every class has its rates and none of them is nonsense.
func (r Rates) Valid() bool {
	for _, all := range []map[Class]Rate{r.Free, r.Dump, r.Restore} {
		for _, c := range Classes() {
			// Written so that what is not a number is nonsense.
			if x, ok := all[c]; !ok || !(0 <= x.Few && x.Few <= x.Low && x.Low <= x.High && x.High < 1e12) {
				return false
			}
		}
	}
	return true
}

// Aged is what the most that was measured is multiplied by. Memory of a value
// that a throw-away server has just filled lies better than that of one which
// grew for weeks beside others: 2 to 5 times the cost was seen.
const Aged = 3

// Large is how many units a value of the fit has, and Small one that the caches
// hold.
const (
	Large = 200_000
	Small = 10_000
)

// Coarse are the rates where nothing could be measured: the least and the most
// that Redis 6.0 to 8.0 and Valkey 8.1 and 9.1 took on the machines this was
// developed on, and a third of it, three times it.
func Coarse(why string) Rates {
	return Rates{
		From: "a table of measurements on other machines: " + why,
		Free: map[Class]Rate{
			Flat: {0, 0, 0.5}, List: {50, 100, 2000}, Set: {20, 40, 500}, Hash: {30, 60, 1000}, Zset: {30, 60, 1000}, Stream: {50, 100, 2000},
		},
		Dump: map[Class]Rate{
			Flat: {0.1, 0.3, 10}, List: {800, 2500, 100e3}, Set: {50, 100, 1200}, Hash: {80, 150, 2500}, Zset: {30, 80, 1200}, Stream: {400, 1200, 50e3},
		},
		Restore: map[Class]Rate{
			Flat: {0.1, 0.3, 10}, List: {800, 2500, 100e3}, Set: {80, 150, 2500}, Hash: {80, 150, 3000}, Zset: {100, 200, 4000}, Stream: {400, 1200, 50e3},
		},
	}
}

// unitBytes are the stored bytes of a unit as the fit makes them; what a key has
// more of them is copied on top.
func unitBytes(c Class) uint64 {
	switch c {
	case List:
		return nodeBytes
	case Stream:
		return streamBytes
	case Set:
		return 24
	case Hash, Zset:
		return 40
	}
	return 1
}

// span is what all units of a key cost.
func (k Key) span(c Class, rates map[Class]Rate) Range {
	least, most := k.units(c)
	r := rates[c]
	low := r.Low
	if k.Elements < Large/2 && c != Flat {
		low = r.Few
	}
	s := Range{Low: nanoseconds(float64(least) * low), High: nanoseconds(float64(most) * r.High)}
	if c == Flat {
		return s
	}
	size := max(k.Stored, k.Bytes)
	if plain := unitBytes(c) * most; size > 2*plain { // long elements
		s.High += nanoseconds(float64(size-plain) * rates[Flat].High)
	}
	return s
}

// nanoseconds is as long as it may be where a product has no meaning any more.
func nanoseconds(n float64) time.Duration {
	const most = float64(365 * 24 * time.Hour)
	if !(n < most) {
		return 365 * 24 * time.Hour
	}
	return max(0, time.Duration(n))
}
