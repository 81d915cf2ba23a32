package preflight

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"github.com/redis-watchdog/redis-watchdog/preflight/keyspace"
	"github.com/redis-watchdog/redis-watchdog/preflight/keyspace/stall"
)

var place = keyspace.Place{Rule: keyspace.RuleCodis, Slot: 359}

// hashOf is a hash of so many fields that lies in a slot by both rules.
func hashOf(name string, fields uint64, slot int) keyspace.KeptKey {
	return keyspace.KeptKey{Name: name, Cluster: slot, Codis: slot,
		Key: stall.Key{Type: "hash", Encoding: "hashtable", Elements: fields, Counted: true, Bytes: fields * 100, Stored: fields * 30}}
}

func TestMigrateOutOfAGroupIsHeldAgainstWhatItBears(t *testing.T) {
	put := func(keys ...keyspace.KeptKey) func(*Facts) {
		return func(f *Facts) { f.Coordinator.Audit.Worst = keys }
	}
	both := func(all ...func(*Facts)) func(*Facts) {
		return func(f *Facts) {
			for _, one := range all {
				one(f)
			}
		}
	}
	for _, c := range []struct {
		name  string
		edit  func(*Facts)
		want  Verdict
		shows []string
	}{
		{"nothing large in it", put(), MayGo, []string{"mymaster: no key of codis:359"}},
		{"a large key of another slot", put(hashOf("user:lastbuy", 12e6, 360)), MayGo, nil},
		{"a large key of it", put(hashOf("user:lastbuy", 12e6, 359)), Blocked, []string{`the hash "user:lastbuy"`, "would hold " + a + " up", "bears 4.3s", "the target would be held up", "semi-async"}},
		{"many keys of one tag", put(hashOf("{u}:1", 3e5, 359), hashOf("{u}:2", 3e5, 359), hashOf("{u}:3", 3e5, 359)), Blocked, []string{`and 2 more with the tag "u"`}},
		{"as many without a tag", put(hashOf("u:1", 3e5, 359), hashOf("u:2", 3e5, 359), hashOf("u:3", 3e5, 359)), MayGo, nil},
		{"an empty tag is one", put(hashOf("1{}", 3e5, 359), hashOf("2{}", 3e5, 359), hashOf("3{}", 3e5, 359)), Blocked, []string{`with the tag ""`}},
		{"a module's value", put(keyspace.KeptKey{Name: "m", Codis: 359, Key: stall.Key{Type: "module", Bytes: 1 << 30}}), Unsure, []string{"nothing is known"}},
		{"no audit", func(f *Facts) { f.Coordinator.Audit = nil }, Unsure, []string{"no audit was kept", "--keep mymaster"}},
		{"a part of an audit", func(f *Facts) { f.Coordinator.Audit.Complete = false }, Unsure, []string{"not whole"}},
		{"keys that found no room", func(f *Facts) { f.Coordinator.Audit.Beyond = 1 }, Unsure, []string{"1 keys found no room"}},
		{"an old audit", func(f *Facts) { f.Coordinator.Audit.Age = auditStale + time.Hour }, Unsure, []string{"7.0 days old"}},
		{"an old audit, and a large key in it", both(put(hashOf("k", 12e6, 359)), func(f *Facts) { f.Coordinator.Audit.Age = auditStale + 1 }), Blocked, nil},
		{"no Sentinel", func(f *Facts) { f.Sentinels = nil }, Unsure, []string{"down-after"}},
		{"no master", both(put(hashOf("k", 12e6, 359)), func(f *Facts) { f.Master = "" }), Unsure, nil},
		{"a node of Redis Cluster", func(f *Facts) { node(f, a).Redis.Info["cluster_enabled"] = "1" }, Unsure, []string{"has no slots of codis", "--cluster " + a}},
		{"one that bears more than codis waits", both(put(hashOf("k", 40e6, 359)), func(f *Facts) {
			for i := range f.Sentinels {
				f.Sentinels[i].DownAfter = time.Hour
			}
		}), Blocked, []string{"codis waits for it for 30s", "may leave it at both"}},
	} {
		f := healthy()
		c.edit(&f)
		m := JudgeMigration(DefaultPolicy(), place, []Facts{f})
		if len(m.Findings) != 1 || m.Verdict != c.want {
			t.Errorf("%s: %s: %+v", c.name, m.Verdict, m.Findings)
			continue
		}
		text := m.Findings[0].Reason + "\n" + m.Findings[0].Remedy
		for _, want := range c.shows {
			if !strings.Contains(text, want) {
				t.Errorf("%s: it does not show %q: %s", c.name, want, text)
			}
		}
	}
	if m := JudgeMigration(DefaultPolicy(), place, nil); m.Verdict == MayGo {
		t.Error("of no group at all it may go")
	}
}

// three is a Redis Cluster of three masters of which each has a third and an audit.
func three() Cluster {
	c := Cluster{Seed: "10.1.0.1:7000"}
	for i := range 3 {
		c.Nodes = append(c.Nodes, ClusterNode{ID: fmt.Sprintf("%040d", i), Address: fmt.Sprintf("10.1.0.%d:7000", i+1),
			Slots: []SlotRange{{i * keyspace.ClusterSlots / 3, (i+1)*keyspace.ClusterSlots/3 - 1}}, Keys: map[int]int64{100: int64(9 * btoi(i == 0))},
			NodeTimeout: 15 * time.Second, Config: map[string]string{}, Replicas: []string{fmt.Sprintf("10.1.0.%d:7001", i+1)}, Audit: healthyAudit()})
	}
	return c
}

func btoi(b bool) int {
	if b {
		return 1
	}
	return 0
}

func TestMigrateOfAClusterSlotIsHeldAgainstTheNodeTimeout(t *testing.T) {
	slot := keyspace.Place{Rule: keyspace.RuleCluster, Slot: 100}
	for _, one := range []struct {
		name  string
		edit  func(*Cluster)
		want  Verdict
		shows []string
	}{
		{"nothing large in it", func(*Cluster) {}, MayGo, []string{"no key of cluster:100"}},
		{"a large key", func(c *Cluster) { c.Nodes[0].Audit.Worst = []keyspace.KeptKey{hashOf("k", 12e6, 100)} }, Blocked,
			[]string{`the hash "k"`, "10.1.0.1:7000 up", "cluster-node-timeout is 15s"}},
		{"ten that one MIGRATE may take", func(c *Cluster) {
			for range 12 {
				c.Nodes[0].Audit.Worst = append(c.Nodes[0].Audit.Worst, hashOf("k", 5e5, 100))
			}
		}, Blocked, []string{"up to 9 more with it"}},
		{"a short timeout at another node, which may be the target", func(c *Cluster) {
			c.Nodes[0].Audit.Worst, c.Nodes[2].NodeTimeout = []keyspace.KeptKey{hashOf("k", 5e5, 100)}, time.Second
		}, Blocked, []string{"cluster-node-timeout is 1s"}},
		{"a large key of another slot", func(c *Cluster) { c.Nodes[0].Audit.Worst = []keyspace.KeptKey{hashOf("k", 12e6, 101)} }, MayGo, nil},
		{"no audit of its owner", func(c *Cluster) { c.Nodes[0].Audit = nil }, Unsure, []string{"no audit was kept", "keyspace --from 10.1.0.1:7001 --keep-cluster"}},
		{"an audit that could not be read", func(c *Cluster) { c.Nodes[0].Audit, c.Nodes[0].AuditError = nil, "no route" }, Unsure, []string{"no route"}},
		{"no owner", func(c *Cluster) { c.Nodes[0].Slots = nil; c.Nodes[0].Keys = nil }, Unsure, []string{"no node that was asked"}},
		{"two owners", func(c *Cluster) { c.Nodes[1].Slots = append(c.Nodes[1].Slots, SlotRange{90, 110}) }, Unsure, []string{"several nodes"}},
		{"a node that could not be asked", func(c *Cluster) { c.Nodes[2].Error = "no route" }, Unsure, []string{"no route"}},
		{"keys that could not be counted", func(c *Cluster) { c.Nodes[2].Uncounted = "NOPERM" }, Unsure, []string{"NOPERM"}},
		{"a line that makes no sense", func(c *Cluster) { c.Unread = []Unread{{"x", "CLUSTER NODES", "y"}} }, Unsure, []string{"makes no sense"}},
		{"no cluster", func(c *Cluster) { c.Error = "it is no node of a Redis Cluster" }, Unsure, []string{"it is no node"}},
		{"another slot that is stuck", func(c *Cluster) { c.Nodes[1].Open = []OpenSlot{{7, true, c.Nodes[0].ID}} }, Blocked, []string{"slot 7:", "SETSLOT $slot STABLE"}},
		{"two ends that are not of one move", func(c *Cluster) {
			c.Nodes[0].Open, c.Nodes[2].Open = []OpenSlot{{7, false, c.Nodes[1].ID}}, []OpenSlot{{7, true, c.Nodes[0].ID}}
		}, Unsure, []string{"not clear", "--cluster check 10.1.0.1:7000"}},
		{"many slots in one state", func(c *Cluster) { c.Nodes[1].Keys[3], c.Nodes[1].Keys[4], c.Nodes[1].Keys[9] = 1, 1, 1 }, Blocked,
			[]string{"3 slots (3-4 9)", "holds 3 keys", "for slot in 3 4 9; do"}},
		{"with a login", func(c *Cluster) {
			c.Login, c.Nodes[1].Keys[3] = ClusterLogin{User: "op er", Password: true, TLS: true}, 1
		}, Blocked, []string{`redis-cli -h 10.1.0.2 -p 7000 --user 'op er' --tls`, `AUTH2 'op er' "$REDISCLI_AUTH" KEYS`}},
	} {
		c := three()
		one.edit(&c)
		m := JudgeClusterMigration(slot, c)
		text := ""
		for _, f := range m.Findings {
			text += f.Reason + "\n" + f.Remedy + "\n"
		}
		if m.Verdict != one.want {
			t.Errorf("%s: %s: %s", one.name, m.Verdict, text)
		}
		for _, want := range one.shows {
			if !strings.Contains(text, want) {
				t.Errorf("%s: it does not show %q: %s", one.name, want, text)
			}
		}
	}
}

// FuzzStuckSlots opens slots at random: nothing panics, a slot that is open or has
// keys at another node than its owner never passes, and the remedy never gives a slot
// away, or closes one with keys, without having looked.
func FuzzStuckSlots(f *testing.F) {
	for seed := range uint64(40) {
		f.Add(seed, uint8(seed))
	}
	f.Fuzz(func(t *testing.T, seed uint64, n uint8) {
		r := rand.New(rand.NewPCG(seed, 2))
		c := three()
		wrong := false
		for range n%5 + 1 {
			at, slot := &c.Nodes[r.IntN(3)], r.IntN(4)*5461
			switch r.IntN(3) {
			case 0:
				at.Open = append(at.Open, OpenSlot{slot, r.IntN(2) == 0, []string{c.Nodes[r.IntN(3)].ID, "nobody"}[r.IntN(2)]})
				wrong = true
			case 1:
				at.Keys[slot] = int64(r.IntN(3))
			default:
				at.Error = []string{"", "no route"}[r.IntN(2)]
			}
		}
		for _, n := range c.Nodes {
			for slot, keys := range n.Keys {
				wrong = wrong || keys > 0 && !n.Owns(slot)
			}
		}
		m := JudgeClusterMigration(keyspace.Place{Rule: keyspace.RuleCluster, Slot: 100}, c)
		if wrong && m.Verdict == MayGo {
			t.Errorf("it may go: %+v", c)
		}
		for _, f := range m.Findings {
			for line := range strings.Lines(f.Remedy) {
				if strings.Contains(line, " NODE ") && !strings.HasPrefix(line, `[ "$(redis-cli `) {
					t.Errorf("a slot is given away: %s", line)
				}
			}
		}
		if _, err := json.Marshal(m); err != nil {
			t.Error(err)
		}
	})
}
