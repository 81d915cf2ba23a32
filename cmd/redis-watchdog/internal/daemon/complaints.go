package daemon

import (
	"time"

	"github.com/hashicorp/go-hclog"

	"github.com/redis-watchdog/redis-watchdog/watchdog/agent"
)

// complaints logs every fault of a node once it has lasted, and its end. What
// etcd does not answer for a moment needs nobody; what it has not answered for
// some seconds does.
type complaints struct {
	log   hclog.Logger
	heard map[string]time.Time // by id: since when it stands
	told  map[string]bool
}

const faultLasts = 3 * time.Second

func (c *complaints) tell(faults []agent.Fault, now time.Time) {
	heard, told := make(map[string]time.Time, len(faults)), make(map[string]bool, len(faults))
	for _, f := range faults {
		since, known := c.heard[f.ID]
		if !known {
			since = now
		}
		heard[f.ID], told[f.ID] = since, c.told[f.ID]
		if told[f.ID] || now.Sub(since) < faultLasts {
			continue
		}
		told[f.ID] = true
		log := c.log.Warn
		if f.Severity == agent.SeverityError {
			log = c.log.Error
		}
		log("fault stands", "id", f.ID, "text", f.Text, "remedy", f.Remedy)
	}
	for id := range c.told {
		if _, stands := heard[id]; c.told[id] && !stands {
			c.log.Info("fault is gone", "id", id)
		}
	}
	c.heard, c.told = heard, told
}
