package preflight

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/redis-watchdog/redis-watchdog/preflight/keyspace"
	"github.com/redis-watchdog/redis-watchdog/preflight/keyspace/stall"
)

// ofGroupFinding is what a check says of the group.
func ofGroupFinding(t *testing.T, f Facts, id string) (Finding, Report) {
	t.Helper()
	r := Judge(DefaultPolicy(), f, "")
	i := slices.IndexFunc(r.Findings, func(f Finding) bool { return f.Check == id && f.Node == "" })
	if i < 0 {
		t.Fatalf("%s was not judged", id)
	}
	return r.Findings[i], r
}

// Whatever an audit says, and where there is none, a healthy group may fail over
// and no replica is vetoed.
func TestKeyspaceChecksWarnAndNeverMore(t *testing.T) {
	whale := healthy()
	whale.Coordinator.Audit.Worst[0].Elements = 100e6
	whale.Coordinator.Audit.Shares[0].Elements = 100e6
	whale.Coordinator.Audit.Age = 1000 * time.Hour
	none := healthy()
	none.Coordinator.Audit = nil
	for name, f := range map[string]Facts{"a whale": whale, "no audit": none} {
		for _, id := range []string{"keyspace_stall", "keyspace_resync", "keyspace_age"} {
			got, r := ofGroupFinding(t, f, id)
			if got.Outcome == Passed || got.Severity != Warns || got.Remedy == "" {
				t.Errorf("%s: got %+v", name, got)
			}
			if r.Verdict != MayGo {
				t.Errorf("%s: the verdict is %s", name, r.Verdict)
			}
		}
		for _, n := range f.Nodes[1:] {
			if v := Vetoes(Own(DefaultPolicy(), "shop", f.Nodes[0], n)); len(v) > 0 {
				t.Errorf("%s: %s is vetoed: %v", name, n.Address, v)
			}
		}
	}
	for _, c := range Catalogue() {
		if c.Area == areaKeyspace && (c.Veto || c.Severity != Warns) {
			t.Errorf("%s: vetoes %v, %s", c.ID, c.Veto, c.Severity)
		}
	}
}

func TestKeyspaceStallIsHeldAgainstWhatTheGroupBears(t *testing.T) {
	hash := func(f *Facts) *keyspace.KeptKey { return &f.Coordinator.Audit.Worst[0] }
	all := func(f *Facts, name, value string) {
		for _, n := range f.Nodes {
			n.Redis.Config[name] = value
		}
	}
	for _, c := range []struct {
		name  string
		edit  func(*Facts)
		want  Outcome
		shows []string // of reason and remedy
	}{
		{"small", func(*Facts) {}, Passed, nil},
		{"large", func(f *Facts) { hash(f).Elements = 12e6 }, Failed, []string{`"user:lastbuy"`, "12000000 elements", "DEL", "bears 4.3s", "CONFIG SET lazyfree-lazy-user-del yes", "CONFIG SET lazyfree-lazy-server-del yes", "-h 10.0.0.13"}},
		{"large, and left to another thread everywhere", func(f *Facts) {
			hash(f).Elements = 12e6
			all(f, "lazyfree-lazy-user-del", "yes")
			all(f, "lazyfree-lazy-server-del", "yes")
		}, Passed, nil},
		{"large, with a TTL", func(f *Facts) {
			hash(f).Elements, hash(f).TTL = 12e6, true
			all(f, "lazyfree-lazy-user-del", "yes")
			all(f, "lazyfree-lazy-server-del", "yes")
		}, Failed, []string{"its expiry", "lazyfree-lazy-expire yes"}},
		{"large, where keys are evicted", func(f *Facts) {
			hash(f).Elements = 12e6
			all(f, "lazyfree-lazy-user-del", "yes")
			all(f, "lazyfree-lazy-server-del", "yes")
			all(f, "maxmemory-policy", "allkeys-lru")
		}, Failed, []string{"its eviction", "lazyfree-lazy-eviction yes"}},
		{"large, at one replica only not", func(f *Facts) {
			hash(f).Elements = 12e6
			all(f, "lazyfree-lazy-user-del", "yes")
			all(f, "lazyfree-lazy-server-del", "yes")
			node(f, c).Redis.Config["lazyfree-lazy-user-del"] = "no"
		}, Failed, []string{c, "-h 10.0.0.13 -p 6379 CONFIG SET lazyfree-lazy-user-del yes"}},
		{"one allocation", func(f *Facts) {
			hash(f).Key = stall.Key{Type: "string", Encoding: "raw", Counted: true, Elements: 60 << 30, Bytes: 60 << 30}
		}, Failed, []string{"60.00 GiB", "freed at once"}},
		{"a short down-after", func(f *Facts) {
			for i := range f.Sentinels {
				f.Sentinels[i].DownAfter = time.Second
			}
		}, Failed, []string{"bears 300ms"}},
		{"an audit that is not whole", func(f *Facts) { f.Coordinator.Audit.Complete = false }, Unknown, []string{"not whole", "--keep mymaster"}},
		{"keys that found no room", func(f *Facts) { f.Coordinator.Audit.Beyond = 3 }, Unknown, []string{"3 keys"}},
		{"not whole, and a large key in it", func(f *Facts) { hash(f).Elements, f.Coordinator.Audit.Complete = 12e6, false }, Failed, nil},
		{"settings that were not read", func(f *Facts) { node(f, b).Redis.Config = nil }, Unknown, []string{b}},
		{"no Sentinel", func(f *Facts) { f.Sentinels = nil }, Unknown, []string{"down-after"}},
		{"an audit that could not be read", func(f *Facts) { f.Coordinator.Audit, f.Coordinator.AuditError = nil, "no route" }, Unknown, []string{"no route"}},
	} {
		f := healthy()
		c.edit(&f)
		got, _ := ofGroupFinding(t, f, "keyspace_stall")
		if got.Outcome != c.want {
			t.Errorf("%s: got %s: %s", c.name, got.Outcome, got.Reason)
		}
		for _, text := range c.shows {
			if !strings.Contains(got.Reason+"\n"+got.Remedy, text) {
				t.Errorf("%s: it does not show %q: %s\n%s", c.name, text, got.Reason, got.Remedy)
			}
		}
	}
}

func TestKeyspaceResyncAndAge(t *testing.T) {
	f := healthy()
	f.Coordinator.Audit.Shares[0].Elements = 12e6
	if got, _ := ofGroupFinding(t, f, "keyspace_resync"); got.Outcome != Failed || !strings.Contains(got.Remedy, "CONFIG SET replica-lazy-flush yes") || !strings.Contains(got.Reason, a) {
		t.Errorf("got %s: %s\n%s", got.Outcome, got.Reason, got.Remedy)
	}
	for _, n := range f.Nodes {
		n.Redis.Config["replica-lazy-flush"] = "yes"
	}
	if got, _ := ofGroupFinding(t, f, "keyspace_resync"); got.Outcome != Passed {
		t.Errorf("lazily: got %s: %s", got.Outcome, got.Reason)
	}
	for age, want := range map[time.Duration]Outcome{auditStale: Passed, auditStale + 1: Failed, -time.Hour: Passed} {
		f.Coordinator.Audit.Age = age
		if got, _ := ofGroupFinding(t, f, "keyspace_age"); got.Outcome != want {
			t.Errorf("%v old: got %s: %s", age, got.Outcome, got.Reason)
		}
	}
}
