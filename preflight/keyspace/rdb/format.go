package rdb

import "fmt"

// Family is who wrote the file: the two give some bytes different meanings.
type Family uint8

const (
	Redis Family = iota
	Valkey
)

func (f Family) String() string {
	if f == Valkey {
		return "Valkey"
	}
	return "Redis"
}

// Format is the first nine bytes of a file: REDIS0012 or VALKEY080.
type Format struct {
	Family  Family
	Version int
}

func (f Format) String() string { return fmt.Sprintf("RDB %d of %s", f.Version, f.Family) }

// Proven is whether files of a real server of this format were read in the
// tests; the others are read by their published layouts.
func (f Format) Proven() bool {
	if f.Family == Valkey {
		return f.Version == 80
	}
	return f.Version <= 12
}

// The newest versions whose layouts are known.
const (
	newestRedis  = 15
	newestValkey = 81
)

// Type is what a key is to its clients.
type Type uint8

const (
	String Type = iota
	List
	Set
	ZSet
	Hash
	Stream
	Module
	Array
	types // how many
)

var typeNames = [types]string{"string", "list", "set", "zset", "hash", "stream", "module", "array"}

func (t Type) String() string { return typeNames[t] }

// Types is every Type, in order.
func Types() []Type {
	all := make([]Type, types)
	for i := range all {
		all[i] = Type(i)
	}
	return all
}

// ParseType is String's inverse.
func ParseType(name string) (Type, bool) {
	for i, n := range typeNames {
		if n == name {
			return Type(i), true
		}
	}
	return 0, false
}

// Encoding is how a value is kept, in OBJECT ENCODING's words where the file
// tells: it is what the writer had in memory. A server of another version, or
// with other limits, may make another of it when it loads.
type Encoding uint8

const (
	Raw        Encoding = iota // a string; embstr and raw are told by length
	Int                        // a string that is an integer
	LinkedList                 // before RDB 7: one element after the other
	ZipList
	QuickList
	IntSet
	HashTable
	ListPack
	ListPackEx // a listpack whose fields have TTLs
	ZipMap
	SkipList
	StreamPacks
	ModuleValue
	ArrayValue
	TemplatePack  // a hash of a listpack of values, whose names are in a template (RDB 15)
	TemplateArray // the same, value by value
	encodings     // how many
)

var encodingNames = [encodings]string{"raw", "int", "linkedlist", "ziplist", "quicklist", "intset", "hashtable", "listpack",
	"listpackex", "zipmap", "skiplist", "stream", "module", "array", "template-listpack", "template-array"}

func (e Encoding) String() string { return encodingNames[e] }

// Encodings is how many there are.
const Encodings = int(encodings)

// ParseEncoding is String's inverse.
func ParseEncoding(name string) (Encoding, bool) {
	for i, n := range encodingNames {
		if n == name {
			return Encoding(i), true
		}
	}
	return 0, false
}

// Opcodes that all formats have in common.
const (
	opSlotInfo    = 244 // Redis 7.4; Valkey reads and ignores it
	opFunction2   = 245
	opFunctionRC  = 246 // Redis 7.0 release candidates
	opModuleAux   = 247
	opIdle        = 248
	opFreq        = 249
	opAux         = 250
	opResizeDB    = 251
	opExpireMS    = 252
	opExpire      = 253
	opSelectDB    = 254
	opEOF         = 255
	opKeyMeta     = 243 // Redis 8.6
	opSlotImport  = 243 // Valkey 9
	opTemplate    = 242 // Redis 8.10
	opInlineWrite = 242 // Valkey 9.2
)

// Types of values.
const (
	typeString         = 0
	typeList           = 1
	typeSet            = 2
	typeZSet           = 3
	typeHash           = 4
	typeZSet2          = 5
	typeModule2        = 7
	typeHashZipMap     = 9
	typeListZipList    = 10
	typeSetIntSet      = 11
	typeZSetZipList    = 12
	typeHashZipList    = 13
	typeQuickList      = 14
	typeStream         = 15
	typeHashListPack   = 16
	typeZSetListPack   = 17
	typeQuickList2     = 18
	typeStream2        = 19
	typeSetListPack    = 20
	typeStream3        = 21
	typeHashRC         = 22 // release candidates of Redis 7.4
	typeListPackRC     = 23
	typeHashTTL        = 24 // Redis 7.4
	typeListPackTTL    = 25 // Redis 7.4
	typeStream4        = 26 // Redis 8.6
	typeStream5        = 27 // Redis 8.8
	typeArray          = 28 // Redis 8.8
	typeTemplatePack   = 29 // Redis 8.10, in DUMP only; likewise 31
	typePackOf         = 30 // Redis 8.10, of a template in the file; likewise 32
	typeTemplateArray  = 31
	typeArrayOf        = 32
	typeRateLimit      = 33 // Redis 8.8, where it was compiled in
	typeValkeyHashTTL  = 22 // Valkey 9
	typeValkeyPathHash = 23 // Valkey 9.2
)
