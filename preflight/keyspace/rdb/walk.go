package rdb

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"strconv"
)

// Key is one key of the file. It and its slices are good until visit returns.
type Key struct {
	DB       int
	Name     []byte // its first bytes, Options.MaxName at most
	NameLen  uint64 // of the whole name
	Type     Type
	Encoding Encoding

	// Elements is what STRLEN, HLEN, LLEN, SCARD, ZCARD and XLEN say, and the
	// number of elements of a vector set. Counted says whether it is known: it
	// is not of the values of other modules.
	Elements uint64
	Counted  bool

	Payload uint64 // bytes of all elements, or of the blob that holds them, opened
	Blobs   uint64 // listpacks, ziplists or plain nodes that hold the elements; zero: none
	Longest uint64 // bytes of the longest element; zero where elements are in blobs
	Stored  uint64 // bytes in the file, name and value
	First   []byte // first bytes of the first member of a set, or of a string
	Module  string // name of a module's type

	ExpireAt   int64 // ms since 1970; zero: never
	FieldTTLs  uint64
	Idle, Freq int64 // seconds, and the LFU's counter; -1: not in the file
	Offset     int64 // where its type byte is
}

// Elements is told of every allocation that holds elements of a key, before the
// key is visited; of strings it is told nothing but that one begins. Lengths are
// bytes as clients see them.
type Elements interface {
	Begin(t Type, e Encoding)
	// Texts are members of a set or zset, elements of a list outside a blob, values
	// of a templated hash or an array; of a hash a field, its value, the next field
	// and so on, never one without the other. The slice is good until it returns.
	Texts(lengths []uint64)
	Blob(n uint64) // a listpack, ziplist, intset or zipmap, opened
}

// Options of a walk.
type Options struct {
	CRC      bool     // check the file's CRC-64
	MaxName  int      // bytes of a name that are kept; zero: 4096
	Elements Elements // nil: nobody wants to hear of them
	// Begin is called before the first key, with what the file says of itself
	// until then; the Elements that it returns take the place of Options'. An
	// error ends the walk. nil: nobody asks.
	Begin func(File) (Elements, error)
	// Progress is told how far the walk is, in bytes, every 16 MiB or so; an error
	// ends it. nil: nobody asks.
	Progress func(offset int64) error
}

// CRCState is what became of the check of the file's CRC-64.
type CRCState string

const (
	CRCOff  CRCState = "off"  // not asked for
	CRCNone CRCState = "none" // the file has none (rdbchecksum no, or before RDB 5)
	CRCGood CRCState = "good"
	CRCBad  CRCState = "bad"
)

// File is what was found beside the keys.
type File struct {
	Format     Format
	Aux        map[string]string // known fields: redis-ver, valkey-ver, ctime, used-mem, aof-base, …
	Keys       uint64
	Announced  uint64 // keys as the sizes of the databases announce them; zero: they do not
	Functions  int
	FuncBytes  uint64
	ModuleAux  uint64 // bytes of module data that is no key's
	Bytes      int64  // read, the checksum included
	CRC        CRCState
	Incomplete bool // the walk stopped before the end: see the error
}

// maxAux bounds what is kept of fields that the file names as it likes.
const maxAux = 64

type walker struct {
	*reader
	o       Options
	visit   func(*Key) error
	file    File
	key     Key
	db      int
	next    int64 // offset at which Progress is told next
	open    lzf   // one compressed string at a time
	inside  blob  // likewise
	scratch []byte
	name    []byte           // of the key, where it is not in the buffer:
	lent    bool             // it is
	begins  [firstBytes]byte // likewise Key.First
	notes   [batch]uint64    // lengths of the key's strings, before Elements is told; so many:
	noted   int
	// Fields of each template of hashes, by its id; nil: there are none.
	templates map[uint64]uint64
}

// Walk reads the file to its end and hands over every key. File says what was
// read even where the error says that it was not all: then it is incomplete.
// Errors of the content are *Error with the offset; those of visit and Progress
// end the walk and are returned as they are.
func Walk(source io.Reader, o Options, visit func(*Key) error) (File, error) {
	if o.MaxName == 0 {
		o.MaxName = 4096
	}
	w := &walker{reader: newReader(source), o: o, visit: visit, file: File{Aux: map[string]string{}, CRC: CRCOff}}
	w.seeker, _ = source.(io.Seeker)
	w.moves = w.hold
	if o.CRC {
		w.crc = newChecksum()
		defer w.crc.end()
	}
	err := w.run()
	if err == nil {
		err = w.err
	}
	w.file.Bytes = w.offset()
	w.file.Incomplete = err != nil
	return w.file, err
}

func (w *walker) run() error {
	if err := w.header(); err != nil {
		return err
	}
	w.resetKey()
	for w.err == nil {
		at := w.offset()
		if w.o.Progress != nil && at >= w.next {
			w.next = at + 16<<20
			if err := w.o.Progress(at); err != nil {
				return err
			}
		}
		op := w.byte()
		if w.err != nil {
			break
		}
		if op == opEOF {
			return w.footer()
		}
		if op >= opTemplate {
			w.opcode(op, at)
			continue
		}
		if err := w.oneKey(op, at); err != nil {
			return err
		}
	}
	return w.err
}

// header finds out what the file is.
func (w *walker) header() error {
	magic := w.peek(9)
	if magic == nil {
		if w.base+int64(w.end) == 0 {
			return &Error{What: "the file is empty: a save that failed leaves such; name an older one", Err: io.ErrUnexpectedEOF}
		}
		return w.err
	}
	family, digits := Redis, magic[5:9]
	switch {
	case bytes.HasPrefix(magic, []byte("REDIS")):
	case bytes.HasPrefix(magic, []byte("VALKEY")):
		family, digits = Valkey, magic[6:9]
	default:
		return &Error{What: "is no RDB file: " + looksLike(magic)}
	}
	version, err := strconv.Atoi(string(digits))
	if err != nil || version < 1 {
		return &Error{What: fmt.Sprintf("is no RDB file: its version is %q", digits)}
	}
	w.take(9)
	w.file.Format = Format{family, version}
	if family == Redis && version > newestRedis || family == Valkey && (version > newestValkey || version < 80) {
		return &Error{What: fmt.Sprintf("%s is not known here (Redis to %d, Valkey to %d): a newer redis-watchdog may read it", w.file.Format, newestRedis, newestValkey)}
	}
	return nil
}

// looksLike names what people hand over instead of an RDB file.
func looksLike(magic []byte) string {
	switch {
	case bytes.HasPrefix(magic, []byte{0x1f, 0x8b}):
		return "it is a gzip; open it first: zcat FILE | redis-watchdog keyspace --rdb -"
	case bytes.HasPrefix(magic, []byte{0x28, 0xb5, 0x2f, 0xfd}):
		return "it is a zstd; open it first: zstdcat FILE | redis-watchdog keyspace --rdb -"
	case bytes.HasPrefix(magic, []byte("VCS")):
		return "it is the compressed RDB of Valkey 9.2, which is not read here; save it with rdbcompression yes"
	case magic[0] == '*':
		return "it is an append-only file of commands; name its directory with --aof"
	case bytes.HasPrefix(magic, []byte("file ")):
		return "it is the manifest of an append-only file; name its directory with --aof"
	case bytes.HasPrefix(magic, []byte("DFS")):
		return "it is a snapshot of Dragonfly in parts, a format of its own; audit the Dragonfly itself with --scan"
	}
	return fmt.Sprintf("it begins with %q", magic)
}

// opcode handles what is no key.
func (w *walker) opcode(op byte, at int64) {
	switch op {
	case opSelectDB:
		w.db = int(min(w.length(), 1<<31))
	case opExpire:
		w.key.ExpireAt = int64(w.u32()) * 1000
	case opExpireMS:
		w.key.ExpireAt = int64(w.u64())
	case opResizeDB:
		w.file.Announced += w.length()
		w.length()
	case opAux:
		w.aux()
	case opFreq:
		w.key.Freq = int64(w.byte())
	case opIdle:
		w.key.Idle = int64(w.length())
	case opModuleAux:
		w.length() // the module's id
		w.moduleValue(nil)
		w.file.ModuleAux += uint64(w.offset() - at)
	case opFunction2:
		w.file.Functions++
		w.file.FuncBytes += w.skipText()
	case opSlotInfo:
		for range 3 {
			w.length()
		}
	default:
		w.familyOpcode(op, at)
	}
}

// familyOpcode is those that mean different things in the two families.
func (w *walker) familyOpcode(op byte, at int64) {
	f := w.file.Format
	switch {
	case f.Family == Valkey && op == opSlotImport:
		w.skipText() // the job's name
		for range w.length() {
			if w.length(); w.err != nil { // first slot of a range
				return
			}
			w.length()
		}
	case f.Family == Redis && op == opKeyMeta && f.Version >= 13:
		w.keyMeta()
	case f.Family == Redis && op == opTemplate && f.Version >= 15:
		w.template()
	default:
		w.unknown("opcode", op, at)
	}
}

// unknown refuses a byte: what follows it cannot be found.
func (w *walker) unknown(what string, b byte, at int64) {
	hint := w.file.Format.hint(b)
	if hint != "" {
		hint = ": " + hint
	}
	w.failAt(at, nil, fmt.Sprintf("%s %d is not known in %s%s", what, b, w.file.Format, hint))
}

func (w *walker) aux() {
	var name, value []byte
	w.scratch, _ = w.prefix(w.scratch, maxAux)
	name = bytes.Clone(w.scratch)
	w.scratch, _ = w.prefix(w.scratch, maxAux)
	value = w.scratch
	if w.err == nil && w.file.Keys == 0 && len(w.file.Aux) < maxAux {
		w.file.Aux[string(name)] = string(value)
	}
}

func (w *walker) resetKey() {
	w.key, w.lent = Key{Idle: -1, Freq: -1}, false
}

// hold takes what the key has in the buffer out of it.
func (w *walker) hold() {
	k := &w.key
	if w.lent {
		w.name, w.lent = append(w.name[:0], k.Name...), false
		k.Name = w.name
	}
	k.First = append(w.begins[:0], k.First...)
}

func (w *walker) oneKey(op byte, at int64) error {
	if w.file.Keys == 0 && w.o.Begin != nil {
		var err error
		if w.o.Elements, err = w.o.Begin(w.file); err != nil {
			return err
		}
	}
	k := &w.key
	k.DB, k.Offset = w.db, at
	w.keyName()
	w.value(op, at)
	if w.err != nil {
		return w.err
	}
	if w.noted > 0 {
		w.tell()
	}
	k.Stored = uint64(w.offset() - at)
	w.file.Keys++
	if err := w.visit(k); err != nil {
		return err
	}
	w.resetKey()
	return nil
}

// keyName leaves the name where it is if it is short and plain, as most are.
func (w *walker) keyName() {
	k := &w.key
	if name, ok := w.plain(); ok && len(name) <= w.o.MaxName {
		k.Name, k.NameLen, w.lent = name, uint64(len(name)), true
		return
	} else if ok {
		w.pos -= 1 + len(name)
	}
	w.name, k.NameLen = w.prefix(w.name, w.o.MaxName)
	k.Name = w.name
}

var errChecksum = errors.New("the CRC-64 of the file is not that of its content")

// footer reads the checksum, which is the last of the file.
func (w *walker) footer() error {
	if w.file.Format.Family == Redis && w.file.Format.Version < 5 {
		w.file.CRC = CRCNone
		return nil
	}
	if w.crc != nil {
		w.crc.add(w.buf[:w.pos])
		w.base += int64(w.pos)
		w.end = copy(w.buf, w.buf[w.pos:w.end])
		w.pos = 0
	}
	c := w.crc
	w.crc = nil // the sum is not of itself
	at := w.offset()
	want := w.u64()
	switch {
	case w.err != nil:
		return w.err
	case want == 0:
		w.file.CRC = CRCNone
	case c == nil:
		w.file.CRC = CRCOff
	case c.end() == want:
		w.file.CRC = CRCGood
	default:
		w.file.CRC = CRCBad
		return &Error{Offset: at, What: errChecksum.Error(), Err: errChecksum}
	}
	return nil
}
