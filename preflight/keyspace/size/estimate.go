package size

import (
	"fmt"

	"github.com/redis-watchdog/redis-watchdog/preflight/keyspace/rdb"
)

// Plan is data that is not there yet: so many keys of one type, all alike.
type Plan struct {
	Keys        uint64
	KeyBytes    uint64
	Type        rdb.Type
	Members     uint64 // elements of a collection; of a hash, its fields
	MemberBytes uint64 // of each; of a string, its length
	ValueBytes  uint64 // of a hash's values
	Integers    bool   // the members, or the string, are integers
	TTL         bool
}

// Estimate is the memory that a plan will take.
type Estimate struct {
	Encoding string `json:"encoding"`        // in OBJECT ENCODING's words
	Key      uint64 `json:"bytes_a_key"`     // as MEMORY USAGE
	Keys     uint64 `json:"bytes_of_keys"`   // likewise
	Tables   uint64 `json:"bytes_of_tables"` // of the keys, and of their expiry times
	Total    uint64 `json:"bytes"`           // by which used_memory grows
}

// Limits of the compact encodings, as redis.conf of every version has them by
// default (set-max-listpack-* from 7.2).
const (
	hashEntries, zsetEntries, setEntries, intEntries = 512, 128, 128, 512
	compactBytes                                     = 64
)

// Estimate says what the plan will cost under the default configuration.
func (m *Model) Estimate(p Plan) (Estimate, error) {
	if p.Keys == 0 || p.Keys > 1<<40 || p.Members > 1<<40 || p.MemberBytes > 1<<32 || p.ValueBytes > 1<<32 || p.KeyBytes > 1<<32 {
		return Estimate{}, fmt.Errorf("a plan has from one to 2^40 keys and members, of up to 4 GiB each")
	}
	k := rdb.Key{NameLen: p.KeyBytes, Type: p.Type, Elements: p.Members, Counted: true}
	if p.TTL {
		k.ExpireAt = 1 // whenever
	}
	small := p.MemberBytes <= compactBytes
	switch p.Type {
	case rdb.String:
		k.Encoding, k.Elements = rdb.Raw, p.MemberBytes
		if p.Integers {
			k.Encoding = rdb.Int
		}
		m.Begin(p.Type, k.Encoding)
	case rdb.Set:
		switch {
		case p.Integers && p.Members <= intEntries:
			k.Encoding = rdb.IntSet
			m.Begin(p.Type, k.Encoding)
			m.Blob(8 + p.Members*integer(p.MemberBytes))
		case small && p.Members <= setEntries && m.layout.oneNode: // 7.2 brought both
			m.pack(&k, p.Members*packed(p.MemberBytes))
		default:
			m.each(&k, rdb.HashTable, p)
		}
	case rdb.Hash:
		if small && p.ValueBytes <= compactBytes && p.Members <= hashEntries {
			m.pack(&k, p.Members*(packed(p.MemberBytes)+packed(p.ValueBytes)))
		} else {
			m.each(&k, rdb.HashTable, p)
		}
	case rdb.ZSet:
		if small && p.Members <= zsetEntries {
			m.pack(&k, p.Members*(packed(p.MemberBytes)+packedScore))
		} else {
			m.each(&k, rdb.SkipList, p)
		}
	case rdb.List:
		m.list(&k, p)
	default:
		return Estimate{}, fmt.Errorf("a plan is of strings, lists, sets, zsets or hashes, not of %ss", p.Type)
	}
	e := Estimate{Encoding: k.Encoding.String(), Key: m.Size(&k)}
	e.Keys = e.Key * p.Keys
	expires := uint64(0)
	if p.TTL {
		expires = p.Keys
	}
	e.Tables = m.Tables(p.Keys, expires)
	e.Total = p.Keys*m.Used(&k) + e.Tables
	return e, nil
}

// integer is the bytes of an intset's cell for numbers of so many digits.
func integer(digits uint64) uint64 {
	switch {
	case digits <= 4:
		return 2
	case digits <= 9:
		return 4
	}
	return 8
}

// pack makes the collection one listpack.
func (m *Model) pack(k *rdb.Key, payload uint64) {
	k.Encoding, k.Blobs = rdb.ListPack, 1
	m.Begin(k.Type, k.Encoding)
	m.Blob(7 + payload)
}

// packedScore is a listpack's entry of a score that is an integer of 64 bits, as a
// time in milliseconds is.
const packedScore = 10

// packed is the bytes of a text of n in a listpack: a head, the text and its length
// for who comes from behind (listpack.c).
func packed(n uint64) uint64 {
	head, tail := uint64(1), uint64(1)
	switch {
	case n > 4095:
		head = 5
	case n > 63:
		head = 2
	}
	for whole := head + n; whole > 127; whole >>= 7 {
		tail++
	}
	return head + n + tail
}

// list makes it listpacks of 8 KiB (list-max-listpack-size -2), the last of which is
// not full. An element goes into one as long as that, with the element and what 8
// bytes are reckoned for, is no larger (quicklist.c, _quicklistNodeAllowInsert).
func (m *Model) list(k *rdb.Key, p Plan) {
	const node, pack, around = 8192, 7, 8
	one, per := packed(p.MemberBytes), uint64(1)
	if used := pack + around + p.MemberBytes; used < node {
		per += (node - used) / one
	}
	k.Encoding, k.Blobs = rdb.QuickList, (p.Members+per-1)/per
	m.Begin(p.Type, k.Encoding)
	if k.Blobs == 0 {
		return
	}
	m.Blob(pack + min(per, p.Members)*one)
	m.sum *= k.Blobs - 1
	m.unasked *= k.Blobs - 1
	m.Blob(pack + (p.Members-(k.Blobs-1)*per)*one)
}

// each makes it one allocation, or two, an element.
func (m *Model) each(k *rdb.Key, e rdb.Encoding, p Plan) {
	k.Encoding = e
	m.Begin(k.Type, e)
	lengths := []uint64{p.MemberBytes}
	if k.Type == rdb.Hash {
		lengths = append(lengths, p.ValueBytes)
	}
	m.Texts(lengths) // as the elements of a file are: not all builds take a text by itself
	m.sum *= p.Members
}
