// Package signal wakes one goroutine from any other.
package signal

// Signal tells the one goroutine that receives from it that something is to be
// looked at again. However often it is raised before that goroutine turns to it, it
// is received once. A Signal is made by New; one that was not is never received.
type Signal chan struct{}

// New makes a Signal that is not raised.
func New() Signal { return make(Signal, 1) }

// Raise lets whoever receives go on, now or when it next waits. It never blocks.
func (s Signal) Raise() {
	select {
	case s <- struct{}{}:
	default: // it is raised already
	}
}
