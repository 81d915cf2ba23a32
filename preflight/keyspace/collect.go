package keyspace

import (
	"bytes"
	"cmp"
	"container/heap"
	"crypto/sha256"
	"encoding/binary"
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
	database  *Database               // of the last key
	encodings [8][rdb.Encodings]Share // the sums of all keys are theirs
	prefixes  map[string]*prefixRow
	recent    [256]*prefixRow // the last of each hash of a pattern
	others    prefixRow
	ttl       [len(ttlNames)]TTLClass
	seconds   []uint32 // keys that expire in each second from at
	cluster   []spread
	codis     []spread
	slots     []inSlots // that are not added to these yet
	large     largeHeap
	largest   [8]largeHeap
	waste     wastes
	scratch   []byte
}

var ttlNames = [...]string{"none", "past", "1h", "1d", "7d", "30d", "later"}

// NewCollector begins an audit.
func NewCollector(o Options) *Collector {
	c := &Collector{
		o: o, at: o.At.UnixMilli(), databases: map[int]*Database{}, prefixes: map[string]*prefixRow{},
		others: prefixRow{Prefix: Prefix{Pattern: "(other)"}}, seconds: make([]uint32, expiryDays*24*3600),
		cluster: make([]spread, ClusterSlots), codis: make([]spread, CodisSlots), slots: make([]inSlots, 0, 64), waste: wastes{},
	}
	for i, name := range ttlNames {
		c.ttl[i].Name = name
	}
	return c
}

// Add counts one key in; size is the bytes of memory that its value and name
// take.
func (c *Collector) Add(k *rdb.Key, size uint64) {
	c.audit.Stored += k.Stored
	share := &c.encodings[k.Type][k.Encoding]
	share.Keys++
	share.Bytes += size
	share.Longest = max(share.Longest, k.Longest)
	if k.Type != rdb.String { // of which it is the length
		share.Elements += k.Elements
		share.Most = max(share.Most, k.Elements)
	}
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
	if c.slots = append(c.slots, slotsOf(k.Name, size)); len(c.slots) == cap(c.slots) {
		c.spread()
	}
	p := c.prefix(k, size)
	c.waste.look(p, k, size)
	c.list(k, size)
}

// WantsLength is whether the length of a string of such a size would be looked at:
// where it is among the largest so far, or its name may be longer. Of another it
// may be left out, and then it is not Counted.
func (c *Collector) WantsLength(nameLen, size uint64) bool {
	top := c.largest[rdb.String]
	return nameLen > longName || size > LargeString || len(top) < LargestOfType || size > top[0].Bytes
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

// prefixRow is a Prefix, and what is looked up by it.
type prefixRow struct {
	Prefix
	kind  rdb.Type // of the first key seen
	waste [len(wasteKinds)]*wasteRow
}

// prefix adds the key to those of its shape.
func (c *Collector) prefix(k *rdb.Key, size uint64) *prefixRow {
	c.scratch = appendPattern(c.scratch[:0], k.Name)
	place := &c.recent[placeOf(c.scratch)]
	p := *place
	if p == nil || p.Pattern != string(c.scratch) {
		p = c.row(c.scratch, k.Type)
		*place = p
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
	if p.kind != k.Type && p.Type != "" {
		p.Type = "mixed"
	}
	return p
}

// placeOf is a hash of a pattern in eight bits: of its ends, where patterns differ.
func placeOf(pattern []byte) uint8 {
	n := len(pattern)
	if n < 8 {
		return uint8(n)
	}
	x := binary.LittleEndian.Uint64(pattern) + 31*binary.LittleEndian.Uint64(pattern[n-8:]) + uint64(n)
	return uint8(x * 0x9e3779b97f4a7c15 >> 56)
}

// row is the one of a pattern, made if there is room for it.
func (c *Collector) row(pattern []byte, t rdb.Type) *prefixRow {
	if p := c.prefixes[string(pattern)]; p != nil {
		return p
	}
	if len(c.prefixes) < maxPrefixes {
		return c.newRow(string(pattern), t)
	}
	cut := bytes.IndexAny(pattern, ":/|.-_#")
	if cut <= 0 {
		return &c.others
	}
	// There are too many shapes: the first segment has to do.
	coarse := string(pattern[:cut+1]) + "…"
	if p := c.prefixes[coarse]; p != nil {
		return p
	}
	if len(c.prefixes) < 2*maxPrefixes {
		return c.newRow(coarse, t)
	}
	return &c.others
}

func (c *Collector) newRow(pattern string, t rdb.Type) *prefixRow {
	p := &prefixRow{Prefix: Prefix{Pattern: pattern, Type: t.String()}, kind: t}
	c.prefixes[pattern] = p
	return p
}

// list keeps the key where it is large.
func (c *Collector) list(k *rdb.Key, size uint64) {
	above := k.Type == rdb.String && k.Elements > LargeString || k.Type != rdb.String && k.Elements > LargeElements ||
		!k.Counted && k.Payload > LargeString
	top := &c.largest[k.Type]
	if !above {
		if len(*top) == LargestOfType && (*top)[0].Bytes >= size {
			return
		}
		keep(top, c.line(k, size, false), LargestOfType)
		return
	}
	line := c.line(k, size, true)
	if left := keep(&c.large, line, maxLarge); left != nil {
		c.audit.Beyond.Keys++
		c.audit.Beyond.Bytes += left.Bytes
	}
}

func (c *Collector) line(k *rdb.Key, size uint64, above bool) Large {
	return Large{Key: c.name(k.Name), KeyBytes: k.NameLen, DB: k.DB, Type: k.Type.String(), Encoding: k.Encoding.String(),
		Elements: k.Elements, Counted: k.Counted, Bytes: size, Payload: k.Payload, Nodes: k.Blobs, Stored: k.Stored, ExpireAt: k.ExpireAt,
		FieldTTLs: k.FieldTTLs, Module: k.Module, Cluster: ClusterSlot(k.Name), Codis: CodisSlot(k.Name), Above: above}
}

// name is how a key is shown.
func (c *Collector) name(name []byte) string {
	if c.o.HashNames {
		sum := sha256.Sum256(name)
		return hex.EncodeToString(sum[:16])
	}
	return string(name[:min(len(name), keptKeyBytes)])
}

// types are the sums of the encodings of each.
func (c *Collector) types() [8]Share {
	var types [8]Share
	for _, t := range rdb.Types() {
		sum := &types[t]
		sum.Name = t.String()
		for _, s := range c.encodings[t] {
			sum.Keys += s.Keys
			sum.Bytes += s.Bytes
			sum.Elements += s.Elements
			sum.Longest = max(sum.Longest, s.Longest)
			sum.Most = max(sum.Most, s.Most)
		}
	}
	return types
}

// sums is the audit with the sums of all types, and every key in its slot.
func (c *Collector) sums() Audit {
	c.spread()
	a := c.audit
	a.Keys, a.Bytes, a.Elements = 0, 0, 0
	for _, s := range c.types() {
		a.Keys += s.Keys
		a.Bytes += s.Bytes
		a.Elements += s.Elements
	}
	return a
}

// Audit ends the collection. The source and what it says of the file are the
// caller's to put in.
func (c *Collector) Audit() Audit {
	a := c.sums()
	a.Schema, a.At = Schema, c.o.At
	for _, db := range c.databases {
		a.Databases = append(a.Databases, *db)
	}
	// By sort and not by slices: an instance of a sort for each struct is tens of kB.
	sort.Slice(a.Databases, func(x, y int) bool { return a.Databases[x].DB < a.Databases[y].DB })
	for _, s := range c.types() {
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
	all := make([]*prefixRow, 0, len(c.prefixes))
	for _, p := range c.prefixes {
		all = append(all, p)
	}
	slices.SortFunc(all, func(x, y *prefixRow) int {
		return cmp.Or(cmp.Compare(y.Bytes, x.Bytes), cmp.Compare(x.Pattern, y.Pattern))
	})
	others := c.others.Prefix
	kept := make([]Prefix, 0, keptPrefixes)
	for i, p := range all {
		if i < keptPrefixes {
			kept = append(kept, p.Prefix)
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

// inSlots is where one key is, and its size.
type inSlots struct {
	cluster, codis uint16
	size           uint64
}

// spread adds the keys to their slots. Each slot is far from the processor: of
// several at a time it waits for all at once.
func (c *Collector) spread() {
	for _, k := range c.slots {
		slot := &c.cluster[k.cluster]
		slot.keys++
		slot.bytes += k.size
	}
	for _, k := range c.slots {
		slot := &c.codis[k.codis]
		slot.keys++
		slot.bytes += k.size
	}
	c.slots = c.slots[:0]
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
