package drift

import (
	"errors"
	"maps"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/redis-watchdog/redis-watchdog/preflight"
	"github.com/redis-watchdog/redis-watchdog/preflight/redisconf"
)

// What is foreseen of CONFIG REWRITE must be what a real server makes of it:
// that it starts again on the file it wrote, and with which values.

// foreseen starts a target, has its Redis changed, reads what is foreseen by
// both methods, rewrites, restarts and compares.
func foreseen(t *testing.T, r *running, what string, args []string, change func()) (d preflight.Drift) {
	t.Helper()
	if change != nil {
		change()
	}
	all := map[string]preflight.Drift{}
	for method, shadow := range methods() {
		o := r.options(shadow)
		o.CommandLine = args
		d := Read(t.Context(), o)
		if d.Rewrite == nil || d.Problem != "" {
			t.Fatalf("%s: %s: nothing is foreseen: %q, notes %q", what, method, d.Problem, d.Notes)
		}
		if d.Rewrite.Method != method && d.Rewrite.Refused == "" && r.target.root == "/" { // elsewhere there is no /proc for the ACL file
			t.Errorf("%s: by %s, want by %s: %v", what, d.Rewrite.Method, method, d.Notes)
		}
		all[method] = d
	}
	before := r.config()
	if err := r.ConfigRewrite(t.Context()).Err(); err != nil {
		t.Fatalf("%s: %v", what, err)
	}
	r.stop()
	if err := os.Remove(filepath.Join(r.outside, "s")); err != nil {
		t.Fatal(err)
	}
	err := r.start("", args...)
	if err == nil && r.Ping(t.Context()).Err() != nil { // it listens before it loads modules
		<-r.ended
		err = errRefused
	}
	if err != nil && !errors.Is(err, errRefused) {
		t.Fatal(err)
	}
	for method, d := range all {
		if (err != nil) != (d.Rewrite.Refused != "") {
			text, _ := os.ReadFile(filepath.Join(r.outside, "redis.conf"))
			t.Errorf("%s: %s foresees %q, the server says %v\n%s", what, method, d.Rewrite.Refused, err, text)
		}
	}
	if err != nil {
		return all["table"]
	}
	want := map[string]string{}
	for name, value := range r.config() {
		if value != before[name] {
			want[name] = value
		}
	}
	for method, d := range all {
		got := map[string]string{}
		for _, p := range d.Rewrite.Lost {
			if p.Why == "" {
				for _, name := range aliases(anyBuild(t, r.info()), p.Name) {
					if _, shown := before[name]; shown {
						got[name] = p.File
					}
				}
			}
		}
		if !maps.Equal(got, want) {
			text, _ := os.ReadFile(filepath.Join(r.outside, "redis.conf"))
			t.Errorf("%s: %s foresees %q, the server has %q\n%s", what, method, got, want, text)
		}
	}
	return all["table"]
}

func TestRewriteIsForeseenOfRandomFiles(t *testing.T) { rewriteRandomFiles(t, local(), 40) }

func rewriteRandomFiles(t *testing.T, tg target, count int) {
	build := buildOf(t, tg)
	started := 0
	for seed := range count {
		if testing.Short() && seed > 10 || t.Failed() {
			break
		}
		r := tg.prepare(t)
		w := &writer{Rand: rand.New(rand.NewPCG(uint64(seed), 2)), build: build, dir: r.dir}
		for name, text := range w.files() {
			if name == "redis.conf" { // the directory it is started in is not seen from outside
				text = "dir " + r.dir + "\n" + text
			}
			r.write(name, text)
		}
		args := []string{r.dir + "/redis.conf"}
		if err := r.start("", args...); err == nil {
			started++
			foreseen(t, r, "seed", args, func() {
				for range w.IntN(4) { // refused or not
					_ = r.ConfigSet(t.Context(), w.pick("timeout", "maxmemory", "save", "hz", "replica-priority"), w.pick("7", "60 1", "300 10 60 1", "100")).Err()
				}
			})
		}
		r.stop()
	}
	t.Logf("%s %s: %d of %d files started a server", build.Product, build.Version, started, count)
	if started < count/8 {
		t.Errorf("%d of %d files started a server", started, count)
	}
}

// rewriteCase is one that was found wrong once, or is easy to get wrong.
type rewriteCase struct {
	main, included string
	args           []string          // of the command line, behind the file
	set            map[string]string // by CONFIG SET
	refused        string            // in what is foreseen; empty: it starts
	twice          []string          // names
	lost           string            // names, sorted
}

func rewriteCases(module string) map[string]rewriteCase {
	return map[string]rewriteCase{
		"nothing":                    {},
		"users in the file":          {main: "user alice on >pw ~* +@all\nuser default on nopass ~* +@all\n"},
		"user in an include":         {main: "include INC\n", included: "user alice on >pw ~* +@all\n", refused: "duplicate user", twice: []string{"user alice"}},
		"user above and below":       {main: "user bob on +get\ninclude INC\nuser carol on +get\n", included: "user alice on >pw ~* +@all\n", refused: "duplicate user", twice: []string{"user alice"}},
		"default user in an include": {main: "include INC\n", included: "user default on nopass ~* +@all\n", refused: "duplicate user", twice: []string{"user default"}},
		"user of the command line":   {args: []string{"--user", "alice", "on", ">pw"}, refused: "duplicate user", twice: []string{"user alice"}},
		"ACL file in an include":     {main: "include INC\n", included: "aclfile DIR/users.acl\n"},
		"module in the file":         {main: "loadmodule " + module + "\n"},
		"module in an include":       {main: "include INC\n", included: "loadmodule " + module + "\n", refused: "loaded twice", twice: []string{"loadmodule " + module}},
		"module of the command line": {args: []string{"--loadmodule", module}, refused: "loaded twice", twice: []string{"loadmodule " + module}},
		"save points of the default": {main: "include INC\n", included: "timeout 5\n", set: map[string]string{"save": "3600 1 300 100 60 10000"}, lost: "save"},
		"save points below":          {main: "include INC\nsave 900 1 300 10\n", included: "timeout 5\n", lost: "save"},
		"save points above":          {main: "save 900 1\nsave 300 10\ninclude INC\n", included: "timeout 5\n"},
		"no save points":             {main: "include INC\nsave ''\n", included: "timeout 5\n"},
		"include has the last word":  {main: "maxmemory 1gb\ninclude INC\n", included: "maxmemory 2gb\n", set: map[string]string{"maxmemory": "3221225472"}, lost: "maxmemory"},
		"include without a line":     {main: "include INC\n", included: "maxmemory 2gb\n", set: map[string]string{"maxmemory": "3221225472"}},
		"back to the default":        {main: "include INC\n", included: "maxmemory 2gb\n", set: map[string]string{"maxmemory": "0"}, lost: "maxmemory"},
		"command line wins":          {args: []string{"--maxmemory", "2gb"}, set: map[string]string{"maxmemory": "3221225472"}, lost: "maxmemory"},
		"master in an include":       {main: "include INC\n", included: "replicaof 127.0.0.1 1\n", lost: "replicaof"},
		"replicaof below":            {main: "include INC\nreplicaof 127.0.0.1 1\n", included: "timeout 5\n"},
		"priority in an include":     {main: "slave-priority 50\ninclude INC\n", included: "replica-priority 90\n", lost: "replica-priority"},
		"password with a quote":      {main: "masterauth 'a\"b'\n"},
		"renamed":                    {main: "include INC\n", included: "rename-command KEYS ''\n"},
	}
}

func TestRewriteIsForeseen(t *testing.T) { rewriteForeseen(t, local()) }

func rewriteForeseen(t *testing.T, tg target) {
	for _, name := range slices.Sorted(maps.Keys(rewriteCases(""))) {
		r := tg.prepare(t)
		c := rewriteCases(r.dir + "/m.so")[name]
		r.writeModule()
		fill := strings.NewReplacer("INC", r.dir+"/inc.conf", "DIR", r.dir)
		r.write("redis.conf", "port 0\nunixsocket "+r.dir+"/s\ndir "+r.dir+"\nsave ''\n"+fill.Replace(c.main))
		r.write("inc.conf", fill.Replace(c.included))
		r.write("users.acl", "user default on nopass ~* +@all\nuser alice on >pw +get\n")
		args := append([]string{r.dir + "/redis.conf"}, c.args...)
		if err := r.start("", args...); err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		if name == "password with a quote" && r.info()["valkey_version"] == "8.1.1" {
			c.refused = "unbalanced quotes"
		}
		if tg.older() { // it takes the last of two users, and writes no modules
			c.refused, c.twice = "", nil
		}
		info := r.info()
		d := foreseen(t, r, name, args, func() {
			for name, value := range c.set {
				r.set(name, value)
			}
		})
		var twice, lost []string
		for _, l := range d.Rewrite.Twice {
			twice = append(twice, l.Name)
		}
		for _, p := range d.Rewrite.Lost {
			lost = append(lost, p.Name)
		}
		if build := anyBuild(t, info); build.Product == "valkey" {
			// A quirk of its own: all points in one line.
			c.lost = strings.TrimSuffix(c.lost, "save")
		}
		if !strings.Contains(d.Rewrite.Refused, c.refused) || !slices.Equal(twice, c.twice) || !tg.older() && strings.Join(lost, " ") != c.lost {
			t.Errorf("%s: refused %q, twice %q, lost %q; want %q, %q, %q", name, d.Rewrite.Refused, twice, lost, c.refused, c.twice, c.lost)
		}
		r.stop()
	}
}

func anyBuild(t *testing.T, info map[string]string) *redisconf.Build {
	t.Helper()
	r := &reader{Options: Options{Info: info}}
	if err := r.knowBuild(); err != nil {
		t.Fatal(err)
	}
	return r.build
}

// busyModule is the least that Redis loads once and not twice, as every module
// is that was made with redismodule.h.
const busyModule = `
int RedisModule_OnLoad(void **ctx, void **argv, int argc) {
	int (*api)(const char *, void *) = (int (*)(const char *, void *))ctx[0];
	int (*busy)(const char *) = 0;
	void (*attribs)(void *, const char *, int, int) = 0;
	api("RedisModule_IsModuleNameBusy", &busy);
	api("RedisModule_SetModuleAttribs", &attribs);
	if (busy && busy("driftmodule")) return 1;
	attribs(ctx, "driftmodule", 1, 1);
	return 0;
}
`

// writeModule compiles it beside the configuration, as m.so.
func (r *running) writeModule() {
	r.t.Helper()
	r.write("m.c", busyModule)
	to := filepath.Join(r.outside, "m.so")
	cmd := exec.CommandContext(r.t.Context(), "gcc", "-shared", "-fPIC", "-w", "-o", to, filepath.Join(r.outside, "m.c"))
	if out, err := cmd.CombinedOutput(); err != nil {
		r.t.Fatalf("compile a module: %v: %s", err, out)
	}
	if err := os.Chmod(to, 0o755); err != nil {
		r.t.Fatal(err)
	}
}
