// Package watchdog decides what the local Redis may do for its clients.
//
// It is pure: facts go in as values, a Want comes out as a value. There is no
// I/O, no clock and no goroutine here; whoever calls it hands it the time. The
// adapters (sentinel, fencing, preflight) import this package and never each
// other; package agent owns the one State of a node and feeds it.
//
// Read decide.go for the safety argument: one switch, top to bottom.
package watchdog
