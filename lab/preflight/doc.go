// Package preflight is where each check of the preflight is made to fail and
// then to pass on real servers: one group of Redis and Sentinel on loopback,
// read by preflight/gather and judged by preflight.
//
// Two things are not real here, because other tests have them real: etcd's and
// the watchdogs' own words are given, and where drift is not the matter
// redis.conf's values are those CONFIG GET answered right after the server was
// started from that file.
package preflight
