package preflight

import (
	"fmt"
	"math"
	"strconv"
	"time"
)

// What promotion does to memory: a replica ignores its own limit
// (replica-ignore-maxmemory), a master does not. The first command after the
// promotion evicts down to it (Redis evict.c, isSafeToPerformEvictions).

func memoryChecks() []check {
	return []check{
		{Check{ID: "memory_limit_running", Severity: Blocks, Veto: true}, ofCandidate, memoryLimitRunning},
		{Check{ID: "memory_limit_file", Severity: Blocks, Veto: true}, ofCandidate, memoryLimitFile},
		{Check{ID: "memory_policy", Severity: Blocks, Veto: true}, ofCandidate, memoryPolicy},
		{Check{ID: "memory_limit_lower", Severity: Warns}, ofCandidate, memoryLimitLower},
		{Check{ID: "memory_host", Severity: Blocks, Veto: true}, ofCandidate, memoryHost},
		{Check{ID: "memory_host_fork", Severity: Warns}, ofCandidate, memoryHostFork},
		{Check{ID: "memory_limit_host", Severity: Warns}, ofPair, memoryLimitHost},
		{Check{ID: "memory_trend", Severity: Warns}, ofCandidate, memoryTrend},
	}
}

// memoryPolicy is about what goes at the limit, not about the order it goes in:
// that is a setting like others (parity_settings).
func memoryPolicy(s *subject) answer {
	theirs, ours := s.config(s.master, "maxmemory-policy"), s.config(s.node, "maxmemory-policy")
	limit := s.configBytes(s.node, "maxmemory")
	if s.short() {
		return answer{}
	}
	same := evicted(theirs) == evicted(ours)
	if !same && limit == 0 {
		return passed(fmt.Sprintf("%s against the master's %s, without effect: %s has no limit", ours, theirs, s.node.Address))
	}
	a := verdictOn(same, "at the limit both evict "+evicted(ours),
		fmt.Sprintf("%s evicts by %s, the master by %s: at the limit other keys go, or writes are refused that were not", s.node.Address, ours, theirs),
		set(s.node, "maxmemory-policy", theirs)+"\n"+cli(s.node)+" CONFIG REWRITE")
	if a.outcome == Failed {
		a.fixes = []Fix{{Kind: FixSet, Node: s.node.Address, Parameter: "maxmemory-policy", Value: theirs, Was: ours}}
	}
	return a
}

func memoryLimitLower(s *subject) answer {
	theirs, ours := s.configBytes(s.master, "maxmemory"), s.configBytes(s.node, "maxmemory")
	if s.short() {
		return answer{}
	}
	good := fmt.Sprintf("maxmemory %s is no less than the master's %s", limitText(ours), limitText(theirs))
	bad := fmt.Sprintf("%s has maxmemory %s, the master %s: as a master it is full earlier", s.node.Address, limitText(ours), limitText(theirs))
	remedy := "choose one maxmemory for every node, at most three quarters of the smallest host's memory; the master has none"
	if theirs > 0 {
		remedy = s.raise(theirs)
	}
	a := verdictOn(ours == 0 || theirs != 0 && ours >= theirs, good, bad, remedy)
	if a.outcome == Failed && theirs > 0 && s.hostHas(theirs) {
		a.fixes = []Fix{{Kind: FixSet, Node: s.node.Address, Parameter: "maxmemory", Value: strconv.FormatInt(theirs, 10), Was: strconv.FormatInt(ours, 10)}}
	}
	return a
}

func limitText(v int64) string {
	if v == 0 {
		return "0 (none)"
	}
	return size(v)
}

// memoryHost is of no use where the master's own host has as little: it is
// there that the data lives today, and the promotion makes that no worse.
func memoryHost(s *subject) answer {
	need := s.needed()
	limit := s.configBytes(s.node, "maxmemory")
	total := s.memoryTotal(s.node)
	if s.short() {
		return answer{}
	}
	if limit > 0 {
		need = min(need, limit) // it never holds more
	}
	if total >= need {
		return passed(fmt.Sprintf("the host's %s hold the %s that are needed", size(total), size(need)))
	}
	theirs := s.memoryTotal(s.master)
	if s.short() {
		return answer{}
	}
	return verdictOn(near(total, theirs),
		fmt.Sprintf("the host has %s of memory, as the master's has; the data needs %s", size(total), size(need)),
		fmt.Sprintf("the host of %s has %s of memory and the data needs %s: the kernel kills it before it is full", s.node.Address, size(total), size(need)),
		onHost(s.node, "give it more memory (or the cgroup of Redis: systemctl set-property UNIT MemoryMax=…), or choose another replica"))
}

func (s *subject) memoryTotal(n *Node) int64 {
	h := s.host(n)
	if h == nil {
		return 0
	}
	if h.MemoryTotal <= 0 {
		s.hostLack(n, "the memory", "host.memory")
		return 0
	}
	s.show("memory of the host", bytesText(h.MemoryTotal), "/proc/meminfo and the cgroup of "+n.Address)
	return h.MemoryTotal
}

// forks is whether Redis forks to save by itself.
func (s *subject) forks(n *Node) bool {
	return s.config(n, "save") != "" || s.config(n, "appendonly") == "yes"
}

func memoryHostFork(s *subject) answer {
	used := s.infoBytes(s.node, "used_memory")
	saves := s.forks(s.node)
	h := s.host(s.node)
	if s.short() {
		return answer{}
	}
	if h.MemoryTotal <= 0 {
		s.hostLack(s.node, "the memory", "host.memory")
		return answer{}
	}
	if h.MemoryAvailable < 0 {
		s.hostLack(s.node, "the available memory", "host.available")
		return answer{}
	}
	need := int64(math.Min(math.Ceil(float64(used)*s.policy.CopyOnWrite), math.MaxInt64/2))
	s.show("memory available", bytesText(h.MemoryAvailable), "/proc/meminfo and the cgroup of "+s.node.Address)
	what := "a full sync of a replica"
	if saves {
		what = "saving"
	}
	return verdictOn(h.MemoryAvailable >= need,
		fmt.Sprintf("%s are available, %s may be copied while a fork runs", size(h.MemoryAvailable), size(need)),
		fmt.Sprintf("the host of %s has %s available; while %s forks, up to %s may be copied on write", s.node.Address, size(h.MemoryAvailable), what, size(need)),
		onHost(s.node, "free memory, or give it more; ps -eo rss,args --sort=-rss | head"))
}

func memoryLimitHost(s *subject) answer {
	limit := s.configBytes(s.node, "maxmemory")
	if s.short() {
		return answer{}
	}
	total := s.memoryTotal(s.node)
	if s.short() {
		return answer{}
	}
	if limit == 0 {
		return failed(fmt.Sprintf("%s has no maxmemory: the host's %s are its limit, and the kernel kills what reaches it", s.node.Address, size(total)),
			set(s.node, "maxmemory", strconv.FormatInt(total/4*3, 10))+"\n"+cli(s.node)+" CONFIG REWRITE")
	}
	return verdictOn(limit <= total,
		fmt.Sprintf("maxmemory %s is below the host's %s", size(limit), size(total)),
		fmt.Sprintf("%s may use %s, and its host has %s: the kernel kills it before it evicts", s.node.Address, size(limit), size(total)),
		onHost(s.node, "give it more memory, or lower maxmemory on every node"))
}

func memoryTrend(s *subject) answer {
	limit := s.configBytes(s.node, "maxmemory")
	counted := s.counted(s.master)
	total := s.memoryTotal(s.node)
	if s.short() {
		return answer{}
	}
	if s.master.Rates == nil || s.master.Rates.Over <= 0 {
		s.lack("the growth of "+s.master.Address, gapWhy(s.master, "rates", "report"), "ask again in some minutes: its watchdog samples it")
		return answer{}
	}
	if limit == 0 || limit > total {
		limit = total
	}
	growth := s.master.Rates.UsedMemory
	s.show("growth", fmt.Sprintf("%.0f bytes/s over %s", growth, s.master.Rates.Over.Round(time.Second)), "INFO on "+s.master.Address+", sampled by its watchdog")
	left := Until(limit-counted, growth)
	if left == never {
		return passed("the data does not grow")
	}
	return verdictOn(left >= s.policy.Trend,
		fmt.Sprintf("at the present growth the limit is %s away", left.Round(time.Minute)),
		fmt.Sprintf("at the present growth %s reaches its limit of %s in %s", s.node.Address, size(limit), left.Round(time.Minute)),
		set(s.node, "maxmemory", strconv.FormatInt(grow(max(limit, counted), 0.5), 10))+"   # and on every node")
}

const never = time.Duration(math.MaxInt64)

// Until is how long a room of that many bytes lasts at that growth in bytes a
// second. The longest Duration: for ever.
func Until(room int64, growth float64) time.Duration {
	if room <= 0 {
		return 0
	}
	if !(growth > 0) {
		return never
	}
	seconds := float64(room) / growth
	if seconds >= never.Seconds() {
		return never
	}
	return time.Duration(seconds * float64(time.Second))
}
