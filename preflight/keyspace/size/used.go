package size

import "github.com/redis-watchdog/redis-watchdog/preflight/keyspace/rdb"

// used is the layout of a version with what its allocator really gives for each
// struct. MEMORY USAGE counts structs by sizeof and leaves some things out, so
// used_memory grows by more (object.c, objectComputeSize; zmalloc.c).
func (l layout) used(c *Classes) layout {
	l.object, l.entry, l.dict = c.Of(l.object), c.Of(l.entry), c.Of(l.dict)
	l.quicklist, l.node = c.Of(l.quicklist), c.Of(l.node)
	l.zset, l.skiplist = c.Of(l.zset), c.Of(l.skiplist)
	l.asked = false
	l.bare = l.oneNode && l.valkey == nil // MEMORY USAGE counts them all (redis#15461)
	if l.valkey != nil {
		v := *l.valkey
		v.table, v.named = c.Of(v.table), true
		l.valkey = &v
	}
	return l
}

// Used is the bytes by which used_memory grows with the key that was walked last:
// what Size counts, each struct as large as the allocator makes it, and a name
// also where MEMORY USAGE leaves it out (Valkey 8.1). The key's place in the
// tables of its database is in Tables.
func (m *Model) Used(k *rdb.Key) uint64 { return m.size(&m.real, k, m.sum+m.unasked) }

// Tables is what the tables of one database take, of its keys and of their expiry
// times; MEMORY USAGE has nothing of them but, in Redis, an entry a key.
func (m *Model) Tables(keys, expires uint64) uint64 {
	if keys == 0 {
		return 0
	}
	if m.layout.valkey != nil {
		// What expires is in the second table as the same object.
		bytes := m.classes.Of(buckets(keys))
		if expires > 0 {
			bytes += m.classes.Of(buckets(expires))
		}
		return bytes
	}
	bytes := m.classes.Of(8 * slots(keys))
	if expires > 0 {
		bytes += expires*m.real.entry + m.classes.Of(8*slots(expires))
	}
	return bytes
}
