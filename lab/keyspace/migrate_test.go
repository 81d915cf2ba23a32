package keyspace

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/redis-watchdog/redis-watchdog/lab"
	"github.com/redis-watchdog/redis-watchdog/lab/watched"
	"github.com/redis-watchdog/redis-watchdog/preflight"
	"github.com/redis-watchdog/redis-watchdog/preflight/keyspace"
)

const clusterPassword = "of-the-cluster"

// The command says what stands against the move of a slot of Redis Cluster: unknown
// until the node's audit is kept as it is told to be, then by name, as long as
// cluster-node-timeout is short.
func TestPreflightOfAMoveOfASlotGoesByTheKeptAudit(t *testing.T) {
	t.Parallel()
	c := newCluster(t, clusterPassword)
	etcd := c.lab.Etcd(lab.EtcdConfig{}, c.nodes[0].Host)
	replica := c.replicaOf(0)
	binary, err := watched.Binary()
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	file := func(name, text string) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	config, err := json.Marshal(map[string]any{"etcd": map[string]any{"endpoints": etcd.Endpoints()}, "state_dir": filepath.Join(dir, "state"), "runtime_dir": filepath.Join(dir, "run"),
		"groups": []any{map[string]any{"name": "other", "sentinels": []string{"127.0.0.1:1"}, "nodes": []any{map[string]any{"name": "default", "address": "127.0.0.1:1"}}}}})
	if err != nil {
		t.Fatal(err)
	}
	conf, password := file("config.yaml", string(config)), file("password", clusterPassword+"\n")
	run := func(args ...string) (string, int) {
		p := c.nodes[0].Host.Run(lab.Command{Name: "cli", Path: binary, Args: append(args, "--config", conf, "--password-file", password)})
		code := p.Wait()
		return p.Text(), code
	}
	key, owner := "{"+c.tag(0, "big")+"}hash", c.nodes[0]
	slot := keyspace.ClusterSlot([]byte(key))
	for i := 0; i < 200_000; i += 5000 {
		owner.Do("EVAL", `local n = tonumber(ARGV[1]) for i = n, n + 4999, 50 do local a = {} for j = i, i + 49 do a[#a+1] = j a[#a+1] = 'v' end redis.call('HSET', KEYS[1], unpack(a)) end`,
			"1", key, strconv.Itoa(i))
	}
	ask := func(slot int) (string, int) {
		return run("preflight", "--migrate", "cluster:"+strconv.Itoa(slot), "--cluster", c.nodes[1].Address)
	}
	out, code := ask(slot)
	_, line, told := strings.Cut(out, "remedy: redis-watchdog ")
	line, _, _ = strings.Cut(line, "\n")
	if code != 2 || !told || !strings.Contains(out, "no audit was kept") || line != "keyspace --from "+replica.Address+" --keep-cluster" {
		t.Fatalf("before the audit it ended with %d: %s", code, out)
	}
	c.lab.Eventually("the replica has the key", time.Minute, func() error {
		if role, _ := replica.Do("ROLE").([]any); len(role) < 4 || role[3] != "connected" {
			return fmt.Errorf("role %v", role)
		}
		return nil
	})
	if out, code := run(append(strings.Fields(line), "--fit", "off")...); code != 0 || !strings.Contains(out, key) {
		t.Fatalf("the audit ended with %d: %s", code, out)
	}
	for _, shown := range []struct {
		check, timeout string
		slot, code     int
		outcome        preflight.Outcome
		says           []string
	}{
		{check: "keyspace_migrate", timeout: "15000", slot: slot, outcome: preflight.Passed, says: []string{fmt.Sprintf("MAY GO   cluster:%d can be moved", slot)}},
		{check: "keyspace_migrate", timeout: "500", slot: slot, code: 1, outcome: preflight.Failed, says: []string{fmt.Sprintf("%q (200000 elements", key), "cluster-node-timeout is 500ms"}},
		{check: "keyspace_migrate", timeout: "500", slot: slot + 1, outcome: preflight.Passed},
	} {
		owner.Do("CONFIG", "SET", "cluster-node-timeout", shown.timeout)
		out, code := ask(shown.slot)
		for _, want := range shown.says {
			if !strings.Contains(out, want) {
				t.Errorf("slot %d with %s ms does not say %q: %s", shown.slot, shown.timeout, want, out)
			}
		}
		if code != shown.code {
			t.Errorf("slot %d with %s ms: %d: %s", shown.slot, shown.timeout, code, out)
		}
		out, _ = run("preflight", "--migrate", "cluster:"+strconv.Itoa(shown.slot), "--cluster", c.nodes[1].Address, "-o", "json")
		var m preflight.Migration
		if err := json.Unmarshal([]byte(out), &m); err != nil {
			t.Fatalf("%v: %s", err, out)
		}
		if !slices.ContainsFunc(m.Findings, func(f preflight.Finding) bool { return f.Check == shown.check && f.Outcome == shown.outcome }) {
			t.Errorf("slot %d with %s ms: %s has not %s: %s", shown.slot, shown.timeout, shown.check, shown.outcome, out)
		}
	}
	owner.Do("CONFIG", "SET", "cluster-node-timeout", "15000")

	// What is stuck is found from any node, and ended with the password.
	c.opened(c.fill(0, c.tag(0, "secret")), 0, 1, "AUTH", clusterPassword)
	out, code = run("preflight", "--migrate", "cluster:"+strconv.Itoa(slot), "--cluster", replica.Address, "-o", "json")
	var m preflight.Migration
	if err := json.Unmarshal([]byte(out), &m); err != nil || code != 1 || m.Findings[0].Outcome != preflight.Failed {
		t.Fatalf("it ended with %d, %v: %s", code, err, out)
	}
	p := c.nodes[0].Host.Run(lab.Command{Name: "remedy", Path: "sh", Args: []string{"-ec", m.Findings[0].Remedy}, Env: []string{"REDISCLI_AUTH=" + clusterPassword}})
	if code := p.Wait(); code != 0 {
		t.Fatalf("%s\nended with %d: %s", m.Findings[0].Remedy, code, p.Text())
	}
	c.lab.Eventually("nothing is open", time.Minute, func() error {
		if out, code := ask(slot); code != 0 {
			return fmt.Errorf("%d: %s", code, out)
		}
		return nil
	})
	plain := c.nodes[0].Host.Redis(lab.RedisConfig{Name: "plain", Port: c.nodes[0].Host.Port(6390), Password: clusterPassword})
	if out, code := run("preflight", "--migrate", "cluster:1", "--cluster", plain.Address); code != 2 || !strings.Contains(out, "is no node of a Redis Cluster") {
		t.Errorf("a Redis that is in no cluster: %d: %s", code, out)
	}
}
