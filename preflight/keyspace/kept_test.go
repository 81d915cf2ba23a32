package keyspace

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/redis-watchdog/redis-watchdog/preflight/keyspace/stall"
)

// auditWith is an audit of that many large hashes, the last of them the largest.
func auditWith(n int, name string) Audit {
	a := Audit{Schema: Schema, At: time.Unix(1e9, 0).UTC(), Complete: true, Source: Source{Kind: "stream", Name: "10.0.0.1:6379", Server: "redis 7.0.15"},
		Encodings: []Share{{Name: "hash/hashtable", Keys: uint64(n), Elements: 1e6 * uint64(n), Bytes: 1e8}}}
	for i := range n {
		a.Large = append(a.Large, Large{Key: fmt.Sprintf("%s%d", name, i), Type: "hash", Encoding: "hashtable", Elements: uint64(1e6 + i), Counted: true, Bytes: 1e8, Cluster: i, Codis: 359})
	}
	a.WouldStall(stall.Lazyfree{}, stall.Coarse("test"), stall.Limits{})
	return a
}

func TestKeptAuditIsBoundedAndKeepsTheWorst(t *testing.T) {
	for name, n := range map[string]int{"k": 3, "k\x01\x02": 1000, strings.Repeat("\x01", 500): 10_000, strings.Repeat("é", 128): 200} {
		a := auditWith(n, name)
		a.Large = append(a.Large, Large{Key: "small", Type: "hash", Encoding: "listpack", Elements: 5, Counted: true, Bytes: 100})
		text, err := a.Keep("root@host", false)
		if err != nil {
			t.Fatal(err)
		}
		k, left, err := ReadKept(text)
		if err != nil || left != 0 {
			t.Fatalf("got %v, %d left out", err, left)
		}
		if len(text) > MaxKept || len(k.Worst) == 0 || k.Worst[0].Elements != uint64(1e6+n-1) || len(k.Worst)+k.Beyond != n {
			t.Errorf("%d keys: %d bytes, %d kept of %d, the worst %+v", n, len(text), len(k.Worst), len(k.Worst)+k.Beyond, k.Worst[0])
		}
		if !k.Rates.Valid() || k.By != "root@host" || k.Source != "stream of 10.0.0.1:6379" {
			t.Errorf("got %+v", k)
		}
	}
	if _, err := (Audit{}).Keep("", false); !errors.Is(err, ErrNoStalls) {
		t.Errorf("got %v", err)
	}
}

func TestKeptKeyIsFoundByItsNameOrHash(t *testing.T) {
	k := Kept{Worst: []KeptKey{{Name: "user:lastbuy"}}}
	if _, ok := k.Find("user:lastbuy", "beef"); !ok {
		t.Error("not found by its name")
	}
	if _, ok := k.Find("", "beef"); ok {
		t.Error("found what has no name")
	}
	k = Kept{Hashed: true, Worst: []KeptKey{{Name: "beef"}}}
	if _, ok := k.Find("user:lastbuy", "beef"); !ok {
		t.Error("not found by its hash")
	}
}

func TestEmptyingGrowsWithTheKeySpace(t *testing.T) {
	read := func(n int) Kept {
		text, err := auditWith(n, "k").Keep("", false)
		if err != nil {
			t.Fatal(err)
		}
		k, _, err := ReadKept(text)
		if err != nil {
			t.Fatal(err)
		}
		return k
	}
	if one, ten := read(1).Emptying(), read(10).Emptying(); ten.Low <= one.Low || ten.High <= one.High || one.Low <= 0 {
		t.Errorf("got %v and %v", one, ten)
	}
}

// One entry that makes no sense is left out and counted; the others stand.
func FuzzReadKept(f *testing.F) {
	good, err := auditWith(2, "k").Keep("root", false)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(good, `{"name":1}`)
	f.Add([]byte(`{"schema":1,"at":"2026-01-01T00:00:00Z","worst":[{"name":"k","type":"hash"}]}`), `{"type":5}`)
	f.Fuzz(func(t *testing.T, text []byte, entry string) {
		k, _, err := ReadKept(text)
		if err == nil {
			_ = k.Emptying()
			for _, w := range k.Worst {
				for _, c := range stall.Of(w.Key, stall.Lazyfree{}, k.Rates) {
					if c.Low > c.High || c.Low < 0 {
						t.Fatalf("%+v: %+v", w, c)
					}
				}
			}
		}
		spoilt := strings.Replace(string(good), `"worst":[`, `"worst":[`+entry+",", 1)
		if got, left, err := ReadKept([]byte(spoilt)); err == nil && len(got.Worst)+left < 2 {
			t.Fatalf("with %q: %d kept, %d left out", entry, len(got.Worst), left)
		}
	})
}
