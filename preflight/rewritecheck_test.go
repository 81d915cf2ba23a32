package preflight

import (
	"slices"
	"strings"
	"testing"
)

func findingOf(t *testing.T, f Facts, check, node string) Finding {
	t.Helper()
	for _, one := range Judge(DefaultPolicy(), f, b).Findings {
		if one.Check == check && one.Node == node {
			return one
		}
	}
	t.Fatalf("%s of %s was not judged", check, node)
	return Finding{}
}

func TestAFileThatWouldNotStartBlocks(t *testing.T) {
	for name, c := range map[string]struct {
		edit   func(*Drift)
		want   Outcome
		reason string
		remedy string
	}{
		"good":       {func(*Drift) {}, Passed, "starts on /etc/redis/redis.conf as it is, and as CONFIG REWRITE writes it", ""},
		"no file":    {func(d *Drift) { d.File, d.Rewrite = "", nil }, Passed, "starts on its command line", ""},
		"older":      {func(d *Drift) { d.Rewrite = nil }, Unknown, "its watchdog does not say", "upgrade redis-watchdog"},
		"unreadable": {func(d *Drift) { d.Problem = "may not be read" }, Unknown, "may not be read", "must be able to read"},
		"refused": {func(d *Drift) { d.Problem, d.Refused = "x", "redis.conf:3: maxmemory: argument must be a memory value" }, Failed,
			"would not start again: redis.conf:3: maxmemory", "correct that line"},
		"twice as it is": {func(d *Drift) {
			d.Problem, d.Refused = "x", "duplicate user found"
			d.Twice = []Line{{"user a.b/c", "/etc/redis/users.conf", 4}, {"user x", "/etc/redis/redis.conf", 9}, {"user y", "", 0}}
		}, Failed, "duplicate user found", `on 10.0.0.12: sed -i -E '/^[[:space:]]*user[[:space:]]+"?a\.b\/c"?([[:space:]]|$)/Id' /etc/redis/users.conf   # /etc/redis/redis.conf has it` + "\n" +
			`on 10.0.0.12: delete all lines of "user x" but one from /etc/redis/redis.conf` + "\n" +
			`on 10.0.0.12: take "--user y" off the command line of Redis; /etc/redis/redis.conf has it`},
		"twice when rewritten": {func(d *Drift) {
			d.Rewrite.Refused = "user a of users.conf:4 would stand in redis.conf as well: duplicate user found"
			d.Rewrite.Twice = []Line{{"user a", "/etc/redis/users.conf", 4}, {"loadmodule /m.so", "/etc/redis/m y.conf", 1}, {"user z", "", 0}}
		}, Failed, "would not start again after a CONFIG REWRITE, which Sentinel sends in every failover: user a of users.conf:4",
			"on 10.0.0.12: put what --user z says into /etc/redis/redis.conf, and take it off the command line of Redis\n" +
				`on 10.0.0.12: { echo; grep -hiE '^[[:space:]]*(user|loadmodule)[[:space:]]' /etc/redis/users.conf '/etc/redis/m y.conf'; } >> /etc/redis/redis.conf` +
				` && sed -i -E '/^[[:space:]]*(user|loadmodule)[[:space:]]/Id' /etc/redis/users.conf '/etc/redis/m y.conf'`},
		"unreadable when rewritten": {func(d *Drift) {
			d.Rewrite.Refused = "it would write primaryauth so that no server reads it: unbalanced quotes"
		}, Failed,
			"it would write primaryauth", "change that value, or upgrade Redis"},
	} {
		f := healthy()
		c.edit(node(&f, b).Drift)
		got := findingOf(t, f, "drift_starts", b)
		if got.Outcome != c.want || !strings.Contains(got.Reason, c.reason) || !strings.Contains(got.Remedy, c.remedy) {
			t.Errorf("%s: got %s, %q, %q", name, got.Outcome, got.Reason, got.Remedy)
		}
		if r := Judge(DefaultPolicy(), f, b); (r.Verdict == MayGo) != (c.want == Passed) {
			t.Errorf("%s: the verdict is %s", name, r.Verdict)
		}
		policy := DefaultPolicy()
		policy.Drift = Warns
		if r := Judge(policy, f, b); c.want == Failed && r.Verdict != Blocked {
			t.Errorf("%s: with drift: warns the verdict is %s", name, r.Verdict)
		}
		if v := Vetoes(Own(DefaultPolicy(), "shop", *node(&f, a), *node(&f, b))); v != nil {
			t.Errorf("%s: vetoed for %v: a promotion makes nothing of it worse", name, v)
		}
	}
}

func TestARewriteThatKeepsNothingIsSaid(t *testing.T) {
	for name, c := range map[string]struct {
		edit           func(*Rewrite)
		reason, remedy string
	}{
		"denied": {func(w *Rewrite) { w.Denied = "/etc/redis is mounted read-only for Redis" }, "cannot write its redis.conf: /etc/redis is mounted", "ReadWritePaths="},
		"an include": {func(w *Rewrite) {
			w.Lost = []Parameter{{Name: "replicaof", File: "10.0.0.1 6379", Where: "local.conf:3", Why: "once it is a master"}}
		}, `replicaof "" would come back as 10.0.0.1 6379 (local.conf:3) once it is a master`, "move the line of replicaof from local.conf:3"},
		"the command line": {func(w *Rewrite) {
			w.Lost = []Parameter{{Name: "maxmemory", Running: "3", File: "2", Where: "command line"}}
		},
			"maxmemory 3 would come back as 2 (command line)", "take --maxmemory off the command line"},
		"save points": {func(w *Rewrite) {
			w.Lost = []Parameter{{Name: "save", Running: "900 1 60 5", File: "60 5", Where: "redis.conf:9"}}
		}, "save 900 1 60 5 would come back as 60 5", "above its first include"},
		"a secret": {func(w *Rewrite) {
			w.Lost = []Parameter{{Name: "masterauth", Running: Masked, File: Masked, Where: "local.conf:3"}}
		}, "masterauth would come back as another", "move the line of masterauth"},
		"a user": {func(w *Rewrite) {
			w.Lost = []Parameter{{Name: "user app", Running: Masked, File: Masked, Where: "users"}}
		},
			"user app would come back as another", "user app: one line, in /etc/redis/redis.conf"},
	} {
		f := healthy()
		c.edit(node(&f, b).Drift.Rewrite)
		got := findingOf(t, f, "drift_rewrite", b)
		if got.Outcome != Failed || !strings.Contains(got.Reason, c.reason) || !strings.Contains(got.Remedy, c.remedy) {
			t.Errorf("%s: got %s, %q, %q", name, got.Outcome, got.Reason, got.Remedy)
		}
		if r := Judge(DefaultPolicy(), f, b); r.Verdict != MayGo {
			t.Errorf("%s: the verdict is %s", name, r.Verdict)
		}
	}
}

// CONFIG REWRITE is offered by many checks, and by none where it would leave a
// Redis that does not start, or is refused.
func TestNoRewriteIsOfferedThatWouldDoHarm(t *testing.T) {
	for name, edit := range map[string]func(*Rewrite){
		"would not start": func(w *Rewrite) { w.Refused = "duplicate user found" },
		"denied":          func(w *Rewrite) { w.Denied = "it is immutable" },
	} {
		f := healthy()
		spoil := func(n *Node) {
			n.Redis.Config["maxmemory"], n.Redis.Config["timeout"], n.Redis.Config["repl-backlog-size"] = "1073741824", "7", "1"
			n.Redis.Config["maxclients"], n.Redis.Config["notify-keyspace-events"], n.Redis.Config["maxmemory-policy"] = "41", "KEA", "allkeys-lru"
			n.Drift.FileConfig["maxmemory"] = "1"
			n.Drift.Drifted = []Parameter{{Name: "timeout", Running: "7", File: "0"}}
		}
		spoil(node(&f, b))
		offers := func() (lines, fixes int) {
			for _, one := range Judge(DefaultPolicy(), f, b).Findings {
				for line := range strings.Lines(one.Remedy) {
					if strings.HasPrefix(line, "redis-cli") && strings.Contains(line, "CONFIG REWRITE") && !strings.Contains(line, "; then") {
						lines++
					}
				}
				fixes += len(slices.DeleteFunc(slices.Clone(one.Fixes), func(f Fix) bool { return f.Kind != FixRewrite }))
			}
			return lines, fixes
		}
		if lines, fixes := offers(); lines < 5 || fixes < 1 {
			t.Fatalf("%s: it is offered %d times, and to be done %d times: too few to tell", name, lines, fixes)
		}
		edit(node(&f, b).Drift.Rewrite)
		if lines, fixes := offers(); lines+fixes > 0 {
			t.Errorf("%s: it is offered %d times, and to be done %d times", name, lines, fixes)
		}
		if got := findingOf(t, f, "memory_limit_running", b).Remedy; !strings.Contains(got, "CONFIG SET maxmemory") || !strings.Contains(got, "# no CONFIG REWRITE: ") {
			t.Errorf("%s: the remedy is %q", name, got)
		}
	}
	// What a rewrite would not keep is not said to be kept by one.
	f := healthy()
	d := node(&f, b).Drift
	d.Drifted = []Parameter{{Name: "timeout", Running: "7", File: "0"}}
	d.Rewrite.Lost = []Parameter{{Name: "timeout", Running: "7", File: "0", Where: "local.conf:1"}}
	got := findingOf(t, f, "drift_running", b)
	if strings.Contains(got.Remedy, "redis-cli -h 10.0.0.12 -p 6379 CONFIG REWRITE") || slices.ContainsFunc(got.Fixes, func(f Fix) bool { return f.Kind == FixRewrite }) {
		t.Errorf("got %q, %v", got.Remedy, got.Fixes)
	}
}
