package preflight

import (
	"fmt"
	"slices"
	"sort"
	"strings"
	"time"

	"github.com/redis-watchdog/redis-watchdog/preflight/keyspace"
	"github.com/redis-watchdog/redis-watchdog/preflight/keyspace/stall"
)

// None of these vetoes, nor may: a large key is at the master as at every replica,
// and a promotion makes it no worse.
func keyspaceChecks() []check {
	return []check{
		{Check{ID: "keyspace_stall", Severity: Warns}, ofGroup, keyspaceStall},
		{Check{ID: "keyspace_resync", Severity: Warns}, ofGroup, keyspaceResync},
		{Check{ID: "keyspace_age", Severity: Warns}, ofGroup, keyspaceAge},
		{Check{ID: idKeyspaceMigrate, Severity: Warns}, 0, nil}, // JudgeMigration asks it, where a slot is to be moved
	}
}

// auditStale is the age from which an audit is old.
const auditStale = 7 * 24 * time.Hour

// audit is the newest audit that was kept; nil is recorded as missing.
func (s *subject) audit() *Audit {
	c := &s.facts.Coordinator
	if c.Audit != nil {
		s.show("audit", fmt.Sprintf("%d keys, of %s", c.Audit.Keys, c.Audit.At.UTC().Format("2006-01-02 15:04:05")+" UTC"), c.Audit.Source)
		return c.Audit
	}
	why := "no audit was kept"
	switch {
	case c.Error != "":
		why = c.Error
	case c.AuditError != "":
		why = c.AuditError
	}
	s.lack("the key space of "+s.facts.Group, why, s.auditRemedy())
	return nil
}

// auditRemedy audits a replica, or, where there is none, the master by SCAN.
func (s *subject) auditRemedy() string {
	for _, n := range s.others(s.master) {
		return "redis-watchdog keyspace --from " + n.Address + " --keep " + s.facts.Group
	}
	return "redis-watchdog keyspace --scan " + addressOf(s.master) + " --keep " + s.facts.Group
}

// bears is how long a master of the group may stand still; 0 is recorded as
// missing.
func (s *subject) bears() time.Duration {
	limits := stall.Limits{}
	for _, x := range s.facts.Sentinels {
		if x.Error == "" && x.DownAfter > 0 && (limits.DownAfter == 0 || x.DownAfter < limits.DownAfter) {
			limits.DownAfter = x.DownAfter
		}
	}
	if limits.DownAfter == 0 {
		s.lack("how long a stall the group bears", "no Sentinel told its down-after-milliseconds", "redis-watchdog status "+s.facts.Group)
		return 0
	}
	s.show("down-after-milliseconds", limits.DownAfter.String(), "the Sentinels")
	s.show("the group bears", limits.Bears().String(), "that, less a poll of the Sentinels and the time to act")
	return max(limits.Bears(), time.Millisecond)
}

// lazyfree is what a node leaves to another thread.
func (s *subject) lazyfree(n *Node) stall.Lazyfree {
	config := map[string]string{}
	for _, name := range stall.Parameters() {
		// 6.0 has no lazyfree-lazy-user-del (6.2).
		config[name] = s.configOf(n, name, "no")
	}
	return stall.LazyfreeOf("", config)
}

// removals of a key that happen by themselves or that clients ask for, with the
// parameter that leaves each to another thread.
func removals(k keyspace.KeptKey, evicts bool) map[stall.Op]string {
	all := map[stall.Op]string{stall.Del: "lazyfree-lazy-user-del", stall.Rename: "lazyfree-lazy-server-del"}
	if k.TTL {
		all[stall.Expire] = "lazyfree-lazy-expire"
	}
	if evicts {
		all[stall.Evict] = "lazyfree-lazy-eviction"
	}
	return all
}

// heldUp is a key whose removal holds one node up for longer than is borne.
type heldUp struct {
	key   keyspace.KeptKey
	node  *Node
	op    stall.Op
	cost  stall.Cost
	cures string // the parameter; empty: nothing is left to another thread of it
}

// keyspaceStall is whether a key's removal holds a Redis up for longer than the
// group bears. Every node is asked with its own settings: each may be the master.
func keyspaceStall(s *subject) answer {
	audit, bears := s.audit(), s.bears()
	if s.short() {
		return answer{}
	}
	var all []heldUp
	for i := range s.facts.Nodes {
		n := &s.facts.Nodes[i]
		lazy, evicts := s.lazyfree(n), s.configOf(n, "maxmemory", "0") != "0" && s.evicts(n)
		if s.short() {
			return answer{}
		}
		for _, k := range audit.Worst {
			all = append(all, tooLong(k, n, lazy, evicts, audit.Rates, bears)...)
		}
	}
	if len(all) == 0 {
		if !audit.Complete || audit.Beyond > 0 || audit.Left > 0 {
			return unsure(fmt.Sprintf("the audit is not whole (complete: %v, %d keys found no room, %d entries make no sense), and what is in it stalls nothing", audit.Complete, audit.Beyond, audit.Left), s.auditRemedy())
		}
		return passed(fmt.Sprintf("no key's removal holds a Redis up for %s", bears))
	}
	sort.SliceStable(all, func(x, y int) bool { return all[x].cost.High > all[y].cost.High })
	worst := all[0]
	keys := map[string]bool{}
	for _, h := range all {
		keys[fmt.Sprint(h.key.DB, " ", h.key.Name)] = true
	}
	s.show("rates", orThe(audit.Rates.From, "not said"), "the audit")
	text := fmt.Sprintf("%s: %s would hold %s up for %s, and the group bears %s; what lasts longer is fenced, and failed over", keyText(worst.key), opText(worst.op), worst.node.Address, worst.cost.Range, bears)
	if n := len(keys) - 1; n > 0 {
		text += fmt.Sprintf("; and %d further keys", n)
	}
	return answer{outcome: Failed, reason: text, remedy: stallRemedy(all), together: true}
}

// tooLong is every removal of a key that may take as long as is borne.
func tooLong(k keyspace.KeptKey, n *Node, lazy stall.Lazyfree, evicts bool, rates stall.Rates, bears time.Duration) (all []heldUp) {
	for op, parameter := range removals(k, evicts) {
		cost := stall.One(op, k.Key, lazy, rates)
		if !cost.Known || cost.Against(bears) == stall.Below {
			continue
		}
		if stall.One(stall.Unlink, k.Key, lazy, rates).Against(bears) != stall.Below {
			parameter = ""
		}
		all = append(all, heldUp{k, n, op, cost, parameter})
	}
	sort.Slice(all, func(x, y int) bool { return all[x].op < all[y].op })
	return all
}

// keyText names a key for a sentence.
func keyText(k keyspace.KeptKey) string {
	text := fmt.Sprintf("the %s %q", k.Type, k.Name)
	if k.DB != 0 {
		text += fmt.Sprintf(" of database %d", k.DB)
	}
	if k.Type == "string" {
		return text + fmt.Sprintf(" (%s)", size(int64(k.Bytes)))
	}
	return text + fmt.Sprintf(" (%d elements, %s)", k.Elements, size(int64(k.Bytes)))
}

func opText(op stall.Op) string {
	switch op {
	case stall.Del:
		return "DEL"
	case stall.Expire:
		return "its expiry"
	case stall.Evict:
		return "its eviction"
	case stall.Rename:
		return "RENAME or SET over it"
	}
	return string(op)
}

// stallRemedy leaves removals to another thread, node by node. What is one
// allocation nothing helps but to make it smaller.
func stallRemedy(all []heldUp) string {
	var lines []string
	add := func(line string) {
		if !slices.Contains(lines, line) {
			lines = append(lines, line)
		}
	}
	for _, h := range all {
		if h.cures != "" {
			add(set(h.node, h.cures, "yes"))
		}
	}
	for _, h := range all {
		if h.cures != "" {
			add(cli(h.node) + " CONFIG REWRITE")
		}
	}
	for _, h := range all {
		if h.cures == "" {
			add("# " + keyText(h.key) + " is freed at once, by UNLINK too: split it, or take it away bit by bit (SETRANGE, LTRIM) before it is removed")
		}
	}
	return strings.Join(lines, "\n")
}

// keyspaceResync is whether a replica would answer nobody for longer than
// down-after-milliseconds while it makes room for a full sync.
func keyspaceResync(s *subject) answer {
	audit := s.audit()
	if s.short() {
		return answer{}
	}
	emptying := audit.Emptying()
	s.show("emptying", emptying.String(), "the audit, "+orThe(audit.Rates.From, "no rates"))
	bears := s.bears()
	var slow []*Node
	for i := range s.facts.Nodes {
		if n := &s.facts.Nodes[i]; s.configOf(n, "replica-lazy-flush", "no") != "yes" {
			slow = append(slow, n)
		}
	}
	if s.short() {
		return answer{}
	}
	limit := bears + borneLess
	switch {
	case len(slow) == 0:
		return passed("every node empties itself in another thread before a full sync")
	case emptying.Against(limit) != stall.Below:
		var names, lines []string
		for _, n := range slow {
			names = append(names, n.Address)
			lines = append(lines, set(n, "replica-lazy-flush", "yes"), cli(n)+" CONFIG REWRITE")
		}
		return answer{outcome: Failed, remedy: strings.Join(lines, "\n"), together: true,
			reason: fmt.Sprintf("before a full sync %s would empty itself for %s and answer nobody: Sentinel holds it for down after %s, and it is no candidate meanwhile", strings.Join(names, ", "), emptying, limit)}
	case !audit.Complete:
		return unsure("the audit is not whole", s.auditRemedy())
	}
	return passed(fmt.Sprintf("a replica empties itself within %s before a full sync", stall.Text(emptying.High)))
}

// keyspaceAge is whether the newest audit is of late.
func keyspaceAge(s *subject) answer {
	audit := s.audit()
	if s.short() {
		return answer{}
	}
	days := fmt.Sprintf("%.1f days", audit.Age.Hours()/24)
	return verdictOn(audit.Age <= auditStale, "the newest audit of the key space is "+days+" old",
		"the newest audit of the key space is "+days+" old: what grew since is not in it", s.auditRemedy())
}
