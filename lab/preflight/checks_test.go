package preflight

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/redis-watchdog/redis-watchdog/lab"
	"github.com/redis-watchdog/redis-watchdog/preflight"
)

// failure is a check that is made to fail, and then to pass again.
type failure struct {
	check  string
	of     func(*world) string // whose finding; nil: the candidate's
	unsure bool                // it could not find out then, instead of failing
	spoil  func(*world)
	shows  []string // what its finding shows then: both values
	mend   func(*world)
}

func group(*world) string           { return "" }
func ofMaster(w *world) string      { return w.master().Address }
func candidate(w *world) *lab.Redis { return w.candidate() }
func master(w *world) *lab.Redis    { return w.master() }

// set is a parameter set at one Redis, and set back.
func set(check string, at func(*world) *lab.Redis, name, bad, good string, shows ...string) failure {
	return failure{check: check, shows: shows,
		spoil: func(w *world) { at(w).Do("CONFIG", "SET", name, bad) },
		mend:  func(w *world) { at(w).Do("CONFIG", "SET", name, good) }}
}

func (f failure) judgedAt(of func(*world) string) failure {
	f.of = of
	return f
}

// file is a file of the candidate's host, and its good text again.
func file(check, path, bad, good string, shows ...string) failure {
	return failure{check: check, shows: shows,
		spoil: func(w *world) { w.write(w.hosts[w.candidate()], path, bad) },
		mend:  func(w *world) { w.write(w.hosts[w.candidate()], path, good) }}
}

func sentinels(check, option, bad, good string, shows ...string) failure {
	all := func(value string) func(*world) {
		return func(w *world) {
			for _, s := range w.group.Sentinels {
				s.Do("SENTINEL", "SET", w.group.Name, option, value)
			}
		}
	}
	return failure{check: check, of: group, spoil: all(bad), mend: all(good), shows: shows}
}

const meminfo = "MemTotal: 8388608 kB\nMemAvailable: 4194304 kB\nSwapTotal: 0 kB\nSwapFree: 0 kB\n"

func failures() []failure {
	return []failure{
		set("memory_limit_running", candidate, "maxmemory", "1mb", "1gb", "1048576 (1.00 MiB)", "used_memory", "CONFIG GET on"),
		{check: "memory_policy",
			spoil: func(w *world) { w.candidate().Do("CONFIG", "SET", "maxmemory-policy", "allkeys-lru") },
			shows: []string{"allkeys-lru", "noeviction"},
			mend:  func(w *world) { w.candidate().Do("CONFIG", "SET", "maxmemory-policy", "noeviction") }},
		set("memory_limit_lower", candidate, "maxmemory", "512mb", "1gb", "536870912", "1073741824"),
		set("memory_limit_host", candidate, "maxmemory", "16gb", "1gb", "16.00 GiB", "8.00 GiB"),
		file("memory_host", "proc/meminfo", "MemTotal: 1024 kB\nMemAvailable: 512 kB\n", meminfo, "1048576 (1.00 MiB)", "used_memory"),
		file("memory_host_fork", "proc/meminfo", "MemTotal: 8388608 kB\nMemAvailable: 1 kB\n", meminfo, "memory available 1024"),
		set("parity_persistence", master, "appendonly", "yes", "no", "appendonly yes", "appendonly no"),
		set("parity_saving", candidate, "save", "60 1", "", "60 1", `""`),
		set("parity_notifications", master, "notify-keyspace-events", "KEA", "", "AKE", `""`),
		set("parity_output_buffer", candidate, "client-output-buffer-limit", "pubsub 1mb 1mb 1", "pubsub 33554432 8388608 60", "pubsub 1048576 1048576 1", "pubsub 33554432 8388608 60"),
		set("parity_settings", candidate, "timeout", "77", "0", "timeout 77", "timeout 0"),
		set("parity_min_replicas", candidate, "min-replicas-to-write", "5", "0", "min-replicas-to-write 5", "will be left 2"),
		{check: "parity_acl",
			spoil: func(w *world) { w.master().Do("ACL", "SETUSER", "app", "on", ">secret", "~*", "+get") }, shows: []string{"no user app"},
			mend: func(w *world) { w.master().Do("ACL", "DELUSER", "app") }},
		{check: "parity_acl_extra",
			spoil: func(w *world) { w.candidate().Do("ACL", "SETUSER", "gone", "on", ">secret") }, shows: []string{"the user gone"},
			mend: func(w *world) { w.candidate().Do("ACL", "DELUSER", "gone") }},
		set("replication_read_only", candidate, "replica-read-only", "no", "yes", "replica-read-only no"),
		{check: "replication_keys",
			spoil: func(w *world) { w.writeToReplica("SET") }, shows: []string{"600 keys", "100 keys"},
			mend: func(w *world) { w.writeToReplica("DEL") }},
		{check: "replication_refused",
			spoil: func(w *world) {
				w.candidate().Do("CONFIG", "SET", "replica-read-only", "no")
				w.candidate().Do("RPUSH", "counter", "by hand")
				w.candidate().Do("CONFIG", "SET", "replica-read-only", "yes")
				w.master().Do("INCR", "counter")
				w.group.WaitReplicas()
			}, shows: []string{"refused 1 commands that its master carried out", "refused since its last full sync 1"},
			mend: func(w *world) {
				w.paste(w.finding("replication_refused", w.candidate().Address))
				w.group.WaitReplicas()
			}},
		{check: "replication_link",
			spoil: func(w *world) { w.candidate().Do("REPLICAOF", "127.0.0.1", "0") }, shows: []string{"master_link_status down"},
			mend: func(w *world) {
				w.candidate().Do("REPLICAOF", w.master().Host.IP, w.master().Port)
				w.group.WaitReplicas()
			}},
		{check: "replication_lineage",
			spoil: func(w *world) {
				other := w.lab.Host("other").Redis(lab.RedisConfig{})
				w.candidate().Do("REPLICAOF", other.Host.IP, other.Port)
				w.lab.Eventually("in step with another master", time.Minute, func() error {
					if role := w.candidate().Role(); !role.Synced() {
						return fmt.Errorf("it is %s", role)
					}
					return nil
				})
			}, shows: []string{"in step with another master"},
			mend: func(w *world) {
				w.candidate().Do("REPLICAOF", w.master().Host.IP, w.master().Port)
				w.group.WaitReplicas()
			}},
		set("sentinel_priority", candidate, "replica-priority", "0", "100", "replica-priority 0"),
		sentinels("sentinel_quorum", "quorum", "1", "2", "quorum 1", "majority (2) of 3"),
		sentinels("sentinel_able", "quorum", "4", "2", "0 of 3", "4 are needed"),
		sentinels("sentinel_timing", "down-after-milliseconds", "1000", "5000", "down-after-milliseconds 1000"),
		{check: "sentinel_silent", of: group,
			spoil: func(w *world) { w.group.Sentinels[2].Kill() }, shows: []string{"do not answer"},
			mend: func(w *world) { w.group.Sentinels[2].Restart() }},
		set("persistence_restart", candidate, "save", "", "60 1", "restarts yes"),
		{check: "persistence_load_timeout", // on a real systemd: systemd.TestRedisThatLoadsLongerThanItsUnitWaits
			spoil: func(w *world) { w.startTimeout = time.Millisecond }, shows: []string{"TimeoutStartSec 1ms"},
			mend: func(w *world) { w.startTimeout = 0 }},
		set("persistence_size", master, "timeout", "0", "0", "larger than 1.00 KiB").judgedAt(ofMaster),
		file("host_thp", "sys/kernel/mm/transparent_hugepage/enabled", "[always] madvise never\n", "always [madvise] never\n", "enabled always"),
		file("host_overcommit", "proc/sys/vm/overcommit_memory", "0\n", "1\n", "overcommit_memory 0"),
		file("host_somaxconn", "proc/sys/net/core/somaxconn", "128\n", "4096\n", "somaxconn 128", "tcp-backlog 511"),
		file("host_swap", "proc/1/status", "VmSwap:\t  204800 kB\n", "VmSwap:\t 0 kB\n", "200.00 MiB"),
		file("host_files", "proc/1/limits", "Max open files            100              100              files\n",
			"Max open files            1000000              1000000              files\n", "RLIMIT_NOFILE of Redis 100", "maxclients"),
		{check: "candidate", of: group,
			spoil: func(w *world) { w.to = "192.0.2.1:6379" }, shows: []string{"192.0.2.1:6379 is no replica of the group"},
			mend: func(w *world) { w.to = "" }},
		{check: "host_slow",
			spoil: func(w *world) { w.candidate().Do("DEBUG", "SLEEP", "0.2") }, shows: []string{"debug"},
			mend: func(w *world) { w.candidate().Do("SLOWLOG", "RESET") }},
	}
}

// writeToReplica sets or deletes keys at the candidate only.
func (w *world) writeToReplica(command string) {
	r := w.candidate()
	r.Do("CONFIG", "SET", "replica-read-only", "no")
	defer r.Do("CONFIG", "SET", "replica-read-only", "yes")
	for i := range 500 {
		args := []any{command, fmt.Sprintf("stray:%d", i)}
		if command == "SET" {
			args = append(args, "1")
		}
		r.Do(args...)
	}
}

func TestEachCheckFailsAndPassesOnRealServers(t *testing.T) {
	w := newWorld(t)
	for _, f := range failures() {
		w.check(f)
	}
}

// check makes it fail, and pass again.
func (w *world) check(f failure) {
	w.t.Helper()
	of := w.candidate().Address
	if f.of != nil {
		of = f.of(w)
	}
	good := w.policy
	switch f.check {
	case "persistence_size": // the threshold comes to the data
		w.policy.LargeInstance = 1024
	case "persistence_fork_time":
		w.policy.Fork = 1
	case "host_thp": // this build switches them off for itself
		w.edit = func(f *preflight.Facts) {
			for _, n := range f.Nodes {
				n.Redis.Config["disable-thp"] = "no"
			}
		}
	}
	w.lab.Mark("%s is made to fail", f.check)
	f.spoil(w)
	bad := preflight.Failed
	if f.unsure {
		bad = preflight.Unknown
	}
	w.expect(f.check, of, bad, f.shows...)
	w.policy = good
	f.mend(w)
	w.expect(f.check, of, preflight.Passed)
	w.edit = nil
}

// A replica was restarted with the limit of its file, because the larger one
// was never written there: the data fits for as long as it is a replica.
func TestTheReplicaRestartedWithAnOldLimitIsBlocked(t *testing.T) {
	w := newWorld(t)
	r := w.candidate()
	r.Do("CONFIG", "SET", "maxmemory", "1200kb")
	r.Do("CONFIG", "REWRITE")
	r.Kill()
	r.Restart()
	w.group.WaitReplicas()
	w.started(r)
	if keys := fmt.Sprint(r.Do("DBSIZE")); keys != "100" {
		t.Fatalf("the replica has %s keys, want 100: it ignores its limit", keys)
	}
	w.expect("memory_limit_running", r.Address, preflight.Failed, "1228800 (1.17 MiB)", "CONFIG GET on "+r.Address)
	w.expect("memory_limit_file", r.Address, preflight.Failed, "1228800 (1.17 MiB)", r.ConfigFile)
	report := preflight.Judge(w.policy, w.facts(), "")
	if report.Candidate != w.group.Redis[2].Address || !strings.Contains(report.Why, r.Address) {
		t.Errorf("best: got %s (%s), want the other replica", report.Candidate, report.Why)
	}
	facts := w.facts()
	if got := preflight.Vetoes(preflight.Own(w.policy, "shop", facts.Nodes[0], facts.Nodes[1])); !strings.Contains(strings.Join(got, " "), "memory_limit_running") {
		t.Errorf("vetoes: got %v", got)
	}

	r.Do("CONFIG", "SET", "maxmemory", "1gb")
	w.expect("memory_limit_running", r.Address, preflight.Passed)
	w.expect("memory_limit_file", r.Address, preflight.Failed)
	r.Do("CONFIG", "REWRITE")
	r.Kill()
	r.Restart()
	w.group.WaitReplicas()
	w.started(r)
	w.expect("memory_limit_file", r.Address, preflight.Passed)
}
