package preflight

// What makes a report worth writing again. A report is some twenty kilobytes,
// and most of what is in it counts, or grows, or ages by itself: written once a
// minute, three idle nodes fill an etcd that is not compacted in a few weeks.

import (
	"crypto/sha256"
	"encoding/json"
	"maps"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"
)

const (
	// movedBy is the share by which a number must have changed to count: less
	// than the headroom that every limit is given.
	movedBy = 1.0 / 16
	// MovedApart is how often, at most, a report is written for its numbers alone.
	MovedApart = 5 * time.Minute
)

// moving are the numbers of INFO that another node's standing veto rests on (see
// Own), and by how much each may change without its meaning anything.
func moving() [3]struct {
	key   string
	slack float64
} {
	return [...]struct {
		key   string
		slack float64
	}{
		{"used_memory", 1 << 20}, // what clients' buffers do to a small Redis
		{"mem_not_counted_for_evict", 1 << 20},
		{"connected_clients", 16},
	}
}

// News is what a report says that another did not.
type News int

// The News, the least first.
const (
	NoNews  News = iota
	Moved        // a number that a veto rests on is considerably another
	Changed      // anything but numbers, ages and what passes by itself
)

// Lasting is what is kept of a report to tell whether another says something
// new. The zero Lasting is of no report: any other is a change.
type Lasting struct {
	sum     [sha256.Size]byte // of what does not pass by itself
	numbers [3]float64        // moving; NaN: not told
}

// Lasting of a report.
func (n Node) Lasting() Lasting {
	s := Lasting{sum: sha256.Sum256(lastingText(n))}
	for i, m := range moving() {
		s.numbers[i] = math.NaN()
		if n.Redis == nil {
			continue
		}
		if v, err := strconv.ParseFloat(n.Redis.Info[m.key], 64); err == nil {
			s.numbers[i] = v
		}
	}
	return s
}

// News is what now says beyond the report that stands.
func (s Lasting) News(now Lasting) News {
	if s.sum != now.sum {
		return Changed
	}
	for i, m := range moving() {
		was, is := s.numbers[i], now.numbers[i]
		switch by := math.Abs(is - was); {
		case math.IsNaN(was) != math.IsNaN(is):
			return Changed
		case by > m.slack && by > movedBy*was:
			return Moved
		}
	}
	return NoNews
}

// lastingText is a report without what passes by itself, as one text.
func lastingText(n Node) []byte {
	n.Answers, n.At, n.Rates, n.Probe = "", time.Time{}, nil, nil
	n.Gaps = slices.Clone(n.Gaps)
	for i := range n.Gaps {
		n.Gaps[i].Why = shape(n.Gaps[i].Why) // with the port of a connection in it
	}
	if n.Host != nil {
		h := n.Host.withoutMoments()
		n.Host = &h
	}
	if n.Refused != nil {
		r := *n.Refused
		r.Last = ReplicaLook{} // how far the backlog reaches, say
		n.Refused = &r
	}
	if n.Redis != nil {
		r := *n.Redis
		r.Slow, r.Replicas, r.SentinelLacks = nil, nil, nil
		r.Info = maps.Clone(r.Info)
		for key, value := range r.Info {
			if r.Info[key] = shape(value); momentary(key) {
				delete(r.Info, key)
			}
		}
		n.Redis = &r
	}
	text, err := json.Marshal(n)
	if err != nil {
		panic("preflight: a report that is no JSON: " + err.Error()) // strings, bools and whole numbers alone are left
	}
	return text
}

// momentary is whether a line of INFO comes and goes with what clients do. A
// database that is new, or empty by now, is none of this report's affairs.
func momentary(key string) bool {
	return strings.HasPrefix(key, "errorstat_") || strings.HasPrefix(key, "slave") && digitsOnly(key[len("slave"):]) ||
		strings.HasPrefix(key, "db") && digitsOnly(key[len("db"):])
}

func digitsOnly(s string) bool {
	return s != "" && strings.IndexFunc(s, func(r rune) bool { return r < '0' || r > '9' }) < 0
}

// withoutMoments is the host without what is so at the moment.
func (h Host) withoutMoments() Host {
	h.MemoryAvailable, h.SwapUsed, h.RedisSwapped, h.Now, h.Log = -1, -1, -1, time.Time{}, nil
	return h
}

// WithoutMoments is an old report, of what is so while nothing changes: files,
// limits, what the watchdog says of itself. What was so at the moment is not
// read any more, and why is said: a report is not written again for it.
func (n Node) WithoutMoments(why string) Node {
	n.Answers, n.Rates, n.Redis = "", nil, nil
	n.Gaps = append(slices.Clone(n.Gaps), Gap{What: "redis", Why: why}, Gap{What: "rates", Why: why})
	if n.Host != nil {
		h := n.Host.withoutMoments()
		n.Host = &h
		for _, what := range []string{"host.log", "host.swap", "host.clock", "host.available"} {
			n.Gaps = append(n.Gaps, Gap{What: what, Why: why})
		}
	}
	return n
}

// shape is a text without its numbers: "7.25M" and "8.50M" have one. Builds know
// hundreds of counters, each release some more, and no list of them is complete;
// whatever is no number is a word, and a word that changes is news.
func shape(value string) string {
	var b strings.Builder
	b.Grow(len(value))
	in := false
	for i := range len(value) {
		c := value[i]
		number := c >= '0' && c <= '9' || in && c == '.' || c == '-' && i+1 < len(value) && value[i+1] >= '0' && value[i+1] <= '9'
		if number && !in {
			b.WriteByte('#')
		}
		if !number {
			b.WriteByte(c)
		}
		in = number
	}
	return b.String()
}
