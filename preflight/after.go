package preflight

import (
	"fmt"
	"maps"
	"math"
	"slices"
	"strconv"
	"strings"

	"github.com/redis-watchdog/redis-watchdog/watchdog"
	"github.com/redis-watchdog/redis-watchdog/watchdog/sorted"
)

// PostSwitch says whether a failover did what it was to do: before is the facts
// it was judged on, after the facts once it was over. The severity Blocks here
// means that data or clients are in danger.
func PostSwitch(before, after Facts) []Finding {
	var findings []Finding
	s := subject{facts: &after, policy: DefaultPolicy(), master: find(&after, after.Master)}
	for _, c := range afterChecks() {
		for _, n := range c.nodes(&before, &after) {
			one := s
			one.node = n
			findings = append(findings, c.compare(one, &before))
		}
	}
	sorted.By(findings, func(a, b Finding) int { return int(a.Outcome/Passed) - int(b.Outcome/Passed) })
	return findings
}

// after is one check after a switch.
type after struct {
	Check
	nodes func(before, after *Facts) []*Node // judged; a nil Node is the group
	judge func(s *subject, before *Facts) answer
}

func (a after) compare(s subject, before *Facts) Finding {
	return check{Check: a.Check, judge: func(s *subject) answer { return a.judge(s, before) }}.ask(s)
}

func afterChecks() []after {
	group := func(_, _ *Facts) []*Node { return []*Node{nil} }
	newMaster := func(_, now *Facts) []*Node { return []*Node{find(now, now.Master)} }
	// Old and new master.
	both := func(before, now *Facts) []*Node {
		nodes := newMaster(before, now)
		if old := find(now, before.Master); old != nil && old != nodes[0] {
			nodes = append(nodes, old)
		}
		return nodes
	}
	return []after{
		{Check{ID: "after_master", Severity: Blocks}, group, afterMaster},
		{Check{ID: "after_serves", Severity: Blocks}, newMaster, afterServes},
		{Check{ID: "after_keys", Severity: Blocks}, newMaster, afterKeys},
		{Check{ID: "after_evictions", Severity: Blocks}, newMaster, afterEvictions},
		{Check{ID: "after_replicas", Severity: Warns}, group, afterReplicas},
		{Check{ID: "after_files", Severity: Blocks}, both, afterFiles},
	}
}

func afterMaster(s *subject, before *Facts) answer {
	s.show("master before", orThe(before.Master, "nobody"), "the preflight")
	s.show("master after", orThe(s.facts.Master, "nobody"), "Sentinels and etcd")
	if s.facts.Master == "" {
		return failed("nobody is agreed upon as the master", "redis-watchdog status "+s.facts.Group)
	}
	if a := sentinelAgreement(s); a.outcome != Passed {
		return a
	}
	return verdictOn(s.facts.Master != before.Master, s.facts.Master+" is the master",
		before.Master+" is still the master: the failover did not happen", "redis-watchdog history "+s.facts.Group)
}

func afterServes(s *subject, _ *Facts) answer {
	role := s.infoText(s.node, "role")
	running := s.config(s.node, "min-replicas-to-write")
	holder := s.facts.Coordinator.Holder
	if s.short() {
		return answer{}
	}
	s.show("grant", orThe(holder, "nobody"), "etcd")
	return verdictOn(role == "master" && running != watchdog.LockValue && holder == s.node.Address,
		s.node.Address+" accepts writes, with the grant",
		fmt.Sprintf("%s does not accept writes: role %s, min-replicas-to-write %s, the grant is held by %s", s.node.Address, role, running, orThe(holder, "nobody")),
		"redis-watchdog status "+s.facts.Group)
}

func afterKeys(s *subject, before *Facts) answer {
	old := find(before, before.Master)
	if old == nil {
		s.lack("the key counts before", "no master was named then", "redis-watchdog status "+s.facts.Group)
		return answer{}
	}
	then, now := s.keyspace(old), s.keyspace(s.node)
	if s.short() {
		return answer{}
	}
	var fewer []string
	for _, db := range slices.Sorted(maps.Keys(then)) {
		t, n := then[db], now[db]
		s.show(db+" before", fmt.Sprintf("%d keys, %d of them expire", t.keys, t.expires), "INFO on "+old.Address)
		s.show(db+" after", fmt.Sprintf("%d keys, %d of them expire", n.keys, n.expires), "INFO on "+s.node.Address)
		// Keys without an expiry go only by a command.
		slack := math.Ceil(float64(t.keys) * s.policy.Keys)
		if float64(n.keys-n.expires) < float64(t.keys-t.expires)-slack || n.keys == 0 && t.keys > 0 {
			fewer = append(fewer, fmt.Sprintf("%s: %d before, %d after", db, t.keys, n.keys))
		}
	}
	return verdictOn(len(fewer) == 0, "every database kept its keys",
		"keys are gone, beyond what expiry explains: "+strings.Join(fewer, "; "),
		"if no client deleted them: stop writers, and compare with the old master's snapshot")
}

func afterEvictions(s *subject, before *Facts) answer {
	now := s.info(s.node, "evicted_keys")
	if s.short() {
		return answer{}
	}
	old := find(before, s.node.Address)
	if old == nil || old.Redis == nil {
		s.lack("the evictions of "+s.node.Address+" before", "it was not read", cli(s.node)+" INFO stats")
		return answer{}
	}
	then := s.info(old, "evicted_keys")
	same := s.infoText(s.node, "run_id") == s.infoText(old, "run_id")
	if s.short() {
		return answer{}
	}
	if !same {
		then = 0
	}
	return verdictOn(now <= then, "nothing was evicted",
		fmt.Sprintf("%s evicted %d keys since the failover, and more may follow", s.node.Address, now-then), s.roomier(find(before, before.Master)))
}

// roomier is how a master that evicts stops doing it: with the limit of the one
// before, or what its host bears. Without any the kernel would be the limit.
func (s *subject) roomier(old *Node) string {
	look := subject{facts: s.facts}
	limit, held := look.configBytes(s.node, "maxmemory"), look.counted(s.node)
	want := masterLimit(old)
	if h := s.node.Host; want <= max(limit, held) && h != nil {
		want = h.MemoryTotal / 4 * 3
	}
	if look.short() || want <= max(limit, held) || s.node.Host != nil && s.node.Host.MemoryTotal > 0 && want > s.node.Host.MemoryTotal {
		return "stop what writes, or fail over to a node with more memory: redis-watchdog preflight " + s.facts.Group
	}
	return set(s.node, "maxmemory", strconv.FormatInt(want, 10)) + "   # at once; then find the right limit, for every node"
}

func afterReplicas(s *subject, before *Facts) answer {
	r := s.redis(s.master)
	if r == nil {
		return answer{}
	}
	var away []string
	for i := range before.Nodes {
		address := before.Nodes[i].Address
		if address == s.facts.Master || before.Nodes[i].Redis == nil {
			continue // it was away before
		}
		switch line := lineOf(r.Replicas, address); {
		case line == nil:
			away = append(away, address+" is not attached")
		case line.State != "online":
			away = append(away, fmt.Sprintf("%s is %s", address, line.State))
		}
	}
	s.show("replicas", strconv.Itoa(len(r.Replicas)), s.by(s.master, "INFO"))
	return verdictOn(len(away) == 0, "every other node replicates from it", "not every node replicates from the new master: "+strings.Join(away, "; "),
		cli(s.master)+" INFO replication")
}

// afterFiles is whether Sentinel's CONFIG REWRITE reached the file: it ignores
// the reply (sentinel.c, sentinelSendSlaveOf), so a file that cannot be
// written is noticed by nobody else.
func afterFiles(s *subject, before *Facts) answer {
	d := s.drift(s.node)
	if d == nil {
		return answer{}
	}
	remedy := cli(s.node) + " CONFIG REWRITE   # its error says why the file was not written"
	if d.File == "" {
		return failed(s.node.Address+" runs without a redis.conf: a restart brings it back in its old role", remedy)
	}
	s.show("rewritten", d.Rewritten.UTC().Format("2006-01-02T15:04:05.000Z"), d.File+" of "+s.node.Address)
	if old := find(before, s.node.Address); old != nil && old.Drift != nil && old.Drift.Problem == "" {
		s.show("rewritten before", old.Drift.Rewritten.UTC().Format("2006-01-02T15:04:05.000Z"), old.Drift.File+" of "+s.node.Address)
		if !d.Rewritten.After(old.Drift.Rewritten) {
			return failed(fmt.Sprintf("%s of %s was not rewritten in the failover: a restart brings it back in its old role", d.File, s.node.Address), remedy)
		}
	} else if d.Rewritten.IsZero() {
		return failed(fmt.Sprintf("%s of %s was never rewritten: a restart brings it back in its old role", d.File, s.node.Address), remedy)
	}
	if at, ok := d.FileConfig["replicaof"]; ok {
		s.show("replicaof", quoteEmpty(at), d.File+" of "+s.node.Address)
		wants := s.node.Address != s.facts.Master
		if wants != (strings.TrimSpace(at) != "") {
			return failed(fmt.Sprintf("%s of %s says replicaof %s, which is not its role", d.File, s.node.Address, quoteEmpty(at)), remedy)
		}
	}
	return passed(d.File + " was rewritten")
}
