package preflight

// The facts a judgement rests on. They travel as JSON: the watchdog of each
// host publishes its own node's in etcd, the command adds what it reads itself.
// A nil pointer or an absent key is "not read", and Gaps says why.

import (
	"time"

	"github.com/redis-watchdog/redis-watchdog/preflight/keyspace"
)

// Facts is a whole group as it was read for one judgement.
type Facts struct {
	Group       string      `json:"group"`
	Master      string      `json:"master"` // host:port, of the truth; empty: nobody is named
	Nodes       []Node      `json:"nodes"`  // the master and every replica any Sentinel lists, by address
	Sentinels   []Sentinel  `json:"sentinels"`
	Coordinator Coordinator `json:"coordinator"`
	Gaps        []Gap       `json:"gaps,omitempty"` // of the group as a whole
}

// Gap is something that could not be read, and why.
type Gap struct {
	What string `json:"what"` // "info", "config", "acl", "slowlog", "redis.conf", "report", "host.thp", "sentinel", "etcd", …
	Why  string `json:"why"`
}

// NobodyReports is why a report is missing where that is certain: etcd was read
// and has none, so no live watchdog stands beside that Redis.
const NobodyReports = "no watchdog reports for this node"

// Node is one Redis of the group.
type Node struct {
	Address  string    `json:"address"` // as the Sentinels call it
	Redis    *Redis    `json:"redis,omitempty"`
	Host     *Host     `json:"host,omitempty"`     // read by the watchdog on that host only
	Drift    *Drift    `json:"drift,omitempty"`    // likewise
	Watchdog *Watchdog `json:"watchdog,omitempty"` // its status report; nil: no live watchdog covers this node
	// Elsewhere is another group whose Sentinels list this Redis; empty: none is
	// known.
	Elsewhere string `json:"elsewhere,omitempty"`
	// Answers is the request this node's report answers: the report is as
	// young as that request. Empty: the report is one that was written when
	// something changed, and stands since (see Standing).
	Answers string    `json:"answers,omitempty"`
	At      time.Time `json:"at"`                // of the report, by the clock of that host; for people
	Rates   *Rates    `json:"rates,omitempty"`   // sampled by its watchdog; nil: not for long enough
	Refused *Refused  `json:"refused,omitempty"` // counted by its watchdog; nil: not told
	Stalls  *Stalls   `json:"stalls,omitempty"`  // likewise; nil: not told
	Probe   *Probe    `json:"probe,omitempty"`   // nil: nobody asked for the probe key
	Gaps    []Gap     `json:"gaps,omitempty"`
}

// Rates are what the watchdog beside a Redis saw change between two readings.
// They end with a restart of that Redis.
type Rates struct {
	Over        time.Duration `json:"over"`         // between the readings
	UsedMemory  float64       `json:"used_memory"`  // bytes a second, less than nothing where it shrinks
	Offset      float64       `json:"offset"`       // of master_repl_offset: bytes written a second
	EvictedKeys int64         `json:"evicted_keys"` // in that time
}

// Probe is what became of a key that was written to the master, at this node.
type Probe struct {
	Key   string        `json:"key"`
	Seen  bool          `json:"seen"`            // at the master: it was written
	After time.Duration `json:"after"`           // from the write's answer until it was seen
	Error string        `json:"error,omitempty"` // why it was not
}

// Where facts about a Redis were read.
const (
	ReadLive     = "live"     // by whoever judges, from Redis itself
	ReadWatchdog = "watchdog" // by the watchdog beside it
)

// Redis is what one Redis says of itself.
type Redis struct {
	ReadBy string `json:"read_by"`
	// Info is INFO everything: every line of every section, key to value, as
	// it stands ("used_memory": "123"). Keys that repeat do not (cmdstat_*,
	// db0, slave0, module are each their own).
	Info map[string]string `json:"info"`
	// Config is CONFIG GET *: name to value as Redis prints it. The value of a
	// Secret parameter is Masked, or empty where it is empty.
	Config   map[string]string `json:"config,omitempty"`
	Users    []User            `json:"users"`              // ACL LIST; nil: not allowed to
	Modules  []string          `json:"modules"`            // name@version, sorted; nil: not read
	Slow     []Slow            `json:"slow"`               // SLOWLOG GET, newest first; nil: not allowed to
	Replicas []ReplicaLine     `json:"replicas,omitempty"` // slaveN of a master
	// SentinelLacks is, for every user a Sentinel is logged in as (CLIENT
	// LIST: name=sentinel-…-cmd), the commands it needs and may not run:
	// multi, exec, replicaof, config|rewrite, client|kill, info, ping,
	// publish. nil: not read; empty: no Sentinel is connected.
	SentinelLacks map[string][]string `json:"sentinel_lacks"`
	// Scripts is who can run scripts; nil: not read, or they obey the write lock
	// on this version (LockStopsScripts).
	Scripts *Scripts `json:"scripts,omitempty"`
}

// Scripts is who can run scripts.
type Scripts struct {
	Commands []string `json:"commands"` // of eval and evalsha those that Redis knows by these names
	Users    []string `json:"users"`    // that are on and may run one of them; nil: not allowed to see
}

// User is one line of ACL LIST without its passwords.
type User struct {
	Name  string `json:"name"`
	Rules string `json:"rules"` // the rest of the line; password hashes replaced by their count
	// Passwords is a digest of the sorted hashes, keyed by something random that
	// whoever read them keeps to itself: equal digests of one key are equal
	// passwords. Before a colon it names its key: digests of other keys say
	// nothing, and neither does an empty one of a user that has passwords. It
	// never travels: a password can be guessed by a digest whose key is known.
	Passwords string `json:"-"`
}

// GapPasswords is the Gap of passwords that were not compared.
const GapPasswords = "passwords"

// Slow is one entry of the slow log.
type Slow struct {
	AgeSeconds   float64 `json:"age_seconds"` // by that Redis' own clock
	Microseconds int64   `json:"microseconds"`
	Command      string  `json:"command"` // its name only: arguments may be secrets
}

// ReplicaLine is one replica as its master sees it.
type ReplicaLine struct {
	Address    string  `json:"address"`
	State      string  `json:"state"`
	Offset     int64   `json:"offset"`
	LagSeconds float64 `json:"lag_seconds"`
}

// Host is what only the host of a Redis shows.
type Host struct {
	MemoryTotal     int64  `json:"memory_total"`     // bytes; of the cgroup where that is tighter
	MemoryAvailable int64  `json:"memory_available"` // bytes; -1: not read
	SwapTotal       int64  `json:"swap_total"`
	SwapUsed        int64  `json:"swap_used"`
	Overcommit      string `json:"overcommit"`    // vm.overcommit_memory; empty: not read
	THP             string `json:"thp"`           // transparent_hugepage/enabled, the word in brackets; empty: not read
	Somaxconn       int64  `json:"somaxconn"`     // net.core.somaxconn of the namespace of Redis; -1: not read
	FilesLimit      int64  `json:"files_limit"`   // RLIMIT_NOFILE of the Redis process, soft; -1: not read
	RedisSwapped    int64  `json:"redis_swapped"` // VmSwap of the Redis process, bytes; -1: not read
	// ClockUnsynchronised says that the kernel's clock is not disciplined
	// (adjtimex STA_UNSYNC).
	ClockUnsynchronised bool      `json:"clock_unsynchronised"`
	Now                 time.Time `json:"now"`            // its wall clock, when read
	Unit                string    `json:"unit,omitempty"` // of systemd that runs Redis, as configured; empty: none is
	// Restarts says whether a supervisor starts Redis again when it ends
	// (systemd: Restart= of its unit is not "no"); "yes", "no", "unknown".
	Restarts string `json:"restarts"`
	// StartTimeout is after how many seconds the supervisor ends a start that has
	// not loaded its data (TimeoutStartSec= of a unit of Type=notify); -1: it
	// waits as long as it takes, 0: not known.
	StartTimeout float64   `json:"start_timeout"`
	LogFile      string    `json:"log_file,omitempty"`
	Log          []LogLine `json:"log,omitempty"` // its last warnings, oldest first, at most 20
}

// LogLine is one warning of Redis' log.
type LogLine struct {
	At   time.Time `json:"at"`
	Text string    `json:"text"`
}

// Drift is what a Redis runs with against what it would start with.
type Drift struct {
	File   string `json:"file"`   // redis.conf; empty: Redis runs without one
	Method string `json:"method"` // "shadow": asked the same binary; "table": our reading of the file and known defaults of that version
	// File's values of every parameter, as CONFIG GET would print them after a
	// restart; secrets masked.
	FileConfig map[string]string `json:"file_config,omitempty"`
	Drifted    []Parameter       `json:"drifted,omitempty"` // differs, and is not ours, not Sentinel's and not allowed to
	Allowed    []Parameter       `json:"allowed,omitempty"` // differs, and may by the configuration (drift_ignore)
	Ours       []Parameter       `json:"ours,omitempty"`    // differs because the watchdog or Sentinel put it there
	Unknown    []Parameter       `json:"unknown,omitempty"` // could not be compared; Why says so
	// Renamed is what rename-command made of commands, in upper case; the new
	// names are masked ("renamed" or "removed"): they are secrets of a kind.
	Renamed map[string]string `json:"renamed,omitempty"`
	Problem string            `json:"problem,omitempty"` // the file could not be compared at all: unreadable, rubbish, not there
	// Refused is why the server would not start on the file as it stands; empty:
	// it would, or that is not known.
	Refused string `json:"refused,omitempty"`
	Twice   []Line `json:"twice,omitempty"` // of that: the lines that stand once too often
	// Rewrite is what CONFIG REWRITE would make of the file; nil: not known.
	Rewrite *Rewrite `json:"rewrite,omitempty"`
	// Rewritten is when CONFIG REWRITE last wrote the file: its modification
	// time, where it carries the mark.
	Rewritten time.Time `json:"rewritten"`
	// LockedScript is what the shadow, the build that runs, made of a script's write
	// under the write lock: ScriptRefused, ScriptExecuted; empty: it was not asked.
	LockedScript string `json:"locked_script,omitempty"`
	// CommandLine says what is known of the options Redis was started with, which
	// win over the file: "none", "read", "hidden" (set-proc-title overwrote them)
	// or "unread".
	CommandLine string `json:"command_line,omitempty"`
	// Notes are sentences for people: what was assumed, and why it was the table
	// where a shadow run was allowed.
	Notes []string `json:"notes,omitempty"`
}

// Rewrite is what CONFIG REWRITE would make of a redis.conf. Sentinel sends one
// with every change of a role, the watchdog with every fence.
type Rewrite struct {
	Method  string `json:"method"`            // "shadow", "table": as that of the Drift
	Denied  string `json:"denied,omitempty"`  // why Redis may not write the file; empty: nothing speaks against it
	Refused string `json:"refused,omitempty"` // why the server would not start on what it would write
	Twice   []Line `json:"twice,omitempty"`   // of that: the lines outside of the file that it would write into it as well
	// Lost are the parameters that a restart would give otherwise, although they
	// were written: a line behind the one that is edited has the last word. File
	// is what it would give. Why says in which role, if not in the present one.
	Lost []Parameter `json:"lost,omitempty"`
}

// Line is a line of a configuration that may stand only once.
type Line struct {
	Name string `json:"name"` // "user alice", "loadmodule /usr/lib/redis/x.so"
	File string `json:"file"` // empty: the command line
	Line int    `json:"line,omitempty"`
}

// Parameter is one configuration parameter under both readings.
type Parameter struct {
	Name    string `json:"name"`    // as CONFIG GET * names it (the newer of two aliases)
	Running string `json:"running"` // masked where it is a secret
	File    string `json:"file"`    // what a restart would give; masked where it is a secret
	Where   string `json:"where"`   // "redis.conf:12", "default of 7.0.15", "command line"
	Why     string `json:"why,omitempty"`
}

// Masked stands for a secret that is set.
const Masked = "(set)"

// Watchdog is what the watchdog beside a node reports of its own work.
type Watchdog struct {
	Node           string   `json:"node"`           // its name in the configuration
	User           string   `json:"user,omitempty"` // of Redis, as whom it logs in; empty: default
	Version        string   `json:"version"`
	Phase          string   `json:"phase"`
	Reason         string   `json:"reason"`
	Guarded        bool     `json:"guarded"`
	Data           string   `json:"data"` // why clients may be given what this Redis has, or why not: agent.Status has the words; empty: an older watchdog
	GrantOurs      bool     `json:"grant_ours"`
	Veto           bool     `json:"veto"`              // it keeps replica-priority 0
	VetoReasons    []string `json:"veto_reasons"`      // check ids
	Faults         []string `json:"faults"`            // ids of its faults of severity error
	Missing        []string `json:"missing"`           // rights in Redis it lacks, as ACL SETUSER names them
	Unknown        []string `json:"unknown,omitempty"` // commands of those rights that Redis does not know: renamed, or taken away
	OwnPriority    string   `json:"own_priority"`      // replica-priority as the operator set it; empty: not known
	OwnMinReplicas string   `json:"own_min_replicas"`  // min-replicas-to-write likewise
	Maintenance    bool     `json:"maintenance"`
}

// Sentinel is one Sentinel's word about the group.
type Sentinel struct {
	Address       string         `json:"address"`
	RunID         string         `json:"run_id"`
	Error         string         `json:"error,omitempty"` // why it could not be asked; empty: it answered
	Master        string         `json:"master"`          // SENTINEL GET-MASTER-ADDR-BY-NAME
	Epoch         uint64         `json:"epoch"`
	Quorum        int            `json:"quorum"`
	Others        int            `json:"others"` // num-other-sentinels
	DownAfter     time.Duration  `json:"down_after"`
	FailTimeout   time.Duration  `json:"failover_timeout"`
	ParallelSyncs int            `json:"parallel_syncs"`
	Flags         string         `json:"flags"`
	FailoverState string         `json:"failover_state,omitempty"`
	Tilt          bool           `json:"tilt"`
	TiltUnknown   string         `json:"tilt_unknown,omitempty"` // why it does not say; empty: it does
	CKQuorum      string         `json:"ckquorum"`               // its answer, or its error
	CKQuorumOK    bool           `json:"ckquorum_ok"`
	Replicas      []SentinelView `json:"replicas"`
	Peers         []string       `json:"peers"` // addresses of the other Sentinels it knows
	Unread        []Unread       `json:"unread,omitempty"`
	Version       string         `json:"version"`
}

// Unread is an entry of an answer that was left out, as it makes no sense.
type Unread struct {
	Name string `json:"name"` // as it was spelled
	In   string `json:"in"`   // the command it answered
	Why  string `json:"why"`
}

// SentinelView is a replica as one Sentinel sees it.
type SentinelView struct {
	Address    string        `json:"address"`
	Flags      string        `json:"flags"`
	Priority   int           `json:"priority"`
	LinkStatus string        `json:"link_status"` // master-link-status
	LinkDown   time.Duration `json:"link_down"`   // master-link-down-time
	Offset     int64         `json:"offset"`
	InfoAge    time.Duration `json:"info_age"` // info-refresh
	PongAge    time.Duration `json:"pong_age"` // last-ok-ping-reply
	Master     string        `json:"master"`   // master-host:master-port
	Reported   string        `json:"reported"` // role-reported
}

// Coordinator is etcd as it was found.
type Coordinator struct {
	Error       string   `json:"error,omitempty"` // why nothing could be read; empty: it was
	Members     []Member `json:"members"`
	Agreement   string   `json:"agreement"` // the master etcd holds; empty: none
	Epoch       uint64   `json:"epoch"`
	Generation  uint64   `json:"generation"`
	Holder      string   `json:"holder"` // of the grant; empty: nobody
	Maintenance bool     `json:"maintenance"`
	Known       int      `json:"known"`                // Sentinels counted when the agreement was made
	Unwritable  string   `json:"unwritable,omitempty"` // why nothing can be written; empty: it can
	// Audit is the newest one of the key space that was kept; nil: none was, or it
	// could not be read: AuditError says why.
	Audit      *Audit `json:"audit,omitempty"`
	AuditError string `json:"audit_error,omitempty"`
}

// Audit is what is kept of an audit of the key space.
type Audit struct {
	keyspace.Kept
	Age  time.Duration `json:"age"`  // by the clocks of two hosts
	Left int           `json:"left"` // entries of it that make no sense
}

// Member is one member of etcd.
type Member struct {
	Endpoint string `json:"endpoint"`
	Version  string `json:"version"`
	Learner  bool   `json:"learner,omitempty"` // it has no vote and answers no request
	Error    string `json:"error,omitempty"`
}
