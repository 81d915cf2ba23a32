package sentinel

// From the replies of a poll to an Answer.

import (
	"errors"
	"fmt"
	"net"
	"strings"
	"time"

	"github.com/redis-watchdog/redis-watchdog/watchdog"
	"github.com/redis-watchdog/redis-watchdog/watchdog/redisclient"
)

// errRefused is an error reply that says we may not ask: the credentials or the
// rights are wrong.
var errRefused = errors.New("refused")

// poll is what a group is asked in one write: Sentinel has no MULTI, but runs what
// arrived together without turning to its timers.
type poll struct {
	commands [][]any
	bytes    int // that they have on the wire
}

// polls are the two that a group is asked, the lean one and the full one.
func polls(group string) (lean, full poll) {
	for _, words := range [][]any{
		{"SENTINEL", "GET-MASTER-ADDR-BY-NAME", group}, {"SENTINEL", "MASTER", group},
		{"SENTINEL", "REPLICAS", group}, {"SENTINEL", "SENTINELS", group},
	} {
		full.commands = append(full.commands, words)
		for _, word := range words {
			full.bytes += len(word.(string)) + len("$123\r\n\r\n")
		}
		full.bytes += len("*3\r\n")
		if len(full.commands) == leanReplies {
			lean = poll{full.commands[:leanReplies:leanReplies], full.bytes}
		}
	}
	return lean, full
}

const (
	leanReplies = 2
	fullReplies = 4
)

// infoSection is asked before the full polls, once for all groups they are of.
const infoSection = "sentinel"

// process is what INFO tells of the Sentinel as a whole.
type process struct {
	tilt   bool
	denied string // its word against telling it; empty: it does
}

func parseProcess(info redisclient.Answer) (p process) {
	if info.Err != nil {
		return process{denied: info.Err.Error()}
	}
	return process{tilt: strings.Contains(info.Text(), "sentinel_tilt:1")}
}

// namer makes what it reads of a Sentinel's answer into lasting values. It is the
// group's resolver, or a glance at it.
type namer interface {
	Address(hostname, port string) watchdog.Address
	As(hostname, port string) string
	Text(text string) string
}

// parse makes an Answer of the replies to a poll. Of many things that were read,
// the one that makes no sense is left out and named; the rest stands. An error
// that is not errRefused is garbage.
func parse(replies []redisclient.Answer, names namer, of process) (Answer, error) {
	var a Answer
	for _, r := range replies[:leanReplies] {
		if err := refusal(r); err != nil {
			return a, err
		}
	}
	if replies[0].Value == nil && replies[0].Err == nil && replies[1].Err != nil {
		return a, nil // it does not know the group, and says so to both
	}
	pair := replies[0].List()
	if len(pair) != 2 || !isText(pair[0]) || !isText(pair[1]) {
		return a, fmt.Errorf("%w: GET-MASTER-ADDR-BY-NAME is no pair", errProtocol)
	}
	host, port := pair[0].(string), pair[1].(string)
	if a.Named = names.Address(host, port); a.Named == "" {
		a.Nameless = fmt.Sprintf("GET-MASTER-ADDR-BY-NAME is no address: %.60q", spelled(host, port))
	} else {
		a.As = names.As(host, port)
	}
	var bad string
	if a.Master, bad = parseInstance(replies[1].Value, names); bad != "" {
		a.Unclear = fmt.Sprintf("field %.40q of SENTINEL MASTER cannot be read", bad)
	}
	if a.Master.noEpoch {
		a.Nameless = "config-epoch of SENTINEL MASTER cannot be read" // a vote is of an address at an epoch
	}
	if a.Asked = len(replies) == fullReplies; a.Asked {
		parseLists(replies[leanReplies:], names, &a)
		a.Tilt = of.tilt
		if a.Denied == "" {
			a.Denied = of.denied
		}
	}
	return a, nil
}

func isText(value any) bool {
	_, ok := value.(string)
	return ok
}

// parseLists reads what a full poll asks besides.
func parseLists(replies []redisclient.Answer, names namer, a *Answer) {
	for _, r := range replies {
		if r.Err != nil && a.Denied == "" {
			a.Denied = r.Err.Error()
		}
	}
	replicas, told := replies[0].Value.([]any)
	others, toldToo := replies[1].Value.([]any)
	told = told && toldToo
	if !told && a.Denied == "" {
		a.Denied = "no list is answered"
	}
	// One list without the other would be taken for an empty one.
	if a.Full = told; !told {
		return
	}
	for _, e := range replicas {
		parseReplica(e, names, a)
	}
	for _, e := range others {
		parsePeer(e, names, a)
	}
}

func refusal(r redisclient.Answer) error {
	if r.Err == nil {
		return nil
	}
	text := r.Err.Error()
	for _, prefix := range []string{"NOAUTH", "WRONGPASS", "NOPERM"} {
		if strings.HasPrefix(text, prefix) {
			return fmt.Errorf("%w: %s", errRefused, text)
		}
	}
	return nil
}

// pairs calls f for every name and text of a flat list; false: it is none, or
// holds something else.
func pairs(value any, f func(name, text string)) bool {
	list, ok := value.([]any)
	if !ok || len(list)%2 != 0 {
		return false
	}
	for i := 0; i < len(list); i += 2 {
		if !isText(list[i]) || !isText(list[i+1]) {
			return false
		}
		f(list[i].(string), list[i+1].(string))
	}
	return true
}

// fields collects what went wrong while fields are read one by one.
type fields struct{ bad string } // the name of one that cannot be read; empty: none

func (f *fields) int(name, text string, otherwise int64) int64 {
	n, ok := number(text)
	if !ok {
		f.bad = name
		return otherwise
	}
	return n
}

// ms is a time in milliseconds; -1: it is none. One of more than thirty years
// is no time: a clock was set, or it is garbage.
func (f *fields) ms(name, text string) time.Duration {
	n := f.int(name, text, -1)
	if n > 1e12 || n < -1e12 {
		f.bad, n = name, -1
	}
	return time.Duration(n) * time.Millisecond
}

// parseInstance reads one Redis. A field that cannot be read (bad is the name of
// one; empty: none) is what it is where it is not told. No Address: there is none,
// or the element is no list of fields.
func parseInstance(value any, names namer) (in Instance, bad string) {
	in = Instance{PongAge: -1, ReplyAge: -1, PingAge: -1, RoleFor: -1, Priority: -1}
	var ip, port string
	var f fields
	if !pairs(value, func(name, text string) {
		switch name {
		case "ip":
			ip = text
		case "port":
			port = text
		case "runid":
			in.RunID = names.Text(text)
		case "flags":
			in.Flags = parseFlags(text)
		case "failover-state":
			in.Failover = parseFailover(text)
		case "last-ok-ping-reply":
			in.PongAge = f.ms(name, text)
		case "last-ping-reply":
			in.ReplyAge = f.ms(name, text)
		case "last-ping-sent":
			in.PingAge = f.ms(name, text)
		case "down-after-milliseconds":
			in.DownAfter = f.ms(name, text)
		case "role-reported":
			in.Reported = parseRole(text)
		case "role-reported-time":
			in.RoleFor = f.ms(name, text)
		case "config-epoch":
			n := f.int(name, text, -1)
			in.Epoch, in.noEpoch = uint64(max(n, 0)), n < 0
		case "num-other-sentinels":
			in.Others = int(f.int(name, text, -1))
		case "num-slaves":
			in.Replicas = int(f.int(name, text, 0))
		case "quorum":
			in.Quorum = int(f.int(name, text, 0))
		case "failover-timeout":
			in.FailoverTimeout = f.ms(name, text)
		case "slave-priority":
			in.Priority = int(f.int(name, text, -1))
		case "slave-repl-offset":
			in.Offset = f.int(name, text, -1)
		case "info-refresh":
			in.InfoAge = age(text)
		}
	}) {
		return Instance{}, ""
	}
	if in.Address = names.Address(ip, port); in.Address != "" {
		in.As = names.As(ip, port)
	}
	return in, f.bad
}

// parseReplica adds one replica, or leaves it out. One whose offset cannot be
// read counts as one that was never asked for it.
func parseReplica(value any, names namer, a *Answer) {
	const from = "SENTINEL REPLICAS"
	in, bad := parseInstance(value, names)
	ip, port := hostPort(value)
	switch {
	case in.Address != "":
		if in.Offset < 0 {
			in.Offset, in.InfoAge = 0, 0
		}
		a.Replicas = append(a.Replicas, in)
		if bad != "" {
			a.Unread = append(a.Unread, LeftOut{From: from, Name: names.Text(spelled(ip, port)), Why: fmt.Sprintf("its field %.40q cannot be read", bad)})
		}
	case port == "0" && len(ip) > 0:
		// Sentinel never connects to one (sentinelReconnectInstance), and
		// promotes none that it has no connection to (sentinelSelectSlave).
		a.Unread = append(a.Unread, LeftOut{From: from, Name: names.Text(spelled(ip, port)), Why: PortZero})
	default:
		a.Unread = append(a.Unread, LeftOut{From: from, Name: names.Text(spelled(ip, port)), Why: "it has no address", Candidate: true})
	}
}

// PortZero is why a replica at port 0 is left out.
const PortZero = "no Redis is at port 0"

func hostPort(value any) (ip, port string) {
	pairs(value, func(name, text string) {
		switch name {
		case "ip":
			ip = text
		case "port":
			port = text
		}
	})
	return ip, port
}

// spelled is host and port as they came, for people.
func spelled(host, port string) string {
	return host[:min(len(host), 255)] + ":" + port[:min(len(port), 20)]
}

// age is info-refresh. Redis 6 counts one that never was from 1970: that is as
// good as never, and no garbage.
func age(text string) time.Duration {
	n, ok := number(text)
	if !ok || n < 0 || n > 1e12 {
		return 0
	}
	return time.Duration(n) * time.Millisecond
}

// parsePeer adds another Sentinel. One without an address cannot be asked, but
// may have its part in a promotion: it stays in the list, without one. What it
// does not tell of when it was heard is taken for now, the careful reading.
func parsePeer(value any, names namer, a *Answer) {
	var p Peer
	var ip, port string
	var f fields
	ok := pairs(value, func(name, text string) {
		switch name {
		case "ip":
			ip = text
		case "port":
			port = text
		case "runid":
			p.RunID = names.Text(text)
		case "last-ok-ping-reply":
			p.PongAge = f.ms(name, text)
		case "last-hello-message":
			p.HelloAge = f.ms(name, text)
		}
	})
	if !ok {
		p = Peer{}
	}
	why := ""
	switch p.Address = names.Address(ip, port); {
	case !ok:
		why = "it is no list of fields"
	case p.Address == "":
		why = "it has no address"
	case f.bad != "":
		why = fmt.Sprintf("its field %.40q cannot be read", f.bad)
	}
	if why != "" {
		a.Unread = append(a.Unread, LeftOut{From: "SENTINEL SENTINELS", Name: names.Text(spelled(ip, port)), Why: why})
	}
	if p.Address != "" {
		p.Dial = net.JoinHostPort(names.Text(ip), names.Text(port))
	}
	a.Sentinels = append(a.Sentinels, p)
}

func parseFlags(text string) (f Flag) {
	for one := range strings.SplitSeq(text, ",") {
		switch one {
		case "s_down":
			f |= FlagSDown
		case "o_down":
			f |= FlagODown
		case "disconnected":
			f |= FlagDisconnected
		case "failover_in_progress":
			f |= FlagFailover
		case "promoted":
			f |= FlagPromoted
		}
	}
	return f
}

// parseFailover takes a state it does not know (a later release, Valkey's
// coordinated failover) for the one before the promotion: the careful reading.
func parseFailover(text string) FailoverState {
	switch text {
	case "none", "no-failover":
		return FailoverNone
	case "wait_start":
		return FailoverWaitStart
	case "select_slave", "select_replica":
		return FailoverSelect
	case "send_slaveof_noone", "send_replicaof_noone":
		return FailoverSendNoOne
	case "reconf_slaves", "reconf_replicas":
		return FailoverReconf
	case "update_config":
		return FailoverUpdate
	}
	return FailoverWaitPromo
}

func parseRole(text string) watchdog.Role {
	switch text {
	case "master", "primary":
		return watchdog.Master
	case "slave", "replica":
		return watchdog.Replica
	}
	return watchdog.RoleUnknown
}

// number parses a decimal integer of at most 18 digits.
func number(text string) (int64, bool) {
	digits := strings.TrimPrefix(text, "-")
	if len(digits) == 0 || len(digits) > 18 {
		return 0, false
	}
	var n int64
	for _, c := range []byte(digits) {
		if c < '0' || c > '9' {
			return 0, false
		}
		n = n*10 + int64(c-'0')
	}
	if len(digits) < len(text) {
		n = -n
	}
	return n, true
}
