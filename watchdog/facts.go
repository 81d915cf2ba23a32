package watchdog

// The facts the adapters bring in. Each is a whole, comparable value: a newer
// one replaces the older. Instants in a fact are send times: taken before the
// request left, because a reply may be late but what it proves is not.

import "time"

// Answer is how the local Redis answered when last asked.
type Answer uint8

const (
	Silent  Answer = iota // no answer in time: hung, stopped, or the link to it is gone
	Absent                // nothing listens there
	Loading               // -LOADING: alive, answers no client
	Busy                  // -BUSY: a script or module blocks it; answers no client
	Up                    // answers
)

func (a Answer) String() string {
	return [...]string{"silent", "absent", "loading", "busy", "up"}[a]
}

// Role is what the local Redis says it is.
type Role uint8

const (
	RoleUnknown Role = iota
	Master
	Replica // of somebody
	Nowhere // a replica of 127.0.0.1 port 0: the mark of our fence
)

func (r Role) String() string {
	return [...]string{"unknown", "master", "replica", "nowhere"}[r]
}

// Redis is what the local Redis showed.
type Redis struct {
	SentAt Instant // of the newest question that was answered (Up, Loading or Busy); stays when Answer is Silent or Absent
	SeenAt Instant // of the newest question, answered or not
	Answer Answer
	Role   Role   // of the last answer that told it; kept while Silent, Absent, Loading, Busy
	RunID  string // likewise. Redis makes a new one at every start

	Following Address // Role Replica: whom it follows; empty: by a name of which it is not known whose it is
	LinkUp    bool    // Role Replica: master_link_status is up
	InStep    bool    // Role Replica: the link is up, or was since it last became a replica (master_link_down_since_seconds)

	Locked        bool    // min-replicas-to-write is our lock
	Held          bool    // a CLIENT PAUSE WRITE of ours stands
	ArmedFor      Instant // when the armed fence that was seen to stand will fire, at the latest; zero: none stands
	Refusing      bool    // seen to refuse: role Nowhere, a probing read and write were refused. A Redis nothing listens for, or one LOADING, refuses too
	StartedFenced bool    // it was started shut by the start gate and has not been opened since

	Attached int // Role Master: replicas that are in step with it

	Offset   int64    // master_repl_offset: how far its data goes
	Position Position // the same with its histories, all of one answer; asked less often. Zero: not told yet
	Empty    bool     // it holds not one key; asked while it is fenced or has no link
}

// Sentinels is the tally of what the Sentinels of the group say, from the
// point of view of one local Redis ("us"). Package sentinel makes it.
type Sentinels struct {
	Self      Address       // how the Sentinels call us (found by run id, then by announced address); empty: they list no such Redis
	SentAt    Instant       // of the newest answer of any of them
	Known     int           // the denominator: see design.md, "Hearing the Sentinels"
	Answering int           // of them, those whose last poll was answered
	Quorum    int           // the smallest any of them reports; zero: none ever answered
	DownAfter time.Duration // D, the smallest down-after-milliseconds any of them reports; zero: none ever answered
	// Longest is the longest down-after-milliseconds any of them reports: a
	// master that was replaced may be certified for as long, as its E is the
	// quorum-th of them all. Below D it counts as D.
	Longest time.Duration

	// The majority. Zero Master: no more than half of Known, answering now,
	// say the same (address, epoch).
	Master     Address
	Epoch      uint64
	Votes      int     // how many say so, or the largest number that says anything alike
	NamedSince Instant // since when, without a break, that majority has named Master at Epoch (send time of the youngest of the answers that made it a majority)

	// E is the earliest instant at which the Sentinels could promote another
	// than us by themselves; EFrom is since when all but Quorum-1 of the
	// Sentinels have answered ("the Sentinels are fresh while it is young").
	E     Instant
	EFrom Instant
	// EOnce is what E will be once there is a replica that can be promoted, where
	// there is none and E is Never; zero elsewhere. It counts no PINGs.
	EOnce Instant
	// EByPings is E without what the Sentinels remember of our role, which their next
	// INFO may put right. It counts no PINGs of those that we cannot ask, and so it may
	// be earlier than E, equal to it, or zero: it says something only where it is later.
	EByPings Instant
	// Pinged: E and EFrom count Sentinels that we cannot ask by the PINGs that our
	// Redis answers them. Those do not tell what role a Sentinel remembers of us;
	// EAsked and EAskedFrom are without them.
	Pinged             bool
	EAsked, EAskedFrom Instant
	// Vouched is before when nobody else is granted for being named long enough: a
	// majority of the known Sentinels was last known to name us D before. An E of
	// answers alone is never later; a PING does not tell whom a Sentinel names.
	// Zero: none ever named us.
	Vouched Instant
	// RoleTerm is the Quorum-th smallest role term that the Sentinels add to their e_i
	// (role-reported slave although it names us); Never when none does.
	RoleTerm Instant

	Failover    bool    // an answering Sentinel shows a failover of this group that is not past wait_promotion
	Promoting   bool    // an answering Sentinel shows us as promoted, in a failover it has not ended
	Unanimous   bool    // every known Sentinel answers, names Master and shows no failover
	MaxEpoch    uint64  // the highest config epoch any answering Sentinel shows
	Accused     bool    // an answering Sentinel holds us s_down or o_down with a stale PONG, a reported role of master, or one of replica for less than it takes (a fence alone does not accuse: a fenced master is s_down for having been a replica for so long)
	Erring      bool    // our Redis answers the PINGs of an answering Sentinel with errors: its login was refused, most likely
	OtherMaster Address // a known replica other than us says it is a master (SENTINEL REPLICAS role-reported); empty: none

	// BackAt is the send time of the newest answer that ended a silence longer
	// than its Sentinel's e_i: what that Sentinel held, and told the others, in
	// the meantime is not known. Zero: there was none.
	BackAt Instant
	// TiltAt is the send time of the newest answer after which so many Sentinels had
	// shown TILT that the others can promote nobody. Zero: there was none. One in TILT
	// begins nothing, and judges by what it saw when that is over.
	TiltAt Instant

	// Former and DownVotes: the master that was named before Master, and how
	// many Sentinels were last seen, before they stopped naming it, to hold
	// it s_down. A grant of Former's that lapsed is only opened by another
	// once DownVotes reaches Quorum, or D after NamedSince.
	Former    Address
	DownVotes int

	Listed        int   // Redis of the group beside us that a fresh Sentinel lists, up or down
	Replicas      int   // known replicas that could be promoted (priority not 0)
	ReplicaOffset int64 // the largest slave-repl-offset of those that are not down; zero: none known
	// ReplicasToldAt is since when, at the earliest, every one of those has told
	// a Sentinel its offset: Sentinel asks every 10 s only. Zero: there are none.
	ReplicasToldAt Instant
}

// Announcement is a Sentinel's +switch-master, or a newer epoch in an answer,
// that has not been checked against the others: a hint.
type Announcement struct {
	Sentinel string // its run id, or its address while that is not known
	Epoch    uint64 // as that Sentinel's own answer gave it; zero: not known
	Master   Address
}

// Grant is the right to accept writes as the coordinator last showed it.
type Grant struct {
	Ours      bool    // the key is ours, by compare-and-swap; stays true when it lapses in silence (see Until)
	RenewedAt Instant // start of the last round in which the keep-alive succeeded and a transaction found the key ours and the agreement unchanged
	Until     Instant // L: RenewedAt + lease TTL - margin

	Holder  Address // who holds it now; empty: nobody
	Last    Address // who held it last, also after it is gone; empty: nobody ever
	GivenUp bool    // Last gave it up after having been seen to refuse (it did not lapse)
}

// Membership is whether the coordinator's group is the group of our Sentinels.
type Membership uint8

const (
	MembershipUnknown Membership = iota
	Member
	Stranger // another group of the same name: write nothing, follow nobody, fence nobody
)

// Coordinator is what etcd showed when last it answered. What it holds is kept
// while etcd is away, so that RoundAt alone tells how old it is.
type Coordinator struct {
	RoundAt    Instant // start of the last round that etcd's quorum answered in full; zero: never, or lost (another cluster id, a lower revision)
	Membership Membership
	Agreement  Agreement
	Known      int  // how many Sentinels were known when it was made; zero: not said
	Listed     bool // the agreement's master is a Redis that our own Sentinels list (only such a one is ever followed)
	Behind     bool // the record is older than what we know was agreed (restored etcd)
	Record     Record
	Disks      Disks  // asked while our data is from disk
	Elsewhere  string // another group whose Sentinels list our Redis; empty: none
	Grant      Grant
	Orders     Orders
}

// Orders are the operator's, from etcd or from their local copy.
type Orders struct {
	Fence           bool    // this node is fenced by hand
	Unfence         bool    // this node may be opened although its data is empty or behind (unfence --force)
	Maintenance     Instant // change nothing until then; zero: no maintenance
	Released        bool    // undo everything and leave the node alone (release)
	PlannedFailover PlannedFailover
}

// Ping is the newest PING of a Sentinel that our Redis answered with PONG, and
// whose answer the Sentinel's host has acknowledged. It is no Event: the
// Sentinels' adapter counts it.
type Ping struct {
	Sentinel string  // its run id
	At       Instant // when the PING came in, at the earliest
	// SeenAt is when it was last seen that all that our Redis has sent to that
	// Sentinel is acknowledged.
	SeenAt Instant
}
