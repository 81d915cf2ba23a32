//go:build !failpoints

package daemon

// failpoint does nothing in a build that people run.
func failpoint(string) {}
