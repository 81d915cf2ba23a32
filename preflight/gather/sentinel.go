package gather

// What each Sentinel says of the group.

import (
	"context"
	"crypto/tls"
	"fmt"
	"math"
	"net"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/redis-watchdog/redis-watchdog/preflight"
	"github.com/redis-watchdog/redis-watchdog/watchdog/redisclient"
	"github.com/redis-watchdog/redis-watchdog/watchdog/sorted"
)

// SentinelConfig is the Sentinels of one group.
type SentinelConfig struct {
	Group     string
	Addresses []string // host:port, as configured; those they name are asked too
	Username  string
	Password  string
	TLS       *tls.Config
	Timeout   time.Duration // of each, for everything; zero: DefaultTimeout

	// Dial replaces net.Dialer's, for labs. Nil: that.
	Dial func(ctx context.Context, network, address string) (net.Conn, error)
}

// maxSentinels bounds how many are asked, whatever they name.
const maxSentinels = 64

// Sentinels asks each of them, all at once, and then those that they named and
// that were not asked yet. They come back in order of their addresses; one that
// could not be asked says why in Error.
func Sentinels(ctx context.Context, c SentinelConfig) []preflight.Sentinel {
	return sentinels(ctx, c, &names{})
}

func sentinels(ctx context.Context, c SentinelConfig, n *names) []preflight.Sentinel {
	var all []preflight.Sentinel
	asked := map[string]bool{}
	next := slices.Clone(c.Addresses)
	for len(next) > 0 && len(all) < maxSentinels {
		round := askAll(ctx, c, next, n)
		for _, address := range next {
			asked[address] = true
		}
		next = nil
		for _, s := range round {
			if s.RunID != "" && slices.ContainsFunc(all, func(o preflight.Sentinel) bool { return o.RunID == s.RunID }) {
				continue // the same one, under another of its addresses
			}
			all = append(all, s)
			asked[s.Address] = true
		}
		for _, s := range all {
			for _, peer := range s.Peers {
				if !asked[peer] && !slices.Contains(next, peer) {
					next = append(next, peer)
				}
			}
		}
	}
	sorted.By(all, func(a, b preflight.Sentinel) int { return strings.Compare(a.Address, b.Address) })
	return all
}

func askAll(ctx context.Context, c SentinelConfig, addresses []string, n *names) []preflight.Sentinel {
	all := make([]preflight.Sentinel, len(addresses))
	var asking sync.WaitGroup
	for i, address := range addresses {
		asking.Go(func() { all[i] = askSentinel(ctx, c, address, n) })
	}
	asking.Wait()
	return all
}

// askSentinel asks one. Its address is as it was given, but in our spelling.
func askSentinel(ctx context.Context, c SentinelConfig, address string, n *names) preflight.Sentinel {
	s := preflight.Sentinel{Address: n.spell(ctx, address)}
	server := Server{Address: address, Username: c.Username, Password: c.Password, TLS: c.TLS, Timeout: c.Timeout, Dial: c.Dial}
	re, err := server.ask(ctx,
		[]string{"SENTINEL", "GET-MASTER-ADDR-BY-NAME", c.Group},
		[]string{"SENTINEL", "MASTER", c.Group},
		[]string{"SENTINEL", "REPLICAS", c.Group},
		[]string{"SENTINEL", "SENTINELS", c.Group},
		[]string{"SENTINEL", "CKQUORUM", c.Group},
		[]string{"INFO"},
		[]string{"SENTINEL", "MYID"}, // since 6.2
	)
	if err != nil {
		s.Error = err.Error()
		return s
	}
	for _, i := range []int{0, 1, 2, 3} {
		if err := re[i].Err; err != nil {
			s.Error = err.Error()
			return s
		}
	}
	at := re[0].List()
	if len(at) != 2 {
		s.Error = "it does not know the group " + strconv.Quote(c.Group)
		return s
	}
	host, port := redisclient.Text(at[0]), redisclient.Text(at[1])
	if s.Master = n.address(ctx, host, port); s.Master == "" {
		s.Error = "it names a master that cannot be found: " + spelled(host, port)
		return s
	}
	if err := readMaster(&s, re[1].Pairs()); err != nil {
		s.Error = err.Error()
		return s
	}
	readLists(ctx, &s, re[2].List(), re[3].List(), n)
	if s.CKQuorum = re[4].Text(); re[4].Err != nil {
		s.CKQuorum = re[4].Err.Error()
	}
	s.CKQuorumOK = re[4].Err == nil && strings.HasPrefix(s.CKQuorum, "OK")
	if err := re[5].Err; err != nil {
		s.TiltUnknown = "INFO: " + err.Error()
	}
	lines(re[5].Text(), func(key, value string) {
		switch key {
		case "redis_version":
			s.Version = value
		case "valkey_version":
			s.Version = "valkey " + value
		case "sentinel_tilt":
			s.Tilt = value == "1"
		case "run_id":
			s.RunID = value
		}
	})
	if id := re[6].Text(); id != "" {
		s.RunID = id // what others call it by; INFO's is of this start
	}
	return s
}

// readMaster reads SENTINEL MASTER. An error: it does not tell its epoch, and so
// names nobody.
func readMaster(s *preflight.Sentinel, m map[string]string) (err error) {
	if s.Epoch, err = strconv.ParseUint(m["config-epoch"], 10, 64); err != nil {
		return fmt.Errorf("its config-epoch is no number: %.40q", m["config-epoch"])
	}
	count := func(field string) int {
		v := number(m[field], -1)
		if v < 0 || v > math.MaxInt32 {
			s.Unread = append(s.Unread, preflight.Unread{Name: field, In: "SENTINEL MASTER", Why: fmt.Sprintf("it is no number: %.40q", m[field])})
			return 0
		}
		return int(v)
	}
	s.Quorum, s.Others, s.ParallelSyncs = count("quorum"), count("num-other-sentinels"), count("parallel-syncs")
	s.DownAfter = milliseconds(m["down-after-milliseconds"])
	s.FailTimeout = milliseconds(m["failover-timeout"])
	s.Flags, s.FailoverState = m["flags"], m["failover-state"]
	return nil
}

// readLists reads SENTINEL REPLICAS and SENTINEL SENTINELS. What no Redis or
// Sentinel can be is left out of them, and named.
func readLists(ctx context.Context, s *preflight.Sentinel, replicas, peers []any, n *names) {
	leave := func(in string, m map[string]string) {
		why := "it has no address"
		if m["port"] == "0" && m["ip"] != "" {
			why = "nothing listens on port 0"
		}
		s.Unread = append(s.Unread, preflight.Unread{Name: spelled(m["ip"], m["port"]), In: in, Why: why})
	}
	for _, r := range replicas {
		m := redisclient.Pairs(r)
		if v := view(ctx, m, n); v.Address != "" {
			s.Replicas = append(s.Replicas, v)
		} else {
			leave("SENTINEL REPLICAS", m)
		}
	}
	for _, p := range peers {
		m := redisclient.Pairs(p)
		if a := n.address(ctx, m["ip"], m["port"]); a != "" {
			s.Peers = append(s.Peers, a)
		} else {
			leave("SENTINEL SENTINELS", m)
		}
	}
}

// spelled is host and port as they came, for people.
func spelled(host, port string) string { return fmt.Sprintf("%.255s:%.20s", host, port) }

// view is one element of SENTINEL REPLICAS. What is not in it is -1.
func view(ctx context.Context, m map[string]string, n *names) preflight.SentinelView {
	return preflight.SentinelView{
		Address: n.address(ctx, m["ip"], m["port"]), Flags: m["flags"],
		Priority: int(number(m["slave-priority"], -1)), LinkStatus: m["master-link-status"],
		LinkDown: milliseconds(m["master-link-down-time"]), Offset: number(m["slave-repl-offset"], -1),
		InfoAge: milliseconds(m["info-refresh"]), PongAge: milliseconds(m["last-ok-ping-reply"]),
		Master: n.address(ctx, m["master-host"], m["master-port"]), Reported: m["role-reported"],
	}
}

func number(text string, otherwise int64) int64 {
	if v, err := strconv.ParseInt(text, 10, 64); err == nil {
		return v
	}
	return otherwise
}

// milliseconds is a time that a Sentinel gave; -1: it gave none. One that never
// had an INFO says the time since 1970, which is one.
func milliseconds(text string) time.Duration {
	v := number(text, -1)
	if v < 0 {
		return -1
	}
	return time.Duration(min(v, 1<<43)) * time.Millisecond // below what a Duration holds
}
