package gate

import (
	"slices"
	"strconv"
	"time"

	"github.com/redis-watchdog/redis-watchdog/watchdog"
)

// Fault is something that keeps the gate from doing all of its work.
type Fault = watchdog.Fault

// severe is the severity of a fault that breaks a promise, or only makes the
// margin smaller.
func severe(yes bool) watchdog.Severity {
	if yes {
		return watchdog.SeverityError
	}
	return watchdog.SeverityWarning
}

// FenceTiming is how long a fence took.
type FenceTiming struct {
	At       watchdog.Instant // when Redis was seen to refuse; zero: there was none
	Decision time.Duration    // from the Want that asked for it to then
	Command  time.Duration    // from the sending to then
}

// Details is what the status page and the metrics show of the gate beside
// watchdog.Redis. It is a copy.
type Details struct {
	RedisVersion string
	ConfigFile   string           // of Redis, as it says; empty: it runs without
	PID          int              // of Redis, as it says
	Executable   string           // likewise
	StartedAt    watchdog.Instant // of Redis, by its uptime_in_seconds; zero: not known

	Priority          string  // replica-priority as it is; empty: not read yet
	LagSeconds        float64 // replica: master_last_io_seconds_ago; -1: unknown
	MasterOffset      int64   // master_repl_offset
	ReplicaOffset     int64   // slave_repl_offset; replica only
	ConnectedReplicas int     // master: connected_slaves
	UsedMemory        int64   // bytes
	MaxMemory         int64   // bytes; 0: no limit
	MaxMemoryPolicy   string  // empty: not told yet
	AnnounceIP        string  // replica-announce-ip; empty: none is set
	AnnouncePort      int     // replica-announce-port; 0: none is set
	ReadAt            watchdog.Instant
	Replication       Replication

	Originals Originals // as they are known
	Recorded  Originals // as Record has kept them
	Missing   []string  // rights that are missing, as ACL SETUSER names them
	Unknown   []string  // commands of theirs that this Redis does not know: renamed, or taken away
	Faults    []Fault   // by ID

	LastFence FenceTiming
	Fences    int64 // seen to refuse after one of ours
	Blind     int64 // of them, those sent to a Redis that had not said in time what it is
	Armed     int64 // fences armed and put off
	ArmErrors int64
	Stops     int64 // kills asked for
	Errors    int64 // changes that Redis refused
	Garbage   int64 // answers that were not Redis'
	Commands  int64 // sent to Redis
}

// Details is what is known now.
func (g *Gate) Details() Details {
	g.mu.Lock()
	defer g.mu.Unlock()
	d := g.details
	d.Missing, d.Unknown = slices.Clone(d.Missing), slices.Clone(d.Unknown)
	d.Faults = sortedFaults(g.faults)
	d.Garbage, d.Commands = g.garbage.Load(), g.sent.Load()
	return d
}

// fill takes in what INFO said; a section that was not asked changes nothing.
func (d *Details) fill(m map[string]string, at watchdog.Instant) {
	number := func(key string, to *int64) {
		if v, err := strconv.ParseInt(m[key], 10, 64); err == nil {
			*to = v
		}
	}
	if v, ok := m["redis_version"]; ok {
		d.RedisVersion, d.ConfigFile = v, m["config_file"]
		d.PID, _ = strconv.Atoi(m["process_id"])
		d.Executable = m["executable"]
		seconds := int64(0)
		number("uptime_in_seconds", &seconds)
		d.StartedAt = at.Add(-time.Duration(seconds) * time.Second)
	}
	if ip, ok := m["replica-announce-ip"]; ok {
		d.AnnounceIP = ip
		d.AnnouncePort, _ = strconv.Atoi(m["replica-announce-port"])
	}
	if role, ok := m["role"]; ok {
		d.LagSeconds, d.ReplicaOffset, d.ReadAt = -1, 0, at
		if v, err := strconv.ParseFloat(m["master_last_io_seconds_ago"], 64); role == "slave" && err == nil {
			d.LagSeconds = v
		}
		replicas := int64(0)
		number("connected_slaves", &replicas)
		d.ConnectedReplicas = int(replicas)
	}
	number("master_repl_offset", &d.MasterOffset)
	number("slave_repl_offset", &d.ReplicaOffset)
	number("used_memory", &d.UsedMemory)
	number("maxmemory", &d.MaxMemory)
	if policy, ok := m["maxmemory_policy"]; ok {
		d.MaxMemoryPolicy = policy
	}
}

// Replication is what INFO says of a Redis as a replica, all of it by one look.
// The zero Replication: it was not read yet.
type Replication struct {
	RunID         string
	Replica       bool  // role:slave
	LinkUp        bool  // master_link_status:up
	Syncing       bool  // master_sync_in_progress:1
	Errors        int64 // unexpected_error_replies
	BacklogFirst  int64 // repl_backlog_first_byte_offset
	BacklogLength int64 // repl_backlog_histlen, bytes
	BacklogSize   int64 // bytes
	Loaded        int64 // keys of the last RDB loaded, with those that had expired; -1: not told (before 7.0)
}

// replicationOf is Replication as this look shows it, or as it was where one of
// its fields was not asked or cannot be read.
func replicationOf(m map[string]string, runID string, was Replication) Replication {
	whole := true
	number := func(key string) int64 {
		v, err := strconv.ParseInt(m[key], 10, 64)
		whole = whole && err == nil
		return v
	}
	r := Replication{
		RunID: runID, Replica: m["role"] == "slave", LinkUp: m["master_link_status"] == "up", Syncing: m["master_sync_in_progress"] == "1",
		Errors: number("unexpected_error_replies"), BacklogFirst: number("repl_backlog_first_byte_offset"),
		BacklogLength: number("repl_backlog_histlen"), BacklogSize: number("repl_backlog_size"),
	}
	if !whole || runID == "" || m["role"] == "" {
		return was
	}
	if r.Loaded = number("rdb_last_load_keys_loaded") + number("rdb_last_load_keys_expired"); !whole {
		r.Loaded = -1
	}
	return r
}

// setFault notes f, or its newest text. Who reads Details logs it.
func (g *Gate) setFault(f Fault) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.faults[f.ID] = f
}

func (g *Gate) clearFault(id string) {
	g.mu.Lock()
	defer g.mu.Unlock()
	delete(g.faults, id)
}
