package preflight

import (
	"fmt"
	"maps"
	"net"
	"slices"
	"strconv"
	"strings"
	"time"
)

func sentinelChecks() []check {
	return []check{
		{Check{ID: "sentinel_agreement", Severity: Blocks}, ofGroup, sentinelAgreement},
		{Check{ID: "sentinel_able", Severity: Blocks}, ofGroup, sentinelAble},
		{Check{ID: "sentinel_calm", Severity: Blocks}, ofGroup, sentinelCalm},
		{Check{ID: "sentinel_candidate", Severity: Blocks}, ofCandidate, sentinelCandidate},
		{Check{ID: "sentinel_priority", Severity: Blocks}, ofCandidate, sentinelPriority},
		{Check{ID: "sentinel_rights", Severity: Warns, Elsewhere: Warns}, ofNodes, sentinelRights},
		{Check{ID: "sentinel_silent", Severity: Warns}, ofGroup, sentinelSilent},
		{Check{ID: "sentinel_tilt", Severity: Warns}, ofGroup, sentinelTilt},
		{Check{ID: "sentinel_quorum", Severity: Warns}, ofGroup, sentinelQuorum},
		{Check{ID: "sentinel_spread", Severity: Warns}, ofGroup, sentinelSpread},
		{Check{ID: "sentinel_replicas", Severity: Warns}, ofGroup, sentinelReplicas},
		{Check{ID: "sentinel_timing", Severity: Warns}, ofGroup, sentinelTiming},
	}
}

// known is how many Sentinels count: those that were asked, those any of them
// names, and those the agreement counted.
func (s *subject) known() int {
	known := max(len(s.facts.Sentinels), s.facts.Coordinator.Known)
	for _, one := range s.facts.Sentinels {
		if one.Error == "" {
			known = max(known, one.Others+1, len(one.Peers)+1)
		}
	}
	return known
}

func majority(of int) int { return of/2 + 1 }

// answering is the Sentinels that were heard; none of them is a gap.
func (s *subject) answering() []Sentinel {
	var heard []Sentinel
	for _, one := range s.facts.Sentinels {
		if one.Error == "" {
			heard = append(heard, one)
		}
	}
	if len(heard) == 0 {
		why := "none was asked"
		if len(s.facts.Sentinels) > 0 {
			why = s.facts.Sentinels[0].Error
		}
		s.lack("every Sentinel", why, "systemctl status redis-sentinel, on their hosts")
	}
	return heard
}

func sentinelCLI(address, command string) string { return cliAt(address) + " " + command }

func (s *subject) ask(address, command string) string {
	return sentinelCLI(address, "SENTINEL "+command+" "+s.facts.Group)
}

func sentinelAgreement(s *subject) answer {
	votes, known := map[string]int{}, s.known()
	type vote struct {
		master string
		epoch  uint64
	}
	tally := map[vote]int{}
	heard := s.answering()
	for _, one := range heard {
		votes[one.Master]++
		tally[vote{one.Master, one.Epoch}]++
		s.show("master", fmt.Sprintf("%s, epoch %d", orThe(one.Master, "none"), one.Epoch), "Sentinel "+one.Address)
	}
	if s.short() {
		return answer{}
	}
	remedy := s.ask(heard[0].Address, "MASTER") + "   # and each other; redis-watchdog status " + s.facts.Group
	for v, n := range tally {
		if n >= majority(known) && v.master != "" {
			return verdictOn(v.master == s.facts.Master,
				fmt.Sprintf("%d of %d Sentinels name %s at epoch %d", n, known, v.master, v.epoch),
				fmt.Sprintf("%d of %d Sentinels name %s, and the master of the truth is %s", n, known, v.master, orThe(s.facts.Master, "nobody")), remedy)
		}
	}
	most := 0
	for _, n := range tally {
		most = max(most, n)
	}
	return failed(fmt.Sprintf("no majority of the %d known Sentinels names one master at one epoch: %d answer, at most %d agree", known, len(heard), most), remedy)
}

func sentinelAble(s *subject) answer {
	known, able, quorum := s.known(), 0, 0
	why := ""
	heard := s.answering()
	for _, one := range heard {
		quorum = max(quorum, one.Quorum)
		s.show("CKQUORUM", orThe(one.CKQuorum, "no answer"), "Sentinel "+one.Address)
		switch {
		case one.Tilt:
			why = one.Address + " is in TILT"
		case one.TiltUnknown != "":
			why = "whether " + one.Address + " is in TILT it does not say (" + one.TiltUnknown + ")"
		case !one.CKQuorumOK:
			why = fmt.Sprintf("%s says %s", one.Address, orThe(one.CKQuorum, "nothing"))
		default:
			able++
		}
	}
	if s.short() {
		return answer{}
	}
	need := max(quorum, majority(known))
	bad := fmt.Sprintf("%d of %d Sentinels can carry out a failover and %d are needed", able, known, need)
	if why != "" {
		bad += ": " + why
	}
	return verdictOn(able >= need, fmt.Sprintf("%d of %d Sentinels can carry out a failover", able, known), bad, s.ask(heard[0].Address, "CKQUORUM"))
}

// sentinelCalm is whether anything is going on already. The cool-down after an
// attempt that failed (2 x failover-timeout) is in no answer of Sentinel's; a
// failover asked for is not subject to it.
func sentinelCalm(s *subject) answer {
	var busy []string
	heard := s.answering()
	for _, one := range heard {
		s.show("flags", orThe(one.Flags, "none"), "Sentinel "+one.Address)
		for _, flag := range strings.Split(one.Flags, ",") {
			switch flag {
			case "s_down", "o_down", "failover_in_progress":
				busy = append(busy, one.Address+" shows "+flag)
			}
		}
		if one.FailoverState != "" && one.FailoverState != "none" {
			busy = append(busy, one.Address+" is at "+one.FailoverState)
		}
	}
	if s.short() {
		return answer{}
	}
	return verdictOn(len(busy) == 0, "the Sentinels see the master well, and no failover runs",
		"a failover is running or about to: "+strings.Join(busy, "; "), "wait until it is over; "+s.ask(heard[0].Address, "MASTER"))
}

// sentinelCandidate is what sentinelSelectSlave looks at (sentinel.c).
func sentinelCandidate(s *subject) answer {
	var blind []string
	heard := s.answering()
	for _, one := range heard {
		i := slices.IndexFunc(one.Replicas, func(v SentinelView) bool { return v.Address == s.node.Address })
		if i < 0 {
			blind = append(blind, one.Address+" does not list it")
			continue
		}
		v := one.Replicas[i]
		s.show("replica", fmt.Sprintf("flags %s, link %s, PONG %s ago, INFO %s ago", v.Flags, v.LinkStatus, v.PongAge.Round(time.Millisecond), v.InfoAge.Round(time.Millisecond)), "Sentinel "+one.Address)
		flags := strings.Split(v.Flags, ",")
		switch {
		case slices.Contains(flags, "s_down"), slices.Contains(flags, "o_down"), slices.Contains(flags, "disconnected"):
			blind = append(blind, fmt.Sprintf("%s shows it %s", one.Address, v.Flags))
		case v.Reported != "" && v.Reported != "slave":
			blind = append(blind, fmt.Sprintf("%s saw it as %s", one.Address, v.Reported))
		case v.LinkStatus != "ok":
			blind = append(blind, fmt.Sprintf("%s shows its link %s", one.Address, orThe(v.LinkStatus, "unknown")))
		case v.PongAge > 5*time.Second:
			blind = append(blind, fmt.Sprintf("%s has had no PONG of it for %s", one.Address, v.PongAge.Round(time.Second)))
		case v.InfoAge > 30*time.Second:
			blind = append(blind, fmt.Sprintf("%s has had no INFO of it for %s", one.Address, v.InfoAge.Round(time.Second)))
		}
	}
	if s.short() {
		return answer{}
	}
	return verdictOn(len(blind) == 0, fmt.Sprintf("%d Sentinels see %s well", len(heard), s.node.Address),
		fmt.Sprintf("whichever Sentinel leads must be able to choose %s: %s", s.node.Address, strings.Join(blind, "; ")), s.ask(heard[0].Address, "REPLICAS"))
}

// sentinelPriority is the operator's own: what the veto put there is another
// check's affair.
func sentinelPriority(s *subject) answer {
	running := s.config(s.node, "replica-priority")
	if s.short() {
		return answer{}
	}
	own := running
	if d := s.node.Watchdog; d != nil && d.Veto && running == "0" && d.OwnPriority != "" {
		own = d.OwnPriority
		s.show("replica-priority", own, "what the operator set, by the watchdog of "+s.node.Address)
	}
	return verdictOn(own != "0", "replica-priority "+own,
		s.node.Address+" has replica-priority 0: no Sentinel promotes it", set(s.node, "replica-priority", "100")+"   # if it may be promoted; then CONFIG REWRITE")
}

func sentinelRights(s *subject) answer {
	r := s.redis(s.node)
	if r == nil {
		return answer{}
	}
	if r.SentinelLacks == nil {
		s.lack("the rights of Sentinel at "+s.node.Address, gapWhy(s.node, "sentinel_rights", "acl"), cli(s.node)+" CLIENT LIST; ACL LIST")
		return answer{}
	}
	if len(r.SentinelLacks) == 0 {
		return failed("no Sentinel is connected to "+s.node.Address, cli(s.node)+" CLIENT LIST TYPE normal | grep name=sentinel")
	}
	for _, user := range slices.Sorted(maps.Keys(r.SentinelLacks)) {
		lacks := r.SentinelLacks[user]
		s.show("user "+user, orThe(strings.Join(lacks, " "), "lacks nothing"), s.by(s.node, "ACL"))
		if len(lacks) > 0 {
			return failed(fmt.Sprintf("Sentinel's user %s may not run %s at %s: it cannot promote or re-point it", user, strings.Join(lacks, ", "), s.node.Address),
				cli(s.node)+" ACL SETUSER "+user+" +"+strings.Join(lacks, " +"))
		}
	}
	return passed("Sentinel may run what it needs")
}

func sentinelSilent(s *subject) answer {
	var silent []string
	for _, one := range s.facts.Sentinels {
		if one.Error != "" {
			silent = append(silent, one.Address+": "+one.Error)
		}
	}
	if known := s.known(); known > len(s.facts.Sentinels) {
		silent = append(silent, fmt.Sprintf("%d more are counted and were not asked", known-len(s.facts.Sentinels)))
	}
	s.answering()
	if s.short() {
		return answer{}
	}
	return verdictOn(len(silent) == 0, fmt.Sprintf("all %d Sentinels answer", len(s.facts.Sentinels)),
		"Sentinels do not answer: "+strings.Join(silent, "; "), "start them, or, where one is gone for good, SENTINEL RESET "+s.facts.Group+" at each of the others, one after the other")
}

func sentinelTilt(s *subject) answer {
	var tilted []string
	for _, one := range s.answering() {
		if one.Tilt {
			tilted = append(tilted, one.Address)
		}
		if one.TiltUnknown != "" {
			s.lack("whether "+one.Address+" is in TILT", one.TiltUnknown, sentinelCLI(one.Address, "INFO sentinel"))
		}
	}
	if s.short() {
		return answer{}
	}
	return verdictOn(len(tilted) == 0, "no Sentinel is in TILT", "in TILT, so without action for 30 s: "+strings.Join(tilted, ", "),
		"wait 30 s; where it comes again, the host pauses or its clock is stepped")
}

func sentinelQuorum(s *subject) answer {
	known := s.known()
	quorums := map[int]string{}
	for _, one := range s.answering() {
		quorums[one.Quorum] = one.Address
		s.show("quorum", strconv.Itoa(one.Quorum), "Sentinel "+one.Address)
	}
	if s.short() {
		return answer{}
	}
	remedy := fmt.Sprintf("SENTINEL SET %s quorum %d, at each Sentinel", s.facts.Group, majority(known))
	for _, q := range slices.Sorted(maps.Keys(quorums)) {
		switch {
		case q < majority(known):
			return failed(fmt.Sprintf("quorum %d at %s is below the majority (%d) of %d Sentinels: a minority holds the master down", q, quorums[q], majority(known), known), remedy)
		case q > known:
			return failed(fmt.Sprintf("quorum %d at %s is more than the %d Sentinels there are: no failover can happen", q, quorums[q], known), remedy)
		case len(quorums) > 1:
			return failed(fmt.Sprintf("the Sentinels have different quorums: %v", slices.Sorted(maps.Keys(quorums))), remedy)
		}
	}
	return passed("quorum is alike everywhere, and no less than a majority")
}

func sentinelSpread(s *subject) answer {
	hosts := map[string]int{}
	for _, one := range s.facts.Sentinels {
		host, _, err := net.SplitHostPort(one.Address)
		if err != nil {
			host = one.Address
		}
		hosts[host]++
	}
	known := s.known()
	if s.answering(); s.short() {
		return answer{}
	}
	most, where := 0, ""
	for _, host := range slices.Sorted(maps.Keys(hosts)) {
		if hosts[host] > most {
			most, where = hosts[host], host
		}
	}
	switch {
	case known < 3:
		return failed(fmt.Sprintf("%d Sentinels are known: the loss of one ends failovers", known), "run three or five, each on a host of its own")
	case known-most < majority(known):
		return failed(fmt.Sprintf("%d of %d Sentinels are on %s: without that host there is no majority", most, known, where), "run three or five, each on a host of its own")
	}
	return passed(fmt.Sprintf("%d Sentinels on %d hosts", known, len(hosts)))
}

func sentinelReplicas(s *subject) answer {
	seen := map[string]int{}
	heard := s.answering()
	var differ []string
	for _, one := range heard {
		for _, v := range one.Replicas {
			seen[v.Address]++
		}
		for _, u := range one.Unread {
			differ = append(differ, fmt.Sprintf("%s in %s of %s was left out: %s", u.Name, u.In, one.Address, u.Why))
		}
	}
	if s.short() {
		return answer{}
	}
	for _, address := range slices.Sorted(maps.Keys(seen)) {
		if seen[address] < len(heard) {
			differ = append(differ, fmt.Sprintf("%s is listed by %d of %d", address, seen[address], len(heard)))
		} else if n := find(s.facts, address); n == nil {
			differ = append(differ, address+" is listed and is no node of the group")
		}
	}
	return verdictOn(len(differ) == 0, "the Sentinels list the same replicas", "the Sentinels list different replicas, or what is none: "+strings.Join(differ, "; "),
		"SENTINEL RESET "+s.facts.Group+" at each Sentinel, one after the other, 30 s apart, while no backup runs; where one answers no more, repair it first")
}

func sentinelTiming(s *subject) answer {
	spans := map[time.Duration]string{}
	var least time.Duration
	for i, one := range s.answering() {
		spans[one.DownAfter] = one.Address
		s.show("down-after-milliseconds", strconv.FormatInt(one.DownAfter.Milliseconds(), 10), "Sentinel "+one.Address)
		if i == 0 || one.DownAfter < least {
			least = one.DownAfter
		}
	}
	if s.short() {
		return answer{}
	}
	switch {
	case least <= 2*time.Second:
		return failed(fmt.Sprintf("down-after-milliseconds %d at %s leaves the fence too little time: that it fires before a promotion is not promised at 2 s and below", least.Milliseconds(), spans[least]),
			fmt.Sprintf("SENTINEL SET %s down-after-milliseconds 5000, at each Sentinel", s.facts.Group))
	case len(spans) > 1:
		return failed(fmt.Sprintf("the Sentinels have different down-after-milliseconds; the smallest is %d at %s", least.Milliseconds(), spans[least]),
			fmt.Sprintf("SENTINEL SET %s down-after-milliseconds %d, at each Sentinel", s.facts.Group, least.Milliseconds()))
	}
	return passed(fmt.Sprintf("down-after-milliseconds is %d everywhere", least.Milliseconds()))
}
