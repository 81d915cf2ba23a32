package daemon

import (
	"time"

	"github.com/redis-watchdog/redis-watchdog/preflight/gather"
	"github.com/redis-watchdog/redis-watchdog/watchdog/agent"
)

// status is the node's snapshot with what only the adapters know. Reading it
// changes nothing.
func (x *node) status() agent.Status {
	d := x.gate.Details()
	s := x.agent.Status(agent.Extras{
		Sentinels: x.sentinels(), Faults: x.faults(), Lag: d.LagSeconds,
	})
	s.Unaudited = x.unaudited(s)
	x.showData(&s)
	x.showVeto(&s)
	x.faultLog.begun(s.Faults, time.Now())
	return s
}

func (x *node) sentinels() []agent.SentinelStatus {
	v, self := x.watcher.View(), x.local.Self()
	out := make([]agent.SentinelStatus, 0, len(v.Sentinels))
	for _, w := range v.Sentinels {
		s := agent.SentinelStatus{
			Address: w.Address, RunID: w.RunID, Answering: w.Answering,
			Master: string(w.Master), Epoch: w.Epoch, Tilt: w.Tilt, AgeSeconds: -1, Error: w.Error,
		}
		if w.SentAt != 0 {
			s.AgeSeconds = v.At.Sub(w.SentAt).Seconds()
		}
		for _, down := range w.Down {
			s.Down = s.Down || self != "" && down == self
		}
		out = append(out, s)
	}
	return out
}

// faults gathers what the adapters complain of.
func (x *node) faults() []agent.Fault {
	var all []agent.Fault
	add := func(id string, severity agent.Severity, text, remedy string) {
		all = append(all, agent.Fault{ID: id, Severity: severity, Text: text, Remedy: remedy})
	}
	all = append(all, x.keeper.Faults()...) // the store's among them
	all = append(all, x.watcher.Faults()...)
	if why := x.pings.Why(); why != "" {
		add("sentinel_unheard", agent.SeverityWarning, "sentinels that cannot be asked do not count by their PINGs at this Redis either: "+why,
			"let the watchdog reach them (address, port, firewall, credentials); their PINGs are only heard in Redis' own network namespace, from where they announce to be, or as a user that another sentinel logs in as")
	}
	all = append(all, x.gate.Details().Faults...)
	if text, remedy := x.sharedFault(); text != "" {
		add("two_groups", agent.SeverityWarning, text, remedy)
	}
	if denied := x.reporter.denied(); denied != "" {
		add("rights_report", agent.SeverityWarning, "preflight and veto cannot read all they compare: "+denied,
			"redis-cli ACL SETUSER <user> "+gather.ReadRights+"   # the user of nodes[].username")
	}
	for _, f := range x.reporter.ofFile() {
		add(f.Check, agent.SeverityWarning, f.Reason, f.Remedy)
	}
	for _, f := range x.reporter.ofBuild() { // the promise is not kept there, whatever is done
		add(f.Check, agent.SeverityError, f.Reason, f.Remedy)
	}
	if text, remedy := x.reloads.refused(); text != "" {
		add("reload_refused", agent.SeverityWarning, text, remedy)
	}
	if err := x.unheard(); err != nil {
		add("http_listen", agent.SeverityWarning, "nobody is answered over HTTP, neither Prometheus nor a load balancer: "+err.Error(),
			"see what has the address: ss -ltnp; or change http.listen, and restart")
	}
	all = append(all, x.stop.faults()...)
	if text, remedy := x.heldShut(); text != "" {
		add("held_shut", agent.SeverityWarning, text, remedy)
	}
	return all
}
