// Package fencing is the way out: what keeps two Redis from accepting writes
// at once. Its folders hold the grant (package grant: the right to accept
// writes, a key in etcd) and the gate (package gate: what the local Redis does
// for its clients).
package fencing
