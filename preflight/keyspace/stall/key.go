package stall

// Key is what of a key decides how long its removal and its moving take.
type Key struct {
	Type     string `json:"type"`     // TYPE's word
	Encoding string `json:"encoding"` // OBJECT ENCODING's word
	Elements uint64 `json:"elements"`
	Counted  bool   `json:"counted"`         // false: how many elements it has is not known
	Bytes    uint64 `json:"bytes"`           // of memory
	Stored   uint64 `json:"stored"`          // bytes in an RDB; 0: not known, as after a scan
	Nodes    uint64 `json:"nodes,omitempty"` // listpacks or plain nodes of a list or stream; 0: not known
}

// Class is how a value lies in memory, which decides what freeing it costs.
type Class string

// Classes. A unit is what is freed one by one.
const (
	Flat   Class = "flat"   // one allocation: strings, listpacks, intsets; a unit is a byte
	List   Class = "list"   // a unit is a node of 8 KiB
	Set    Class = "set"    // a hash table; a unit is a member
	Hash   Class = "hash"   // a hash table; a unit is a field and its value
	Zset   Class = "zset"   // a skiplist and a hash table; a unit is a member
	Stream Class = "stream" // a unit is a listpack of entries; consumers are not seen
)

// Classes are all that rates are given for.
func Classes() []Class { return []Class{Flat, List, Set, Hash, Zset, Stream} }

// nodeBytes is what a node of a list or a stream takes where nobody counted them
// (list-max-listpack-size -2 is 8 KiB, stream-node-max-bytes 4096).
const (
	nodeBytes   = 8 << 10
	streamBytes = 4 << 10
)

// class of a key; false: of a module's value, of which nothing is known.
func (k Key) class() (Class, bool) {
	switch {
	case k.Type == "module" || k.Type == "array" || !k.Counted:
		return "", false
	case k.Type == "string", k.Encoding == "listpack", k.Encoding == "listpackex", k.Encoding == "ziplist", k.Encoding == "intset", k.Encoding == "zipmap":
		return Flat, true
	case k.Type == "list":
		return List, true
	case k.Type == "set":
		return Set, true
	case k.Type == "hash":
		return Hash, true
	case k.Type == "zset":
		return Zset, true
	case k.Type == "stream":
		return Stream, true
	}
	return "", false
}

// units of a class that a key has, at the least and at the most: nodes that
// nobody counted are estimated.
func (k Key) units(c Class) (least, most uint64) {
	guess := func(size uint64) (uint64, uint64) {
		if k.Nodes > 0 {
			return k.Nodes, k.Nodes
		}
		return k.Bytes / (8 * size), min(max(1, 4*k.Bytes/size), max(1, k.Elements))
	}
	switch c {
	case Flat:
		return k.Bytes, k.Bytes
	case List:
		return guess(nodeBytes)
	case Stream:
		return guess(streamBytes)
	}
	return k.Elements, k.Elements
}

// lazyAbove is the effort above which a value is freed by another thread where
// that is asked for (lazyfree.c, LAZYFREE_THRESHOLD, of Redis 4 to 8 and of
// Valkey).
const lazyAbove = 64

// lazily is whether another thread frees the value where lazy freeing is asked
// for (lazyfreeGetFreeEffort): the nodes of a list, the elements of a table. What
// is one allocation is freed at once, however large it is.
func (k Key) lazily() (certainly, perhaps bool) {
	c, known := k.class()
	if !known {
		return false, true
	}
	if c == Flat {
		return false, false
	}
	least, most := k.units(c)
	return least > lazyAbove, most > lazyAbove
}
