package sentinel

// What keeps the Sentinels of this group from being good witnesses.

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/redis-watchdog/redis-watchdog/watchdog"
)

// Fault is something that keeps the Sentinels from being good witnesses.
type Fault = watchdog.Fault

const (
	severityError   = watchdog.SeverityError
	severityWarning = watchdog.SeverityWarning
)

// Faults is what is wrong now, in a stable order.
func (w *Watcher) Faults() []Fault {
	w.mu.Lock()
	defer w.mu.Unlock()
	now := w.cfg.Now()
	return append(w.conversationFaults(), w.state.faults(w.cfg.Group, now)...)
}

func (w *Watcher) conversationFaults() []Fault {
	kinds := map[errorKind][]string{} // of each, the Sentinels and what was last wrong with one
	var deaf []string
	for i := range w.state.Members {
		m := &w.state.Members[i]
		n := w.notes[m.Key]
		if n == nil {
			continue
		}
		switch {
		case n.kind != errorNone:
			kinds[n.kind] = append(kinds[n.kind], m.Key+" ("+n.err+")")
		case m.Last.Denied != "":
			kinds[errorRefused] = append(kinds[errorRefused], m.Key+" ("+m.Last.Denied+")")
		}
		if n.deaf != "" && n.kind == errorNone {
			deaf = append(deaf, m.Key+" ("+n.deaf+")")
		}
	}
	var faults []Fault
	add := func(id string, severity watchdog.Severity, text string, who []string, remedy string) {
		if who != nil {
			faults = append(faults, Fault{ID: id, Severity: severity, Text: text + " " + strings.Join(who, "; "), Remedy: remedy})
		}
	}
	const rights = "the user needs PING, INFO, SUBSCRIBE to all channels and the SENTINEL subcommands that docs/install.md names"
	add("sentinel_auth", severityError, "refused by sentinel", kinds[errorRefused],
		"set sentinel_username and sentinel_password_file (not those of redis); "+rights)
	add("sentinel_tls", severityError, "no TLS connection to sentinel", kinds[errorTLS],
		"check sentinel_tls: ca, cert and key, the names in the sentinels' certificates (server_name), and whether they speak TLS at this port")
	add("sentinel_away", severityWarning, "no answer from sentinel", kinds[errorAway],
		"start it, or let the watchdog reach it: address, firewall, sentinel_tls (a port of TLS closes what is no TLS)")
	add("sentinel_deaf", severityWarning, "polled only, as it does not let us subscribe: sentinel", deaf, rights)
	add("sentinel_garbage", severityWarning, "no usable answer from sentinel", kinds[errorGarbage],
		"is a sentinel listening there, or something else at that port?")
	return faults
}

const (
	leastFailoverTimeout   = time.Second       // a promotion alone takes as long: Sentinel acts ten times a second, and then waits for INFO
	defaultFailoverTimeout = 180 * time.Second // of Sentinel
)

// ghosts are what the Sentinels list and nothing can be, and the fields that
// cannot be read.
func (s *State) ghosts(group string, now watchdog.Instant) (faults []Fault) {
	by := map[LeftOut][]string{} // who lists it
	var unclear []string
	for i := range s.Members {
		m := &s.Members[i]
		if !s.fresh(m, now) {
			continue
		}
		for _, l := range m.Last.Unread {
			by[l] = append(by[l], m.Key)
		}
		if why := m.Last.unclear(); why != "" {
			unclear = append(unclear, m.Key+" ("+why+")")
		}
	}
	var entries []string
	remedy := fmt.Sprintf("look at SENTINEL REPLICAS %[1]s and SENTINEL SENTINELS %[1]s there; what is gone for good, SENTINEL RESET %[1]s forgets, at one sentinel after the other, each time when all list all replicas again", group)
	for l, who := range by {
		entries = append(entries, fmt.Sprintf("%s in %s (%s) at %s", l.Name, l.From, l.Why, strings.Join(who, ", ")))
		if l.Why == PortZero {
			remedy = fmt.Sprintf("while no backup runs: SENTINEL RESET %s at one sentinel after the other, each time when all list all replicas and the other sentinels again (half a minute); redis-cli --rdb at a master leaves such a replica, at a replica none", group)
		}
	}
	slices.Sort(entries)
	if entries != nil {
		faults = append(faults, Fault{ID: "sentinel_ghost", Severity: severityWarning,
			Text: fmt.Sprintf("left out of what the sentinels of group %q list, as it cannot be a Redis or a sentinel: %s", group, strings.Join(entries, "; ")), Remedy: remedy})
	}
	if unclear != nil {
		faults = append(faults, Fault{ID: "sentinel_unclear", Severity: severityWarning,
			Text:   fmt.Sprintf("these sentinels of group %q name the master, but not all of the rest can be used: %s", group, strings.Join(unclear, "; ")),
			Remedy: "look at the clock of that host (it passes by itself within a second or so of a clock that was set back), and at SENTINEL MASTER " + group + " there"})
	}
	return faults
}

// faults is what the answers themselves show.
func (s *State) faults(group string, now watchdog.Instant) (faults []Fault) {
	add := func(id string, severity watchdog.Severity, remedy, text string, args ...any) {
		faults = append(faults, Fault{ID: id, Severity: severity, Text: fmt.Sprintf(text, args...), Remedy: remedy})
	}
	t := s.Tally("", now)
	if t.Answering*2 <= t.Known {
		add("sentinel_minority", severityError, "start the sentinels that are missing; SENTINEL RESET "+group+" on each forgets those that are gone for good",
			"%d of %d known sentinels of group %q answer: no majority", t.Answering, t.Known, group)
	}
	var unknown, tilt, silent, unasked, hasty []string
	var longest time.Duration // failover-timeout of any of them
	downs, quorums := settings{"down-after-milliseconds", map[string]int64{}}, settings{"quorum", map[string]int64{}}
	for i := range s.Members {
		m := &s.Members[i]
		switch {
		case m.pinging(t.DownAfter, now) && !s.fresh(m, now):
			unasked = append(unasked, m.Key)
		case m.Last.SentAt == 0 && s.heardNow(m, t.DownAfter, now):
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
		if d := m.Last.Master.FailoverTimeout; d > 0 && d < leastFailoverTimeout {
			hasty = append(hasty, m.Key)
		}
		longest = max(longest, m.Last.Master.FailoverTimeout)
		if d := m.Last.Master.DownAfter; d > 0 {
			downs.of[m.Key] = d.Milliseconds()
		}
		if q := m.Last.Master.Quorum; q > 0 {
			quorums.of[m.Key] = int64(q)
		}
	}
	if names := s.unresolved(now); names != nil {
		severity := severityWarning
		if s.majority && !resolved(s.named) {
			severity = severityError
		}
		add("sentinel_unresolved", severity, "make the names resolve on this host, for the watchdog as for Redis: the name server, /etc/resolv.conf, /etc/hosts (getent hosts NAME shows what is found); until then what was agreed before stands, and a failover to one of them is not followed",
			"the sentinels of group %q name hosts that never could be resolved here: %s. It is not known whose they are", group, strings.Join(names, ", "))
	}
	if unknown != nil {
		add("sentinel_unknown_group", severityError, "check the group's name; SENTINEL MASTERS shows what they monitor",
			"the sentinels %s do not monitor group %q", strings.Join(unknown, ", "), group)
	}
	if t.Quorum > 0 && len(silent) >= t.Quorum {
		add("sentinel_never_answered", severityError, "let the watchdog reach them: address, port, firewall, credentials",
			"%d sentinels of group %q are heard by the others and never answered us (%s): with a quorum of %d they could be promoting another now", len(silent), group, strings.Join(silent, ", "), t.Quorum)
	}
	if unasked != nil {
		add("sentinel_unasked", severityWarning, "let the watchdog reach them: address, port, firewall, credentials; an address that leads nowhere from here: sentinel announce-ip and announce-port in their sentinel.conf",
			"the sentinels %s of group %q do not answer the watchdog and count by their PINGs at our Redis: none of them can hold it down now, but their word is missing (%d of %d answer), and after a fence it is opened later", strings.Join(unasked, ", "), group, t.Answering, t.Known)
	}
	if f := quorums.quorumFaults(group, t.Known); f != nil {
		faults = append(faults, *f)
	}
	if downs.differ() {
		add("sentinel_down_after_differs", severityWarning, downs.setTo(group, downs.most()),
			"down-after-milliseconds of group %q differs among its sentinels: the smallest counts for the fence, and each holds the master down by its own (%s)", group, downs.shown(" ms"))
	}
	if hasty != nil {
		was := time.Duration(defaultFailoverTimeout)
		if longest >= leastFailoverTimeout {
			was = longest // what the others have
		}
		add("sentinel_failover_timeout", severityError, fmt.Sprintf("SENTINEL SET %s failover-timeout %d on each", group, was.Milliseconds()),
			"the sentinels %s give every failover of group %q up before it can have ended: their failover-timeout is below %s (a redis-watchdog failover that was killed while it gave up leaves 1 ms)", strings.Join(hasty, ", "), group, leastFailoverTimeout)
	}
	if tilt != nil {
		add("sentinel_tilt", severityWarning, "look for a suspended host or a clock that was set",
			"the sentinels %s are in TILT mode: they start no failover for 30 s", strings.Join(tilt, ", "))
	}
	faults = append(faults, s.sameIDs(group, now)...)
	return append(append(faults, s.refusedFaults(group, now)...), s.ghosts(group, now)...)
}
