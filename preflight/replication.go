package preflight

import (
	"cmp"
	"fmt"
	"maps"
	"math"
	"net"
	"slices"
	"strconv"
	"strings"
	"time"
)

func replicationChecks() []check {
	return []check{
		{Check{ID: idCandidate, Severity: Blocks}, 0, nil}, // Judge finds that itself
		{Check{ID: "replication_answers", Severity: Blocks, Elsewhere: Warns}, ofNodes, replicationAnswers},
		{Check{ID: "replication_master", Severity: Blocks}, ofMaster, replicationMaster},
		{Check{ID: "replication_link", Severity: Blocks}, ofCandidate, replicationLink},
		{Check{ID: "replication_data", Severity: Blocks, Elsewhere: Warns, Veto: true}, ofCandidate | ofBystander, replicationData},
		{Check{ID: "replication_lineage", Severity: Blocks, Elsewhere: Blocks, Veto: true}, ofCandidate | ofBystander, replicationLineage},
		{Check{ID: "replication_lag", Severity: Blocks}, ofCandidate, replicationLag},
		{Check{ID: "replication_keys", Severity: Blocks}, ofCandidate, replicationKeys},
		{Check{ID: "replication_sync", Severity: Warns}, ofMaster, replicationSync},
		{Check{ID: "replication_backlog", Severity: Warns}, ofCandidate, replicationBacklog},
		{Check{ID: "replication_read_only", Severity: Warns, Elsewhere: Informs}, ofCandidate | ofBystander, replicationReadOnly},
		{Check{ID: "replication_probe", Severity: Blocks}, ofCandidate, replicationProbe},
		{Check{ID: "replication_refused", Severity: Blocks, Elsewhere: Warns, Veto: true}, ofCandidate | ofBystander, replicationRefused},
	}
}

func replicationAnswers(s *subject) answer {
	role := s.infoText(s.node, "role")
	if s.short() {
		return answer{}
	}
	if role != "master" && role != "slave" {
		s.lack("the role of "+s.node.Address, fmt.Sprintf("%q is none", role), cli(s.node)+" ROLE")
	}
	return passed(s.node.Address + " answers")
}

func replicationMaster(s *subject) answer {
	role := s.infoText(s.node, "role")
	// 6.2 and later.
	failover := s.infoOf(s.node, "master_failover_state", "no-failover")
	if s.short() {
		return answer{}
	}
	if role != "master" {
		return failed(s.node.Address+" is named as the master and says it is a replica", "redis-watchdog status "+s.facts.Group)
	}
	return verdictOn(failover == "no-failover", s.node.Address+" is a master",
		fmt.Sprintf("%s is handing over by itself (FAILOVER, %s)", s.node.Address, failover), cli(s.node)+" FAILOVER ABORT   # or wait until it is over")
}

func replicationLink(s *subject) answer {
	role := s.infoText(s.node, "role")
	if s.short() {
		return answer{}
	}
	if role != "slave" {
		return failed(s.node.Address+" is no replica: it says "+role, "redis-watchdog status "+s.facts.Group)
	}
	link := s.infoText(s.node, "master_link_status")
	ours, theirs := s.infoText(s.node, "master_replid"), s.infoText(s.master, "master_replid")
	if s.short() {
		return answer{}
	}
	if link != "up" {
		since := s.node.Redis.Info["master_link_down_since_seconds"]
		return failed(s.waitsInVain(fmt.Sprintf("the link of %s to its master is %s, for %s s", s.node.Address, link, orThe(since, "?")),
			cli(s.node)+" INFO replication; its log says why the master cannot be reached"))
	}
	return verdictOn(ours == theirs, "the link is up",
		fmt.Sprintf("%s replicates another history than the master's (%s against %s): it follows somebody else", s.node.Address, ours, theirs),
		cli(s.node)+" ROLE   # whom it follows; REPLICAOF to this group's master replaces all that it has")
}

// replicationLineage is whether a replica is this group's and no other's. Sentinel
// forgets no replica: one that was pointed at this master for a moment is listed for
// good, and promoted like any other.
func replicationLineage(s *subject) answer {
	if other := s.node.Elsewhere; other != "" {
		s.show("listed by", s.facts.Group+", "+other, "etcd")
		return failed(fmt.Sprintf("the Sentinels of group %q list %s too: either group could promote it, over its own data", other, s.node.Address), s.forgotten())
	}
	if d := s.node.Watchdog; d != nil && d.Data != "" {
		if d.Data != "unrelated" {
			return passed(s.node.Address + " is this group's, and no other's")
		}
		return failed(fmt.Sprintf("the data of %s has nothing to do with this group's: its replication id is unknown to the last master's record in etcd", s.node.Address),
			cli(s.node)+" ROLE   # whom it follows; if it is another group's: "+s.forgotten())
	}
	role := s.infoText(s.node, "role")
	if s.short() {
		return answer{}
	}
	if role != "slave" {
		return passed(s.node.Address + " is in step with nobody else")
	}
	link := s.infoText(s.node, "master_link_status")
	if s.short() {
		return answer{}
	}
	if link != "up" {
		return passed(s.node.Address + " is in step with nobody else")
	}
	ours, theirs := s.infoText(s.node, "master_replid"), s.infoText(s.master, "master_replid")
	before := s.infoOf(s.node, "master_replid2", "")
	if s.short() {
		return answer{}
	}
	return verdictOn(ours == theirs || before == theirs, s.node.Address+" is in step with this group's master",
		fmt.Sprintf("%s is in step with another master than this group's (history %s against %s)", s.node.Address, ours, theirs),
		cli(s.node)+" ROLE   # whom it follows; if it is another group's: "+s.forgotten())
}

// forgotten is how this group's Sentinels forget a replica that is not theirs.
func (s *subject) forgotten() string {
	var lines []string
	for _, one := range s.facts.Sentinels {
		lines = append(lines, s.ask(one.Address, "RESET"))
	}
	if len(lines) == 0 {
		// The standing veto judges two nodes, and is not told the group's name.
		return "SENTINEL RESET " + cmp.Or(s.facts.Group, "GROUP") + " at each of this group's Sentinels, one after the other, 30 s apart, while no backup runs"
	}
	return strings.Join(lines, "; sleep 20; ") + "   # while no backup runs"
}

func hostPort(address string) (host, port string) {
	host, port, err := net.SplitHostPort(address)
	if err != nil {
		return address, ""
	}
	return host, port
}

// replicationData is whether a replica holds the data of its master at all, and
// not what it read from its disk. An offset of 1 or less without a link is a Redis
// that was never in step, or whose full sync broke off: it may be empty
// (replication.c, genRedisInfoString). A larger one may come from a snapshot.
func replicationData(s *subject) answer {
	role, loading := s.infoText(s.node, "role"), s.infoText(s.node, "loading")
	async := s.infoOf(s.node, "async_loading", "0")
	if s.short() {
		return answer{}
	}
	if loading != "0" || async != "0" {
		return failed(s.node.Address+" is loading its data", "wait; "+cli(s.node)+" INFO persistence | grep loading_")
	}
	if role != "slave" {
		return passed(s.node.Address + " is loading nothing")
	}
	running, link := s.infoText(s.node, "master_sync_in_progress"), s.infoText(s.node, "master_link_status")
	offset := s.info(s.node, "slave_repl_offset")
	if s.short() {
		return answer{}
	}
	if running != "0" {
		reason, remedy := fmt.Sprintf("a full sync of %s is running: promoted now, it has a part of the data or none", s.node.Address), "wait; "+cli(s.node)+" INFO replication | grep master_sync_"
		return failed(s.orNoSync(reason, remedy))
	}
	if a, judged := s.judgedData(); judged {
		if a.outcome == Failed && link != "up" {
			a.reason, a.remedy = s.waitsInVain(a.reason, a.remedy)
		}
		return a
	}
	if link != "up" && !lostLink(s.infoOf(s.node, "master_link_down_since_seconds", "0")) && offset > 1 {
		return failed(s.orNoSync(fmt.Sprintf("the data of %s came from its disk (offset %d), and it has not been in step with a master since it started: promoted, it may throw away what was acknowledged since", s.node.Address, offset),
			"redis-watchdog status "+s.facts.Group))
	}
	holds := link == "up" || offset > 1
	if !holds && strings.HasPrefix(s.infoText(s.node, "redis_version"), "6.") {
		// Before 7.0 a shut master answers PING, and a replica that then asks it
		// for the rest forgets its offset (seen on 6.0.16), not its data.
		holds = s.info(s.node, "master_repl_offset") > 1 && len(s.keyspace(s.node)) > 0
	}
	if s.short() {
		return answer{}
	}
	reason, remedy := s.orNoSync(fmt.Sprintf("%s has never been in step with its master since it started (offset %d, link %s): it may be empty", s.node.Address, offset, link),
		cli(s.node)+" INFO replication; its log says why it cannot sync")
	return verdictOn(holds, s.node.Address+" holds its master's data", reason, remedy)
}

// orNoSync is a reason and its remedy, or those of a replica that waits in vain:
// it is of another build than its master, and can load no full sync of it.
func (s *subject) orNoSync(reason, remedy string) (string, string) {
	why := s.noSync(s.node, s.master)
	if why == "" {
		return reason, remedy
	}
	look := subject{facts: s.facts}
	return reason + "; and none will end: " + why,
		onHost(s.node, "install the master's build ("+look.build(s.master).whole()+"), and start it without the dump.rdb and append-only files of this one")
}

// waitsInVain is orNoSync for a replica whose link is down. One that was in step in
// this run of Redis may need no full sync to be so again.
func (s *subject) waitsInVain(reason, remedy string) (string, string) {
	look := subject{facts: s.facts}
	if lostLink(look.infoOf(s.node, "master_link_down_since_seconds", "0")) || look.short() {
		return reason, remedy
	}
	return s.orNoSync(reason, remedy)
}

// judgedData is what the watchdog beside the node makes of data that came from disk:
// it knows whether this run was in step, and what the last master told etcd.
func (s *subject) judgedData() (a answer, judged bool) {
	d := s.node.Watchdog
	if d == nil {
		return a, false
	}
	switch d.Data {
	case "behind", "unrelated":
		s.show("data", d.Data, "the watchdog of "+s.node.Address)
		return failed(fmt.Sprintf("the data of %s is not what the group has acknowledged: it came from its disk or from another group's master, and what the last master told etcd is not in it (%s)", s.node.Address, d.Data),
			"redis-watchdog status "+s.facts.Group+"   # names who has more, and how the loss is accepted"), true
	case "whole", "own", "best", "accepted":
		s.show("data", d.Data, "the watchdog of "+s.node.Address)
		return passed("the data of " + s.node.Address + " came from its disk, and nothing is known that it lacks"), true
	}
	return a, false
}

// lostLink says whether a link that is down was up in this run of Redis, by
// master_link_down_since_seconds: never is -1, and before 7.0 the seconds since
// 1970.
func lostLink(since string) bool {
	const decades = 1e9
	v, err := strconv.ParseInt(since, 10, 64)
	return err == nil && v >= 0 && v < decades
}

func replicationLag(s *subject) answer {
	offset, master := s.info(s.node, "slave_repl_offset"), s.info(s.master, "master_repl_offset")
	if s.short() {
		return answer{}
	}
	behind := max(0, master-offset)
	line := lineOf(s.master.Redis.Replicas, s.node.Address)
	if line == nil {
		return failed(fmt.Sprintf("the master %s does not list %s as a replica", s.master.Address, s.node.Address), cli(s.master)+" INFO replication")
	}
	s.show("lag", fmt.Sprintf("%g s, state %s", line.LagSeconds, line.State), s.by(s.master, "INFO"))
	late := line.LagSeconds > s.policy.Lag.Seconds() || line.LagSeconds < 0
	return verdictOn(line.State == "online" && !late && behind <= s.policy.LagBytes,
		fmt.Sprintf("%s behind, heard %g s ago", size(behind), line.LagSeconds),
		fmt.Sprintf("%s is %s behind, last heard by its master %g s ago, state %s: promoted now, that much is lost", s.node.Address, size(behind), line.LagSeconds, line.State),
		"wait until it has caught up; "+cli(s.master)+" INFO replication")
}

// lineOf is how a master lists a replica. One that announces a host name is
// listed by it, and found by its port where no other has that.
func lineOf(lines []ReplicaLine, address string) *ReplicaLine {
	var named *ReplicaLine
	for i, r := range lines {
		if r.Address == address {
			return &lines[i]
		}
		host, port := hostPort(r.Address)
		if _, own := hostPort(address); port == own && net.ParseIP(host) == nil {
			if named != nil {
				return nil
			}
			named = &lines[i]
		}
	}
	return named
}

// keyCount is one database of INFO keyspace.
type keyCount struct {
	keys, expires int64
	volatile      int64 // hashes with fields that expire; told by Valkey 9 and later
}

// keyspace is the key counts by database.
func (s *subject) keyspace(n *Node) map[string]keyCount {
	r := s.redis(n)
	if r == nil || len(r.Info) == 0 {
		s.infoText(n, "db0")
		return nil
	}
	counts := map[string]keyCount{}
	for key, value := range r.Info {
		number, ok := strings.CutPrefix(key, "db")
		if _, err := strconv.Atoi(number); !ok || err != nil {
			continue
		}
		c, ok := keysOf(value)
		if !ok {
			s.lack(key+" of "+n.Address, fmt.Sprintf("%q is no key count", value), cli(n)+" INFO keyspace")
			continue
		}
		counts[key] = c
	}
	return counts
}

// keysOf reads "keys=1,expires=2,avg_ttl=3".
func keysOf(value string) (c keyCount, ok bool) {
	found := 0
	for part := range strings.SplitSeq(value, ",") {
		name, text, _ := strings.Cut(part, "=")
		v, err := strconv.ParseInt(text, 10, 64)
		if err != nil || v < 0 {
			continue
		}
		switch name {
		case "keys":
			c.keys, found = v, found+1
		case "expires":
			c.expires, found = v, found+1
		case "keys_with_volatile_items":
			c.volatile = v
		}
	}
	return c, found == 2
}

func replicationKeys(s *subject) answer {
	theirs, ours := s.keyspace(s.master), s.keyspace(s.node)
	ops := s.info(s.master, "instantaneous_ops_per_sec")
	if s.short() {
		return answer{}
	}
	names := map[string]bool{}
	for db := range theirs {
		names[db] = true
	}
	for db := range ours {
		names[db] = true
	}
	var differ []string
	for _, db := range slices.Sorted(maps.Keys(names)) {
		t, o := theirs[db], ours[db]
		s.show(db, fmt.Sprintf("%d keys, %d of them expire", o.keys, o.expires), s.by(s.node, "INFO"))
		s.show(db, fmt.Sprintf("%d keys, %d of them expire", t.keys, t.expires), s.by(s.master, "INFO"))
		// The two were not asked at one instant: a second of commands lies
		// between them at most. A replica keeps expired keys until its master
		// says so, so it may have more of those, never less.
		slack := math.Ceil(float64(t.keys)*s.policy.Keys) + float64(max(0, ops))
		if float64(o.keys) < float64(t.keys)-slack || float64(o.keys-o.expires) > float64(t.keys-t.expires)+slack || float64(o.keys) > float64(t.keys)+float64(o.expires)+slack {
			differ = append(differ, fmt.Sprintf("%s: %d against %d", db, o.keys, t.keys))
		}
	}
	reason, remedy := s.orNoSync(fmt.Sprintf("%s has other key counts than the master, beyond what expiry explains: %s", s.node.Address, strings.Join(differ, "; ")),
		onHost(s.node, "restart Redis, so that it takes a full sync; first find out who writes to it ("+cli(s.node)+" CONFIG GET replica-read-only)"))
	return verdictOn(len(differ) == 0, "key counts agree within what expiry explains", reason, remedy)
}

func replicationSync(s *subject) answer {
	connected := s.info(s.node, "connected_slaves")
	if s.short() {
		return answer{}
	}
	if int64(len(s.node.Redis.Replicas)) < connected {
		s.lack("the replicas of "+s.node.Address, gapWhy(s.node, "info"), cli(s.node)+" INFO replication")
		return answer{}
	}
	var syncing, vain []string
	named := map[string]bool{}
	for _, r := range s.node.Redis.Replicas {
		if r.State != "online" {
			// Valkey's dual-channel sync has two lines of one replica, one a
			// connection (rdb-channel, main-channel).
			if !named[r.Address] {
				syncing = append(syncing, r.Address+" ("+r.State+")")
				if n := find(s.facts, r.Address); n != nil {
					if why := s.noSync(n, s.node); why != "" {
						vain = append(vain, r.Address+": "+why)
					}
				}
			}
			named[r.Address] = true
			s.show("replica "+r.Address, r.State, s.by(s.node, "INFO"))
		}
	}
	reason, remedy := fmt.Sprintf("the master is sending a full sync to %s: a failover breaks it off and it begins again", strings.Join(syncing, ", ")), "wait until it is done; "+cli(s.node)+" INFO replication"
	if len(vain) > 0 {
		reason += "; and none will end of " + strings.Join(vain, "; ")
		remedy = "install the master's build there, or stop them: each sync is a fork of the master, for nothing"
	}
	return verdictOn(len(syncing) == 0, "no full sync is running", reason, remedy)
}

func replicationBacklog(s *subject) answer {
	length := s.configBytes(s.node, "repl-backlog-size")
	rate := float64(0)
	switch {
	case s.master != nil && s.master.Rates != nil && s.master.Rates.Over > 0:
		rate = max(0, s.master.Rates.Offset)
		s.show("written", fmt.Sprintf("%.0f bytes/s over %s", rate, s.master.Rates.Over.Round(time.Second)), "INFO on "+s.master.Address+", sampled by its watchdog")
	default:
		// What clients send now is the most that can be written.
		kbps, err := strconv.ParseFloat(s.infoText(s.master, "instantaneous_input_kbps"), 64)
		if s.short() {
			return answer{}
		}
		if err != nil || math.IsNaN(kbps) || kbps < 0 {
			s.lack("the write rate of "+s.master.Address, "instantaneous_input_kbps is no number", cli(s.master)+" INFO stats")
			return answer{}
		}
		rate = kbps * 1024
	}
	if s.short() {
		return answer{}
	}
	need := int64(math.Min(rate*s.policy.Backlog.Seconds(), math.MaxInt64/4))
	return verdictOn(length >= need,
		fmt.Sprintf("repl-backlog-size %s holds %s of writes", size(length), s.policy.Backlog),
		fmt.Sprintf("repl-backlog-size %s of %s holds less than %s of writes (%s): a replica that is away that long needs a full sync", size(length), s.node.Address, s.policy.Backlog, size(need)),
		set(s.node, "repl-backlog-size", strconv.FormatInt(need, 10))+"\n"+cli(s.node)+" CONFIG REWRITE")
}

func replicationReadOnly(s *subject) answer {
	v := s.config(s.node, "replica-read-only")
	if s.short() {
		return answer{}
	}
	return verdictOn(v == "yes", "the replica is read-only",
		s.node.Address+" accepts writes as a replica: its data may not be its master's", set(s.node, "replica-read-only", "yes")+"\n"+cli(s.node)+" CONFIG REWRITE")
}

func replicationProbe(s *subject) answer {
	p := s.node.Probe
	if p == nil {
		return passed("not asked for (--probe-key)")
	}
	s.show("key "+p.Key, fmt.Sprintf("seen %t after %s", p.Seen, p.After), "GET on "+s.node.Address)
	return verdictOn(p.Seen && p.Error == "", fmt.Sprintf("a key written to the master was seen after %s", p.After),
		fmt.Sprintf("a key written to the master was not seen at %s: %s", s.node.Address, orThe(p.Error, fmt.Sprintf("not within %s", p.After))),
		cli(s.node)+" INFO replication")
}
