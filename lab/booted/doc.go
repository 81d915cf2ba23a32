// Package booted boots real hosts, each with a systemd of its own as process 1,
// for the tests that a bare process cannot answer: what the service manager
// keeps, restarts and kills.
//
// A Host is a systemd-nspawn container on an overlay over one cached Debian
// root, in a cgroup of its own (whose kill is the power cut and whose freeze
// stops the world) and in a network namespace that the caller brings, or in one
// with nothing but loopback. It needs root, cgroup2, and the Debian packages
// debootstrap and systemd-container.
//
// Everything lives below .cache/booted in the repository: root-* (built once,
// under a lock, kept) and run/* (one directory a host, named after the process
// that owns it). A host dies with its owner: a small shell that reads a pipe from
// the owner kills and removes it when the pipe ends. What even that left is
// taken away by the next Start.
package booted
