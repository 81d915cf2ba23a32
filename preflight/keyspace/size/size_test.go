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
			m.Texts([]uint64{8, 8})
		}
		return m.Size(&rdb.Key{NameLen: 3, Type: rdb.Hash, Encoding: rdb.HashTable, Elements: n})
	}
	for n := uint64(1); n < 10_000; n *= 2 {
		if of(n) >= of(2*n) {
			t.Errorf("%d fields take %d bytes, twice as many %d", n, of(n), of(2*n))
		}
	}
}

// How MEMORY MALLOC-STATS of redis-server 7.0.15 on Debian prints its bins, in
// short; of a Redis with its own jemalloc the bin of 24 bytes is at place 2.
func TestClassesAreReadFromTheServer(t *testing.T) {
	head := "___ Begin jemalloc statistics ___\nextents:  size ind\nbins:           size ind    allocated      nmalloc (#/sec)\n"
	const tail = "large:          size ind    allocated\n               16384  36        49152\n"
	for _, test := range []struct{ bins, name, err string }{
		{"  8   0   5600 700\n  16  1 190400 11900\n  32  2 160000 5300\n  ---\n  64   4 24576\n  768  18  12288\n  ---\n  1024  20 1\n", "jemalloc, quantum 16", ""},
		{"  8   0   5600 700\n  ---\n  24  2 160000 5300\n  32   3 24576\n", "jemalloc, quantum 8", ""},
		{"  16   0   5600 700\n  48  1 160000 5300\n  96   2 24576\n", "jemalloc, bins of its own", ""},
		{"  16   0   5600 700\n  ---\n  96   2 24576\n", "", "not all of them"},
		{"  16   x   5600 700\n", "", `at place "x"`},
		{"", "", "lists no bins"},
	} {
		c, err := FromStats(head + test.bins + tail)
		if test.err != "" {
			if err == nil || !strings.Contains(err.Error(), test.err) {
				t.Errorf("%q: got %v, want %q", test.bins, err, test.err)
			}
			continue
		}
		if err != nil || c.Name() != test.name {
			t.Errorf("%q: got %v, %v, want %s", test.bins, c, err, test.name)
		}
	}
	for _, text := range []string{"", "OK", "\nbins:", "\nbins:\n"} {
		if _, err := FromStats(text); err == nil {
			t.Errorf("%q is no error", text)
		}
	}
	own, err := FromStats(head + "  16   0   1 1\n  48  1 1 1\n  96   2 1\n")
	if err != nil || own.Of(17) != 48 || own.Of(49) != 96 || own.Of(97) != 112 {
		t.Errorf("bins of its own: %v", err)
	}
}

// What is counted twice or left out by MEMORY USAGE: see docs/keyspace.md.
func TestUsedIsWhatTheAllocatorGives(t *testing.T) {
	for version, want := range map[string][2]uint64{ // a string of 10 bytes under a name of 10
		"redis 6.0": {68, 80}, "redis 7.0": {72, 80}, "redis 8.0": {72, 80}, "valkey 8.1": {48, 48}, "valkey 9.1": {48, 48},
	} {
		m, err := New(version, Jemalloc(16))
		if err != nil {
			t.Fatal(err)
		}
		m.Begin(rdb.String, rdb.Raw)
		k := rdb.Key{NameLen: 10, Type: rdb.String, Encoding: rdb.Raw, Elements: 10}
		if got := [2]uint64{m.Size(&k), m.Used(&k)}; got != want {
			t.Errorf("%s: got %v, want %v", version, got, want)
		}
		if a, b := m.Tables(1000, 0), m.Tables(1000, 1000); a == 0 || b <= a || m.Tables(0, 0) != 0 {
			t.Errorf("%s: tables of 1,000 keys take %d bytes, with TTLs %d", version, a, b)
		}
	}
}
