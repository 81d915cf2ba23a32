package preflight

import (
	"cmp"
	"fmt"
	"sort"
	"strings"
	"time"

	"github.com/redis-watchdog/redis-watchdog/preflight/keyspace"
	"github.com/redis-watchdog/redis-watchdog/preflight/keyspace/stall"
	"github.com/redis-watchdog/redis-watchdog/watchdog/sorted"
)

// Migration is the judgement of the move of a slot.
type Migration struct {
	Slot     keyspace.Place `json:"slot"`
	Verdict  Verdict        `json:"verdict"` // Blocked: something stands against it; Unsure: not everything could be found out
	Findings []Finding      `json:"findings"`
}

// JudgeMigration says what would block the move of a slot of codis out of each
// group.
func JudgeMigration(policy Policy, place keyspace.Place, groups []Facts) Migration {
	var all []Finding
	for i := range groups {
		f := &groups[i]
		s := subject{policy: policy, facts: f, master: find(f, f.Master), role: ofGroup}
		c := check{Check{ID: idKeyspaceMigrate, Severity: Warns}, ofGroup, func(s *subject) answer { return groupMigrate(s, place) }}
		one := c.ask(s)
		one.Node = f.Master
		one.Reason = f.Group + ": " + one.Reason
		all = append(all, one)
	}
	return migration(place, all)
}

// JudgeClusterMigration says what would block the move of a slot of Redis Cluster,
// and which moves of others did not come to an end.
func JudgeClusterMigration(place keyspace.Place, c Cluster) Migration {
	if c.Error != "" {
		return migration(place, []Finding{migrateFinding(Unknown, c.Seed, c.Error, "redis-watchdog preflight --migrate "+place.String()+" --cluster HOST:PORT")})
	}
	var all []Finding
	for _, n := range c.Nodes {
		if why := cmp.Or(n.Error, n.Uncounted); why != "" {
			all = append(all, migrateFinding(Unknown, n.Address, "which slots are open there and which keys it holds could not be found out: "+why, c.cli(&n)+" CLUSTER NODES"))
		}
	}
	for _, u := range c.Unread {
		all = append(all, migrateFinding(Unknown, c.Seed, fmt.Sprintf("a line of %s makes no sense and was left out: %q: %s", u.In, u.Name, u.Why), ""))
	}
	all = append(all, stuckSlots(&c)...)
	all = append(all, clusterMigrate(&c, place))
	return migration(place, all)
}

func migration(place keyspace.Place, all []Finding) Migration {
	m := Migration{Slot: place, Verdict: MayGo, Findings: all}
	if len(all) == 0 {
		m.Verdict = Unsure
	}
	for _, f := range all {
		switch {
		case f.Outcome == Failed:
			m.Verdict = Blocked
		case f.Outcome == Unknown && m.Verdict == MayGo:
			m.Verdict = Unsure
		}
	}
	weight := func(f Finding) int { return map[Outcome]int{Failed: 0, Unknown: 1, Passed: 2}[f.Outcome] }
	sorted.By(m.Findings, func(x, y Finding) int { return weight(x) - weight(y) })
	return m
}

func migrateFinding(o Outcome, node, reason, remedy string) Finding {
	return Finding{Check: idKeyspaceMigrate, Severity: Warns, Outcome: o, Node: node, Evidence: []Evidence{}, Reason: reason, Remedy: remedy}
}

// groupMigrate is the move of a slot out of a group of Sentinel's.
func groupMigrate(s *subject, place keyspace.Place) answer {
	for i := range s.facts.Nodes {
		n := &s.facts.Nodes[i]
		if place.Rule == keyspace.RuleCodis && n.Redis != nil && n.Redis.Info["cluster_enabled"] == "1" {
			return unsure(n.Address+" is a node of Redis Cluster, which has no slots of codis", "redis-watchdog preflight --migrate cluster:SLOT --cluster "+n.Address)
		}
	}
	if place.Rule != keyspace.RuleCodis {
		return unsure("its Redis are watched by Sentinel, and no Sentinel watches a node of Redis Cluster", "redis-watchdog preflight --migrate "+place.String()+" --cluster HOST:PORT")
	}
	audit, bears := s.audit(), s.bears()
	if s.short() {
		return answer{}
	}
	lazy := stall.Lazyfree{} // of the master, which moves the keys
	if s.redis(s.master) != nil {
		lazy = s.lazyfree(s.master)
	}
	if s.short() {
		return answer{}
	}
	s.show("the dashboard waits", stall.CodisMigrateTimeout.String(), "migration_timeout of codis")
	m := move{place: place, from: addressOf(s.master), audit: audit, lazy: lazy, bears: bears, bearsText: "its group bears " + bears.String(),
		waits: stall.CodisMigrateTimeout, waitsText: "codis waits for it", again: s.auditRemedy()}
	outcome, reason, remedy := m.judge(codisLoads(m.keys()))
	return answer{outcome: outcome, reason: reason, remedy: remedy}
}

// load is keys that are moved by one command.
type load struct {
	keys  []keyspace.KeptKey // the worst first
	bound bool               // by their tag: they are moved together for certain
	tag   string
}

// codisLoads: SLOTSMGRTTAGSLOT moves all keys of one tag in one go.
func codisLoads(keys []keyspace.KeptKey) (all []load) {
	at := map[string]int{}
	for _, k := range keys {
		tag, is := keyspace.Tag(k.Name, keyspace.RuleCodis)
		i, known := at[tag]
		if !is || !known {
			if is {
				at[tag] = len(all)
			}
			all = append(all, load{keys: []keyspace.KeptKey{k}, bound: is, tag: tag})
			continue
		}
		all[i].keys = append(all[i].keys, k)
	}
	return all
}

// pipelined is how many keys redis-cli --cluster moves by one MIGRATE
// (--cluster-pipeline).
const pipelined = 10

// clusterLoads: which keys one MIGRATE takes together is chance; the worst are taken.
func clusterLoads(keys []keyspace.KeptKey) []load {
	if len(keys) == 0 {
		return nil
	}
	return []load{{keys: keys[:min(len(keys), pipelined)]}}
}

// move is one slot out of one node.
type move struct {
	place     keyspace.Place
	from      string
	audit     *Audit
	lazy      stall.Lazyfree
	bears     time.Duration // how long either of the two may stand still
	bearsText string
	waits     time.Duration // how long an answer of the target is waited for
	waitsText string
	again     string // the command of a new audit
}

// keys of the slot that were kept, the worst first.
func (m move) keys() (in []keyspace.KeptKey) {
	for _, k := range m.audit.Worst {
		if k.In(m.place) {
			in = append(in, k)
		}
	}
	sort.SliceStable(in, func(x, y int) bool { return m.cost(stall.Migrate, in[x]).High > m.cost(stall.Migrate, in[y]).High })
	return in
}

func (m move) cost(op stall.Op, k keyspace.KeptKey) stall.Cost {
	return stall.One(op, k.Key, m.lazy, m.audit.Rates)
}

// total of an operation on the keys that one command moves: on all of a tag, else on
// the worst at the least. Of a value of which nothing is known there is nothing in it.
func (m move) total(op stall.Op, l load) (sum stall.Range) {
	for i, k := range l.keys {
		c := m.cost(op, k)
		sum.High += c.High
		if i == 0 || l.bound {
			sum.Low += c.Low
		}
	}
	return sum
}

// judge is what the loads of a slot would do.
func (m move) judge(loads []load) (outcome Outcome, reason, remedy string) {
	var unknown []string
	var blocks []string
	for _, l := range loads {
		for _, k := range l.keys {
			if !m.cost(stall.Migrate, k).Known {
				unknown = append(unknown, keyText(k))
			}
		}
		if text := m.tooLong(l); text != "" {
			blocks = append(blocks, text)
		}
	}
	whole := m.audit.Complete && m.audit.Beyond == 0 && m.audit.Left == 0
	switch {
	case len(blocks) > 0:
		text := blocks[0]
		if n := len(blocks) - 1; n > 0 {
			text += fmt.Sprintf("; and %d further", n)
		}
		return Failed, text, m.remedy()
	case len(unknown) > 0:
		return Unknown, fmt.Sprintf("of %s nothing is known", strings.Join(unknown, ", ")), m.again
	case !whole:
		return Unknown, fmt.Sprintf("the audit is not whole (complete: %v, %d keys found no room, %d entries make no sense), and what is in it blocks nothing", m.audit.Complete, m.audit.Beyond, m.audit.Left), m.again
	case m.audit.Age > auditStale:
		return Unknown, fmt.Sprintf("the audit is %.1f days old: what grew since is not in it", m.audit.Age.Hours()/24), m.again
	}
	return Passed, fmt.Sprintf("no key of %s stands against its move: what one command moves holds no node up for %s", m.place, stall.Text(m.bears)), ""
}

// tooLong is what a load would do; empty: it passes.
func (m move) tooLong(l load) string {
	what := keyText(l.keys[0])
	switch n := len(l.keys) - 1; {
	case n > 0 && l.bound:
		what += fmt.Sprintf(" and %d more with the tag %q, which codis moves by one command,", n, l.tag)
	case n > 0:
		what += fmt.Sprintf(" (and up to %d more with it, by one MIGRATE of redis-cli)", n)
	}
	source, target := m.total(stall.Migrate, l), m.total(stall.Restore, l)
	switch {
	case source.Against(m.bears) != stall.Below:
		text := fmt.Sprintf("%s would hold %s up for %s while it is moved, and %s", what, m.from, source, m.bearsText)
		if target.Against(m.bears) != stall.Below {
			text += fmt.Sprintf("; the target would be held up for %s of it", target)
		}
		return text
	case m.waits > 0 && target.Against(m.waits) != stall.Below:
		return fmt.Sprintf("%s would take the target %s to read in, and %s for %s: the move breaks off, and may leave it at both", what, target, m.waitsText, m.waits)
	}
	return ""
}

func (m move) remedy() string {
	if m.place.Rule == keyspace.RuleCodis {
		return "# codis 3.2 moves large values in pieces with migration_method = \"semi-async\" in dashboard.toml; 2.x, 3.0 and 3.1 cannot:\n" +
			"# there split the key, or take it away bit by bit, before the slot is moved"
	}
	return "# split the key, or take it away bit by bit, before the slot is moved; or raise cluster-node-timeout on every node for as long as it takes"
}

// clusterMigrate is the move of a slot of Redis Cluster.
func clusterMigrate(c *Cluster, place keyspace.Place) Finding {
	owner, several := c.owner(place.Slot)
	switch {
	case several:
		return migrateFinding(Unknown, c.Seed, fmt.Sprintf("several nodes hold %s for their own", place), c.cliAt(c.Seed)+" CLUSTER NODES")
	case owner == nil:
		return migrateFinding(Unknown, c.Seed, fmt.Sprintf("no node that was asked holds %s for its own", place), c.cliAt(c.Seed)+" CLUSTER NODES")
	}
	again := "redis-watchdog keyspace --from " + owner.Address + " --master --keep-cluster   # no Sentinel watches it; a replica is better"
	if len(owner.Replicas) > 0 {
		again = "redis-watchdog keyspace --from " + owner.Replicas[0] + " --keep-cluster"
	}
	switch {
	case owner.Audit == nil:
		return migrateFinding(Unknown, owner.Address, "the key space of "+owner.Address+" could not be found out: "+orThe(owner.AuditError, "no audit was kept"), again)
	case owner.NodeTimeout == 0 || owner.Config == nil:
		return migrateFinding(Unknown, owner.Address, "its cluster-node-timeout and its lazyfree parameters were not read", c.cli(owner)+" CONFIG GET cluster-node-timeout")
	}
	bears := owner.NodeTimeout
	for _, n := range c.Nodes { // the target may be any
		if n.NodeTimeout > 0 {
			bears = min(bears, n.NodeTimeout)
		}
	}
	m := move{place: place, from: owner.Address, audit: owner.Audit, lazy: stall.LazyfreeOf(owner.Audit.Server, owner.Config), bears: bears,
		bearsText: fmt.Sprintf("cluster-node-timeout is %s: its replica would be promoted meanwhile", bears),
		waits:     stall.DefaultMigrateTimeout, waitsText: "redis-cli lets MIGRATE wait", again: again}
	outcome, reason, remedy := m.judge(clusterLoads(m.keys()))
	f := migrateFinding(outcome, owner.Address, reason, remedy)
	f.Evidence = append(f.Evidence, Evidence{"audit", fmt.Sprintf("%d keys, of %s UTC", owner.Audit.Keys, owner.Audit.At.UTC().Format("2006-01-02 15:04:05")), owner.Audit.Source},
		Evidence{"rates", orThe(owner.Audit.Rates.From, "not said"), "the audit"},
		Evidence{"cluster-node-timeout", bears.String(), "CONFIG GET, the shortest of all nodes"})
	if n, counted := owner.Keys[place.Slot]; counted {
		f.Evidence = append(f.Evidence, Evidence{"keys of the slot", fmt.Sprint(n), "CLUSTER COUNTKEYSINSLOT on " + owner.Address})
	}
	return f
}
