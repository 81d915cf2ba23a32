// Package statedir is how the watchdog keeps what must outlive it: one way to
// write a file, one name for a boot of the host, and the records of a node below
// the state and the runtime directory.
package statedir
