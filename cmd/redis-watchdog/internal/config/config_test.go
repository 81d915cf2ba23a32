package config

import (
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"strings"
	"testing"
	"time"
)

const valid = `etcd:
  endpoints: [http://127.0.0.1:2379]
groups:
  - name: m1
    sentinels: [127.0.0.1:26379]
    nodes:
      - address: 127.0.0.1:6379
`

func noEnv(string) string { return "" }

func load(t *testing.T, source string) (*Config, error) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "c.yaml")
	if err := os.WriteFile(path, []byte(source), 0o644); err != nil {
		t.Fatal(err)
	}
	return Load(path, noEnv)
}

func TestLoadFillsInDefaults(t *testing.T) {
	c, err := load(t, valid)
	if err != nil {
		t.Fatal(err)
	}
	g := c.Groups[0]
	for _, check := range []struct{ name, got, want string }{
		{"listen", c.HTTP.Listen, "127.0.0.1:26380"},
		{"prefix", c.Etcd.Prefix, "/redis-watchdog/v1/"},
		{"state_dir", c.StateDir, "/var/lib/redis-watchdog"},
		{"runtime_dir", c.RuntimeDir, "/run/redis-watchdog"},
		{"node", g.Nodes[0].Name, "default"},
		{"coordinator_lost", g.Policy.CoordinatorLost, "serve"},
		{"sentinels_lost", g.Policy.SentinelsLost, "refuse"},
		{"level", c.Log.Level, "info"},
		{"born_locked", fmt.Sprint(g.Policy.BornLocked), "true"},
		{"clock_rate_error", fmt.Sprint(g.Policy.ClockRateError), "0.001"},
	} {
		if check.got != check.want {
			t.Errorf("%s: got %q, want %q", check.name, check.got, check.want)
		}
	}
}

func TestLoadTakesDirectoriesFromSystemd(t *testing.T) {
	path := filepath.Join(t.TempDir(), "c.yaml")
	if err := os.WriteFile(path, []byte(valid), 0o644); err != nil {
		t.Fatal(err)
	}
	c, err := Load(path, func(name string) string {
		return map[string]string{"STATE_DIRECTORY": "/var/lib/a:/var/lib/b", "RUNTIME_DIRECTORY": "/run/a"}[name]
	})
	if err != nil {
		t.Fatal(err)
	}
	if c.StateDir != "/var/lib/a" || c.RuntimeDir != "/run/a" {
		t.Errorf("got %q and %q", c.StateDir, c.RuntimeDir)
	}
}

// Each case edits the valid file; want is "line: key: …" of each fault, in order.
func TestLoadNamesFaultWithLineValueAndRemedy(t *testing.T) {
	for _, test := range []struct {
		name     string
		old, new string
		want     []string
	}{
		{"unknown key", "etcd:", "etdc:", []string{`1: etdc: unknown key; did you mean etcd?`, `etcd.endpoints: no etcd is named`}},
		{"unknown key below", "nodes:", "node:", []string{`6: groups[0].node: unknown key; did you mean nodes?`, `no Redis of this host is named`}},
		{"password inline", "- address", "- password: hunter2\n        address", []string{`7: groups[0].nodes[0].password: unknown key; put the password alone into a file`}},
		{"no list", "[http://127.0.0.1:2379]", "http://127.0.0.1:2379", []string{`2: etcd.endpoints: value "http://127.0.0.1:2379": is a text, not a list`}},
		{"no section", "etcd:\n  endpoints: [http://127.0.0.1:2379]", "etcd: here", []string{`1: etcd: value "here": is a text, not a section of keys`, `no etcd is named`}},
		{"no truth value", "    nodes:", "    policy: {strict: \"yes\"}\n    nodes:", []string{`6: groups[0].policy.strict: value "yes": is a text, not true or false`}},
		{"no duration", "    nodes:", "    policy: {time_to_act: 400}\n    nodes:", []string{`6: groups[0].policy.time_to_act: value "400": is not a duration; write a number and a unit`}},
		{"no choice", "    nodes:", "    policy: {coordinator_lost: ignore}\n    nodes:", []string{`value "ignore": is not one of serve, refuse`}},
		{"key twice", "    nodes:", "    name: m2\n    nodes:", []string{`6: groups[0].name: is already given in line 4; keep one`}},
		{"bad port", "127.0.0.1:6379", "127.0.0.1:66379", []string{`7: groups[0].nodes[0].address: value "127.0.0.1:66379": has no port between 1 and 65535`}},
		{"no port", "127.0.0.1:26379", "127.0.0.1", []string{`5: groups[0].sentinels[0]: value "127.0.0.1": is not an address`}},
		{"mistyped address", "127.0.0.1:26379", "127.0.0.256:26379", []string{`neither an IP address nor a name`}},
		{"sentinel twice", "[127.0.0.1:26379]", "[127.0.0.1:26379, 127.0.0.1:26379]", []string{`5: groups[0].sentinels[1]: value "127.0.0.1:26379": is named twice`}},
		{"bad url", "http://127.0.0.1:2379", "127.0.0.1:2379", []string{`2: etcd.endpoints[0]: value "127.0.0.1:2379": is not the URL`}},
		{"member twice", "[http://127.0.0.1:2379]", "[http://h:2379, http://g, http://H]", []string{`2: etcd.endpoints[2]: value "http://H": is the member that etcd.endpoints[0] is`}},
		{"no member's address", "http://127.0.0.1:2379", "http://0.0.0.0:2379", []string{`2: etcd.endpoints[0]: value "http://0.0.0.0:2379": is no address of a member`}},
		{"user in url", "http://127.0.0.1", "http://root:hunter2@127.0.0.1", []string{`carries a user or password`}},
		{"group twice", "groups:", "groups:\n  - {name: m1, sentinels: [\"h:1\"], nodes: [{address: \"h:2\"}]}", []string{`5: groups[1].name: value "m1": is the name of groups[0] too`}},
		{"node twice", "      - address", "      - {name: a, address: \"h:1\"}\n      - {name: a, address: \"h:2\"}\n      - name: c\n        address", []string{`8: groups[0].nodes[1].name: value "a": is the name of groups[0].nodes[0] too`}},
		{"redis twice", "      - address", "      - {name: a, address: \"h:1\"}\n      - {name: b, address: \"h:1\"}\n      - name: c\n        address", []string{`8: groups[0].nodes[1].address: value "h:1": is the Redis of groups[0].nodes[0] too`}},
		{"neither", "address: 127.0.0.1:6379", "name: a", []string{`groups[0].nodes[0].address: the node has neither address nor socket`}},
		{"both", "- address", "- socket: /s\n        address", []string{`8: groups[0].nodes[0].address: value "127.0.0.1:6379": stands beside socket`}},
		{"timing range", "    nodes:", "    policy: {hint_hold: 1s}\n    nodes:", []string{`value "1s": is not between 1ms and 500ms`}},
		{"timing against down-after", "    nodes:", "    down_after: 5s\n    policy: {suspect_after: 3s}\n    nodes:", []string{`7: groups[0].policy.suspect_after: value "3s": suspect_after (3s) must be below half of down-after-milliseconds (5s) of group "m1"`}},
		{"strict", "    nodes:", "    down_after: 2s\n    policy: {strict: true}\n    nodes:", []string{`fencing in time cannot be promised for group "m1": the grant's lease (2s) must be below down-after-milliseconds (2s)`}},
		{"no password file", "      - address", "      - password_file: nowhere\n        address", []string{`7: groups[0].nodes[0].password_file: cannot be read: no such file or directory`}},
		{"user without password", "groups:", "  username: root\ngroups:", []string{`3: etcd.username: value "root": has no password`}},
		{"tls half", "groups:", "  tls: {cert: /c}\ngroups:", []string{`etcd.tls: a client certificate needs both`, `is plain http although`}},
		{"unknown command", "      - address", "      - commands: {conifg: x}\n        address", []string{`value "x": is no command that is used`}},
		{"not yaml", "etcd:", "etcd: [", []string{`is not YAML`}},
		{"empty", valid, "", []string{`no etcd is named`, `there is no group`}},
		{"second document", "groups:", "---\ngroups:", []string{`there is no group`, `a second document`}},
	} {
		t.Run(test.name, func(t *testing.T) {
			if !strings.Contains(valid, test.old) {
				t.Fatalf("the valid file has no %q", test.old)
			}
			_, err := load(t, strings.Replace(valid, test.old, test.new, 1))
			faults, ok := err.(Faults)
			if !ok {
				t.Fatalf("got %v, want faults", err)
			}
			if strings.Contains(err.Error(), "hunter2") {
				t.Errorf("the password is shown: %v", err)
			}
			all := err.Error()
			for _, want := range test.want {
				if !strings.Contains(all, want) {
					t.Errorf("got\n%s\nwant %q", all, want)
				}
			}
			if len(faults) != len(test.want) {
				t.Errorf("got %d faults, want %d:\n%s", len(faults), len(test.want), all)
			}
			for _, f := range faults {
				if f.Remedy == "" {
					t.Errorf("no remedy: %v", f)
				}
			}
		})
	}
}

func TestLoadRefusesSecretOpenToEveryone(t *testing.T) {
	dir := t.TempDir()
	secret := filepath.Join(dir, "secret")
	if err := os.WriteFile(secret, []byte("hunter2\n"), 0o640); err != nil {
		t.Fatal(err)
	}
	source := strings.Replace(valid, "- address", "- password_file: "+secret+"\n        address", 1)
	c, err := load(t, source)
	if err != nil {
		t.Fatal(err)
	}
	if got := c.Groups[0].Nodes[0].Password; got != "hunter2" {
		t.Errorf("got %q", string(got))
	}
	if shown := fmt.Sprintf("%v %+v %#v", c, c.Groups, c.Groups); strings.Contains(shown, "hunter2") {
		t.Errorf("the password is shown: %s", shown)
	}
	if err := os.Chmod(secret, 0o644); err != nil {
		t.Fatal(err)
	}
	if _, err = load(t, source); err == nil || !strings.Contains(err.Error(), "chmod o= "+secret) {
		t.Errorf("got %v", err)
	}
}

func TestLoadLooksForRelativeFilesAmongCredentials(t *testing.T) {
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "pw"), []byte("a"), 0o400); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "c.yaml")
	if err := os.WriteFile(path, []byte(strings.Replace(valid, "- address", "- password_file: pw\n        address", 1)), 0o644); err != nil {
		t.Fatal(err)
	}
	c, err := Load(path, func(name string) string {
		if name == "CREDENTIALS_DIRECTORY" {
			return dir
		}
		return ""
	})
	if err != nil || c.Groups[0].Nodes[0].Password != "a" {
		t.Errorf("got %v, %v", c, err)
	}
}

func TestLoadFollowsAnchors(t *testing.T) {
	c, err := load(t, strings.Replace(valid, "groups:", "groups:\n  - {name: m0, sentinels: [\"h:1\"], policy: &p {strict: true, time_to_act: 200ms}, nodes: [{address: \"h:2\"}]}", 1)+"    policy: *p\n")
	if err != nil {
		t.Fatal(err)
	}
	if p := c.Groups[1].Policy; !p.Strict || p.TimeToAct != 200*time.Millisecond || !p.BornLocked {
		t.Errorf("got %+v", p)
	}
}

var offKey = regexp.MustCompile(`(?m)^(\s*)#([a-z_]+:)`)

// The shipped reference is loaded as it stands and with every key switched on.
func TestReferenceFileIsValidAndHasEveryKey(t *testing.T) {
	source, err := os.ReadFile("../../redis-watchdog.yaml")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := parse("redis-watchdog.yaml", source, noEnv, false); err != nil {
		t.Errorf("as it stands: %v", err)
	}
	full := offKey.ReplaceAllString(string(source), "$1$2")
	full = strings.ReplaceAll(full, "http://10", "https://10")
	c, err := parse("redis-watchdog.yaml", []byte(full), noEnv, false)
	if err != nil {
		t.Fatalf("with every key: %v", err)
	}
	if c.Groups[0].Nodes[0].TLS.ServerName != "redis.internal" {
		t.Errorf("got %+v", c.Groups[0].Nodes[0])
	}
	doc, err := os.ReadFile("../../../../docs/configuration.md")
	if err != nil {
		t.Fatal(err)
	}
	keys := map[string]bool{}
	everyKey(reflect.TypeFor[Config](), "", keys)
	for key := range keys {
		last := key[strings.LastIndex(key, ".")+1:]
		if !strings.Contains(string(source), last+": ") && !strings.Contains(string(source), last+":\n") {
			t.Errorf("redis-watchdog.yaml does not explain %s", key)
		}
		if !strings.Contains(string(doc), "`"+key+"`") {
			t.Errorf("docs/configuration.md does not explain %s", key)
		}
	}
	for _, m := range regexp.MustCompile("(?m)^\\| `([a-z_.\\[\\]]+)`").FindAllStringSubmatch(string(doc), -1) {
		if !keys[m[1]] {
			t.Errorf("docs/configuration.md explains %s, which there is not", m[1])
		}
	}
}

// The default that a comment switches off is the one that holds without it.
func TestReferenceFileNamesTheRealDefaults(t *testing.T) {
	source, err := os.ReadFile("../../redis-watchdog.yaml")
	if err != nil {
		t.Fatal(err)
	}
	bare, err := parse("x", source, noEnv, false)
	if err != nil {
		t.Fatal(err)
	}
	on := string(source)
	for _, key := range []string{"prefix", "listen", "level", "format", "state_dir", "runtime_dir", "coordinator_lost",
		"sentinels_lost", "born_locked", "strict", "clock_rate_error", "last_replica", "drift", "shadow", "report_timeout",
		"headroom", "copy_on_write", "keys", "large_instance", "lag_bytes", "lag", "trend", "backlog", "fork", "slow_command",
		"slow_window", "clock"} {
		switched := regexp.MustCompile(`(?m)^(\s*)#(`+key+`:)`).ReplaceAllString(on, "$1$2")
		if switched == on {
			t.Errorf("no line #%s", key)
		}
		on = switched
	}
	full, err := parse("x", []byte(on), noEnv, false)
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []*Config{bare, full} {
		c.lines, c.values = nil, nil // what is written differs, what it means does not
	}
	if !reflect.DeepEqual(bare, full) {
		t.Errorf("got %+v\nwant %+v", full, bare)
	}
}

func everyKey(t reflect.Type, prefix string, keys map[string]bool) {
	switch t.Kind() {
	case reflect.Pointer, reflect.Slice:
		if t.Kind() == reflect.Slice && t.Elem().Kind() == reflect.Struct {
			prefix += "[]"
		}
		everyKey(t.Elem(), prefix, keys)
	case reflect.Struct:
		for i := range t.NumField() {
			if name := t.Field(i).Tag.Get("yaml"); name != "-" {
				keys[join(prefix, name)] = true
				everyKey(t.Field(i).Type, join(prefix, name), keys)
			}
		}
	}
}
