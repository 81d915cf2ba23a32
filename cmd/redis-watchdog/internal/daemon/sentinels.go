package daemon

// What all groups share to hear their Sentinels.

import (
	"crypto/tls"
	"fmt"
	"reflect"
	"slices"

	"github.com/hashicorp/go-hclog"

	"github.com/redis-watchdog/redis-watchdog/cmd/redis-watchdog/internal/config"
	"github.com/redis-watchdog/redis-watchdog/sentinel"
	"github.com/redis-watchdog/redis-watchdog/watchdog/agent"
)

// sentinels are the conversations with the Sentinels of all groups: one with each
// process, whatever number of groups are configured with it in the same way.
type sentinels struct {
	shared *sentinel.Conversations
	ways   []wayOfTLS
}

// wayOfTLS is one sentinel_tls: groups that have it alike share what is made of it,
// by which the conversations see that it is alike.
type wayOfTLS struct {
	of *config.TLS
	is *tls.Config
}

func newSentinels() *sentinels {
	return &sentinels{shared: sentinel.NewConversations(agent.Boottime)}
}

// client is what TLS to a group's Sentinels is made with; nil: there is none.
func (s *sentinels) client(of *config.TLS) (*tls.Config, error) {
	if i := slices.IndexFunc(s.ways, func(w wayOfTLS) bool { return reflect.DeepEqual(w.of, of) }); i >= 0 {
		return s.ways[i].is, nil
	}
	is, err := of.Client()
	if err != nil {
		return nil, fmt.Errorf("sentinel_tls: %w", err)
	}
	s.ways = append(s.ways, wayOfTLS{of, is})
	return is, nil
}

// keep forgets the settings that no group of cfg has.
func (s *sentinels) keep(cfg *config.Config) {
	s.ways = slices.DeleteFunc(s.ways, func(w wayOfTLS) bool {
		return !slices.ContainsFunc(cfg.Groups, func(g config.Group) bool { return reflect.DeepEqual(w.of, g.SentinelTLS) })
	})
}

// sentinelsOf is how the Sentinels of a group are heard.
func sentinelsOf(g config.Group, tls *tls.Config, log hclog.Logger) sentinel.Config {
	return sentinel.Config{
		Group: g.Name, Sentinels: g.Sentinels, Username: g.SentinelUsername, Password: string(g.SentinelPassword), TLS: tls,
		ClockRateError: g.Policy.ClockRateError, Now: agent.Boottime, Log: log,
	}
}
