package keyspace

import (
	"sort"

	"github.com/redis-watchdog/redis-watchdog/preflight/keyspace/stall"
)

// keptStalls is of how many keys an audit says what would stall.
const keptStalls = 50

// Stalls is what removing and moving the worst of the large keys would do to the
// server that was audited.
type Stalls struct {
	Server   string         `json:"server"` // whose settings and program these are: "redis 7.0.15"; empty: not known
	Lazyfree stall.Lazyfree `json:"lazyfree"`
	Rates    stall.Rates    `json:"rates"`
	Limits   stall.Limits   `json:"limits"`
	Keys     []StallOf      `json:"keys"` // the worst first
}

// StallOf is one key.
type StallOf struct {
	Key   string       `json:"key"`
	DB    int          `json:"db"`
	Costs []stall.Cost `json:"costs"`
}

// Worst is the longest that any operation would take.
func (s StallOf) Worst() stall.Range {
	var worst stall.Range
	for _, c := range s.Costs {
		if c.High > worst.High {
			worst = c.Range
		}
	}
	return worst
}

// StallKey is what the model asks of a key.
func (l Large) StallKey() stall.Key {
	return stall.Key{Type: l.Type, Encoding: l.Encoding, Elements: l.Elements, Counted: l.Counted, Bytes: l.Bytes, Stored: l.Stored, Nodes: l.Nodes}
}

// WouldStall puts into the audit what its keys would do to that server.
func (a *Audit) WouldStall(l stall.Lazyfree, r stall.Rates, against stall.Limits) {
	s := &Stalls{Server: a.Source.Server, Lazyfree: l, Rates: r, Limits: against, Keys: []StallOf{}}
	for _, k := range a.Large {
		s.Keys = append(s.Keys, StallOf{Key: k.Key, DB: k.DB, Costs: stall.Of(k.StallKey(), l, r)})
	}
	sort.SliceStable(s.Keys, func(x, y int) bool { return s.Keys[x].Worst().High > s.Keys[y].Worst().High })
	s.Keys = s.Keys[:min(len(s.Keys), keptStalls)]
	a.Stalls = s
}
