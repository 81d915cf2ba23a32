package preflight

import (
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/redis-watchdog/redis-watchdog/lab"
	"github.com/redis-watchdog/redis-watchdog/preflight"
	"github.com/redis-watchdog/redis-watchdog/preflight/gather"
)

// What takes more than a parameter: restarts with another file, processes that
// stand still, saves under way, Sentinels of another opinion.

// module is the least that Redis loads, of a version.
const module = `
int RedisModule_OnLoad(void **ctx, void **argv, int argc) {
	int (*api)(const char *, void *) = (int (*)(const char *, void *))ctx[0];
	void (*attribs)(void *, const char *, int, int) = 0;
	api("RedisModule_SetModuleAttribs", &attribs);
	attribs(ctx, "labmodule", VERSION, 1);
	return 0;
}
`

// buildModule compiles it. The C compiler is there: the race detector needs it.
func buildModule(t *testing.T, version int) string {
	t.Helper()
	return compile(t, module, fmt.Sprintf("-DVERSION=%d", version))
}

// compile makes a shared library.
func compile(t *testing.T, text string, flags ...string) string {
	t.Helper()
	dir := t.TempDir()
	source, to := filepath.Join(dir, "lab.c"), filepath.Join(dir, "lab.so")
	if err := os.WriteFile(source, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), "gcc", append(flags, "-shared", "-fPIC", "-w", "-o", to, source)...)
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("compile a library: %v: %s", err, out)
	}
	return to
}

// restarted changes the text of the candidate's redis.conf and restarts it, and
// mends it in the same way.
func restarted(check string, change func(text string) string, shows ...string) failure {
	var good string
	again := func(w *world, text string) {
		r := w.candidate()
		r.Kill()
		if err := os.WriteFile(r.ConfigFile, []byte(text), 0o644); err != nil {
			w.t.Fatal(err)
		}
		r.Restart()
		w.allowSide(r)
	}
	return failure{check: check, shows: shows,
		spoil: func(w *world) {
			text, err := os.ReadFile(w.candidate().ConfigFile)
			if err != nil {
				w.t.Fatal(err)
			}
			good = string(text)
			again(w, change(good))
		},
		mend: func(w *world) {
			again(w, good)
			w.group.WaitReplicas()
			w.started(w.candidate())
		}}
}

func added(line string) func(string) string {
	return func(text string) string { return text + "\n" + line + "\n" }
}

// without leaves out the lines that begin so.
func without(prefix string) func(string) string {
	return func(text string) string {
		var kept []string
		for line := range strings.Lines(text) {
			if !strings.HasPrefix(line, prefix) {
				kept = append(kept, line)
			}
		}
		return strings.Join(kept, "")
	}
}

// still is the candidate stopped: its watchdog's last report is what is known.
func still(check string, shows ...string) failure {
	return failure{check: check, shows: shows,
		spoil: func(w *world) {
			known := w.facts().Nodes[1]
			w.candidate().Stop()
			w.edit = func(f *preflight.Facts) { f.Nodes[1] = known }
		},
		mend: func(w *world) { w.candidate().Cont(); w.edit = nil }}
}

// alone has the master stand still for a Sentinel that is less patient than the
// others; what the master said before stands for its facts.
func alone(check string, shows ...string) failure {
	patience := func(w *world, milliseconds string) {
		w.group.Sentinels[2].Do("SENTINEL", "SET", w.group.Name, "down-after-milliseconds", milliseconds)
	}
	return failure{check: check, shows: shows,
		spoil: func(w *world) {
			known := w.facts().Nodes[0]
			patience(w, "1000")
			w.master().Stop()
			w.edit = func(f *preflight.Facts) { f.Nodes[0] = known }
		},
		mend: func(w *world) { w.master().Cont(); w.edit = nil; patience(w, "30000") }}
}

func states(t *testing.T) []failure {
	other := buildModule(t, 2)
	withoutModule := without("loadmodule ")
	var clients []net.Conn
	return []failure{
		restarted("parity_databases", added("databases 8"), "databases 8", "databases 16"),
		restarted("parity_modules", withoutModule, "labmodule"),
		restarted("parity_module_versions", func(text string) string { return withoutModule(text) + "\nloadmodule " + other + "\n" }, "labmodule@1", "labmodule@2"),
		restarted("parity_commands", added("rename-command KEYS all-keys"), "removed KEYS differently"),
		restarted("parity_commands_extra", without("rename-command LOLWUT"), "LOLWUT as it is", "LOLWUT removed"),
		restarted("replication_data", added("masterauth not-the-password"), "never been in step", "link down"),
		{check: "parity_maxclients",
			spoil: func(w *world) {
				for range 60 {
					c, err := net.Dial("tcp", w.master().Address)
					if err != nil {
						w.t.Fatal(err)
					}
					clients = append(clients, c)
				}
				w.candidate().Do("CONFIG", "SET", "maxclients", "50")
			}, shows: []string{"maxclients 50", "connected_clients"},
			mend: func(w *world) {
				for _, c := range clients {
					c.Close()
				}
				w.candidate().Do("CONFIG", "SET", "maxclients", "1000")
			}},
		{check: "parity_auth",
			spoil: func(w *world) { w.candidate().Do("CONFIG", "SET", "requirepass", "secret") }, shows: []string{"requirepass set", "requirepass not set"},
			mend: func(w *world) { w.sideDo(w.candidate(), "CONFIG", "SET", "requirepass", "") }},
		{check: "parity_tls",
			spoil: func(w *world) {
				ca := w.lab.CA()
				cert, key := ca.Client("redis")
				w.master().Do("CONFIG", "SET", "tls-ca-cert-file", ca.File, "tls-cert-file", cert, "tls-key-file", key, "tls-port", fmt.Sprint(w.lab.Host("tls").Port(7000)))
			}, shows: []string{"tls-port", "no tls-port and the master has"},
			mend: func(w *world) { w.master().Do("CONFIG", "SET", "tls-port", "0") }},
		{check: "replication_answers", unsure: true,
			spoil: func(w *world) { w.candidate().Stop() }, shows: []string{"could not be found out"},
			mend: func(w *world) { w.candidate().Cont() }},
		{check: "replication_master", of: ofMaster,
			spoil: func(w *world) {
				w.candidate().Stop()
				w.master().Do("SET", "handed", "over")
				w.master().Do("FAILOVER", "TO", w.candidate().Host.IP, w.candidate().Port, "TIMEOUT", "3600000")
			}, shows: []string{"waiting-for-sync"},
			mend: func(w *world) { w.master().Do("FAILOVER", "ABORT"); w.candidate().Cont() }},
		still("replication_lag", "behind", "lag"),
		{check: "replication_sync", of: ofMaster,
			spoil: func(w *world) {
				w.master().Do("CONFIG", "SET", "repl-diskless-sync-delay", "3600")
				third := w.group.Redis[2] // gets another history
				third.Do("REPLICAOF", "NO", "ONE")
				third.Do("SET", "another", "history")
				third.Do("REPLICAOF", w.master().Host.IP, w.master().Port)
			}, shows: []string{"wait_bgsave"},
			mend: func(w *world) {
				w.master().Do("CONFIG", "SET", "repl-diskless-sync-delay", "0")
				w.group.WaitReplicas()
			}},
		{check: "replication_backlog",
			spoil: func(w *world) {
				w.candidate().Do("CONFIG", "SET", "repl-backlog-size", "16kb")
				w.edit = func(f *preflight.Facts) {
					for i := range 200 {
						w.master().Do("SET", fmt.Sprintf("key:%d", i%100), strings.Repeat("v", 1000))
					}
					f.Nodes[0] = w.node(w.lab.Context(), w.master())
					f.Nodes[0].Rates = nil
				}
			}, shows: []string{"16384 (16.00 KiB)", "instantaneous_input_kbps"},
			mend: func(w *world) { w.candidate().Do("CONFIG", "SET", "repl-backlog-size", "64mb") }},
		{check: "persistence_fork",
			spoil: func(w *world) {
				w.candidate().Do("CONFIG", "SET", "rdb-key-save-delay", "20000")
				w.candidate().Do("BGSAVE")
			}, shows: []string{"rdb_bgsave_in_progress 1"},
			mend: func(w *world) { w.candidate().Do("CONFIG", "SET", "rdb-key-save-delay", "0") }}, // it ends by itself
		{check: "persistence_writable",
			spoil: func(w *world) { w.candidate().Do("CONFIG", "SET", "save", "3600 100000"); w.cannotSave() }, shows: []string{"rdb_last_bgsave_status err"},
			mend: func(w *world) { w.canSave(); w.candidate().Do("CONFIG", "SET", "save", "") }},
		{check: "persistence_status",
			spoil: (*world).cannotSave, shows: []string{"snapshot err"}, mend: (*world).canSave},
		set("persistence_fork_time", candidate, "timeout", "0", "0", "latest_fork_usec"),
		{check: "host_evictions", of: ofMaster,
			spoil: func(w *world) {
				w.master().Do("CONFIG", "SET", "maxmemory-policy", "allkeys-random", "maxmemory", "1")
				_, _ = w.master().Try("SET", "one", "more") // refused, or not: others went for it
				w.edit = func(f *preflight.Facts) { f.Nodes[0].Rates = nil }
			}, shows: []string{"evicted_keys"},
			mend: func(w *world) {
				w.master().Do("CONFIG", "SET", "maxmemory", "1gb", "maxmemory-policy", "noeviction")
				w.master().Do("CONFIG", "RESETSTAT")
			}},
		{check: "host_clock",
			spoil: func(w *world) { w.unsynchronised = true }, shows: []string{"not kept by NTP"},
			mend: func(w *world) { w.unsynchronised = false }},
		{check: "host_log",
			spoil: func(w *world) {
				w.log = "/var/log/redis.log"
				w.write(w.hosts[w.candidate()], w.log, "1:M 24 Nov 2026 10:25:48.549 # MISCONF Errors writing to the AOF file\n")
			}, shows: []string{"MISCONF"},
			mend: func(w *world) { w.log = "" }},
		{check: "sentinel_rights",
			spoil: func(w *world) { w.candidate().Do("ACL", "SETUSER", "default", "-slaveof") }, shows: []string{"slaveof"},
			mend: func(w *world) { w.candidate().Do("ACL", "SETUSER", "default", "+@all") }},
		alone("sentinel_calm", "s_down").judgedAt(group),
		still("sentinel_candidate", "s_down"),
		{check: "sentinel_tilt", of: group,
			spoil: func(w *world) {
				w.group.Sentinels[2].Stop()
				w.lab.Pause(3 * time.Second) // a timer that was called more than 2 s late
				w.group.Sentinels[2].Cont()
			}, shows: []string{"TILT"}, mend: func(*world) {}}, // it ends by itself
		{check: "sentinel_agreement", of: group,
			spoil: func(w *world) {
				for _, s := range w.group.Sentinels[:2] {
					s.Do("SENTINEL", "REMOVE", w.group.Name)
				}
			}, shows: []string{"no majority"},
			mend: func(w *world) {
				for _, s := range w.group.Sentinels[:2] {
					s.Do("SENTINEL", "MONITOR", w.group.Name, w.master().Host.IP, w.master().Port, "2")
				}
			}},
		{check: "sentinel_silent", of: group,
			spoil: func(w *world) { w.group.Sentinels[2].Do("SENTINEL", "REMOVE", w.group.Name) }, shows: []string{"No such master"},
			mend: func(w *world) {
				w.group.Sentinels[2].Do("SENTINEL", "MONITOR", w.group.Name, w.master().Host.IP, w.master().Port, "2")
			}},
		// RESET empties a list until the next INFO: a moment, so that it is done
		// before every look.
		{check: "sentinel_replicas", of: group,
			spoil: func(w *world) {
				w.edit = func(f *preflight.Facts) {
					w.group.Sentinels[2].Do("SENTINEL", "RESET", w.group.Name)
					f.Sentinels = w.sentinels(w.lab.Context())
				}
			}, shows: []string{"is listed by 2 of 3"},
			mend: func(w *world) { w.edit = nil }},
		slowDisk(),
	}
}

// cannotSave has the candidate's directory taken away, and a save fail of it.
func (w *world) cannotSave() {
	dir, err := os.MkdirTemp("", "preflight-save-")
	if err != nil {
		w.t.Fatal(err)
	}
	w.candidate().Do("CONFIG", "SET", "dir", dir)
	if err := os.RemoveAll(dir); err != nil {
		w.t.Fatal(err)
	}
	w.save()
}

func (w *world) canSave() {
	w.candidate().Do("CONFIG", "SET", "dir", w.t.TempDir())
	w.save()
}

// save begins a save, after one that runs.
func (w *world) save() {
	w.t.Helper()
	w.lab.Eventually("a save begins", 20*time.Second, func() error {
		_, err := w.candidate().Try("BGSAVE")
		return err
	})
}

func TestStatesFailAndPassOnRealServers(t *testing.T) {
	w := worldOf(t, lab.GroupConfig{Redis: lab.RedisConfig{Binary: onSlowDisk(t), Lines: []string{"enable-debug-command yes",
		"loadmodule " + buildModule(t, 1), "repl-backlog-size 64mb", "maxclients 1000", "enable-protected-configs yes", `rename-command LOLWUT ""`}}})
	w.drift, w.side = true, true
	for _, r := range w.group.Redis {
		w.allowSide(r)
	}
	for _, f := range states(t) {
		w.check(f)
	}
}

const sideUser, sidePassword = "side", "door"

// allowSide is a way in, whatever becomes of the default user.
func (w *world) allowSide(r *lab.Redis) {
	if w.side {
		r.Do("ACL", "SETUSER", sideUser, "on", ">"+sidePassword, "~*", "&*", "+@all")
	}
}

// sideDo is Do by that user.
func (w *world) sideDo(r *lab.Redis, args ...string) {
	w.t.Helper()
	c := gather.Server{Socket: r.Socket, Username: sideUser, Password: sidePassword}
	if _, err := c.Do(w.lab.Context(), args...); err != nil {
		w.t.Fatalf("%s: %v: %v", r.Name, args, err)
	}
}
