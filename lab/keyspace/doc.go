// Package keyspace shows the key-space audit on real servers: that it counts
// what they count, sizes what they size, and leaves them alone. It holds nothing
// but tests.
package keyspace
