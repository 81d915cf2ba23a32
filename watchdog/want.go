package watchdog

// What the core wants of the world. An adapter makes the newest Want true,
// again and again, and reports what it sees; it never decides.

// Access is what the local Redis shall do for its clients.
type Access uint8

const (
	Refuse Access = iota // nothing: the fence. A forgotten field refuses clients
	Hold                 // reads; writers wait (CLIENT PAUSE WRITE, renewed)
	Lock                 // reads; writers get an error (min-replicas-to-write)
	Serve                // all
	Follow               // be a replica, locked for the day it is promoted
	Leave                // touch nothing that clients would notice; a lock that stands stays
)

func (a Access) String() string {
	return [...]string{"refuse", "hold", "lock", "serve", "follow", "leave"}[a]
}

// Gate is what the gate of the local Redis shall be.
type Gate struct {
	Access Access

	// Master: with Follow, whom to follow; empty keeps whom it follows now.
	// With a fenced Redis (role Nowhere) this is the rejoin: clients are
	// answered nothing until the link is up, then the originals come back.
	Master Address

	// Open: with Lock, the fenced Redis may be made master again now
	// (REPLICAOF NO ONE, still locked). Without it a Redis that is fenced
	// stays fenced whatever Access says.
	Open bool

	// Arm: when the armed fence shall fire. Zero: none shall stand (one that
	// does is taken down). An armed fence that fires earlier than Arm is in
	// time; the gate puts it off when less than half of what is left at its
	// arming is left, so that not every renewal costs Redis one.
	Arm Instant

	// StopBy: with Refuse, when a Redis not seen to refuse is killed through
	// the service manager. Never: it is not killed. One that is Loading or
	// that nothing listens for is never killed.
	StopBy Instant
	// StopArmed is the same of one that answers nobody and carries an armed fence.
	// It refuses before it answers anybody, so it gets the time to come back by
	// itself.
	StopArmed Instant

	// AnyRole: with Refuse, a replica of somebody is fenced too. Without it one
	// that is seen to be a replica is left as it is: whoever made it one has
	// ended the fence, and there is another row for that.
	AnyRole bool

	// PutOut: with Refuse, whoever is still connected to a Redis that refuses is put
	// out every few seconds, so that a Sentinel whose login was refused logs in anew.
	// It is wanted whatever error Sentinel's PINGs are answered with, for that is not
	// told apart; where it is another (MISCONF of one that cannot save) it does nothing.
	PutOut bool

	// Beneath: with Hold, the lock is set too, beneath the pause: no writer gets
	// through when the pause ends, whoever ends it.
	Beneath bool
	// Veto: replica-priority 0 on a replica, kept.
	Veto bool
	// Unlocked: with Follow, the option born_locked is off: no lock stands on
	// a replica.
	Unlocked bool
	// Release: undo everything we ever changed, originals back, also in
	// redis.conf; with Leave.
	Release bool
}

// GrantWant is what shall become of the grant.
type GrantWant uint8

const (
	GrantLeave  GrantWant = iota // neither claim nor renew; one that is ours runs out
	GrantGiveUp                  // delete ours, marked as given up: we were seen to refuse, or are a replica
	GrantClaim                   // create it if nobody holds it (or replace our own lapsed one)
	GrantRenew                   // keep it alive and confirm it
)

func (g GrantWant) String() string {
	return [...]string{"leave", "give-up", "claim", "renew"}[g]
}

// Cause is why an agreement is written.
type Cause uint8

const (
	CauseNone     Cause = iota
	CauseFirst          // none was there
	CauseFailover       // a majority names another at a higher epoch
	CauseEpoch          // the same master at a higher epoch
	CauseReset          // the same master at a lower epoch: Sentinel's epochs began anew
	CauseConflict       // another master at no higher epoch, an unbroken majority, and no grant in force
	CauseAdopt          // the operator said so
	CauseBehind         // the record was older than what was agreed (restored etcd)
)

func (c Cause) String() string {
	return [...]string{"none", "first", "failover", "epoch", "reset", "conflict", "adopt", "behind"}[c]
}

// Proposal is an agreement to be written by compare-and-swap: only if the
// record still says Replaces. The zero Proposal is none.
type Proposal struct {
	Agreement
	Replaces Agreement
	Cause    Cause
}

// Want is all of it. It is comparable: an adapter that sees the same Want
// twice has nothing new to do but to keep it true.
type Want struct {
	Gate    Gate
	Grant   GrantWant
	Propose Proposal
	PollNow bool // ask every Sentinel at once, a hint has come
	Await   bool // ask them again as soon as they have answered: clients wait for what they say next
}
