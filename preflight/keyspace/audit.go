package keyspace

import "time"

// Schema is the version of Audit's JSON. A reader refuses a newer one.
const Schema = 1

// Audit is what was found in one key space. Bytes are of memory as the server
// accounts it unless a name says otherwise, estimated by Model.
type Audit struct {
	Schema     int       `json:"schema"`
	Source     Source    `json:"source"`
	At         time.Time `json:"at"`                     // of the data: when the file was begun, or the stream's fork
	Complete   bool      `json:"complete"`               // false: what was read until it broke off
	Incomplete string    `json:"incomplete"`             // why it is not complete
	Model      string    `json:"model"`                  // by which server version and allocator sizes were estimated
	Classes    string    `json:"size_classes,omitempty"` // how the allocator's were known: see Classes…

	Keys     uint64 `json:"keys"`
	Elements uint64 `json:"elements"`             // of all collections
	Bytes    uint64 `json:"bytes"`                // of all keys and values, as MEMORY USAGE adds them up
	Tables   uint64 `json:"tables"`               // of the tables that hold the keys and their expiry times
	Used     uint64 `json:"used_bytes,omitempty"` // by how much used_memory grows with all of it, tables included; zero: not known
	Stored   uint64 `json:"stored_bytes"`

	Databases []Database       `json:"databases"`
	Types     []Share          `json:"types"`
	Encodings []Share          `json:"encodings"` // named "set/intset"
	Prefixes  []Prefix         `json:"prefixes"`  // by bytes, the largest first
	Others    Prefix           `json:"other_prefixes"`
	Expiry    Expiry           `json:"expiry"`
	Large     []Large          `json:"large"`  // above the limits, and the largest of each type; the largest first
	Beyond    Left             `json:"beyond"` // keys above the limits that found no room in Large
	Slots     map[string]Slots `json:"slots"`  // by rule: "cluster", "codis"
	Waste     []Waste          `json:"waste"`
	Stalls    *Stalls          `json:"stalls,omitempty"` // nil: an older audit
	Tail      *Tail            `json:"tail,omitempty"`   // of an append-only file: what came after the data
}

// How the size classes of the allocator were known.
const (
	ClassesAsked   = "asked"   // MEMORY MALLOC-STATS of the server lists them, or it has no jemalloc
	ClassesGiven   = "given"   // named by who asked for the audit
	ClassesAssumed = "assumed" // Debian's: nothing tells
)

// Tail is the commands of an append-only file behind its RDB: they are counted,
// and what they have changed is not in the audit.
type Tail struct {
	Commands uint64            `json:"commands"`
	Bytes    uint64            `json:"bytes"`
	By       map[string]uint64 `json:"by_command"`
}

// maxCommands bounds the names of a Tail; Redis has some 240.
const maxCommands = 500

// Add counts one command.
func (t *Tail) Add(name string, size uint64) {
	if t.By == nil {
		t.By = map[string]uint64{}
	}
	t.Commands++
	t.Bytes += size
	if _, known := t.By[name]; !known && len(t.By) == maxCommands {
		name = "(other)"
	}
	t.By[name]++
}

// Source is where the keys came from.
type Source struct {
	Kind    string `json:"kind"` // "rdb", "aof", "stream", "scan"
	Name    string `json:"name"` // a path, or HOST:PORT
	Format  string `json:"format,omitempty"`
	Proven  bool   `json:"proven"`            // this format was tested on files of real servers
	Server  string `json:"server,omitempty"`  // "redis 7.0.15"
	Bytes   int64  `json:"bytes_read"`        // of the file or stream
	CRC     string `json:"crc,omitempty"`     // off, none, good or bad
	Replica bool   `json:"replica,omitempty"` // the node was a replica when it was audited
	Run     string `json:"run_id,omitempty"`
}

// Database is one numbered database.
type Database struct {
	DB      int    `json:"db"`
	Keys    uint64 `json:"keys"`
	Expires uint64 `json:"expires"`
	Bytes   uint64 `json:"bytes"`
}

// Share is a part of the whole, by type or encoding.
type Share struct {
	Name     string `json:"name"`
	Keys     uint64 `json:"keys"`
	Elements uint64 `json:"elements"`
	Bytes    uint64 `json:"bytes"`
	Longest  uint64 `json:"longest_element,omitempty"` // bytes, where elements are stored one by one
	Most     uint64 `json:"most_elements,omitempty"`
}

// Prefix is all keys of one shape: ids are folded, as in user:{id}:cart.
type Prefix struct {
	Pattern  string `json:"pattern"`
	Keys     uint64 `json:"keys"`
	Bytes    uint64 `json:"bytes"`
	Elements uint64 `json:"elements"`
	NoTTL    uint64 `json:"keys_without_ttl"`
	Largest  uint64 `json:"largest_bytes"`
	Type     string `json:"type"` // of the first key seen; "mixed" where others are there too
}

// Expiry is when memory frees itself. Classes are counted from Audit.At.
type Expiry struct {
	Classes []TTLClass `json:"classes"`
	Worst   Second     `json:"worst_second"` // of the seven days from Audit.At
}

// TTLClass is the keys that expire within a time.
type TTLClass struct {
	Name  string `json:"name"` // "none", "past", "1h", "1d", "7d", "30d", "later"
	Keys  uint64 `json:"keys"`
	Bytes uint64 `json:"bytes"`
}

// Second is the one in which most keys expire; zero: none does.
type Second struct {
	At   time.Time `json:"at"`
	Keys uint64    `json:"keys"`
}

// Large is one key that is worth a line of its own.
type Large struct {
	Key       string `json:"key"` // its first bytes, or its hash with HashNames
	KeyBytes  uint64 `json:"key_bytes"`
	DB        int    `json:"db"`
	Type      string `json:"type"`
	Encoding  string `json:"encoding"`
	Elements  uint64 `json:"elements"`
	Counted   bool   `json:"counted"` // false: how many elements it has is not known
	Bytes     uint64 `json:"bytes"`
	Payload   uint64 `json:"payload_bytes"`
	Nodes     uint64 `json:"nodes,omitempty"` // listpacks or plain nodes of a list or stream
	Stored    uint64 `json:"stored_bytes"`
	ExpireAt  int64  `json:"expire_at_ms,omitempty"`
	FieldTTLs uint64 `json:"field_ttls,omitempty"`
	Module    string `json:"module,omitempty"`
	Cluster   int    `json:"cluster_slot"`
	Codis     int    `json:"codis_slot"`
	Above     bool   `json:"above_limit"` // larger than the limits, and not only the largest of its type
}

// Left is keys that are counted and not listed.
type Left struct {
	Keys  uint64 `json:"keys"`
	Bytes uint64 `json:"bytes"`
}

// Slots is how keys spread over slots by one rule.
type Slots struct {
	Used    int    `json:"used"`
	Of      int    `json:"of"`
	Largest []Slot `json:"largest"` // by bytes
}

// Slot is one slot.
type Slot struct {
	Slot  int    `json:"slot"`
	Keys  uint64 `json:"keys"`
	Bytes uint64 `json:"bytes"`
}

// Waste is keys of one prefix that could be smaller.
type Waste struct {
	Kind    string `json:"kind"` // see docs/keyspace.md
	Pattern string `json:"pattern"`
	Keys    uint64 `json:"keys"`
	Now     uint64 `json:"bytes_now"`
	After   uint64 `json:"bytes_after"`
	Example string `json:"example"`
	Cure    string `json:"cure"`
	Price   string `json:"price"`
}
