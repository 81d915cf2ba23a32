package keyspace

import (
	"testing"
	"time"

	"github.com/redis-watchdog/redis-watchdog/preflight/keyspace/rdb"
)

func TestCompareTellsWhatGrew(t *testing.T) {
	audit := func(at time.Time, keys map[string]uint64) Audit {
		c := NewCollector(Options{At: at})
		for name, size := range keys {
			c.Add(key(name, rdb.Set, rdb.HashTable, 5000), size)
		}
		a := c.Audit()
		a.Complete = true
		return a
	}
	a := audit(at, map[string]uint64{"feed": 100, "old:1": 50, "same": 10})
	b := audit(at.Add(48*time.Hour), map[string]uint64{"feed": 300, "new:1": 70, "same": 10})
	for name, pair := range map[string][2]Audit{"in order": {a, b}, "the other way round": {b, a}} {
		d, err := Compare(pair[0], pair[1], 1380)
		if err != nil {
			t.Fatal(err)
		}
		if d.Bytes != 220 || d.BytesADay != 110 || d.Full < 9.09 || d.Full > 9.1 || d.Keys != 0 || len(d.Warnings) != 0 {
			t.Errorf("%s: got %+v", name, d)
		}
		want := []LargeDiff{{Key: "feed", Type: "set", What: "grown", Bytes: 200, Now: 300}, {Key: "new:1", Type: "set", What: "new", Elements: 5000, Bytes: 70, Now: 70},
			{Key: "old:1", Type: "set", What: "gone", Elements: -5000, Bytes: -50}}
		if len(d.Large) != len(want) {
			t.Fatalf("%s: got %+v", name, d.Large)
		}
		for i := range want {
			if d.Large[i] != want[i] {
				t.Errorf("%s: got %+v, want %+v", name, d.Large[i], want[i])
			}
		}
		if len(d.Prefixes) != 3 || d.Prefixes[1].Pattern != "new:{id}" {
			t.Errorf("%s: got %+v", name, d.Prefixes)
		}
	}
	b.Complete, b.Incomplete, b.Model = false, "cut", "redis 8.0"
	if d, err := Compare(a, b, 0); err != nil || len(d.Warnings) != 2 || d.Full != -1 {
		t.Errorf("got %+v, %v", d, err)
	}
	b.Schema++
	if _, err := Compare(a, b, 0); err == nil {
		t.Error("a newer schema is no error")
	}
}
