// Package helper is the part of redis-watchdog that needs root: a small process
// of its own that kills a Redis through its unit, keeps it down and starts it
// again. The watchdog itself, which talks to the network, then needs no right at
// all, and whoever takes it over can do to this host what is said here and no
// more:
//
//   - kill a process that is called like a Redis (redis-server, valkey-server, or
//     as the helper was told), and keep its unit down;
//   - start a unit that carries the start block, which only one that ran a Redis was given;
//   - read what Restart= and TimeoutStartSec= of a unit say, and ExecStart= of one that runs a Redis.
//
// A Server is asked over a unix socket that only the watchdog's user may open:
// one connection a request, a line of JSON each way. A Server that is started
// anew prepares every unit that carries the start block by itself; a Redis of no
// unit is prepared again when the watchdog asks next, within half a minute.
package helper

import "time"

// Path is where a helper listens: ListenStream= of its unit.
const Path = "/run/redis-watchdog-helper.socket"

// What may be asked.
const (
	opPrepare     = "prepare"
	opKill        = "kill"
	opStartBlock  = "start-block"
	opRestore     = "restore"
	opSupervision = "supervision"
	opCommand     = "command"
)

// maxLine bounds a request and an answer, in bytes.
const maxLine = 16 << 10

// maxWithin bounds what a caller may ask for.
const maxWithin = time.Minute

type request struct {
	Op     string        `json:"op"`
	Redis  string        `json:"redis,omitempty"` // which one, in the caller's own words
	Unit   string        `json:"unit,omitempty"`  // empty: it has none
	Within time.Duration `json:"within"`          // what the caller's deadline leaves, in nanoseconds

	// What Redis says of its process.
	PID        int           `json:"pid,omitempty"`
	Uptime     time.Duration `json:"uptime,omitempty"` // in nanoseconds
	Executable string        `json:"executable,omitempty"`
}

type answer struct {
	Text  string `json:"text,omitempty"`  // the file of the start block, what Restart= and TimeoutStartSec= say, the words of ExecStart= in JSON
	Error string `json:"error,omitempty"` // empty: it was done
}
