// Package redisclient sets go-redis up for this project: how a Redis or a
// Sentinel is reached (TLS, ACL users, unix sockets, renamed commands), and which
// of the library's habits are switched off. What those habits are, found by
// running it, is in docs/go-redis.md.
//
//   - A command is sent once: a late one would be worse than none.
//   - Every call ends with its context, also one that waits for a reply.
//   - Whoever answers may be anybody: the connection refuses a length, a nesting
//     or an answer nobody asked for before the library believes it.
//   - It is for conversations that the fence is not written on. The fence's own
//     connections, where bytes are prepared beforehand and queued behind a
//     command that blocks, are in fencing/gate.
package redisclient
