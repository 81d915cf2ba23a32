package statedir

import (
	"context"
	"encoding/json"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"

	"github.com/hashicorp/go-hclog"

	"github.com/redis-watchdog/redis-watchdog/watchdog"
)

func TestFileIsReplacedWholeOrNotAtAll(t *testing.T) {
	dir := t.TempDir()
	name := filepath.Join(dir, "record")
	long := []byte(strings.Repeat("a", 1<<20))
	short := []byte(strings.Repeat("b", 10))
	if err := Write(name, long, How{}); err != nil {
		t.Fatal(err)
	}
	var writers sync.WaitGroup
	for i := range 4 {
		writers.Go(func() {
			for range 25 {
				if err := Write(name, [][]byte{long, short}[i%2], How{Sync: i == 0}); err != nil {
					t.Error(err)
				}
			}
		})
	}
	ended := make(chan struct{})
	go func() { writers.Wait(); close(ended) }()
	for looks := 0; ; looks++ {
		got, err := os.ReadFile(name)
		if err != nil || string(got) != string(long) && string(got) != string(short) {
			t.Fatalf("after %d looks: %d bytes, which nobody wrote, %v", looks, len(got), err)
		}
		select {
		case <-ended:
			if left := list(t, dir); len(left) != 1 {
				t.Errorf("left behind: %v", left)
			}
			return
		default:
		}
	}
}

func list(t *testing.T, dir string) (names []string) {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		names = append(names, e.Name())
	}
	return names
}

func TestWriteThatFailsLeavesNothing(t *testing.T) {
	dir := t.TempDir()
	if err := os.MkdirAll(filepath.Join(dir, "taken", "by"), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := Write(filepath.Join(dir, "taken"), []byte("x"), How{Sync: true}); err == nil {
		t.Error("a directory was replaced by a file")
	}
	if got := list(t, dir); len(got) != 1 || got[0] != "taken" {
		t.Errorf("left behind: %v", got)
	}
	if err := Write(filepath.Join(dir, "none", "record"), nil, How{}); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("without the directory: %v", err)
	}
	open, err := os.Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer open.Close()
	for _, name := range []string{"", "..", "../outside", "taken/by", "/etc/x"} {
		if err := WriteIn(open, name, nil, How{}); err == nil {
			t.Errorf("%q was written in a directory that it leads out of", name)
		}
	}
}

func TestFileIsAsItWasAskedFor(t *testing.T) {
	was := syscall.Umask(0o077)
	defer syscall.Umask(was)
	dir := t.TempDir()
	outside := filepath.Join(t.TempDir(), "outside")
	if err := os.WriteFile(outside, []byte("theirs"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		how  How
		mode os.FileMode
	}{{How{}, 0o600}, {How{Mode: 0o644}, 0o644}, {How{Mode: 0o640, Owner: &Owner{os.Getuid(), os.Getgid()}, Sync: true}, 0o640}} {
		name := filepath.Join(dir, "link")
		if err := errors.Join(os.RemoveAll(name), os.Symlink(outside, name), Write(name, []byte("ours"), c.how)); err != nil {
			t.Fatal(err)
		}
		info, err := os.Lstat(name)
		if err != nil || info.Mode() != c.mode {
			t.Errorf("%+v: the mode is %v, want %v, %v", c.how, info.Mode(), c.mode, err)
		}
		if got, err := os.ReadFile(outside); err != nil || string(got) != "theirs" {
			t.Errorf("%+v: written through a link: %q, %v", c.how, got, err)
		}
	}
}

func TestBootIsThatOfTheHost(t *testing.T) {
	const rest = " S 0 1 1 0 -1 4194560 1 2 3 4 5 6 7 8 20 0 1 0 "
	for stat, want := range map[string]string{
		"1 (systemd)" + rest + "30 55136256":       "", // of a host: process 1 begins with the kernel
		"1 (systemd)" + rest + "5999 55136256":     "",
		"1 (systemd)" + rest + "2400123 55136256":  "process 1 at 2400123", // of a container
		"1 (redis-watch)" + rest + "2400123 5":     "",                     // which may be ourselves
		"1 (tini) (systemd)" + rest + "2400123 12": "",
		"1 (systemd) S 0 1":                        "",
		"1 (systemd)" + rest + "soon 55136256":     "",
		"":                                         "",
	} {
		if got := processOne(stat); got != want {
			t.Errorf("%q: got %q, want %q", stat, got, want)
		}
	}
	one, err := BootID()
	two, again := BootID()
	if err != nil || again != nil || one == "" || one != two {
		t.Errorf("got %q, %v and %q, %v", one, err, two, again)
	}
}

func TestMemoryOfAnotherBootKeepsWhatARebootDoesNotVoid(t *testing.T) {
	state, runtime := t.TempDir(), t.TempDir()
	r, err := NewRecorder(state, runtime, "g", "a:1", hclog.NewNullLogger())
	if err != nil {
		t.Fatal(err)
	}
	m := watchdog.Memory{Enrolled: true, Self: "a:1", RunID: "r", Deadline: 7}
	if err := r.write(m); err != nil {
		t.Fatal(err)
	}
	if got, err := r.Load(); err != nil || got != m {
		t.Errorf("got %+v, %v; want %+v", got, err, m)
	}
	var s stateRecord
	if err := ReadJSON(r.state, &s); err != nil {
		t.Fatal(err)
	}
	s.Boot = "another"
	if err := WriteJSON(r.state, s, How{}); err != nil {
		t.Fatal(err)
	}
	if got, err := r.Load(); err != nil || got != m.Rebooted() {
		t.Errorf("on another boot: got %+v, %v; want %+v", got, err, m.Rebooted())
	}
	if err := r.closeDeadline(); err != nil {
		t.Error(err)
	}
}

// What a restart goes by is the newest deadline: also one that was armed a moment
// after there was none, and one that only moved away right before the end.
func TestDeadlineIsKnownToTheNextLife(t *testing.T) {
	state, runtime := t.TempDir(), t.TempDir()
	load := func() watchdog.Instant {
		t.Helper()
		r, err := NewRecorder(state, runtime, "g", "a:1", hclog.NewNullLogger())
		if err != nil {
			t.Fatal(err)
		}
		m, err := r.Load()
		if err != nil {
			t.Fatal(err)
		}
		return m.Deadline
	}
	r, err := NewRecorder(state, runtime, "g", "a:1", hclog.NewNullLogger())
	if err != nil {
		t.Fatal(err)
	}
	for _, deadline := range []watchdog.Instant{0, 7} {
		if err := r.write(watchdog.Memory{RunID: "r", Deadline: deadline}); err != nil {
			t.Fatal(err)
		}
	}
	if got := load(); got != 7 {
		t.Errorf("killed: got %d, want 7", got)
	}
	if err := r.write(watchdog.Memory{RunID: "r", Deadline: 8}); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := r.Run(ctx); !errors.Is(err, context.Canceled) {
		t.Fatal(err)
	}
	if got := load(); got != 8 {
		t.Errorf("stopped: got %d, want 8", got)
	}
	idle, err := NewRecorder(state, runtime, "g", "a:1", hclog.NewNullLogger())
	if err != nil {
		t.Fatal(err)
	}
	if err := idle.Run(ctx); !errors.Is(err, context.Canceled) {
		t.Fatal(err)
	}
	if got := load(); got != 8 {
		t.Errorf("after a life that had nothing to write: got %d, want 8", got)
	}
}

func TestRecordsAreOneOfAKind(t *testing.T) {
	r := Records{Dir: t.TempDir(), Group: "../g", Node: "a:1"}
	got := map[string]int{"as": 1}
	if err := r.Load("veto", &got); err != nil || got["as"] != 1 {
		t.Errorf("without a record: got %v, %v", got, err)
	}
	if err := r.Save("veto", map[string]int{"is": 2}); err != nil {
		t.Fatal(err)
	}
	if err := r.Load("veto", &got); err != nil || got["is"] != 2 {
		t.Errorf("got %v, %v", got, err)
	}
	if err := r.Load("originals", &got); err != nil || len(got) != 2 {
		t.Errorf("another kind: got %v, %v", got, err)
	}
	if err := os.WriteFile(r.path("veto"), []byte("{"), 0o600); err != nil {
		t.Fatal(err)
	}
	var broken *json.SyntaxError
	if err := r.Load("veto", &got); !errors.As(err, &broken) || !strings.Contains(err.Error(), "veto") {
		t.Errorf("a record that is torn: got %v", err)
	}
}
