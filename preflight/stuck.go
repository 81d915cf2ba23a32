package preflight

import (
	"cmp"
	"fmt"
	"net"
	"slices"
	"strings"
)

// stuck is slots that are in one state between the same two nodes.
type stuck struct {
	state state
	from  *ClusterNode // who holds keys that shall move, or whose mark shall go
	to    *ClusterNode // where they belong; nil: no node is needed
	slots []int
	keys  int64 // of these slots at from
	there int64 // at to
}

type state uint8

const (
	halfway    state = iota // migrating and importing: it runs, or it broke off
	onlyFrom                // migrating at its owner, and the other end knows nothing
	onlyFromTo              // likewise, and keys have arrived there
	onlyTo                  // importing, and its owner knows nothing
	onlyToKeys              // likewise, and keys are there
	leftBehind              // keys of a slot of somebody else's, and no mark
)

// shownSlots bounds the slots that one remedy is for; it is given again for the
// others when these are done.
const shownSlots = 200

// stuckSlots is every slot whose move did not come to an end.
func stuckSlots(c *Cluster) []Finding {
	slots := map[int]bool{}
	for i := range c.Nodes {
		for _, o := range c.Nodes[i].Open {
			slots[o.Slot] = true
		}
		for slot, n := range c.Nodes[i].Keys {
			if n > 0 && !c.Nodes[i].Owns(slot) {
				slots[slot] = true
			}
		}
	}
	ordered := make([]int, 0, len(slots))
	for slot := range slots {
		ordered = append(ordered, slot)
	}
	slices.Sort(ordered)
	var groups []stuck
	var unclear []int
	for _, slot := range ordered {
		all, ok := c.stuckAt(slot)
		if !ok {
			unclear = append(unclear, slot)
			continue
		}
		for _, one := range all {
			i := slices.IndexFunc(groups, func(g stuck) bool {
				return g.state == one.state && g.from == one.from && g.to == one.to && len(g.slots) < shownSlots
			})
			if i < 0 {
				groups = append(groups, one)
				continue
			}
			g := &groups[i]
			g.slots, g.keys, g.there = append(g.slots, one.slots...), g.keys+one.keys, g.there+one.there
		}
	}
	var findings []Finding
	for _, g := range groups {
		findings = append(findings, migrateFinding(Failed, g.from.Address, g.text(), g.remedy(c)))
	}
	if len(unclear) > 0 {
		findings = append(findings, migrateFinding(Unknown, c.Seed,
			fmt.Sprintf("%s: open, or with keys at a node that does not own it, in a way that is not clear: several owners, none, more than two nodes, or one that could not be asked", slotsText(unclear)),
			c.cliAt("")+" --cluster check "+c.Seed))
	}
	return findings
}

// stuckAt is what is wrong with one slot; false: it is not clear.
func (c *Cluster) stuckAt(slot int) (all []stuck, clear bool) {
	owner, _ := c.owner(slot)
	if owner == nil || owner.open(slot, true) != nil {
		return nil, false
	}
	var importing []*ClusterNode
	done := map[*ClusterNode]bool{owner: true}
	for i := range c.Nodes {
		n := &c.Nodes[i]
		if n.open(slot, true) != nil {
			importing = append(importing, n)
		}
		if n != owner && n.open(slot, false) != nil {
			return nil, false
		}
	}
	if m := owner.open(slot, false); m != nil {
		to := c.byID(m.Other)
		if len(importing) > 1 || len(importing) == 1 && importing[0] != to || to != nil && to.Error != "" {
			return nil, false
		}
		one := stuck{state: onlyFrom, from: owner, slots: []int{slot}, keys: owner.Keys[slot]}
		if to != nil {
			one.there, done[to] = to.Keys[slot], true
		}
		switch {
		case len(importing) == 1:
			one.state, one.to = halfway, to
		case one.there > 0:
			one.state, one.to = onlyFromTo, to
		}
		all = append(all, one)
	}
	for i := range c.Nodes {
		n := &c.Nodes[i]
		one := stuck{state: leftBehind, from: n, to: owner, slots: []int{slot}, keys: n.Keys[slot]}
		switch opened := n.open(slot, true) != nil; {
		case done[n] || !opened && one.keys == 0:
			continue
		case opened && one.keys == 0:
			one.state, one.to = onlyTo, nil
		case opened:
			one.state = onlyToKeys
		}
		all = append(all, one)
	}
	return all, true
}

func slotsText(slots []int) string {
	if len(slots) == 1 {
		return fmt.Sprintf("slot %d", slots[0])
	}
	var words []string
	for i := 0; i < len(slots); {
		j := i
		for j+1 < len(slots) && slots[j+1] == slots[j]+1 {
			j++
		}
		word := fmt.Sprint(slots[i])
		if j > i {
			word += fmt.Sprintf("-%d", slots[j])
		}
		words = append(words, word)
		i = j + 1
	}
	if len(words) > 10 {
		words = append(words[:10], "…")
	}
	return fmt.Sprintf("%d slots (%s)", len(slots), strings.Join(words, " "))
}

func keysText(n int64) string {
	if n == 1 {
		return "1 key"
	}
	return fmt.Sprintf("%d keys", n)
}

func (g stuck) text() string {
	what := slotsText(g.slots)
	switch g.state {
	case halfway:
		return fmt.Sprintf("%s: on the way from %s (%s left) to %s (%s there). Where no redis-cli and no tool is at work on it, the move broke off: a command on several keys of it is answered TRYAGAIN. "+
			"Do not give it to the target (CLUSTER SETSLOT … NODE) before it is empty here: the source deletes what it still holds", what, g.from.Address, keysText(g.keys), g.to.Address, keysText(g.there))
	case onlyFrom:
		return fmt.Sprintf("%s: %s is migrating it, and no node is importing it: a client that asks for a key which is not there is sent to the other end and back", what, g.from.Address)
	case onlyFromTo:
		return fmt.Sprintf("%s: %s is migrating it to %s, which is not importing it and holds %s of it that no client reaches", what, g.from.Address, g.to.Address, keysText(g.there))
	case onlyTo:
		return fmt.Sprintf("%s: %s is importing it and holds no key of it, and its owner is not migrating it", what, g.from.Address)
	case onlyToKeys:
		return fmt.Sprintf("%s: %s is importing it and holds %s of it that no client reaches, for the owner is %s, which is not migrating it. A node that was started on an older file looks like this, too: then what was deleted since comes back with it", what, g.from.Address, keysText(g.keys), g.to.Address)
	}
	return fmt.Sprintf("%s: %s holds %s of it that no client reaches: the owner is %s", what, g.from.Address, keysText(g.keys), g.to.Address)
}

// remedy ends it. No key is given up: those that both nodes have stay where they
// are (BUSYKEY), and then the marks stay, too.
func (g stuck) remedy(c *Cluster) string {
	at := func(n *ClusterNode) string { return c.cli(n) + " CLUSTER " }
	each := "for slot in " + strings.Trim(fmt.Sprint(g.slots), "[]") + "; do"
	lines := []string{each}
	move := func(from, to *ClusterNode) {
		if g.keys == 0 {
			return
		}
		host, port, err := net.SplitHostPort(to.Address)
		if err != nil {
			host = to.Address // that of a node which was asked: it has both
		}
		login := ""
		if c.Login.Password {
			login = ` AUTH "$REDISCLI_AUTH"`
			if c.Login.User != "" {
				login = ` AUTH2 ` + shellQuote(c.Login.User) + ` "$REDISCLI_AUTH"`
			}
		}
		lines = append(lines,
			fmt.Sprintf(`%s --raw CLUSTER GETKEYSINSLOT $slot 100000 | xargs -r -d '\n' -n %d %s MIGRATE %s %s "" 0 60000%s KEYS`,
				c.cli(from), pipelined, c.cli(from), host, port, login))
	}
	empty := func(from *ClusterNode) string {
		return fmt.Sprintf(`[ "$(%sCOUNTKEYSINSLOT $slot)" = 0 ] && `, at(from))
	}
	switch g.state {
	case onlyFrom, onlyTo:
		lines = append(lines, at(g.from)+"SETSLOT $slot STABLE")
	case onlyToKeys, leftBehind:
		if g.state == leftBehind {
			lines = append(lines, at(g.from)+"SETSLOT $slot IMPORTING "+g.to.ID)
		}
		move(g.from, g.to)
		lines = append(lines, empty(g.from)+at(g.from)+"SETSLOT $slot STABLE", "done",
			"# BUSYKEY: both have that key, and clients see the one of "+g.to.Address+". To give up the other: printf 'ASKING\\nDEL %s\\n' KEY | "+c.cli(g.from)+" ; then the lines above again")
		return strings.Join(lines, "\n")
	case onlyFromTo, halfway:
		if g.state == onlyFromTo {
			lines = append(lines, at(g.to)+"SETSLOT $slot IMPORTING "+g.from.ID)
		}
		move(g.from, g.to)
		lines = append(lines, empty(g.from)+at(g.to)+"SETSLOT $slot NODE "+g.to.ID+" && "+at(g.from)+"SETSLOT $slot NODE "+g.to.ID)
	}
	return strings.Join(append(lines, "done"), "\n")
}

// cli is redis-cli of a node, with what it needs to be let in; the password is in
// its environment, REDISCLI_AUTH.
func (c *Cluster) cli(n *ClusterNode) string { return c.cliAt(n.Address) }

func (c *Cluster) cliAt(address string) string {
	text := cmp.Or(cliAt(address), "redis-cli")
	if c.Login.User != "" {
		text += " --user " + shellQuote(c.Login.User)
	}
	if c.Login.TLS {
		text += " --tls"
	}
	return text
}
