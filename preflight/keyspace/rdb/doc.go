// Package rdb walks an RDB file as a stream, in constant memory: it skips values
// by their lengths and says of each key what can be said without holding it.
//
// # Formats
//
// RDB 2 to 12 of Redis and 80 of Valkey are proven on files of real servers (see
// docs/keyspace.md for which). 13 to 15 of Redis (newer.go) and 81 of Valkey are
// read by their published layouts; Format.Proven is false for them. The two families
// give some bytes different meanings (22, 23, 242, 243), so a byte is looked up
// by magic, then version, then byte. A byte that is in no table is refused by
// name, offset and version, and never guessed: what follows it cannot be found.
//
// Source of the layouts: rdb.h and rdb.c of Redis 7.0.15 and of the unstable
// branch of October 2024, rdb.h of Valkey 9, and the field notes in
// docs/keyspace.md where the two public format descriptions are wrong.
package rdb
