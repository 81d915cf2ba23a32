package preflight

import (
	"fmt"
	"slices"
)

// Which server can load a full sync of which other. What an RDB holds changes
// with its version, and a server refuses one that is newer than its own: with
// its data thrown away already, where it loads from disk. Each pair of 6.0.16,
// 7.0.15, 8.0.2, Valkey 8.1.1 and 9.1.2 is tried by TestWhoLoadsWhoseFullSyncSoak.

// build is whose server it is, and major and minor of its version.
type build struct {
	name    string // "redis", "valkey"
	release [2]int
}

func (b build) String() string { return fmt.Sprintf("%d.%d", b.release[0], b.release[1]) }

// whole is the build with its house.
func (b build) whole() string { return b.name + " " + b.String() }

func (b build) since(major, minor int) bool {
	return slices.Compare(b.release[:], []int{major, minor}) >= 0
}

// rdb is the version of the RDB files a build writes and reads up to (rdb.h,
// RDB_VERSION).
func (b build) rdb() int {
	switch {
	case b.name == "valkey" && b.since(9, 0):
		return 80
	case b.name == "valkey":
		return 11
	case b.since(7, 4):
		return 12
	case b.since(7, 2):
		return 11
	case b.since(7, 0):
		return 10
	}
	return 9
}

// loads is whether a build can load a full sync of another's. Where both are
// later than what was tried it goes by the rule: of its own house what is not
// newer, of the other's what both had before they parted.
func (b build) loads(from build) bool {
	if b.name == from.name && b.since(from.release[0], from.release[1]) {
		return true
	}
	version := from.rdb()
	if from.name == "valkey" && from.since(9, 0) {
		version = 11 // it asks its replica what that is, and writes that for others
	}
	if b.name == "valkey" || from.name == "valkey" {
		return version <= min(b.rdb(), 11)
	}
	return version <= b.rdb()
}

// noSync is why a node cannot load a full sync of another's data; empty: it can,
// or that is not known. Valkey 9 writes an older RDB for a replica that is none,
// but has no way to write a hash with fields that expire into it: the sync breaks
// off, again and again (9.1.2, to every other build).
func (s *subject) noSync(n, from *Node) string {
	look := subject{facts: s.facts} // what is not known of the builds makes no check less certain
	own, theirs := look.build(n), look.build(from)
	if look.short() {
		return ""
	}
	if !own.loads(theirs) {
		return fmt.Sprintf("%s can load no full sync of %s", own.whole(), theirs.whole())
	}
	if theirs.name != "valkey" || !theirs.since(9, 0) || own.name == "valkey" && own.since(9, 0) {
		return ""
	}
	hashes := int64(0)
	for _, db := range look.keyspace(from) {
		hashes += db.volatile
	}
	if hashes == 0 {
		return ""
	}
	return fmt.Sprintf("%s can load no full sync of %s with fields of hashes that expire (%d hashes)", own.whole(), theirs.whole(), hashes)
}

// builtIn is whether a build lists something of its own among its modules: the
// vector sets of Redis 8, the Lua engine of Valkey 9 (INFO modules of 8.0 and
// 9.1.2; MODULE LIST shows the path "" for the one and "lua" for the other).
// Scripts run on every build. Where a replica lacks the vector sets, what its
// master wrote to them is refused or cannot be loaded, which replication_refused
// and replication_data see; where nothing was written there is nothing to lack.
func (b build) builtIn(module string) bool {
	return b.name == "redis" && b.since(8, 0) && module == "vectorset" || b.name == "valkey" && b.since(9, 0) && module == "lua"
}

// NoSync is why one node cannot load a full sync of another's data; empty: it
// can, or that is not known.
func NoSync(n, from Node) string {
	facts := Facts{Nodes: []Node{n, from}}
	s := subject{facts: &facts}
	return s.noSync(&facts.Nodes[0], &facts.Nodes[1])
}
