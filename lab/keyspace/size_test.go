package keyspace

import (
	"context"
	"fmt"
	"math"
	"slices"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/redis-watchdog/redis-watchdog/lab"
	"github.com/redis-watchdog/redis-watchdog/lab/builds"
	"github.com/redis-watchdog/redis-watchdog/lab/keydata"
	"github.com/redis-watchdog/redis-watchdog/preflight/keyspace/rdb"
	"github.com/redis-watchdog/redis-watchdog/preflight/keyspace/size"
)

// usage asks for MEMORY USAGE … SAMPLES 0 of each key.
func usage(t *testing.T, r *lab.Redis, keys []seen) []uint64 {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Minute)
	defer cancel()
	conn := r.Client().Conn()
	defer conn.Close()
	var out []uint64
	for some := range slices.Chunk(keys, 1000) {
		pipe := conn.Pipeline()
		var cmds []*redis.Cmd
		for _, k := range some {
			cmds = append(cmds, pipe.Do(ctx, "MEMORY", "USAGE", k.name, "SAMPLES", "0"))
		}
		if _, err := pipe.Exec(ctx); err != nil {
			t.Fatal(err)
		}
		for _, c := range cmds {
			n, _ := c.Val().(int64)
			out = append(out, uint64(n))
		}
	}
	return out
}

// sizes is the test of one build: of keys of 200 bytes and more 99 of 100 are
// within that share of what MEMORY USAGE says, and the sum within 5 %.
func sizes(t *testing.T, b *builds.Build, version string, within float64) {
	t.Helper()
	r := server(t, b)
	fill(t, r, keydata.Options{Seed: 3, Keys: 20000, Large: true})
	f := save(t, r)
	// A table that is being rehashed counts twice until enough commands have
	// touched it; a server that has loaded the file has none.
	r.Term()
	r.Restart()
	model, err := size.New(version, size.Jemalloc(16))
	if err != nil {
		t.Fatal(err)
	}
	var keys []seen
	var estimated []uint64
	if _, err := rdb.Walk(f, rdb.Options{Elements: model}, func(k *rdb.Key) error {
		keys = append(keys, seen{Key: *k, name: string(k.Name)})
		estimated = append(estimated, model.Size(k))
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	type class struct {
		off   []float64
		a, b  uint64
		worst string
		most  float64
	}
	by := map[string]*class{}
	var all []float64
	var mine, theirs uint64
	for i, real := range usage(t, r, keys) {
		k := keys[i]
		name := k.Type.String() + "/" + k.Encoding.String()
		if by[name] == nil {
			by[name] = &class{}
		}
		off := math.Abs(float64(estimated[i])-float64(real)) / float64(real)
		by[name].a += estimated[i]
		by[name].b += real
		mine += estimated[i]
		theirs += real
		if real >= 200 {
			all = append(all, off)
			by[name].off = append(by[name].off, off)
			if off > by[name].most {
				by[name].most = off
				by[name].worst = fmt.Sprintf("%.40q of %d elements, payload %d: %d, really %d", k.name, k.Elements, k.Payload, estimated[i], real)
			}
		}
	}
	for name, c := range by {
		slices.Sort(c.off)
		p := 0.0
		if n := len(c.off); n > 0 {
			p = c.off[n*99/100]
		}
		t.Logf("%s: %d keys of 200 bytes and more, p99 %.1f %%, sum %+.2f %%; the worst: %s", name, len(c.off), 100*p, 100*(float64(c.a)/float64(c.b)-1), c.worst)
	}
	slices.Sort(all)
	if p99 := all[len(all)*99/100]; p99 > within {
		t.Errorf("p99 is %.1f %% off", 100*p99)
	}
	if off := math.Abs(float64(mine)/float64(theirs) - 1); off > 0.05 {
		t.Errorf("the sum is %.1f %% off", 100*off)
	}
}

func TestSizesAreTheServers(t *testing.T) {
	t.Parallel()
	sizes(t, nil, "redis 7.0", 0.05)
}
