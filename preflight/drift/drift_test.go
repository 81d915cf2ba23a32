package drift

import (
	"encoding/json"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/redis-watchdog/redis-watchdog/preflight"
	"github.com/redis-watchdog/redis-watchdog/preflight/redisconf"
)

// rich starts a target on the rich file.
func rich(t *testing.T, tg target, more ...string) *running {
	t.Helper()
	r := tg.prepare(t)
	r.writeRich(more...)
	r.mustStart(richPassword, r.dir+"/redis.conf")
	return r
}

func methods() map[string]bool { return map[string]bool{"table": false, "shadow": true} }

// clean fails unless nothing at all is reported.
func clean(t *testing.T, d preflight.Drift, method string) {
	t.Helper()
	if d.Problem != "" || len(d.Drifted)+len(d.Unknown)+len(d.Ours) > 0 || d.Method != method {
		t.Errorf("%s: got method %q, problem %q, drifted %v, unknown %v, ours %v, notes %v",
			method, d.Method, d.Problem, d.Drifted, d.Unknown, d.Ours, d.Notes)
	}
}

// withoutUsers drops what only a shadow run can compare.
func withoutUsers(d preflight.Drift) preflight.Drift {
	d.Unknown = slices.DeleteFunc(d.Unknown, func(p preflight.Parameter) bool { return p.Name == "users" })
	return d
}

func TestNothingDriftsOnAFreshServerWithARichFile(t *testing.T) { freshServer(t, local()) }

func freshServer(t *testing.T, tg target) {
	r := rich(t, tg)
	for method, shadow := range methods() {
		d := Read(t.Context(), r.options(shadow))
		clean(t, withoutUsers(d), method)
		if d.FileConfig["maxmemory"] != strconv.Itoa(1<<30) || d.FileConfig["requirepass"] != preflight.Masked {
			t.Errorf("%s: file's maxmemory %q, requirepass %q", method, d.FileConfig["maxmemory"], d.FileConfig["requirepass"])
		}
		if want := map[string]string{"FLUSHALL": "removed", "DEBUG": "renamed"}; !maps.Equal(d.Renamed, want) {
			t.Errorf("%s: renamed: got %v, want %v", method, d.Renamed, want)
		}
	}
}

// others are other legal values where the kind does not tell one.
func others() map[string]string {
	return map[string]string{
		"bind": "127.0.0.1", "client-output-buffer-limit": "pubsub 1mb 1mb 1", "latency-tracking-info-percentiles": "12.5",
		"notify-keyspace-events": "KEA", "oom-score-adj-values": "11 21 31", "save": "17 3", "dir": "/", "requirepass": "other",
		"shutdown-on-sigint": "nosave now", "shutdown-on-sigterm": "force", "maxmemory-clients": "9%",
		"proc-title-template": "{title} other",
		// Valkey checks these two, and any name must be there.
		"cluster-announce-client-ipv4": "10.0.0.1", "cluster-announce-client-ipv6": "::1",
		"watchdog-period": "500", "hash-seed": "", "locale-collate": "C",
	}
}

// another is a legal value that is not the running one.
func another(p *redisconf.Parameter, value string) string {
	if v, ok := others()[p.Name]; ok {
		return v
	}
	switch p.Kind {
	case redisconf.Bool:
		return map[string]string{"yes": "no", "no": "yes"}[value]
	case redisconf.Enum:
		for _, word := range p.Detail {
			if !strings.Contains(word, ">") && word != value {
				return word
			}
		}
	case redisconf.Integer, redisconf.Memory, redisconf.LooseMemory:
		n, err := strconv.ParseInt(value, 10, 64)
		if err != nil {
			return "1"
		}
		if most := p.Detail; len(most) == 2 && most[1] == value {
			return strconv.FormatInt(n-1, 10)
		}
		return strconv.FormatInt(n+1, 10)
	}
	return "other"
}

// refusable are what a server at hand may refuse to change as it runs.
func refusable() []string {
	return []string{"activedefrag", "tls-cluster", "tls-port", "tls-replication", "locale-collate", "rdma-port", "rdma-bind"}
}

func TestEveryParameterChangedInTurnIsFound(t *testing.T) { everyParameter(t, local()) }

func everyParameter(t *testing.T, tg target) {
	var more []string
	if !tg.older() {
		more = append(more, "enable-protected-configs yes")
	}
	r := rich(t, tg, more...)
	options := r.options(true)
	base := Read(t.Context(), options)
	clean(t, base, "shadow")
	build := mustBuild(t, options.Info)
	cached := expectedOf(t, options)
	changed := 0
	for _, p := range build.Names {
		if _, shown := options.Running[p.Name]; !shown || p.Immutable {
			continue // hidden, or changed in the file below
		}
		was := options.Running[p.Name]
		if err := r.ConfigSet(t.Context(), p.Name, another(p, was)).Err(); err != nil {
			noProc := tg.root != "/" && p.Name == "oom-score-adj" // no /proc in there
			if !slices.Contains(refusable(), p.Name) && !noProc {
				t.Errorf("config set %s: %v", p.Name, err)
			}
			continue
		}
		changed++
		now := r.config()
		table := options
		table.Running, table.Shadow = now, false
		only(t, "table", withoutUsers(Read(t.Context(), table)).Drifted, p.Name)
		var d preflight.Drift
		Compare(&d, build, now, cached, Rules{Ignore: DefaultIgnore()})
		only(t, "shadow", d.Drifted, p.Name)
		r.set(p.Name, was)
		if p.Name == "requirepass" { // the others of our own connection stay
			clean(t, withoutUsers(Read(t.Context(), r.options(false))), "table")
		}
	}
	if changed < 100 {
		t.Errorf("changed %d parameters, want at least 100", changed)
	}
	t.Logf("%s %s: %d parameters changed in turn", build.Product, build.Version, changed)
}

// expectedOf is what a shadow run says, to be compared with many times.
func expectedOf(t *testing.T, o Options) map[string]Expected {
	t.Helper()
	r := &reader{Options: o}
	if err := r.compare(t.Context()); err != nil {
		t.Fatal(err)
	}
	config, err := redisconf.Evaluate(r.build, r.files, redisconf.Start{File: r.d.File, Dir: r.process.started, Known: o.Running})
	if err != nil {
		t.Fatal(err)
	}
	expected := fromFile(r.build, r.version, config, false)
	if _, err := r.shadow(t.Context(), config, expected); err != nil || r.d.Method != "shadow" {
		t.Fatalf("shadow: %v, %s, %v", err, r.d.Method, r.d.Notes)
	}
	return expected
}

func mustBuild(t *testing.T, info map[string]string) *redisconf.Build {
	t.Helper()
	r := &reader{Options: Options{Info: info}}
	if err := r.knowBuild(); err != nil {
		t.Fatal(err)
	}
	if r.build.Borrowed {
		t.Fatalf("no table of %s", r.version)
	}
	return r.build
}

// only fails unless exactly one parameter drifted.
func only(t *testing.T, method string, drifted []preflight.Parameter, name string) {
	t.Helper()
	if len(drifted) != 1 || drifted[0].Name != name {
		t.Errorf("%s: after a change of %s: got %v", method, name, drifted)
	}
}

// What cannot be changed at run time differs when the file was changed.
func TestEveryImmutableParameterChangedInTheFileIsFound(t *testing.T) {
	r := rich(t, local())
	options := r.options(false)
	build := mustBuild(t, options.Info)
	text, err := os.ReadFile(filepath.Join(r.outside, "redis.conf"))
	if err != nil {
		t.Fatal(err)
	}
	never := []string{"aclfile", "replicaof"} // users stand in the file; Sentinel's
	options.Ignore = []string{}
	for _, p := range build.Names {
		if !p.Immutable || slices.Contains(never, p.Name) {
			continue
		}
		line := p.Name + " " + redisconf.Quote(another(p, options.Running[p.Name]))
		if p.Kind == redisconf.Octal {
			line = p.Name + " 770"
		}
		r.write("redis.conf", string(text)+"\n"+line+"\n")
		for method, shadow := range methods() {
			options.Shadow = shadow
			d := withoutUsers(Read(t.Context(), options))
			if d.Problem != "" {
				t.Errorf("%s: %s: %s", method, p.Name, d.Problem)
			}
			only(t, method, d.Drifted, p.Name)
			if len(d.Drifted) == 1 && !strings.Contains(d.Drifted[0].Why, "cannot be changed at run time") {
				t.Errorf("%s: why: got %q", p.Name, d.Drifted[0].Why)
			}
		}
	}
}

func TestRewriteEndsDrift(t *testing.T) {
	r := rich(t, local())
	r.set("maxmemory", "7gb")
	r.set("save", "10 1")
	r.set("masterauth", "changed")
	before := time.Now().Add(-time.Second)
	if d := Read(t.Context(), r.options(false)); len(d.Drifted) != 3 || Rewritten(d, before) {
		t.Fatalf("before the rewrite: got %v, rewritten %v", d.Drifted, d.Rewritten)
	}
	if err := r.ConfigRewrite(t.Context()).Err(); err != nil {
		t.Fatal(err)
	}
	for method, shadow := range methods() {
		d := withoutUsers(Read(t.Context(), r.options(shadow)))
		clean(t, d, method)
		if !Rewritten(d, before) {
			t.Errorf("%s: rewritten at %v, want after %v", method, d.Rewritten, before)
		}
	}
}

func TestWhatTheWatchdogHoldsIsOurs(t *testing.T) {
	r := rich(t, local())
	originals := map[string]string{"replica-priority": "90", "min-replicas-to-write": "1", "replica-serve-stale-data": "yes", "min-replicas-max-lag": "10"}
	r.set("replica-priority", "0")
	r.set("min-replicas-to-write", "1000000")
	for method, shadow := range methods() {
		o := r.options(shadow)
		o.Originals = originals
		d := withoutUsers(Read(t.Context(), o))
		if len(d.Drifted) != 0 || len(d.Ours) != 2 {
			t.Errorf("%s: got drifted %v, ours %v", method, d.Drifted, d.Ours)
		}
		o.Originals = nil
		if d := withoutUsers(Read(t.Context(), o)); len(d.Drifted) != 2 {
			t.Errorf("%s: without the originals: got %v", method, d.Drifted)
		}
		o.Originals = maps.Clone(originals)
		o.Originals["replica-priority"] = "55" // set by the operator, and not in the file either
		if d := withoutUsers(Read(t.Context(), o)); len(d.Drifted) != 1 || d.Drifted[0].Name != "replica-priority" {
			t.Errorf("%s: with another original: got %v", method, d.Drifted)
		}
	}
	if err := r.ConfigRewrite(t.Context()).Err(); err != nil {
		t.Fatal(err)
	}
	o := r.options(false)
	o.Originals = originals
	if d := withoutUsers(Read(t.Context(), o)); len(d.Drifted) != 0 || len(d.Ours) != 0 && d.Ours[0].Why == "" {
		t.Errorf("after Sentinel's rewrite: got drifted %v, ours %v", d.Drifted, d.Ours)
	}

	// Let go of, and still in the file: ours until it is written out.
	r.set("replica-priority", "90")
	r.set("min-replicas-to-write", "1")
	o = r.options(false)
	o.Originals = originals
	if d := withoutUsers(Read(t.Context(), o)); len(d.Drifted) != 2 {
		t.Errorf("left in the file for good: got drifted %v", d.Drifted)
	}
	o.Unwritten = true
	if d := withoutUsers(Read(t.Context(), o)); len(d.Drifted) != 0 || len(d.Ours) != 2 {
		t.Errorf("left in the file, to be written out: got drifted %v, ours %v", d.Drifted, d.Ours)
	}
}

func TestSecretsAreComparedAndNeverPrinted(t *testing.T) {
	r := rich(t, local())
	secrets := []string{"s3cret", "open sesame", "wonderland", "hidden-debug", "the-new-one", "bobs-own"}
	r.set("masterauth", "the-new-one")
	if err := r.Do(t.Context(), "ACL", "SETUSER", "bob", "on", ">bobs-own", "+@all").Err(); err != nil {
		t.Fatal(err)
	}
	for _, line := range r.users() {
		if _, hash, ok := strings.Cut(line, "#"); ok {
			secrets = append(secrets, hash[:64])
		}
	}
	for method, shadow := range methods() {
		d := Read(t.Context(), r.options(shadow))
		if len(d.Drifted) == 0 || d.Drifted[0].Name != "masterauth" || d.Drifted[0].Running != preflight.Masked {
			t.Errorf("%s: got %v", method, d.Drifted)
		}
		if shadow && (len(d.Drifted) != 2 || d.Drifted[1].Name != "user bob") {
			t.Errorf("shadow: user bob is not found: %v", d.Drifted)
		}
		noSecrets(t, d, secrets)
	}
	// Nor when the very line is the one that is wrong.
	for _, line := range []string{`requirepass "s3cret`, "masterauth s3cret s3cret", "user alice on >s3cret bad-s3cret-rule", "s3cret"} {
		r.write("redis.conf", line+"\nunixsocket "+r.dir+"/s\n")
		for _, shadow := range methods() {
			d := Read(t.Context(), r.options(shadow))
			if d.Problem == "" && (shadow || !strings.HasPrefix(line, "user")) {
				t.Errorf("%q: no problem", line)
			}
			if line != "s3cret" { // a directive's name is none
				noSecrets(t, d, secrets)
			}
		}
	}
}

func noSecrets(t *testing.T, d preflight.Drift, secrets []string) {
	t.Helper()
	text, err := json.Marshal(d)
	if err != nil {
		t.Fatal(err)
	}
	for _, s := range secrets {
		if strings.Contains(string(text), s) {
			t.Errorf("%q is printed: %s", s, text)
		}
	}
}

// Every process of Redis 7.0 lists a user's commands in an order of its own.
func TestUserOfManyRightsIsNoDrift(t *testing.T) {
	r := rich(t, local(), "user many on >secret ~many:* -@all +get +set +del +ping +info +config|get +config|set +client|list +client|kill +mget +mset +incr +decr +append +strlen")
	if d := Read(t.Context(), r.options(true)); len(d.Drifted) != 0 || len(d.Unknown) != 0 || d.Problem != "" {
		t.Errorf("drifted %v, unknown %v, problem %q", d.Drifted, d.Unknown, d.Problem)
	}
	if err := r.Do(t.Context(), "ACL", "SETUSER", "many", "-decr").Err(); err != nil {
		t.Fatal(err)
	}
	if d := Read(t.Context(), r.options(true)); len(d.Drifted) != 1 {
		t.Errorf("a right less: drifted %v", d.Drifted)
	}
}
