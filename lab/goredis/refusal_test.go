package goredis

// What is done about an error that the server answers: the library sends the
// command again, up to three times more, while its context lasts.

import (
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/redis-watchdog/redis-watchdog/lab"
	"github.com/redis-watchdog/redis-watchdog/watchdog/redisclient"
)

// sentOnce has a command refused and counts how often it was sent. It returns
// whether the library went on with the connection afterwards.
func sentOnce(t *testing.T, r *lab.Redis, code string, command ...any) (kept bool) {
	t.Helper()
	var w wires
	tries := func() (n int) {
		for _, sent := range w.commands() {
			if strings.HasPrefix(sent, strings.ToLower(command[0].(string)+" ")) {
				n++
			}
		}
		return n
	}
	err := asItComes(t, &redis.Options{Addr: r.Address, Dialer: w.dial}).Do(within(t, long), command...).Err()
	if n := tries(); err == nil || !strings.HasPrefix(err.Error(), code) || n != 4 {
		t.Errorf("as it comes: %v after %d tries, want %s after 4", err, n, code)
	}
	c := ours(t, redisclient.Server{Address: r.Address, Dial: w.dial}, 1)
	before := w.dialled()
	for range 2 {
		err = c.Do(within(t, long), command...).Err()
		if n := tries(); err == nil || !strings.HasPrefix(err.Error(), code) || n != 1 {
			t.Errorf("ours: %v after %d tries, want %s after 1", err, n, code)
		}
	}
	return w.dialled()-before == 1
}

func TestARefusedCommandIsSentOnce(t *testing.T) { refused(t, lab.Loopback(t), "") }

func refused(t *testing.T, l *lab.Lab, binary string) {
	h := l.Host("a")
	master := h.Redis(lab.RedisConfig{Binary: binary, Name: "master"})
	replica := h.Redis(lab.RedisConfig{Binary: binary, Name: "replica", ReplicaOf: master})
	l.Eventually("the replica is in step", 20*time.Second, func() error {
		if !replica.Role().Synced() {
			return os.ErrNotExist
		}
		return nil
	})
	// Its connection is closed too: a name may lead to another server by now.
	if sentOnce(t, replica, "READONLY", "SET", "k", "v") {
		t.Error("READONLY: the connection was kept")
	}
	master.Do("CONFIG", "SET", "min-replicas-to-write", "5")
	if !sentOnce(t, master, "NOREPLICAS", "SET", "k", "v") {
		t.Error("NOREPLICAS: the connection was closed")
	}
	replica.Do("CONFIG", "SET", "replica-serve-stale-data", "no")
	replica.Do("REPLICAOF", "127.0.0.1", "1")
	if !sentOnce(t, replica, "MASTERDOWN", "GET", "k") {
		t.Error("MASTERDOWN: the connection was closed")
	}
}

func TestACommandToARedisThatLoadsIsSentOnce(t *testing.T) {
	l := lab.Loopback(t)
	r := l.Host("a").Redis(lab.RedisConfig{Lines: []string{"enable-debug-command yes"}})
	r.Do("DEBUG", "POPULATE", "50000", "k", "100")
	r.Do("SAVE")
	r.Kill()
	config, err := os.ReadFile(r.ConfigFile)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(r.ConfigFile, append(config, "key-load-delay 5000\nloading-process-events-interval-bytes 1024\n"...), 0o644); err != nil {
		t.Fatal(err)
	}
	r.Process.Restart()
	l.Eventually("it loads and says so", 20*time.Second, func() error {
		if _, err := r.Try("GET", "k"); err == nil || !strings.HasPrefix(err.Error(), "LOADING") {
			return fmt.Errorf("GET: %v", err)
		}
		return nil
	})
	if !sentOnce(t, r, "LOADING", "GET", "k") {
		t.Error("LOADING: the connection was closed")
	}
}

// A generic error inside of a list is an element to the library. One that has a
// type of its own, such as LOADING, ends its reading in the middle: the rest of
// the list is taken for the answers to what is asked next.
func TestAnErrorInsideOfAListPutsTheLibraryOutOfStep(t *testing.T) {
	r := lab.Loopback(t).Host("a").Redis(lab.RedisConfig{})
	const script = "return {redis.error_reply('LOADING not really'), 'of the list'}"
	conn := asItComes(t, &redis.Options{Addr: r.Address, MaxRetries: -1}).Conn()
	defer conn.Close()
	if err := conn.Do(within(t, long), "EVAL", script, "0").Err(); err == nil {
		t.Fatal("the script answered no error")
	}
	if got, err := conn.Do(within(t, long), "ECHO", "me").Text(); err != nil || got != "of the list" {
		t.Errorf("as it comes: got %q, %v (no longer out of step: bounded.go need not refuse it)", got, err)
	}
	c := ours(t, redisclient.Server{Address: r.Address}, 1)
	if err := c.Do(within(t, long), "EVAL", script, "0").Err(); err == nil || !strings.Contains(err.Error(), "an error inside of a list") {
		t.Errorf("ours: %v", err)
	}
	if got, err := c.Do(within(t, long), "ECHO", "me").Text(); err != nil || got != "me" {
		t.Errorf("ours, afterwards: got %q, %v", got, err)
	}
}
