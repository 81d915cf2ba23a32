// Package goredis finds out by running it what go-redis does at a real Redis or
// Sentinel: each line of docs/go-redis.md is a test here, or in
// watchdog/redisclient where the peer is hostile.
package goredis
