package stall

import (
	"strings"
	"testing"
	"time"
)

// table is a hash table of that many fields.
func table(n uint64) Key {
	return Key{Type: "hash", Encoding: "hashtable", Elements: n, Counted: true, Bytes: 100 * n, Stored: 40 * n}
}

func TestWhatIsLeftToAnotherThread(t *testing.T) {
	all := Lazyfree{Expire: true, Eviction: true, ServerDel: true, UserDel: true, Flush: true}
	text := Key{Type: "string", Encoding: "raw", Elements: 500 << 20, Counted: true, Bytes: 500 << 20, Stored: 500 << 20}
	pack := Key{Type: "hash", Encoding: "listpack", Elements: 60_000, Counted: true, Bytes: 4 << 20, Stored: 4 << 20}
	short := Key{Type: "list", Encoding: "quicklist", Elements: 40, Counted: true, Bytes: 400 << 20, Stored: 400 << 20, Nodes: 40}
	long := Key{Type: "list", Encoding: "quicklist", Elements: 1e6, Counted: true, Bytes: 400 << 20, Stored: 400 << 20, Nodes: 50_000}
	unseen := long
	unseen.Nodes = 0
	doubtful := Key{Type: "list", Encoding: "quicklist", Elements: 3000, Counted: true, Bytes: 400 << 10}
	for _, c := range []struct {
		name string
		key  Key
		l    Lazyfree
		lazy map[Op]bool // the others are not
	}{
		{"a table, nothing asked for", table(1e6), Lazyfree{}, map[Op]bool{Unlink: true}},
		{"a table, all asked for", table(1e6), all, map[Op]bool{Del: true, Unlink: true, Expire: true, Evict: true, Rename: true, Resync: true}},
		{"a table of 64", table(64), all, nil},
		{"a string is freed at once", text, all, nil},
		{"a listpack is one allocation", pack, all, nil},
		{"a list of 40 nodes", short, all, nil},
		{"a list of many", long, Lazyfree{Expire: true}, map[Op]bool{Unlink: true, Expire: true}},
		{"a list whose nodes nobody counted", unseen, Lazyfree{}, map[Op]bool{Unlink: true}},
		{"a list that may have 64 nodes or not", doubtful, all, nil},
	} {
		for _, cost := range Of(c.key, c.l, Coarse("test")) {
			if cost.Lazy != c.lazy[cost.Op] || !cost.Known {
				t.Errorf("%s: %s: got %+v", c.name, cost.Op, cost)
			}
			if cost.Low > cost.High || cost.Low < 0 {
				t.Errorf("%s: %s: %v is no range", c.name, cost.Op, cost.Range)
			}
		}
	}
	if c := One(Unlink, doubtful, all, Coarse("test")); c.Low != 0 || c.High == 0 {
		t.Errorf("it may be done by another thread or not: got %v", c.Range)
	}
}

func TestNothingIsSaidOfAModule(t *testing.T) {
	for _, k := range []Key{{Type: "module", Encoding: "module", Counted: true, Elements: 1e9, Bytes: 1 << 40}, {Type: "stream", Elements: 5}, {}} {
		for _, c := range Of(k, Lazyfree{}, Coarse("test")) {
			if c.Known || c.Range != (Range{}) {
				t.Errorf("%+v: got %+v", k, c)
			}
		}
	}
}

func TestDefaultsOfEachBuild(t *testing.T) {
	for server, lazy := range map[string]bool{"redis 6.0.16": false, "redis 7.0.15": false, "redis 8.0.6": false, "valkey 7.2.5": false, "valkey 8.1.1": true, "valkey 9.1.2": true, "": false, "valkey": false} {
		l := DefaultLazyfree(server)
		if want := (Lazyfree{Expire: lazy, Eviction: lazy, ServerDel: lazy, UserDel: lazy, Flush: lazy}); l != want {
			t.Errorf("%q: got %+v", server, l)
		}
	}
	l := LazyfreeOf("valkey 9.1.2", map[string]string{"lazyfree-lazy-user-del": "no"})
	if l.UserDel || !l.Expire || !l.Asked {
		t.Errorf("one that is set: got %+v", l)
	}
}

func TestRangeAgainstALimit(t *testing.T) {
	r := Range{2 * time.Second, 6 * time.Second}
	for limit, want := range map[time.Duration]Against{0: Below, time.Second: Above, 2 * time.Second: Above, 2*time.Second + 1: Around, 6 * time.Second: Around, 6*time.Second + 1: Below} {
		if got := r.Against(limit); got != want {
			t.Errorf("against %v: got %v, want %v", limit, got, want)
		}
	}
}

// More of it never costs less, whatever the figures.
func FuzzMoreCostsNoLess(f *testing.F) {
	f.Add("hash", "hashtable", uint64(1e6), uint64(1<<30), uint64(1<<29), uint64(0))
	f.Add("list", "quicklist", uint64(1<<63), uint64(1<<63), uint64(1<<63), uint64(1<<63))
	f.Fuzz(func(t *testing.T, kind, encoding string, elements, bytes, stored, nodes uint64) {
		k := Key{Type: kind, Encoding: encoding, Elements: elements, Counted: true, Bytes: bytes, Stored: stored, Nodes: nodes}
		more := k
		more.Elements, more.Bytes, more.Stored = max(elements, 2*elements), max(bytes, 2*bytes), max(stored, 2*stored)
		if nodes > 0 {
			more.Nodes = max(nodes, 2*nodes)
		}
		for _, l := range []Lazyfree{{}, DefaultLazyfree("valkey 9.1.2")} {
			costs, larger := Of(k, l, Coarse("")), Of(more, l, Coarse(""))
			for i, c := range costs {
				if c.Low < 0 || c.Low > c.High || larger[i].Low > larger[i].High {
					t.Fatalf("%+v: %+v and %+v", k, c, larger[i])
				}
				if !c.Lazy && !larger[i].Lazy && larger[i].High < c.High {
					t.Fatalf("%+v: %v, and twice of it %v", k, c, larger[i])
				}
			}
		}
	})
}

func TestTimesAsTheyAreShown(t *testing.T) {
	for d, want := range map[time.Duration]string{0: "0 ms", 999 * time.Microsecond: "0 ms", 1500 * time.Microsecond: "1 ms", 3240 * time.Millisecond: "3.2 s", 72 * time.Second: "72 s", 20 * time.Minute: "20 min"} {
		if got := Text(d); got != want {
			t.Errorf("%v: got %q, want %q", d, got, want)
		}
	}
	if s := (Range{time.Second, 2 * time.Second}).String(); !strings.Contains(s, " to ") {
		t.Error(s)
	}
}
