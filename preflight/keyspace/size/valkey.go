package size

import (
	"math"

	"github.com/redis-watchdog/redis-watchdog/preflight/keyspace/rdb"
)

// Valkey 8.1 put the keys, and the elements of sets and hashes, into hash tables
// of buckets (hashtable.c): 64 bytes with room for seven entries, and a child
// bucket where more come together. A hash's field and value are one allocation
// up to a size (entry.c). A key's name, its expiry time and a short string are
// in one allocation with its object (object.c).
//
// What was measured on 8.1.1 and 9.1.2, by one length after the other.
type valkey struct {
	table     uint64 // sizeof(hashtable)
	hashExtra uint64 // metadata of a hash's table (9.0: TTLs of fields)
	named     bool   // MEMORY USAGE counts the object with its name; 8.1 counts 16 bytes, whatever the name
	inNode    bool   // a zset's element is in the skiplist's node (9.1)
	embedded  uint64 // largest allocation that holds name and value of a string
	noPointer bool   // an object with its value inside has no pointer to it (9.1)
}

var (
	valkey81 = layout{name: "valkey 8.1", object: 16, quicklist: 40, node: 40, zset: 16, skiplist: 32, oneNode: true,
		valkey: &valkey{table: 72, embedded: 64}}
	valkey91 = layout{name: "valkey 9.1", object: 16, quicklist: 40, node: 40, zset: 16, skiplist: 32, oneNode: true,
		valkey: &valkey{table: 80, hashExtra: 8, named: true, inNode: true, embedded: 128, noPointer: true}}
)

const (
	bucketBytes   = 64
	bucketEntries = 7
	pairEmbedded  = 128 // largest allocation of a field with its value
	keyReserves   = 128 // from this length of a name on there is room for an expiry time
)

// valkeyTexts is the bytes of members, or of fields and values by turns.
func (m *Model) valkeyTexts(lengths []uint64) (sum uint64) {
	if m.kind == rdb.Hash {
		for ; len(lengths) >= 2; lengths = lengths[2:] {
			sum += m.pair(lengths[0], lengths[1])
		}
		return sum
	}
	for _, n := range lengths {
		sum += m.member(n)
	}
	return sum
}

// pair is the bytes of a hash's field and value.
func (m *Model) pair(field, value uint64) uint64 {
	f := header(field) + field + 1
	if whole := f + max(header(value), 3) + value + 1; whole <= pairEmbedded {
		return m.classes.Of(whole)
	}
	return m.classes.Of(8+f) + m.text(value)
}

// member is the bytes of an element by itself.
func (m *Model) member(n uint64) uint64 {
	switch {
	case !m.layout.valkey.inNode || m.kind != rdb.ZSet:
		return m.text(n)
	case n < uint64(len(m.nodes)):
		return uint64(m.nodes[n])
	}
	return m.node(n)
}

// node is the mean bytes of a skiplist's node with an element of n characters in
// it.
func (m *Model) node(n uint64) uint64 { return m.levelsOf(16 + header(n) + n + 1 + 1) }

// levelsOf is the mean bytes of a skiplist's node that has so many before its
// levels. A node has another level with a probability of 1/4.
func (m *Model) levelsOf(before uint64) uint64 {
	share, mean := 0.75, 0.0
	for level := uint64(1); level <= 8; level++ {
		mean += share * float64(m.classes.Of(before+16*level))
		share /= 4
	}
	return uint64(mean + 0.5)
}

// valkeySize is Size for Valkey's own layouts.
func (m *Model) valkeySize(l *layout, k *rdb.Key, sum uint64) uint64 {
	v := l.valkey
	name := 1 + header(k.NameLen) + k.NameLen + 1
	expiry := uint64(0)
	if k.ExpireAt != 0 {
		expiry = 8
	}
	object := l.object
	if v.named {
		room := expiry
		if k.NameLen >= keyReserves {
			room = 8
		}
		object = m.classes.Of(l.object + room + name)
	}
	switch k.Encoding {
	case rdb.Int:
		return object
	case rdb.Raw:
		whole := l.object + expiry + name + 3 + k.Elements + 1
		limit := whole
		if v.noPointer {
			whole -= 8
			limit = whole
		} else {
			limit = l.object + expiry + k.NameLen + 3 + k.Elements + 4
		}
		if limit <= v.embedded {
			return m.classes.Of(whole)
		}
		return object + m.classes.Of(max(header(k.Elements), 1)+k.Elements+1)
	case rdb.HashTable:
		extra := uint64(0)
		if k.Type == rdb.Hash {
			extra = v.hashExtra
			if k.FieldTTLs > 0 {
				extra += k.FieldTTLs * 26 // measured: 26 bytes a field that expires
			}
		}
		return object + v.table + extra + buckets(k.Elements) + sum
	case rdb.SkipList:
		const levels = 16 * 32
		size := object + l.zset + l.skiplist + v.table + buckets(k.Elements) + sum
		if v.inNode {
			return size + m.classes.Of(levels)
		}
		return size + m.classes.Of(24+levels) + k.Elements*m.levels/1024
	case rdb.QuickList:
		if k.Blobs == 1 {
			return object + sum
		}
		return object + l.quicklist + k.Blobs*l.node + sum
	}
	return object + sum
}

// buckets is the bytes of a table's buckets: a power of two of them with more
// room than entries, and as many children as chance makes: a bucket that gets an
// eighth entry has one, and another with every six more. A table that was loaded
// from a file is made a third larger than one that has grown (77 % full at most):
// which of the two it is the file does not tell, and where it matters the size is
// up to a fifth of its table's off.
func buckets(n uint64) uint64 {
	count := uint64(1)
	for count*bucketEntries < n {
		count *= 2
	}
	mean := float64(n) / float64(count)
	p, below, children := math.Exp(-mean), 0.0, 0.0
	for i := range 40 {
		if i > bucketEntries && (i-bucketEntries-1)%(bucketEntries-1) == 0 {
			children += 1 - below
		}
		below += p
		p *= mean / float64(i+1)
	}
	return bucketBytes * (count + uint64(float64(count)*children+0.5))
}
