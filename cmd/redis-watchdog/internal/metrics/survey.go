package metrics

import (
	"math"

	"github.com/prometheus/client_golang/prometheus"
)

// Survey is what the newest survey of a node showed.
type Survey struct {
	Group, Node string
	Age         float64 // seconds; -1: there was none
	AskedAge    float64 // seconds since one was made for a preflight; -1: none was
	Drifted     int     // parameters; -1: not compared
	UntilLimit  float64 // seconds; +Inf: never; NaN: not known
	Checks      []Check // the node's own; none for a master
}

// Check is how one check came out.
type Check struct{ ID, Severity, Outcome string }

type surveyCollector struct {
	surveys                           func() []Survey
	check, drifted, limit, age, asked *prometheus.Desc
}

func newSurveyCollector(surveys func() []Survey) surveyCollector {
	return surveyCollector{
		surveys: surveys,
		check:   nodeDesc(Checks, "1, for the outcome of every check of its own that a replica was put to last: failed, unknown or passed; severity blocks with outcome failed is what vetoes it.", "check", "severity", "outcome"),
		drifted: nodeDesc(Drifted, "Parameters that run with another value than redis.conf has; no series while that could not be compared."),
		limit:   nodeDesc(UntilLimit, "Until maxmemory is reached at the growth of the last minutes; +Inf when it does not grow or has no limit, no series while that is not known."),
		age:     nodeDesc(SurveyAge, "Since the facts of this node were last read for its own checks and for a preflight; +Inf when they never were."),
		asked:   nodeDesc(PreflightAge, "Since a preflight last asked for this node's facts; +Inf when none did since the start."),
	}
}

func (c surveyCollector) describe(out chan<- *prometheus.Desc) {
	for _, desc := range []*prometheus.Desc{c.check, c.drifted, c.limit, c.age, c.asked} {
		out <- desc
	}
}

func (c surveyCollector) collect(out chan<- prometheus.Metric) {
	never := func(seconds float64) float64 {
		if seconds < 0 {
			return math.Inf(1)
		}
		return seconds
	}
	for _, s := range c.surveys() {
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
		seen := map[Check]bool{} // two findings of one check: a series is sent once
		for _, one := range s.Checks {
			if !seen[one] {
				seen[one] = true
				send(c.check, 1, one.ID, one.Severity, one.Outcome)
			}
		}
	}
}
