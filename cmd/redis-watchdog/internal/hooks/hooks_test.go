package hooks

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/hashicorp/go-hclog"
)

// counts are results, by their names.
type counts struct {
	mu   sync.Mutex
	seen map[string]int
}

func (c *counts) count(result string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.seen == nil {
		c.seen = map[string]int{}
	}
	c.seen[result]++
}

func (c *counts) of(result string) int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.seen[result]
}

func (c *counts) await(t *testing.T, result string, n int) {
	t.Helper()
	for end := time.Now().Add(time.Minute); c.of(result) < n; time.Sleep(10 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("%d hooks ended as %q, want %d", c.of(result), result, n)
		}
	}
}

// running is a Runner that runs until the test ends.
func running(t *testing.T, hooks ...Hook) (*Runner, *counts, func()) {
	t.Helper()
	c := &counts{}
	r := New(hooks, c.count, hclog.NewNullLogger())
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- r.Run(ctx) }()
	var once sync.Once
	stop := func() {
		once.Do(func() {
			cancel()
			if err := <-done; !errors.Is(err, context.Canceled) {
				t.Errorf("Run ended with %v", err)
			}
		})
	}
	t.Cleanup(stop)
	return r, c, stop
}

// What a Sentinel may have put into a name is data for the command, in the
// environment and on standard input, whatever it looks like.
func TestEventIsHandedOverAsData(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, "told")
	r, c, _ := running(t, Hook{On: []string{"refuse"}, Timeout: time.Minute,
		Command: []string{"/bin/sh", "-c", `cat >"$1"; env | sort >>"$1"`, "sh", file}})
	bad := fmt.Sprintf("10.0.0.1:6379; touch %s/owned; $(touch %s/owned)\nREDIS_WATCHDOG_TO=serve", dir, dir)
	e := Event{Time: time.Now(), Group: "m1", Node: "default", Address: "10.0.0.2:6379", From: "hold", To: "refuse",
		Row: 12, Reason: "isolated", Master: bad, Generation: 3, Epoch: 7}
	r.Happened(Event{To: "serve"}) // not asked for
	r.Happened(e)
	c.await(t, Succeeded, 1)
	told, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	line, env, _ := strings.Cut(string(told), "\n")
	var got Event
	if err := json.Unmarshal([]byte(line), &got); err != nil || got.Master != bad || got.To != "refuse" || got.Epoch != 7 || got.Row != 12 {
		t.Errorf("standard input was %s (%v)", line, err)
	}
	for _, want := range []string{"GROUP=m1", "NODE=default", "ADDRESS=10.0.0.2:6379", "FROM=hold", "TO=refuse", "ROW=12",
		"REASON=isolated", "GENERATION=3", "EPOCH=7", "MASTER=10.0.0.1:6379; touch"} {
		if !strings.Contains(env, "\nREDIS_WATCHDOG_"+want) && !strings.HasPrefix(env, "REDIS_WATCHDOG_"+want) {
			t.Errorf("no %s in the environment:\n%s", want, env)
		}
	}
	if _, err := os.Stat(filepath.Join(dir, "owned")); err == nil {
		t.Error("a name was run as a command")
	}
	if strings.Contains(env, "HOME=") {
		t.Errorf("our own environment was handed over:\n%s", env)
	}
}

// At its timeout a command is killed with all it has started, and the next runs.
func TestHangingCommandIsKilledWithItsChildren(t *testing.T) {
	for timeout := time.Second; ; timeout *= 4 {
		if child := hungAndKilled(t, timeout); child != 0 {
			for end := time.Now().Add(time.Minute); alive(child); time.Sleep(10 * time.Millisecond) {
				if time.Now().After(end) {
					t.Fatalf("the command's child %d lives", child)
				}
			}
			return
		}
		if timeout > 10*time.Second {
			t.Fatalf("the command was not given the time to have a child within %v", timeout)
		}
	}
}

// hungAndKilled is the process that a command left behind which was killed at
// its timeout; 0: it had not got so far.
func hungAndKilled(t *testing.T, timeout time.Duration) int {
	t.Helper()
	file := filepath.Join(t.TempDir(), "child")
	r, c, _ := running(t,
		Hook{Timeout: timeout, Command: []string{"/bin/sh", "-c", `sleep 600 & echo $! >"$0.new"; mv "$0.new" "$0"; wait`, file}},
		Hook{Timeout: time.Minute, Command: []string{"/bin/false"}},
		Hook{Timeout: time.Minute, Command: []string{filepath.Join(t.TempDir(), "nothing")}},
		Hook{Timeout: time.Minute, Command: []string{"/bin/true"}})
	r.Happened(Event{To: "refuse"})
	c.await(t, Succeeded, 1)
	if c.of(TimedOut) != 1 || c.of(Failed) != 2 {
		t.Errorf("%d timed out and %d failed, want 1 and 2", c.of(TimedOut), c.of(Failed))
	}
	text, err := os.ReadFile(file)
	if errors.Is(err, os.ErrNotExist) {
		return 0
	}
	if err != nil {
		t.Fatal(err)
	}
	pid, err := strconv.Atoi(strings.TrimSpace(string(text)))
	if err != nil {
		t.Fatal(err)
	}
	return pid
}

// alive: there, and no zombie that waits for its new parent.
func alive(pid int) bool {
	if syscall.Kill(pid, 0) != nil {
		return false
	}
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	return err == nil && !strings.Contains(string(stat), ") Z ")
}

// While one hangs, whoever tells of more is never held up: what is too much is
// dropped and counted. A stop kills the one under way and waits for nothing.
func TestNobodyWaitsForHooks(t *testing.T) {
	begun := filepath.Join(t.TempDir(), "begun")
	r, c, stop := running(t, Hook{Timeout: 10 * time.Minute, Command: []string{"/bin/sh", "-c", `: >"$0"; exec sleep 600`, begun}})
	r.Happened(Event{To: "hold"})
	for end := time.Now().Add(time.Minute); ; time.Sleep(10 * time.Millisecond) {
		if _, err := os.Stat(begun); err == nil {
			break
		}
		if time.Now().After(end) {
			t.Fatal("the hook does not begin")
		}
	}
	for range waiting + 5 {
		r.Happened(Event{To: "refuse"})
	}
	if got := c.of(Dropped); got != 5 {
		t.Errorf("%d dropped, want 5", got)
	}
	stop()
	if got := c.of(Dropped); got != waiting+5 {
		t.Errorf("%d dropped after the stop, want those that waited too: %d", got, waiting+5)
	}
	if c.of(Failed) != 1 || c.of(Succeeded) != 0 {
		t.Errorf("%d failed, %d succeeded; want the one that was killed", c.of(Failed), c.of(Succeeded))
	}
}

// A reload has other hooks run from the next event on.
func TestSetChangesHooks(t *testing.T) {
	r, c, _ := running(t, Hook{Timeout: time.Minute, Command: []string{"/bin/false"}})
	r.Set([]Hook{{Timeout: time.Minute, Command: []string{"/bin/true"}}})
	r.Happened(Event{To: "serve"})
	c.await(t, Succeeded, 1)
	if c.of(Failed) != 0 {
		t.Error("the former hook ran")
	}
}
