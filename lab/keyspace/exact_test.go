package keyspace

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/redis-watchdog/redis-watchdog/lab"
	"github.com/redis-watchdog/redis-watchdog/lab/builds"
	"github.com/redis-watchdog/redis-watchdog/lab/keydata"
	"github.com/redis-watchdog/redis-watchdog/preflight/keyspace/rdb"
)

// server starts one Redis of the build; nil is the machine's own.
func server(t testing.TB, b *builds.Build, lines ...string) *lab.Redis {
	t.Helper()
	var l *lab.Lab
	c := lab.GroupConfig{}
	if b != nil {
		c = b.Use(t, c, func() *lab.Lab { return l })
	}
	l = lab.New(t)
	c.Redis.Lines = append([]string{"proto-max-bulk-len 512mb", "save \"\"", "dbfilename dump.rdb"}, lines...)
	return l.Host("a").Redis(c.Redis)
}

// fill sends the data in pipelines.
func fill(t testing.TB, r *lab.Redis, o keydata.Options) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Minute)
	defer cancel()
	conn := r.Client().Conn()
	defer conn.Close()
	pipe := conn.Pipeline()
	flush := func() error {
		if _, err := pipe.Exec(ctx); err != nil {
			return fmt.Errorf("fill: %w", err)
		}
		return nil
	}
	err := keydata.Commands(o, func(args ...string) error {
		all := make([]any, len(args))
		for i, a := range args {
			all[i] = a
		}
		pipe.Do(ctx, all...)
		if pipe.Len() >= 1000 {
			return flush()
		}
		return nil
	})
	if err == nil {
		err = flush()
	}
	if err != nil {
		t.Fatal(err)
	}
}

// save makes the server write its file and opens it.
func save(t testing.TB, r *lab.Redis) *os.File {
	t.Helper()
	// In the background: a large SAVE on a busy disk takes longer than an answer is waited for.
	r.Do("BGSAVE")
	deadline := time.Now().Add(2 * time.Minute)
	for r.Info()["rdb_bgsave_in_progress"] != "0" {
		if time.Now().After(deadline) {
			t.Fatal("BGSAVE does not end")
		}
		time.Sleep(50 * time.Millisecond)
	}
	if status := r.Info()["rdb_last_bgsave_status"]; status != "ok" {
		t.Fatalf("BGSAVE: %s", status)
	}
	f, err := os.Open(filepath.Join(r.Config("dir"), r.Config("dbfilename")))
	if os.IsNotExist(err) {
		f, err = os.Open(filepath.Join(r.Dir, "dump.rdb"))
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { f.Close() })
	return f
}

// seen is what the walk says of one key.
type seen struct {
	rdb.Key
	name string
}

// counts asks the server for the number of elements of each key, and its
// encoding.
func counts(t *testing.T, r *lab.Redis, keys []seen) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Minute)
	defer cancel()
	command := map[rdb.Type]string{rdb.String: "STRLEN", rdb.List: "LLEN", rdb.Set: "SCARD", rdb.ZSet: "ZCARD", rdb.Hash: "HLEN", rdb.Stream: "XLEN", rdb.Module: "VCARD"}
	conn := r.Client().Conn()
	defer conn.Close()
	db := -1
	for len(keys) > 0 {
		n := min(len(keys), 500)
		pipe := conn.Pipeline()
		var counted []*redis.Cmd
		var encoded []*redis.Cmd
		for _, k := range keys[:n] {
			if k.DB != db {
				db = k.DB
				pipe.Do(ctx, "SELECT", db)
			}
			counted = append(counted, pipe.Do(ctx, command[k.Type], k.name))
			encoded = append(encoded, pipe.Do(ctx, "OBJECT", "ENCODING", k.name))
		}
		if _, err := pipe.Exec(ctx); err != nil {
			t.Fatal(err)
		}
		for i, k := range keys[:n] {
			if got := counted[i].Val(); got != int64(k.Elements) || !k.Counted {
				t.Errorf("%q, a %s of %s: the walk says %d (known: %t), the server %v", k.name, k.Type, k.Encoding, k.Elements, k.Counted, got)
			}
			encoding := encoded[i].Val().(string)
			want := k.Encoding.String()
			if k.Type == rdb.String && want == "raw" && encoding == "embstr" || k.Type == rdb.List && encoding == "listpack" || k.Type == rdb.Module {
				continue // a short string; a list of one listpack is written as a quicklist
			}
			if encoding != want {
				t.Errorf("%q, a %s: the walk says %s, the server %s", k.name, k.Type, want, encoding)
			}
		}
		keys = keys[n:]
		if t.Failed() {
			return
		}
	}
}

// walkAll reads the whole file and holds every key.
func walkAll(t *testing.T, f *os.File) (rdb.File, []seen) {
	t.Helper()
	var keys []seen
	file, err := rdb.Walk(f, rdb.Options{CRC: true}, func(k *rdb.Key) error {
		keys = append(keys, seen{Key: *k, name: string(k.Name)})
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return file, keys
}

// exact is the test of one build.
func exact(t *testing.T, b *builds.Build, format string, fieldTTLs, vectors bool) {
	t.Helper()
	for _, compression := range []string{"yes", "no"} {
		r := server(t, b, "rdbcompression "+compression, "hash-max-ziplist-entries 200")
		fill(t, r, keydata.Options{Seed: 7, Keys: 6000, Streams: true, Large: true, Databases: 3, FieldTTLs: fieldTTLs})
		// More entries than the 16 bits of a listpack's or ziplist's count hold.
		// The name of 6.0 is an alias of the newer one in all others.
		r.Do("CONFIG", "SET", "hash-max-ziplist-entries", "100000")
		args := []any{"HSET", "beyond sixteen bits"}
		for i := range 40000 {
			args = append(args, fmt.Sprint(i), []string{"v", "a value that is long enough for two bytes of length, surely it is; and so on and on and on and on and on, until there are more than", "-70000"}[i%3])
		}
		r.Do(args...)
		if vectors {
			r.Do("VADD", "vectors", "VALUES", 3, 1, 0, 0, "one")
			r.Do("VADD", "vectors", "VALUES", 3, 0, 1, 0, "two", "SETATTR", `{"a": 1}`)
		}
		file, keys := walkAll(t, save(t, r))
		if file.Format.String() != format || file.CRC != rdb.CRCGood || file.Incomplete {
			t.Errorf("got %+v, want %s", file, format)
		}
		if want := r.Do("DBSIZE").(int64); want == 0 || len(keys) < int(want) || uint64(len(keys)) != file.Announced {
			t.Errorf("%d keys, %d announced, at least %d there", len(keys), file.Announced, want)
		}
		counts(t, r, keys)
	}
}

func TestCountsAreTheServers(t *testing.T) {
	t.Parallel()
	exact(t, nil, "RDB 10 of Redis", false, false)
}
