package metrics

import "github.com/prometheus/client_golang/prometheus"

// Load is how much this watchdog has to do, for all its Redis together.
type Load struct {
	OldestRenewal float64 // seconds since the grant whose last renewal is the longest ago was renewed; 0: there is none to be renewed

	// Waiting for their turn, so that renewals have theirs.
	Records, Claims int64

	// PassedOver are the statuses and reports of nodes that were not written to etcd because
	// a newer one took their place first, since the start.
	PassedOver uint64
}

// The work that waits.
const (
	WorkRecords = "records" // for people, to etcd: statuses and reports of nodes, the history
	WorkClaims  = "claims"  // of grants
)

type loadCollector struct {
	load                     func() Load
	oldest, waiting, dropped *prometheus.Desc
}

func newLoadCollector(load func() Load) loadCollector {
	return loadCollector{
		load:    load,
		oldest:  prometheus.NewDesc(OldestRenewal, "Since the grant of this host whose last renewal is the longest ago was renewed; 0 when there is none to be renewed.", nil, nil),
		waiting: prometheus.NewDesc(WorkWaiting, "What waits for its turn so that renewals have theirs: records (for people, to etcd) and claims (of grants).", []string{"work"}, nil),
		dropped: prometheus.NewDesc(WorkDropped, "Statuses and reports of nodes that were not written to etcd because a newer one took their place first.", nil, nil),
	}
}

func (c loadCollector) describe(out chan<- *prometheus.Desc) {
	for _, desc := range []*prometheus.Desc{c.oldest, c.waiting, c.dropped} {
		out <- desc
	}
}

func (c loadCollector) collect(out chan<- prometheus.Metric) {
	l := c.load()
	out <- prometheus.MustNewConstMetric(c.oldest, prometheus.GaugeValue, l.OldestRenewal)
	out <- prometheus.MustNewConstMetric(c.dropped, prometheus.CounterValue, float64(l.PassedOver))
	out <- prometheus.MustNewConstMetric(c.waiting, prometheus.GaugeValue, float64(l.Records), WorkRecords)
	out <- prometheus.MustNewConstMetric(c.waiting, prometheus.GaugeValue, float64(l.Claims), WorkClaims)
}
