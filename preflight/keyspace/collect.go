package keyspace

import (
	"bytes"
	"cmp"
	"container/heap"
	"crypto/sha256"
	"encoding/hex"
	"slices"
	"sort"
	"time"

	"github.com/redis-watchdog/redis-watchdog/preflight/keyspace/rdb"
)

// Limits of what is worth a line of its own, and of what an Audit holds: the
// bounds keep the memory of an audit, and its size on disk, apart from the size
// of the key space.
const (
	LargeString   = 1 << 20 // bytes; a string above it is listed
	LargeElements = 2000    // a collection above it is listed
	LargestOfType = 50      // of each type, whether above the limits or not
	maxLarge      = 10000   // above the limits; what is smaller than these is counted
	maxPrefixes   = 20000   // while collecting; then ids are not the only thing that is folded
	keptPrefixes  = 1000    // in the Audit
	keptSlots     = 50
	keptKeyBytes  = 256
	expiryDays    = 7
)

// Options of a Collector.
type Options struct {
	At        time.Time // of the data; zero: now, which is for tests only
	HashNames bool      // names are replaced by the first half of their SHA-256
}

// Collector adds keys up. It is for one goroutine.
type Collector struct {
	o         Options
	at        int64 // ms
	audit     Audit
	databases map[int]*Database
	database  *Database // of the last key
	types     [8]Share
	encodings [8][rdb.Encodings]Share
	prefixes  map[string]*Prefix
	others    Prefix
	ttl       [len(ttlNames)]TTLClass
	seconds   []uint32 // keys that expire in each second from at
	cluster   []spread
	codis     []spread
	large     largeHeap
	largest   [8]largeHeap
	waste     wastes
	scratch   []byte
}

var ttlNames = [...]string{"none", "past", "1h", "1d", "7d", "30d", "later"}

// NewCollector begins an audit.
func NewCollector(o Options) *Collector {
	c := &Collector{
		o: o, at: o.At.UnixMilli(), databases: map[int]*Database{}, prefixes: map[string]*Prefix{},
		others: Prefix{Pattern: "(other)"}, seconds: make([]uint32, expiryDays*24*3600),
		cluster: make([]spread, ClusterSlots), codis: make([]spread, CodisSlots), waste: wastes{},
	}
	for _, t := range rdb.Types() {
		c.types[t].Name = t.String()
	}
	for i, name := range ttlNames {
		c.ttl[i].Name = name
	}
	return c
}

// Add counts one key in; size is the bytes of memory that its value and name
// take.
func (c *Collector) Add(k *rdb.Key, size uint64) {
	c.audit.Keys++
	c.audit.Bytes += size
	c.audit.Stored += k.Stored
	if k.Type != rdb.String {
		c.audit.Elements += k.Elements
	}
	c.share(&c.types[k.Type], k, size)
	c.share(&c.encodings[k.Type][k.Encoding], k, size)
	db := c.database
	if db == nil || db.DB != k.DB {
		if db = c.databases[k.DB]; db == nil {
			db = &Database{DB: k.DB}
			c.databases[k.DB] = db
		}
		c.database = db
	}
	db.Keys++
	db.Bytes += size
	if k.ExpireAt != 0 {
		db.Expires++
	}
	c.expiry(k, size)
	slot := ClusterSlot(k.Name)
	c.cluster[slot].add(size)
	codis := CodisSlot(k.Name)
	c.codis[codis].add(size)
	p := c.prefix(k, size)
	c.waste.look(p.Pattern, k, size)
	c.list(k, size, slot, codis)
}

// WantsLength is whether the length of a string of such a size would be looked at:
// where it is among the largest so far, or its name may be longer. Of another it
// may be left out, and then it is not Counted.
func (c *Collector) WantsLength(nameLen, size uint64) bool {
	top := c.largest[rdb.String]
	return nameLen > longName || size > LargeString || len(top) < LargestOfType || size > top[0].Bytes
}

func (c *Collector) share(s *Share, k *rdb.Key, size uint64) {
	s.Keys++
	s.Bytes += size
	s.Longest = max(s.Longest, k.Longest)
	if k.Type != rdb.String { // of which it is the length
		s.Elements += k.Elements
		s.Most = max(s.Most, k.Elements)
	}
}

func (c *Collector) expiry(k *rdb.Key, size uint64) {
	class := 0
	if k.ExpireAt != 0 {
		left := k.ExpireAt - c.at
		switch {
		case left <= 0:
			class = 1
		case left <= time.Hour.Milliseconds():
			class = 2
		case left <= 24*time.Hour.Milliseconds():
			class = 3
		case left <= 7*24*time.Hour.Milliseconds():
			class = 4
		case left <= 30*24*time.Hour.Milliseconds():
			class = 5
		default:
			class = 6
		}
		if second := left / 1000; left > 0 && second < int64(len(c.seconds)) {
			c.seconds[second]++
		}
	}
	c.ttl[class].Keys++
	c.ttl[class].Bytes += size
}

func (c *Collector) prefix(k *rdb.Key, size uint64) *Prefix {
	c.scratch = appendPattern(c.scratch[:0], k.Name)
	p := c.prefixes[string(c.scratch)]
	if p == nil {
		if p = &c.others; len(c.prefixes) < maxPrefixes {
			p = &Prefix{Pattern: string(c.scratch), Type: k.Type.String()}
			c.prefixes[p.Pattern] = p
		} else if cut := bytes.IndexAny(c.scratch, ":/|.-_#"); cut > 0 {
			// There are too many shapes: the first segment has to do.
			coarse := string(c.scratch[:cut+1]) + "…"
			if p = c.prefixes[coarse]; p == nil && len(c.prefixes) < 2*maxPrefixes {
				p = &Prefix{Pattern: coarse, Type: k.Type.String()}
				c.prefixes[coarse] = p
			} else if p == nil {
				p = &c.others
			}
		}
	}
	p.Keys++
	p.Bytes += size
	if k.Type != rdb.String {
		p.Elements += k.Elements
	}
	p.Largest = max(p.Largest, size)
	if k.ExpireAt == 0 {
		p.NoTTL++
	}
	if name := k.Type.String(); p.Type != name && p.Type != "" {
		p.Type = "mixed"
	}
	return p
}

// list keeps the key where it is large.
func (c *Collector) list(k *rdb.Key, size uint64, slot, codis int) {
	above := k.Type == rdb.String && k.Elements > LargeString || k.Type != rdb.String && k.Elements > LargeElements ||
		!k.Counted && k.Payload > LargeString
	top := &c.largest[k.Type]
	if !above {
		if len(*top) == LargestOfType && (*top)[0].Bytes >= size {
			return
		}
		keep(top, c.line(k, size, slot, codis, false), LargestOfType)
		return
	}
	line := c.line(k, size, slot, codis, true)
	if left := keep(&c.large, line, maxLarge); left != nil {
		c.audit.Beyond.Keys++
		c.audit.Beyond.Bytes += left.Bytes
	}
}

func (c *Collector) line(k *rdb.Key, size uint64, slot, codis int, above bool) Large {
	return Large{Key: c.name(k.Name), KeyBytes: k.NameLen, DB: k.DB, Type: k.Type.String(), Encoding: k.Encoding.String(),
		Elements: k.Elements, Counted: k.Counted, Bytes: size, Payload: k.Payload, Nodes: k.Blobs, Stored: k.Stored, ExpireAt: k.ExpireAt,
		FieldTTLs: k.FieldTTLs, Module: k.Module, Cluster: slot, Codis: codis, Above: above}
}

// name is how a key is shown.
func (c *Collector) name(name []byte) string {
	if c.o.HashNames {
		sum := sha256.Sum256(name)
		return hex.EncodeToString(sum[:16])
	}
	return string(name[:min(len(name), keptKeyBytes)])
}

// Audit ends the collection. The source and what it says of the file are the
// caller's to put in.
func (c *Collector) Audit() Audit {
	a := c.audit
	a.Schema, a.At = Schema, c.o.At
	for _, db := range c.databases {
		a.Databases = append(a.Databases, *db)
	}
	// By sort and not by slices: an instance of a sort for each struct is tens of kB.
	sort.Slice(a.Databases, func(x, y int) bool { return a.Databases[x].DB < a.Databases[y].DB })
	for _, s := range c.types {
		if s.Keys > 0 {
			a.Types = append(a.Types, s)
		}
	}
	for t, all := range c.encodings {
		for e, s := range all {
			if s.Keys > 0 {
				s.Name = rdb.Type(t).String() + "/" + rdb.Encoding(e).String()
				a.Encodings = append(a.Encodings, s)
			}
		}
	}
	for _, shares := range [][]Share{a.Types, a.Encodings} {
		sort.Slice(shares, func(i, j int) bool {
			x, y := &shares[i], &shares[j]
			return cmp.Or(cmp.Compare(y.Bytes, x.Bytes), cmp.Compare(x.Name, y.Name)) < 0
		})
	}
	a.Prefixes, a.Others = c.topPrefixes()
	a.Expiry = Expiry{Classes: c.ttl[:]}
	for second, keys := range c.seconds {
		if uint64(keys) > a.Expiry.Worst.Keys {
			a.Expiry.Worst = Second{At: c.o.At.Add(time.Duration(second) * time.Second).Truncate(time.Second), Keys: uint64(keys)}
		}
	}
	a.Large = slices.Clone(c.large)
	for _, top := range c.largest {
		a.Large = append(a.Large, top...)
	}
	sort.Slice(a.Large, func(i, j int) bool {
		x, y := &a.Large[i], &a.Large[j]
		return cmp.Or(cmp.Compare(y.Bytes, x.Bytes), cmp.Compare(x.DB, y.DB), cmp.Compare(x.Key, y.Key)) < 0
	})
	a.Slots = map[string]Slots{"cluster": topSlots(c.cluster), "codis": topSlots(c.codis)}
	a.Waste = c.waste.list(c.o.HashNames)
	if c.o.HashNames {
		for i := range a.Prefixes {
			a.Prefixes[i].Pattern = hashedPattern(a.Prefixes[i].Pattern)
		}
	}
	return a
}

// hashedPattern replaces every word of a pattern by the beginning of its hash,
// so that its shape stays.
func hashedPattern(pattern string) string {
	var out []byte
	for start := 0; start <= len(pattern); {
		end := start
		for end < len(pattern) && !separates[pattern[end]] {
			end++
		}
		if word := pattern[start:end]; word != "" && word != "id" && word != "…" {
			sum := sha256.Sum256([]byte(word))
			out = append(out, hex.EncodeToString(sum[:4])...)
		} else {
			out = append(out, word...)
		}
		if end == len(pattern) {
			break
		}
		out = append(out, pattern[end])
		start = end + 1
	}
	return string(out)
}

func (c *Collector) topPrefixes() ([]Prefix, Prefix) {
	all := make([]*Prefix, 0, len(c.prefixes))
	for _, p := range c.prefixes {
		all = append(all, p)
	}
	slices.SortFunc(all, func(x, y *Prefix) int {
		return cmp.Or(cmp.Compare(y.Bytes, x.Bytes), cmp.Compare(x.Pattern, y.Pattern))
	})
	others := c.others
	kept := make([]Prefix, 0, keptPrefixes)
	for i, p := range all {
		if i < keptPrefixes {
			kept = append(kept, *p)
			continue
		}
		others.Keys += p.Keys
		others.Bytes += p.Bytes
		others.Elements += p.Elements
		others.NoTTL += p.NoTTL
		others.Largest = max(others.Largest, p.Largest)
	}
	return kept, others
}

// spread is the keys of one slot. There are many slots, and each key is in
// another: what is smaller stays closer to the processor.
type spread struct{ keys, bytes uint64 }

func (s *spread) add(size uint64) {
	s.keys++
	s.bytes += size
}

// usedSlots is those that have keys.
func usedSlots(all []spread) []Slot {
	var used []Slot
	for i, s := range all {
		if s.keys > 0 {
			used = append(used, Slot{Slot: i, Keys: s.keys, Bytes: s.bytes})
		}
	}
	return used
}

func topSlots(all []spread) Slots {
	s := Slots{Of: len(all)}
	used := usedSlots(all)
	s.Used = len(used)
	sort.Slice(used, func(i, j int) bool {
		return cmp.Or(cmp.Compare(used[j].Bytes, used[i].Bytes), cmp.Compare(used[i].Slot, used[j].Slot)) < 0
	})
	s.Largest = used[:min(len(used), keptSlots)]
	return s
}

// largeHeap has its smallest first.
type largeHeap []Large

func (h largeHeap) Len() int           { return len(h) }
func (h largeHeap) Less(i, j int) bool { return h[i].Bytes < h[j].Bytes }
func (h largeHeap) Swap(i, j int)      { h[i], h[j] = h[j], h[i] }
func (h *largeHeap) Push(x any)        { *h = append(*h, x.(Large)) }
func (h *largeHeap) Pop() any {
	last := (*h)[len(*h)-1]
	*h = (*h)[:len(*h)-1]
	return last
}

// keep adds one, and is the one that had to leave; nil: none.
func keep(h *largeHeap, l Large, most int) *Large {
	heap.Push(h, l)
	if len(*h) <= most {
		return nil
	}
	left := heap.Pop(h).(Large)
	return &left
}
