package metrics

import (
	"math"

	"github.com/prometheus/client_golang/prometheus"
)

// Report is what the newest report of a node showed.
type Report struct {
	Group, Node string
	Age         float64   // seconds; -1: there was none
	AskedAge    float64   // seconds since one was made for a preflight; -1: none was
	Drifted     int       // parameters; -1: not compared
	UntilLimit  float64   // seconds; +Inf: never; NaN: not known
	Checks      []Check   // the node's own; none for a master
	Keyspace    *Keyspace // the newest audit that was kept of the group; nil: none is known
	Borne       float64   // seconds that the node may stand still and not be fenced; 0: not known
}

// Keyspace is an audit in figures: no name of a key is in it.
type Keyspace struct {
	Age         float64 // seconds, by the clocks of two hosts
	Keys, Bytes float64
	Stalls      map[string]float64 // seconds at the most, by stall.Op; nil: the node's settings are not known
}

// Check is how one check came out.
type Check struct{ ID, Severity, Outcome string }

type reportCollector struct {
	reports                           func() []Report
	check, drifted, limit, age, asked *prometheus.Desc

	auditAge, keys, bytes, stall, borne *prometheus.Desc
}

func newReportCollector(reports func() []Report) reportCollector {
	return reportCollector{
		reports: reports,
		check:   nodeDesc(Checks, "1, for the outcome of every check of its own that a replica was put to last: failed, unknown or passed; severity blocks with outcome failed is what vetoes it.", "check", "severity", "outcome"),
		drifted: nodeDesc(Drifted, "Parameters that run with another value than redis.conf has; no series while that could not be compared."),
		limit:   nodeDesc(UntilLimit, "Until maxmemory is reached at the growth of the last minutes; +Inf when it does not grow or has no limit, no series while that is not known."),
		age:     nodeDesc(ReportAge, "Since the facts of this node were last read for its own checks and for a preflight; +Inf when they never were."),
		asked:   nodeDesc(PreflightAge, "Since a preflight last asked for this node's facts; +Inf when none did since the start."),

		auditAge: nodeDesc(KeyspaceAge, "Since the newest audit of the group's key space that was kept; no series where none was."),
		keys:     nodeDesc(KeyspaceKeys, "Keys in that audit."),
		bytes:    nodeDesc(KeyspaceBytes, "Bytes of memory of these keys and their values, as MEMORY USAGE adds them up."),
		stall:    nodeDesc(KeyspaceStall, "The longest that the operation on one key of that audit would hold this Redis up, at the most and with its settings; of resync, all keys; 0 where it cannot happen.", "operation"),
		borne:    nodeDesc(StallBorne, "How long this Redis may stand still as a master and is not fenced; no series while no Sentinel told its down-after-milliseconds."),
	}
}

func (c reportCollector) describe(out chan<- *prometheus.Desc) {
	for _, desc := range []*prometheus.Desc{c.check, c.drifted, c.limit, c.age, c.asked, c.auditAge, c.keys, c.bytes, c.stall, c.borne} {
		out <- desc
	}
}

func (c reportCollector) collect(out chan<- prometheus.Metric) {
	never := func(seconds float64) float64 {
		if seconds < 0 {
			return math.Inf(1)
		}
		return seconds
	}
	for _, s := range c.reports() {
		send := func(desc *prometheus.Desc, value float64, labels ...string) {
			out <- prometheus.MustNewConstMetric(desc, prometheus.GaugeValue, value, append([]string{s.Group, s.Node}, labels...)...)
		}
		send(c.age, never(s.Age))
		send(c.asked, never(s.AskedAge))
		if s.Drifted >= 0 {
			send(c.drifted, float64(s.Drifted))
		}
		if !math.IsNaN(s.UntilLimit) {
			send(c.limit, s.UntilLimit)
		}
		if s.Borne > 0 {
			send(c.borne, s.Borne)
		}
		if k := s.Keyspace; k != nil {
			send(c.auditAge, k.Age)
			send(c.keys, k.Keys)
			send(c.bytes, k.Bytes)
			for operation, seconds := range k.Stalls {
				send(c.stall, seconds, operation)
			}
		}
		seen := map[Check]bool{} // two findings of one check: a series is sent once
		for _, one := range s.Checks {
			if !seen[one] {
				seen[one] = true
				send(c.check, 1, one.ID, one.Severity, one.Outcome)
			}
		}
	}
}
