package daemon

import (
	"math"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/redis-watchdog/redis-watchdog/cmd/redis-watchdog/internal/metrics"
	"github.com/redis-watchdog/redis-watchdog/preflight"
	"github.com/redis-watchdog/redis-watchdog/watchdog"
	"github.com/redis-watchdog/redis-watchdog/watchdog/agent"
)

// reported is what is kept of a node report: little, for metrics and for the next.
type reported struct {
	at      watchdog.Instant
	answers string
	checks  []metrics.Check
	vetoes  []string
	drifted int // parameters; -1: not compared
	limit   float64
	denied  string              // what Redis refuses to tell; empty: nothing
	file    []preflight.Finding // that failed, of its redis.conf
	build   []preflight.Finding // likewise, of what its build is able to do
}

func (s *reporter) keep(own preflight.Node, findings []preflight.Finding, request string) {
	one := reported{at: agent.Boottime(), answers: request, drifted: -1, limit: untilLimit(own), vetoes: preflight.Vetoes(findings)}
	for _, f := range findings {
		severity := f.Severity
		if f.MasterToo {
			severity = preflight.Warns // it does not veto
		}
		one.checks = append(one.checks, metrics.Check{ID: f.Check, Severity: string(severity), Outcome: f.Outcome.String()})
	}
	if own.Drift != nil && own.Drift.Problem == "" {
		one.drifted = len(own.Drift.Drifted)
	}
	for _, f := range preflight.OfFile(own) {
		if f.Outcome == preflight.Failed {
			one.file = append(one.file, f)
		}
	}
	for _, f := range preflight.OfBuild(own) {
		if f.Outcome == preflight.Failed {
			one.build = append(one.build, f)
		}
	}
	for _, g := range own.Gaps {
		if strings.HasPrefix(g.Why, "NOPERM") {
			one.denied = g.Why
		}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if request == "" || confirms(request) {
		one.answers = s.last.answers
	} else {
		s.askedAt = one.at
	}
	if request == s.confirm {
		s.confirm = ""
	}
	s.last = one
}

// denied is what Redis refused to tell the newest report; empty: nothing.
func (s *reporter) denied() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.last.denied
}

// ofFile is what the newest report found wrong with redis.conf.
func (s *reporter) ofFile() []preflight.Finding {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.last.file)
}

// ofBuild is what the newest report found that the build of this Redis is not able
// to do.
func (s *reporter) ofBuild() []preflight.Finding {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.last.build)
}

// allowRewrite tells the gate whether redis.conf may be written. What is not
// known is allowed, as it was before it could be known.
func (s *reporter) allowRewrite(own preflight.Node) {
	if own.Drift == nil || own.Drift.Rewrite == nil || own.Drift.Rewrite.Refused == "" {
		s.x.gate.AllowRewrite("", "")
		return
	}
	for _, f := range s.ofFile() {
		if f.Check == "drift_starts" {
			s.x.gate.AllowRewrite("Redis would not start on what it writes: "+own.Drift.Rewrite.Refused, f.Remedy)
		}
	}
}

// metrics is the newest report as the metrics show it.
func (s *reporter) metrics() metrics.Report {
	now, borne := agent.Boottime(), s.x.agent.Bears().Seconds()
	s.mu.Lock()
	defer s.mu.Unlock()
	m := metrics.Report{Group: s.x.group, Node: s.x.name, Age: -1, AskedAge: -1, Drifted: s.last.drifted, UntilLimit: s.last.limit, Checks: s.last.checks,
		Keyspace: s.audit.metrics(), Borne: borne}
	if s.last.at == 0 {
		m.Drifted, m.UntilLimit = -1, math.NaN()
		return m
	}
	m.Age = now.Sub(s.last.at).Seconds()
	if s.askedAt != 0 {
		m.AskedAge = now.Sub(s.askedAt).Seconds()
	}
	return m
}

// untilLimit is how long the memory lasts at the present growth, in seconds:
// +Inf where it does not grow or has no limit, NaN where that is not known.
func untilLimit(n preflight.Node) float64 {
	if n.Redis == nil || n.Rates == nil {
		return math.NaN()
	}
	used, err := strconv.ParseFloat(n.Redis.Info["used_memory"], 64)
	limit, err2 := strconv.ParseFloat(n.Redis.Info["maxmemory"], 64)
	switch {
	case err != nil || err2 != nil:
		return math.NaN()
	case limit == 0 || n.Rates.UsedMemory <= 0:
		return math.Inf(1)
	}
	return max(limit-used, 0) / n.Rates.UsedMemory
}

// sample is what Rates are made of.
type sample struct {
	at                    watchdog.Instant
	used, offset, evicted float64
}

// rates keeps the samples of the last minutes of one run of Redis.
type rates struct {
	runID   string
	samples []sample
}

const (
	ratesOver    = 10 * time.Minute // the oldest sample that counts
	ratesAtLeast = 10 * time.Second // less tells nothing of a trend
)

// add takes a reading in and returns what changed since the oldest; nil: that
// was not long enough ago.
func (r *rates) add(redis *preflight.Redis, now watchdog.Instant) *preflight.Rates {
	if redis == nil {
		return nil
	}
	value := func(key string) float64 {
		v, err := strconv.ParseFloat(redis.Info[key], 64)
		if err != nil {
			return math.NaN()
		}
		return v
	}
	one := sample{at: now, used: value("used_memory"), offset: value("master_repl_offset"), evicted: value("evicted_keys")}
	if math.IsNaN(one.used + one.offset + one.evicted) {
		return nil
	}
	if id := redis.Info["run_id"]; id != r.runID {
		r.runID, r.samples = id, nil
	}
	r.samples = slices.DeleteFunc(r.samples, func(s sample) bool { return now.Sub(s.at) > ratesOver || s.evicted > one.evicted })
	if n := len(r.samples); n == 0 || now.Sub(r.samples[n-1].at) >= ratesAtLeast {
		r.samples = append(r.samples, one) // requests may come in storms
	}
	first := r.samples[0]
	over := now.Sub(first.at)
	if over < ratesAtLeast {
		return nil
	}
	return &preflight.Rates{
		Over: over, UsedMemory: (one.used - first.used) / over.Seconds(), Offset: (one.offset - first.offset) / over.Seconds(),
		EvictedKeys: int64(one.evicted - first.evicted),
	}
}
