package config

import (
	"fmt"
	"math"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/redis-watchdog/redis-watchdog/preflight"
)

// Preflight is what the checks before a failover ask for. Zero switches a limit
// to its strictest, it is never "the default".
type Preflight struct {
	LastReplica   string        `yaml:"last_replica"` // block, allow
	Drift         string        `yaml:"drift"`        // blocks, warns
	DriftIgnore   []string      `yaml:"drift_ignore"` // parameters that may differ from redis.conf
	Shadow        string        `yaml:"shadow"`       // auto, off
	ReportTimeout time.Duration `yaml:"report_timeout"`

	Headroom      float64       `yaml:"headroom"`
	CopyOnWrite   float64       `yaml:"copy_on_write"`
	Keys          float64       `yaml:"keys"`
	LargeInstance Size          `yaml:"large_instance"`
	LagBytes      Size          `yaml:"lag_bytes"`
	Lag           time.Duration `yaml:"lag"`
	Trend         time.Duration `yaml:"trend"`
	Backlog       time.Duration `yaml:"backlog"`
	Fork          time.Duration `yaml:"fork"`
	SlowCommand   time.Duration `yaml:"slow_command"`
	SlowWindow    time.Duration `yaml:"slow_window"`
	Clock         time.Duration `yaml:"clock"`
}

// The words of the section.
const (
	LastReplicaBlock = "block"
	LastReplicaAllow = "allow"
	ShadowAuto       = "auto"
	ShadowOff        = "off"
)

// Policy is the section as the checks take it.
func (p Preflight) Policy() preflight.Policy {
	return preflight.Policy{
		Headroom: p.Headroom, Drift: preflight.Severity(p.Drift), LargeInstance: int64(p.LargeInstance),
		LagBytes: int64(p.LagBytes), Lag: p.Lag, Trend: p.Trend, Backlog: p.Backlog, Fork: p.Fork,
		CopyOnWrite: p.CopyOnWrite, Keys: p.Keys, SlowCommand: p.SlowCommand, SlowWindow: p.SlowWindow, Clock: p.Clock,
	}
}

func (p *Preflight) setInitial() {
	d := preflight.DefaultPolicy()
	*p = Preflight{
		LastReplica: LastReplicaBlock, Drift: string(d.Drift), Shadow: ShadowAuto, ReportTimeout: 2 * time.Second,
		Headroom: d.Headroom, CopyOnWrite: d.CopyOnWrite, Keys: d.Keys,
		LargeInstance: Size(d.LargeInstance), LagBytes: Size(d.LagBytes), Lag: d.Lag, Trend: d.Trend, Backlog: d.Backlog,
		Fork: d.Fork, SlowCommand: d.SlowCommand, SlowWindow: d.SlowWindow, Clock: d.Clock,
	}
}

// Size is a number of bytes, written as in redis.conf: 16gb, 512mb, 1k.
type Size int64

var sizeForm = regexp.MustCompile(`^(\d{1,18})(b|k|kb|m|mb|g|gb)?$`)

// parseSize reads what redis.conf would take for a size of memory.
func parseSize(written string) (Size, bool) {
	m := sizeForm.FindStringSubmatch(strings.ToLower(written))
	if m == nil {
		return 0, false
	}
	n, err := strconv.ParseInt(m[1], 10, 64)
	unit := map[string]int64{"": 1, "b": 1, "k": 1e3, "kb": 1 << 10, "m": 1e6, "mb": 1 << 20, "g": 1e9, "gb": 1 << 30}[m[2]]
	if err != nil || n > math.MaxInt64/unit {
		return 0, false
	}
	return Size(n * unit), true
}

// parameterName is one that CONFIG GET could name.
var parameterName = regexp.MustCompile(`^[a-z0-9_.-]+$`)

func (c *checker) checkPreflight(key string, p *Preflight) {
	section := key + ".preflight"
	c.oneOf(section+".last_replica", p.LastReplica, LastReplicaBlock, LastReplicaAllow)
	c.oneOf(section+".drift", p.Drift, string(preflight.Blocks), string(preflight.Warns))
	c.oneOf(section+".shadow", p.Shadow, ShadowAuto, ShadowOff)
	for i, name := range p.DriftIgnore {
		entry := fmt.Sprintf("%s.drift_ignore[%d]", section, i)
		switch {
		case !parameterName.MatchString(name):
			c.at(entry, "is no name of a parameter", "write it as CONFIG GET has it, in lower case: client-output-buffer-limit")
		case slices.Index(p.DriftIgnore, name) != i:
			c.at(entry, "is named twice", "take one out")
		}
	}
	const day = 24 * time.Hour
	if p.ReportTimeout < 100*time.Millisecond || p.ReportTimeout > time.Minute {
		c.at(section+".report_timeout", "is not between 100ms and 1m0s", "it is how long the watchdogs of the group are waited for; 2s is plenty")
	}
	for _, d := range []struct {
		name  string
		value time.Duration
		most  time.Duration
	}{
		{"lag", p.Lag, time.Hour}, {"trend", p.Trend, 365 * day}, {"backlog", p.Backlog, day}, {"fork", p.Fork, time.Minute},
		{"slow_command", p.SlowCommand, time.Hour}, {"slow_window", p.SlowWindow, 30 * day}, {"clock", p.Clock, day},
	} {
		c.within(section+"."+d.name, d.value, 0, d.most, "see docs/configuration.md, or leave it out")
	}
	for _, s := range []struct {
		name        string
		value, most float64
	}{{"headroom", p.Headroom, 10}, {"copy_on_write", p.CopyOnWrite, 1}, {"keys", p.Keys, 1}} {
		if !(s.value >= 0 && s.value <= s.most) { // NaN is none of it
			c.at(section+"."+s.name, fmt.Sprintf("is not between 0 and %v", s.most), "write a share: 0.1 is a tenth")
		}
	}
}
