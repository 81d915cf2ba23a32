package sentinel

// Sentinels that are answered with errors by a Redis that they watch.

import (
	"fmt"
	"maps"
	"net"
	"slices"
	"strings"
	"time"

	"github.com/redis-watchdog/redis-watchdog/watchdog"
)

const (
	// lastReply is the most that passes between two replies to a Sentinel's PINGs,
	// one a second, and a look of its own at them.
	lastReply = 2500 * time.Millisecond
	// erringFor is since when none of them may have been a good one: a script that
	// is over by then (BUSY) is not told of.
	erringFor = 3 * time.Second
)

// erring says that this Redis answers that Sentinel's PINGs, and with errors: NOAUTH
// after a login that failed, NOPERM, BUSY, MISCONF of one that cannot save. A link whose login failed is not begun
// anew, for it is answered (sentinel.c, sentinelPingReplyCallback sets
// last_pong_time by any reply, and sentinelHandleRedisInstance closes a link by that
// alone): it stays so when the password has become right (seen on 7.0.15).
func (in *Instance) erring() bool {
	return in.ReplyAge >= 0 && in.ReplyAge <= lastReply && in.PongAge-in.ReplyAge > erringFor && in.Has(FlagSDown)
}

// refusedFaults names the Sentinels whose PINGs are answered with errors, by the
// master or by replicas: a master they hold down, replicas they cannot promote.
func (s *State) refusedFaults(group string, now watchdog.Instant) (faults []Fault) {
	by, lines := map[watchdog.Address][]string{}, map[string]bool{}
	for i := range s.Members {
		m := &s.Members[i]
		if !s.fresh(m, now) {
			continue
		}
		at := func(in *Instance) {
			if in.erring() && in.Address != "" {
				by[in.Address] = append(by[in.Address], m.Key)
				if host, port, err := net.SplitHostPort(m.Key); err == nil {
					lines[fmt.Sprintf("redis-cli -h %s -p %s SENTINEL SET %s auth-pass PASSWORD", host, port, group)] = true
				}
			}
		}
		at(&m.Last.Master)
		for j := range m.Last.Replicas {
			at(&m.Last.Replicas[j])
		}
	}
	if len(by) == 0 {
		return nil
	}
	var who []string
	for _, address := range slices.Sorted(maps.Keys(by)) {
		who = append(who, fmt.Sprintf("%s those of %s", address, strings.Join(by[address], ", ")))
	}
	return append(faults, Fault{ID: "sentinel_refused", Severity: severityWarning,
		Text: fmt.Sprintf("the PINGs of sentinels of group %q are answered with errors, so that they hold down what answers, and promote none of it: %s. "+
			"Their login failed, most likely, and Sentinel does not try again by itself; or that Redis cannot save (MISCONF)", group, strings.Join(who, "; ")),
		Remedy: strings.Join(slices.Sorted(maps.Keys(lines)), "\n") + "\n# with the password of Redis (and auth-user, where there is one): each sentinel then logs in anew. Is it a script that keeps Redis busy (BUSY), it passes; if rdb_last_bgsave_status in INFO is err, see its disk"})
}
