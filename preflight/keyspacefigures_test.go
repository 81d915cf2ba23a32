package preflight

import (
	"testing"

	"github.com/redis-watchdog/redis-watchdog/preflight/keyspace"
	"github.com/redis-watchdog/redis-watchdog/preflight/keyspace/stall"
)

func TestLongestStallsGoByTheSettingsOfTheNode(t *testing.T) {
	f := healthy()
	audit, n := f.Coordinator.Audit.Kept, *node(&f, b)
	audit.Worst = append(audit.Worst, hashOf("larger", 12e6, 0))
	audit.Shares[0].Elements = 12e6
	got := LongestStalls(audit, n)
	if len(got) != len(stall.Ops()) {
		t.Fatalf("got %v", got)
	}
	for _, op := range []stall.Op{stall.Del, stall.Rename, stall.Migrate, stall.Restore, stall.Resync} {
		if got[op] < 4e9 {
			t.Errorf("%s: got %v", op, got[op])
		}
	}
	if got[stall.Expire] != 0 || got[stall.Evict] != 0 || got[stall.Unlink] > 1e9 {
		t.Errorf("got %v", got)
	}
	for _, name := range stall.Parameters() {
		n.Redis.Config[name] = "yes"
	}
	n.Redis.Config["maxmemory-policy"], audit.Worst[0].TTL = "allkeys-lru", true
	for op, took := range LongestStalls(audit, n) {
		if lazy := op != stall.Migrate && op != stall.Restore; lazy == (took > 1e9) {
			t.Errorf("lazily, %s: got %v", op, took)
		}
	}
	n.Redis.Config = nil
	if got := LongestStalls(audit, n); got != nil {
		t.Errorf("settings that were not read: %v", got)
	}
}

// TestKeyStallsAreOfRemovals: with every lazyfree on nothing of a hash is left that
// stalls, as keyspace_stall says too, though MIGRATE of it would.
func TestKeyStallsAreOfRemovals(t *testing.T) {
	f := healthy()
	audit, n := f.Coordinator.Audit.Kept, *node(&f, b)
	audit.Worst = append(audit.Worst, hashOf("larger", 12e6, 0))
	larger := len(audit.Worst) - 1
	if got := KeyStalls(audit, n); len(got) != len(audit.Worst) || got[larger] < 4e9 {
		t.Errorf("in the thread of Redis: %v", got)
	}
	for _, name := range stall.Parameters() {
		n.Redis.Config[name] = "yes"
	}
	n.Redis.Config["maxmemory"], n.Redis.Config["maxmemory-policy"] = "1gb", "allkeys-lru"
	audit.Worst[larger].TTL = true
	if LongestStalls(audit, n)[stall.Migrate] < 4e9 {
		t.Error("MIGRATE of it is short: nothing is told apart here")
	}
	if got := KeyStalls(audit, n); len(got) != len(audit.Worst) || got[larger] >= keyspace.ShortestKept {
		t.Errorf("lazily: %v", got)
	}
	n.Redis.Config["lazyfree-lazy-expire"] = "no"
	if got := KeyStalls(audit, n); got[larger] < 4e9 {
		t.Errorf("its expiry in the thread of Redis: %v", got)
	}
	n.Redis.Config = nil
	if got := KeyStalls(audit, n); got != nil {
		t.Errorf("settings that were not read: %v", got)
	}
}
