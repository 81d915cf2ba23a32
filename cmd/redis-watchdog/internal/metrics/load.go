package metrics

import (
	"github.com/prometheus/client_golang/prometheus"

	"github.com/redis-watchdog/redis-watchdog/preflight/keyspace/fleet"
)

// Load is how much this watchdog has to do, for all its Redis together.
type Load struct {
	OldestRenewal float64 // seconds since the grant whose last renewal is the longest ago was renewed; 0: there is none to be renewed

	// Waiting for their turn, so that renewals have theirs.
	Records, Claims int64

	// PassedOver are the statuses and reports of nodes that were not written to etcd because
	// a newer one took their place first, since the start.
	PassedOver uint64

	// LeftOut is how often something for people was not done because this process
	// was run late, since the start.
	LeftOut uint64

	Auditing bool   // this host audits for the fleet
	Waits    string // why it begins no audit though there is one for it; empty: nothing hinders
}

// The work that waits.
const (
	WorkRecords = "records" // for people, to etcd: statuses and reports of nodes, the history
	WorkClaims  = "claims"  // of grants
)

type loadCollector struct {
	load                     func() Load
	oldest, waiting, dropped *prometheus.Desc
	leftOut                  *prometheus.Desc
	auditing, auditWaits     *prometheus.Desc
}

func newLoadCollector(load func() Load) loadCollector {
	return loadCollector{
		load:       load,
		oldest:     prometheus.NewDesc(OldestRenewal, "Since the grant of this host whose last renewal is the longest ago was renewed; 0 when there is none to be renewed.", nil, nil),
		waiting:    prometheus.NewDesc(WorkWaiting, "What waits for its turn so that renewals have theirs: records (for people, to etcd) and claims (of grants).", []string{"work"}, nil),
		dropped:    prometheus.NewDesc(WorkDropped, "Statuses and reports of nodes that were not written to etcd because a newer one took their place first.", nil, nil),
		leftOut:    prometheus.NewDesc(WorkLeftOut, "How often something for people was left out because this process was run late: looks of a second for a status, a report of a node, the service manager.", nil, nil),
		auditing:   prometheus.NewDesc(FleetAuditing, "1 while this host audits a key space for the fleet.", nil, nil),
		auditWaits: prometheus.NewDesc(FleetWaiting, "1 while an audit of the fleet waits because this host is busy, by the reason.", []string{"reason"}, nil),
	}
}

func (c loadCollector) describe(out chan<- *prometheus.Desc) {
	for _, desc := range []*prometheus.Desc{c.oldest, c.waiting, c.dropped, c.leftOut, c.auditing, c.auditWaits} {
		out <- desc
	}
}

func (c loadCollector) collect(out chan<- prometheus.Metric) {
	l := c.load()
	out <- prometheus.MustNewConstMetric(c.oldest, prometheus.GaugeValue, l.OldestRenewal)
	out <- prometheus.MustNewConstMetric(c.dropped, prometheus.CounterValue, float64(l.PassedOver))
	out <- prometheus.MustNewConstMetric(c.leftOut, prometheus.CounterValue, float64(l.LeftOut))
	out <- prometheus.MustNewConstMetric(c.waiting, prometheus.GaugeValue, float64(l.Records), WorkRecords)
	out <- prometheus.MustNewConstMetric(c.waiting, prometheus.GaugeValue, float64(l.Claims), WorkClaims)
	out <- prometheus.MustNewConstMetric(c.auditing, prometheus.GaugeValue, truth(l.Auditing))
	for _, reason := range fleet.Reasons() {
		out <- prometheus.MustNewConstMetric(c.auditWaits, prometheus.GaugeValue, truth(l.Waits == reason), reason)
	}
}
