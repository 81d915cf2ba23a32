package preflight

import (
	"fmt"
	"maps"
	"strconv"
	"time"

	"github.com/redis-watchdog/redis-watchdog/preflight/keyspace"
	"github.com/redis-watchdog/redis-watchdog/preflight/keyspace/stall"
	"github.com/redis-watchdog/redis-watchdog/watchdog"
)

const (
	a = "10.0.0.11:6379" // the master
	b = "10.0.0.12:6379"
	c = "10.0.0.13:6379"
)

// healthy is a group of three in which every check passes. Every call makes a
// new one, so that a test may edit what it got.
func healthy() Facts {
	f := Facts{Group: "mymaster", Master: a,
		Coordinator: Coordinator{Agreement: a, Epoch: 3, Generation: 1, Holder: a, Known: 3, Audit: healthyAudit()}}
	for i := range 3 {
		f.Coordinator.Members = append(f.Coordinator.Members, Member{Endpoint: fmt.Sprintf("http://10.0.0.1%d:2379", i+1), Version: "3.6.9"})
		f.Sentinels = append(f.Sentinels, healthySentinel(i))
	}
	for i, address := range []string{a, b, c} {
		f.Nodes = append(f.Nodes, healthyNode(i, address))
	}
	return f
}

// healthyAudit is of a day ago; its largest key stalls nobody.
func healthyAudit() *Audit {
	k := keyspace.Kept{Schema: keyspace.Schema, At: time.Unix(1e9, 0).Add(-24 * time.Hour), Source: "stream of " + b, Server: "redis 7.0.15", Complete: true, Keys: 1000, Rates: stall.Coarse("test")}
	k.Worst = []keyspace.KeptKey{{Name: "user:lastbuy", Key: stall.Key{Type: "hash", Encoding: "hashtable", Elements: 300_000, Counted: true, Bytes: 30 << 20, Stored: 9 << 20}}}
	k.Shares = []keyspace.KeptShare{{Keys: 1000, Key: stall.Key{Type: "hash", Encoding: "hashtable", Elements: 310_000, Counted: true, Bytes: 31 << 20}}}
	return &Audit{Kept: k, Age: 24 * time.Hour}
}

func healthySentinel(i int) Sentinel {
	s := Sentinel{Address: fmt.Sprintf("10.0.0.1%d:26379", i+1), RunID: strconv.Itoa(i), Master: a, Epoch: 3, Quorum: 2, Others: 2,
		DownAfter: 5 * time.Second, FailTimeout: time.Minute, ParallelSyncs: 1, Flags: "master",
		CKQuorum: "OK 3 usable Sentinels. Quorum and failover authorization can be reached", CKQuorumOK: true,
		Peers: []string{"x", "y"}, Version: "7.0.15"}
	for _, r := range []string{b, c} {
		s.Replicas = append(s.Replicas, SentinelView{Address: r, Flags: "slave", Priority: 100, LinkStatus: "ok", Offset: 5000,
			InfoAge: 3 * time.Second, PongAge: 300 * time.Millisecond, Master: a, Reported: "slave"})
	}
	return s
}

func healthyNode(i int, address string) Node {
	info := map[string]string{
		"redis_version": "7.0.15", "run_id": strconv.Itoa(i), "role": "slave", "loading": "0", "async_loading": "0",
		"used_memory": "1073741824", "mem_not_counted_for_evict": "1048576", "mem_clients_normal": "131072", "connected_clients": "40",
		"db0": "keys=1000,expires=10,avg_ttl=0", "instantaneous_ops_per_sec": "0", "instantaneous_input_kbps": "10.5",
		"master_replid": "h", "master_repl_offset": "5000", "connected_slaves": "0", "unexpected_error_replies": "0", "master_failover_state": "no-failover",
		"rdb_last_bgsave_status": "ok", "aof_last_bgrewrite_status": "ok", "aof_last_write_status": "ok",
		"rdb_bgsave_in_progress": "0", "aof_rewrite_in_progress": "0", "aof_delayed_fsync": "0",
		"latest_fork_usec": "900", "evicted_keys": "0", "current_eviction_exceeded_time": "0",
	}
	n := Node{Address: address, Answers: "q1", At: time.Unix(1e9, 0),
		Redis: &Redis{ReadBy: ReadLive, Info: info, Config: healthyConfig(), Slow: []Slow{}, Modules: []string{},
			Users:         []User{{Name: "default", Rules: "on sanitize-payload ~* &* +@all", Passwords: "d1"}},
			SentinelLacks: map[string][]string{"default": {}}},
		Host: &Host{MemoryTotal: 8 << 30, MemoryAvailable: 4 << 30, Overcommit: "1", THP: "madvise", Somaxconn: 511,
			FilesLimit: 10032, Now: time.Unix(1e9, 0), Restarts: "yes", Unit: "redis.service", StartTimeout: -1},
		Drift:    &Drift{File: "/etc/redis/redis.conf", Method: "shadow", FileConfig: maps.Clone(healthyConfig()), Rewrite: &Rewrite{Method: "shadow"}},
		Stalls:   &Stalls{Bears: 4350 * time.Millisecond},
		Watchdog: &Watchdog{Node: "default", Version: "1.0", Phase: "follow", Guarded: true, OwnPriority: "100", OwnMinReplicas: "0"},
		Rates:    &Rates{Over: time.Minute, UsedMemory: 0, Offset: 1000},
		Refused:  &Refused{Last: ReplicaLook{RunID: strconv.Itoa(i), Replica: true}},
	}
	if address == a {
		info["role"], info["connected_slaves"] = "master", "2"
		n.Redis.Replicas = []ReplicaLine{{Address: b, State: "online", Offset: 5000, LagSeconds: 1}, {Address: c, State: "online", Offset: 5000}}
		n.Watchdog.Phase, n.Watchdog.GrantOurs = "serve", true
		return n
	}
	info["master_link_status"], info["master_sync_in_progress"], info["slave_repl_offset"] = "up", "0", "5000"
	n.Redis.Config["min-replicas-to-write"] = watchdog.LockValue
	return n
}

func healthyConfig() map[string]string {
	return map[string]string{
		"maxmemory": "4294967296", "maxmemory-policy": "noeviction", "save": "3600 1", "appendonly": "yes", "appendfsync": "everysec",
		"aof-use-rdb-preamble": "yes", "stop-writes-on-bgsave-error": "yes", "databases": "16", "notify-keyspace-events": "",
		"min-replicas-to-write": "0", "client-output-buffer-limit": "normal 0 0 0 slave 268435456 67108864 60 pubsub 33554432 8388608 60",
		"maxclients": "10000", "bind": "* -::*", "protected-mode": "yes", "port": "6379", "tls-port": "0", "tls-auth-clients": "yes",
		"requirepass": Masked, "repl-backlog-size": "1048576", "replica-read-only": "yes", "replica-priority": "100",
		"disable-thp": "yes", "tcp-backlog": "511", "slowlog-log-slower-than": "10000", "timeout": "0", "dir": "/var/lib/redis",
	}
}

// node is a node of facts, to be edited.
func node(f *Facts, address string) *Node { return find(f, address) }
