package gather

// The whole of a group, from any host.

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/redis-watchdog/redis-watchdog/preflight"
)

// DefaultReportTimeout is how long the watchdogs are given to answer.
const DefaultReportTimeout = 2 * time.Second

// coordinatorTimeout bounds one question to etcd.
const coordinatorTimeout = 2 * time.Second

// Coordinator is what is asked of etcd. Every call may take as long as its
// context allows.
type Coordinator interface {
	// Read is the coordinator's own state, and what it holds of the group.
	Read(ctx context.Context) (preflight.Coordinator, error)
	// Ask asks every watchdog of the group for a report that answers id.
	Ask(ctx context.Context, id string) error
	// Reports are what the watchdogs published, by the address of their node:
	// each a preflight.Node as JSON. They are awaited until all that stood
	// when it was called satisfy answered, or until ctx ends, which is no
	// error.
	Reports(ctx context.Context, answered func(report []byte) bool) (map[string][]byte, error)
}

// Config is what a group is read with.
type Config struct {
	Group     string
	Sentinels SentinelConfig
	// Redis is how every Redis of the group is spoken to: the credentials of a
	// local node, whose Address and Socket are not looked at.
	Redis Server
	// Local are the sockets of nodes on this host, by their address.
	Local       map[string]Server
	Coordinator Coordinator
	// ReportTimeout is how long reports are waited for; zero:
	// DefaultReportTimeout.
	ReportTimeout time.Duration
}

// Group reads everything about a group: the reports of its watchdogs, asked for
// anew, the Sentinels, etcd, and every Redis that can be reached. An error is
// one of the configuration; what could not be read is a Gap.
func Group(ctx context.Context, c Config) (preflight.Facts, error) {
	if c.Group == "" || c.Coordinator == nil || len(c.Sentinels.Addresses) == 0 {
		return preflight.Facts{}, errors.New("gather group: no name, no coordinator or no sentinel is given")
	}
	g := &gathering{c: c, key: rand.Text(), facts: preflight.Facts{Group: c.Group}, read: map[string]*liveRedis{}}
	c.Sentinels.Group = c.Group
	var asking, first sync.WaitGroup
	asking.Go(func() { g.askReports(ctx) })
	first.Go(func() { g.askCoordinator(ctx) })
	first.Go(func() { g.facts.Sentinels = sentinels(ctx, c.Sentinels, &g.names) })
	first.Wait()
	g.noteSentinels()
	g.live(ctx, g.listed())
	asking.Wait()
	g.live(ctx, g.reported())
	g.assemble()
	return g.facts, nil
}

// gathering is one reading of a group.
type gathering struct {
	c     Config
	names names
	key   string // of the digests of this reading, and of no other

	facts      preflight.Facts
	request    string
	askErr     error
	reports    map[string]preflight.Node
	garbled    map[string]error // reports that cannot be understood
	reportsErr error
	read       map[string]*liveRedis
}

// liveRedis is one Redis as it was read from here.
type liveRedis struct {
	facts *preflight.Redis
	gaps  []preflight.Gap
}

func (g *gathering) gap(what, why string) {
	g.facts.Gaps = append(g.facts.Gaps, preflight.Gap{What: what, Why: why})
}

func (g *gathering) askCoordinator(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, coordinatorTimeout)
	defer cancel()
	state, err := g.c.Coordinator.Read(ctx)
	if err != nil {
		state.Error = err.Error()
	}
	g.facts.Coordinator = state
}

// askReports asks for fresh reports and takes what there is in time.
func (g *gathering) askReports(ctx context.Context) {
	limit := g.c.ReportTimeout
	if limit == 0 {
		limit = DefaultReportTimeout
	}
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	g.request = rand.Text()
	g.reports, g.garbled = map[string]preflight.Node{}, map[string]error{}
	if g.askErr = g.c.Coordinator.Ask(ctx, g.request); g.askErr != nil {
		return // etcd is away: nothing there is of now
	}
	found, err := g.c.Coordinator.Reports(ctx, func(report []byte) bool {
		var node struct {
			Answers string `json:"answers"`
		}
		return json.Unmarshal(report, &node) == nil && node.Answers == g.request
	})
	g.reportsErr = err
	for address, report := range found {
		var node preflight.Node
		if err := json.Unmarshal(report, &node); err != nil {
			g.garbled[address] = err
			continue
		}
		node.Address = address
		g.reports[address] = node
	}
}

func (g *gathering) noteSentinels() {
	answered := 0
	for _, s := range g.facts.Sentinels {
		if s.Error == "" {
			answered++
		}
	}
	if answered == 0 {
		g.gap("sentinel", fmt.Sprintf("none of %d Sentinels answered for the group", len(g.facts.Sentinels)))
	}
}

// listed are the Redis of the group as the Sentinels and etcd name them.
func (g *gathering) listed() (all []string) {
	add := func(address string) {
		if address != "" && !slices.Contains(all, address) {
			all = append(all, address)
		}
	}
	for _, s := range g.facts.Sentinels {
		add(s.Master)
		for _, r := range s.Replicas {
			add(r.Address)
		}
	}
	add(g.facts.Coordinator.Agreement)
	return all
}

func (g *gathering) reported() (all []string) {
	for address := range g.reports {
		all = append(all, address)
	}
	return all
}

// live asks every Redis that was not asked yet.
func (g *gathering) live(ctx context.Context, addresses []string) {
	var asking sync.WaitGroup
	for _, address := range addresses {
		if g.read[address] != nil {
			continue
		}
		one := &liveRedis{}
		g.read[address] = one
		server, local := g.c.Local[address]
		if !local {
			server = g.c.Redis
			server.Address, server.Socket = address, ""
		}
		asking.Go(func() {
			one.facts, one.gaps = Redis(ctx, RedisConfig{Server: server, ReadBy: preflight.ReadLive, Key: g.key, Clients: true})
		})
	}
	asking.Wait()
}

// assemble puts together what was read of each node.
func (g *gathering) assemble() {
	switch {
	case g.askErr != nil:
		g.gap("report", "the watchdogs could not be asked for reports: "+g.askErr.Error())
	case g.reportsErr != nil:
		g.gap("report", "the watchdogs' reports could not be read: "+g.reportsErr.Error())
	}
	all := g.listed()
	for _, address := range g.reported() {
		if !slices.Contains(all, address) && !g.sentinelsAnswer() {
			all = append(all, address)
		}
	}
	slices.Sort(all)
	for _, address := range all {
		g.facts.Nodes = append(g.facts.Nodes, g.node(address))
	}
	g.facts.Master = g.truth()
}

// sentinelsAnswer says that a node which only a report names is no part of the
// group: they have forgotten it. Its watchdog may live on for long.
func (g *gathering) sentinelsAnswer() bool {
	return slices.ContainsFunc(g.facts.Sentinels, func(s preflight.Sentinel) bool { return s.Error == "" })
}

func (g *gathering) node(address string) preflight.Node {
	n, reported := g.reports[address]
	n.Address = address
	switch err := g.garbled[address]; {
	case err != nil:
		n.Gaps = append(n.Gaps, preflight.Gap{What: "report", Why: "the report of its watchdog cannot be understood: " + err.Error()})
	case !reported && g.askErr == nil && g.reportsErr == nil:
		n.Gaps = append(n.Gaps, preflight.Gap{What: "report", Why: preflight.NobodyReports})
	case !reported:
		n.Gaps = append(n.Gaps, preflight.Gap{What: "report", Why: "no report could be read from etcd"})
	case n.Answers != g.request:
		const late = "its watchdog did not answer in time"
		n = n.WithoutMoments(late)
		n.Gaps = append(n.Gaps, preflight.Gap{What: "report", Why: late + ": the report is of " + n.At.UTC().Format(time.RFC3339)})
	}
	live := g.read[address]
	switch {
	case live == nil:
	case live.facts != nil && (n.Redis == nil || n.Answers == "" || lacks(live.gaps) <= lacks(n.Gaps)):
		n.Redis = live.facts
		n.Gaps = append(withoutRedis(n.Gaps), live.gaps...)
	case live.facts == nil && n.Redis == nil:
		n.Gaps = append(withoutRedis(n.Gaps), live.gaps...)
	case live.facts != nil && live.facts.Users != nil:
		// The report knows more, but no passwords.
		redis := *n.Redis
		redis.Users = live.facts.Users
		n.Redis = &redis
	default:
		n.Gaps = append(n.Gaps, preflight.Gap{What: preflight.GapPasswords, Why: whyNot(live.gaps)})
	}
	return n
}

// whyNot is why the users of a Redis were not read from here.
func whyNot(gaps []preflight.Gap) string {
	for _, gap := range gaps {
		if gap.What == "acl" || gap.What == "redis" {
			return gap.Why
		}
	}
	return "ACL LIST was not read from here"
}

// redisGaps are those that Redis, the function, leaves.
func redisGap(gap preflight.Gap) bool {
	return slices.Contains([]string{"redis", "info", "config", "acl", "slowlog", "sentinel_rights"}, gap.What)
}

func lacks(gaps []preflight.Gap) (n int) {
	for _, gap := range gaps {
		if redisGap(gap) {
			n++
		}
	}
	return n
}

func withoutRedis(gaps []preflight.Gap) []preflight.Gap {
	return slices.DeleteFunc(gaps, redisGap)
}

// truth is the newer of the agreement and what more than half of the known
// Sentinels say; empty: nobody is named, or a conflict, and a Gap says so.
func (g *gathering) truth() string {
	type vote struct {
		master string
		epoch  uint64
	}
	votes, known := map[vote]int{}, max(len(g.facts.Sentinels), g.facts.Coordinator.Known)
	for _, s := range g.facts.Sentinels {
		if s.Error == "" {
			votes[vote{s.Master, s.Epoch}]++
			known = max(known, s.Others+1)
		}
	}
	var said vote
	for v, n := range votes {
		if 2*n > known {
			said = v
		}
	}
	agreed := vote{g.facts.Coordinator.Agreement, g.facts.Coordinator.Epoch}
	switch {
	case said.master == "" && agreed.master == "":
		g.gap("master", fmt.Sprintf("no more than half of %d known Sentinels name one master, and etcd holds none", known))
		return ""
	case said.master == "":
		return agreed.master
	case agreed.master == "" || said.epoch > agreed.epoch || said.master == agreed.master:
		return said.master
	case said.epoch < agreed.epoch:
		return agreed.master
	}
	g.gap("master", strings.Join([]string{
		"a conflict at epoch ", fmt.Sprint(said.epoch), ": the Sentinels name ", said.master, ", etcd names ", agreed.master}, ""))
	return ""
}
