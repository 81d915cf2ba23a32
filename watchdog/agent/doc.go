// Package agent turns the decision loop of one local Redis: one goroutine owns
// the State, the adapters post facts, and each gets the newest Want to bring
// about. Nothing in the loop waits for a disk, a log, a name or a server.
package agent
