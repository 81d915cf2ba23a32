package main

import (
	"bytes"
	"compress/gzip"
	"encoding/csv"
	"io"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// someRDB is a file of an older day: three databases with a key each.
const someRDB = "../../preflight/keyspace/rdb/testdata/multiple_dbs.rdb"

// What people hand over by mistake: one line that says what it is and what to do,
// and nothing else.
func TestKeyspaceSaysWhatItWasGiven(t *testing.T) {
	dir := t.TempDir()
	put := func(name, text string) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	var packed bytes.Buffer
	z := gzip.NewWriter(&packed)
	if _, err := z.Write([]byte("REDIS0009")); err != nil || z.Close() != nil {
		t.Fatal(err)
	}
	whole, err := os.ReadFile(someRDB)
	if err != nil {
		t.Fatal(err)
	}
	web, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	answered := make(chan struct{})
	go func() {
		defer close(answered)
		for {
			c, err := web.Accept()
			if err != nil {
				return
			}
			_, _ = io.WriteString(c, "HTTP/1.0 400 Bad Request\r\n\r\n")
			c.Close()
		}
	}()
	defer func() {
		web.Close()
		<-answered
	}()
	for _, test := range []struct {
		args string
		code int
		want string
	}{
		{"--rdb " + dir, exitUnknown, "is a directory; name the file in it"},
		{"--rdb " + put("empty", ""), exitUnknown, "the file is empty: a save that failed leaves such"},
		{"--rdb " + put("z.gz", packed.String()), exitUnknown, "it is a gzip; open it first: zcat FILE | "},
		{"--rdb " + put("z.zst", "\x28\xb5\x2f\xfd\x00\x00\x00\x00\x00"), exitUnknown, "it is a zstd; open it first"},
		{"--rdb " + put("lz4", "VCS\x01\x01\x00\x01\x00\x00"), exitUnknown, "save it with rdbcompression yes"},
		{"--rdb " + put("d.dfs", "DFS\x01\x00\x00\x00\x00\x00"), exitUnknown, "audit the Dragonfly itself with --scan"},
		{"--rdb " + put("d.rdb", "REDIS0009\xfa\x06df-ver\x031.0\xdc\x01k"), exitUnknown, "type 220 is not known in RDB 9 of Redis: Dragonfly writes such; audit"},
		{"--rdb " + put("keydb.rdb", "REDIS0009\x40\x01k"), exitUnknown, "type 64 is not known in RDB 9 of Redis: KeyDB writes such"},
		{"--rdb " + put("new.rdb", "REDIS0099\xff\x00\x00\x00\x00\x00\x00\x00\x00"), exitUnknown, "a newer redis-watchdog may read it"},
		{"--rdb " + put("text", "root:x:0:0"), exitUnknown, `is no RDB file: it begins with "root:x:0:"`},
		{"--rdb " + put("commands", "*2\r\n$6\r\nSELECT\r\n"), exitUnknown, "name its directory with --aof"},
		{"--rdb " + filepath.Join(dir, "nothing"), exitUnknown, "no such file"},
		{"--aof " + put("aof", "*2\r\n$6\r\nSELECT\r\n"), exitUnknown, "audit the server itself with --from"},
		{"--aof " + dir, exitUnknown, "has 0 files *.manifest; name the directory"},
		{"--from 127.0.0.1:1", exitUnknown, "connection refused"},
		{"--scan 127.0.0.1:1", exitUnknown, "connection refused"},
		{"--from localhost", exitUnknown, "missing port in address"},
		{"--scan " + web.Addr().String(), exitUnknown, "does not answer as a Redis does"},
		{"", exitUsage, "no source given"},
		{"--rdb x --master", exitUsage, "--master is for --from"},
		{"--rdb x --budget 2ms", exitUsage, "--resume and --budget are for --scan"},
		{"--rdb x --allocator tcmalloc", exitUsage, "is none of jemalloc16, jemalloc8, libc"},
		{"--rdb x --top -1", exitUsage, "--top -1 is negative"},
		{"--rdb x -o xml", exitUsage, `output "xml" is none of text, json and csv`},
		{"--rdb x -o csv --table keys", exitUsage, `--table "keys" is none of databases, encodings, expiry, large`},
		{"--rdb x --table waste", exitUsage, "--table is for -o csv"},
	} {
		code, out, _ := play(t, &stage{}, false, append([]string{"keyspace"}, strings.Fields(test.args)...)...)
		lines := strings.Split(strings.TrimSpace(out), "\n")
		if code != test.code || !strings.Contains(lines[0], test.want) || len(lines) > 1 && !strings.HasPrefix(lines[1], "see redis-watchdog") {
			t.Errorf("%s: exit code %d, want %d with %q:\n%s", test.args, code, test.code, test.want, out)
		}
	}
	// What was read is printed where there is something.
	code, out, _ := play(t, &stage{}, false, "keyspace", "--rdb", put("cut", string(whole[:len(whole)-20])))
	if code != exitBlocked || !strings.Contains(out, "only a part was read") {
		t.Errorf("a file that is cut: exit code %d:\n%s", code, out)
	}
}

func TestKeyspaceTablesAsCSV(t *testing.T) {
	for table := range auditTables {
		code, out, _ := play(t, &stage{}, false, "keyspace", "--rdb", someRDB, "-o", "csv", "--table", table)
		rows, err := csv.NewReader(strings.NewReader(out)).ReadAll()
		if code != 0 || err != nil || len(rows) == 0 || slices.Contains(rows[0], "") {
			t.Errorf("%s: exit code %d, %v: %q", table, code, err, rows)
		}
		if want := map[string]int{"large": 3, "databases": 3, "slots": 6, "types": 1, "expiry": 7}[table]; want > 0 && len(rows) != 1+want {
			t.Errorf("%s: %d lines, want %d: %q", table, len(rows)-1, want, rows)
		}
	}
	_, out, _ := play(t, &stage{}, false, "keyspace", "--rdb", someRDB, "-o", "csv")
	rows, err := csv.NewReader(strings.NewReader(out)).ReadAll()
	if err != nil || !slices.Equal(rows[0][:5], []string{"key", "key_bytes", "db", "type", "encoding"}) || rows[1][0] != "x" || rows[3][2] != "2" {
		t.Errorf("got %q, %v", rows, err)
	}
	for name, want := range map[string]string{"a\nb": `a\x0ab`, "a,\"b": `a,"b`, "\xff\x00": `\xff\x00`, "größe": "größe"} {
		if got := csvCell(name); got != want {
			t.Errorf("%q: got %q, want %q", name, got, want)
		}
	}
}
