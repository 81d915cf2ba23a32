package preflight

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/redis-watchdog/redis-watchdog/lab"
	"github.com/redis-watchdog/redis-watchdog/preflight"
	"github.com/redis-watchdog/redis-watchdog/preflight/drift"
	"github.com/redis-watchdog/redis-watchdog/preflight/gather"
)

// world is the group every case shares.
type world struct {
	t      *testing.T
	lab    *lab.Lab
	group  *lab.Group
	policy preflight.Policy
	hosts  map[*lab.Redis]string            // root of its host's file system
	files  map[*lab.Redis]map[string]string // what a start from its redis.conf gave
	seen   map[*lab.Redis]preflight.Refused // of each, by every look
	edit   func(*preflight.Facts)           // of what is given; nil: nothing
	named  *lab.Redis                       // the master; nil: the first
	to     string                           // the candidate asked for; empty: the candidate's

	drift          bool          // redis.conf is compared; else it is given
	ignore         []string      // what may differ from it
	side           bool          // Redis is asked as sideUser
	unsynchronised bool          // the clock of the candidate's host
	startTimeout   time.Duration // of the unit of each Redis; 0: infinity
	log            string        // of the candidate, beneath its root; empty: none
}

// newWorld starts a group with these lines in every redis.conf.
func newWorld(t *testing.T, lines ...string) *world {
	return worldOf(t, lab.GroupConfig{Redis: lab.RedisConfig{Lines: append([]string{"enable-debug-command yes"}, lines...)}})
}

func worldOf(t *testing.T, c lab.GroupConfig) *world {
	l := lab.Loopback(t)
	w := &world{t: t, lab: l, policy: preflight.DefaultPolicy(), hosts: map[*lab.Redis]string{}, files: map[*lab.Redis]map[string]string{}, seen: map[*lab.Redis]preflight.Refused{}}
	c.DownAfter, c.Redis.Lines = 5*time.Second, append([]string{"maxmemory 1gb"}, c.Redis.Lines...)
	w.group = l.Group(c)
	for _, r := range w.group.Redis {
		w.hosts[r] = w.goodHost(r)
		w.started(r)
	}
	for i := range 100 {
		w.master().Do("SET", fmt.Sprintf("key:%d", i), strings.Repeat("v", 1000))
	}
	w.group.WaitReplicas()
	return w
}

func (w *world) master() *lab.Redis    { return cmp.Or(w.named, w.group.Redis[0]) }
func (w *world) candidate() *lab.Redis { return w.group.Redis[1] }

// started remembers what the file gives.
func (w *world) started(r *lab.Redis) {
	facts, gaps := gather.Redis(w.lab.Context(), w.asked(r))
	if len(gaps) > 0 {
		w.t.Fatalf("read %s: %v", r.Name, gaps)
	}
	w.files[r] = maps.Clone(facts.Config)
}

func (w *world) asked(r *lab.Redis) gather.RedisConfig {
	server := gather.Server{Socket: r.Socket}
	if w.side {
		server.Username, server.Password = sideUser, sidePassword
	}
	return gather.RedisConfig{Server: server, ReadBy: preflight.ReadWatchdog, Key: "k", Clients: true}
}

// goodHost is a file system on which every host check passes.
func (w *world) goodHost(r *lab.Redis) string {
	root := filepath.Join(w.t.TempDir(), "root")
	for path, text := range map[string]string{
		"proc/meminfo":                               "MemTotal: 8388608 kB\nMemAvailable: 4194304 kB\nSwapTotal: 0 kB\nSwapFree: 0 kB\n",
		"proc/sys/vm/overcommit_memory":              "1\n",
		"proc/sys/net/core/somaxconn":                "4096\n",
		"sys/kernel/mm/transparent_hugepage/enabled": "always [madvise] never\n",
		fmt.Sprintf("proc/%d/limits", 1):             "Max open files            1000000              1000000              files\n",
		fmt.Sprintf("proc/%d/status", 1):             "VmSwap:\t       0 kB\n",
		fmt.Sprintf("proc/%d/cgroup", 1):             "0::/\n",
	} {
		w.write(root, path, text)
	}
	return root
}

func (w *world) write(root, path, text string) {
	full := filepath.Join(root, path)
	if err := os.MkdirAll(filepath.Dir(full), 0o755); err != nil {
		w.t.Fatal(err)
	}
	if err := os.WriteFile(full, []byte(text), 0o644); err != nil {
		w.t.Fatal(err)
	}
}

// facts reads the group anew.
func (w *world) facts() preflight.Facts {
	ctx, cancel := context.WithTimeout(w.lab.Context(), 10*time.Second)
	defer cancel()
	f := preflight.Facts{Group: w.group.Name, Master: w.master().Address}
	f.Sentinels = w.sentinels(ctx)
	f.Coordinator = preflight.Coordinator{Agreement: f.Master, Holder: f.Master, Known: 3,
		Members: []preflight.Member{{Endpoint: "given", Version: "3.6.9"}}}
	for _, r := range w.group.Redis {
		f.Nodes = append(f.Nodes, w.node(ctx, r))
	}
	if w.edit != nil {
		w.edit(&f)
	}
	return f
}

func (w *world) sentinels(ctx context.Context) []preflight.Sentinel {
	var addresses []string
	for _, s := range w.group.Sentinels {
		addresses = append(addresses, s.Address)
	}
	return gather.Sentinels(ctx, gather.SentinelConfig{Group: w.group.Name, Addresses: addresses})
}

func (w *world) node(ctx context.Context, r *lab.Redis) preflight.Node {
	n := preflight.Node{Address: r.Address, Answers: "given", At: time.Now(),
		Watchdog: &preflight.Watchdog{Version: "given", Phase: "follow", Guarded: true, OwnPriority: "100", OwnMinReplicas: "0"},
		Drift:    &preflight.Drift{File: r.ConfigFile, Method: "given", FileConfig: w.files[r], Rewrite: &preflight.Rewrite{Method: "given"}}}
	var gaps []preflight.Gap
	var secrets gather.Secrets
	n.Redis, secrets, n.Gaps = gather.RedisWithSecrets(ctx, w.asked(r))
	if w.drift && n.Redis != nil {
		compared := drift.Read(ctx, drift.Options{Running: secrets.Config, Info: n.Redis.Info, Ignore: w.ignore, PID: r.PID()})
		n.Drift = &compared
	}
	host := gather.HostConfig{Root: w.hosts[r], PID: 1,
		UnitName:     "redis.service",
		Unit:         func(context.Context) (string, time.Duration, error) { return "always", w.startTimeout, nil },
		Synchronised: func() (bool, error) { return r != w.candidate() || !w.unsynchronised, nil }}
	if r == w.candidate() {
		host.LogFile = w.log
	}
	n.Host, gaps = gather.Host(ctx, host)
	n.Gaps = append(n.Gaps, gaps...)
	n.Rates = &preflight.Rates{Over: time.Minute}
	if n.Redis != nil {
		refused := w.seen[r].Next(replicaLook(n.Redis.Info), n.At)
		w.seen[r], n.Refused = refused, &refused
	}
	return n
}

// replicaLook is what the gate reads of INFO.
func replicaLook(info map[string]string) preflight.ReplicaLook {
	number := func(key string) int64 {
		v, _ := strconv.ParseInt(info[key], 10, 64) // nothing of it: 0
		return v
	}
	loaded := int64(-1)
	if _, told := info["rdb_last_load_keys_loaded"]; told {
		loaded = number("rdb_last_load_keys_loaded") + number("rdb_last_load_keys_expired")
	}
	return preflight.ReplicaLook{RunID: info["run_id"], Replica: info["role"] == "slave", LinkUp: info["master_link_status"] == "up",
		Syncing: info["master_sync_in_progress"] == "1", Errors: number("unexpected_error_replies"), BacklogFirst: number("repl_backlog_first_byte_offset"),
		BacklogLength: number("repl_backlog_histlen"), BacklogSize: number("repl_backlog_size"),
		Loaded: loaded}
}

// finding judges, and is what one check says of one node (empty: the group).
// What a blocking check does not pass never may go.
func (w *world) finding(id, address string) preflight.Finding {
	r := preflight.Judge(w.policy, w.facts(), cmp.Or(w.to, w.candidate().Address))
	for _, f := range r.Findings {
		if f.Check != id || f.Node != address {
			continue
		}
		if f.Severity == preflight.Blocks && f.Outcome != preflight.Passed && r.Verdict == preflight.MayGo {
			w.t.Errorf("%s is %s, and the verdict is %s", id, f.Outcome, r.Verdict)
		}
		return f
	}
	w.t.Fatalf("%s of %q was not judged", id, address)
	return preflight.Finding{}
}

// shown is all that a finding shows.
func shown(f preflight.Finding) string {
	text := f.Reason
	for _, e := range f.Evidence {
		text += "\n" + e.What + " " + e.Value + " " + e.From
	}
	return text
}

// expect waits until a check says so. Sentinel asks INFO every 10 s; on a busy
// machine it may be in TILT, for 30 s.
func (w *world) expect(id, address string, want preflight.Outcome, texts ...string) {
	w.t.Helper()
	w.lab.Eventually(fmt.Sprintf("%s of %q is %s", id, address, want), time.Minute, func() error {
		return is(w.finding(id, address), want, texts)
	})
}

// is says in what a finding is another than wanted; nil: in nothing.
func is(f preflight.Finding, want preflight.Outcome, texts []string) error {
	if f.Outcome != want {
		return fmt.Errorf("it is %s: %s", f.Outcome, shown(f))
	}
	for _, text := range texts {
		if !strings.Contains(shown(f), text) {
			return fmt.Errorf("it does not show %q: %s", text, shown(f))
		}
	}
	return nil
}
