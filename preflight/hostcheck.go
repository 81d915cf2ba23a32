package preflight

import (
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"
)

func hostChecks() []check {
	return []check{
		{Check{ID: "host_thp", Severity: Warns, Elsewhere: Warns}, ofNodes, hostTHP},
		{Check{ID: "host_overcommit", Severity: Warns, Elsewhere: Warns}, ofNodes, hostOvercommit},
		{Check{ID: "host_somaxconn", Severity: Warns}, ofPair, hostSomaxconn},
		{Check{ID: "host_swap", Severity: Warns, Elsewhere: Warns}, ofNodes, hostSwap},
		{Check{ID: "host_files", Severity: Warns}, ofPair, hostFiles},
		{Check{ID: "host_clock", Severity: Warns, Elsewhere: Warns}, ofNodes, hostClock},
		{Check{ID: "host_slow", Severity: Warns}, ofPair, hostSlow},
		{Check{ID: "host_evictions", Severity: Warns}, ofMaster, hostEvictions},
		{Check{ID: "host_log", Severity: Informs, Elsewhere: Informs}, ofNodes, hostLog},
		{Check{ID: "host_stalls", Severity: Warns}, ofPair, hostStalls},
	}
}

func hostTHP(s *subject) answer {
	h := s.host(s.node)
	// Not before 6.2, whose Redis does not switch it off for itself.
	disabled := s.configOf(s.node, "disable-thp", "no")
	if s.short() {
		return answer{}
	}
	if h.THP == "" {
		s.hostLack(s.node, "transparent huge pages", "host.thp")
		return answer{}
	}
	s.show("transparent_hugepage/enabled", h.THP, "/sys of "+s.node.Address)
	if h.THP == "always" && disabled == "yes" {
		return passed("always, but Redis switched them off for itself (disable-thp yes)")
	}
	return verdictOn(h.THP != "always", "transparent huge pages are "+h.THP,
		"transparent huge pages are on at "+s.node.Address+": a fork copies 2 MiB for every write, which costs memory and time",
		onHost(s.node, "echo never > /sys/kernel/mm/transparent_hugepage/enabled   # and at boot"))
}

func hostOvercommit(s *subject) answer {
	h := s.host(s.node)
	if s.short() {
		return answer{}
	}
	if h.Overcommit == "" {
		s.hostLack(s.node, "vm.overcommit_memory", "host.overcommit")
		return answer{}
	}
	s.show("vm.overcommit_memory", h.Overcommit, "/proc/sys of "+s.node.Address)
	return verdictOn(h.Overcommit == "1", "vm.overcommit_memory is 1",
		fmt.Sprintf("vm.overcommit_memory is %s at %s: a fork may be refused although there is memory, and then saving and full syncs fail", h.Overcommit, s.node.Address),
		onHost(s.node, "sysctl vm.overcommit_memory=1   # and in /etc/sysctl.d"))
}

func hostSomaxconn(s *subject) answer {
	backlog := s.configInt(s.node, "tcp-backlog")
	h := s.host(s.node)
	if s.short() {
		return answer{}
	}
	if h.Somaxconn < 0 {
		s.hostLack(s.node, "net.core.somaxconn", "host.somaxconn")
		return answer{}
	}
	s.show("net.core.somaxconn", strconv.FormatInt(h.Somaxconn, 10), "/proc/sys of "+s.node.Address)
	return verdictOn(h.Somaxconn >= backlog, fmt.Sprintf("somaxconn %d is no less than tcp-backlog %d", h.Somaxconn, backlog),
		fmt.Sprintf("somaxconn %d at %s cuts tcp-backlog %d: when every client reconnects after a failover, some are dropped", h.Somaxconn, s.node.Address, backlog),
		onHost(s.node, fmt.Sprintf("sysctl net.core.somaxconn=%d   # and in /etc/sysctl.d; then restart Redis", backlog)))
}

// swapSlack is what a kernel may have put away of a Redis' idle pages without
// anybody noticing.
const swapSlack = 16 << 20

func hostSwap(s *subject) answer {
	h := s.host(s.node)
	if s.short() {
		return answer{}
	}
	if h.RedisSwapped < 0 {
		s.hostLack(s.node, "the swapped memory of Redis", "host.swap")
		return answer{}
	}
	s.show("VmSwap of Redis", bytesText(h.RedisSwapped), "/proc of "+s.node.Address)
	return verdictOn(h.RedisSwapped <= swapSlack, "Redis is not swapped out",
		fmt.Sprintf("%s of Redis at %s are swapped out: it answers at the speed of the disk", size(h.RedisSwapped), s.node.Address),
		onHost(s.node, "free memory; sysctl vm.swappiness=1; then restart the replica"))
}

func hostFiles(s *subject) answer {
	clients := s.configInt(s.node, "maxclients")
	h := s.host(s.node)
	if s.short() {
		return answer{}
	}
	if h.FilesLimit < 0 {
		s.hostLack(s.node, "the file limit of Redis", "host.files")
		return answer{}
	}
	s.show("RLIMIT_NOFILE of Redis", strconv.FormatInt(h.FilesLimit, 10), "/proc of "+s.node.Address)
	const reserved = 32 // CONFIG_MIN_RESERVED_FDS of server.h
	return verdictOn(h.FilesLimit >= clients+reserved, fmt.Sprintf("%d files are enough for maxclients %d", h.FilesLimit, clients),
		fmt.Sprintf("Redis at %s may open %d files, too few for maxclients %d and the %d it needs itself", s.node.Address, h.FilesLimit, clients, reserved),
		onHost(s.node, fmt.Sprintf("LimitNOFILE=%d in the unit of Redis, and restart it", clients+reserved)))
}

// hostClock compares with the master's clock. The two were not read at one
// instant: an answer that is late looks like a clock that is slow.
func hostClock(s *subject) answer {
	h := s.host(s.node)
	if s.short() {
		return answer{}
	}
	if h.ClockUnsynchronised {
		return failed("the clock of "+s.node.Address+" is not kept by NTP: keys expire at other times after a failover", onHost(s.node, "timedatectl; systemctl enable --now systemd-timesyncd"))
	}
	if s.node == s.master {
		return passed("its clock is kept")
	}
	theirs := s.host(s.master)
	if s.short() {
		return answer{}
	}
	if h.Now.IsZero() || theirs.Now.IsZero() {
		s.hostLack(s.node, "the clock", "host.clock")
		return answer{}
	}
	apart := h.Now.Sub(theirs.Now).Abs()
	s.show("clock", h.Now.UTC().Format("15:04:05.000"), s.node.Address)
	s.show("clock", theirs.Now.UTC().Format("15:04:05.000"), s.master.Address)
	return verdictOn(apart <= s.policy.Clock, "its clock is the master's within "+s.policy.Clock.String(),
		fmt.Sprintf("the clocks of %s and %s are %s apart: keys expire at other times after a failover", s.node.Address, s.master.Address, apart.Round(time.Millisecond)),
		onHost(s.node, "timedatectl; chronyc tracking"))
}

func hostSlow(s *subject) answer {
	r := s.redis(s.node)
	if s.short() {
		return answer{}
	}
	if r.Slow == nil {
		s.lack("SLOWLOG of "+s.node.Address, gapWhy(s.node, "slowlog"), cli(s.node)+" SLOWLOG GET; the user of the watchdog needs +slowlog|get")
		return answer{}
	}
	if v := s.configOf(s.node, "slowlog-log-slower-than", "10000"); v == "-1" || v == "" {
		s.lack("SLOWLOG of "+s.node.Address, "it is off (slowlog-log-slower-than -1)", set(s.node, "slowlog-log-slower-than", "10000"))
		return answer{}
	}
	count, worst := 0, Slow{}
	for _, slow := range r.Slow {
		if slow.AgeSeconds > s.policy.SlowWindow.Seconds() || math.IsNaN(slow.AgeSeconds) || float64(slow.Microseconds) < float64(s.policy.SlowCommand.Microseconds()) {
			continue
		}
		count++
		if slow.Microseconds > worst.Microseconds {
			worst = slow
		}
	}
	if count == 0 {
		return passed("no slow commands of late")
	}
	s.show("slow command", fmt.Sprintf("%s, %d us, %.0f s ago", worst.Command, worst.Microseconds, worst.AgeSeconds), "SLOWLOG GET on "+s.node.Address)
	return failed(fmt.Sprintf("%d commands took longer than %s at %s of late; the slowest was %s with %d ms", count, s.policy.SlowCommand, s.node.Address, worst.Command, worst.Microseconds/1000),
		cli(s.node)+" SLOWLOG GET 10")
}

func hostEvictions(s *subject) answer {
	total := s.info(s.node, "evicted_keys")
	over := s.infoOf(s.node, "current_eviction_exceeded_time", "0")
	if s.short() {
		return answer{}
	}
	remedy := cli(s.node) + " INFO memory   # raise maxmemory on every node, if these keys were wanted"
	if over != "0" {
		return failed(fmt.Sprintf("%s has been above its maxmemory for %s ms", s.node.Address, over), remedy)
	}
	if rates := s.node.Rates; rates != nil && rates.Over > 0 {
		s.show("evicted of late", strconv.FormatInt(rates.EvictedKeys, 10), "INFO on "+s.node.Address+", sampled by its watchdog")
		return verdictOn(rates.EvictedKeys <= 0, "nothing was evicted of late",
			fmt.Sprintf("%s evicted %d keys within %s", s.node.Address, rates.EvictedKeys, rates.Over.Round(time.Second)), remedy)
	}
	return verdictOn(total == 0, "nothing was evicted since it started",
		fmt.Sprintf("%s evicted %d keys since it started", s.node.Address, total), remedy)
}

func hostLog(s *subject) answer {
	h := s.host(s.node)
	if s.short() {
		return answer{}
	}
	if why := gapWhy(s.node, "host.log"); h.LogFile == "" {
		return passed("Redis keeps no log file (syslog or the journal), so none was read")
	} else if h.Log == nil && why != "it was not read" {
		s.lack("the log of "+s.node.Address, why, onHost(s.node, "the watchdog must be able to read "+h.LogFile))
		return answer{}
	}
	for _, line := range h.Log {
		s.show("log", line.Text, orThe(h.LogFile, "the log")+" of "+s.node.Address)
	}
	if len(h.Log) == 0 {
		return passed("no warnings in its log")
	}
	last := h.Log[len(h.Log)-1]
	return failed(fmt.Sprintf("%d warnings in the log of %s; the last: %s", len(h.Log), s.node.Address, strings.TrimSpace(last.Text)), onHost(s.node, "less "+orThe(h.LogFile, "the log of Redis")))
}
