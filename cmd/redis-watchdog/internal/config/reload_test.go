package config

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// changed is the valid file and the same with one thing replaced.
func changed(t *testing.T, from, old, new string) (before, after *Config) {
	t.Helper()
	if !strings.Contains(from, old) {
		t.Fatalf("no %q in the file", old)
	}
	before, err := load(t, from)
	if err != nil {
		t.Fatal(err)
	}
	if after, err = load(t, strings.Replace(from, old, new, 1)); err != nil {
		t.Fatal(err)
	}
	return before, after
}

func TestFixedNamesEveryKeyThatAReloadCannotChange(t *testing.T) {
	before, after := changed(t, valid, "etcd:\n", "state_dir: /a\nruntime_dir: /b\nlog: {format: json, level: debug}\nhttp: {listen: '127.0.0.1:1'}\netcd:\n  prefix: /other\n")
	var keys []string
	for _, f := range before.Fixed(after) {
		if f.Line == 0 || f.Remedy == "" {
			t.Errorf("no line or remedy: %+v", f)
		}
		keys = append(keys, f.Key)
	}
	if got, want := strings.Join(keys, " "), "etcd.prefix http.listen log.format state_dir runtime_dir"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
	if faults := before.Fixed(before); len(faults) != 0 {
		t.Errorf("nothing has changed: %v", faults)
	}
}

// What of a group is told to who follows it, and what takes it over anew.
func TestSameServersKnowsRulesFromServers(t *testing.T) {
	for _, test := range []struct {
		old, new              string
		servers, voices, etcd bool
	}{
		{"    nodes:", "    policy: {strict: true, time_to_act: 200ms}\n    nodes:", true, true, true},
		{"    nodes:", "    preflight: {drift: warns}\n    down_after: 5s\n    nodes:", true, true, true},
		{"    nodes:", "    policy: {clock_rate_error: 0.002}\n    nodes:", false, false, true},
		{"127.0.0.1:26379", "127.0.0.1:26380", false, false, true},
		{"127.0.0.1:6379", "127.0.0.1:6380", false, true, true},
		{"address: 127.0.0.1:6379", "address: 127.0.0.1:6379\n        unit: a.service", false, true, true},
		{"http://127.0.0.1:2379", "http://127.0.0.1:2380", true, true, false},
	} {
		before, after := changed(t, valid, test.old, test.new)
		g, next := before.Groups[0], after.Groups[0]
		if got := g.SameServers(next); got != test.servers {
			t.Errorf("%s: same servers: %v", test.new, got)
		}
		if got := g.SameSentinels(next); got != test.voices {
			t.Errorf("%s: same Sentinels: %v", test.new, got)
		}
		if got := before.SameEtcd(after); got != test.etcd {
			t.Errorf("%s: same etcd: %v", test.new, got)
		}
	}
}

// A password file with another password in it is a change, though the
// configuration is the same to the letter.
func TestSameServersLooksIntoFiles(t *testing.T) {
	secret := filepath.Join(t.TempDir(), "secret")
	source := strings.Replace(valid, "      - address", "      - password_file: "+secret+"\n        address", 1)
	read := func(password string) *Config {
		if err := os.WriteFile(secret, []byte(password), 0o600); err != nil {
			t.Fatal(err)
		}
		c, err := load(t, source)
		if err != nil {
			t.Fatal(err)
		}
		return c
	}
	before, same, after := read("a"), read("a"), read("b")
	if g := before.Groups[0]; !g.SameServers(same.Groups[0]) || g.SameServers(after.Groups[0]) {
		t.Errorf("same: %v, with another password: %v", g.SameServers(same.Groups[0]), g.SameServers(after.Groups[0]))
	}
}

func TestHooksAreChecked(t *testing.T) {
	for _, test := range []struct{ hook, want string }{
		{"{command: [/bin/true, a b], on: [serve, refuse]}", ""},
		{"{command: []}", "hooks[0].command: the hook has no command"},
		{"{on: [serve]}", "hooks[0].command: the hook has no command"},
		{"{command: [true]}", `hooks[0].command[0]: value "true": is not an absolute path`},
		{"{command: [/nowhere/x]}", "cannot be run: no such file"},
		{"{command: [/etc/passwd]}", "it is no program"},
		{"{command: [/bin/true], on: [promoted]}", `hooks[0].on[0]: value "promoted": is not one of serve`},
		{"{command: [/bin/true], timeout: 1h}", "hooks[0].timeout"},
	} {
		c, err := load(t, "hooks:\n  - "+test.hook+"\n"+valid)
		if test.want == "" {
			if err != nil || c.Hooks[0].Timeout.String() != "10s" || c.Hooks[0].Command[1] != "a b" {
				t.Errorf("%s: %v, %+v", test.hook, err, c)
			}
			continue
		}
		if err == nil || !strings.Contains(err.Error(), test.want) {
			t.Errorf("%s: got %v, want %s", test.hook, err, test.want)
		}
	}
}
