package rdb

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"slices"
	"strings"
	"testing"
)

// The files of this test are made by the same reading of the published layouts
// as the walk: that they are read proves that walk and encoder agree, and not
// that a server of these versions writes so.

// raw is eight bytes as they are in memory.
func (m *made) raw(v uint64) *made { return m.bytes(binary.LittleEndian.AppendUint64(nil, v)...) }

func (m *made) lengths(all ...uint64) *made {
	for _, n := range all {
		m.length(n)
	}
	return m
}

func (m *made) ids(n int) *made {
	for i := range n {
		m.raw(1700000000000).raw(uint64(i))
	}
	return m
}

// listPack is one of so many short strings.
func listPack(entries ...string) string {
	var body []byte
	for _, e := range entries {
		body = append(body, 0x80|byte(len(e)))
		body = append(body, e...)
		body = append(body, byte(len(e)+1))
	}
	head := binary.LittleEndian.AppendUint32(nil, uint32(6+len(body)+1))
	head = binary.LittleEndian.AppendUint16(head, uint16(len(entries)))
	return string(append(append(head, body...), 0xff))
}

// stream is a key of one of the five layouts, with a group of two consumers.
func (m *made) stream(kind byte, layout int) *made {
	m.bytes(kind).text(fmt.Sprint("stream", layout)).length(1).text(strings.Repeat("i", 16)).text(listPack("0", "1", "f"))
	m.length(3).lengths(1700000000000, 3) // elements, last id
	if layout >= 2 {
		m.lengths(1700000000000, 0, 0, 0, 4)
	}
	m.length(1).text("group").lengths(1700000000000, 2)
	if layout >= 2 {
		m.length(2) // entries read
	}
	m.length(2)
	for i := range 2 {
		m.ids(1).raw(1700000000000).length(uint64(i))
	}
	m.length(2)
	for i := range 2 {
		m.text(fmt.Sprint("consumer", i)).raw(1700000000000)
		if layout >= 3 {
			m.raw(1700000000000)
		}
		m.length(uint64(i)).ids(i)
	}
	if layout >= 5 {
		m.length(1).ids(1)
	}
	if layout >= 4 {
		m.lengths(100, 100, 2)
		m.text("producer").length(2).text("a").lengths(1700000000000, 1).text("b").lengths(1700000000000, 2)
		m.text("other").length(0)
		m.lengths(2, 1)
	}
	return m
}

func (m *made) template(id uint64, fields ...string) *made {
	m.bytes(opTemplate).lengths(id, uint64(len(fields)))
	for _, f := range fields {
		m.text(f)
	}
	return m
}

func (m *made) end() *made { return m.bytes(opEOF, 0, 0, 0, 0, 0, 0, 0, 0) }

// newer is a file of everything that a version may have.
func newer(version int) *made {
	m := file(fmt.Sprintf("REDIS%04d", version))
	if version >= 15 {
		m.template(7, "age", "name").template(300, "a", "b", "c")
	}
	m.bytes(opKeyMeta).length(2).bytes(1, 2, 3, 4).lengths(2, 5, 0).bytes(5, 6, 7, 8).length(5).text("tag").length(0)
	m.bytes(typeString).text("marked").text("v")
	m.stream(typeStream, 1).stream(typeStream2, 2).stream(typeStream3, 3).stream(typeStream4, 4)
	if version >= 14 {
		m.stream(typeStream5, 5)
		m.bytes(typeArray).text("array").lengths(4, 1, 1<<64-1)
		m.lengths(0, 0).text("a longer text").lengths(5, 1).raw(1<<64-3).lengths(1<<40, 2).raw(4607182418800017408).lengths(1<<63, 3).text("short")
		m.bytes(typeArray).text("plain").lengths(1, 0, 0, 3).text("x")
	}
	if version >= 15 {
		m.bytes(typePackOf).text("packed").text(listPack("7", "42", "somebody"))
		m.bytes(typeArrayOf).text("values").length(300).text("one").text("two").text(strings.Repeat("three", 20))
	}
	return m.bytes(typeString).text("last").text("v").end()
}

func TestNewerTypesAreReadAsTheirLayoutsSay(t *testing.T) {
	want := []string{"0 marked string raw 1", "0 stream1 stream stream 3", "0 stream2 stream stream 3", "0 stream3 stream stream 3", "0 stream4 stream stream 3"}
	for version, more := range map[int][]string{13: nil,
		14: {"0 stream5 stream stream 3", "0 array array array 4", "0 plain array array 1"},
		15: {"0 stream5 stream stream 3", "0 array array array 4", "0 plain array array 1", "0 packed hash template-listpack 2", "0 values hash template-array 3"},
	} {
		want := slices.Concat(want, more, []string{"0 last string raw 1"})
		data := newer(version).Bytes()
		f, got, err := read(bytes.NewReader(data), Options{CRC: true})
		if err != nil || !slices.Equal(got, want) || f.Bytes != int64(len(data)) || f.Format.Proven() {
			t.Errorf("RDB %d: got %q, %+v, %v, want %q", version, got, f, err, want)
		}
		for n := range len(data) {
			if _, got, err := read(bytes.NewReader(data[:n]), Options{}); err == nil || len(got) > len(want) || !slices.Equal(got, want[:len(got)]) {
				t.Errorf("RDB %d cut at %d: got %q, %v", version, n, got, err)
			}
		}
	}
}

// What a version does not have is refused, also where a newer one has it.
func TestNewerTypesAreOfTheirVersionsOnly(t *testing.T) {
	for want, m := range map[string]*made{
		"at byte 9: type 26 is not known in RDB 12 of Redis":                                       file("REDIS0012").stream(typeStream4, 4),
		"at byte 9: type 27 is not known in RDB 13 of Redis":                                       file("REDIS0013").stream(typeStream5, 5),
		"at byte 9: type 28 is not known in RDB 13 of Redis":                                       file("REDIS0013").bytes(typeArray).text("k"),
		"at byte 9: type 30 is not known in RDB 14 of Redis":                                       file("REDIS0014").bytes(typePackOf).text("k"),
		"at byte 9: type 29 is not known in RDB 15 of Redis: Redis 8.10 writes it into DUMP":       file("REDIS0015").bytes(typeTemplatePack).text("k"),
		"at byte 9: type 33 is not known in RDB 15 of Redis: a rate limiter":                       file("REDIS0015").bytes(typeRateLimit).text("k"),
		"at byte 9: opcode 243 is not known in RDB 12 of Redis":                                    file("REDIS0012").bytes(opKeyMeta).length(0),
		"at byte 9: opcode 242 is not known in RDB 14 of Redis":                                    file("REDIS0014").bytes(opTemplate),
		"at byte 9: opcode 242 is not known in RDB 81 of Valkey: Valkey 9.2 notes a write so":      file("VALKEY081").bytes(opInlineWrite),
		"at byte 9: type 23 is not known in RDB 81 of Valkey: the path hash of Valkey 9.2":         file("VALKEY081").bytes(typeValkeyPathHash).text("k"),
		"at byte 9: type 28 is not known in RDB 81 of Valkey: Valkey leaves it to Redis":           file("VALKEY081").bytes(typeArray).text("k"),
		"at byte 28: type 34 is not known in RDB 15 of Redis: Dragonfly writes such":               file("REDIS0015").bytes(typeString).text("").text("").bytes(34).text("k"),
		"a hash of a template that the file does not have":                                         file("REDIS0015").template(1, "f").bytes(typeArrayOf).text("k").length(2),
		"template 1 of hashes is there twice":                                                      file("REDIS0015").template(1, "f").template(1, "f"),
		"1 entries in a listpack of a template's hash":                                             file("REDIS0015").bytes(typePackOf).text("k").text(listPack("1")),
		"an array's insertion is 0 or 1, not 2":                                                    file("REDIS0014").bytes(typeArray).text("k").lengths(1, 2),
		"an array's element of kind 4, which there is not":                                         file("REDIS0014").bytes(typeArray).text("k").lengths(1, 0, 0, 4),
		"the file ends here, in the middle":                                                        file("REDIS0015").bytes(opTemplate).lengths(1, 1<<62),
		fmt.Sprintf("at byte %d: a module's value has an opcode 9, which there is not", 9+1+9+4+9): file("REDIS0013").bytes(opKeyMeta).length(1).bytes(0, 0, 0, 0).length(9),
	} {
		if _, _, err := read(&m.Buffer, Options{}); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("got %v, want %q", err, want)
		}
	}
}
