package keyspace

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/redis-watchdog/redis-watchdog/preflight/keyspace/rdb"
)

// What CLUSTER KEYSLOT of redis-server 7.0.15 answers, and for codis what its
// mapper makes of zlib's crc32.
func TestSlots(t *testing.T) {
	for key, want := range map[string][2]int{
		"":              {0, 0},
		"123456789":     {12739, 294}, // 0x31c3 and 0xcbf43926
		"{123456789}x":  {12739, 294},
		"x{123456789}y": {12739, 294},
		"a{}b":          {ClusterSlot([]byte("a{}b")), 0},
		"a{b":           {ClusterSlot([]byte("a{b")), CodisSlot([]byte("a{b"))},
	} {
		if got := ClusterSlot([]byte(key)); got != want[0] {
			t.Errorf("cluster slot of %q: got %d, want %d", key, got, want[0])
		}
		if got := CodisSlot([]byte(key)); got != want[1] {
			t.Errorf("codis slot of %q: got %d, want %d", key, got, want[1])
		}
	}
	// Eight bytes at a time, as bit by bit.
	for n := range 40 {
		key := []byte(strings.Repeat("slot", 10)[:n])
		var sum uint16
		for _, b := range key {
			sum ^= uint16(b) << 8
			for range 8 {
				sum = sum<<1 ^ 0x1021*(sum>>15)
			}
		}
		if got := ClusterSlot(key); got != int(sum)%ClusterSlots {
			t.Errorf("cluster slot of %q: got %d, want %d", key, got, int(sum)%ClusterSlots)
		}
	}
	// An empty tag is none in Redis Cluster, and a tag in codis.
	if ClusterSlot([]byte("a{}b")) == ClusterSlot([]byte("a{}c")) || CodisSlot([]byte("a{}b")) != CodisSlot([]byte("zz{}c")) {
		t.Error("empty tags are read alike by both rules")
	}
}

func TestIDsAreFolded(t *testing.T) {
	for name, want := range map[string]string{
		"user:1234:cart": "user:{id}:cart",
		"user:12:34":     "user:{id}:{id}",
		"session:550e8400-e29b-41d4-a716-446655440000": "session:{id}",
		"img/9f86d081884c7d65":                         "img/{id}",
		"feed":                                         "feed",
		"facade:cafe":                                  "facade:cafe", // letters alone are a word
		"v2:users":                                     "v2:users",
		"k:\x00\x01":                                   "k:{id}",
		"k:\xff\xfe":                                   "k:{id}",
		"größe:7":                                      "größe:{id}",
		"t:eyJhbGciOiJIUzI1NiJ9":                       "t:{id}",
		"":                                             "",
		"::":                                           "::",
	} {
		if got := string(appendPattern(nil, []byte(name))); got != want {
			t.Errorf("%q: got %q, want %q", name, got, want)
		}
	}
	if got := string(appendPattern(nil, []byte(strings.Repeat("lang", 100)))); len(got) != maxPattern+len("…") {
		t.Errorf("a long name is %d bytes", len(got))
	}
}

var at = time.Date(2026, 11, 28, 12, 0, 0, 0, time.UTC)

func key(name string, t rdb.Type, e rdb.Encoding, elements uint64) *rdb.Key {
	return &rdb.Key{Name: []byte(name), NameLen: uint64(len(name)), Type: t, Encoding: e, Elements: elements, Counted: true, Idle: -1, Freq: -1}
}

func TestAuditAddsUp(t *testing.T) {
	c := NewCollector(Options{At: at})
	for i := range 100 {
		k := key(fmt.Sprintf("user:%d:cart", i), rdb.Hash, rdb.ListPack, 3)
		if i < 40 {
			k.ExpireAt = at.Add(90 * time.Minute).UnixMilli()
		}
		c.Add(k, 100)
	}
	big := key("feed", rdb.List, rdb.QuickList, 3_000_000)
	big.DB, big.ExpireAt = 2, at.Add(-time.Second).UnixMilli()
	c.Add(big, 1<<30)
	a := c.Audit()
	if a.Keys != 101 || a.Bytes != 100*100+1<<30 || a.Elements != 3_000_300 || len(a.Databases) != 2 || a.Databases[1].Expires != 1 {
		t.Errorf("got %+v", a)
	}
	if p := a.Prefixes[1]; p.Pattern != "user:{id}:cart" || p.Keys != 100 || p.NoTTL != 60 || p.Type != "hash" {
		t.Errorf("got %+v", p)
	}
	if w := a.Expiry.Worst; w.Keys != 40 || !w.At.Equal(at.Add(90*time.Minute)) {
		t.Errorf("got %+v", w)
	}
	classes := map[string]uint64{}
	for _, class := range a.Expiry.Classes {
		classes[class.Name] = class.Keys
	}
	if classes["none"] != 60 || classes["1d"] != 40 || classes["past"] != 1 {
		t.Errorf("got %v", classes)
	}
	if l := a.Large[0]; l.Key != "feed" || !l.Above || l.DB != 2 || len(a.Large) != 1+LargestOfType {
		t.Errorf("got %+v of %d", l, len(a.Large))
	}
	if s := a.Slots["codis"]; s.Of != CodisSlots || s.Largest[0].Bytes < 1<<30 {
		t.Errorf("got %+v", s)
	}
	text, err := json.Marshal(a)
	if err != nil {
		t.Fatal(err)
	}
	var back Audit
	if err := json.Unmarshal(text, &back); err != nil || back.Keys != a.Keys || len(back.Large) != len(a.Large) {
		t.Errorf("does not come back from JSON: %v", err)
	}
}

// However many keys and shapes there are, an audit is as large.
func TestAuditIsBounded(t *testing.T) {
	c := NewCollector(Options{At: at})
	for i := range 60_000 {
		// Words, not ids: every key a shape of its own.
		word := []byte{byte('a' + i%26), byte('a' + i/26%26), byte('a' + i/676%26), byte('a' + i/17576%26)}
		c.Add(key("app:"+string(word)+":x", rdb.Set, rdb.HashTable, 5000), uint64(i))
	}
	a := c.Audit()
	if len(a.Prefixes) > keptPrefixes || len(c.prefixes) > 2*maxPrefixes || len(a.Large) != maxLarge || a.Beyond.Keys != 60_000-maxLarge {
		t.Errorf("%d prefixes of %d, %d large, %d beyond", len(a.Prefixes), len(c.prefixes), len(a.Large), a.Beyond.Keys)
	}
	var sum uint64
	for _, p := range a.Prefixes {
		sum += p.Keys
	}
	if sum+a.Others.Keys != a.Keys {
		t.Errorf("the prefixes have %d keys and the others %d, of %d", sum, a.Others.Keys, a.Keys)
	}
	if least := a.Large[len(a.Large)-1].Bytes; least != 60_000-maxLarge {
		t.Errorf("the smallest that is listed has %d bytes", least)
	}
}

func TestNamesAreHashed(t *testing.T) {
	c := NewCollector(Options{At: at, HashNames: true})
	c.Add(key("customer:4711:secret", rdb.Set, rdb.HashTable, 5000), 1<<20)
	k := key("customer:4711:set", rdb.Set, rdb.HashTable, 1)
	k.First = []byte(`"17"`)
	c.Add(k, 400)
	text, err := json.Marshal(c.Audit())
	if err != nil {
		t.Fatal(err)
	}
	for _, word := range []string{"customer", "4711", "secret"} {
		if strings.Contains(string(text), word) {
			t.Errorf("%q is in the audit", word)
		}
	}
}

func TestWasteIsSeenWithoutTheValues(t *testing.T) {
	lone := key("tag:1", rdb.Set, rdb.HashTable, 1)
	lone.First = []byte("\xac\xed\x00\x05t\x00\x02")
	dressed := key("ids:1", rdb.Set, rdb.HashTable, 100)
	dressed.First = []byte(`"1234"`)
	padded := key("ids:2", rdb.Set, rdb.HashTable, 100)
	padded.First = []byte("000123")
	just := key("h:1", rdb.Hash, rdb.HashTable, 520)
	just.Longest, just.Payload = 20, 5000
	fine := key("h:2", rdb.Hash, rdb.HashTable, 5000)
	fine.Longest = 20
	words := key("w:1", rdb.Set, rdb.HashTable, 1000)
	words.First, words.Longest = []byte("word"), 10
	for _, test := range []struct {
		key  *rdb.Key
		want string
	}{{lone, WasteLoneMember}, {dressed, WasteNumbersAsText}, {padded, WasteNumbersAsText}, {just, WasteJustAbove}, {fine, ""}, {words, ""}} {
		kind, after := waste(test.key, 1<<20)
		got := ""
		if kind >= 0 {
			got = wasteKinds[kind]
		}
		if got != test.want || got != "" && after >= 1<<20 {
			t.Errorf("%s: got %q and %d bytes, want %q", test.key.Name, got, after, test.want)
		}
	}
}

// A string whose length nobody wants is listed nowhere.
func TestLengthsThatAreNotWantedAreNotShown(t *testing.T) {
	c := NewCollector(Options{At: at})
	for i := range 500 {
		name, size := fmt.Sprintf("k:%d", i), uint64(100+i*7919%500)
		k := key(name, rdb.String, rdb.Raw, 0)
		k.Counted = false
		if c.WantsLength(uint64(len(name)), size) {
			k.Elements, k.Counted = size-50, true
		}
		c.Add(k, size)
	}
	if !c.WantsLength(longName+1, 60) || !c.WantsLength(3, LargeString+1) || c.WantsLength(3, 100) {
		t.Error("lengths are wanted of long names and long strings, and not of the smallest")
	}
	a := c.Audit()
	for _, l := range a.Large {
		if !l.Counted {
			t.Errorf("got %+v", l)
		}
	}
	if len(a.Large) != LargestOfType {
		t.Errorf("%d are listed", len(a.Large))
	}
}
