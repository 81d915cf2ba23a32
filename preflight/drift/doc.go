// Package drift compares what a Redis runs with to what it would start with:
// every parameter of CONFIG GET *, those the file does not name included.
//
// What a restart would give is asked of the same binary (package shadow) where
// that is allowed and possible, and else read from the file (package redisconf)
// with the defaults of that very version. What neither can tell is reported as
// unknown, never as equal.
//
// Secrets are compared here and leave as preflight.Masked.
package drift
