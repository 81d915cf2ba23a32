package gather

// What Sentinel may do at a Redis, read from ACL LIST: no right but that one is
// needed for it, and it works alike on 6.0 and 8.

import (
	"slices"
	"strings"

	"github.com/redis-watchdog/redis-watchdog/preflight"
)

// need is a command that Sentinel sends, and the categories it is in
// (src/commands in Redis 7.0; 6.0 to 8 and Valkey have the same).
type need struct {
	command    string
	categories []string
}

// sentinelNeeds is what a failover takes (sentinel.c, sentinelSendSlaveOf, and
// what finds the replicas and the other Sentinels). It sends SLAVEOF by that
// name, so that a right to REPLICAOF does not help it.
func sentinelNeeds() []need {
	admin := []string{"admin", "slow", "dangerous"}
	return []need{
		{"multi", []string{"fast", "transaction"}},
		{"exec", []string{"slow", "transaction"}},
		{"slaveof", admin},
		{"config|rewrite", admin},
		{"client|kill", append([]string{"connection"}, admin...)},
		{"info", []string{"slow", "dangerous"}},
		{"ping", []string{"fast", "connection"}},
		{"publish", []string{"pubsub", "fast"}},
	}
}

// sentinelLacks is, for every user that a Sentinel is logged in as, what it
// needs and may not run.
func sentinelLacks(clients string, users []preflight.User) map[string][]string {
	lacks := map[string][]string{}
	for line := range strings.Lines(clients) {
		var name, user string
		for word := range strings.FieldsSeq(line) {
			switch key, value, _ := strings.Cut(word, "="); key {
			case "name":
				name = value
			case "user":
				user = value
			}
		}
		if !strings.HasPrefix(name, "sentinel-") || user == "" {
			continue
		}
		if _, done := lacks[user]; done {
			continue
		}
		lacks[user] = []string{}
		at := slices.IndexFunc(users, func(u preflight.User) bool { return u.Name == user })
		for _, n := range sentinelNeeds() {
			// A user that was deleted has its connections killed: it is gone.
			if at < 0 || !mayRun(users[at].Rules, n) {
				lacks[user] = append(lacks[user], n.command)
			}
		}
	}
	return lacks
}

// scriptUsers is which users that are on may run EVAL or EVALSHA; nil where no
// list of users is known.
func scriptUsers(users []preflight.User) []string {
	if users == nil {
		return nil
	}
	may := []string{}
	for _, u := range users {
		for _, command := range []string{"eval", "evalsha"} {
			if !u.Off() && !slices.Contains(may, u.Name) && mayRun(u.Rules, need{command, []string{"slow", "scripting"}}) {
				may = append(may, u.Name)
			}
		}
	}
	return may
}

// mayRun is whether the rules of a user, or one of its selectors (7.0), let it
// run the command. Keys and channels are not looked at.
func mayRun(rules string, n need) bool {
	root, selectors, _ := strings.Cut(rules, "(")
	if allows(root, n) {
		return true
	}
	for selector := range strings.SplitSeq(selectors, "(") {
		inside, _, _ := strings.Cut(selector, ")")
		if allows(inside, n) {
			return true
		}
	}
	return false
}

// allows goes through the rules in order: the last that fits wins (acl.c,
// ACLSetSelector).
func allows(rules string, n need) (yes bool) {
	command, _, _ := strings.Cut(n.command, "|")
	for rule := range strings.FieldsSeq(rules) {
		rule = strings.ToLower(rule)
		switch rule {
		case "allcommands":
			yes = true
			continue
		case "nocommands":
			yes = false
			continue
		}
		if rule[0] != '+' && rule[0] != '-' {
			continue
		}
		category, isCategory := strings.CutPrefix(rule[1:], "@")
		if isCategory && (category == "all" || slices.Contains(n.categories, category)) || rule[1:] == command || rule[1:] == n.command {
			yes = rule[0] == '+'
		}
	}
	return yes
}
