package preflight

import (
	"fmt"
	"net"
	"slices"
	"strconv"
	"strings"
)

// subject is what one check looks at. Everything it reads becomes evidence,
// and everything it could not read makes its answer Unknown: a check cannot
// pass on a fact nobody has.
type subject struct {
	policy  Policy
	facts   *Facts
	master  *Node             // nil: nobody is named, or it is not among the nodes
	node    *Node             // judged; nil for the group
	role    scope             // ofMaster, ofCandidate, ofBystander, ofGroup
	trial   bool              // of what a remedy would leave: no remedy is tried in it
	now     map[string][]said // see standing; nil: not kept
	reads   reads
	seen    []Evidence
	missing []gap
}

// gap is a fact a check needed and did not get.
type gap struct {
	what, why, remedy string
	answer            string // Finding.Lacks
}

// lack records that something could not be read.
func (s *subject) lack(what, why, remedy string) {
	s.missing = append(s.missing, gap{what: what, why: why, remedy: remedy})
}

// lackConfig records that no parameter of a node can be read.
func (s *subject) lackConfig(n *Node, name, why string) {
	remedy := cli(n) + " CONFIG GET " + name
	switch {
	case strings.Contains(strings.ToLower(why), "unknown command"):
		remedy = "grep -ri rename-command /etc/redis   # on the host of " + n.Address + ": the name that CONFIG has there belongs into commands, under nodes[] of the watchdog's configuration; then systemctl reload redis-watchdog"
	case strings.Contains(why, "NOPERM"):
		remedy = cli(n) + " ACL SETUSER " + watchdogUser(n) + " '+config|get'   # before Redis 7.0: +config"
	}
	s.missing = append(s.missing, gap{what: "CONFIG GET " + name + " of " + n.Address, why: why, remedy: remedy, answer: "CONFIG GET of " + n.Address})
}

// watchdogUser is the user of a node's watchdog, as a command can name it: no name is
// Redis's own user default. Where no report is there it has to be put in.
func watchdogUser(n *Node) string {
	if n.Watchdog == nil {
		return "<user>"
	}
	return shellQuote(orThe(n.Watchdog.User, "default"))
}

// show adds evidence once.
func (s *subject) show(what, value, from string) {
	e := Evidence{What: what, Value: value, From: from}
	if !slices.Contains(s.seen, e) {
		s.seen = append(s.seen, e)
	}
}

// gapWhy is why a kind of fact is missing of a node.
func gapWhy(n *Node, kinds ...string) string {
	for _, kind := range kinds {
		for _, g := range n.Gaps {
			if g.What == kind {
				return g.Why
			}
		}
	}
	return "it was not read"
}

// redis is what a Redis says of itself; nil is recorded as missing.
func (s *subject) redis(n *Node) *Redis {
	if n == nil {
		s.lack("the master", "nobody is named, or the one that is does not show", "redis-watchdog status "+s.facts.Group)
		return nil
	}
	if n.Redis == nil {
		s.lack("INFO of "+n.Address, gapWhy(n, "info", "redis"), cli(n)+" PING")
		return nil
	}
	return n.Redis
}

func (s *subject) by(n *Node, command string) string {
	if n.Redis != nil && n.Redis.ReadBy == ReadWatchdog {
		return command + " on " + n.Address + ", by its watchdog"
	}
	return command + " on " + n.Address
}

// infoText is one field of INFO.
func (s *subject) infoText(n *Node, key string) string {
	if key == usedMemory {
		s.reads.note(n, usedMemory)
	}
	r := s.redis(n)
	if r == nil {
		return ""
	}
	v, ok := r.Info[key]
	if !ok {
		s.lack(key+" of "+n.Address, gapWhy(n, "info"), cli(n)+" INFO everything | grep "+key)
		return ""
	}
	s.show(key, v, s.by(n, "INFO"))
	return v
}

// infoOf is one field of INFO that older versions lack: absent is then the
// given value.
func (s *subject) infoOf(n *Node, key, absent string) string {
	if r := s.redis(n); r != nil {
		if _, ok := r.Info[key]; !ok && len(r.Info) > 0 {
			return absent
		}
	}
	return s.infoText(n, key)
}

// info is a whole number of INFO.
func (s *subject) info(n *Node, key string) int64 { return s.whole(s.infoText(n, key), key, n) }

// infoBytes is a size of INFO, and its evidence reads as one.
func (s *subject) infoBytes(n *Node, key string) int64 {
	v := s.info(n, key)
	s.sizeOf(key, v)
	return v
}

// sizeOf makes the newest evidence of that name readable as a size.
func (s *subject) sizeOf(what string, v int64) {
	if i := len(s.seen) - 1; i >= 0 && s.seen[i].What == what && s.seen[i].Value == strconv.FormatInt(v, 10) {
		s.seen[i].Value = bytesText(v)
	}
}

func (s *subject) whole(text, what string, n *Node) int64 {
	if text == "" {
		return s.notWhole(text, what, n)
	}
	v, err := strconv.ParseInt(text, 10, 64)
	if err != nil {
		return s.notWhole(text, what, n)
	}
	return v
}

func (s *subject) notWhole(text, what string, n *Node) int64 {
	if len(s.missing) == 0 { // an absent one has said so
		s.lack(what+" of "+n.Address, fmt.Sprintf("%q is no whole number", text), cli(n)+" INFO everything")
	}
	return 0
}

// configText is the running value of a parameter. It leaves no evidence.
func (s *subject) configText(n *Node, name string) string {
	s.reads.note(n, name)
	r := s.redis(n)
	if r == nil {
		return ""
	}
	v, ok := r.Config[name]
	switch {
	case ok:
	case len(r.Config) == 0:
		s.lackConfig(n, name, gapWhy(n, "config"))
	default:
		s.lack("CONFIG GET "+name+" of "+n.Address, gapWhy(n, "config"), cli(n)+" CONFIG GET "+name)
	}
	return v
}

// config is the running value of a parameter.
func (s *subject) config(n *Node, name string) string {
	before := len(s.missing)
	v := s.configText(n, name)
	if len(s.missing) == before {
		s.show(name, quoteEmpty(v), s.by(n, "CONFIG GET"))
	}
	return v
}

// configOf is config of a parameter that older versions lack.
func (s *subject) configOf(n *Node, name, absent string) string {
	s.reads.note(n, name)
	if r := s.redis(n); r != nil && len(r.Config) > 0 {
		if _, ok := r.Config[name]; !ok {
			return absent
		}
	}
	return s.config(n, name)
}

// configInt is a running value that is a whole number.
func (s *subject) configInt(n *Node, name string) int64 {
	return s.whole(s.config(n, name), name, n)
}

// configBytes is a running value that is a size.
func (s *subject) configBytes(n *Node, name string) int64 {
	v := s.configInt(n, name)
	s.sizeOf(name, v)
	return v
}

// drift is the comparison with redis.conf; nil is recorded as missing.
func (s *subject) drift(n *Node) *Drift {
	if n == nil || n.Drift == nil || n.Drift.Problem != "" {
		why := "nobody is named"
		remedy := "redis-watchdog status " + s.facts.Group
		if n != nil {
			remedy = onHost(n, "redis-watchdog status "+s.facts.Group)
			why = gapWhy(n, "redis.conf", "drift", "report")
			if n.Drift != nil {
				why = n.Drift.Problem
				remedy = onHost(n, "the watchdog must be able to read "+orThe(n.Drift.File, "redis.conf"))
				if n.Drift.Refused != "" {
					remedy = startRemedy(n)
				}
			} else if n.Watchdog == nil {
				why = "no watchdog reports from there"
			}
		}
		s.lack("redis.conf of "+addressOf(n), why, remedy)
		return nil
	}
	return n.Drift
}

// fileBytes is a size a restart would give.
func (s *subject) fileBytes(n *Node, name string) int64 {
	s.reads.note(n, ofFile+name)
	d := s.drift(n)
	if d == nil {
		return 0
	}
	text, ok := d.FileConfig[name]
	if !ok {
		why, remedy := "the comparison has no value of it", onHost(n, "redis-watchdog status "+s.facts.Group)
		if i := slices.IndexFunc(d.Unknown, func(p Parameter) bool { return p.Name == name }); i >= 0 {
			why, remedy = orThe(d.Unknown[i].Why, why), unknownRemedy(n)
		}
		s.lack("the "+name+" that a restart gives "+n.Address, why, remedy)
		return 0
	}
	v := s.whole(text, name+" in redis.conf", n)
	s.show(name, bytesText(v), fileWhere(n, name))
	return v
}

// fileWhere is where the file's value of a parameter stands.
func fileWhere(n *Node, name string) string {
	for _, list := range [][]Parameter{n.Drift.Drifted, n.Drift.Allowed, n.Drift.Ours} {
		for _, p := range list {
			if p.Name == name && p.Where != "" {
				return p.Where + " of " + n.Address
			}
		}
	}
	return orThe(n.Drift.File, "no redis.conf") + " of " + n.Address
}

// host is what the host of a Redis shows; nil is recorded as missing.
func (s *subject) host(n *Node) *Host {
	if n == nil || n.Host == nil {
		why, remedy := "nobody is named", "redis-watchdog status "+s.facts.Group
		if n != nil {
			why, remedy = gapWhy(n, "host", "report"), onHost(n, "systemctl status redis-watchdog")
			if n.Watchdog == nil {
				why = "no watchdog reports from there"
			}
		}
		s.lack("the host of "+addressOf(n), why, remedy)
		return nil
	}
	return n.Host
}

// hostLack is a value of a host that was not read.
func (s *subject) hostLack(n *Node, what, kind string) {
	s.lack(what+" of "+n.Address, gapWhy(n, kind, "host"), onHost(n, "journalctl -u redis-watchdog"))
}

// users is ACL LIST; nil is recorded as missing.
func (s *subject) users(n *Node) []User {
	r := s.redis(n)
	if r == nil {
		return nil
	}
	if r.Users == nil {
		s.lack("ACL LIST of "+n.Address, gapWhy(n, "acl"), cli(n)+" ACL LIST; the user of the watchdog needs +acl|list (before 7.0: +acl)")
	}
	return r.Users
}

// watchdog is the watchdog beside a node; nil is recorded as missing.
func (s *subject) watchdog(n *Node) *Watchdog {
	if n == nil || n.Watchdog == nil {
		why, remedy := "nobody is named", "redis-watchdog status "+s.facts.Group
		if n != nil {
			why, remedy = gapWhy(n, "report", "watchdog"), onHost(n, "systemctl status redis-watchdog")
		}
		s.lack("the watchdog beside "+addressOf(n), why, remedy)
		return nil
	}
	return n.Watchdog
}

// others is every node but these.
func (s *subject) others(but ...*Node) []*Node {
	var others []*Node
	for i := range s.facts.Nodes {
		if n := &s.facts.Nodes[i]; !slices.Contains(but, n) {
			others = append(others, n)
		}
	}
	return others
}

func addressOf(n *Node) string {
	if n == nil {
		return "the master"
	}
	return n.Address
}

func orThe(s, otherwise string) string {
	if s == "" {
		return otherwise
	}
	return s
}

func quoteEmpty(s string) string {
	if s == "" {
		return `""`
	}
	return s
}

// cli is the beginning of a command a person can paste.
func cli(n *Node) string { return cliAt(addressOf(n)) }

func cliAt(address string) string {
	host, port, err := net.SplitHostPort(address)
	if err != nil {
		return "redis-cli"
	}
	return "redis-cli -h " + host + " -p " + port
}

// onHost is something to do on the host of a node.
func onHost(n *Node, command string) string {
	host, _, err := net.SplitHostPort(addressOf(n))
	if err != nil {
		host = addressOf(n)
	}
	return "on " + host + ": " + command
}

// set is CONFIG SET as a person can paste it.
func set(n *Node, name, value string) string {
	return cli(n) + " CONFIG SET " + name + " " + shellQuote(value)
}

func shellQuote(s string) string {
	plain := func(r rune) bool {
		return r >= '0' && r <= '9' || r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || strings.ContainsRune("-_./:,@%+", r)
	}
	if s != "" && strings.IndexFunc(s, func(r rune) bool { return !plain(r) }) < 0 {
		return s
	}
	return "'" + strings.ReplaceAll(s, "'", `'\''`) + "'"
}

// bytesText is a size for people who also need the exact one.
func bytesText(v int64) string {
	const unit = 1024
	f, at := float64(v), 0
	for (f >= unit || f <= -unit) && at < 5 {
		f, at = f/unit, at+1
	}
	if at == 0 {
		return strconv.FormatInt(v, 10)
	}
	return fmt.Sprintf("%d (%.2f %s)", v, f, [...]string{"B", "KiB", "MiB", "GiB", "TiB", "PiB"}[at])
}

// size is a size for a sentence.
func size(v int64) string {
	text := bytesText(v)
	if _, short, ok := strings.Cut(text, "("); ok {
		return strings.TrimSuffix(short, ")")
	}
	return text + " B"
}

// short is whether something was missing so far: the answer is Unknown anyway.
func (s *subject) short() bool { return len(s.missing) > 0 }
