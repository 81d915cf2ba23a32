package preflight

// A remedy is tried before it is offered: against the facts as they would be
// after it, by the same checks. What would make one of them fail that does not
// fail now is not offered.

import (
	"fmt"
	"maps"
	"math"
	"net"
	"slices"
	"strconv"
	"strings"
)

// stepOf reads a line of a remedy that changes the configuration of a running
// Redis, as set and cli write them; false: it is another.
func stepOf(line string) (Fix, bool) {
	command, _, _ := strings.Cut(line, "   #")
	words := strings.SplitN(strings.TrimSpace(command), " ", 9)
	if len(words) < 7 || words[0] != "redis-cli" || words[1] != "-h" || words[3] != "-p" || words[5] != "CONFIG" {
		return Fix{}, false
	}
	fix := Fix{Node: net.JoinHostPort(words[2], words[4])}
	switch {
	case words[6] == "REWRITE" && len(words) == 7:
		fix.Kind = FixRewrite
	case words[6] == "SET" && len(words) == 9:
		fix.Kind, fix.Parameter, fix.Value = FixSet, words[7], shellUnquote(words[8])
	default:
		return Fix{}, false
	}
	return fix, true
}

// shellUnquote is what a shell makes of a word of shellQuote.
func shellUnquote(word string) string {
	if len(word) < 2 || word[0] != '\'' {
		return word
	}
	return strings.ReplaceAll(word[1:len(word)-1], `'\''`, "'")
}

// tried leaves out of a remedy what would make something worse, and says so in
// its place. The lines of one that are ways by themselves (each) are tried one
// by one, those of another in their order: what follows one that is left out is
// left out too.
func (s *subject) tried(remedy string, fixes []Fix, each, together bool) (string, []Fix) {
	if s.trial || s.facts == nil {
		return remedy, fixes
	}
	if together {
		return s.triedTogether(remedy), nil
	}
	var lines []string
	var done []Fix
	refused, sets, left := false, 0, 0
	for line := range strings.SplitSeq(remedy, "\n") {
		step, ok := stepOf(line)
		if !ok {
			lines = append(lines, line)
			continue
		}
		if each {
			done, refused = nil, false
		}
		if step.Kind == FixSet {
			sets++
		}
		if refused || step.Kind == FixRewrite && sets > 0 && left == 0 {
			continue // there is nothing to write down
		}
		done = append(done, step)
		if why := s.worse(done); why != "" {
			refused = true
			what := "REWRITE"
			if step.Kind == FixSet {
				what = "SET " + step.Parameter + " " + shellQuote(step.Value)
			}
			lines = append(lines, "# not CONFIG "+what+": "+why)
			continue
		}
		if step.Kind == FixSet {
			left++
		}
		lines = append(lines, line)
	}
	fixes = slices.DeleteFunc(slices.Clone(fixes), func(f Fix) bool { return s.worse([]Fix{f}) != "" })
	return strings.Join(lines, "\n"), fixes
}

// triedTogether leaves out every step of a remedy that is one change of several
// nodes, where that would make something worse.
func (s *subject) triedTogether(remedy string) string {
	var steps []Fix
	var others []string
	for line := range strings.SplitSeq(remedy, "\n") {
		if step, ok := stepOf(line); ok {
			steps = append(steps, step)
		} else {
			others = append(others, line)
		}
	}
	why := s.worse(steps)
	if why == "" {
		return remedy
	}
	return strings.Join(append(others, "# not by CONFIG SET: "+why), "\n")
}

// worse is what would be worse after these changes; empty: nothing.
func (s *subject) worse(steps []Fix) string {
	after := *s.facts
	after.Nodes = slices.Clone(s.facts.Nodes)
	var changed []string
	for _, step := range steps {
		n := find(&after, step.Node)
		if n == nil || n.Redis == nil {
			return "" // nothing is known of it, before or after
		}
		if !slices.Contains(changed, step.Node) {
			changed = append(changed, step.Node)
			own(n)
		}
		apply(n, step)
	}
	for _, address := range changed {
		if why := s.overfull(find(s.facts, address), find(&after, address)); why != "" {
			return why
		}
		for _, said := range s.saidOf(address) {
			if !said.reads.any(steps) {
				continue
			}
			one := said.of
			one.facts, one.master, one.node = &after, find(&after, after.Master), find(&after, said.of.node.Address)
			if now := said.check.ask(one); weightOfOutcome(now.Outcome) > weightOfOutcome(said.was) {
				return fmt.Sprintf("%s would fail (%s)", now.Check, now.Reason)
			}
		}
	}
	return ""
}

// said is what a check says now, and what it read to say so: with nothing of
// that changed it says the same.
type said struct {
	check check
	of    subject
	was   Outcome
	reads reads
}

// reads are the settings of nodes that a check looked at, as "address name", and
// what a restart gives for one as "address file name". nil: nobody notes them.
type reads map[string]bool

func (r reads) note(n *Node, what string) {
	if r != nil && n != nil {
		r[n.Address+" "+what] = true
	}
}

const (
	everySetting = "*"
	usedMemory   = "used_memory"
	ofFile       = "file "
)

func (r reads) any(steps []Fix) bool {
	return slices.ContainsFunc(steps, func(step Fix) bool {
		at := step.Node + " "
		if step.Kind == FixRewrite {
			for what := range r {
				if strings.HasPrefix(what, at+ofFile) {
					return true
				}
			}
			return false
		}
		return r[at+step.Parameter] || r[at+everySetting] || step.Parameter == "repl-backlog-size" && r[at+usedMemory]
	})
}

// saidOf is what the checks say now of a node, and where it is the master of
// every replica beside it. What differs from redis.conf for the moment between a
// CONFIG SET and the CONFIG REWRITE is left out, and so is what looks at no
// setting. It is found out once for all remedies of a judgement.
func (s *subject) saidOf(address string) []said {
	if all, ok := s.now[address]; ok {
		return all
	}
	var all []said
	for i := range s.facts.Nodes {
		n := &s.facts.Nodes[i]
		if n.Address != address && address != s.facts.Master {
			continue
		}
		one := subject{policy: s.policy, facts: s.facts, master: find(s.facts, s.facts.Master), node: n, role: ofCandidate, trial: true}
		if n == one.master {
			one.role = ofMaster
		}
		for _, c := range checks() {
			if c.judge == nil || c.scope&one.role == 0 || c.Severity == Informs || c.Area == areaDrift {
				continue
			}
			one.reads = reads{}
			if f := c.ask(one); len(one.reads) > 0 {
				all = append(all, said{c, one, f.Outcome, one.reads})
			}
		}
	}
	if s.now != nil {
		s.now[address] = all
	}
	return all
}

// weightOfOutcome orders outcomes by how bad they are.
func weightOfOutcome(o Outcome) int { return map[Outcome]int{Passed: 0, Unknown: 1, Failed: 2}[o] }

// overfull is whether a Redis would be over its limit at once for a change: no
// check looks at that where it is the master, which has its limit already.
func (s *subject) overfull(before, after *Node) string {
	look := subject{facts: s.facts}
	was, limit := look.configBytes(before, "maxmemory"), look.configBytes(after, "maxmemory")
	had, held := look.counted(before), look.counted(after)
	tighter := was == 0 || limit < was
	if look.short() || limit == 0 || held <= limit || !tighter && held <= had {
		return ""
	}
	return fmt.Sprintf("%s would hold %s at a maxmemory of %s, and evict or refuse writes at once", after.Address, size(held), size(limit))
}

// own gives a node what apply changes.
func own(n *Node) {
	redis := *n.Redis
	redis.Config, redis.Info = maps.Clone(redis.Config), maps.Clone(redis.Info)
	n.Redis = &redis
	if n.Drift != nil {
		drift := *n.Drift
		drift.FileConfig = maps.Clone(drift.FileConfig)
		n.Drift = &drift
	}
}

// apply changes a node of its own as the step would.
func apply(n *Node, step Fix) {
	config := n.Redis.Config
	if config == nil {
		return
	}
	if step.Kind == FixRewrite {
		if n.Drift != nil && n.Drift.FileConfig != nil {
			for name, value := range config {
				if value != Masked {
					n.Drift.FileConfig[name] = value
				}
			}
		}
		return
	}
	if step.Parameter == "repl-backlog-size" {
		// It counts as used memory once it is full.
		now, err := strconv.ParseInt(step.Value, 10, 64)
		was, err2 := strconv.ParseInt(config[step.Parameter], 10, 64)
		used, err3 := strconv.ParseInt(n.Redis.Info["used_memory"], 10, 64)
		if err == nil && err2 == nil && err3 == nil && now > was && used < math.MaxInt64/4 {
			n.Redis.Info["used_memory"] = strconv.FormatInt(used+min(now-was, math.MaxInt64/4), 10)
		}
	}
	config[step.Parameter] = step.Value
}
