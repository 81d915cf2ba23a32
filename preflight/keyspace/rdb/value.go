package rdb

import "math"

// value passes over the value of a key and notes what there is to note.
func (w *walker) value(op byte, at int64) {
	switch op {
	case typeString:
		w.stringValue()
	case typeList:
		w.members(List, LinkedList, 0)
	case typeSet:
		w.members(Set, HashTable, 0)
	case typeZSet:
		w.zsetText()
	case typeZSet2:
		w.members(ZSet, SkipList, 8)
	case typeHash:
		w.pairs(0, false)
	case typeHashZipMap:
		w.one(Hash, ZipMap, zipMapCount, 1)
	case typeListZipList:
		w.one(List, ZipList, zipListCount, 1)
	case typeSetIntSet:
		w.one(Set, IntSet, intSetCount, 1)
	case typeZSetZipList:
		w.one(ZSet, ZipList, zipListCount, 2)
	case typeHashZipList:
		w.one(Hash, ZipList, zipListCount, 2)
	case typeHashListPack:
		w.one(Hash, ListPack, listPackCount, 2)
	case typeZSetListPack:
		w.one(ZSet, ListPack, listPackCount, 2)
	case typeSetListPack:
		w.one(Set, ListPack, listPackCount, 1)
	case typeQuickList:
		w.quickList(false)
	case typeQuickList2:
		w.quickList(true)
	case typeModule2:
		w.module()
	case typeStream:
		w.stream(1)
	case typeStream2:
		w.stream(2)
	case typeStream3:
		w.stream(3)
	default:
		w.familyValue(op, at)
	}
}

// familyValue is those that mean different things in the two families.
func (w *walker) familyValue(op byte, at int64) {
	f := w.file.Format
	if f.Family == Valkey {
		if op == typeValkeyHashTTL {
			w.pairs(8, false)
			return
		}
		w.unknown("type", op, at)
		return
	}
	switch {
	case op == typeHashRC && f.Version >= 12:
		w.pairs(0, true)
	case op == typeListPackRC && f.Version >= 12:
		w.one(Hash, ListPackEx, listPackCount, 3)
		w.key.FieldTTLs = w.key.Elements
	case op == typeHashTTL && f.Version >= 12:
		w.u64() // the earliest TTL
		w.pairs(0, true)
	case op == typeListPackTTL && f.Version >= 12:
		w.u64()
		w.one(Hash, ListPackEx, listPackCount, 3)
		w.key.FieldTTLs = w.key.Elements // how many really have one is inside
	case op == typeStream4 && f.Version >= 13:
		w.stream(4)
	case op == typeStream5 && f.Version >= 14:
		w.stream(5)
	case op == typeArray && f.Version >= 14:
		w.array()
	case op == typePackOf && f.Version >= 15:
		w.templatePack()
	case op == typeArrayOf && f.Version >= 15:
		w.templateArray()
	default:
		w.unknown("type", op, at)
	}
}

func (w *walker) begin(t Type, e Encoding) {
	w.key.Type, w.key.Encoding = t, e
	if w.o.Elements != nil {
		w.o.Elements.Begin(t, e)
	}
}

func (w *walker) stringValue() {
	k := &w.key
	t := w.beginText()
	k.Elements, k.Counted, k.Payload, k.Longest = t.length, true, t.length, t.length
	if t.number {
		w.begin(String, Int)
		k.First = appendInt(w.begins[:0], t.value)
		return
	}
	if !t.lzf {
		n := int(min(t.length, firstBytes))
		k.First = w.peek(n)
	}
	// Of more than 32 bits an integer is written as text, and is an integer again
	// once it is loaded (object.c, tryObjectEncoding).
	if t.length <= maxInteger && isInteger(k.First) {
		w.begin(String, Int)
	} else {
		w.begin(String, Raw)
	}
	w.skipBody(t)
}

// maxInteger is the characters of the longest integer of 64 bits.
const maxInteger = 20

// isInteger is whether the text is how an integer of 64 bits is printed, and
// nothing else (util.c, string2ll).
func isInteger(b []byte) bool {
	if len(b) == 0 || len(b) > maxInteger || b[0] > '9' {
		return false
	}
	most := "9223372036854775807"
	if b[0] == '-' {
		b, most = b[1:], "9223372036854775808"
		if len(b) == 0 || b[0] == '0' {
			return false
		}
	}
	for _, c := range b {
		if c < '0' || c > '9' {
			return false
		}
	}
	return len(b) == 1 || b[0] != '0' && (len(b) < len(most) || len(b) == len(most) && string(b) <= most)
}

// firstBytes is how much of an element is shown.
const firstBytes = 24

// members passes over a list, set or zset whose elements stand one by one, each
// with so many bytes behind it.
func (w *walker) members(t Type, e Encoding, behind int) {
	w.begin(t, e)
	n := w.length()
	w.key.Elements, w.key.Counted = n, true
	if n > 0 {
		w.first()
	}
	w.texts(n, behind)
}

// first keeps the beginning of the element that comes next, where it is plain
// and in the buffer.
func (w *walker) first() {
	b := w.peek(1)
	if b == nil || b[0] >= 64 {
		return
	}
	n := int(min(b[0], firstBytes))
	if have := w.peek(1 + n); have != nil {
		w.key.First = have[1:]
	}
}

// zsetText is a zset whose scores are text (before RDB 8).
func (w *walker) zsetText() {
	k := &w.key
	w.begin(ZSet, SkipList)
	n := w.length()
	k.Elements, k.Counted = n, true
	for i := uint64(0); i < n && w.err == nil; i++ {
		w.note(w.skipText())
		if score := w.byte(); score < 253 { // above: not a number, and the infinities
			w.skip(uint64(score))
		}
	}
}

// pairs passes over a hash, with a TTL as a length before each field (Redis) or
// as so many bytes behind each value (Valkey).
func (w *walker) pairs(behind int, before bool) {
	k := &w.key
	w.begin(Hash, HashTable)
	n := w.length()
	k.Elements, k.Counted = n, true
	if behind == 0 && !before && n <= math.MaxUint64/2 {
		w.texts(2*n, 0)
		return
	}
	for i := uint64(0); i < n && w.err == nil; i++ {
		if before && w.length() != 0 {
			k.FieldTTLs++
		}
		w.note(w.skipText())
		w.note(w.skipText())
		if behind > 0 && int64(w.u64()) != -1 {
			k.FieldTTLs++
		}
	}
}

// one passes over a value that is one blob; per is its entries an element.
func (w *walker) one(t Type, e Encoding, count func(*blob) uint64, per uint64) {
	k := &w.key
	w.begin(t, e)
	n, size := w.blob(count)
	k.Elements, k.Counted, k.Payload, k.Blobs = n/per, true, size, 1
	if n%per != 0 {
		w.fail("%d entries in a %s of a %s, which come by %d", n, e, t, per)
	}
}

func (w *walker) quickList(containers bool) {
	const plain, packed = 1, 2
	k := &w.key
	w.begin(List, QuickList)
	k.Counted = true
	n := w.length()
	for i := uint64(0); i < n && w.err == nil; i++ {
		count := zipListCount
		if containers {
			count = listPackCount
			switch c := w.length(); {
			case w.err != nil:
				return
			case c == plain:
				size := w.skipText()
				k.Elements++
				k.Payload += size
				k.Longest = max(k.Longest, size)
				if w.o.Elements != nil {
					w.o.Elements.Blob(size)
				}
				continue
			case c != packed:
				w.fail("a list's node in container %d, which there is not", c)
				return
			}
		}
		entries, size := w.blob(count)
		k.Elements += entries
		k.Payload += size
	}
	k.Blobs = n
}

// stream passes over a stream of layout 1 (Redis 5), 2 (7.0), 3 (7.2), 4 (8.6) or
// 5 (8.8).
func (w *walker) stream(layout int) {
	k := &w.key
	w.begin(Stream, StreamPacks)
	k.Blobs = w.length()
	for i := uint64(0); i < k.Blobs && w.err == nil; i++ {
		w.skipText() // the id that its entries build on
		t := w.beginText()
		w.skipBody(t)
		k.Payload += t.length
		if w.o.Elements != nil {
			w.o.Elements.Blob(t.length)
		}
	}
	k.Elements, k.Counted = w.length(), true
	w.lengths(2) // last id
	if layout >= 2 {
		w.lengths(5) // first id, greatest deleted id, entries added
	}
	groups := w.length()
	for g := uint64(0); g < groups && w.err == nil; g++ {
		w.skipText()
		w.lengths(2)
		if layout >= 2 {
			w.length() // entries read
		}
		pending := w.length()
		for i := uint64(0); i < pending && w.err == nil; i++ {
			w.skip(16 + 8) // id, delivery time
			w.length()     // deliveries
		}
		consumers := w.length()
		for c := uint64(0); c < consumers && w.err == nil; c++ {
			w.skipText()
			w.skip(8) // seen
			if layout >= 3 {
				w.skip(8) // active
			}
			w.ids(w.length())
		}
		if layout >= 5 {
			w.ids(w.length()) // given back by XNACK
		}
	}
	if layout >= 4 {
		w.producers()
	}
}

// ids passes over so many stream ids of 16 bytes.
func (w *walker) ids(n uint64) {
	const most = 1 << 58
	if n > most {
		w.fail("%d ids are more than any file has", n)
		return
	}
	w.skip(n * 16)
}

func (w *walker) lengths(n int) {
	for range n {
		w.length()
	}
}
