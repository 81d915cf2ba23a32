package keyspace

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/redis-watchdog/redis-watchdog/preflight/keyspace/stall"
)

// Kept is what is kept of a group's newest audit for the preflight and for whoever
// asks why there was a failover: the keys that could stall, and how to reckon for
// how long. It is at most MaxKept bytes of JSON.
type Kept struct {
	Schema   int         `json:"schema"`
	At       time.Time   `json:"at"`      // of the data, by the clock of the host that audited
	By       string      `json:"kept_by"` // user@host
	Source   string      `json:"source"`  // "stream of 10.0.0.12:6379"
	Server   string      `json:"server"`
	Complete bool        `json:"complete"`
	Hashed   bool        `json:"hashed_names"` // keys bear the first half of their name's SHA-256
	Keys     uint64      `json:"keys"`
	Bytes    uint64      `json:"bytes"`
	Rates    stall.Rates `json:"rates"`
	Worst    []KeptKey   `json:"worst"`  // what could stall for ShortestKept or longer, the worst first
	Beyond   int         `json:"beyond"` // such keys that found no room
	Shares   []KeptShare `json:"shares"` // all of it, by encoding
}

// KeptKey is one of them.
type KeptKey struct {
	Name    string `json:"name"` // at most 128 bytes of it
	DB      int    `json:"db"`
	Cluster int    `json:"cluster_slot"`
	Codis   int    `json:"codis_slot"`
	TTL     bool   `json:"ttl"`
	stall.Key
}

// KeptShare is all keys of one encoding.
type KeptShare struct {
	Keys uint64 `json:"keys"`
	stall.Key
}

const (
	// MaxKept is the most bytes that are kept of an audit.
	MaxKept = 64 << 10
	// ShortestKept is how long an operation on a key takes at the most, with
	// nothing left to another thread, before the key is kept.
	ShortestKept = 100 * time.Millisecond
	maxKeptKeys  = 150
	maxKeptName  = 128
)

// nothingLazy has no removal done by another thread.
var nothingLazy stall.Lazyfree

// ErrNoStalls says that an audit does not tell what would stall.
var ErrNoStalls = errors.New("the audit does not say what would stall")

// Keep makes what is kept of an audit. By is who keeps it, hashed whether the names
// in it are hashes.
func (a Audit) Keep(by string, hashed bool) ([]byte, error) {
	if a.Stalls == nil {
		return nil, ErrNoStalls
	}
	k := Kept{Schema: a.Schema, At: a.At, By: by, Source: a.Source.Kind + " of " + a.Source.Name, Server: a.Source.Server, Complete: a.Complete, Hashed: hashed,
		Keys: a.Keys, Bytes: a.Bytes, Rates: a.Stalls.Rates, Worst: []KeptKey{}, Shares: []KeptShare{}}
	for _, e := range a.Encodings {
		kind, encoding, _ := strings.Cut(e.Name, "/")
		k.Shares = append(k.Shares, KeptShare{e.Keys, stall.Key{Type: kind, Encoding: encoding, Elements: e.Elements, Counted: kind != "module", Bytes: e.Bytes}})
	}
	worst := map[int]time.Duration{}
	for i, l := range a.Large {
		for _, c := range stall.Of(l.StallKey(), nothingLazy, a.Stalls.Rates) {
			worst[i] = max(worst[i], c.High)
		}
	}
	var order []int
	for i := range a.Large {
		if worst[i] >= ShortestKept {
			order = append(order, i)
		}
	}
	slices.SortStableFunc(order, func(x, y int) int { return cmp.Compare(worst[y], worst[x]) })
	for n := min(len(order), maxKeptKeys); ; n /= 2 {
		k.Worst, k.Beyond = k.Worst[:0], len(order)-n
		for _, i := range order[:n] {
			l := a.Large[i]
			k.Worst = append(k.Worst, KeptKey{Name: l.Key[:min(len(l.Key), maxKeptName)], DB: l.DB, Cluster: l.Cluster, Codis: l.Codis, TTL: l.ExpireAt != 0, Key: l.StallKey()})
		}
		text, err := json.Marshal(k)
		if err != nil {
			return nil, err
		}
		if len(text) <= MaxKept {
			return text, nil
		}
		if n == 0 {
			return nil, fmt.Errorf("what is kept of the audit has %d bytes without any key", len(text))
		}
	}
}

// ReadKept reads what Keep made. An entry that makes no sense is left out and
// counted.
func ReadKept(text []byte) (k Kept, left int, err error) {
	var raw struct {
		Kept
		Worst  []json.RawMessage `json:"worst"`
		Shares []json.RawMessage `json:"shares"`
	}
	if err := json.Unmarshal(text, &raw); err != nil {
		return Kept{}, 0, fmt.Errorf("read kept audit: %w", err)
	}
	if raw.Schema < 1 || raw.Schema > Schema {
		return Kept{}, 0, fmt.Errorf("read kept audit: schema %d is none of this version's", raw.Schema)
	}
	if raw.At.IsZero() {
		return Kept{}, 0, errors.New("read kept audit: it does not say of when it is")
	}
	k = raw.Kept
	if !k.Rates.Valid() {
		k.Rates = stall.Coarse("those that were kept make no sense")
	}
	for _, text := range raw.Worst {
		var one KeptKey
		if json.Unmarshal(text, &one) != nil || one.Type == "" {
			left++
			continue
		}
		k.Worst = append(k.Worst, one)
	}
	for _, text := range raw.Shares {
		var one KeptShare
		if json.Unmarshal(text, &one) != nil || one.Type == "" {
			left++
			continue
		}
		k.Shares = append(k.Shares, one)
	}
	return k, left, nil
}

// Find is the key by the name that was shown, or by its hash where those are kept.
func (k Kept) Find(name, hash string) (KeptKey, bool) {
	if k.Hashed {
		name = hash
	}
	i := slices.IndexFunc(k.Worst, func(x KeptKey) bool { return x.Name == name && name != "" && len(name) < maxKeptName })
	if i < 0 {
		return KeptKey{}, false
	}
	return k.Worst[i], true
}

// Emptying is how long removing all keys would hold a server up that leaves none of
// it to another thread; each key has a name and an object besides its value.
func (k Kept) Emptying() stall.Range {
	var all stall.Range
	for _, s := range k.Shares {
		names := stall.One(stall.Resync, stall.Key{Type: "set", Encoding: "hashtable", Counted: true, Elements: s.Keys}, nothingLazy, k.Rates)
		value := stall.One(stall.Resync, s.Key, nothingLazy, k.Rates)
		all.Low += names.Low + value.Low
		all.High += names.High + value.High
	}
	return all
}
