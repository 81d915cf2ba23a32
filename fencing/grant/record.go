package grant

// What stands in etcd. JSON; fields that we do not know are kept, because
// another watchdog of the group may be newer than we are.

import (
	"bytes"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/redis-watchdog/redis-watchdog/watchdog"
)

// DefaultPrefix is where everything stands when Config.Prefix is empty.
const DefaultPrefix = "/redis-watchdog/v1/"

// mostNodes bounds the nodes remembered in a group's record.
const mostNodes = 64

// keys are the keys of one group.
type keys struct {
	group, master, grant, last, data, control, maintenance, plannedFailover, confirm, asks, seen string
	unfence, nodes, history, reports, answers, disks, listed                                     string // these end in a slash
}

func keysOf(prefix, group string) keys {
	return keys{
		group:           prefix + "groups/" + group,
		master:          prefix + "masters/" + group,
		grant:           prefix + "grants/" + group,
		last:            prefix + "last/" + group,
		data:            prefix + "data/" + group,
		control:         prefix + "control/" + group,
		maintenance:     prefix + "maintenance/" + group,
		unfence:         prefix + "unfence/" + group + "/",
		nodes:           prefix + "nodes/" + group + "/",
		history:         prefix + "history/" + group + "/",
		plannedFailover: prefix + "planned-failover/" + group,
		answers:         prefix + "planned-failover-answers/" + group + "/",
		confirm:         prefix + "confirm/" + group,
		asks:            prefix + "asks/" + group,
		reports:         prefix + "reports/" + group + "/",
		disks:           prefix + "disks/" + group + "/",
		listed:          prefix + "listed/",
		seen:            prefix + "seen/" + group,
	}
}

// GroupRecord is groups/<group>.
type GroupRecord struct {
	ID    string             `json:"id"`    // random, made once
	Nodes []watchdog.Address `json:"nodes"` // seen, oldest first, at most 64

	left string // what of it could not be read
}

// MasterRecord is masters/<group>: the agreement and who said so.
type MasterRecord struct {
	Generation   uint64           `json:"generation"`
	Epoch        uint64           `json:"epoch"`
	Address      watchdog.Address `json:"address"`
	RunID        string           `json:"run_id"`        // of that master; empty: not known
	Sentinels    []string         `json:"sentinels"`     // who said so
	Known        int              `json:"known"`         // of how many
	Votes        int              `json:"votes"`         // how many said so
	DecidedBy    string           `json:"decided_by"`    // the node that wrote it, or the operator
	DecidedAt    time.Time        `json:"decided_at"`    // wall clock, for people
	DecidedCause string           `json:"decided_cause"` // watchdog.Cause, as a word
}

// Agreement is the part the decision rests on.
func (m MasterRecord) Agreement() watchdog.Agreement {
	return watchdog.Agreement{
		Term:   watchdog.Term{Generation: m.Generation, Epoch: m.Epoch},
		Master: m.Address,
	}
}

// Holding is grants/<group>: who holds the grant, under its lease.
type Holding struct {
	Holder    watchdog.Address `json:"holder"`
	HolderID  string           `json:"holder_id"` // random, of that node's state directory
	Node      string           `json:"node"`
	RunID     string           `json:"run_id"` // of its Redis when it claimed
	BootID    string           `json:"boot_id"`
	ClaimedAt time.Time        `json:"claimed_at"` // wall clock, for people
}

// LastHolding is last/<group>, which no lease takes away: who holds the grant,
// or held it last, and who did before that.
type LastHolding struct {
	Holder   watchdog.Address `json:"holder"`
	HolderID string           `json:"holder_id"`
	Opened   bool             `json:"opened"`   // its Redis was opened under it
	GivenUp  bool             `json:"given_up"` // after it was seen to refuse; else it lapsed, or is held
	Before   Predecessor      `json:"before"`
}

// Predecessor is who held the grant before, another than the holder.
type Predecessor struct {
	Holder  watchdog.Address `json:"holder"`
	GivenUp bool             `json:"given_up"`
}

// next is the record that a claim by another writes, or by the same again.
func (l LastHolding) next(holder watchdog.Address, id string) LastHolding {
	n := LastHolding{Holder: holder, HolderID: id, Before: l.predecessor()}
	if l.Holder == holder && l.HolderID == id {
		n.Before = l.Before
		n.Opened = l.Opened
	}
	return n
}

// predecessor is whom the next holder has to wait for. Somebody who gave the
// grant up without ever having opened vouches for itself only, not for the one
// before it.
func (l LastHolding) predecessor() Predecessor {
	if l.GivenUp && !l.Opened && l.Before.Holder != "" {
		return l.Before
	}
	return Predecessor{Holder: l.Holder, GivenUp: l.GivenUp}
}

// Order is one thing an operator asked for.
type Order struct {
	By     string    `json:"by"`
	At     time.Time `json:"at"` // wall clock, for people
	Reason string    `json:"reason"`
}

// Control is control/<group>: what stands until an operator takes it back.
type Control struct {
	Fenced   map[watchdog.Address]Order `json:"fenced"`
	Released map[watchdog.Address]Order `json:"released"`
	Adopt    Adoption                   `json:"adopt"`

	unread unreadOrders
}

// Adoption is the newest order to take something for right that the watchdogs
// would not have taken for right by themselves.
type Adoption struct {
	Order
	Master  watchdog.Address `json:"master"`  // already written into the agreement; here for the record
	Cluster string           `json:"cluster"` // hex: the etcd cluster that may follow another
	Group   string           `json:"group"`   // the group id that may follow another
}

// Maintenance is maintenance/<group>, under a lease of its length.
type Maintenance struct {
	Order
	Until time.Time `json:"until"` // wall clock, for people: the lease decides
}

// encode writes v, and keeps what old held beside v's own fields. The structs
// have no omitempty, so that what v sets to its zero value goes away.
func encode(old []byte, v any) (string, error) {
	fields, err := json.Marshal(v)
	if err != nil {
		return "", fmt.Errorf("encode %T: %w", v, err)
	}
	var before, now map[string]json.RawMessage
	if len(old) == 0 || json.Unmarshal(old, &before) != nil {
		return string(fields), nil
	}
	if err := json.Unmarshal(fields, &now); err != nil {
		return "", fmt.Errorf("encode %T: %w", v, err)
	}
	for name, value := range before {
		if _, ours := now[name]; !ours {
			now[name] = value
		}
	}
	merged, err := json.Marshal(now)
	if err != nil {
		return "", fmt.Errorf("encode %T: %w", v, err)
	}
	return string(merged), nil
}

// decode reads a record. JSON's null, or a record that names nobody where
// somebody must be named, is garbage as well.
func decode[T any](key string, data []byte, valid func(T) bool) (T, error) {
	v, _, err := decodePart(key, data, valid)
	return v, err
}

// decodePart is decode, and left says what of the record could not be read and
// was left out; nil: nothing.
func decodePart[T any](key string, data []byte, valid func(T) bool) (v T, left *GarbageError, err error) {
	var zero T
	names, err := spare(data, &v)
	if err != nil {
		return zero, nil, &GarbageError{Key: key, Problem: err.Error()}
	}
	if valid != nil && !valid(v) {
		return zero, nil, &GarbageError{Key: key, Problem: "a field that must be set is empty"}
	}
	if l, ok := any(v).(interface{ leftOut() string }); ok && l.leftOut() != "" {
		names = append(names, l.leftOut())
	}
	if names != nil {
		left = &GarbageError{Key: key, Problem: "left out: " + strings.Join(names, "; "), Part: true}
	}
	return v, left, nil
}

// decoded is a record as it was read last: most rounds read what the one
// before read.
type decoded[T any] struct {
	data  []byte
	value T
	left  *GarbageError // what of it could not be read; nil: all was
}

func (d *decoded[T]) decode(key string, data []byte, valid func(T) bool) (T, error) {
	if d.data != nil && bytes.Equal(d.data, data) {
		return d.value, nil
	}
	v, left, err := decodePart(key, data, valid)
	if err == nil {
		d.data, d.value, d.left = data, v, left
	}
	return v, err
}

// GarbageError is a record in etcd that cannot be understood.
type GarbageError struct {
	Key     string
	Problem string
	Part    bool // the rest of it was understood
}

func (e *GarbageError) Error() string {
	return fmt.Sprintf("decode %q: %s", e.Key, e.Problem)
}

func validGroup(g GroupRecord) bool   { return g.ID != "" }
func validMaster(m MasterRecord) bool { return m.Address != "" }
func validHolding(h Holding) bool     { return h.Holder != "" && h.HolderID != "" }

// withNode adds a node, dropping the oldest beyond the bound.
func (g GroupRecord) withNode(node watchdog.Address) GroupRecord {
	nodes := append(slices.Clone(g.Nodes), node)
	if extra := len(nodes) - mostNodes; extra > 0 {
		nodes = nodes[extra:]
	}
	return GroupRecord{ID: g.ID, Nodes: nodes}
}

// knowsOneOf is whether any of the addresses has been seen in the group.
func (g GroupRecord) knowsOneOf(addresses []watchdog.Address) bool {
	return slices.ContainsFunc(addresses, func(a watchdog.Address) bool {
		return slices.Contains(g.Nodes, a)
	})
}
