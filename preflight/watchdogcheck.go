package preflight

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
)

func watchdogChecks() []check {
	return []check{
		{Check{ID: "coordinator_healthy", Severity: Blocks}, ofGroup, coordinatorHealthy},
		{Check{ID: "coordinator_members", Severity: Warns}, ofGroup, coordinatorMembers},
		{Check{ID: "coordinator_writable", Severity: Blocks}, ofGroup, coordinatorWritable},
		{Check{ID: "coordinator_stale_reads", Severity: Warns}, ofGroup, coordinatorStale},
		{Check{ID: "coordinator_agreement", Severity: Blocks}, ofGroup, coordinatorAgreement},
		{Check{ID: "grant_held", Severity: Blocks}, ofGroup, grantHeld},
		{Check{ID: "maintenance", Severity: Blocks}, ofGroup, maintenance},
		{Check{ID: "watchdog_covers", Severity: Blocks, Elsewhere: Warns}, ofNodes, watchdogCovers},
		{Check{ID: "watchdog_report", Severity: Blocks, Elsewhere: Warns}, ofNodes, watchdogReport},
		{Check{ID: "watchdog_fence", Severity: Blocks, Elsewhere: Warns}, ofNodes, watchdogFence},
		{Check{ID: "watchdog_faults", Severity: Warns, Elsewhere: Warns}, ofNodes, watchdogFaults},
		{Check{ID: "watchdog_veto", Severity: Blocks}, ofCandidate, watchdogVeto},
		{Check{ID: "watchdog_versions", Severity: Informs}, ofGroup, watchdogVersions},
		{Check{ID: idLockScripts, Severity: Blocks, Elsewhere: Warns}, ofNodes, lockScripts},
	}
}

// coordinator is etcd as it was found; nothing read is recorded as missing.
func (s *subject) coordinator() *Coordinator {
	c := &s.facts.Coordinator
	switch {
	case c.Error != "":
		s.lack("etcd", c.Error, "etcdctl endpoint health --cluster")
	case len(c.Members) == 0:
		s.lack("etcd", "no member was asked", "etcdctl endpoint health --cluster")
	}
	return c
}

func coordinatorHealthy(s *subject) answer {
	c := s.coordinator()
	if s.short() {
		return answer{}
	}
	well, voting := 0, 0
	for _, m := range c.Members {
		if m.Learner {
			s.show("etcd", "a learner", m.Endpoint)
			continue
		}
		voting++
		s.show("etcd", orThe(m.Error, "answers, "+m.Version), m.Endpoint)
		if m.Error == "" {
			well++
		}
	}
	return verdictOn(voting > 0 && well >= majority(voting), fmt.Sprintf("%d of %d members of etcd answer", well, voting),
		fmt.Sprintf("%d of %d members of etcd answer, which is no majority", well, voting), "etcdctl endpoint health --cluster")
}

func coordinatorMembers(s *subject) answer {
	c := s.coordinator()
	var ill []string
	for _, m := range c.Members {
		switch {
		case m.Error != "":
			ill = append(ill, m.Endpoint+": "+m.Error)
		case m.Learner:
			ill = append(ill, m.Endpoint+": it is a learner, which answers no request")
		}
	}
	if s.short() {
		return answer{}
	}
	return verdictOn(len(ill) == 0, "every member of etcd answers", "members of etcd do not answer: "+strings.Join(ill, "; "), "etcdctl endpoint status --cluster")
}

func coordinatorWritable(s *subject) answer {
	c := s.coordinator()
	if s.short() {
		return answer{}
	}
	s.show("a write that is not made", orThe(c.Unwritable, "would be taken"), "etcd")
	return verdictOn(c.Unwritable == "", "etcd takes writes",
		"etcd takes no writes: "+c.Unwritable+". The grant could not be moved, and the new master would stay locked",
		"redis-watchdog status "+s.facts.Group+"   # the fault etcd_nospace, etcd_read_only or etcd_corrupt has the commands")
}

// staleReads is whether an etcd may answer a linearizable read with old data
// after a pause (etcd issue 20418); ok is false for what is no version.
func staleReads(version string) (stale, ok bool) {
	parts := strings.SplitN(strings.TrimPrefix(version, "v"), ".", 3)
	var v [3]int
	if len(parts) != 3 {
		return false, false
	}
	for i, part := range parts {
		if i == 2 {
			part, _, _ = strings.Cut(part, "-")
			part, _, _ = strings.Cut(part, "+")
		}
		n, err := strconv.Atoi(part)
		if err != nil {
			return false, false
		}
		v[i] = n
	}
	fixed := map[[2]int]int{{3, 4}: 42, {3, 5}: 28, {3, 6}: 9}
	patch, listed := fixed[[2]int{v[0], v[1]}]
	switch {
	case listed:
		return v[2] < patch, true
	default:
		return v[0] < 3 || v[0] == 3 && v[1] < 4, true
	}
}

func coordinatorStale(s *subject) answer {
	c := s.coordinator()
	var old []string
	for _, m := range c.Members {
		if m.Error != "" {
			continue // it is named by another check
		}
		s.show("etcd", orThe(m.Version, "no version"), m.Endpoint)
		stale, ok := staleReads(m.Version)
		if !ok {
			s.lack("the version of etcd at "+m.Endpoint, fmt.Sprintf("%q is none", m.Version), "etcdctl endpoint status --cluster")
		}
		if stale {
			old = append(old, m.Endpoint+" ("+m.Version+")")
		}
	}
	if s.short() {
		return answer{}
	}
	return verdictOn(len(old) == 0, "no member of etcd has the stale-read fault",
		"members of etcd may answer reads with old data after a pause: "+strings.Join(old, ", ")+"; nothing here rests on a read alone, but readers of the agreement do",
		"upgrade etcd to 3.4.42, 3.5.28, 3.6.9 or later")
}

func coordinatorAgreement(s *subject) answer {
	c := s.coordinator()
	if s.short() {
		return answer{}
	}
	s.show("agreement", fmt.Sprintf("%s, generation %d, epoch %d", orThe(c.Agreement, "none"), c.Generation, c.Epoch), "etcd")
	if c.Agreement == "" {
		return failed("etcd holds no agreement for "+s.facts.Group, "redis-watchdog status "+s.facts.Group)
	}
	return verdictOn(c.Agreement == s.facts.Master, "etcd agrees on "+c.Agreement,
		fmt.Sprintf("etcd says the master is %s, the truth is %s", c.Agreement, orThe(s.facts.Master, "nobody")), "redis-watchdog status "+s.facts.Group)
}

func grantHeld(s *subject) answer {
	c := s.coordinator()
	if s.short() {
		return answer{}
	}
	s.show("grant", orThe(c.Holder, "nobody"), "etcd")
	return verdictOn(c.Holder != "" && c.Holder == s.facts.Master, "the master holds the grant",
		fmt.Sprintf("the grant is held by %s, the master is %s", orThe(c.Holder, "nobody"), orThe(s.facts.Master, "nobody")), "redis-watchdog status "+s.facts.Group)
}

func maintenance(s *subject) answer {
	c := s.coordinator()
	if s.short() {
		return answer{}
	}
	local := ""
	for _, n := range s.facts.Nodes {
		if n.Watchdog != nil && n.Watchdog.Maintenance {
			local = n.Address
		}
	}
	bad := "maintenance is on: the watchdogs change nothing, so a promoted Redis would stay locked"
	if local != "" {
		bad += " (at " + local + ")"
	}
	return verdictOn(!c.Maintenance && local == "", "no maintenance", bad, "redis-watchdog maintenance off "+s.facts.Group)
}

func watchdogCovers(s *subject) answer {
	d := s.watchdog(s.node)
	if d == nil {
		why := gapWhy(s.node, "report", "watchdog")
		if why != "it was not read" && why != NobodyReports {
			return answer{}
		}
		s.missing = nil // it is certain: nobody reports
		return failed("no live watchdog covers "+s.node.Address+": promoted, nobody fences it; demoted, nobody unlocks it", onHost(s.node, "systemctl start redis-watchdog"))
	}
	s.show("watchdog", orThe(d.Version, "no version")+", phase "+orThe(d.Phase, "unknown"), "its report in etcd, "+s.node.Address)
	return passed("a watchdog covers " + s.node.Address)
}

func watchdogReport(s *subject) answer {
	if s.node.Watchdog == nil {
		s.watchdog(s.node)
		return answer{}
	}
	if s.node.Answers == "" {
		s.lack("a report of "+s.node.Address+" as young as this question", fmt.Sprintf("there is only the one that it wrote at %s, by its own clock", s.node.At.UTC().Format("2006-01-02T15:04:05Z")),
			onHost(s.node, "systemctl status redis-watchdog"))
		return answer{}
	}
	return passed("its watchdog answered this very question")
}

func watchdogFence(s *subject) answer {
	d := s.watchdog(s.node)
	if d == nil {
		return answer{}
	}
	s.show("guarded", strconv.FormatBool(d.Guarded), "its report in etcd, "+s.node.Address)
	switch {
	case len(d.Missing) > 0:
		s.show("missing rights", strings.Join(d.Missing, " "), "its report in etcd, "+s.node.Address)
		return failed(fmt.Sprintf("the watchdog of %s may not run %s: the fence cannot act", s.node.Address, strings.Join(d.Missing, " ")),
			rightsRemedy(s.node, d))
	case !d.Guarded && !slices.Equal(d.Faults, []string{idLockScripts}): // that has a check of its own, and the fence is armed
		return failed(s.node.Address+" is not guarded: "+orThe(strings.Join(d.Faults, ", "), orThe(d.Reason, "its watchdog says no reason")),
			onHost(s.node, "redis-watchdog status "+s.facts.Group))
	}
	return passed("the fence of " + s.node.Address + " can act")
}

// rightsRemedy is what gives a watchdog what it may not run: no right gives a
// command that Redis does not know.
func rightsRemedy(n *Node, d *Watchdog) string {
	file := "redis.conf"
	if n.Drift != nil {
		file = orThe(n.Drift.File, file)
	}
	var lines []string
	if len(d.Unknown) > 0 {
		lines = append(lines, onHost(n, "grep -i rename-command "+file+"   # "+strings.Join(d.Unknown, ", ")+
			": another name goes under commands: in the watchdog's configuration; one that was taken away comes back when that line is deleted and Redis restarted"))
	}
	denied := slices.DeleteFunc(slices.Clone(d.Missing), func(right string) bool {
		command, _, _ := strings.Cut(strings.ToUpper(strings.TrimPrefix(right, "+")), "|")
		command, _, _ = strings.Cut(command, " ")
		return slices.Contains(d.Unknown, command)
	})
	if len(denied) > 0 {
		lines = append(lines, cli(n)+" ACL SETUSER "+orThe(d.User, "default")+" "+strings.Join(denied, " "))
	}
	return strings.Join(lines, "\n")
}

func watchdogFaults(s *subject) answer {
	d := s.watchdog(s.node)
	if d == nil {
		return answer{}
	}
	return verdictOn(len(d.Faults) == 0, "its watchdog has no faults", fmt.Sprintf("the watchdog of %s has faults: %s", s.node.Address, strings.Join(d.Faults, ", ")),
		onHost(s.node, "redis-watchdog status "+s.facts.Group))
}

func watchdogVeto(s *subject) answer {
	d := s.watchdog(s.node)
	if d == nil {
		return answer{}
	}
	s.show("veto", strconv.FormatBool(d.Veto), "its report in etcd, "+s.node.Address)
	return verdictOn(!d.Veto, "no veto is set",
		fmt.Sprintf("the watchdog of %s vetoes it: %s", s.node.Address, orThe(strings.Join(d.VetoReasons, ", "), "no reason is given")),
		"remove the reason; the veto is lifted as soon as it is gone")
}

func watchdogVersions(s *subject) answer {
	first, other := "", ""
	for _, n := range s.facts.Nodes {
		if n.Watchdog == nil || n.Watchdog.Version == "" {
			continue
		}
		s.show("version", n.Watchdog.Version, "its report in etcd, "+n.Address)
		if first == "" {
			first = n.Watchdog.Version
		}
		if n.Watchdog.Version != first {
			other = n.Watchdog.Version
		}
	}
	if first == "" {
		s.lack("the watchdogs' versions", "none reports", "redis-watchdog status "+s.facts.Group)
	}
	return verdictOn(other == "", "the watchdogs are of one version", fmt.Sprintf("the watchdogs are of versions %s and %s", first, other), "upgrade them all: systemctl restart redis-watchdog after it")
}
