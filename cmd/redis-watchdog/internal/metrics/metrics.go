package metrics

import (
	"runtime"
	"slices"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"

	"github.com/redis-watchdog/redis-watchdog/cmd/redis-watchdog/internal/hooks"
	"github.com/redis-watchdog/redis-watchdog/preflight/keyspace/fleet"
	"github.com/redis-watchdog/redis-watchdog/watchdog"
)

// Metrics counts what happens.
type Metrics struct {
	steps, transitions, fences, holds, switches, renewals, badAnswers, armed, dropped, hooks, stallFences, audits *prometheus.CounterVec

	decision, fence, agreement, stall *prometheus.HistogramVec

	reloaded, reloadedAt prometheus.Gauge
	late                 prometheus.Histogram
}

// New registers everything on the registerer it is handed: counters, the
// collector of the gauges, the build, and Go's and the process' own metrics.
func New(registerer prometheus.Registerer, collector *Collector, version string) *Metrics {
	counter := func(name, help string, labels ...string) *prometheus.CounterVec {
		return prometheus.NewCounterVec(prometheus.CounterOpts{Name: name, Help: help}, append([]string{labelMaster, labelNode}, labels...))
	}
	histogram := func(name, help string, first float64) *prometheus.HistogramVec {
		return prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name: name, Help: help, Buckets: prometheus.ExponentialBuckets(first, 4, 8)}, []string{labelMaster, labelNode})
	}
	m := &Metrics{
		steps:       counter(Steps, "Decisions taken."),
		transitions: counter(Transitions, "Changes of phase, as seen.", "from", "to"),
		fences:      counter(Fences, "Times this Redis was fenced, by the reason.", "reason"),
		holds:       counter(Holds, "Times writers were made to wait, by the reason.", "reason"),
		switches:    counter(Switches, "Times the agreement came to name another master."),
		renewals:    counter(Renewals, "Renewals of the grant, good or failed.", "result"),
		badAnswers:  counter(BadAnswers, "Answers that made no sense and counted as unknown, by who gave them.", "source"),
		armed:       counter(ArmedFences, "Fences armed inside Redis, the putting off of one included, and those that could not be.", "result"),
		stallFences: counter(StallFences, "Armed fences that fired while Redis stood still, and of them those that were opened again without a failover.", "result"),
		dropped:     counter(HistoryDropped, "Records of decisions that etcd did not take in time."),
		decision:    histogram(DecisionSeconds, "From an event to the decision on it.", 0.00001),
		fence:       histogram(FenceSeconds, "From the decision to refuse until Redis was seen refusing.", 0.0005),
		agreement:   histogram(AgreementSeconds, "From a majority's word to its record in etcd.", 0.0005),
	}
	m.stall = prometheus.NewHistogramVec(prometheus.HistogramOpts{
		Name: StallSeconds, Help: "How long Redis ran and did not answer its watchdog, of 0.3 seconds and more.",
		Buckets: []float64{0.5, 1, 1.5, 2, 3, 4, 5, 7.5, 10, 20, 30}}, []string{labelMaster, labelNode})
	m.hooks = prometheus.NewCounterVec(prometheus.CounterOpts{Name: Hooks, Help: "Hook commands, by what became of them."}, []string{"result"})
	for _, result := range hooks.Results() {
		m.hooks.WithLabelValues(result)
	}
	m.audits = prometheus.NewCounterVec(prometheus.CounterOpts{Name: FleetAudits, Help: "Audits of the fleet that this host made, by how they ended."}, []string{"result"})
	for _, why := range fleet.Whys() {
		m.audits.WithLabelValues(why.String())
	}
	m.reloaded = prometheus.NewGauge(prometheus.GaugeOpts{Name: ConfigReloaded,
		Help: "1 when the configuration that was read last is in force, 0 when it was refused and the one before is."})
	m.reloadedAt = prometheus.NewGauge(prometheus.GaugeOpts{Name: ConfigReloadedAt,
		Help: "When the configuration in force was read, in seconds since 1970."})
	m.late = prometheus.NewHistogram(prometheus.HistogramOpts{Name: BeatLateness,
		Help:    "How late the watchdog was for its own beat, twice a second.",
		Buckets: []float64{0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10}})
	build := prometheus.NewGaugeFunc(prometheus.GaugeOpts{
		Name: BuildInfo, Help: "1, with the version of redis-watchdog and of Go.",
		ConstLabels: prometheus.Labels{"version": version, "go_version": runtime.Version()},
	}, func() float64 { return 1 })
	registerer.MustRegister(m.steps, m.transitions, m.fences, m.holds, m.switches, m.renewals, m.badAnswers, m.armed, m.dropped, m.stallFences,
		m.decision, m.fence, m.agreement, m.stall, m.hooks, m.audits, m.reloaded, m.reloadedAt, m.late, build, collector,
		collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	return m
}

// Hook counts what became of a hook: one of hooks.Results.
func (m *Metrics) Hook(result string) { m.hooks.WithLabelValues(result).Inc() }

// Audited counts an audit of the fleet, by how it ended: one of fleet.Whys.
func (m *Metrics) Audited(result string) { m.audits.WithLabelValues(result).Inc() }

// Late says how late the watchdog was for a beat.
func (m *Metrics) Late(d time.Duration) { m.late.Observe(d.Seconds()) }

// Reloaded says when a configuration was read, and whether it is in force.
func (m *Metrics) Reloaded(at time.Time, good bool) {
	m.reloaded.Set(0)
	if good {
		m.reloaded.Set(1)
		m.reloadedAt.Set(float64(at.Unix()))
	}
}

// Node is the metrics of one node. Its methods but Totals and Transition, which
// are for one goroutine each, may be called from anywhere.
type Node struct {
	all         *Metrics
	group, node string
	seen        Totals
	phase       string // the last in which Redis answered; empty: none was seen
}

// Totals is what the adapters count since they began.
type Totals struct {
	Armed, ArmErrors       int64
	BadSentinels, BadRedis int64
	HistoryDropped         int64
}

// Node starts the series of a node at zero, so that the first event of a kind
// is a change and no alert misses it.
func (m *Metrics) Node(group, node string) *Node {
	n := &Node{all: m, group: group, node: node}
	m.steps.WithLabelValues(group, node)
	m.switches.WithLabelValues(group, node)
	m.dropped.WithLabelValues(group, node)
	for _, result := range []string{"good", "failed"} {
		m.renewals.WithLabelValues(group, node, result)
	}
	for _, result := range []string{ArmedUp, ArmedFailed} {
		m.armed.WithLabelValues(group, node, result)
	}
	for _, reason := range append(watchdog.FenceReasons(), FencedOtherwise) {
		m.fences.WithLabelValues(group, node, reason)
	}
	for _, source := range []string{SourceSentinel, SourceRedis, SourceEtcd} {
		m.badAnswers.WithLabelValues(group, node, source)
	}
	for _, result := range []string{StallFired, StallOpened} {
		m.stallFences.WithLabelValues(group, node, result)
	}
	m.stall.WithLabelValues(group, node)
	m.decision.WithLabelValues(group, node)
	m.fence.WithLabelValues(group, node)
	m.agreement.WithLabelValues(group, node)
	return n
}

// What became of arming a fence.
const (
	ArmedUp     = "armed"
	ArmedFailed = "failed"
)

// What became of a fence that fired while Redis stood still.
const (
	StallFired  = "fired"
	StallOpened = "opened"
)

// FencedOtherwise is the reason of a fence that no row wanted: somebody else's
// hand, or one that was found at the start.
const FencedOtherwise = "other"

// Who gave a bad answer.
const (
	SourceSentinel = "sentinel"
	SourceRedis    = "redis"
	SourceEtcd     = "etcd"
)

// Step counts one decision and how long its event waited for it; zero: there
// was none, time passed.
func (n *Node) Step(waited time.Duration) {
	n.all.steps.WithLabelValues(n.group, n.node).Inc()
	if waited > 0 {
		n.all.decision.WithLabelValues(n.group, n.node).Observe(waited.Seconds())
	}
}

// Transition counts a change of the phase seen. One to refuse is a fence, one
// to hold is a hold, for the reason of the decision; a Redis that did not answer in
// between is in the one in which it was before.
func (n *Node) Transition(from, to, reason string) {
	n.all.transitions.WithLabelValues(n.group, n.node, from, to).Inc()
	if to == "down" || to == n.phase {
		return
	}
	n.phase = to
	switch to {
	case "refuse":
		if !slices.Contains(watchdog.FenceReasons(), reason) {
			reason = FencedOtherwise
		}
		n.all.fences.WithLabelValues(n.group, n.node, reason).Inc()
	case "hold":
		n.all.holds.WithLabelValues(n.group, n.node, reason).Inc()
	}
}

// Stalled says how long Redis did not answer, and whether its armed fence fired
// meanwhile.
func (n *Node) Stalled(d time.Duration, fired bool) {
	n.all.stall.WithLabelValues(n.group, n.node).Observe(d.Seconds())
	if fired {
		n.all.stallFences.WithLabelValues(n.group, n.node, StallFired).Inc()
	}
}

// StallOpened counts such a fence that was opened again.
func (n *Node) StallOpened() {
	n.all.stallFences.WithLabelValues(n.group, n.node, StallOpened).Inc()
}

// Refused says how long a fence took, from the decision until it was seen.
func (n *Node) Refused(took time.Duration) {
	n.all.fence.WithLabelValues(n.group, n.node).Observe(took.Seconds())
}

// Switched counts a new master in the agreement.
func (n *Node) Switched() { n.all.switches.WithLabelValues(n.group, n.node).Inc() }

// Agreed says how long it took from a majority's word to its record in etcd.
func (n *Node) Agreed(took time.Duration) {
	n.all.agreement.WithLabelValues(n.group, n.node).Observe(took.Seconds())
}

// Renewed counts a renewal of the grant.
func (n *Node) Renewed(good bool) {
	result := "failed"
	if good {
		result = "good"
	}
	n.all.renewals.WithLabelValues(n.group, n.node, result).Inc()
}

// BadAnswer counts garbage from a Source….
func (n *Node) BadAnswer(source string) {
	n.all.badAnswers.WithLabelValues(n.group, n.node, source).Inc()
}

// Forget ends the node's series: it is watched over no more.
func (n *Node) Forget() {
	labels := prometheus.Labels{labelMaster: n.group, labelNode: n.node}
	m := n.all
	for _, c := range []*prometheus.CounterVec{m.steps, m.transitions, m.fences, m.holds, m.switches, m.renewals, m.badAnswers, m.armed, m.dropped, m.stallFences} {
		c.DeletePartialMatch(labels)
	}
	for _, h := range []*prometheus.HistogramVec{m.decision, m.fence, m.agreement, m.stall} {
		h.DeletePartialMatch(labels)
	}
}

// Totals counts on to what the adapters have counted. One goroutine calls it.
func (n *Node) Totals(t Totals) {
	more := func(c *prometheus.CounterVec, now, before int64, labels ...string) {
		if now > before {
			c.WithLabelValues(append([]string{n.group, n.node}, labels...)...).Add(float64(now - before))
		}
	}
	more(n.all.armed, t.Armed, n.seen.Armed, ArmedUp)
	more(n.all.armed, t.ArmErrors, n.seen.ArmErrors, ArmedFailed)
	more(n.all.badAnswers, t.BadSentinels, n.seen.BadSentinels, SourceSentinel)
	more(n.all.badAnswers, t.BadRedis, n.seen.BadRedis, SourceRedis)
	more(n.all.dropped, t.HistoryDropped, n.seen.HistoryDropped)
	n.seen = t
}
