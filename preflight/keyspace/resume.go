package keyspace

import (
	"fmt"
	"slices"

	"github.com/redis-watchdog/redis-watchdog/preflight/keyspace/rdb"
)

// Collected is what a Collector has added up, for another to go on with.
type Collected struct {
	Schema    int          `json:"schema"`
	Audit     Audit        `json:"audit"` // the sums only
	Databases []Database   `json:"databases"`
	Types     []Share      `json:"types"`
	Encodings []shareOf    `json:"encodings"`
	Prefixes  []Prefix     `json:"prefixes"`
	Others    Prefix       `json:"others"`
	TTL       []TTLClass   `json:"ttl"`
	Seconds   []uint32     `json:"seconds"` // second, keys, second, keys, …
	Cluster   []Slot       `json:"cluster"`
	Codis     []Slot       `json:"codis"`
	Large     []Large      `json:"large"`
	Largest   [][]Large    `json:"largest"`
	Waste     []wasteSaved `json:"waste"`
}

type shareOf struct {
	Type     uint8 `json:"type"`
	Encoding uint8 `json:"encoding"`
	Share    Share `json:"share"`
}

type wasteSaved struct {
	Kind    string `json:"kind"`
	Pattern string `json:"of"`
	Waste   Waste  `json:"waste"`
}

// Collected is all that was added so far.
func (c *Collector) Collected() Collected {
	types := c.types()
	s := Collected{Schema: Schema, Audit: c.sums(), Types: types[:], Others: c.others.Prefix, TTL: c.ttl[:], Large: c.large}
	for _, db := range c.databases {
		s.Databases = append(s.Databases, *db)
	}
	for t, all := range c.encodings {
		for e, share := range all {
			if share.Keys > 0 {
				s.Encodings = append(s.Encodings, shareOf{uint8(t), uint8(e), share})
			}
		}
	}
	for _, p := range c.prefixes {
		s.Prefixes = append(s.Prefixes, p.Prefix)
	}
	for second, n := range c.seconds {
		if n > 0 {
			s.Seconds = append(s.Seconds, uint32(second), n)
		}
	}
	s.Cluster, s.Codis = usedSlots(c.cluster), usedSlots(c.codis)
	for _, top := range c.largest {
		s.Largest = append(s.Largest, top)
	}
	for k, w := range c.waste {
		s.Waste = append(s.Waste, wasteSaved{k[0], k[1], w.Waste})
	}
	return s
}

// Restore is a Collector that goes on from there. What cannot have come from one
// is an error.
func Restore(o Options, s Collected) (*Collector, error) {
	c := NewCollector(o)
	if s.Schema != Schema || len(s.Types) != len(c.encodings) || len(s.TTL) != len(c.ttl) || len(s.Largest) > len(c.largest) || len(s.Seconds)%2 != 0 {
		return nil, fmt.Errorf("what was kept is of schema %d or of another shape; this is %d", s.Schema, Schema)
	}
	c.audit, c.others.Prefix = s.Audit, s.Others // sums of types are those of their encodings
	copy(c.ttl[:], s.TTL)
	for _, db := range s.Databases {
		c.databases[db.DB] = &db
	}
	for _, e := range s.Encodings {
		if int(e.Type) < len(c.encodings) && int(e.Encoding) < rdb.Encodings {
			c.encodings[e.Type][e.Encoding] = e.Share
		}
	}
	for _, p := range s.Prefixes {
		kind, _ := rdb.ParseType(p.Type) // "mixed" stays so
		c.prefixes[p.Pattern] = &prefixRow{Prefix: p, kind: kind}
	}
	for pair := range slices.Chunk(s.Seconds, 2) {
		if int64(pair[0]) < int64(len(c.seconds)) {
			c.seconds[pair[0]] = pair[1]
		}
	}
	for _, part := range []struct {
		from []Slot
		into []spread
	}{{s.Cluster, c.cluster}, {s.Codis, c.codis}} {
		for _, slot := range part.from {
			if slot.Slot >= 0 && slot.Slot < len(part.into) {
				part.into[slot.Slot] = spread{slot.Keys, slot.Bytes}
			}
		}
	}
	c.large = s.Large // a heap as it was
	for i, top := range s.Largest {
		c.largest[i] = top
	}
	for _, w := range s.Waste {
		c.waste[[2]string{w.Kind, w.Pattern}] = &wasteRow{Waste: w.Waste}
	}
	return c, nil
}
