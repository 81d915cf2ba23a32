package gather

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net"
	"slices"
	"sort"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/redis-watchdog/redis-watchdog/preflight"
	"github.com/redis-watchdog/redis-watchdog/preflight/keyspace"
	"github.com/redis-watchdog/redis-watchdog/preflight/keyspace/stall"
)

const (
	clusterTimeout = 5 * time.Second // of one node, for everything
	clusterAtOnce  = 16              // nodes that are asked at the same time
	countsAtOnce   = 2048            // CLUSTER COUNTKEYSINSLOT in one write: some 2 ms of the server's
)

// ClusterConfig is a Redis Cluster that is asked.
type ClusterConfig struct {
	Seed   string // host:port of any of its nodes
	Server Server // how all of them are spoken to; Address is not looked at
	Slot   int    // whose keys are counted wherever they are
	// Audit is the newest that was kept under the first of these ids that has one;
	// nil: none was.
	Audit func(ctx context.Context, ids []string) (*preflight.Audit, error)
}

// Cluster asks every master of a Redis Cluster for its slots, and for the keys it
// holds of others. What could not be read is said in what is returned.
func Cluster(ctx context.Context, c ClusterConfig) preflight.Cluster {
	cluster := preflight.Cluster{Seed: c.Seed, Nodes: []preflight.ClusterNode{},
		Login: preflight.ClusterLogin{User: c.Server.Username, Password: c.Server.Password != "", TLS: c.Server.TLS != nil}}
	text, err := c.at(c.Seed).nodes(ctx)
	if err != nil {
		cluster.Error = err.Error()
		return cluster
	}
	listed, unread := clusterNodes(text, c.Seed)
	cluster.Unread = unread
	asking, turns := sync.WaitGroup{}, make(chan struct{}, clusterAtOnce)
	for _, l := range listed {
		if l.master != "" || l.failed && len(l.slots) == 0 {
			continue // one that failed and was replaced stays listed until CLUSTER FORGET
		}
		n := preflight.ClusterNode{ID: l.id, Address: l.address}
		for _, r := range listed {
			if r.master == l.id {
				n.Replicas = append(n.Replicas, r.address)
			}
		}
		cluster.Nodes = append(cluster.Nodes, n)
	}
	for i := range cluster.Nodes {
		n := &cluster.Nodes[i]
		asking.Go(func() {
			turns <- struct{}{}
			defer func() { <-turns }()
			c.ask(ctx, n)
			ids := []string{n.ID}
			for _, r := range listed {
				if r.master == n.ID {
					ids = append(ids, r.id)
				}
			}
			audit, err := c.Audit(ctx, ids)
			if n.Audit = audit; err != nil {
				n.AuditError = err.Error()
			}
		})
	}
	asking.Wait()
	sort.Slice(cluster.Nodes, func(x, y int) bool { return cluster.Nodes[x].Address < cluster.Nodes[y].Address })
	return cluster
}

// ClusterMaster is the id of the node itself where it is a master, or else of its
// master.
func ClusterMaster(ctx context.Context, s Server) (string, error) {
	text, err := s.nodes(ctx)
	if err != nil {
		return "", err
	}
	listed, _ := clusterNodes(text, s.Address)
	i := slices.IndexFunc(listed, func(l clusterLine) bool { return l.myself })
	if i < 0 {
		return "", fmt.Errorf("%s: CLUSTER NODES has no line of itself", s)
	}
	return cmp.Or(listed[i].master, listed[i].id), nil
}

func (c ClusterConfig) at(address string) Server {
	s := c.Server
	s.Address = address
	s.Timeout = cmp.Or(s.Timeout, clusterTimeout)
	return s
}

// nodes is CLUSTER NODES.
func (s Server) nodes(ctx context.Context) (string, error) {
	re, err := s.ask(ctx, []string{"CLUSTER", "NODES"})
	if err != nil {
		return "", err
	}
	if err := re[0].Err; err != nil {
		if strings.Contains(err.Error(), "cluster support disabled") {
			return "", fmt.Errorf("%s is no node of a Redis Cluster (cluster-enabled no)", s)
		}
		return "", fmt.Errorf("%s: CLUSTER NODES: %w", s, err)
	}
	return re[0].Text(), nil
}

// ask asks one master what it alone knows.
func (c ClusterConfig) ask(ctx context.Context, n *preflight.ClusterNode) {
	s := c.at(n.Address)
	questions := [][]string{{"CLUSTER", "NODES"}, {"CONFIG", "GET", "cluster-node-timeout"}, {"CONFIG", "GET", "*lazy*"}}
	re, err := s.ask(ctx, questions...)
	if err == nil {
		err = re[0].Err
	}
	if err != nil {
		n.Error = err.Error()
		return
	}
	listed, _ := clusterNodes(re[0].Text(), n.Address)
	i := slices.IndexFunc(listed, func(l clusterLine) bool { return l.myself })
	switch {
	case i < 0 || listed[i].id != n.ID:
		n.Error = "another node answers there"
		return
	case listed[i].wrong != "":
		n.Error = listed[i].wrong
		return
	case listed[i].master != "":
		n.Error = "it is no master any more: ask anew"
		return
	}
	n.Slots, n.Open = listed[i].slots, listed[i].open
	if ms, err := strconv.ParseInt(re[1].Pairs()["cluster-node-timeout"], 10, 64); err == nil && ms > 0 && ms < int64(time.Hour/time.Millisecond)*24*365 {
		n.NodeTimeout = time.Duration(ms) * time.Millisecond
	}
	if all := re[2].Pairs(); re[2].Err == nil && len(all) > 0 {
		n.Config = map[string]string{}
		for _, name := range stall.Parameters() {
			if v, known := all[name]; known { // 6.0 lacks one
				n.Config[name] = v
			}
		}
	}
	if err := c.count(ctx, s, n); err != nil {
		n.Uncounted = err.Error()
	}
}

// count asks how many keys it holds of every slot that is not its own, of those that
// are open, and of the one that was asked for.
func (c ClusterConfig) count(ctx context.Context, s Server, n *preflight.ClusterNode) error {
	var slots []int
	for slot := range keyspace.ClusterSlots {
		open := slices.ContainsFunc(n.Open, func(o preflight.OpenSlot) bool { return o.Slot == slot })
		if open || slot == c.Slot || !n.Owns(slot) {
			slots = append(slots, slot)
		}
	}
	n.Keys = map[int]int64{}
	for some := range slices.Chunk(slots, countsAtOnce) {
		questions := make([][]string, len(some))
		for i, slot := range some {
			questions[i] = []string{"CLUSTER", "COUNTKEYSINSLOT", strconv.Itoa(slot)}
		}
		re, err := s.ask(ctx, questions...)
		if err != nil {
			return err
		}
		for i, slot := range some {
			if err := re[i].Err; err != nil {
				return fmt.Errorf("CLUSTER COUNTKEYSINSLOT: %w", err)
			}
			keys, is := re[i].Value.(int64)
			if !is || keys < 0 {
				return errors.New("CLUSTER COUNTKEYSINSLOT was answered by no count")
			}
			open := slices.ContainsFunc(n.Open, func(o preflight.OpenSlot) bool { return o.Slot == slot })
			if keys > 0 || open || slot == c.Slot {
				n.Keys[slot] = keys
			}
		}
	}
	return nil
}

// clusterLine is one line of CLUSTER NODES.
type clusterLine struct {
	id, address string
	master      string // its id; empty: it is one itself
	myself      bool
	failed      bool // by the word of a majority
	slots       []preflight.SlotRange
	open        []preflight.OpenSlot
	wrong       string // what of its slots makes no sense; empty: all of it does
}

// clusterNodes reads CLUSTER NODES as asked's answered it. Nodes that have no
// address yet are left out, and so is what makes no sense, which is named.
func clusterNodes(text, asked string) (all []clusterLine, unread []preflight.Unread) {
	for line := range strings.Lines(text) {
		line = strings.TrimRight(line, "\r\n")
		if line == "" {
			continue
		}
		words := strings.Fields(line)
		if len(words) < 8 {
			unread = append(unread, preflight.Unread{Name: fmt.Sprintf("%.80s", line), In: "CLUSTER NODES", Why: "it has fewer than eight words"})
			continue
		}
		flags := strings.Split(words[2], ",")
		if slices.Contains(flags, "handshake") || slices.Contains(flags, "noaddr") {
			continue
		}
		l := clusterLine{id: words[0], myself: slices.Contains(flags, "myself"), failed: slices.Contains(flags, "fail")}
		if words[3] != "-" {
			l.master = words[3]
		}
		var why string
		switch l.address, why = clusterAddress(words[1], asked); {
		case why == "" && len(l.id) != 40:
			why = "its first word is no id"
		case why == "" && l.master == "" && !slices.Contains(flags, "master"):
			why = "it is neither a master nor a replica of one"
		}
		if why != "" {
			unread = append(unread, preflight.Unread{Name: fmt.Sprintf("%.80s", line), In: "CLUSTER NODES", Why: why})
			continue
		}
		for _, word := range words[8:] {
			if !l.slot(word) {
				l.wrong = fmt.Sprintf("%.80q of CLUSTER NODES is no slot", word)
			}
		}
		all = append(all, l)
	}
	return all, unread
}

// clusterAddress reads "10.0.0.1:7000@17000,name"; a node that was never told its own
// address has none in its own line, and is where it was asked.
func clusterAddress(word, asked string) (address, why string) {
	word, _, _ = strings.Cut(word, ",")
	word, _, _ = strings.Cut(word, "@")
	colon := strings.LastIndexByte(word, ':')
	if colon < 0 {
		return "", "it has no address"
	}
	host, port := strings.Trim(word[:colon], "[]"), word[colon+1:]
	if n, err := strconv.ParseUint(port, 10, 16); err != nil || n == 0 {
		return "", "its port is none"
	}
	if host == "" {
		if host, _, _ = net.SplitHostPort(asked); host == "" {
			return "", "it has no address"
		}
	}
	return net.JoinHostPort(host, port), ""
}

// slot reads "5", "0-5460", "[93->-ID]" or "[77-<-ID]".
func (l *clusterLine) slot(word string) bool {
	number := func(s string) (int, bool) {
		n, err := strconv.ParseUint(s, 10, 16)
		return int(n), err == nil && n < keyspace.ClusterSlots
	}
	if inner, is := strings.CutPrefix(word, "["); is {
		inner, closed := strings.CutSuffix(inner, "]")
		first, id, importing := strings.Cut(inner, "-<-")
		if !importing {
			var migrating bool
			if first, id, migrating = strings.Cut(inner, "->-"); !migrating {
				return false
			}
		}
		n, ok := number(first)
		if !closed || !ok || len(id) != 40 {
			return false
		}
		l.open = append(l.open, preflight.OpenSlot{Slot: n, Importing: importing, Other: id})
		return true
	}
	from, to, is := strings.Cut(word, "-")
	if !is {
		to = from
	}
	first, ok := number(from)
	last, ok2 := number(to)
	if !ok || !ok2 || last < first {
		return false
	}
	l.slots = append(l.slots, preflight.SlotRange{First: first, Last: last})
	return true
}
