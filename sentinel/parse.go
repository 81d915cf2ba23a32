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

// pollCommands are the two polls, each sent in one write: Sentinel has no
// MULTI, but runs what arrived together without turning to its timers.
func pollCommands(group string) (lean, full []byte) {
	lean = resp.Append(nil, "SENTINEL", "GET-MASTER-ADDR-BY-NAME", group)
	lean = resp.Append(lean, "SENTINEL", "MASTER", group)
	full = append(full, lean...)
	full = resp.Append(full, "SENTINEL", "REPLICAS", group)
	full = resp.Append(full, "SENTINEL", "SENTINELS", group)
	full = resp.Append(full, "INFO", "sentinel")
	return lean, full
}

const (
	leanReplies = 2
	fullReplies = 5
)

// parse makes an Answer of the replies whose values begin at the given
// indices. An error that is not errRefused is garbage.
func parse(r *replies, at []int, names *resolver) (Answer, error) {
	var a Answer
	for _, i := range at {
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
	a.Named = names.Address(r.text(r.vals[at[0]+1]), r.text(r.vals[at[0]+2]))
	if a.Named == "" {
		return a, fmt.Errorf("%w: GET-MASTER-ADDR-BY-NAME is no address", errProtocol)
	}
	var err error
	if a.Master, err = parseInstance(r, at[1], names); err != nil {
		return a, fmt.Errorf("parse SENTINEL MASTER: %w", err)
	}
	if len(at) < fullReplies {
		return a, nil
	}
	a.Full = true
	err = elements(r, at[2], func(i int) error {
		in, err := parseInstance(r, i, names)
		a.Replicas = append(a.Replicas, in)
		return err
	})
	if err != nil {
		return a, fmt.Errorf("parse SENTINEL REPLICAS: %w", err)
	}
	err = elements(r, at[3], func(i int) error {
		p, err := parsePeer(r, i, names)
		a.Sentinels = append(a.Sentinels, p)
		return err
	})
	if err != nil {
		return a, fmt.Errorf("parse SENTINEL SENTINELS: %w", err)
	}
	info := r.vals[at[4]]
	if info.kind != '$' {
		return a, fmt.Errorf("%w: INFO is no text", errProtocol)
	}
	a.Tilt = bytes.Contains(r.text(info), []byte("sentinel_tilt:1"))
	return a, nil
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

func elements(r *replies, i int, f func(i int) error) error {
	v := r.vals[i]
	if v.kind != '*' || v.n < 0 || v.n > 10*maxSentinels {
		return fmt.Errorf("%w: no list", errProtocol)
	}
	for j := range v.n {
		if j == 0 {
			i++
		} else {
			i = r.skip(i)
		}
		if err := f(i); err != nil {
			return err
		}
	}
	return nil
}

// fields collects what went wrong while fields are read one by one.
type fields struct{ bad []byte }

func (f *fields) int(name, text []byte) int64 {
	n, ok := number(text)
	if !ok {
		f.bad = name
	}
	return n
}

// ms is a time in milliseconds. One of more than thirty years is no time: a
// clock was set, or it is garbage.
func (f *fields) ms(name, text []byte) time.Duration {
	n := f.int(name, text)
	if n > 1e12 || n < -1e12 {
		f.bad, n = name, 0
	}
	return time.Duration(n) * time.Millisecond
}

func parseInstance(r *replies, i int, names *resolver) (Instance, error) {
	in := Instance{PongAge: -1, RoleFor: -1, Priority: -1}
	var ip, port []byte
	var f fields
	ok := r.pairs(i, func(name, text []byte) {
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
		case "down-after-milliseconds":
			in.DownAfter = f.ms(name, text)
		case "role-reported":
			in.Reported = parseRole(text)
		case "role-reported-time":
			in.RoleFor = f.ms(name, text)
		case "config-epoch":
			in.Epoch = uint64(max(f.int(name, text), 0))
		case "num-other-sentinels":
			in.Others = int(f.int(name, text))
		case "num-slaves":
			in.Replicas = int(f.int(name, text))
		case "quorum":
			in.Quorum = int(f.int(name, text))
		case "failover-timeout":
			in.FailoverTimeout = f.ms(name, text)
		case "slave-priority":
			in.Priority = int(f.int(name, text))
		case "slave-repl-offset":
			in.Offset = f.int(name, text)
		case "info-refresh":
			in.InfoAge = age(text)
		}
	})
	if !ok {
		return in, fmt.Errorf("%w: no list of fields", errProtocol)
	}
	if f.bad != nil {
		return in, fmt.Errorf("%w: field %.40q is no number", errProtocol, f.bad)
	}
	if in.Address = names.Address(ip, port); in.Address == "" {
		return in, fmt.Errorf("%w: no address: %.60q", errProtocol, ip)
	}
	return in, nil
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

func parsePeer(r *replies, i int, names *resolver) (Peer, error) {
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
	if f.bad != nil {
		return p, fmt.Errorf("%w: field %.40q is no number", errProtocol, f.bad)
	}
	if p.Address = names.Address(ip, port); !ok || p.Address == "" {
		return p, fmt.Errorf("%w: no address: %.60q", errProtocol, ip)
	}
	p.Dial = net.JoinHostPort(names.Text(ip), names.Text(port))
	return p, nil
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
