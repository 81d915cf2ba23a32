package daemon

import (
	"time"

	"github.com/redis-watchdog/redis-watchdog/cmd/redis-watchdog/internal/config"
	"github.com/redis-watchdog/redis-watchdog/cmd/redis-watchdog/internal/hooks"
	"github.com/redis-watchdog/redis-watchdog/watchdog/agent"
)

func hooksOf(cfg *config.Config) []hooks.Hook {
	var all []hooks.Hook
	for _, h := range cfg.Hooks {
		all = append(all, hooks.Hook{On: h.On, Command: h.Command, Timeout: h.Timeout})
	}
	return all
}

// notifyHooks hands a change of the phase over, with what the loop knew when it
// saw it. It is called by the loop.
func (x *node) notifyHooks(t agent.Turn) {
	s := x.agent.Status(agent.Extras{})
	x.hooks.Happened(hooks.Event{
		Time: time.Now().UTC(), Group: x.group, Node: x.name, Address: s.Address, From: t.From, To: t.To,
		Row: s.Row, Reason: t.Reason, Master: s.Master, Generation: s.Generation, Epoch: s.Epoch,
	})
}
