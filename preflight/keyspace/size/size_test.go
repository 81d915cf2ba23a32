package size

import (
	"strings"
	"testing"

	"github.com/redis-watchdog/redis-watchdog/preflight/keyspace/rdb"
)

// The classes that MEMORY MALLOC-STATS lists, and above 16 KiB what jemalloc's
// manual says of its four classes a doubling.
func TestClasses(t *testing.T) {
	debian, upstream, libc := Jemalloc(16), Jemalloc(8), Libc()
	for _, test := range []struct{ n, debian, upstream, libc uint64 }{
		{1, 8, 8, 24}, {8, 8, 8, 24}, {9, 16, 16, 24}, {17, 32, 24, 24}, {24, 32, 24, 24}, {25, 32, 32, 40}, {33, 48, 40, 40}, {56, 64, 56, 56},
		{65, 80, 80, 72}, {80, 80, 80, 88}, {81, 96, 96, 88}, {129, 160, 160, 136}, {1025, 1280, 1280, 1032}, {16384, 16384, 16384, 16392},
		{16385, 20480, 20480, 16392}, {20481, 24576, 24576, 20488},
	} {
		if got := debian.Of(test.n); got != test.debian {
			t.Errorf("quantum 16, class of %d: got %d, want %d", test.n, got, test.debian)
		}
		if got := upstream.Of(test.n); got != test.upstream {
			t.Errorf("quantum 8, class of %d: got %d, want %d", test.n, got, test.upstream)
		}
		if got := libc.Of(test.n); got != test.libc {
			t.Errorf("libc, size of %d: got %d, want %d", test.n, got, test.libc)
		}
	}
	if got := debian.Of(540_000_000); got != 671_088_640 { // redis#3257
		t.Errorf("540 MB become %d", got)
	}
	for n := uint64(1); n < 1<<20; n += 7 {
		if got := debian.Of(n); got < n || got > n+max(n/4, 16) {
			t.Fatalf("class of %d is %d", n, got)
		}
	}
}

func TestNearestVersion(t *testing.T) {
	for server, want := range map[string]string{
		"redis 7.0.15": "redis 7.0", "redis 6.2.14": "redis 6.0", "redis 7.2.5": "redis 7.0", "redis 8.0.6": "redis 8.0", "redis 9.9.9": "redis 8.0",
		"redis 5.0.1": "redis 6.0", "redis 255.255.255": "redis 8.0", "": "redis 7.0", "keydb 6.3": "redis 7.0",
		"valkey 8.0.1": "valkey 8.1", "valkey 8.1.4": "valkey 8.1", "valkey 9.0.5": "valkey 8.1", "valkey 9.1.2": "valkey 9.1",
	} {
		if got := Nearest(server, Jemalloc(16)).Name(); !strings.HasPrefix(got, want+",") {
			t.Errorf("%q: got %s, want %s", server, got, want)
		}
	}
	if _, err := New("redis 3.0", Jemalloc(16)); err == nil {
		t.Error("a version that is not known is no error")
	}
}

func TestSizeGrowsWithWhatIsInIt(t *testing.T) {
	m, err := New("redis 7.0", Jemalloc(16))
	if err != nil {
		t.Fatal(err)
	}
	of := func(n uint64) uint64 {
		m.Begin(rdb.Hash, rdb.HashTable)
		for range n {
			m.Two(8, 8)
		}
		return m.Size(&rdb.Key{NameLen: 3, Type: rdb.Hash, Encoding: rdb.HashTable, Elements: n})
	}
	for n := uint64(1); n < 10_000; n *= 2 {
		if of(n) >= of(2*n) {
			t.Errorf("%d fields take %d bytes, twice as many %d", n, of(n), of(2*n))
		}
	}
}
