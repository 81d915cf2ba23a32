package web

import (
	"encoding/json"
	"fmt"
	"math"
	"strings"
	"testing"
	"time"

	"github.com/redis-watchdog/redis-watchdog/preflight/keyspace"
	"github.com/redis-watchdog/redis-watchdog/preflight/keyspace/stall"
	"github.com/redis-watchdog/redis-watchdog/watchdog/agent"
)

// audited is an audit of two large keys, one of which is longer than the group bears.
func audited(names ...string) *Audit {
	key := func(name string, elements, bytes uint64) keyspace.KeptKey {
		return keyspace.KeptKey{Name: name, DB: 0, Key: stall.Key{Type: "hash", Encoding: "hashtable", Elements: elements, Counted: true, Bytes: bytes}}
	}
	a := &Audit{Kept: keyspace.Kept{Schema: keyspace.Schema, At: time.Now().Add(-50 * time.Hour), By: "eve@redis1", Source: "stream of 10.0.0.2:6379", Server: "7.0.15", Complete: true,
		Keys: 1234567, Bytes: 3 << 30,
		Shares: []keyspace.KeptShare{
			{Keys: 1000000, Key: stall.Key{Type: "string", Encoding: "raw", Elements: 1000000, Bytes: 1 << 30}},
			{Keys: 234567, Key: stall.Key{Type: "hash", Encoding: "hashtable", Elements: 14000000, Bytes: 2 << 30}},
		}}}
	for i, name := range names {
		a.Kept.Worst = append(a.Kept.Worst, key(name, uint64(12100000>>(3*i)), uint64(1<<30>>(2*i))))
		a.Longest = append(a.Longest, 6100*time.Millisecond>>(3*i))
	}
	return a
}

func withAudit(a *Audit, fleet string) fake {
	f := busy()
	f.records[0].Audit, f.fleet = a, fleet
	return f
}

func TestPageShowsTheKeySpace(t *testing.T) {
	f := withAudit(audited("user:lastbuy", "feed:<b>1</b>"), "Audit of the fleet, begun by eve@redis1 on 2026-01-02 03:04 UTC: running, 3 of 9 done")
	page := read(t, f, "/")
	for _, want := range []string{"1,234,567 keys, 3 GiB; all of it was read 2 days ago", "stream of 10.0.0.2:6379", "keys that would stall too long", "longer than the 2.3 s for which",
		"user:lastbuy", "12,100,000", "up to 6.1 s", "up to 0.8 s", "other string/raw", "feed:&lt;b&gt;1&lt;/b&gt;", `class="hot"`, `class="warm"`, `class="cool"`, `href="/keyspace/m1"`, "3 of 9 done"} {
		if !strings.Contains(page, want) {
			t.Errorf("the page has no %q", want)
		}
	}
	var kept keyspace.Kept
	if err := json.Unmarshal([]byte(read(t, f, "/keyspace/m1")), &kept); err != nil || kept.Keys != 1234567 || len(kept.Worst) != 2 {
		t.Errorf("/keyspace/m1: %+v, %v", kept, err)
	}
	if page := read(t, busy(), "/"); strings.Contains(page, "Key space") || strings.Contains(page, "Audit of the fleet") {
		t.Error("a key space is shown of which no audit is known")
	}
	if said := read(t, busy(), "/keyspace/m1"); !strings.Contains(said, "no_audit") {
		t.Errorf("/keyspace/m1 without an audit: %s", said)
	}
	// What is not known is not made to look well.
	f = withAudit(audited("k"), "")
	f.records[0].Audit.Longest, f.records[0].Audit.Kept.Complete = nil, false
	f.nodes[0] = with(f.nodes[0], func(s *agent.Status) { s.DownAfter = 0 })
	if page = read(t, f, "/"); !strings.Contains(page, "The settings of the Redis here are not known yet") || !strings.Contains(page, "only a part of it") || strings.Contains(page, "nothing that would stall") {
		t.Errorf("unknown settings are not said: %s", page)
	}
}

// TestWhatIsNotKnownOfKeysIsGrey: in the word above the map, and in the areas of what
// has none of its own.
func TestWhatIsNotKnownOfKeysIsGrey(t *testing.T) {
	many := make([]string, mostBoxes+1)
	for i := range many {
		many[i] = fmt.Sprint("k", i)
	}
	for _, c := range []struct {
		name        string
		change      func(*Audit)
		word, other string // other: class of hashes that have no area of their own
		says        string
	}{
		{"all is known", func(*Audit) {}, "cool", "cool", "all of it"},
		{"a part of it was read", func(a *Audit) { a.Kept.Complete = false }, "unsure", "unsure", "only a part"},
		{"keys found no room", func(a *Audit) { a.Kept.Beyond = 7 }, "unsure", "unsure", "7 keys that could stall found no room"},
		{"entries make no sense", func(a *Audit) { a.Left = 3 }, "unsure", "unsure", "3 entries of it make no sense"},
		{"the settings are not known", func(a *Audit) { a.Longest = nil }, "unsure", "unsure", "all of it"},
		{"a key without an area stalls", func(a *Audit) { a.Longest[mostBoxes] = time.Second }, "warm", "unsure", "all of it"},
		{"a key with an area stalls", func(a *Audit) { a.Longest[0] = time.Second }, "warm", "cool", "all of it"},
		{"one does that has more bytes than its kind", func(a *Audit) { a.Longest[1], a.Kept.Worst[1].Bytes = time.Second, 1<<40 }, "warm", "unsure", "all of it"},
	} {
		a := audited(many...)
		for i := range a.Longest {
			a.Longest[i], a.Kept.Worst[i].Bytes = 0, 1<<20
		}
		c.change(a)
		v := lookAudit(a, 2*time.Second, time.Now())
		if v.Class != c.word || !strings.Contains(v.Summary, c.says) {
			t.Errorf("%s: the word is %s, want %s: %s", c.name, v.Class, c.word, v.Summary)
		}
		for _, b := range v.Boxes {
			if b.Name == "other hash/hashtable" && b.Class != c.other {
				t.Errorf("%s: the others are %s, want %s", c.name, b.Class, c.other)
			}
		}
	}
}

// TestMapOfKeysIsWhole: every byte has its area, inside the map, and no two overlap.
func TestMapOfKeysIsWhole(t *testing.T) {
	for _, n := range []int{0, 1, 2, 3, 7, 24} {
		boxes, sum := make([]box, n), 0.0
		for i := range boxes {
			boxes[i] = box{Name: fmt.Sprint(i), Bytes: math.Pow(3, float64(i%9)) + float64(i)}
			sum += boxes[i].Bytes
		}
		squarify(boxes, mapWide, mapHigh)
		for i, b := range boxes {
			if got, want := b.wide*b.high, b.Bytes/sum*mapWide*mapHigh; math.Abs(got-want) > want*1e-6 {
				t.Errorf("of %d boxes %s has an area of %.2f, want %.2f", n, b.Name, got, want)
			}
			if b.x < -1e-6 || b.y < -1e-6 || b.x+b.wide > mapWide+1e-6 || b.y+b.high > mapHigh+1e-6 {
				t.Errorf("of %d boxes %+v is not on the map", n, b)
			}
			for _, o := range boxes[:i] {
				if b.x+1e-6 < o.x+o.wide && o.x+1e-6 < b.x+b.wide && b.y+1e-6 < o.y+o.high && o.y+1e-6 < b.y+b.high {
					t.Errorf("of %d boxes %+v and %+v overlap", n, b, o)
				}
			}
		}
	}
}
