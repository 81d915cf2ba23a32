package keyspace

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/redis-watchdog/redis-watchdog/lab/keydata"
	"github.com/redis-watchdog/redis-watchdog/preflight/keyspace/source"
)

func TestAppendOnlyDirectory(t *testing.T) {
	t.Parallel()
	r := server(t, nil, "appendonly yes", "appendfsync no")
	fill(t, r, keydata.Options{Seed: 9, Keys: 500, Streams: true})
	keys := uint64(r.Do("DBSIZE").(int64))
	r.Do("BGREWRITEAOF")
	deadline := time.Now().Add(time.Minute)
	for i := r.Info(); i["aof_rewrite_in_progress"] != "0" || i["aof_rewrite_scheduled"] != "0"; i = r.Info() {
		if time.Now().After(deadline) {
			t.Fatal("the rewrite does not end")
		}
		time.Sleep(20 * time.Millisecond)
	}
	for range 3 {
		r.Do("INCR", "after")
	}
	r.Do("HSET", "h", "f", strings.Repeat("v", 1<<20))
	r.Term() // all is written
	dir := filepath.Join(r.Dir, "appendonlydir")
	o := source.Options{CRC: true, Now: time.Now}
	a, err := source.AOF(t.Context(), dir, o)
	if err != nil {
		t.Fatal(err)
	}
	if a.Keys != keys || !a.Complete || a.Tail == nil || a.Tail.By["INCR"] != 3 || a.Tail.By["HSET"] != 1 || a.Tail.Bytes < 1<<20 {
		t.Errorf("got %d keys of %d, %+v", a.Keys, keys, a.Tail)
	}
	// A crash cuts the last command: what is whole is counted, and it is said.
	incr, err := filepath.Glob(filepath.Join(dir, "*.incr.aof"))
	if err != nil || len(incr) != 1 {
		t.Fatal(incr, err)
	}
	info, err := os.Stat(incr[0])
	if err == nil {
		err = os.Truncate(incr[0], info.Size()-100)
	}
	if err != nil {
		t.Fatal(err)
	}
	a, err = source.AOF(t.Context(), dir, o)
	if err == nil || a.Complete || a.Keys != keys || a.Tail.By["INCR"] != 3 || !strings.Contains(err.Error(), "in the middle of a command") {
		t.Errorf("got %+v, %v", a.Tail, err)
	}
	// One file with an RDB in front, as before 7.0.
	base, err := filepath.Glob(filepath.Join(dir, "*.base.rdb"))
	if err != nil || len(base) != 1 {
		t.Fatal(base, err)
	}
	text, err := os.ReadFile(base[0])
	if err != nil {
		t.Fatal(err)
	}
	one := filepath.Join(t.TempDir(), "appendonly.aof")
	if err := os.WriteFile(one, append(text, "#TS:1700000000\r\n*2\r\n$4\r\nINCR\r\n$1\r\nx\r\n"...), 0o600); err != nil {
		t.Fatal(err)
	}
	if a, err = source.AOF(t.Context(), one, o); err != nil || a.Keys != keys || a.Tail.Commands != 1 {
		t.Errorf("got %d keys, %+v, %v", a.Keys, a.Tail, err)
	}
}
