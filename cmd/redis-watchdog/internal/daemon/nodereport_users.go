package daemon

// Whether users have the same passwords here and at the master. What could be
// guessed at is not written down anywhere: a digest of a password in etcd, keyed
// by what lies beside it, is the password to whoever reads the two and has time.
// So the watchdog of a replica asks the master's Redis itself, as the user that it
// is here, and compares in memory, under a key of its own that ends with it.

import (
	"context"
	"strings"
	"time"

	"github.com/redis-watchdog/redis-watchdog/preflight"
	"github.com/redis-watchdog/redis-watchdog/preflight/gather"
	"github.com/redis-watchdog/redis-watchdog/watchdog"
	"github.com/redis-watchdog/redis-watchdog/watchdog/agent"
)

// refusedAgain is when a master that refused our user is asked again: each time
// is a line in its ACL LOG.
const refusedAgain = 10 * time.Minute

// peer is the master's Redis as this watchdog may ask it.
type peer struct {
	key       string           // of the digests: random, this process' alone
	refusedAt watchdog.Instant // 0: it was not
	refusal   error
}

// linkedTo is the master that our Redis is in step with; empty: none. It has sent
// its own password there, so that ours goes to nobody who could not have asked
// for as much.
func linkedTo(st agent.Status) string {
	if !st.LinkUp || st.Following != st.Master {
		return ""
	}
	return st.Master
}

// withUsers puts the users that the master's Redis lists in place of those in its
// watchdog's report, which have no passwords. Where they cannot be had a Gap says
// why, and what is compared of the passwords is unknown.
func (s *reporter) withUsers(ctx context.Context, st agent.Status, master preflight.Node) preflight.Node {
	if master.Redis == nil {
		return master
	}
	why := "our Redis is not in step with it"
	if linkedTo(st) == master.Address {
		users, err := s.usersAt(ctx, master.Address)
		if err == nil {
			redis := *master.Redis
			redis.Users = users
			master.Redis = &redis
			return master
		}
		why = err.Error()
	}
	master.Gaps = append(master.Gaps, preflight.Gap{What: preflight.GapPasswords, Why: why})
	return master
}

func (s *reporter) usersAt(ctx context.Context, address string) ([]preflight.User, error) {
	now := agent.Boottime()
	if s.peer.refusedAt != 0 && now.Sub(s.peer.refusedAt) < refusedAgain {
		return nil, s.peer.refusal
	}
	server := s.server
	server.Address, server.Socket = address, ""
	users, err := gather.Users(ctx, server, s.peer.key)
	s.peer.refusedAt, s.peer.refusal = 0, nil
	if err != nil && refusedUs(err) {
		s.peer.refusedAt, s.peer.refusal = now, err
	}
	return users, err
}

// refusedUs is whether Redis has refused our user, or its right.
func refusedUs(err error) bool {
	for _, code := range []string{"WRONGPASS", "NOPERM", "NOAUTH", "invalid password", "unknown command"} {
		if strings.Contains(err.Error(), code) {
			return true
		}
	}
	return false
}
