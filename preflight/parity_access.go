package preflight

import (
	"fmt"
	"net"
	"slices"
	"strings"
)

// Whether clients can reach the candidate and do there what they do now.

func byName(users []User) map[string]User {
	m := make(map[string]User, len(users))
	for _, u := range users {
		m[u.Name] = u
	}
	return m
}

func parityACL(s *subject) answer {
	theirs, ours := s.users(s.master), s.users(s.node)
	if s.short() {
		return answer{}
	}
	own := byName(ours)
	var absent, differ, unsure []string
	for _, u := range theirs {
		mine, ok := own[u.Name]
		var others across
		if ok && !SameRights(mine.Rules, u.Rules) {
			others = s.across(u, mine)
		}
		same, known := sameUser(mine, u, others.same)
		switch {
		case watchdogOf(s.master, u.Name) || watchdogOf(s.node, u.Name):
			continue // no client; what its user lacks, the watchdog itself says
		case u.Off() && (!ok || mine.Off()):
			continue // nobody can be logged in as it
		case !ok:
			absent = append(absent, u.Name)
		case !known:
			unsure = append(unsure, u.Name)
			continue
		case !same:
			differ = append(differ, u.Name)
		default:
			continue
		}
		s.show("user "+u.Name, u.Rules, s.by(s.master, "ACL LIST"))
		if ok {
			s.show("user "+u.Name, mine.Rules, s.by(s.node, "ACL LIST"))
		}
		if len(others.lost) > 0 {
			s.show("user "+u.Name+" may not", strings.Join(others.lost, " "), s.by(s.node, "ACL CAT of its build"))
		}
	}
	switch {
	case len(absent) > 0:
		return failed(fmt.Sprintf("%s has no user %s, the master has: its clients are refused", s.node.Address, strings.Join(absent, ", ")), aclRemedy(s.node))
	case len(differ) > 0:
		return failed(fmt.Sprintf("the rights or passwords of %s at %s are not the master's: its clients may be refused", strings.Join(differ, ", "), s.node.Address), aclRemedy(s.node))
	}
	if len(unsure) > 0 { // what is certain comes first
		s.lack("the passwords of "+strings.Join(unsure, ", ")+" at "+s.node.Address+" beside the master's",
			orThe(gapWhyOf(GapPasswords, s.master, s.node), "they were not read by one and the same: they stand in no report"),
			"on a host that reaches both with the watchdog's user: redis-watchdog preflight "+s.facts.Group)
		return answer{}
	}
	return passed(fmt.Sprintf("the %d users of the master are the candidate's", len(theirs)))
}

// across is acrossBuilds of a user, where another build runs at the candidate than
// at the master; never the same where one build runs at both, or one is not known.
func (s *subject) across(masters, mine User) across {
	look := subject{facts: s.facts}
	master, candidate := look.build(s.master), look.build(s.node)
	if look.short() || master == candidate {
		return across{}
	}
	return acrossBuilds(master, masters.Rules, candidate, mine.Rules)
}

// gapWhyOf is why a kind of fact is missing of any of them; empty: of none.
func gapWhyOf(kind string, nodes ...*Node) string {
	for _, n := range nodes {
		for _, g := range n.Gaps {
			if g.What == kind {
				return n.Address + ": " + g.Why
			}
		}
	}
	return ""
}

// Off is whether nobody may log in as a user.
func (u User) Off() bool { return slices.Contains(strings.Fields(u.Rules), "off") }

// watchdogOf is whether that is the user of the node's watchdog. default is not
// left out for it: clients are that too. One that is shared with them otherwise
// is not compared.
func watchdogOf(n *Node, user string) bool {
	return user != "default" && n.Watchdog != nil && n.Watchdog.User == user
}

// sameUser is whether two users of one name have the same rights and
// passwords; across: their rights are known to be. It is not known where the digests were not made with one key.
func sameUser(a, b User, across bool) (same, known bool) {
	if !across && !SameRights(a.Rules, b.Rules) {
		return false, true
	}
	keyA, digestA, _ := strings.Cut(a.Passwords, ":")
	keyB, digestB, _ := strings.Cut(b.Passwords, ":")
	hashed := slices.ContainsFunc(strings.Fields(a.Rules), func(rule string) bool { return rule[0] == '#' })
	return digestA == digestB, !hashed || keyA == keyB && keyA != ""
}

func aclRemedy(n *Node) string {
	return cli(n) + " ACL SETUSER …   # as the master's ACL LIST has it; then ACL SAVE (aclfile) or CONFIG REWRITE"
}

func parityACLExtra(s *subject) answer {
	theirs, ours := s.users(s.master), s.users(s.node)
	if s.short() {
		return answer{}
	}
	known := byName(theirs)
	var extra []string
	for _, u := range ours {
		if _, ok := known[u.Name]; !ok {
			extra = append(extra, u.Name)
			s.show("user "+u.Name, u.Rules, s.by(s.node, "ACL LIST"))
		}
	}
	if len(extra) == 0 {
		return passed("the candidate has no user that the master has not")
	}
	return failed(fmt.Sprintf("%s has the user %s, the master has not", s.node.Address, strings.Join(extra, ", ")),
		cli(s.node)+" ACL DELUSER "+strings.Join(extra, " "))
}

// removedCommand is how Drift.Renamed names a command that is there no more.
const removedCommand = "removed"

// renamed is the commands that both files do not treat alike, and what each
// makes of them. nil: redis.conf of one was not read, which is recorded.
func (s *subject) renamed() (differ []string, theirs, ours map[string]string) {
	master, own := s.drift(s.master), s.drift(s.node)
	if s.short() {
		return nil, nil, nil
	}
	for name := range joined(master.Renamed, own.Renamed) {
		if master.Renamed[name] != own.Renamed[name] {
			differ = append(differ, name)
		}
	}
	slices.Sort(differ)
	return differ, master.Renamed, own.Renamed
}

func joined(a, b map[string]string) map[string]bool {
	names := map[string]bool{}
	for name := range a {
		names[name] = true
	}
	for name := range b {
		names[name] = true
	}
	return names
}

func (s *subject) showRenamed(name string, theirs, ours map[string]string) {
	s.show("rename-command "+name, orThe(ours[name], "as it is"), fileOf(s.node))
	s.show("rename-command "+name, orThe(theirs[name], "as it is"), fileOf(s.master))
}

func parityCommands(s *subject) answer {
	differ, theirs, ours := s.renamed()
	if s.short() {
		return answer{}
	}
	differ = slices.DeleteFunc(differ, func(name string) bool { return theirs[name] == removedCommand }) // nobody uses it
	for _, name := range differ {
		s.showRenamed(name, theirs, ours)
	}
	return verdictOn(len(differ) == 0, "what the master calls a command, the candidate does",
		fmt.Sprintf("%s and the master have renamed or removed %s differently: clients that use it are refused", s.node.Address, strings.Join(differ, ", ")),
		onHost(s.node, "rename-command as in the master's redis.conf, and restart Redis"))
}

func parityCommandsExtra(s *subject) answer {
	differ, theirs, ours := s.renamed()
	if s.short() {
		return answer{}
	}
	differ = slices.DeleteFunc(differ, func(name string) bool { return theirs[name] != removedCommand })
	for _, name := range differ {
		s.showRenamed(name, theirs, ours)
	}
	return verdictOn(len(differ) == 0, "the candidate has no command that was taken away from the master",
		fmt.Sprintf("%s has %s, which was taken away from the master", s.node.Address, strings.Join(differ, ", ")),
		onHost(s.node, "rename-command as in the master's redis.conf, and restart Redis"))
}

func fileOf(n *Node) string { return orThe(n.Drift.File, "redis.conf") + " of " + n.Address }

// remote is whether an address is one that other hosts can reach.
func remote(address string) bool {
	host, _, err := net.SplitHostPort(address)
	if err != nil {
		host = address
	}
	ip := net.ParseIP(host)
	return host != "localhost" && (ip == nil || !ip.IsLoopback())
}

// listens is whether a bind list reaches beyond loopback.
func listens(bind string) bool {
	fields := strings.Fields(bind)
	if len(fields) == 0 {
		return true // every address
	}
	return slices.ContainsFunc(fields, func(f string) bool {
		f = strings.TrimPrefix(f, "-") // - : may be absent
		if f == "*" || f == "::*" {
			return true
		}
		return remote(net.JoinHostPort(f, "0"))
	})
}

// parityReach is whether clients of other hosts reach the candidate as they reach
// the master: behind a tunnel or a proxy on the host both listen on loopback.
func parityReach(s *subject) answer {
	why := s.unreachable(s.node)
	if s.short() || why == "" {
		return passed("clients of other hosts reach " + s.node.Address)
	}
	theirs := s.unreachable(s.master)
	if s.short() {
		return answer{}
	}
	if theirs != "" && listens(s.config(s.master, "bind")) == listens(s.config(s.node, "bind")) {
		return passed("clients reach " + s.node.Address + " as they reach the master, by bind and protected-mode not directly")
	}
	return failed(why, s.openAs())
}

// openAs is how the candidate is opened as far as the master is, and no further:
// a Redis without a password that everybody reaches is everybody's.
func (s *subject) openAs() string {
	var lines []string
	if bind := s.config(s.node, "bind"); !listens(bind) {
		host, _ := hostPort(s.node.Address)
		lines = append(lines, set(s.node, "bind", strings.TrimSpace(bind+" "+host))+"   # 7.0 and later; before, in redis.conf and with a restart")
	}
	if s.config(s.node, "protected-mode") == "yes" && s.config(s.master, "protected-mode") == "no" {
		lines = append(lines, set(s.node, "protected-mode", "no")+"   # as at the master; better: a password, on every node alike")
	} else if s.open(s.node) && !s.open(s.master) {
		lines = append(lines, "set the master's password (requirepass, masterauth, or its users) at "+s.node.Address)
	}
	return strings.Join(lines, "\n")
}

// open is whether anybody is let in without a password.
func (s *subject) open(n *Node) bool {
	return n.Redis != nil && strings.Contains(" "+byName(n.Redis.Users)["default"].Rules+" ", " nopass ")
}

// unreachable is why no client of another host reaches a Redis directly; empty:
// they do, or it is on loopback as its clients are.
func (s *subject) unreachable(n *Node) (why string) {
	bind := s.config(n, "bind")
	protected := s.config(n, "protected-mode")
	if s.short() || !remote(n.Address) {
		return ""
	}
	if !listens(bind) {
		return fmt.Sprintf("%s listens on %s only: no client of another host reaches it", n.Address, bind)
	}
	if protected != "yes" {
		return ""
	}
	users := s.users(n)
	if s.short() {
		return ""
	}
	s.show("user default", byName(users)["default"].Rules, s.by(n, "ACL LIST"))
	if !s.open(n) {
		return ""
	}
	return n.Address + " has protected-mode yes and no password: it refuses every client of another host"
}

func parityTLS(s *subject) answer {
	ports := func(n *Node) (plain, tls bool) {
		return s.config(n, "port") != "0", s.configOf(n, "tls-port", "0") != "0"
	}
	theirPlain, theirTLS := ports(s.master)
	ownPlain, ownTLS := ports(s.node)
	theirAsk, ownAsk := s.configOf(s.master, "tls-auth-clients", ""), s.configOf(s.node, "tls-auth-clients", "")
	if s.short() {
		return answer{}
	}
	switch {
	case theirPlain && !ownPlain:
		return failed(s.node.Address+" has no plain-text port and the master has: its clients are refused", onHost(s.node, "set port in redis.conf"))
	case theirTLS && !ownTLS:
		return failed(s.node.Address+" has no tls-port and the master has: its clients are refused", onHost(s.node, "set tls-port and the tls- files in redis.conf"))
	case ownTLS && ownAsk == "yes" && theirAsk != "yes":
		return failed(fmt.Sprintf("%s asks TLS clients for a certificate, the master says %s: those without one are refused", s.node.Address, theirAsk),
			set(s.node, "tls-auth-clients", theirAsk))
	}
	return passed("the candidate speaks plain text and TLS where the master does")
}

func parityAuth(s *subject) answer {
	theirs, ours := s.configText(s.master, "requirepass"), s.configText(s.node, "requirepass")
	if s.short() {
		return answer{}
	}
	word := func(v string) string {
		if v == "" {
			return "not set"
		}
		return "set"
	}
	s.show("requirepass", word(ours), s.by(s.node, "CONFIG GET"))
	s.show("requirepass", word(theirs), s.by(s.master, "CONFIG GET"))
	return verdictOn((theirs == "") == (ours == ""), "requirepass is "+word(ours)+" at both",
		fmt.Sprintf("requirepass is %s at %s and %s at the master: clients are refused, or anybody is let in", word(ours), s.node.Address, word(theirs)),
		cli(s.node)+" CONFIG SET requirepass …   # the master's; then CONFIG REWRITE")
}
