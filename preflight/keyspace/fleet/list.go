package fleet

import (
	"cmp"
	"slices"
	"sort"
)

// Known is a unit as etcd shows it.
type Known struct {
	Unit
	Claimed bool // a watchdog is at it, or was within the length of its lease
}

// Node is a Redis of this host as its watchdog sees it now.
type Node struct {
	Group   string
	Address string
	Replica bool // of the master that everybody agrees on, with its link up
	Master  bool // it is the master; neither: nothing is done
	Off     bool // its configuration forbids
	// Why it is no Replica, one of WaitsMaster and those behind it; empty where it is.
	Why string
}

// Key is the node's name, unlike every other's.
func (n Node) Key() string { return Unit{Group: n.Group, Address: n.Address}.Key() }

// unit is the node's unit in that run.
func (n Node) unit(r Run) string {
	if r.Every {
		return Unit{Group: n.Group, Address: n.Address}.Key()
	}
	return n.Group
}

// Units are the keys of what the nodes of a host may have to do with.
func Units(r Run, nodes []Node) []string {
	var keys []string
	for _, n := range nodes {
		if r.Of(n.Group) && (n.Address != "" || !r.Every) {
			keys = append(keys, n.unit(r))
		}
	}
	slices.Sort(keys)
	return slices.Compact(keys)
}

// Candidate is a unit that a host may try to take, by one of its nodes.
type Candidate struct {
	Unit Unit
	Node Node
}

// Plan is what a host has to do now.
type Plan struct {
	// Take are the units that it may take, the least tried first; of them it takes
	// one. Whether the host is busy is looked at then.
	Take []Candidate
	// Settle are units that nobody can do any more, as they are to be written.
	Settle []Unit
	// Open is whether any unit of its nodes is not final yet.
	Open bool
	// Waits is why its nodes wait that cannot be audited now, by their keys; never nil.
	Waits map[string]string
}

// Next is what a host may do. Taken is how many audits of the fleet run, and host
// whether one of them does on this host. It says nothing of units that are not in
// the list: they came later, or have been left out.
func Next(r Run, units []Known, nodes []Node, taken int, host bool) Plan {
	p := Plan{Waits: map[string]string{}}
	byKey := map[string]Known{}
	for _, u := range units {
		if r.Of(u.Group) {
			byKey[u.Key()] = u
		}
	}
	settled := map[string]bool{}
	for _, n := range nodes {
		key := n.unit(r)
		u, listed := byKey[key]
		if !listed || u.Final() || settled[key] {
			continue
		}
		if u.Claimed {
			p.Open = true
			continue
		}
		why := ""
		switch {
		case n.Off:
			u.State, why = LeftOut, "its configuration has keyspace.fleet off"
		case r.Every && n.Master:
			u.State, why = LeftOut, "it is the master by now, and masters are not audited"
		case u.Tries >= MaxTries:
			u.State, why = Failed, u.Reason
			if why == "" {
				why = "its watchdog ended while it audited, each time"
			}
		}
		if why != "" {
			u.Reason = why
			settled[key] = true
			p.Settle = append(p.Settle, u.Unit)
			continue
		}
		p.Open = true
		if n.Why != "" {
			p.Waits[n.Key()] = n.Why
		}
		if n.Replica {
			p.Take = append(p.Take, Candidate{u.Unit, n})
		}
	}
	if r.State != Running {
		p.Open, p.Settle = p.Open || len(p.Settle) > 0, nil
	}
	if r.State != Running || host || taken >= r.Parallel {
		p.Take = nil
	}
	p.Take = slices.DeleteFunc(p.Take, func(c Candidate) bool { return settled[c.Unit.Key()] })
	sort.Slice(p.Take, func(i, j int) bool { // 10 kB less than by a generic of its own
		a, b := p.Take[i], p.Take[j]
		return cmp.Or(cmp.Compare(a.Unit.Tries, b.Unit.Tries), cmp.Compare(a.Unit.Key(), b.Unit.Key()), cmp.Compare(a.Node.Address, b.Node.Address)) < 0
	})
	return p
}

// FreeSlot is a number below parallel that is not taken, the one at or after at; -1:
// all are.
func FreeSlot(parallel int, taken []int, at int) int {
	for i := range parallel {
		if slot := (at + i) % parallel; !slices.Contains(taken, slot) {
			return slot
		}
	}
	return -1
}

// Why an audit ended that is to go on later, or that failed.
type Why int

// Ends of an audit.
const (
	Whole  Why = iota // all of it was read
	Broken            // it failed: that counts as a try
	Ended             // for the sake of the node, the host or the run: it does not
)

// After is a unit, which had been begun, after its audit ended so.
func After(u Unit, why Why, reason string) Unit {
	u.Reason = reason
	switch why {
	case Whole:
		u.State, u.Reason = Done, ""
	case Broken:
		u.State = Waiting
		if u.Tries >= MaxTries {
			u.State = Failed
		}
	case Ended:
		u.State, u.Tries = Waiting, max(0, u.Tries-1)
	}
	return u
}

// Begin is a unit as it is written with its claim.
func Begin(u Unit, node string) Unit {
	u.State, u.Node = Begun, node
	u.Tries++
	return u
}

// Whys are all ends of an audit.
func Whys() []Why { return []Why{Whole, Broken, Ended} }

// String is the end as metrics have it.
func (w Why) String() string {
	switch w {
	case Whole:
		return "done"
	case Broken:
		return "failed"
	case Ended:
		return "ended"
	}
	return "unknown"
}
