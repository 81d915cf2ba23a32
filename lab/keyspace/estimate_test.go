package keyspace

import (
	"fmt"
	"math"
	"strconv"
	"strings"
	"testing"

	"github.com/redis-watchdog/redis-watchdog/lab/builds"
	"github.com/redis-watchdog/redis-watchdog/preflight/keyspace/rdb"
	"github.com/redis-watchdog/redis-watchdog/preflight/keyspace/size"
)

// plans are data on both sides of every limit that `keyspace estimate` knows.
var plans = []size.Plan{
	{Type: rdb.String, MemberBytes: 10}, {Type: rdb.String, MemberBytes: 10, TTL: true}, {Type: rdb.String, MemberBytes: 40}, {Type: rdb.String, MemberBytes: 100},
	{Type: rdb.String, MemberBytes: 1000}, {Type: rdb.String, MemberBytes: 8, Integers: true},
	{Type: rdb.Set, Members: 1, MemberBytes: 10}, {Type: rdb.Set, Members: 200, MemberBytes: 10}, {Type: rdb.Set, Members: 200, MemberBytes: 100},
	{Type: rdb.Set, Members: 400, MemberBytes: 6, Integers: true}, {Type: rdb.Set, Members: 1, MemberBytes: 100, TTL: true},
	{Type: rdb.Hash, Members: 10, MemberBytes: 8, ValueBytes: 8}, {Type: rdb.Hash, Members: 600, MemberBytes: 8, ValueBytes: 8}, {Type: rdb.Hash, Members: 600, MemberBytes: 20, ValueBytes: 20},
	{Type: rdb.Hash, Members: 100, MemberBytes: 20, ValueBytes: 80}, {Type: rdb.Hash, Members: 100, MemberBytes: 20, ValueBytes: 300}, {Type: rdb.Hash, Members: 100, MemberBytes: 70, ValueBytes: 30, TTL: true},
	{Type: rdb.ZSet, Members: 20, MemberBytes: 16}, {Type: rdb.ZSet, Members: 300, MemberBytes: 16}, {Type: rdb.ZSet, Members: 300, MemberBytes: 80},
	{Type: rdb.List, Members: 20, MemberBytes: 30}, {Type: rdb.List, Members: 2000, MemberBytes: 30},
}

// text is the i-th of that many bytes, unlike every other; digits where it is to be
// an integer.
func text(i int, n uint64, integers bool) string {
	digits := strconv.Itoa(i)
	if integers {
		return "9" + strings.Repeat("0", int(n)-1-len(digits)) + digits
	}
	return strings.Repeat("x", int(n)-len(digits)) + digits
}

// estimated is the test of one build: of data that is not there yet `keyspace
// estimate` says the encoding, and the memory within 5 %, or 16 bytes.
func estimated(t *testing.T, b *builds.Build, version string) {
	t.Helper()
	const each, keyBytes = 10, 14
	r := server(t, b)
	for at := range plans {
		p := plans[at]
		for k := range each {
			name := text(at*each+k, keyBytes, false)
			args := []any{map[rdb.Type]string{rdb.String: "SET", rdb.Set: "SADD", rdb.Hash: "HSET", rdb.ZSet: "ZADD", rdb.List: "RPUSH"}[p.Type], name}
			if p.Type == rdb.String {
				args = append(args, text(k, p.MemberBytes, p.Integers))
			}
			for i := range int(p.Members) {
				member := text(i, p.MemberBytes, p.Integers)
				switch p.Type {
				case rdb.Hash:
					args = append(args, member, text(i, p.ValueBytes, false))
				case rdb.ZSet:
					args = append(args, strconv.Itoa(1767323045000+i), member)
				default:
					args = append(args, member)
				}
			}
			r.Do(args...)
			if p.TTL {
				r.Do("EXPIRE", name, "100000")
			}
		}
	}
	save(t, r)
	r.Term() // loaded anew: tables that grew by commands may be half as full
	r.Restart()
	model, err := size.New(version, size.Jemalloc(16))
	if err != nil {
		t.Fatal(err)
	}
	for at := range plans {
		p := plans[at]
		p.Keys, p.KeyBytes = each, keyBytes
		e, err := model.Estimate(p)
		if err != nil {
			t.Fatal(err)
		}
		mean := 0.0
		for k := range each {
			name := text(at*each+k, keyBytes, false)
			n, _ := r.Do("MEMORY", "USAGE", name, "SAMPLES", "0").(int64)
			mean += float64(n) / each
			if got := fmt.Sprint(r.Do("OBJECT", "ENCODING", name)); k == 0 && !alike(got, e.Encoding) {
				t.Errorf("%+v: encoding %s, estimated %s", p, got, e.Encoding)
			}
		}
		off := float64(e.Key) - mean
		line := fmt.Sprintf("%s of %d members of %d+%d bytes, ttl %v, integers %v: %s %d bytes, really %.0f (%+.1f %%)", p.Type, p.Members, p.MemberBytes, p.ValueBytes, p.TTL, p.Integers, e.Encoding, e.Key, mean, 100*off/mean)
		if math.Abs(off) > max(16, mean/20) {
			t.Error(line)
		} else {
			t.Log(line)
		}
	}
}

// alike is whether an encoding is the one that was meant: embstr is a raw one, and
// ziplist what was before listpacks.
func alike(got, want string) bool {
	switch got {
	case "embstr":
		return want == "raw"
	case "ziplist":
		return want == "listpack"
	case "listpack":
		return want == "listpack" || want == "quicklist" // a list of one node (7.2)
	}
	return got == want
}

func TestEstimateIsWhatTheServerTakes(t *testing.T) {
	t.Parallel()
	estimated(t, nil, "redis 7.0")
}
