package gather

// What each Sentinel says of the group.

import (
	"context"
	"crypto/tls"
	"net"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/redis-watchdog/redis-watchdog/preflight"
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
	slices.SortFunc(all, func(a, b preflight.Sentinel) int { return strings.Compare(a.Address, b.Address) })
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
		if err := re[i].Err(); err != nil {
			s.Error = err.Error()
			return s
		}
	}
	if len(re[0].Elems) != 2 {
		s.Error = "it does not know the group " + strconv.Quote(c.Group)
		return s
	}
	s.Master = n.address(ctx, re[0].Elems[0].Text, re[0].Elems[1].Text)
	readMaster(&s, re[1].Pairs())
	for _, r := range re[2].Elems {
		s.Replicas = append(s.Replicas, view(ctx, r.Pairs(), n))
	}
	for _, p := range re[3].Elems {
		m := p.Pairs()
		if a := n.address(ctx, m["ip"], m["port"]); a != "" {
			s.Peers = append(s.Peers, a)
		}
	}
	s.CKQuorum, s.CKQuorumOK = re[4].Text, re[4].Kind == '+' && strings.HasPrefix(re[4].Text, "OK")
	if err := re[5].Err(); err != nil {
		s.Error = "INFO: " + err.Error() // whether it is in TILT is not known
	}
	lines(re[5].Text, func(key, value string) {
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
	if re[6].Kind == '$' {
		s.RunID = re[6].Text // what others call it by; INFO's is of this start
	}
	return s
}

func readMaster(s *preflight.Sentinel, m map[string]string) {
	s.Epoch, _ = strconv.ParseUint(m["config-epoch"], 10, 64)
	s.Quorum = int(number(m["quorum"], 0))
	s.Others = int(number(m["num-other-sentinels"], 0))
	s.DownAfter = milliseconds(m["down-after-milliseconds"])
	s.FailTimeout = milliseconds(m["failover-timeout"])
	s.ParallelSyncs = int(number(m["parallel-syncs"], 0))
	s.Flags, s.FailoverState = m["flags"], m["failover-state"]
}

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
