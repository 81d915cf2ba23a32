// Package pings sees which Sentinels hear our Redis, although we cannot ask
// them: behind a firewall, under an address that leads nowhere from here, or
// refusing us.
//
// Each Sentinel keeps a connection to each Redis, which it names
// "sentinel-<first 8 of its id>-cmd", and sends PING on it once a second
// (sentinel.c, sentinelSendPing). CLIENT LIST tells which connection that is. The
// kernel tells the rest, and Redis is not bothered again: how many bytes came in
// and went out on it, and whether its other end has acknowledged them. A PING
// is 14 bytes, and its only good answer 7; an error (NOAUTH, BUSY) is longer.
//
// That a PING came in proves nothing about the way back: a Sentinel that gets no
// answer goes on to ask, every half second even. So a PING counts from when it
// came in, and not before its answer was acknowledged by the Sentinel's host.
package pings
