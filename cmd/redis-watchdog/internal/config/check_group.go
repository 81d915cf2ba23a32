package config

import (
	"fmt"
	"maps"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"time"
)

var (
	// groupName is what Sentinel itself allows (sentinel.c, sentinelIsValidMasterName).
	groupName   = regexp.MustCompile(`^[A-Za-z0-9._-]+$`)
	commandName = regexp.MustCompile(`^[^\s\x00-\x1f\x7f]*$`)
)

// UsedCommands are those of Redis that may be renamed without our going blind,
// once we are told the new name.
func UsedCommands() []string {
	return []string{"acl", "auth", "client", "config", "del", "exec", "failover", "get", "hello", "info", "multi", "ping", "replicaof", "role", "slowlog", "xread"}
}

func (c *checker) checkGroup(key string, g *Group, names, redis map[string]string) {
	name := key + ".name"
	switch first, twice := names[g.Name]; {
	case c.broken(name):
	case g.Name == "":
		c.at(name, "the group has no name", "give the one that stands behind \"sentinel monitor\" in sentinel.conf")
	case !groupName.MatchString(g.Name):
		c.at(name, "is no name Sentinel allows", "use letters, digits, dot, dash and underscore")
	case twice:
		c.at(name, "is the name of "+first+" too", "put all nodes of a group under one entry, and give another group another name")
	default:
		names[g.Name] = key
	}
	c.checkSentinels(key, g)
	c.checkPolicy(key, g)
	c.checkPreflight(key, &g.Preflight)
	if len(g.Nodes) == 0 && !c.broken(key+".nodes") {
		c.at(key+".nodes", "no Redis of this host is named", "add one with its address or socket")
	}
	nodes := map[string]string{}
	for i := range g.Nodes {
		c.checkNode(fmt.Sprintf("%s.nodes[%d]", key, i), &g.Nodes[i], nodes, redis)
	}
}

func (c *checker) checkSentinels(key string, g *Group) {
	list := key + ".sentinels"
	if len(g.Sentinels) == 0 && !c.broken(list) {
		c.at(list, "no Sentinel is named", "list every Sentinel of the group as host:26379: each of those named here is counted, whether it answers or not")
	}
	seen := map[string]bool{}
	for i, sentinel := range g.Sentinels {
		entry := fmt.Sprintf("%s[%d]", list, i)
		c.hostPort(entry, sentinel, false)
		if seen[sentinel] {
			c.at(entry, "is named twice", "take one out: it would count as two Sentinels")
		}
		seen[sentinel] = true
	}
	g.SentinelPassword = c.secret(key, "sentinel_password_file", g.SentinelPasswordFile)
	if g.SentinelUsername != "" && g.SentinelPasswordFile == "" {
		c.at(key+".sentinel_username", "has no password", "add sentinel_password_file")
	}
	c.checkTLS(key+".sentinel_tls", g.SentinelTLS)
}

func (c *checker) checkPolicy(key string, g *Group) {
	section, p := key+".policy", g.Policy
	c.oneOf(section+".coordinator_lost", p.CoordinatorLost, serve, refuse)
	c.oneOf(section+".sentinels_lost", p.SentinelsLost, refuse, serve)
	c.within(section+".time_to_act", p.TimeToAct, 20*time.Millisecond, 10*time.Second, "leave it out: it follows down-after-milliseconds")
	c.within(section+".suspect_after", p.SuspectAfter, 100*time.Millisecond, time.Minute, "leave it out: it follows down-after-milliseconds")
	c.within(section+".hint_hold", p.HintHold, time.Millisecond, 500*time.Millisecond, "leave it out: a longer one would delay Sentinel's own commands")
	if p.ClockRateError < 0 || p.ClockRateError > 0.1 {
		c.at(section+".clock_rate_error", "is not between 0 and 0.1", "write seconds a second: 0.001 is one millisecond a second")
	}
	c.within(key+".down_after", g.DownAfter, time.Millisecond, time.Hour, "write what down-after-milliseconds is in sentinel.conf, or leave it out")
	if g.DownAfter == 0 {
		return
	}
	for _, problem := range g.Timing(g.DownAfter) {
		c.at(key+"."+problem.Key, problem.Problem, problem.Remedy)
	}
}

// Timing is what of the policy cannot be kept with the down-after that the
// Sentinels report, key and both numbers in each. That the promise needs room
// for two renewals is the core's to judge, and a fault where it is strict.
func (g Group) Timing(downAfter time.Duration) []Fault {
	var faults []Fault
	half := downAfter / 2
	for _, timing := range []struct {
		key   string
		value time.Duration
	}{{"policy.time_to_act", g.Policy.TimeToAct}, {"policy.suspect_after", g.Policy.SuspectAfter}, {"policy.hint_hold", g.Policy.HintHold * 2}} {
		if timing.value < half || timing.value == 0 {
			continue
		}
		name := strings.TrimPrefix(timing.key, "policy.")
		limit := "half of "
		if name == "hint_hold" {
			timing.value, limit = timing.value/2, "a quarter of "
		}
		faults = append(faults, Fault{Key: timing.key, Value: timing.value.String(),
			Problem: fmt.Sprintf("%s (%s) must be below %sdown-after-milliseconds (%s) of group %q", name, timing.value, limit, downAfter, g.Name),
			Remedy:  "leave it out: it follows down-after-milliseconds"})
	}
	if kept, why := g.Policy.Core().Timing(downAfter).Kept(); g.Policy.Strict && !kept && len(faults) == 0 {
		faults = append(faults, Fault{Key: "policy.strict", Value: "true",
			Problem: fmt.Sprintf("fencing in time cannot be promised for group %q: %s", g.Name, why),
			Remedy:  fmt.Sprintf("redis-cli -p 26379 SENTINEL SET %s down-after-milliseconds 5000 on every Sentinel, or strict: false", g.Name)})
	}
	return faults
}

func (c *checker) checkNode(key string, n *Node, nodes, redis map[string]string) {
	name := key + ".name"
	switch first, twice := nodes[n.Name]; {
	case c.broken(name):
	case n.Name == "":
		c.at(name, "one of several nodes has no name", "give each a name: it stands in the log, the metrics and the addresses of the role checks")
	case !groupName.MatchString(n.Name):
		c.at(name, "is no name", "use letters, digits, dot, dash and underscore")
	case twice:
		c.at(name, "is the name of "+first+" too", "give each node of a group a name of its own")
	default:
		nodes[n.Name] = key
	}
	c.checkReach(key, n, redis)
	n.Password = c.secret(key, "password_file", n.PasswordFile)
	if n.Username != "" && n.PasswordFile == "" {
		c.at(key+".username", "has no password", "add password_file")
	}
	c.checkTLS(key+".tls", n.TLS)
	if n.Unit != "" && (!strings.HasSuffix(n.Unit, ".service") || strings.ContainsAny(n.Unit, "/ \t")) {
		c.at(key+".unit", "is not the name of a service", "write it as systemctl has it, such as redis-server.service")
	}
	if words := n.CommandLine; len(words) > 0 && strings.HasSuffix(filepath.Base(words[0]), "-server") {
		c.at(key+".command_line[0]", "is the program", "write what stands behind it, a word an entry: its file first, if it has one")
	}
	known := UsedCommands()
	for _, command := range slices.Sorted(maps.Keys(n.Commands)) {
		entry := key + ".commands." + command
		switch {
		case !slices.Contains(known, command):
			c.at(entry, "is no command that is used", "known here: "+strings.Join(known, ", "))
		case !commandName.MatchString(n.Commands[command]):
			c.at(entry, "is no name for a command", `write what stands behind rename-command in redis.conf ("" where the command was taken away)`)
		}
	}
}

func (c *checker) checkReach(key string, n *Node, redis map[string]string) {
	where := key + ".address"
	switch {
	case c.broken(where) || c.broken(key+".socket"):
		return
	case n.Address == "" && n.Socket == "":
		c.at(where, "the node has neither address nor socket", "give one of them")
		return
	case n.Address != "" && n.Socket != "":
		c.at(where, "stands beside socket", "keep one of them; how the Sentinels call this Redis belongs into announced")
		return
	case n.Socket != "":
		where = key + ".socket"
		if !filepath.IsAbs(n.Socket) {
			c.at(where, "is not an absolute path", "write what stands behind unixsocket in redis.conf")
		}
		if n.TLS != nil {
			c.at(key+".tls", "a socket speaks no TLS", "take tls out, or use address")
		}
	default:
		c.hostPort(where, n.Address, false)
	}
	if n.Announced != "" {
		c.hostPort(key+".announced", n.Announced, false)
	}
	network, address := n.Network()
	if first, twice := redis[network+" "+address]; twice {
		c.at(where, "is the Redis of "+first+" too", "one Redis belongs to one group, once")
		return
	}
	redis[network+" "+address] = key
}
