package preflight

import (
	"slices"
	"time"
)

// Cluster is a Redis Cluster as its masters see it, each asked by itself: which
// slots are open is told by the two nodes concerned and by nobody else.
type Cluster struct {
	Seed  string        `json:"seed"`            // host:port, who was asked first
	Error string        `json:"error,omitempty"` // why nothing could be read; empty: it was
	Nodes []ClusterNode `json:"nodes"`           // every master that one of them lists, by address
	// Login is what redis-cli and MIGRATE need to be given; the zero Login: nothing.
	Login  ClusterLogin `json:"login"`
	Unread []Unread     `json:"unread,omitempty"` // lines that make no sense
}

// ClusterLogin is how its nodes were reached.
type ClusterLogin struct {
	User     string `json:"user,omitempty"`
	Password bool   `json:"password"` // there is one
	TLS      bool   `json:"tls"`
}

// ClusterNode is one master.
type ClusterNode struct {
	ID      string      `json:"id"`
	Address string      `json:"address"`         // host:port for clients
	Error   string      `json:"error,omitempty"` // why it could not be asked; empty: it answered
	Slots   []SlotRange `json:"slots"`           // that it holds for its own
	// Open are the slots that it moves, or that are moved to it, by its own word.
	Open []OpenSlot `json:"open,omitempty"`
	// Keys is how many keys it holds of a slot: of every one that is not its own and
	// of which it holds any, of every open one, and of the one that was asked for.
	Keys        map[int]int64     `json:"keys,omitempty"`
	Uncounted   string            `json:"uncounted,omitempty"`    // why Keys is not whole; empty: it is
	NodeTimeout time.Duration     `json:"node_timeout,omitempty"` // cluster-node-timeout; 0: not known
	Config      map[string]string `json:"config,omitempty"`       // the lazyfree parameters; nil: not read
	Replicas    []string          `json:"replicas,omitempty"`     // their addresses
	// Audit is the newest that was kept of it or of one of its replicas.
	Audit      *Audit `json:"audit,omitempty"`
	AuditError string `json:"audit_error,omitempty"` // why there is none; empty: none was kept
}

// SlotRange is slots from first to last, both included.
type SlotRange struct {
	First int `json:"first"`
	Last  int `json:"last"`
}

// OpenSlot is "[93->-ID]" or "[77-<-ID]" of CLUSTER NODES.
type OpenSlot struct {
	Slot      int    `json:"slot"`
	Importing bool   `json:"importing"` // false: it migrates
	Other     string `json:"other"`     // the id of the node at the other end
}

// Owns is whether it holds a slot for its own.
func (n ClusterNode) Owns(slot int) bool {
	return slices.ContainsFunc(n.Slots, func(r SlotRange) bool { return r.First <= slot && slot <= r.Last })
}

// open is what it says of an open slot; nil: it says nothing.
func (n *ClusterNode) open(slot int, importing bool) *OpenSlot {
	for i := range n.Open {
		if o := &n.Open[i]; o.Slot == slot && o.Importing == importing {
			return o
		}
	}
	return nil
}

// byID is a node; nil: nobody lists it.
func (c *Cluster) byID(id string) *ClusterNode {
	for i := range c.Nodes {
		if c.Nodes[i].ID == id {
			return &c.Nodes[i]
		}
	}
	return nil
}

// owner of a slot by the nodes' own word; nil: nobody owns it, or several say so.
func (c *Cluster) owner(slot int) (owner *ClusterNode, several bool) {
	for i := range c.Nodes {
		if n := &c.Nodes[i]; n.Owns(slot) {
			if owner != nil {
				return nil, true
			}
			owner = n
		}
	}
	return owner, false
}
