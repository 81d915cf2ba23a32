// Package keyspace says which keys will hurt, before they do: which are large,
// what they are made of, when they expire, in which slot they are, and which
// could be smaller.
//
// A source (package rdb for a file, others for a stream or a scan) hands over
// every key; a Collector adds them up in bounded memory into an Audit. Values
// are never kept. It knows nothing of the fence.
package keyspace
