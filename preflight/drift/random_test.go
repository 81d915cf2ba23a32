package drift

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/redis-watchdog/redis-watchdog/preflight/redisconf"
)

// files a real server is started on are random, half of them with a fault. What
// our reading says must equal what that server says: that it does not start, or
// every value of CONFIG GET *.
func TestRandomFilesReadAsARealServerReadsThem(t *testing.T) { randomFiles(t, local(), 60) }

func randomFiles(t *testing.T, tg target, count int) {
	build := buildOf(t, tg)
	started := 0
	for seed := range count {
		seed := uint64(seed)
		if testing.Short() && seed > 10 {
			break
		}
		if randomFile(t, tg, build, seed) {
			started++
		}
		if t.Failed() {
			return
		}
	}
	t.Logf("%s %s: %d of %d files started a server", build.Product, build.Version, started, count)
	if started < count/8 || started > count*9/10 {
		t.Errorf("%d of %d files started a server: the files are too good or too bad", started, count)
	}
}

// buildOf starts a target once to learn its version.
func buildOf(t *testing.T, tg target) *redisconf.Build {
	t.Helper()
	r := tg.prepare(t)
	r.write("redis.conf", "port 0\nunixsocket "+r.dir+"/s\n")
	r.mustStart("", r.dir+"/redis.conf")
	defer r.stop()
	return mustBuild(t, r.info())
}

func randomFile(t *testing.T, tg target, build *redisconf.Build, seed uint64) (started bool) {
	t.Helper()
	r := tg.prepare(t)
	w := &writer{Rand: rand.New(rand.NewPCG(seed, 1)), build: build, dir: r.dir}
	for name, text := range w.files() {
		r.write(name, text)
	}
	config, mine := redisconf.Evaluate(build, files{root: tg.root, prefix: strings.TrimSuffix(tg.root, "/")}, redisconf.Start{File: r.dir + "/redis.conf", Dir: r.dir})
	theirs := r.start("", r.dir+"/redis.conf")
	if r.ended != nil {
		defer r.stop()
	}
	text := func() string { return fmt.Sprintf("seed %d\n%q", seed, w.written) }
	if theirs != nil && !errors.Is(theirs, errRefused) {
		t.Fatal(theirs)
	}
	if (mine == nil) != (theirs == nil) {
		t.Errorf("we say %v, the server says %v; %s", mine, theirs, text())
		return false
	}
	if mine != nil {
		return false
	}
	real := r.config()
	for name, e := range fromFile(build, build.Version, config, false) {
		got, shown := real[name]
		if !shown {
			continue
		}
		if e.Why != "" || e.Text != got {
			t.Errorf("%s: we say %q (%s), the server says %q; %s", name, e.Text, e.Why, got, text())
		}
	}
	return true
}

// writer makes files up.
type writer struct {
	*rand.Rand
	build   *redisconf.Build
	dir     string
	written map[string]string
	bad     bool // wrong values are allowed
}

// untried are parameters that would shut us out, eat the machine, need files,
// or are checked in ways we do not judge.
func untried() []string {
	return []string{
		"port", "unixsocket", "daemonize", "supervised", "logfile", "pidfile", "aclfile", "cluster-enabled", "appendonly",
		"requirepass", "maxclients", "maxmemory-clients", "databases", "io-threads", "replicaof", "activedefrag", "dir",
		"syslog-enabled", "tls-port", "tls-cluster", "tls-replication", "locale-collate", "watchdog-period", "include",
		"socket-mark-id", "hash-seed", "cluster-announce-client-ipv4", "cluster-announce-client-ipv6", "proc-title-template",
		"cluster-announce-human-nodename", "cluster-config-file", "rdma-bind", "rdma-port", "availability-zone", "req-res-logfile", "unixsocketgroup",
	}
}

func (w *writer) files() map[string]string {
	w.bad = w.IntN(2) == 0
	w.written = map[string]string{"sub/empty.conf": "", "conf.d/.hidden.conf": "bad directive here\n"}
	names := []string{"sub/a.conf", "conf.d/1.conf", "conf.d/2.conf", "conf.d/x1.cnf"}
	for _, name := range names {
		w.written[name] = w.lines(1+w.IntN(4), false)
	}
	main := w.lines(4+w.IntN(20), true)
	if !strings.HasSuffix(main, "\n") {
		main += "\n"
	}
	w.written["redis.conf"] = main + "port 0\nunixsocket " + w.dir + "/s\n"
	return w.written
}

func (w *writer) lines(count int, includes bool) string {
	var b strings.Builder
	for range count {
		b.WriteString(w.line(includes))
		b.WriteString(w.pick("\n", "\n", "\n", " \n", "\t\r\n", "\n\n", "\n# comment\n", "\n   #x '\"\n"))
	}
	text := b.String()
	if w.IntN(4) == 0 {
		text = strings.TrimRight(text, "\n")
	}
	return text
}

func (w *writer) pick(from ...string) string { return from[w.IntN(len(from))] }

func (w *writer) line(includes bool) string {
	switch n := w.IntN(40); {
	case n < 5 && includes:
		return w.pick("include ", "INCLUDE ", "\tinclude\t") + w.pick("sub/a.conf", "'sub/empty.conf'", w.dir+"/sub/a.conf",
			`"`+w.dir+`/conf.d/*.conf"`, "conf.d/?.conf", "conf.d/[!2].conf", "conf.d/[1-2].c*", "nowhere/*.conf", "*/a.conf")
	case n < 7:
		return "dir " + w.pick(w.dir, `"`+w.dir+`/sub/.."`, ".", w.dir+"/./sub/../")
	case n < 13:
		return "save " + w.pick("60 1", "300 10", `""`, `"900 1"`, "1 0", "007 +5", "''")
	case n < 16:
		return "client-output-buffer-limit " + w.pick("normal", "replica", "SLAVE", "pubsub") + " " +
			w.pick("0 0 0", "1mb 64k 60", "1GB 1 007")
	case n == 16 && w.bad:
		return w.pick("no-such-thing yes", `timeout "5`, "timeout 5 # five", "save 1", "bind", "maxmemory", "rename-command",
			"sentinel x y", "user", "include", `"timeout"5`, "hz 10 10", "a.b", "maxmemory 1.5gb", "timeout 010", "=")
	case n == 17:
		return w.pick("list-max-ziplist-entries 5", "list-max-ziplist-value 5", `"tim\x65out" 5`, "rename-command keys ''", "''timeout 5", "sentinel")
	}
	p := w.build.Names[w.IntN(len(w.build.Names))]
	for slices.Contains(untried(), p.Name) || p.Name == "hz" && strings.HasPrefix(w.build.Version, "6.") {
		p = w.build.Names[w.IntN(len(w.build.Names))]
	}
	name := w.pick(append(p.Aliases, p.Name)...)
	if w.IntN(5) == 0 {
		name = strings.ToUpper(name)
	}
	return name + w.pick(" ", "  ", "\t") + w.value(p)
}

// value is one for a parameter; a wrong one now and then, where allowed.
func (w *writer) value(p *redisconf.Parameter) string {
	value := w.good(p)
	if w.bad && w.IntN(25) == 0 {
		value = w.pick("zz", "-1", "010", "1.5", "true", "''", "0x10", "99999999999999999999", "5%", "1tb", "+1", "yes no", "18446744073709551615", "gb")
	}
	switch w.IntN(8) {
	case 0:
		if !strings.ContainsAny(value, `"'`) {
			return `"` + value + `"`
		}
	case 1:
		if !strings.ContainsAny(value, `"'`) && !strings.Contains(value, " ") {
			return `'` + value + `'`
		}
	}
	return value
}

func (w *writer) good(p *redisconf.Parameter) string {
	switch p.Kind {
	case redisconf.Bool:
		return w.pick("yes", "no", "YES", "No")
	case redisconf.Enum:
		word, _, _ := strings.Cut(w.pick(p.Detail...), ">")
		return word
	case redisconf.Flags:
		return w.pick("default", "save", "nosave now", "NOW", "force now save", "now now", "save force")
	case redisconf.Integer:
		return w.pick(append(p.Detail, "5", "7", "12")...)
	case redisconf.Memory, redisconf.LooseMemory:
		return w.pick("2mb", "1048577", "3MB", "4gb", "5g", "1200k", "2048Kb", "007340032b", "6m")
	case redisconf.Octal, redisconf.LooseOctal:
		return w.pick("700", "0770", "777")
	case redisconf.Bind:
		return w.pick("127.0.0.1", "* -::*", "127.0.0.1 ::1 -10.0.0.1", `""`)
	case redisconf.Events:
		return w.pick("KEA", "Kg$", `""`, "AKE", "xKe", "mEg", "gxeE", "K$$", "g$lshzxetE")
	case redisconf.Scores:
		return w.pick("0 200 800", "1 +2 3", "-5 10 007")
	case redisconf.Percentiles:
		return w.pick("50 99", "99.9", `""`, "0.1 1e1 100", "33.333333333", "0x10")
	}
	if slices.Contains([]string{"dbfilename", "appendfilename", "appenddirname", "cluster-announce-hostname"}, p.Name) {
		return w.pick("plain", "with-dash.x")
	}
	return w.pick("plain", `"with blank"`, `'it\'s'`, `"a\tb\x41\"\\"`, `pre"fixed"`, `"\xc3\xa9"`, "é", `"nul\x00cut"`, "#hash", "a#b")
}

// What a real server starts on and refuses, one by one: each was found wrong
// once, or is easy to get wrong.
func TestLinesReadAsARealServerReadsThem(t *testing.T) { pickedLines(t, local()) }

func pickedLines(t *testing.T, tg target) {
	build := buildOf(t, tg)
	for _, lines := range []string{
		"maxmemory ''", "maxmemory gb", "maxmemory -1", "maxmemory 99999999999999999999", "maxmemory 18446744073709551615",
		"maxmemory 20000000000gb", "maxmemory-clients 5%", "maxmemory-clients 101%", "maxmemory-clients -5%",
		"repl-backlog-size 0", "unixsocketperm 778", "unixsocketperm zz", "unixsocketperm ''", "timeout -0", "timeout 00",
		"notify-keyspace-events Kn", "notify-keyspace-events An", "notify-keyspace-events Kd", "notify-keyspace-events A$", "notify-keyspace-events q",
		"save", "save\nsave 5 5", "save 5 5\nsave", "save 1 1\ninclude sub/a.conf\nsave 2 2\nsave 3 3", "save 5", "save '5 5 6 6'", "save -1 5", "save 5 -1", "save '' ''",
		"save 1 1\ninclude sub/s.conf\nsave 3 3", "include sub/s.conf\nsave 3 3", "include sub/s.conf",
		"bind ''", "bind '' ''", "bind '127.0.0.1 ::1'", `bind "a'b"`, "bind 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17",
		"client-output-buffer-limit master 1 1 1", "client-output-buffer-limit normal 1 1", "client-output-buffer-limit normal x 1 1",
		"client-output-buffer-limit normal 1 1 -1", "client-output-buffer-limit normal 1 1 1 pubsub 2 2 2", "client-output-buffer-limit",
		"oom-score-adj-values 1 2", "oom-score-adj-values 1 2 2001", "oom-score-adj-values '1 2 3'", "hz 0", "hz 1000", "hz -1",
		"dbfilename a/b", "dbfilename ''", "appendfilename ''", "appenddirname a/b", "dir /nowhere/at/all", "dir ''", "dir /tmp\ninclude sub/a.conf",
		"replicaof no one", "replicaof 127.0.0.1 99999", "replicaof 127.0.0.1", "slaveof 127.0.0.1 007",
		"user a on\nuser b", "loglevel verb", "appendfsync ALWAYS", "shutdown-on-sigterm save nosave", "shutdown-on-sigterm ''",
		"proc-title-template ''", "proc-title-template {nope}", "proc-title-template {title", "proc-title-template 'x {{'", "proc-title-template '{port} {title}'",
		"cluster-announce-hostname a_b", "latency-tracking-info-percentiles 101", "latency-tracking-info-percentiles nan", "latency-tracking-info-percentiles 1e-400",
		"latency-tracking-info-percentiles 0x1p3 .5", "list-max-ziplist-entries a b", "lua-replicate-commands yes", "io-threads-do-reads yes", "gopher-enabled no",
		"slave-priority 1\nreplica-priority 2\nslave-priority 3", "include nowhere.conf", "include '*nowhere*'", "include sub", "include sub/a.conf sub/a.conf",
		"timeout\v5", "\v timeout 5", "timeout 5\v", "timeout\f 5", "\"timeout\" 5", "timeout \"5\"\v", "TIMEOUT 5\r", "masterauth 'a\x01b'", "masterauth \"a\\x00b\"", "masteruser \"a\\x00b\"",
		"timeout 5\x00garbage\nhz 11", "# comment\x00\nbad line\nhz 11", "masteruser " + strings.Repeat("x", 2000) + "\x00y\nhz 12", "sentinel", "sentinel monitor", "maxmemory\u00a05", "include sub/glue*.conf", "cluster-enabled yes\nreplicaof 127.0.0.1 1",
		"client-query-buffer-limit zz", "client-query-buffer-limit 5mb", "requirepass ''", "maxmemory 1KB", "rename-command keys x\nrename-command keys y", "rename-command keys x\nrename-command x y",
	} {
		if tg.older() && (strings.HasPrefix(lines, "hz ") || lines == "client-query-buffer-limit zz") {
			continue // they crash a Redis 6.0 or keep everybody out of it
		}
		r := tg.prepare(t)
		r.write("sub/a.conf", "timeout 7\n")
		r.write("sub/s.conf", "save 7 7\nsave 8 8\n")
		r.write("sub/glue1.conf", "maxmemory 1")
		r.write("sub/glue2.conf", "5mb\n")
		r.write("redis.conf", "port 0\nunixsocket "+r.dir+"/s\n"+lines+"\n")
		config, mine := redisconf.Evaluate(build, files{root: tg.root, prefix: strings.TrimSuffix(tg.root, "/")}, redisconf.Start{File: filepath.Join(r.dir, "redis.conf"), Dir: r.dir})
		theirs := r.start("", r.dir+"/redis.conf")
		if (mine == nil) != (theirs == nil) {
			t.Errorf("%q: we say %v, the server says %v", lines, mine, theirs)
		}
		if mine == nil && theirs == nil {
			real, err := r.ConfigGet(t.Context(), "*").Result()
			if err != nil {
				t.Errorf("%q: %v", lines, err)
			}
			for name, e := range fromFile(build, build.Version, config, false) {
				if got, shown := real[name]; shown && (e.Why != "" || e.Text != got) {
					t.Errorf("%q: %s: we say %q (%s), the server says %q", lines, name, e.Text, e.Why, got)
				}
			}
		}
		r.stop()
	}
}
