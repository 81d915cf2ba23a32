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
	heard map[complaint]time.Time // since when it stands
	told  map[complaint]bool
}

// complaint is one fault, of one or several members or Sentinels alike.
type complaint struct {
	id       string
	severity agent.Severity
}

const faultLasts = 3 * time.Second

func (c *complaints) tell(faults []agent.Fault, now time.Time) {
	heard, told := make(map[complaint]time.Time, len(faults)), make(map[complaint]bool, len(faults))
	for _, f := range faults {
		this := complaint{f.ID, f.Severity}
		if _, again := heard[this]; again {
			continue
		}
		since, known := c.heard[this]
		if !known {
			since = now
		}
		heard[this], told[this] = since, c.told[this]
		if told[this] || now.Sub(since) < faultLasts {
			continue
		}
		told[this] = true
		log := c.log.Warn
		if f.Severity == agent.SeverityError {
			log = c.log.Error
		}
		log("fault stands", "id", f.ID, "text", f.Text, "remedy", f.Remedy)
	}
	for this, logged := range c.told {
		if _, stands := heard[this]; logged && !stands {
			c.log.Info("fault is gone", "id", this.id)
		}
	}
	c.heard, c.told = heard, told
}
