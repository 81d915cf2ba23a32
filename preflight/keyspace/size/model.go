package size

import (
	"fmt"
	"math"
	"math/bits"
	"strconv"
	"strings"

	"github.com/redis-watchdog/redis-watchdog/preflight/keyspace/rdb"
)

// layout is what the structs of one server version measure, in bytes. They are
// sizeof's of its sources, as MEMORY USAGE adds them up (object.c,
// objectComputeSize).
type layout struct {
	name      string
	object    uint64 // robj
	entry     uint64 // dictEntry
	dict      uint64
	quicklist uint64
	node      uint64 // quicklistNode
	zset      uint64
	skiplist  uint64
	embedded  uint64  // longest string in one allocation with its object
	oneNode   bool    // a list of one listpack is that listpack (7.2)
	valkey    *valkey // set: Valkey's own tables
	bare      bool    // a set's only member in its slot has no entry, the others one of 16 bytes (7.2, dict.c: no_value)
	asked     bool    // of blobs and embedded strings it counts what was asked for, not what the allocator gave (6.0)
}

var (
	redis60 = layout{name: "redis 6.0", object: 16, entry: 24, dict: 96, quicklist: 40, node: 32, zset: 16, skiplist: 32, embedded: 44, asked: true}
	redis80 = layout{name: "redis 8.0", object: 16, entry: 24, dict: 56, quicklist: 40, node: 40, zset: 16, skiplist: 32, embedded: 44, oneNode: true}
	redis70 = layout{name: "redis 7.0", object: 16, entry: 24, dict: 56, quicklist: 40, node: 40, zset: 16, skiplist: 32, embedded: 44}
)

// Model estimates for one server version and allocator. It is told of elements
// by the walk (rdb.Elements) and is then asked for the key's size. It is for one
// goroutine.
type Model struct {
	layout  layout
	real    layout // as the allocator makes it: see Used
	classes *Classes
	sds     [256]uint32 // bytes of an sds of that many characters
	nodes   [256]uint32 // of Valkey 9.1: bytes of a skiplist's node with that many characters in it
	levels  uint64      // mean bytes of a skiplist node, in 1/1024
	sum     uint64      // of the elements of this key
	unasked uint64      // what the allocator gave for them beyond what is counted (6.0)
	kind    rdb.Type
	table   bool // the elements are in a hash table
}

// layouts are the versions that are known, the oldest of each family first.
var layouts = []layout{redis60, redis70, redis80, valkey81, valkey91}

// New is the model of a server version, as "redis 7.0" or "valkey 8.1".
func New(version string, classes *Classes) (*Model, error) {
	for _, l := range layouts {
		if l.name == version {
			return build(l, classes), nil
		}
	}
	return nil, fmt.Errorf("sizes of %q are not known", version)
}

// Versions are those that New knows.
func Versions() []string {
	var names []string
	for _, l := range layouts {
		names = append(names, l.name)
	}
	return names
}

// Nearest is the model of that server ("redis 7.2.5"), or of the newest known
// one of its family that is not newer; the oldest one where all are, and of
// Redis 7.0 where nothing is said.
func Nearest(server string, classes *Classes) *Model {
	family, version, _ := strings.Cut(server, " ")
	best := redis70
	found := false
	for _, l := range layouts {
		f, v, _ := strings.Cut(l.name, " ")
		if f == family && (!found || number(v) <= number(version)) {
			best, found = l, true
		}
	}
	return build(best, classes)
}

// number is major and minor of a version; zero: it has none.
func number(version string) int {
	parts := strings.SplitN(version, ".", 3)
	if len(parts) < 2 {
		return 0
	}
	major, err := strconv.Atoi(parts[0])
	if err != nil {
		return 0
	}
	minor, err := strconv.Atoi(parts[1])
	if err != nil {
		return 0
	}
	return major*1000 + minor
}

func build(l layout, classes *Classes) *Model {
	m := &Model{layout: l, real: l.used(classes), classes: classes}
	for n := range m.sds {
		m.sds[n] = uint32(classes.Of(header(uint64(n)) + uint64(n) + 1))
	}
	// A node has another level with a probability of 1/4 (t_zset.c, ZSKIPLIST_P).
	share := 0.75
	mean := 0.0
	for level := uint64(1); level <= 32; level++ {
		mean += share * float64(classes.Of(24+16*level))
		share /= 4
	}
	m.levels = uint64(mean * 1024)
	if l.valkey != nil && l.valkey.inNode {
		for n := range m.nodes {
			m.nodes[n] = uint32(m.node(uint64(n)))
		}
	}
	return m
}

// header is the bytes before an sds' characters (sds.c, sdsReqType).
func header(n uint64) uint64 {
	switch {
	case n == 0:
		return 3 // an empty one is made to be appended to
	case n < 1<<5:
		return 1
	case n < 1<<8:
		return 3
	case n < 1<<16:
		return 5
	case n < 1<<32:
		return 9
	}
	return 17
}

func (m *Model) text(n uint64) uint64 {
	if n < uint64(len(m.sds)) {
		return uint64(m.sds[n])
	}
	return m.classes.Of(header(n) + n + 1)
}

// Name is the version and the allocator, as it stands in an audit.
func (m *Model) Name() string { return m.layout.name + ", " + m.classes.Name() }

// Begin implements rdb.Elements.
func (m *Model) Begin(t rdb.Type, e rdb.Encoding) {
	m.sum, m.unasked, m.kind, m.table = 0, 0, t, e == rdb.HashTable || e == rdb.SkipList
}

// Texts implements rdb.Elements.
func (m *Model) Texts(lengths []uint64) {
	if m.layout.valkey != nil {
		m.sum += m.valkeyTexts(lengths)
		return
	}
	sum := uint64(0)
	for _, n := range lengths {
		if n < uint64(len(m.sds)) {
			sum += uint64(m.sds[n])
		} else {
			sum += m.text(n)
		}
	}
	m.sum += sum
}

// Blob implements rdb.Elements.
func (m *Model) Blob(n uint64) {
	given := m.classes.Of(n)
	if m.layout.asked {
		m.sum += n
		m.unasked += given - n
		return
	}
	m.sum += given
}

// Size is what MEMORY USAGE answers of the key that was walked last, its name
// included.
func (m *Model) Size(k *rdb.Key) uint64 { return m.size(&m.layout, k, m.sum) }

// size adds the structs of a layout to what the elements take.
func (m *Model) size(l *layout, k *rdb.Key, sum uint64) uint64 {
	if l.valkey != nil {
		return m.valkeySize(l, k, sum)
	}
	size := l.object + m.text(k.NameLen) + l.entry
	switch k.Encoding {
	case rdb.Int:
		return size
	case rdb.Raw:
		if k.Elements <= l.embedded {
			if l.asked {
				return size + k.Elements + 2
			}
			return size - l.object + m.classes.Of(l.object+3+k.Elements+1)
		}
		return size + m.classes.Of(max(header(k.Elements), 3)+k.Elements+1)
	case rdb.HashTable:
		entries := k.Elements * l.entry
		if l.bare && k.Type == rdb.Set {
			entries = 16 * shared(k.Elements)
		}
		return size + l.dict + sum + entries + 8*slots(k.Elements)
	case rdb.SkipList:
		const top = 24 + 16*32
		return size + l.zset + l.skiplist + l.dict + m.classes.Of(top) + sum + k.Elements*(l.entry) + k.Elements*m.levels/1024 + 8*slots(k.Elements)
	case rdb.QuickList:
		if l.oneNode && k.Blobs == 1 {
			return size + sum
		}
		return size + l.quicklist + k.Blobs*l.node + sum
	}
	return size + sum
}

// shared is how many of n members share a slot with one that was there before.
func shared(n uint64) uint64 {
	if n < 2 {
		return 0
	}
	table := float64(uint64(1) << max(2, bits.Len64(n-1)))
	taken := table * (1 - math.Exp(-float64(n)/table))
	return uint64(max(0, float64(n)-taken))
}

// slots is the size of a hash table of n entries: the next power of two, and
// four at least (dict.c). Just above a power of two the table of half the size is
// still there until enough commands have moved its entries, 0.63 of its slots
// each by one step (dictRehash skips what is empty). Whether they were given the
// file does not tell: half of it is counted then, so that the error is half.
func slots(n uint64) uint64 {
	if n <= 4 {
		return 4
	}
	size := uint64(1) << bits.Len64(n-1)
	if moved := (n - size/2) * 3 / 2; moved*100 < size/2*63 {
		return size + size/4
	}
	return size
}
