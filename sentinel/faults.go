package sentinel

// What keeps the Sentinels of this group from being good witnesses.

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/redis-watchdog/redis-watchdog/watchdog"
)

// Fault is something that is wrong until it is gone. Its fields are those of
// the status page.
type Fault struct {
	ID       string
	Severity string // "error" or "warning"
	Text     string
	Remedy   string
}

const (
	severityError   = "error"
	severityWarning = "warning"
)

// Faults is what is wrong now, in a stable order.
func (w *Watcher) Faults() []Fault {
	w.mu.Lock()
	defer w.mu.Unlock()
	now := w.cfg.Now()
	faults := w.conversationFaults()
	faults = append(faults, w.state.faults(w.cfg.Group, now)...)
	for _, l := range w.locals {
		if l.self == "" && w.state.majority && (l.runID != "" || l.announced != "") {
			faults = append(faults, Fault{"sentinel_not_listed", severityError,
				fmt.Sprintf("the sentinels of group %q list no redis with the run id %q or the address %q of %s", w.cfg.Group, l.runID, l.announced, l.name),
				"check the group's name, replica-announce-ip and replica-announce-port; SENTINEL REPLICAS " + w.cfg.Group + " shows the list"})
		}
	}
	return faults
}

func (w *Watcher) conversationFaults() []Fault {
	var refused, garbage []string
	var why string
	for i := range w.state.Members {
		m := &w.state.Members[i]
		n := w.notes[m.Key]
		switch {
		case n == nil:
		case n.kind == errorRefused:
			refused, why = append(refused, m.Key), n.err
		case n.kind == errorGarbage:
			garbage = append(garbage, m.Key)
		}
	}
	var faults []Fault
	if refused != nil {
		faults = append(faults, Fault{"sentinel_auth", severityError,
			fmt.Sprintf("refused by the sentinels %s: %s", strings.Join(refused, ", "), why),
			"set the sentinels' username and password (not those of redis); the user needs SUBSCRIBE to all channels, SENTINEL, INFO and PING"})
	}
	if garbage != nil {
		faults = append(faults, Fault{"sentinel_garbage", severityWarning,
			fmt.Sprintf("no usable answer from %s", strings.Join(garbage, ", ")),
			"see the log; is a sentinel listening there?"})
	}
	return faults
}

// faults is what the answers themselves show.
func (s *State) faults(group string, now watchdog.Instant) (faults []Fault) {
	add := func(id, severity, remedy, text string, args ...any) {
		faults = append(faults, Fault{id, severity, fmt.Sprintf(text, args...), remedy})
	}
	t := s.Tally("", now)
	if t.Answering*2 <= t.Known {
		add("sentinel_minority", severityError, "start the sentinels that are missing; SENTINEL RESET "+group+" on each forgets those that are gone for good",
			"%d of %d known sentinels of group %q answer: no majority", t.Answering, t.Known, group)
	}
	var unknown, tilt, silent []string
	var downs []time.Duration
	for i := range s.Members {
		m := &s.Members[i]
		if m.Last.SentAt == 0 && s.heardNow(m, t.DownAfter, now) {
			silent = append(silent, m.Key)
		}
		if !s.fresh(m, now) {
			continue
		}
		if m.Last.Named == "" {
			unknown = append(unknown, m.Key)
			continue
		}
		if m.Tilt {
			tilt = append(tilt, m.Key)
		}
		if d := m.Last.Master.DownAfter; !slices.Contains(downs, d) {
			downs = append(downs, d)
		}
	}
	slices.Sort(downs)
	if unknown != nil {
		add("sentinel_unknown_group", severityError, "check the group's name; SENTINEL MASTERS shows what they monitor",
			"the sentinels %s do not monitor group %q", strings.Join(unknown, ", "), group)
	}
	if t.Quorum > 0 && len(silent) >= t.Quorum {
		add("sentinel_never_answered", severityError, "let the watchdog reach them: address, port, firewall, credentials",
			"%d sentinels of group %q are heard by the others and never answered us (%s): with a quorum of %d they could be promoting another now", len(silent), group, strings.Join(silent, ", "), t.Quorum)
	}
	if t.Quorum > 0 && t.Quorum*2 <= t.Known {
		add("sentinel_quorum", severityWarning, fmt.Sprintf("SENTINEL SET %s quorum %d on each", group, t.Known/2+1),
			"the quorum of group %q is %d of %d known sentinels, below a majority: a minority may decide that the master is down", group, t.Quorum, t.Known)
	}
	if t.Quorum > t.Known {
		add("sentinel_quorum", severityWarning, fmt.Sprintf("SENTINEL SET %s quorum %d on each", group, t.Known/2+1),
			"the quorum of group %q is %d of %d known sentinels: there will be no failover", group, t.Quorum, t.Known)
	}
	if len(downs) > 1 {
		add("sentinel_down_after_differs", severityWarning, "SENTINEL SET "+group+" down-after-milliseconds alike on each",
			"down-after-milliseconds of group %q differs among its sentinels (%v): the smallest counts", group, downs)
	}
	if tilt != nil {
		add("sentinel_tilt", severityWarning, "look for a suspended host or a clock that was set",
			"the sentinels %s are in TILT mode: they start no failover for 30 s", strings.Join(tilt, ", "))
	}
	return faults
}
