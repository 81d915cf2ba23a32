package sentinel

// What one Sentinel said in one poll, as plain values.

import (
	"time"

	"github.com/redis-watchdog/redis-watchdog/watchdog"
)

// Flag is one of the flags Sentinel shows for an instance (sentinel.c,
// addReplySentinelRedisInstance). Those that nothing rests on are left out.
type Flag uint8

const (
	FlagSDown Flag = 1 << iota // this Sentinel alone holds it down
	FlagODown                  // a quorum does
	FlagDisconnected
	FlagFailover // failover_in_progress
	FlagPromoted // this replica was selected in the failover in progress
)

// FailoverState is how far a failover in progress has come, in Sentinel's
// order.
type FailoverState uint8

const (
	FailoverNone       FailoverState = iota
	FailoverWaitStart                // waits to be elected
	FailoverSelect                   // select_slave
	FailoverSendNoOne                // send_slaveof_noone: the replica is selected
	FailoverWaitPromo                // wait_promotion: SLAVEOF NO ONE was sent
	FailoverReconf                   // reconf_slaves: the replica was seen as master. From here on GET-MASTER-ADDR-BY-NAME names it
	FailoverUpdate                   // update_config
	failoverStateCount               // not a state
)

// Instance is a Redis as one Sentinel shows it (SENTINEL MASTER, SENTINEL
// REPLICAS). Ages and terms are those at the time of the answer.
type Instance struct {
	Address  watchdog.Address
	As       string // the same as it is spelled there, perhaps with a host's name
	RunID    string // empty: that Sentinel has not reached it yet
	Flags    Flag
	Failover FailoverState // of a master

	PongAge   time.Duration // last-ok-ping-reply. PONG, LOADING and MASTERDOWN are ok, BUSY is not
	ReplyAge  time.Duration // last-ping-reply: of a PING, whatever it said; negative: not told
	PingAge   time.Duration // last-ping-sent: of the first PING since then; zero: all were answered; negative: not told
	DownAfter time.Duration // down-after-milliseconds
	Reported  watchdog.Role // role-reported: Master or Replica
	RoleFor   time.Duration // role-reported-time

	// Of a master only.
	Epoch           uint64        // config-epoch
	noEpoch         bool          // it was told and cannot be read
	Others          int           // num-other-sentinels
	Replicas        int           // num-slaves
	Quorum          int           // quorum
	FailoverTimeout time.Duration // failover-timeout

	Priority int   // of a replica: slave-priority; 0 is never promoted
	Offset   int64 // of a replica: slave-repl-offset
	// InfoAge is how long ago that Sentinel was told Offset (info-refresh); zero:
	// never, as far as it says.
	InfoAge time.Duration
}

// Has says whether all flags in f are set.
func (i Instance) Has(f Flag) bool { return i.Flags&f == f }

// unheard is how much of its down-after this Sentinel had counted when it
// answered (sentinel.c, sentinelCheckSubjectivelyDown, alike from Redis 6.0 to
// Valkey 9). It counts from the first PING that is not answered; a new
// connection does not begin that anew, a good reply ends it. While there is
// none such, any PING that will not be answered is still to be sent, and so has
// nothing counted yet. Only where it has lost its connection and has not begun
// another does it count from the last good reply.
func (i Instance) unheard() time.Duration {
	switch {
	case i.PingAge > 0:
		return min(i.PingAge, i.PongAge)
	case i.PingAge == 0 && !i.Has(FlagDisconnected):
		return 0
	}
	return i.PongAge
}

// surely says that a master this Sentinel holds down is past every end that an
// earlier answer of it gave (unheard). One that lost its connection between two
// PINGs, and since then could not even begin another, counts from the last good
// reply: by up to one period of the PINGs earlier than an answer between the
// two had it.
func (i Instance) surely() bool {
	return i.PingAge > 0 || i.Reported == watchdog.Replica || i.PongAge > i.DownAfter+pingPeriod
}

// pingPeriod is SENTINEL_PING_PERIOD and the two ticks of Sentinel's timer that
// a PING may be late by.
const pingPeriod = 1200 * time.Millisecond

// past says that a failover is running and the promoted replica has been seen
// as master: Sentinel's GET-MASTER-ADDR-BY-NAME names the new one and SENTINEL
// MASTER still describes the old one (sentinelGetCurrentMasterAddress).
func (i Instance) past() bool {
	return i.Has(FlagFailover) && i.Failover >= FailoverReconf
}

// failing says that a failover is running that may still promote somebody.
func (i Instance) failing() bool {
	return (i.Has(FlagFailover) || i.Failover != FailoverNone) && i.Failover < FailoverReconf
}

// Peer is another Sentinel as one Sentinel shows it (SENTINEL SENTINELS).
type Peer struct {
	RunID   string
	Address watchdog.Address // resolved
	Dial    string           // as announced, perhaps a host name

	// How long ago it was heard: its last answer to a PING, and its last
	// message on the hello channel (every 2 s, sent to all Redis and Sentinels
	// it can reach).
	PongAge, HelloAge time.Duration
}

// LeftOut is an entry of an answer, or a field of one, that makes no sense: it
// was left out, and the rest of the answer stands.
type LeftOut struct {
	From string // the command it was an answer to, without the group
	Name string // as the Sentinel spells it
	Why  string
	// Candidate: as far as can be told that Sentinel could promote it.
	Candidate bool
}

// Answer is what one Sentinel answered to one poll. All commands of a poll
// leave in one write, and SentAt was taken before it.
type Answer struct {
	SentAt watchdog.Instant
	Named  watchdog.Address // GET-MASTER-ADDR-BY-NAME; empty: it does not know the group
	As     string           // the same as it is spelled there
	Master Instance         // SENTINEL MASTER. Not always the one that is Named: see past

	Asked     bool // the rest was asked as well
	Full      bool // and its lists are there
	Tilt      bool
	Replicas  []Instance
	Sentinels []Peer // without itself

	Unread   []LeftOut // of the lists
	Unclear  string    // of SENTINEL MASTER: what could not be read; empty: nothing
	Nameless string    // why the master that it names cannot be found; empty: it can, or it does not know the group
	Denied   string    // its word against telling the lists; empty: it tells them
}

// fault says what makes an answer unusable; empty: it is usable. What Sentinel
// itself cannot say (a torn pair) proves nothing.
func (a *Answer) fault() string {
	m := &a.Master
	switch {
	case a.SentAt <= 0:
		return "no send time"
	case a.Nameless != "":
		return a.Nameless
	case a.Named == "":
		return "" // it does not know the group: an answer, without a word about a master
	case m.Address == "":
		return "names a master and describes none"
	case m.past() == (a.Named == m.Address):
		// The two commands straddled a change, or it is lying. (The promoted
		// one never has the address of the old master.)
		return "names another than it describes"
	}
	return ""
}

// vague says why an answer that names a master does not tell how long that
// Sentinel would have to miss it; empty: it does. It is a vote all the same.
func (a *Answer) vague() string {
	m := &a.Master
	switch {
	case m.DownAfter <= 0:
		return "no down-after-milliseconds"
	case m.Quorum <= 0:
		return "no quorum"
	case m.past():
		return "" // its other fields are the old master's
	case m.PongAge < 0 || m.Reported == watchdog.Replica && m.RoleFor < 0:
		return "a time from the future: its clock was set back"
	case m.Reported != watchdog.Master && m.Reported != watchdog.Replica:
		return "no role-reported"
	}
	return ""
}

// unclear is what of an answer that names a master was left out, for people;
// empty: nothing.
func (a *Answer) unclear() string {
	m := &a.Master
	switch why := a.vague(); {
	case a.Named == "" || a.fault() != "":
		return ""
	case why != "":
		return why
	case a.Unclear != "":
		return a.Unclear
	case m.Others < 0 || m.Others > maxSentinels:
		return "num-other-sentinels out of range"
	}
	return ""
}

// others is num-other-sentinels; one that no group has is no number.
func (i Instance) others() int {
	if i.Others < 0 || i.Others > maxSentinels {
		return 0
	}
	return i.Others
}

// maxSentinels bounds what a lie may make us count and dial.
const maxSentinels = 100
