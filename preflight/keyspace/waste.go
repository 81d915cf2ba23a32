package keyspace

import (
	"bytes"
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"sort"

	"github.com/redis-watchdog/redis-watchdog/preflight/keyspace/rdb"
)

// Kinds of waste. Each is seen without opening values: the type byte of an RDB
// is the encoding, and lengths are known.
const (
	// WasteLoneMember is a set of one member that is kept in a hash table
	// because it is no plain integer: a serialiser's header, quotes, padding.
	WasteLoneMember = "set_of_one_serialised"
	// WasteNumbersAsText is a set in a hash table whose first member is an
	// integer but for what is around it.
	WasteNumbersAsText = "set_of_dressed_integers"
	// WasteJustAbove is a collection a little above a limit of the compact
	// encodings.
	WasteJustAbove = "just_above_compact_limit"
	// WasteKeyLongerThanValue is a string whose name is longer than it.
	WasteKeyLongerThanValue = "name_longer_than_value"
)

// Limits of Redis' defaults (redis.conf of 7.0); docs/keyspace.md says where a
// server's own are asked for.
const (
	compactEntries = 128
	compactHash    = 512
	compactValue   = 64
	justAbove      = 1.25 // of a limit
	longName       = 32
)

// wasteRow is one finding while it is added up.
type wasteRow struct {
	Waste
}

type wastes map[[2]string]*wasteRow

// maxWaste bounds the rows; there are as many as prefixes have kinds.
const maxWaste = 5000

func (w wastes) look(p *prefixRow, k *rdb.Key, size uint64) {
	kind, after := waste(k, size)
	if kind < 0 || after >= size {
		return
	}
	row := p.waste[kind]
	if row == nil {
		key := [2]string{wasteKinds[kind], p.Pattern}
		if row = w[key]; row == nil {
			if len(w) == maxWaste {
				return
			}
			row = &wasteRow{Waste: Waste{Kind: key[0], Pattern: key[1], Example: string(k.Name[:min(len(k.Name), keptKeyBytes)])}}
			w[key] = row
		}
		p.waste[kind] = row
	}
	row.Keys++
	row.Now += size
	row.After += after
}

// wasteKinds are all of them, by their numbers here.
var wasteKinds = [...]string{loneMember: WasteLoneMember, numbersAsText: WasteNumbersAsText, aboveLimit: WasteJustAbove, keyLonger: WasteKeyLongerThanValue}

const (
	loneMember = iota
	numbersAsText
	aboveLimit
	keyLonger
)

// waste says what a key wastes, in wasteKinds, and how many bytes it would have
// without; negative: nothing.
func waste(k *rdb.Key, size uint64) (kind int, after uint64) {
	switch {
	case k.Type == rdb.Set && k.Encoding == rdb.HashTable:
		dressed := undress(k.First)
		if k.Elements == 1 && dressed {
			return loneMember, compactSet(k, 1)
		}
		if dressed && k.Elements <= 512 {
			return numbersAsText, compactSet(k, k.Elements)
		}
		if uint64(float64(compactEntries)*justAbove) >= k.Elements && k.Longest <= compactValue {
			return aboveLimit, compact(k)
		}
	case k.Encoding == rdb.HashTable || k.Encoding == rdb.SkipList:
		limit := uint64(compactHash)
		if k.Type == rdb.ZSet {
			limit = compactEntries
		}
		if k.FieldTTLs == 0 && float64(k.Elements) <= float64(limit)*justAbove && k.Longest <= 2*compactValue {
			return aboveLimit, compact(k)
		}
	case k.Type == rdb.String && k.NameLen > longName && k.NameLen > k.Elements:
		return keyLonger, size - k.NameLen + min(k.NameLen, 16)
	}
	return -1, 0
}

// fixed is a rough share of a key that no encoding saves: its name's and its
// entry's.
func fixed(k *rdb.Key) uint64 { return k.NameLen + 64 }

// compactSet is the bytes of an intset of so many integers of 64 bits.
func compactSet(k *rdb.Key, members uint64) uint64 { return fixed(k) + 16 + 8*members }

// compact is the bytes of a listpack of the same elements: up to three more each,
// and eight for a score.
func compact(k *rdb.Key) uint64 {
	per := uint64(3)
	if k.Type == rdb.Hash {
		per = 6
	} else if k.Type == rdb.ZSet {
		per = 13
	}
	return fixed(k) + 7 + k.Payload + per*k.Elements
}

// undress is whether a member would be an integer without what is around it:
// quotes, a serialiser's header, leading zeros.
func undress(member []byte) bool {
	if len(member) == 0 {
		return false
	}
	inner := member
	for _, header := range [][]byte{
		{0xac, 0xed, 0x00, 0x05}, // Java
		{0x80, 0x04},             // pickle, protocol 4
		{0x00, 0x00, 0x00, 0x02}, // igbinary
	} {
		if bytes.HasPrefix(member, header) {
			return true
		}
	}
	if n := len(member); n > 2 && (member[0] == '"' && member[n-1] == '"' || member[0] == '\'' && member[n-1] == '\'') {
		inner = member[1 : n-1]
	}
	inner = bytes.TrimLeft(bytes.TrimSpace(inner), "0")
	if len(inner) == 0 || len(inner) > 19 || len(inner) == len(member) {
		return false
	}
	return !bytes.ContainsFunc(inner, func(r rune) bool { return r < '0' || r > '9' })
}

var cures = map[string][2]string{
	WasteLoneMember:         {"store the plain number: one member is then an intset of 16 bytes", "every reader and writer of these keys changes at once, or both forms are read for a while"},
	WasteNumbersAsText:      {"store plain numbers: up to set-max-intset-entries of them are an intset", "every reader and writer of these keys changes at once, or both forms are read for a while"},
	WasteJustAbove:          {"raise the limit of the compact encoding (hash-, zset- or set-max-listpack-entries or -value) a little", "a lookup in a compact collection looks at every element: keep the limit below 1,000 entries; a set that exists changes its encoding when it is loaded or written anew"},
	WasteKeyLongerThanValue: {"shorten the names, or put the values of one owner into one hash", "names are in the clients' code"},
}

// list is the findings, the largest saving first.
func (w wastes) list(hash bool) []Waste {
	var all []Waste
	for _, row := range w {
		one := row.Waste
		one.Cure, one.Price = cures[one.Kind][0], cures[one.Kind][1]
		if hash {
			sum := sha256.Sum256([]byte(one.Example))
			one.Example, one.Pattern = hex.EncodeToString(sum[:16]), hashedPattern(one.Pattern)
		}
		all = append(all, one)
	}
	sort.Slice(all, func(i, j int) bool {
		x, y := &all[i], &all[j]
		return cmp.Or(cmp.Compare(y.Now-y.After, x.Now-x.After), cmp.Compare(x.Kind, y.Kind), cmp.Compare(x.Pattern, y.Pattern)) < 0
	})
	return all[:min(len(all), 200)]
}
