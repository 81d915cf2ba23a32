// Package shadow asks a Redis binary what it makes of a configuration, by
// starting it on a copy that can touch nothing: no port, no file but a socket
// in a directory of its own, no module, no master, no append-only file. The
// configuration goes in through standard input, so that no secret lies on disk,
// and the process is killed as soon as it has answered.
//
// It is a real start of a real server, some 30 ms of one processor. What the
// copy had to change it cannot answer for: see Overridden.
package shadow
