package source

// What a scan makes of one key, and of the databases there are.

import (
	"errors"
	"fmt"
	"strconv"
	"strings"

	"github.com/redis/go-redis/v9"

	"github.com/redis-watchdog/redis-watchdog/preflight/keyspace/rdb"
	"github.com/redis-watchdog/redis-watchdog/watchdog/sorted"
)

// typeOf is the types of the encodings that only one type has. A module's value is
// "raw", as a long string is.
var typeOf = map[string]string{"embstr": "string", "int": "string", "quicklist": "list", "intset": "set", "skiplist": "zset", "listpackex": "hash"}

// tells is whether the encoding tells the type, which it notes then.
func (k *asked) tells() bool {
	k.encoding, _ = k.encoded.Text()
	k.kind = typeOf[k.encoding]
	return k.kind != ""
}

// countBy is the command that counts the elements of a type; of a module's value
// EXISTS, which any key answers.
func countBy(kind string) string {
	switch kind {
	case "string":
		return "STRLEN"
	case "list":
		return "LLEN"
	case "set":
		return "SCARD"
	case "zset":
		return "ZCARD"
	case "hash":
		return "HLEN"
	case "stream":
		return "XLEN"
	case "vectorset":
		return "VCARD"
	case "array": // Redis 8.8
		return "ARCOUNT"
	}
	return "EXISTS"
}

// add adds one, unless it has gone meanwhile.
func (sc *scanner) add(a *asked, now int64) error {
	if a.asks != nil && a.asks.Err() != nil {
		return fmt.Errorf("TYPE: %w", a.asks.Err())
	}
	size, err := a.size.Int64()
	if a.kind == "none" || errors.Is(err, redis.Nil) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("MEMORY USAGE: %w", err)
	}
	k := rdb.Key{DB: sc.state.DB, Name: []byte(a.name), NameLen: uint64(len(a.name)), Idle: -1, Freq: -1}
	known := false
	if k.Type, known = rdb.ParseType(a.kind); !known {
		k.Type, k.Module = rdb.Module, a.kind
	}
	if a.count != nil && a.count.Err() == nil && (known || a.kind == "vectorset") {
		k.Elements, k.Counted = uint64(a.count.Val()), true
	}
	if k.Type == rdb.String {
		k.Payload = k.Elements
	}
	if a.encoding != "" {
		k.Encoding = encodingOf(k.Type, a.encoding)
	}
	if left := a.ttl.Val(); left >= 0 && a.ttl.Err() == nil {
		k.ExpireAt = now + left
	}
	sc.collector.Add(&k, uint64(size))
	return nil
}

// encodingOf is OBJECT ENCODING's word in ours; what is not known is the type's
// table.
func encodingOf(t rdb.Type, text string) rdb.Encoding {
	if text == "embstr" {
		return rdb.Raw
	}
	if e, known := rdb.ParseEncoding(text); known {
		return e
	}
	switch t {
	case rdb.String:
		return rdb.Raw
	case rdb.Module:
		return rdb.ModuleValue
	case rdb.Stream:
		return rdb.StreamPacks
	case rdb.Array:
		return rdb.ArrayValue
	}
	return rdb.HashTable
}

// database with keys, from INFO's "db0:keys=2,expires=1,…".
type database struct {
	number int
	keys   int64
}

func databases(facts map[string]string) []database {
	var all []database
	for name, text := range facts {
		n, err := strconv.Atoi(strings.TrimPrefix(name, "db"))
		if err != nil || !strings.HasPrefix(name, "db") {
			continue
		}
		for part := range strings.SplitSeq(text, ",") {
			if v, ok := strings.CutPrefix(part, "keys="); ok {
				keys, err := strconv.ParseInt(v, 10, 64)
				if err == nil {
					all = append(all, database{n, keys})
				}
			}
		}
	}
	sorted.By(all, func(a, b database) int { return a.number - b.number })
	return all
}
