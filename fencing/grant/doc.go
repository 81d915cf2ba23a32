// Package grant holds a group's grant and agreement in etcd: it makes the
// newest wants true there and reports what a quorum of etcd showed.
//
// # What the safety rests on
//
// Every change is a compare-and-swap. Nothing is decided by a read alone: a
// node that claims or renews reads through a transaction that also deletes a
// key which never exists. etcd sends such a transaction through consensus
// like any write, so what it reads cannot be stale (etcd issue 20418 made
// plain reads stale after a process pause), and deleting nothing makes no new
// revision: a renewal costs no space, however seldom etcd is compacted.
//
// A keep-alive is answered by the leader alone. One that has been deposed and
// has not noticed would answer it as well, so a keep-alive counts only when it
// and the transaction of the same round were answered in the same raft term:
// then the leader that renewed the lease was the leader at some instant after
// the round began, and whoever is elected later extends every lease by its
// full length (etcd lease/lessor.go, Promote).
//
// The Keepers of one process read together, in one transaction that holds one of
// each (together.go), and their grants hang on one lease (leases.go). Each has its own
// part of it, and counts from before it asked.
//
// A restored or emptied etcd is known by its revision: lower than one this node
// has seen. One that was written on past that revision before the node's next
// round (at most a second, and etcd was down in between) is not noticed.
//
// # Rights
//
// With authentication on, this role is enough, and no more is asked for:
//
//	etcdctl role add redis-watchdog
//	etcdctl role grant-permission redis-watchdog readwrite --prefix=true /redis-watchdog/v1/
//	etcdctl user add watchdog
//	etcdctl user grant-role watchdog redis-watchdog
//
// # Growth
//
// What is written: one small record a claim, a release of the grant or an
// agreement; a node's status and its report when they say something new; one
// history record a decision. Presence is a lease, and costs nothing. Give etcd
// --auto-compaction-retention all the same (docs/etcd.md).
//
// A group that writes nothing would learn at the failover that it cannot: the
// Store tries, without writing (TryToWrite), and reads the members' alarms.
package grant
