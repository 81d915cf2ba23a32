package fleet

import (
	"encoding/json"
	"errors"
	"fmt"
	"path"
	"strings"
	"time"
)

// Schema is that of what is written.
const Schema = 1

const (
	// DefaultParallel is how many nodes of the fleet are audited at one time.
	DefaultParallel = 10
	// MaxParallel bounds it.
	MaxParallel = 1000
	// DefaultMaxLoad is the load a processor from which on a host is busy.
	DefaultMaxLoad = 0.8
	// MaxTries is how often a unit is begun before it is given up. One that ended for
	// the sake of the node, or of the run, does not count.
	MaxTries = 3
	maxText  = 200 // bytes of a reason that are kept
	// looksASecond is how often the hosts of the whole fleet look together whether they
	// may begin, while no more audits run than one; each that may run makes it one more.
	looksASecond = 100
)

// State is what a run is in.
type State string

// The states of a run. Only under Running is anything begun.
const (
	Preparing State = "preparing" // its list is being written
	Running   State = "running"
	Paused    State = "paused"
	Stopped   State = "stopped"
)

// Run is what was asked of the fleet.
type Run struct {
	Schema   int       `json:"schema"`
	ID       string    `json:"id"` // random
	State    State     `json:"state"`
	Parallel int       `json:"parallel"`      // audits at one time, at the most
	Every    bool      `json:"every_replica"` // else one replica of each group
	Groups   string    `json:"groups"`        // a pattern as of path.Match; empty: all
	MaxLoad  float64   `json:"max_load"`      // load average of a minute a processor; zero: it is not looked at
	Hashed   bool      `json:"hashed_names"`
	Units    int       `json:"units"` // of the list
	Nodes    int       `json:"nodes"` // whose watchdogs reported when it began; zero: not known
	By       string    `json:"by"`    // user@host
	At       time.Time `json:"at"`    // wall clock, for people
}

// ReadRun reads a run as it stands in etcd. One of a later schema is an error: what
// it asks for is not known.
func ReadRun(text []byte) (Run, error) {
	var r Run
	if err := json.Unmarshal(text, &r); err != nil {
		return Run{}, fmt.Errorf("read run: %w", err)
	}
	if r.Schema != Schema {
		return Run{}, fmt.Errorf("read run: its schema is %d, not %d: it was begun by another version", r.Schema, Schema)
	}
	if r.ID == "" {
		return Run{}, errors.New("read run: it has no id")
	}
	return r, r.Valid()
}

// Valid is whether what is asked makes sense.
func (r Run) Valid() error {
	switch {
	case r.Parallel < 1 || r.Parallel > MaxParallel:
		return fmt.Errorf("%d audits at one time are none of 1 to %d", r.Parallel, MaxParallel)
	case !(r.MaxLoad >= 0):
		return fmt.Errorf("a load of %v is none", r.MaxLoad)
	}
	if _, err := path.Match(r.Groups, ""); err != nil {
		return fmt.Errorf("groups %q: %w", r.Groups, err)
	}
	return nil
}

// Apart is how long a host leaves between two looks at the list while it waits: least,
// or, so that all of a large fleet do not ask more of etcd than a slot that becomes
// free is worth, longer. Some hundred hosts look in each second all the same, so it
// makes the fleet no slower, but near the end: a host that is left then may find its
// slot so much later.
func (r Run) Apart(least time.Duration) time.Duration {
	hosts := max(r.Units, r.Nodes, 0)
	return max(least, time.Duration(float64(hosts)/float64(looksASecond+max(0, r.Parallel))*float64(time.Second)))
}

// Of is whether the run is for that group.
func (r Run) Of(group string) bool {
	if r.Groups == "" {
		return true
	}
	is, err := path.Match(r.Groups, group)
	return err == nil && is
}

// UnitState is what became of a unit.
type UnitState string

// The states of a unit; the last three are final.
const (
	Waiting UnitState = "waiting"
	Begun   UnitState = "begun" // whether somebody is still at it his claim tells
	Done    UnitState = "done"
	Failed  UnitState = "failed"   // given up after MaxTries
	LeftOut UnitState = "left_out" // it is a master by now, or its configuration forbids
)

// Unit is one audit that is to be: of a node, or of whichever replica of a group.
type Unit struct {
	Group   string    `json:"group"`
	Address string    `json:"address,omitempty"` // empty: any replica of the group
	State   UnitState `json:"state"`
	Tries   int       `json:"tries"`
	Node    string    `json:"node,omitempty"`   // by which it was begun last
	Reason  string    `json:"reason,omitempty"` // of the last failure, or why it was left out
	Took    float64   `json:"took_seconds,omitempty"`
	Keys    uint64    `json:"keys,omitempty"`
	Bytes   uint64    `json:"bytes,omitempty"`
	At      time.Time `json:"at,omitzero"` // wall clock of the host that wrote it, for people
}

// Key is the unit's name, unlike every other's.
func (u Unit) Key() string {
	if u.Address == "" {
		return u.Group
	}
	return u.Group + "/" + u.Address
}

// Final is whether nothing is to be done for it any more.
func (u Unit) Final() bool { return u.State == Done || u.State == Failed || u.State == LeftOut }

// ReadUnit reads a unit as it stands in etcd.
func ReadUnit(text []byte) (Unit, error) {
	var u Unit
	if err := json.Unmarshal(text, &u); err != nil {
		return Unit{}, fmt.Errorf("read unit: %w", err)
	}
	switch u.State {
	case Waiting, Begun, Done, Failed, LeftOut:
	default:
		return Unit{}, fmt.Errorf("read unit: its state is %q", u.State)
	}
	if u.Group == "" || u.Tries < 0 {
		return Unit{}, errors.New("read unit: it makes no sense")
	}
	return u, nil
}

// Text is what is kept of a reason.
func Text(err error) string {
	text := strings.ToValidUTF8(err.Error(), "?")
	if len(text) > maxText {
		text = strings.ToValidUTF8(text[:maxText], "") + "…"
	}
	return text
}
