package field

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/redis-watchdog/redis-watchdog/lab"
	"github.com/redis-watchdog/redis-watchdog/lab/watched"
	"github.com/redis-watchdog/redis-watchdog/preflight"
	"github.com/redis-watchdog/redis-watchdog/preflight/keyspace"
)

// The group's key space is audited and kept, and every host's preflight knows it.
// Then one command over the largest key hangs the master until it is failed over:
// history names the command, the key, and what the audit knows of it.
func TestHistoryNamesTheCommandThatHungTheMaster(t *testing.T) {
	t.Parallel()
	const d = 3 * time.Second
	group := lab.GroupConfig{DownAfter: d, FailTimeout: 10 * time.Second}
	group.Redis.Lines = []string{"lua-time-limit 120000"} // it answers nobody, BUSY neither
	w := start(t, watched.Options{Group: group})
	master := w.WaitServing()
	const key, fields = "user:lastbuy", 150_000
	for i := 0; i < fields; i += 5000 {
		master.Redis.Do("EVAL", `local n = tonumber(ARGV[1]) for i = n, n + 4999, 50 do local a = {} for j = i, i + 49 do a[#a+1] = j a[#a+1] = 'v' end redis.call('HSET', KEYS[1], unpack(a)) end`,
			"1", key, fmt.Sprint(i))
	}
	w.Group.WaitReplicas()
	other := w.Others(master)[0]
	finding := func(id string) (f preflight.Finding) {
		out, _ := other.CLI("preflight", w.Group.Name, "-v", "-o", "json")
		var r preflight.Report
		if err := json.Unmarshal([]byte(out), &r); err != nil {
			t.Fatalf("%v: %s", err, out)
		}
		i := slices.IndexFunc(r.Findings, func(f preflight.Finding) bool { return f.Check == id })
		if i < 0 {
			t.Fatalf("no %s: %s", id, out)
		}
		return r.Findings[i]
	}
	if f := finding("keyspace_age"); f.Outcome != preflight.Unknown || !strings.Contains(f.Remedy, "--keep "+w.Group.Name) {
		t.Errorf("before the audit: %+v", f)
	}
	move := fmt.Sprintf("codis:%d", keyspace.CodisSlot([]byte(key)))
	if out, code := other.CLI("preflight", w.Group.Name, "--migrate", move); code != 2 || !strings.Contains(out, "no audit was kept") {
		t.Errorf("%s, before the audit: %d: %s", move, code, out)
	}
	if out, code := master.CLI("keyspace", "--scan", master.Redis.Address, "--fit", "off", "--keep", w.Group.Name); code != 0 || !strings.Contains(out, key) {
		t.Fatalf("the audit ended with %d: %s", code, out)
	}
	for _, id := range []string{"keyspace_age", "keyspace_stall"} {
		if f := finding(id); f.Outcome != preflight.Passed {
			t.Errorf("after the audit: %+v", f)
		}
	}

	if out, code := other.CLI("preflight", "--migrate", move); code != 0 || !strings.Contains(out, w.Group.Name+": no key of "+move) {
		t.Errorf("%s, after the audit: %d: %s", move, code, out)
	}

	w.Eventually("the audit is in the metrics of every watchdog", time.Minute, func() error {
		for _, d := range w.Watchdogs {
			page := d.Metrics()
			for _, want := range []string{"redis_watchdog_keyspace_audit_age_seconds{", `operation="del"`, "redis_watchdog_stall_borne_seconds{"} {
				if !strings.Contains(page, want) {
					return fmt.Errorf("%s does not show %s", d.Name, want)
				}
			}
			if strings.Contains(page, key) {
				t.Fatalf("%s shows the name of a key", d.Name)
			}
		}
		return nil
	})

	w.Mark("one command hangs the master")
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		// What it answers, and that nobody waits for it so long, does not matter.
		_, _ = master.Redis.Try("EVAL", `redis.call('HLEN', KEYS[1]) local t = redis.call('TIME') local till = t[1] * 1000 + t[2] / 1000 + ARGV[1]
			repeat t = redis.call('TIME') until t[1] * 1000 + t[2] / 1000 > till return 'done'`, "1", key, (2 * d).Milliseconds())
	}()
	w.Eventually("it answers nobody", time.Minute, func() error {
		if _, err := master.Redis.Try("PING"); err == nil {
			return errors.New("it answers")
		}
		return nil
	})
	// It lasts until there was a failover, however busy this machine is, and no
	// longer: a Redis that hangs on is killed, and its slow log with it.
	master.Redis.Signal(syscall.SIGSTOP)
	next := w.WaitServing(w.Others(master)...)
	master.Redis.Signal(syscall.SIGCONT)
	<-ended
	w.Eventually("history names the likely cause", time.Minute, func() error {
		out, _ := next.CLI("history", w.Group.Name, "-o", "json")
		var records []struct {
			Self  string `json:"address"`
			To    string `json:"to"`
			Cause *struct {
				Kind string `json:"cause"`
				Text string `json:"text"`
			} `json:"likely_cause"`
		}
		if err := json.Unmarshal([]byte(out), &records); err != nil {
			return fmt.Errorf("%w: %s", err, out)
		}
		for _, r := range records {
			if r.To == "serve" && r.Self == next.Redis.Address && r.Cause != nil {
				for _, part := range []string{"EVAL", fmt.Sprintf("%q", key), fmt.Sprintf("hash of %d elements", fields), "SLOWLOG", master.Redis.Address} {
					if !strings.Contains(r.Cause.Text, part) {
						return fmt.Errorf("no %s in %q", part, r.Cause.Text)
					}
				}
				if r.Cause.Kind != "command" {
					return fmt.Errorf("the cause is %q", r.Cause.Kind)
				}
				t.Logf("likely cause: %s", r.Cause.Text)
				return nil
			}
		}
		return fmt.Errorf("no cause of the failover: %s", out)
	})
	if out, _ := next.CLI("history", w.Group.Name); !strings.Contains(out, "likely cause: "+master.Redis.Address) {
		t.Errorf("history: %s", out)
	}
}
