package sentinel

// From the replies of a poll to an Answer.

import (
	"bytes"
	"errors"
	"fmt"
	"net"
	"time"

	"github.com/redis-watchdog/redis-watchdog/watchdog"
	"github.com/redis-watchdog/redis-watchdog/watchdog/resp"
)

// errRefused is an error reply that says we may not ask: the credentials or the
// rights are wrong.
var errRefused = errors.New("refused")

// pollCommands are the two polls of a group, each sent in one write: Sentinel has
// no MULTI, but runs what arrived together without turning to its timers.
func pollCommands(group string) (lean, full []byte) {
	lean = resp.Append(nil, "SENTINEL", "GET-MASTER-ADDR-BY-NAME", group)
	lean = resp.Append(lean, "SENTINEL", "MASTER", group)
	full = append(full, lean...)
	full = resp.Append(full, "SENTINEL", "REPLICAS", group)
	full = resp.Append(full, "SENTINEL", "SENTINELS", group)
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

func parseProcess(r *replies, i int) (p process) {
	switch v := r.vals[i]; v.kind {
	case '$':
		p.tilt = bytes.Contains(r.text(v), []byte("sentinel_tilt:1"))
	case '-':
		p.denied = string(r.text(v))
	}
	return p
}

// namer makes what it reads of a Sentinel's answer into lasting values. It is the
// group's resolver, or a glance at it.
type namer interface {
	Address(hostname, port []byte) watchdog.Address
	As(hostname, port []byte) string
	Text(b []byte) string
}

// parse makes an Answer of the replies whose values begin at the given
// indices. Of many things that were read, the one that makes no sense is left
// out and named; the rest stands. An error that is not errRefused is garbage.
func parse(r *replies, at []int, names namer, of process) (Answer, error) {
	var a Answer
	for _, i := range at[:leanReplies] {
		if err := refusal(r, i); err != nil {
			return a, err
		}
	}
	v := r.vals[at[0]]
	if v.kind == '*' && v.n == -1 {
		return a, nil // it does not know the group, and says so to the rest too
	}
	if v.kind != '*' || v.n != 2 || r.vals[at[0]+1].kind != '$' || r.vals[at[0]+2].kind != '$' {
		return a, fmt.Errorf("%w: GET-MASTER-ADDR-BY-NAME is no pair", errProtocol)
	}
	host, port := r.text(r.vals[at[0]+1]), r.text(r.vals[at[0]+2])
	if a.Named = names.Address(host, port); a.Named == "" {
		a.Nameless = fmt.Sprintf("GET-MASTER-ADDR-BY-NAME is no address: %.60q", spelled(host, port))
	} else {
		a.As = names.As(host, port)
	}
	var bad []byte
	if a.Master, bad = parseInstance(r, at[1], names); bad != nil {
		a.Unclear = fmt.Sprintf("field %.40q of SENTINEL MASTER cannot be read", bad)
	}
	if a.Master.noEpoch {
		a.Nameless = "config-epoch of SENTINEL MASTER cannot be read" // a vote is of an address at an epoch
	}
	if a.Asked = len(at) == fullReplies; a.Asked {
		parseLists(r, at, names, &a)
		a.Tilt = of.tilt
		if a.Denied == "" {
			a.Denied = of.denied
		}
	}
	return a, nil
}

// parseLists reads what a full poll asks besides.
func parseLists(r *replies, at []int, names namer, a *Answer) {
	for _, i := range at[leanReplies:] {
		if v := r.vals[i]; v.kind == '-' && a.Denied == "" {
			a.Denied = string(r.text(v))
		}
	}
	told := true
	told = elements(r, at[2], func(i int) { parseReplica(r, i, names, a) }) && told
	told = elements(r, at[3], func(i int) { parsePeer(r, i, names, a) }) && told
	if !told && a.Denied == "" {
		a.Denied = "no list is answered"
	}
	// One list without the other would be taken for an empty one.
	if a.Full = told; !told {
		a.Replicas, a.Sentinels, a.Unread = nil, nil, nil
	}
}

func refusal(r *replies, i int) error {
	v := r.vals[i]
	if v.kind != '-' {
		return nil
	}
	text := r.text(v)
	for _, prefix := range []string{"NOAUTH", "WRONGPASS", "NOPERM"} {
		if bytes.HasPrefix(text, []byte(prefix)) {
			return fmt.Errorf("%w: %s", errRefused, text)
		}
	}
	return nil
}

// elements calls f for each element of the list at i; false: it is none.
func elements(r *replies, i int, f func(i int)) bool {
	v := r.vals[i]
	if v.kind != '*' || v.n < 0 {
		return false
	}
	for j := range v.n {
		if j == 0 {
			i++
		} else {
			i = r.skip(i)
		}
		f(i)
	}
	return true
}

// fields collects what went wrong while fields are read one by one.
type fields struct{ bad []byte }

func (f *fields) int(name, text []byte, otherwise int64) int64 {
	n, ok := number(text)
	if !ok {
		f.bad = name
		return otherwise
	}
	return n
}

// ms is a time in milliseconds; -1: it is none. One of more than thirty years
// is no time: a clock was set, or it is garbage.
func (f *fields) ms(name, text []byte) time.Duration {
	n := f.int(name, text, -1)
	if n > 1e12 || n < -1e12 {
		f.bad, n = name, -1
	}
	return time.Duration(n) * time.Millisecond
}

// parseInstance reads one Redis. A field that cannot be read (bad is the name of
// one; nil: none) is what it is where it is not told. No Address: there is none,
// or the element is no list of fields.
func parseInstance(r *replies, i int, names namer) (in Instance, bad []byte) {
	in = Instance{PongAge: -1, ReplyAge: -1, PingAge: -1, RoleFor: -1, Priority: -1}
	var ip, port []byte
	var f fields
	if !r.pairs(i, func(name, text []byte) {
		switch string(name) {
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
		return Instance{}, nil
	}
	if in.Address = names.Address(ip, port); in.Address != "" {
		in.As = names.As(ip, port)
	}
	return in, f.bad
}

// parseReplica adds one replica, or leaves it out. One whose offset cannot be
// read counts as one that was never asked for it.
func parseReplica(r *replies, i int, names namer, a *Answer) {
	const from = "SENTINEL REPLICAS"
	in, bad := parseInstance(r, i, names)
	ip, port := hostPort(r, i)
	switch {
	case in.Address != "":
		if in.Offset < 0 {
			in.Offset, in.InfoAge = 0, 0
		}
		a.Replicas = append(a.Replicas, in)
		if bad != nil {
			a.Unread = append(a.Unread, LeftOut{From: from, Name: names.Text(spelled(ip, port)), Why: fmt.Sprintf("its field %.40q cannot be read", bad)})
		}
	case string(port) == "0" && len(ip) > 0:
		// Sentinel never connects to one (sentinelReconnectInstance), and
		// promotes none that it has no connection to (sentinelSelectSlave).
		a.Unread = append(a.Unread, LeftOut{From: from, Name: names.Text(spelled(ip, port)), Why: PortZero})
	default:
		a.Unread = append(a.Unread, LeftOut{From: from, Name: names.Text(spelled(ip, port)), Why: "it has no address", Candidate: true})
	}
}

// PortZero is why a replica at port 0 is left out.
const PortZero = "no Redis is at port 0"

func hostPort(r *replies, i int) (ip, port []byte) {
	r.pairs(i, func(name, text []byte) {
		switch string(name) {
		case "ip":
			ip = text
		case "port":
			port = text
		}
	})
	return ip, port
}

// spelled is host and port as they came, for people.
func spelled(host, port []byte) []byte {
	if len(host) > 255 {
		host = host[:255]
	}
	if len(port) > 20 {
		port = port[:20]
	}
	return append(append(append([]byte{}, host...), ':'), port...)
}

// age is info-refresh. Redis 6 counts one that never was from 1970: that is as
// good as never, and no garbage.
func age(text []byte) time.Duration {
	n, ok := number(text)
	if !ok || n < 0 || n > 1e12 {
		return 0
	}
	return time.Duration(n) * time.Millisecond
}

// parsePeer adds another Sentinel. One without an address cannot be asked, but
// may have its part in a promotion: it stays in the list, without one. What it
// does not tell of when it was heard is taken for now, the careful reading.
func parsePeer(r *replies, i int, names namer, a *Answer) {
	var p Peer
	var ip, port []byte
	var f fields
	ok := r.pairs(i, func(name, text []byte) {
		switch string(name) {
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
	case f.bad != nil:
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

func parseFlags(text []byte) (f Flag) {
	for len(text) > 0 {
		var one []byte
		one, text, _ = bytes.Cut(text, []byte(","))
		switch string(one) {
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
func parseFailover(text []byte) FailoverState {
	switch string(text) {
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

func parseRole(text []byte) watchdog.Role {
	switch string(text) {
	case "master", "primary":
		return watchdog.Master
	case "slave", "replica":
		return watchdog.Replica
	}
	return watchdog.RoleUnknown
}
