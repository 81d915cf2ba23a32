package preflight

import (
	"testing"

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
