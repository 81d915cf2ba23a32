package preflight

import (
	"fmt"
	"math"
	"strconv"
	"strings"
)

// Whether a candidate's maxmemory leaves it, promoted, no worse off than the
// master is.

// alikeShare is how far two sizes may be apart that are meant to be the same:
// hosts of one size differ by some pages, and so does a maxmemory that is a
// share of their memory.
const alikeShare = 100

// near is whether a size is no less than another, but for what hosts of one
// size differ by.
func near(v, than int64) bool { return v >= than-than/alikeShare }

// slackOf is how much more than its limit a candidate may hold for what its
// master holds too: two servers with the same data differ by the buffers and
// tables of their own (measured on 7.0.15: 0.1 to 0.5 MiB at rest).
func slackOf(limit int64) int64 { return max(limit/alikeShare, 1<<20) }

// counted is the memory of a Redis that counts for eviction: without the
// replicas' output buffers and the AOF buffer (mem_not_counted_for_evict).
func (s *subject) counted(n *Node) int64 {
	used := s.infoBytes(n, "used_memory")
	not := s.infoBytes(n, "mem_not_counted_for_evict")
	return max(0, used-max(0, not))
}

// needed is what a limit that is lower than the master's must be at least: the
// larger of what the master and the candidate hold, and the headroom.
func (s *subject) needed() int64 {
	return grow(max(s.counted(s.master), s.counted(s.node)), s.policy.Headroom)
}

// fits is whether the candidate, with this limit, can be master without losing
// or refusing what the master with its own (theirs; 0: none) would not, and
// what it would need.
//
// A limit that is lower than the master's must hold the data and the headroom.
// One that is no lower is reached no earlier than the master's own, so the
// master's data fits as well as it does there, full or not; what counts then is
// only what the candidate holds beyond it.
func (s *subject) fits(limit, theirs int64) (ok bool, need int64) {
	if theirs <= 0 || !near(limit, theirs) {
		need = s.needed()
		return limit >= need, need
	}
	held, own := s.counted(s.master), s.counted(s.node)
	slack := slackOf(limit)
	if own <= limit+slack {
		return true, own
	}
	beyond := own - held
	if s.evicts(s.node) {
		// Who reads from a replica takes memory too. A cache makes room for its
		// clients wherever they are; a store that refuses writes must have it.
		beyond += s.infoBytes(s.master, "mem_clients_normal") - s.infoBytes(s.node, "mem_clients_normal")
	}
	return beyond <= slack, own
}

// evicts is whether a Redis makes room at its limit, by its policy and by what
// it holds: where nothing expires a volatile policy refuses writes.
func (s *subject) evicts(n *Node) bool {
	switch evicted(s.config(n, "maxmemory-policy")) {
	case "all keys":
		return true
	case "keys that expire":
		for _, c := range s.keyspace(n) {
			if c.expires > 0 {
				return true
			}
		}
	}
	return false
}

// evicted is what a maxmemory-policy throws away at the limit.
func evicted(policy string) string {
	switch {
	case policy == "noeviction":
		return "nothing"
	case strings.HasPrefix(policy, "volatile-"):
		return "keys that expire"
	case strings.HasPrefix(policy, "allkeys-"):
		return "all keys"
	}
	return policy
}

func grow(v int64, share float64) int64 {
	f := math.Ceil(float64(v) * (1 + share))
	if !(f < math.MaxInt64/2) {
		return math.MaxInt64 / 2
	}
	return int64(f)
}

// enough is a limit that is to be set: the master's own where that will do, else
// what is needed, rounded up to whole MiB.
func (s *subject) enough(needed int64) int64 {
	theirs := masterLimit(s.master)
	// What is not known here changes the remedy, and not the answer.
	known := len(s.missing)
	ok, _ := s.fits(theirs, theirs)
	s.missing = s.missing[:known]
	if ok && theirs > 0 {
		return theirs
	}
	want := max(needed, theirs)
	const mib = 1 << 20
	if rest := want % mib; rest != 0 && want != theirs {
		want += mib - rest
	}
	return want
}

// masterLimit is the master's running maxmemory; 0: none, or not known.
func masterLimit(n *Node) int64 {
	if n == nil || n.Redis == nil {
		return 0
	}
	v, err := strconv.ParseInt(n.Redis.Config["maxmemory"], 10, 64)
	if err != nil {
		return 0
	}
	return v
}

func memoryLimitRunning(s *subject) answer {
	limit, theirs := s.configBytes(s.node, "maxmemory"), s.configBytes(s.master, "maxmemory")
	ok, need := s.fits(limit, theirs)
	if s.short() {
		return answer{}
	}
	if limit == 0 {
		return passed(s.node.Address + " runs without a limit")
	}
	if ok {
		return passed("maxmemory " + holds(limit, theirs, need))
	}
	want := s.enough(need)
	text := strconv.FormatInt(want, 10)
	a := failed(fmt.Sprintf("%s runs with maxmemory %s and needs %s: promoted, it evicts or refuses writes at once", s.node.Address, size(limit), size(need)), s.raise(want))
	if s.hostHas(want) {
		a.fixes = []Fix{{Kind: FixSet, Node: s.node.Address, Parameter: "maxmemory", Value: text, Was: strconv.FormatInt(limit, 10)}}
	}
	return a
}

// raise is how the candidate gets this limit, where its host can bear it.
func (s *subject) raise(limit int64) string {
	if h := s.node.Host; h != nil && h.MemoryTotal > 0 && !s.hostHas(limit) {
		return onHost(s.node, fmt.Sprintf("give it more than its %s of memory, for a maxmemory of %d; or lower the master's maxmemory and its data; or promote another replica", size(h.MemoryTotal), limit))
	}
	return set(s.node, "maxmemory", strconv.FormatInt(limit, 10)) + "\n" + cli(s.node) + " CONFIG REWRITE"
}

// holds says of a limit why it is enough.
func holds(limit, theirs, need int64) string {
	if theirs > 0 && near(limit, theirs) {
		return fmt.Sprintf("%s is no less than the master's %s", size(limit), size(theirs))
	}
	return fmt.Sprintf("%s holds the %s that are needed", size(limit), size(need))
}

// hostHas is whether the candidate's host has the memory for a limit. Unknown is
// no: what cannot be seen to be safe is left to a person.
func (s *subject) hostHas(limit int64) bool {
	h := s.node.Host
	return h != nil && h.MemoryTotal > 0 && limit <= h.MemoryTotal
}

func memoryLimitFile(s *subject) answer {
	limit, theirs := s.fileBytes(s.node, "maxmemory"), s.configBytes(s.master, "maxmemory")
	ok, need := s.fits(limit, theirs)
	if s.short() {
		return answer{}
	}
	if limit == 0 {
		return passed(s.node.Address + " starts without a limit")
	}
	if ok {
		return passed("the file's maxmemory " + holds(limit, theirs, need))
	}
	running, err := strconv.ParseInt(s.node.Redis.Config["maxmemory"], 10, 64)
	wide := err == nil && (running == 0 || running >= need)
	remedy := cli(s.node) + " CONFIG REWRITE"
	if !wide {
		remedy = s.raise(s.enough(need))
	}
	a := failed(fmt.Sprintf("after a restart %s has maxmemory %s and needs %s: promoted then, it evicts or refuses writes at once", s.node.Address, size(limit), size(need)), remedy)
	a.masterToo = s.masterStartsAsSmall(limit)
	if wide || s.hostHas(s.enough(need)) {
		// Where the running limit is too small as well, its own fix comes
		// first: the file gets what runs then.
		a.fixes = []Fix{{Kind: FixRewrite, Node: s.node.Address, Parameter: "maxmemory"}}
	}
	return a
}

// masterStartsAsSmall is whether a restart gives the master no larger limit
// either: a CONFIG SET on every node that no file has yet.
func (s *subject) masterStartsAsSmall(limit int64) bool {
	if s.master.Drift == nil || s.master.Drift.Problem != "" {
		return false
	}
	s.reads.note(s.master, ofFile+"maxmemory")
	theirs, err := strconv.ParseInt(s.master.Drift.FileConfig["maxmemory"], 10, 64)
	if err != nil || theirs <= 0 {
		return false
	}
	s.show("maxmemory", bytesText(theirs), fileWhere(s.master, "maxmemory"))
	ok, _ := s.fits(limit, theirs)
	return ok
}
