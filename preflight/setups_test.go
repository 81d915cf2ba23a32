package preflight

import (
	"slices"
	"strconv"
	"testing"
)

const (
	mib = 1 << 20
	gib = 1 << 30
)

// setup is a group as people run it.
type setup struct {
	name string
	edit func(*Facts)
	// vetoes are the checks that veto b, blocks those that are against a planned
	// failover onto it: of b, of the master and of the group.
	vetoes, blocks []string
	policy         func(*Policy) // nil: the default one
}

// each edits every node.
func each(f *Facts, edit func(*Node)) {
	for i := range f.Nodes {
		edit(&f.Nodes[i])
	}
}

// configured is a parameter as it runs and as redis.conf has it.
func configured(n *Node, name, value string) {
	n.Redis.Config[name], n.Drift.FileConfig[name] = value, value
}

func inInfo(n *Node, name string, v int64) { n.Redis.Info[name] = strconv.FormatInt(v, 10) }

// holding sets what counts for eviction.
func holding(n *Node, v int64) {
	inInfo(n, "used_memory", v)
	inInfo(n, "mem_not_counted_for_evict", 0)
}

// limited is a group in which every node has this limit and policy, and holds
// that much.
func limited(limit, held int64, policy string) func(*Facts) {
	return func(f *Facts) {
		each(f, func(n *Node) {
			configured(n, "maxmemory", strconv.FormatInt(limit, 10))
			configured(n, "maxmemory-policy", policy)
			holding(n, held)
		})
	}
}

// and does one edit after the other.
func and(edits ...func(*Facts)) func(*Facts) {
	return func(f *Facts) {
		for _, edit := range edits {
			edit(f)
		}
	}
}

// at edits one node.
func at(address string, edit func(*Node)) func(*Facts) {
	return func(f *Facts) { edit(find(f, address)) }
}

func noHeadroom(p *Policy) { p.Headroom = 0 }

// Ordinary set-ups, in which a promotion makes nothing worse: nobody is vetoed,
// or a master that dies is replaced by nobody.
func ordinarySetups() []setup {
	all := slices.Concat(ordinaryMemory(), ordinaryOthers())
	return all
}

func ordinaryMemory() []setup {
	ownMore := func(extra int64) func(*Facts) {
		return at(b, func(n *Node) { holding(n, 4*gib+extra) })
	}
	return []setup{
		{name: "a store, half full", edit: limited(4*gib, 2*gib, "noeviction")},
		{name: "a store, nearly full", edit: limited(4*gib, 4*gib-64*mib, "noeviction")},
		{name: "a store, a byte over", edit: limited(4*gib, 4*gib+1, "noeviction"), policy: noHeadroom},
		{name: "a store over a limit that was lowered", edit: limited(3*gib, 4*gib, "noeviction")},
		{name: "a cache, half full", edit: limited(4*gib, 2*gib, "allkeys-lru")},
		{name: "a cache, full", edit: limited(4*gib, 4*gib, "allkeys-lru")},
		{name: "a cache, full, without headroom", edit: limited(4*gib, 4*gib+2000, "allkeys-lfu"), policy: noHeadroom},
		{name: "a cache, full, whose replica holds some KiB more", edit: and(limited(4*gib, 4*gib, "allkeys-lru"), ownMore(800<<10))},
		{name: "a cache, full, with thousands of readers at its replica", edit: and(limited(4*gib, 4*gib, "allkeys-lru"), ownMore(200*mib),
			at(b, func(n *Node) { inInfo(n, "mem_clients_normal", 200*mib) }))},
		{name: "a small cache, full", edit: and(limited(16*mib, 16*mib, "allkeys-random"), at(b, func(n *Node) { holding(n, 16*mib+900<<10) }))},
		{name: "sessions, full", edit: limited(4*gib, 4*gib, "volatile-lru")},
		{name: "volatile, full, and nothing expires", edit: and(limited(4*gib, 4*gib+1, "volatile-lru"), func(f *Facts) {
			each(f, func(n *Node) { n.Redis.Info["db0"] = "keys=1000,expires=0,avg_ttl=0" })
		})},
		{name: "volatile by lru and by ttl", edit: and(limited(4*gib, 2*gib, "volatile-lru"), at(b, func(n *Node) { configured(n, "maxmemory-policy", "volatile-ttl") }))},
		{name: "no limit anywhere", edit: limited(0, 4*gib, "noeviction")},
		{name: "a limit at the replicas only, large enough", edit: and(limited(4*gib, 2*gib, "noeviction"), at(a, func(n *Node) { configured(n, "maxmemory", "0") }))},
		{name: "a limit at the master only", edit: and(limited(0, 4*gib, "allkeys-lru"), at(a, func(n *Node) { configured(n, "maxmemory", strconv.Itoa(4*gib)) }))},
		{name: "a larger replica, full", edit: and(limited(4*gib, 4*gib, "allkeys-lru"), at(b, func(n *Node) { configured(n, "maxmemory", strconv.Itoa(6*gib)) }))},
		{name: "a smaller replica that has room", edit: and(limited(4*gib, 2*gib, "noeviction"), at(b, func(n *Node) { configured(n, "maxmemory", strconv.Itoa(3*gib)) }))},
		{name: "a share of the host's memory, full", edit: and(limited(4*gib, 4*gib, "allkeys-lru"), at(b, func(n *Node) { configured(n, "maxmemory", strconv.Itoa(4*gib-25*mib)) }))},
		{name: "a container that is hardly larger than maxmemory", edit: and(limited(4*gib, 4*gib, "allkeys-lru"),
			func(f *Facts) { each(f, func(n *Node) { n.Host.MemoryTotal = 4*gib + 128*mib }) })},
		{name: "hosts whose memory the data nearly fills", edit: and(limited(0, 7800*mib, "noeviction"),
			at(b, func(n *Node) { n.Host.MemoryTotal = 8*gib - 2*mib }))},
		{name: "CONFIG SET of maxmemory on every node, and no CONFIG REWRITE", blocks: []string{"drift_running", "memory_limit_file"},
			edit: and(limited(7*gib, 6*gib, "noeviction"), func(f *Facts) {
				each(f, func(n *Node) {
					n.Host.MemoryTotal, n.Drift.FileConfig["maxmemory"] = 16*gib, strconv.Itoa(3*gib)
					n.Drift.Drifted = []Parameter{{Name: "maxmemory", Running: strconv.Itoa(7 * gib), File: strconv.Itoa(3 * gib), Where: "redis.conf:1"}}
				})
			})},
	}
}

func ordinaryOthers() []setup {
	drifted := func(p Parameter) func(*Facts) {
		return func(f *Facts) { each(f, func(n *Node) { n.Drift.Drifted = []Parameter{p} }) }
	}
	everywhere := func(name, value string) func(*Facts) {
		return func(f *Facts) { each(f, func(n *Node) { configured(n, name, value) }) }
	}
	return []setup{
		{name: "CONFIG SET on every node, and no CONFIG REWRITE", blocks: []string{"drift_running"},
			edit: drifted(Parameter{Name: "slowlog-log-slower-than", Running: "1000", File: "10000", Where: "default of 7.0.15"})},
		{name: "redis.conf was edited for the next restart", blocks: []string{"drift_running"},
			edit: drifted(Parameter{Name: "databases", Running: "16", File: "32", Where: "redis.conf:9"})},
		{name: "only the replicas save", edit: at(a, func(n *Node) { configured(n, "appendonly", "no"); configured(n, "save", "") })},
		{name: "nobody saves", edit: and(everywhere("appendonly", "no"), everywhere("save", ""))},
		{name: "no node can fork to save", blocks: []string{"persistence_writable"}, edit: func(f *Facts) {
			each(f, func(n *Node) { configured(n, "appendonly", "no"); n.Redis.Info["rdb_last_bgsave_status"] = "err" })
		}},
		{name: "nearly as many clients as maxclients allows", edit: at(a, func(n *Node) { inInfo(n, "connected_clients", 9990) })},
		{name: "a user that is off and was never made at the replica", edit: at(a, func(n *Node) {
			n.Redis.Users = append(n.Redis.Users, User{Name: "old", Rules: "off sanitize-payload resetchannels -@all"})
		})},
		{name: "stunnel before every Redis", edit: everywhere("bind", "127.0.0.1 -::1")},
		{name: "no password, and protected-mode as it comes", edit: func(f *Facts) {
			each(f, func(n *Node) {
				configured(n, "requirepass", "")
				n.Redis.Users = []User{{Name: "default", Rules: "on nopass sanitize-payload ~* &* +@all"}}
			})
		}},
		{name: "FLUSHALL was taken away at the master", edit: at(a, func(n *Node) { n.Drift.Renamed = map[string]string{"FLUSHALL": "removed"} })},
		{name: "commands renamed alike", edit: func(f *Facts) {
			each(f, func(n *Node) { n.Drift.Renamed = map[string]string{"FLUSHALL": "removed", "CONFIG": "renamed"} })
		}},
		{name: "a replica that counted errors before its watchdog was there", edit: at(b, func(n *Node) {
			n.Redis.Info["unexpected_error_replies"] = "3"
			n.Refused = &Refused{Count: 3, Inherited: true, Last: ReplicaLook{RunID: "1", Replica: true, Errors: 3}}
		})},
		{name: "a replica of a node that is away", edit: func(f *Facts) { f.Nodes = f.Nodes[:2] }},
		{name: "a replica that may not be promoted", edit: at(c, func(n *Node) { configured(n, "replica-priority", "0"); n.Watchdog.OwnPriority = "0" })},
	}
}

// Set-ups in which data is lost or clients are refused by a promotion that the
// master as it is would not lose or refuse.
func harmfulSetups() []setup {
	limit := func(v int64) func(*Facts) {
		return at(b, func(n *Node) { configured(n, "maxmemory", strconv.FormatInt(v, 10)) })
	}
	twice := []string{"memory_limit_file", "memory_limit_running"}
	return []setup{
		{name: "a store, a replica with last month's limit", edit: and(limited(7*gib, 6*gib, "noeviction"), limit(3*gib)), vetoes: twice},
		{name: "a cache, full, a replica smaller by a twentieth", edit: and(limited(4*gib, 4*gib, "allkeys-lru"), limit(4*gib-200*mib)), vetoes: twice},
		{name: "a cache, nearly full, a smaller replica without headroom", edit: and(limited(4*gib, 3*gib, "allkeys-lru"), limit(3*gib+64*mib)), vetoes: twice},
		{name: "no limit at the master, one below the data at the replica", edit: and(limited(0, 2*gib, "noeviction"), limit(2*gib-1)), vetoes: twice, policy: noHeadroom},
		{name: "sessions, full, at a replica whose build needs more for the same", vetoes: twice,
			edit: and(limited(4*gib, 4*gib, "volatile-lru"), at(b, func(n *Node) { holding(n, 5*gib) }))},
		{name: "a store with room, at a replica that has none", vetoes: twice,
			edit: and(limited(4*gib, 3*gib, "noeviction"), at(b, func(n *Node) { holding(n, 4*gib+64*mib) }))},
		{name: "a store with room, at a replica whose readers have it", vetoes: twice,
			edit: and(limited(4*gib, 4*gib-200*mib, "noeviction"), at(b, func(n *Node) { holding(n, 4*gib+100*mib); inInfo(n, "mem_clients_normal", 300*mib) }))},
		{name: "a limit that only the replica's file lacks", vetoes: []string{"memory_limit_file"},
			edit: and(limited(7*gib, 6*gib, "noeviction"), at(b, func(n *Node) { n.Host.MemoryTotal = 16 * gib; n.Drift.FileConfig["maxmemory"] = strconv.Itoa(3 * gib) }))},
		{name: "a cache whose replica refuses instead", vetoes: []string{"memory_policy"},
			edit: and(limited(4*gib, 2*gib, "allkeys-lru"), at(b, func(n *Node) { configured(n, "maxmemory-policy", "noeviction") }))},
		{name: "a store whose replica evicts instead", vetoes: []string{"memory_policy"},
			edit: and(limited(4*gib, 2*gib, "noeviction"), at(b, func(n *Node) { configured(n, "maxmemory-policy", "volatile-lru") }))},
		{name: "a host that is too small, where the master's is not", vetoes: []string{"memory_host"},
			edit: and(limited(0, 4*gib, "noeviction"), at(b, func(n *Node) { n.Host.MemoryTotal = 4 * gib }))},
		{name: "a replica that failed to save, where the master did not", vetoes: []string{"persistence_writable"},
			edit: at(b, func(n *Node) { configured(n, "appendonly", "no"); n.Redis.Info["rdb_last_bgsave_status"] = "err" }), blocks: []string{"parity_persistence"}},
		{name: "fewer clients than the master has", vetoes: []string{"parity_maxclients"}, edit: and(
			at(a, func(n *Node) { inInfo(n, "connected_clients", 9000) }), at(b, func(n *Node) { configured(n, "maxclients", "4000") }))},
		{name: "a replica that refused what the master wrote", vetoes: []string{"replication_refused"}, edit: at(b, func(n *Node) {
			n.Redis.Info["unexpected_error_replies"] = "1"
			n.Refused.Count, n.Refused.Last.Errors = 1, 1
		})},
		{name: "one that refused it since its watchdog looked", vetoes: []string{"replication_refused"}, edit: at(b, func(n *Node) { n.Redis.Info["unexpected_error_replies"] = "1" })},
		{name: "one that refused it in an earlier run", vetoes: []string{"replication_refused"}, edit: at(b, func(n *Node) { n.Refused.Count = 2 })},
		{name: "on loopback, where the master is not", vetoes: []string{"parity_reach"}, edit: at(b, func(n *Node) { configured(n, "bind", "127.0.0.1") })},
		{name: "a CONFIG SET at the replica alone", vetoes: []string{"drift_running"}, edit: at(b, func(n *Node) {
			n.Drift.Drifted = []Parameter{{Name: "slowlog-log-slower-than", Running: "1000", File: "10000", Where: "default of 7.0.15"}}
		})},
		{name: "one drift of the master's and one of its own", vetoes: []string{"drift_running"}, edit: and(
			at(a, func(n *Node) { n.Drift.Drifted = []Parameter{{Name: "hz", Running: "20", File: "10"}} }),
			at(b, func(n *Node) {
				n.Drift.Drifted = []Parameter{{Name: "hz", Running: "20", File: "10"}, {Name: "timeout", Running: "1", File: "0"}}
			}))},
		{name: "a user of clients that is not there", vetoes: []string{"parity_acl"}, edit: at(a, func(n *Node) {
			n.Redis.Users = append(n.Redis.Users, User{Name: "app", Rules: "on sanitize-payload ~* resetchannels +@all"})
		})},
		{name: "a command that is called otherwise", vetoes: []string{"parity_commands"}, edit: at(a, func(n *Node) { n.Drift.Renamed = map[string]string{"KEYS": "renamed"} })},
	}
}

// outcome is what vetoes b and what blocks a planned failover onto it.
func (s setup) outcome(t *testing.T) (vetoes, blocks []string) {
	t.Helper()
	f, policy := healthy(), DefaultPolicy()
	s.edit(&f)
	if s.policy != nil {
		s.policy(&policy)
	}
	own := Own(policy, "shop", *node(&f, a), *node(&f, b))
	var standing Veto
	standing = standing.Next(own)
	vetoes = Vetoes(own)
	if !slices.Equal(standing.Checks(), slices.Sorted(slices.Values(vetoes))) {
		t.Errorf("%s: the standing veto has %v, the checks %v", s.name, standing.Checks(), vetoes)
	}
	for _, f := range Judge(policy, f, b).Blocking() {
		if f.Outcome == Failed {
			blocks = append(blocks, f.Check)
		}
	}
	slices.Sort(vetoes)
	slices.Sort(blocks)
	return vetoes, slices.Compact(blocks)
}

func TestOrdinarySetupsAreNotVetoed(t *testing.T) {
	if n := len(ordinarySetups()); n < 20 {
		t.Errorf("there are %d set-ups", n)
	}
	for _, s := range ordinarySetups() {
		vetoes, blocks := s.outcome(t)
		if len(vetoes) > 0 {
			t.Errorf("%s: vetoed by %v", s.name, vetoes)
		}
		if !slices.Equal(blocks, s.blocks) {
			t.Errorf("%s: blocked by %v, want %v", s.name, blocks, s.blocks)
		}
	}
}

func TestWhatAPromotionMakesWorseIsVetoed(t *testing.T) {
	for _, s := range harmfulSetups() {
		vetoes, blocks := s.outcome(t)
		for _, want := range s.vetoes {
			if !slices.Contains(vetoes, want) || !slices.Contains(blocks, want) {
				t.Errorf("%s: vetoed by %v, blocked by %v, want %s", s.name, vetoes, blocks, want)
			}
		}
		for _, id := range vetoes {
			if !slices.Contains(s.vetoes, id) && !slices.Contains(s.blocks, id) {
				t.Errorf("%s: vetoed by %s too", s.name, id)
			}
		}
	}
}

// A limit that is too small for the data is a veto however full or large the
// rest is: nobody whose maxmemory is below what it would have to hold, and below
// the master's, is promoted.
func TestNoLimitBelowTheDataIsEverPromoted(t *testing.T) {
	for _, policy := range []string{"noeviction", "allkeys-lru", "volatile-lru"} {
		for _, theirs := range []int64{0, 64 * mib, gib, 4 * gib} {
			for _, held := range []int64{32 * mib, 64 * mib, gib, 4 * gib} {
				for _, share := range []int64{10, 50, 90, 98} {
					limit := held * share / 100
					if theirs > 0 && near(limit, theirs) {
						continue // then the master itself holds no more than its own
					}
					s := setup{name: policy, edit: and(limited(theirs, held, policy), at(b, func(n *Node) {
						configured(n, "maxmemory", strconv.FormatInt(limit, 10))
					})), policy: noHeadroom}
					if vetoes, _ := s.outcome(t); !slices.Contains(vetoes, "memory_limit_running") {
						t.Errorf("%s, master %d, data %d, limit %d: vetoed by %v", policy, theirs, held, limit, vetoes)
					}
				}
			}
		}
	}
}
