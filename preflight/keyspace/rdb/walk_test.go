package rdb

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/iotest"
)

// read walks a text and is one line a key, as "db name type encoding elements".
func read(source io.Reader, o Options) (File, []string, error) {
	var lines []string
	f, err := Walk(source, o, func(k *Key) error {
		lines = append(lines, fmt.Sprintf("%d %s %s %s %d", k.DB, k.Name, k.Type, k.Encoding, k.Elements))
		return nil
	})
	return f, lines, err
}

func testdata(t testing.TB) map[string][]byte {
	t.Helper()
	names, err := filepath.Glob("testdata/*.rdb")
	if err != nil || len(names) == 0 {
		t.Fatalf("no files: %v", err)
	}
	files := map[string][]byte{}
	for _, name := range names {
		b, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		files[filepath.Base(name)] = b
	}
	return files
}

// What redis-server 7.0.15 answers of these files, or what their names say
// where it is too old or too new for them.
func TestFilesOfTwelveYears(t *testing.T) {
	for name, want := range map[string][]string{
		"empty.rdb":                    nil,
		"function.rdb":                 nil,
		"hash_zm_v2.rdb":               {"0 myhash hash zipmap 9"},
		"ziplist_v3.rdb":               {"0 ziplist_compresses_easily list ziplist 6"},
		"plain_list_v6.rdb":            {"0 ll list linkedlist 513"},
		"plain_set_v6.rdb":             {"0 myset set hashtable 10"},
		"zset_zl_v6.rdb":               {"0 myzset zset ziplist 24"},
		"hash_v3.rdb":                  {"0 myhash1 hash hashtable 11"},
		"hash_zl_v6.rdb":               {"0 myhash hash ziplist 6"},
		"quicklist.rdb":                {"0 list list quicklist 1", "0 x string int 2"},
		"quicklist2_v11.rdb":           {"0 mylist list quicklist 3"},
		"set_is_v11.rdb":               {"0 myintest set intset 6"},
		"set_lp_v11.rdb":               {"0 myset set listpack 9"},
		"zset_lp_v11.rdb":              {"0 myzset zset listpack 24"},
		"plain_zset_2_v11.rdb":         {"0 myzset zset skiplist 24"},
		"hash_lp_v11.rdb":              {"0 hash2 hash listpack 6", "0 hash1 hash listpack 5"},
		"hash_lp_with_hexpire_v12.rdb": {"0 myhash hash listpackex 3"},
		"module.rdb":                   {"0 key1 module module 0"},
		"mem_policy_lfu.rdb":           {"0 abcdefghijk string raw 19"},
	} {
		data, ok := testdata(t)[name]
		if !ok {
			t.Errorf("%s is not there", name)
			continue
		}
		f, got, err := read(bytes.NewReader(data), Options{CRC: true})
		for i := range got {
			if name == "quicklist.rdb" || strings.HasPrefix(name, "hash_lp_with") {
				got[i] = got[i][:len(got[i])-1] + want[i][len(want[i])-1:] // how many is not in the name
			}
		}
		if err != nil || !slices.Equal(got, want) {
			t.Errorf("%s: got %q, %v, want %q", name, got, err, want)
		}
		if f.Bytes != int64(len(data)) || f.Incomplete || f.Format.Version >= 5 && f.CRC != CRCGood || !f.Format.Proven() {
			t.Errorf("%s of %d bytes: got %+v", name, len(data), f)
		}
	}
}

func TestDatabasesAndNumbers(t *testing.T) {
	files := testdata(t)
	_, got, err := read(bytes.NewReader(files["multiple_dbs.rdb"]), Options{})
	if want := []string{"0 x string int 1", "1 y string int 1", "2 z string int 1"}; err != nil || !slices.Equal(got, want) {
		t.Errorf("got %q, %v", got, err)
	}
	// Each key's name ends in its value.
	n := 0
	if _, err := Walk(bytes.NewReader(files["string_int_encoded.rdb"]), Options{}, func(k *Key) error {
		n++
		if _, value, ok := strings.Cut(string(k.Name), "::"); !ok || k.Elements != uint64(len(value)) || (k.Encoding == Int) != isInteger([]byte(value)) || string(k.First) != value {
			t.Errorf("%s: %d characters of %s, which begin %q", k.Name, k.Elements, k.Encoding, k.First)
		}
		return nil
	}); err != nil || n != 57 {
		t.Errorf("%d keys, %v", n, err)
	}
}

func TestBadChecksumIsAnError(t *testing.T) {
	data := testdata(t)["invalid_chksum_v8.rdb"]
	f, keys, err := read(bytes.NewReader(data), Options{CRC: true})
	if !errors.Is(err, errChecksum) || f.CRC != CRCBad || len(keys) != 3 || !f.Incomplete {
		t.Errorf("got %+v, %d keys, %v", f, len(keys), err)
	}
	if f, _, err := read(bytes.NewReader(data), Options{}); err != nil || f.CRC != CRCOff {
		t.Errorf("without the check: got %+v, %v", f, err)
	}
}

// A file that ends anywhere gives the keys before, and says that it is not all.
func TestFileCutAtEveryByte(t *testing.T) {
	for name, data := range testdata(t) {
		whole, all, err := read(bytes.NewReader(data), Options{})
		if err != nil {
			continue
		}
		for n := range len(data) {
			f, got, err := read(bytes.NewReader(data[:n]), Options{CRC: n%2 == 0})
			if err == nil || !f.Incomplete && n < len(data) {
				t.Errorf("%s cut at %d of %d: no error", name, n, len(data))
			}
			if len(got) > len(all) || !slices.Equal(got, all[:len(got)]) {
				t.Errorf("%s cut at %d: got %q, want the first of %q", name, n, got, all)
			}
		}
		if whole.Bytes != int64(len(data)) {
			t.Errorf("%s: read %d of %d bytes", name, whole.Bytes, len(data))
		}
	}
}

// However the file comes in, and whether it may be skipped in, it reads alike.
func TestHoweverItIsRead(t *testing.T) {
	for name, data := range testdata(t) {
		_, want, wantErr := read(bytes.NewReader(data), Options{})
		for how, source := range map[string]io.Reader{
			"byte by byte": iotest.OneByteReader(bytes.NewReader(data)),
			"half":         iotest.HalfReader(bytes.NewReader(data)),
			"with its end": iotest.DataErrReader(bytes.NewReader(data)),
		} {
			if _, got, err := read(source, Options{}); !slices.Equal(got, want) || (err == nil) != (wantErr == nil) {
				t.Errorf("%s, %s: got %q, %v, want %q, %v", name, how, got, err, want, wantErr)
			}
		}
	}
}

// made writes files for what no file at hand has.
type made struct{ bytes.Buffer }

func (m *made) length(n uint64) *made {
	m.WriteByte(0x81)
	m.Write(binary.BigEndian.AppendUint64(nil, n))
	return m
}

func (m *made) text(s string) *made {
	m.length(uint64(len(s)))
	m.WriteString(s)
	return m
}

func (m *made) bytes(b ...byte) *made {
	m.Write(b)
	return m
}

func file(magic string) *made {
	m := &made{}
	m.WriteString(magic)
	return m
}

func TestTheSameByteInTwoFamilies(t *testing.T) {
	hash := func(magic string) *made { return file(magic).bytes(22).text("h").length(1) }
	valkey := hash("VALKEY080").text("f").text("v").bytes(bytes.Repeat([]byte{0xff}, 8)...).bytes(opEOF, 0, 0, 0, 0, 0, 0, 0, 0)
	redis := hash("REDIS0012").length(1700000000000).text("f").text("v").bytes(opEOF, 0, 0, 0, 0, 0, 0, 0, 0)
	for name, m := range map[string]*made{"Valkey": valkey, "Redis": redis} {
		var ttls uint64
		f, err := Walk(&m.Buffer, Options{CRC: true}, func(k *Key) error { ttls = k.FieldTTLs; return nil })
		if err != nil || f.Keys != 1 || f.CRC != CRCNone {
			t.Errorf("%s: got %+v, %v", name, f, err)
		}
		if want := map[string]uint64{"Valkey": 0, "Redis": 1}[name]; ttls != want {
			t.Errorf("%s: %d fields with a TTL, want %d", name, ttls, want)
		}
	}
}

func TestUnknownBytesAreRefusedByName(t *testing.T) {
	for want, m := range map[string]*made{
		"at byte 9: type 200 is not known in RDB 9 of Redis: Dragonfly writes such":   file("REDIS0009").bytes(200).text("k"),
		"at byte 9: type 24 is not known in RDB 80 of Valkey":                         file("VALKEY080").bytes(24).text("k"),
		"at byte 9: opcode 242 is not known in RDB 12 of Redis":                       file("REDIS0012").bytes(242),
		"opcode 246 is not known in RDB 10 of Redis: functions as release candidates": file("REDIS0010").bytes(246),
		"RDB 16 of Redis is not known here":                                           file("REDIS0016").bytes(opEOF),
		"it is a gzip; open it first":                                                 file("\x1f\x8b\x08\x00\x00\x00\x00\x00\x00\x00"),
		"the file is empty":                                                           file(""),
		"it is an append-only file of commands":                                       file("*2\r\n$6\r\nSELECT\r\n"),
		"is more than any file has":                                                   file("REDIS0012").bytes(typeSet).text("k").length(1).length(1 << 63),
		"the file ends here, in the middle":                                           file("REDIS0012").bytes(0).text("k").length(1 << 62),
		"3 entries in a listpack of a hash, which come by 2":                          file("REDIS0012").bytes(typeHashListPack).text("k").text("\x0a\x00\x00\x00\x03\x00\x01\x01\x01\x01\xff"),
		"a compressed string refers to what is before it":                             file("REDIS0012").bytes(0).bytes(0xc3, 3, 20, 0x20, 0x05, 0x00),
	} {
		if _, _, err := read(&m.Buffer, Options{}); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("got %v, want %q", err, want)
		}
	}
}

// Skipping a long value in a file does not read it, and finds that it is not
// all there.
func TestLongValueIsSkippedInAFile(t *testing.T) {
	const size = 8 << 30
	name := filepath.Join(t.TempDir(), "sparse.rdb")
	out, err := os.Create(name)
	if err != nil {
		t.Fatal(err)
	}
	defer out.Close()
	head := file("REDIS0012").bytes(0).text("big").length(size)
	if _, err := out.Write(head.Bytes()); err != nil {
		t.Fatal(err)
	}
	end := file("").bytes(0).text("k").text("v").bytes(opEOF, 0, 0, 0, 0, 0, 0, 0, 0)
	if _, err := out.WriteAt(end.Bytes(), int64(head.Len())+size); err != nil {
		t.Fatal(err)
	}
	for _, whole := range []bool{true, false} {
		if !whole {
			if err := out.Truncate(int64(head.Len()) + size - 1); err != nil {
				t.Fatal(err)
			}
		}
		in, err := os.Open(name)
		if err != nil {
			t.Fatal(err)
		}
		f, keys, err := read(in, Options{})
		in.Close()
		if whole && (err != nil || len(keys) != 2) || !whole && (err == nil || len(keys) != 0) {
			t.Errorf("whole %t: got %+v, %q, %v", whole, f, keys, err)
		}
	}
}

func TestVisitorAndProgressEndTheWalk(t *testing.T) {
	stop := errors.New("enough")
	data := testdata(t)["multiple_dbs.rdb"]
	n := 0
	if _, err := Walk(bytes.NewReader(data), Options{CRC: true}, func(*Key) error { n++; return stop }); !errors.Is(err, stop) || n != 1 {
		t.Errorf("got %v after %d keys", err, n)
	}
	o := Options{Progress: func(int64) error { return stop }}
	if _, err := Walk(bytes.NewReader(data), o, func(*Key) error { return nil }); !errors.Is(err, stop) {
		t.Errorf("got %v", err)
	}
}

// A length that the file claims and does not fill costs nothing but the buffer.
func FuzzWalk(f *testing.F) {
	files := testdata(f)
	for _, name := range slices.Sorted(maps.Keys(files)) {
		f.Add(files[name])
	}
	f.Add(file("VALKEY080").bytes(opSlotImport).text("job").length(1).length(1).length(2).Bytes())
	f.Add(newer(15).Bytes())
	f.Fuzz(func(t *testing.T, data []byte) {
		file, keys, err := read(bytes.NewReader(data), Options{CRC: len(data)%2 == 0, MaxName: 100})
		if err == nil && (file.Incomplete || uint64(len(keys)) != file.Keys) {
			t.Errorf("got %+v, %d keys", file, len(keys))
		}
		if file.Bytes > int64(len(data)) {
			t.Errorf("read %d of %d bytes", file.Bytes, len(data))
		}
		// What is whole in the buffer is passed over in another way than what is not.
		got, gotErr := everything(bytes.NewReader(data))
		want, wantErr := everything(iotest.OneByteReader(bytes.NewReader(data)))
		if !slices.Equal(got, want) || fmt.Sprint(gotErr) != fmt.Sprint(wantErr) {
			t.Errorf("at once %q, %v; byte by byte %q, %v", got, gotErr, want, wantErr)
		}
	})
}

// told is what Elements is told.
type told struct {
	begun string
	texts []uint64
	blobs []uint64
}

func (e *told) Begin(t Type, c Encoding) { *e = told{begun: t.String() + " " + c.String()} }
func (e *told) Texts(n []uint64)         { e.texts = append(e.texts, n...) }
func (e *told) Blob(n uint64)            { e.blobs = append(e.blobs, n) }

// everything is one line a key, of all that is known of it.
func everything(source io.Reader) ([]string, error) {
	var lines []string
	e := &told{}
	_, err := Walk(source, Options{Elements: e}, func(k *Key) error {
		lines = append(lines, fmt.Sprintf("%+v %+v", *k, *e))
		return nil
	})
	return lines, err
}

// Strings of every kind and length, and at every place of the buffer: at once as
// byte by byte.
func TestAtOnceAsByteByByte(t *testing.T) {
	m := file("REDIS0010")
	short := func(n int) *made { // a length as short as it can be
		if n < 64 {
			return m.bytes(byte(n))
		}
		return m.bytes(0x40|byte(n>>8), byte(n))
	}
	text := func(i int) {
		switch i % 8 {
		case 0, 1:
			n := i * 7 % 200
			short(n).WriteString(strings.Repeat("t", n))
		case 2:
			m.bytes(0xc0, byte(i))
		case 3:
			m.bytes(0xc1, byte(i), byte(i*3))
		case 4:
			m.bytes(0xc2, byte(i), byte(i*3), 0, byte(i*5))
		case 5: // a literal, and as many copies of it
			m.bytes(0xc3, 7)
			short(12+i%255).bytes(2, 'a', 'b', 'c', 0xe0)
			m.bytes(byte(i%255), 0)
		case 6:
			m.length(uint64(i % 300)).WriteString(strings.Repeat("l", i%300))
		case 7:
			m.bytes(3).WriteString("end")
		}
	}
	for i := range 3000 {
		m.bytes([]byte{typeSet, typeHash, typeZSet2}[i%3])
		m.bytes(4).WriteString(fmt.Sprintf("%04d", i))
		n := i % 120
		short(n)
		if i%3 == 1 {
			n *= 2
		}
		for j := range n {
			text(i*5 + j)
			if i%3 == 2 {
				m.bytes(1, 2, 3, 4, 5, 6, 7, 8)
			}
		}
	}
	m.bytes(opEOF, 0, 0, 0, 0, 0, 0, 0, 0)
	if m.Len() < 10*bufferSize {
		t.Fatalf("%d bytes are too few", m.Len())
	}
	got, gotErr := everything(bytes.NewReader(m.Bytes()))
	want, wantErr := everything(iotest.OneByteReader(bytes.NewReader(m.Bytes())))
	if len(want) != 3000 || wantErr != nil || gotErr != nil {
		t.Fatalf("%d and %d keys, %v, %v", len(got), len(want), gotErr, wantErr)
	}
	for i := range want {
		if got[i] != want[i] {
			t.Fatalf("at once %s, byte by byte %s", got[i], want[i])
		}
	}
}
