package keyspace

import (
	"math"
	"strconv"
	"testing"
	"time"

	"github.com/redis-watchdog/redis-watchdog/lab"
	"github.com/redis-watchdog/redis-watchdog/lab/builds"
	"github.com/redis-watchdog/redis-watchdog/lab/keydata"
	"github.com/redis-watchdog/redis-watchdog/preflight/keyspace"
	"github.com/redis-watchdog/redis-watchdog/preflight/keyspace/source"
)

func usedMemory(t *testing.T, r *lab.Redis) float64 {
	t.Helper()
	n, err := strconv.ParseFloat(r.Info()["used_memory"], 64)
	if err != nil {
		t.Fatal(err)
	}
	return n
}

// usedMemoryGrows is the test of one build: what an audit says that used_memory
// grows by is within 5 % of it, and the server tells the size classes.
func usedMemoryGrows(t *testing.T, b *builds.Build, o keydata.Options) {
	t.Helper()
	r := server(t, b)
	before := usedMemory(t, r)
	fill(t, r, o)
	file := save(t, r).Name()
	// Loaded anew: tables that grew by commands may be half as full.
	r.Term()
	r.Restart()
	grown := usedMemory(t, r) - before
	a, err := source.File(t.Context(), file, nil, source.Options{CRC: true, Now: time.Now})
	if err != nil {
		t.Fatal(err)
	}
	off := func(n uint64) float64 { return 100 * (float64(n)/grown - 1) }
	t.Logf("%d keys: used_memory grew by %.0f; %d are estimated (%+.1f %%), MEMORY USAGE's estimate is %d (%+.1f %%), the tables %d",
		a.Keys, grown, a.Used, off(a.Used), a.Bytes, off(a.Bytes), a.Tables)
	if math.Abs(off(a.Used)) > 5 {
		t.Errorf("the estimate is %.1f %% off", off(a.Used))
	}
	scanned, err := scan(t.Context(), r, source.ScanOptions{})
	if err != nil {
		t.Fatal(err)
	}
	if scanned.Classes != keyspace.ClassesAsked || scanned.Tables == 0 || a.Classes != keyspace.ClassesAssumed {
		t.Errorf("size classes: %q by scan, %q of a file; tables %d", scanned.Classes, a.Classes, scanned.Tables)
	}
}

var (
	mixed = keydata.Options{Seed: 11, Keys: 30000, Large: true, Databases: 2}
	small = keydata.Options{Seed: 12, Keys: 100000, Strings: true}
)

func TestUsedMemoryGrowsAsEstimated(t *testing.T) {
	t.Parallel()
	t.Run("mixed", func(t *testing.T) { usedMemoryGrows(t, nil, mixed) })
	t.Run("small strings", func(t *testing.T) { usedMemoryGrows(t, nil, small) })
}
