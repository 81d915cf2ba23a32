package metrics

import (
	"math"
	"slices"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/redis-watchdog/redis-watchdog/watchdog/agent"
)

// gauge is one value of a node's status.
type gauge struct {
	desc  *prometheus.Desc
	value func(agent.Status) float64
}

// Collector makes gauges from the newest status of every node at each scrape.
type Collector struct {
	status func() []agent.Status
	report reportCollector
	load   loadCollector
	gauges []gauge
	phase  *prometheus.Desc
	able   *prometheus.Desc
	fault  *prometheus.Desc
	master *prometheus.Desc
}

// NewCollector reads status, reports and load at each scrape; they must answer at
// once.
func NewCollector(status func() []agent.Status, reports func() []Report, load func() Load) *Collector {
	return &Collector{
		status: status,
		report: newReportCollector(reports),
		load:   newLoadCollector(load),
		gauges: gauges(),
		phase:  nodeDesc(Phase, "1 for the phase the node is in, 0 for the others.", "phase"),
		able:   nodeDesc(Promotable, "Replicas that a Sentinel could promote (priority not 0); no series while no Sentinel is heard."),
		fault:  nodeDesc(Faults, "1 for every fault there is now; severity error means that a promise is not kept.", "id", "severity"),
		master: nodeDesc(MasterInfo, "1, with the address of the master that agreement and majority name; no series when there is none.", "master"),
	}
}

func nodeDesc(name, help string, labels ...string) *prometheus.Desc {
	return prometheus.NewDesc(name, help, append([]string{labelMaster, labelNode}, labels...), nil)
}

func truth(b bool) float64 {
	if b {
		return 1
	}
	return 0
}

func gauges() []gauge {
	// What never comes, or never happened, is an infinite time away: an alert
	// such as age > 5 then needs no second condition.
	never := func(seconds float64) float64 {
		if seconds < 0 {
			return math.Inf(1)
		}
		return seconds
	}
	type status = agent.Status
	return []gauge{
		{nodeDesc(DecisionRow, "The row of the decision table that holds."), func(s status) float64 { return float64(s.Row) }},
		{nodeDesc(Guarded, "1 while protection is in force."), func(s status) float64 { return truth(s.Guarded) }},
		{nodeDesc(Enrolled, "1 once this host has held the grant of the group or carries a fence of ours."), func(s status) float64 { return truth(s.Enrolled) }},
		{nodeDesc(Veto, "1 while the preflight keeps this replica from being promoted."), func(s status) float64 { return truth(s.Veto) }},
		{nodeDesc(VetoSeen, "1 while every Sentinel that answers shows that veto."), func(s status) float64 { return truth(s.VetoSeen) }},
		{nodeDesc(FencedByHand, "1 while an operator's fence is in force."), func(s status) float64 { return truth(s.FencedByHand) }},
		{nodeDesc(Maintenance, "Until maintenance ends; 0 when there is none."), func(s status) float64 { return s.Maintenance }},
		{nodeDesc(GrantOurs, "1 while the grant is this node's."), func(s status) float64 { return truth(s.GrantOurs) }},
		{nodeDesc(GrantRemaining, "Until our grant ends; 0 when none is in force."), func(s status) float64 { return s.GrantRemaining }},
		{nodeDesc(FenceDeadline, "Until the armed fence fires unless it is put off; +Inf when none is armed."), func(s status) float64 { return never(s.Deadline) }},
		{nodeDesc(EarliestPromotion, "Until the Sentinels could promote another by themselves; +Inf for never."), func(s status) float64 { return never(s.EarliestPromotion) }},
		{nodeDesc(CoordinatorAge, "Since etcd last answered in full; +Inf when it never did."), func(s status) float64 { return never(s.CoordinatorAge) }},
		{nodeDesc(SentinelsKnown, "Sentinels that are counted."), func(s status) float64 { return float64(s.SentinelsKnown) }},
		{nodeDesc(SentinelsAnswering, "Of them, those that answered the last poll."), func(s status) float64 { return float64(s.SentinelsAnswering) }},
		{nodeDesc(SentinelsAgreeing, "Of them, the most that name the same master at the same epoch."), func(s status) float64 { return float64(s.SentinelsAgreeing) }},
		{nodeDesc(Quorum, "The smallest quorum any Sentinel reports; 0 when none ever answered."), func(s status) float64 { return float64(s.Quorum) }},
		{nodeDesc(DownAfter, "The smallest down-after-milliseconds any Sentinel reports; 0 when none ever answered."), func(s status) float64 { return s.DownAfter }},
		{nodeDesc(Generation, "Generation of the agreement in etcd."), func(s status) float64 { return float64(s.Generation) }},
		{nodeDesc(Epoch, "Sentinel's config epoch in the agreement in etcd."), func(s status) float64 { return float64(s.Epoch) }},
	}
}

// Describe is part of prometheus.Collector.
func (c *Collector) Describe(out chan<- *prometheus.Desc) {
	for _, g := range c.gauges {
		out <- g.desc
	}
	out <- c.phase
	out <- c.able
	out <- c.fault
	out <- c.master
	c.report.describe(out)
	c.load.describe(out)
}

// Collect is part of prometheus.Collector.
func (c *Collector) Collect(out chan<- prometheus.Metric) {
	c.report.collect(out)
	c.load.collect(out)
	for _, s := range c.status() {
		send := func(desc *prometheus.Desc, value float64, labels ...string) {
			out <- prometheus.MustNewConstMetric(desc, prometheus.GaugeValue, value, append([]string{s.Group, s.Node}, labels...)...)
		}
		for _, g := range c.gauges {
			send(g.desc, g.value(s))
		}
		known := slices.Contains(phases(), s.Phase)
		for _, phase := range phases() {
			value := 0.0
			if phase == s.Phase || (phase == "unknown" && !known) {
				value = 1
			}
			send(c.phase, value, phase)
		}
		if s.SentinelsAnswering > 0 {
			send(c.able, float64(s.PromotableReplicas))
		}
		// Two faults may share an id (one a Sentinel): a series is sent once.
		seen := map[string]bool{}
		for _, f := range s.Faults {
			if series := f.ID + " " + string(f.Severity); !seen[series] {
				seen[series] = true
				send(c.fault, 1, f.ID, string(f.Severity))
			}
		}
		if s.Master != "" {
			send(c.master, 1, s.Master)
		}
	}
}
