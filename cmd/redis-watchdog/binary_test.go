package main

import (
	"bytes"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

const validConfig = `etcd:
  endpoints: ["http://127.0.0.1:1"]
state_dir: STATE
runtime_dir: RUN
http: {listen: "127.0.0.1:1"}
groups:
  - name: m1
    sentinels: ["127.0.0.1:26379"]
    nodes:
      - address: 127.0.0.1:6379
`

func writeConfig(t *testing.T, source string) (path, state, run string) {
	t.Helper()
	dir := t.TempDir()
	state, run = filepath.Join(dir, "state"), filepath.Join(dir, "run")
	for _, d := range []string{state, run} {
		if err := os.Mkdir(d, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	path = filepath.Join(dir, "c.yaml")
	source = strings.NewReplacer("STATE", state, "RUN", run).Replace(source)
	if err := os.WriteFile(path, []byte(source), 0o644); err != nil {
		t.Fatal(err)
	}
	return path, state, run
}

func TestBinaryExitCodes(t *testing.T) {
	if testing.Short() {
		t.Skip("builds the whole binary")
	}
	binary := filepath.Join(t.TempDir(), "redis-watchdog")
	build := exec.CommandContext(t.Context(), "go", "build", "-ldflags", "-X main.version=9.8.7", "-o", binary, ".")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("build: %v\n%s", err, out)
	}
	good, _, _ := writeConfig(t, validConfig)
	bad, state, _ := writeConfig(t, strings.Replace(strings.Replace(validConfig, "- name", "- nmae", 1), "127.0.0.1:6379", "127.0.0.1:70000", 1))
	for _, test := range []struct {
		name string
		args []string
		code int
		out  []string // each in what was printed
	}{
		{"version", []string{"version"}, 0, []string{"redis-watchdog 9.8.7"}},
		{"version as json", []string{"version", "-o", "json"}, 0, []string{`"version": "9.8.7"`}},
		{"help", []string{"--help"}, 0, []string{"Exit codes"}},
		{"nothing", nil, 64, []string{"no command given"}},
		{"unknown command", []string{"prefight", "m1"}, 64, []string{`unknown command "prefight"`}},
		{"unknown flag", []string{"status", "--colour"}, 64, []string{"unknown flag"}},
		{"missing group", []string{"fence"}, 64, []string{"accepts 1 arg"}},
		{"bad output", []string{"check-config", "-o", "xml", "-c", good}, 64, []string{"neither text nor json"}},
		{"good configuration", []string{"check-config", "-c", good}, 0, []string{"OK", "m1/default"}},
		{"every fault at once", []string{"check-config", "-c", bad}, 64, []string{
			bad + `:7: groups[0].nmae: unknown key; did you mean name?`,
			bad + `:10: groups[0].nodes[0].address: value "127.0.0.1:70000": has no port`,
		}},
		{"faults as json", []string{"check-config", "-o", "json", "-c", bad}, 64, []string{`"ok": false`, `"line": 10`}},
		{"no configuration", []string{"check-config", "-c", "/nowhere.yaml"}, 64, []string{"no such file"}},
		{"run with a bad configuration", []string{"run", "-c", bad}, 64, []string{"unknown key"}},
		{"status without a watchdog", []string{"status", "--local", "-c", good}, 2, []string{"UNKNOWN", "status.sock"}},
		{"status of an unknown group", []string{"status", "m9", "-c", good}, 64, []string{`no group "m9"`, "there is m1"}},
		{"unfence force local", []string{"unfence", "m1", "--local", "--force", "-c", good}, 64, []string{"--force goes through etcd"}},
		{"maintenance too long", []string{"maintenance", "on", "m1", "--for", "99h", "-c", good}, 64, []string{"not between"}},
		{"adopt nothing", []string{"adopt", "m1", "-c", good}, 64, []string{"--to ADDRESS"}},
		{"completion", []string{"completion", "bash"}, 0, []string{"__start_redis-watchdog"}},
		{"completion", []string{"completion", "zsh"}, 0, []string{"#compdef"}},
		{"completion", []string{"completion", "fish"}, 0, []string{"complete -c redis-watchdog"}},
		{"completed groups", []string{"__complete", "-c", good, "fence", ""}, 0, []string{"m1\n"}},
	} {
		t.Run(test.name, func(t *testing.T) {
			var out bytes.Buffer
			cmd := exec.CommandContext(t.Context(), binary, test.args...)
			cmd.Stdout, cmd.Stderr = &out, &out
			cmd.Env = append(os.Environ(), "CREDENTIALS_DIRECTORY=")
			err := cmd.Run()
			var exit *exec.ExitError
			if err != nil && !errors.As(err, &exit) {
				t.Fatal(err)
			}
			if got := cmd.ProcessState.ExitCode(); got != test.code {
				t.Errorf("got exit code %d, want %d\n%s", got, test.code, out.String())
			}
			for _, want := range test.out {
				if !strings.Contains(out.String(), want) {
					t.Errorf("got\n%s\nwant %q", out.String(), want)
				}
			}
			if strings.Contains(out.String(), "\x1b") {
				t.Errorf("colours although nobody looks: %q", out.String())
			}
		})
	}
	left, err := os.ReadDir(state)
	if err != nil || len(left) > 0 {
		t.Errorf("a bad configuration touched the state directory: %v, %v", left, err)
	}
}
