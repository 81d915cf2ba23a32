package grant

// Reading records entry by entry: what makes no sense is left out and named, and
// what a decision rests on is never guessed.

import (
	"bytes"
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	"github.com/redis-watchdog/redis-watchdog/watchdog"
)

// sparing is a record with fields on which no decision rests. One of them that
// cannot be read is left out; any other makes the record garbage.
type sparing interface{ forPeople() []string }

func (MasterRecord) forPeople() []string {
	return []string{"run_id", "sentinels", "votes", "decided_by", "decided_at", "decided_cause"}
}
func (Holding) forPeople() []string               { return []string{"node", "run_id", "boot_id", "claimed_at"} }
func (PlannedFailoverRecord) forPeople() []string { return []string{"by", "at", "reason"} }
func (Order) forPeople() []string                 { return []string{"by", "at", "reason"} }
func (Maintenance) forPeople() []string           { return []string{"by", "at", "reason", "until"} }
func (Adoption) forPeople() []string              { return []string{"by", "at", "reason"} }

// spare reads a record, without those of its fields for people that cannot be
// read; left names them.
func spare[T any](data []byte, v *T) (left []string, err error) {
	if err = json.Unmarshal(data, v); err == nil {
		return nil, nil
	}
	var zero T
	s, ok := any(zero).(sparing)
	var fields map[string]json.RawMessage
	if !ok || json.Unmarshal(data, &fields) != nil {
		return nil, err
	}
	for _, name := range s.forPeople() {
		value, there := fields[name]
		if !there {
			continue
		}
		var alone T
		one, err := json.Marshal(map[string]json.RawMessage{name: value})
		if err == nil && json.Unmarshal(one, &alone) != nil {
			left = append(left, fmt.Sprintf("%s is %.60s", name, value))
			delete(fields, name)
		}
	}
	rest, err := json.Marshal(fields)
	if err != nil {
		return nil, fmt.Errorf("encode what is left: %w", err)
	}
	*v = zero
	return left, json.Unmarshal(rest, v)
}

// UnmarshalJSON leaves out nodes that are no text.
func (g *GroupRecord) UnmarshalJSON(data []byte) error {
	wire := struct {
		ID    string
		Nodes json.RawMessage
	}{}
	if err := json.Unmarshal(data, &wire); err != nil {
		return err
	}
	*g = GroupRecord{ID: wire.ID}
	var nodes []json.RawMessage
	if wire.Nodes != nil && json.Unmarshal(wire.Nodes, &nodes) != nil {
		g.left = fmt.Sprintf("nodes is %.60s", wire.Nodes)
	}
	for _, n := range nodes {
		var node watchdog.Address
		if json.Unmarshal(n, &node) != nil || node == "" {
			g.left = fmt.Sprintf("one of nodes is %.60s", n)
			continue
		}
		g.Nodes = append(g.Nodes, node)
	}
	return nil
}

// unreadOrders are orders as they stand and cannot be read: they stay in the
// record until they are given anew or taken back.
type unreadOrders struct {
	fenced, released map[watchdog.Address]json.RawMessage
	adopt            json.RawMessage
}

type controlWire struct {
	Fenced   map[watchdog.Address]json.RawMessage `json:"fenced"`
	Released map[watchdog.Address]json.RawMessage `json:"released"`
	Adopt    json.RawMessage                      `json:"adopt"`
}

// UnmarshalJSON reads order by order: one that cannot be read is no other node's
// affair.
func (c *Control) UnmarshalJSON(data []byte) error {
	var wire controlWire
	if err := json.Unmarshal(data, &wire); err != nil {
		return err
	}
	*c = Control{}
	c.Fenced, c.unread.fenced = readOrders(wire.Fenced)
	c.Released, c.unread.released = readOrders(wire.Released)
	if len(wire.Adopt) > 0 {
		if _, err := spare(wire.Adopt, &c.Adopt); err != nil {
			c.Adopt, c.unread.adopt = Adoption{}, bytes.Clone(wire.Adopt)
		}
	}
	return nil
}

func readOrders(wire map[watchdog.Address]json.RawMessage) (orders map[watchdog.Address]Order, unread map[watchdog.Address]json.RawMessage) {
	for node, text := range wire {
		var o Order
		if _, err := spare(text, &o); err != nil {
			if unread == nil {
				unread = map[watchdog.Address]json.RawMessage{}
			}
			unread[node] = bytes.Clone(text)
			continue
		}
		orders = with(orders, node, o)
	}
	return orders, unread
}

// MarshalJSON keeps the orders that could not be read.
func (c Control) MarshalJSON() ([]byte, error) {
	wire := controlWire{Adopt: c.unread.adopt}
	var err error
	put := func(orders map[watchdog.Address]Order, unread map[watchdog.Address]json.RawMessage) map[watchdog.Address]json.RawMessage {
		if orders == nil && unread == nil {
			return nil
		}
		all := map[watchdog.Address]json.RawMessage{}
		for node, text := range unread {
			all[node] = text
		}
		for node, o := range orders {
			text, e := json.Marshal(o)
			if e != nil {
				err = e
			}
			all[node] = text
		}
		return all
	}
	wire.Fenced, wire.Released = put(c.Fenced, c.unread.fenced), put(c.Released, c.unread.released)
	if c.Adopt != (Adoption{}) || wire.Adopt == nil {
		text, e := json.Marshal(c.Adopt)
		if e != nil {
			err = e
		}
		wire.Adopt = text
	}
	if err != nil {
		return nil, err
	}
	return json.Marshal(wire)
}

// carry lets an order that cannot be read now stand as it was when it could.
func (c *Control) carry(old Control) {
	for node := range c.unread.fenced {
		if o, stood := old.Fenced[node]; stood {
			c.Fenced = with(c.Fenced, node, o)
		}
	}
	for node := range c.unread.released {
		if o, stood := old.Released[node]; stood {
			c.Released = with(c.Released, node, o)
		}
	}
}

// leftOut names what of a record could not be read; empty: all was.
func (c Control) leftOut() string {
	var all []string
	for node, text := range c.unread.fenced {
		all = append(all, fmt.Sprintf("the order to fence %q is %.60s", node, text))
	}
	for node, text := range c.unread.released {
		all = append(all, fmt.Sprintf("the order to release %q is %.60s", node, text))
	}
	if c.unread.adopt != nil {
		all = append(all, fmt.Sprintf("adopt is %.60s", c.unread.adopt))
	}
	slices.Sort(all)
	return strings.Join(all, "; ")
}

func (g GroupRecord) leftOut() string { return g.left }
