package daemon

import (
	"context"
	"hash/maphash"
	"strings"
	"time"

	"github.com/redis-watchdog/redis-watchdog/fencing/gate"
	"github.com/redis-watchdog/redis-watchdog/preflight"
	"github.com/redis-watchdog/redis-watchdog/preflight/drift"
	"github.com/redis-watchdog/redis-watchdog/preflight/gather"
	"github.com/redis-watchdog/redis-watchdog/watchdog"
	"github.com/redis-watchdog/redis-watchdog/watchdog/agent"
)

// driftKept is how long a comparison stands while neither what runs nor
// redis.conf changed. A file that it includes may have: a request compares
// anew, whatever was kept.
const driftKept = 10 * time.Minute

// shadowSpare is what a shadow run leaves of the time for reading.
const shadowSpare = time.Second

// comparison is the newest one, and what it was made of.
type comparison struct {
	at   watchdog.Instant // 0: there is none
	sum  uint64           // of what runs
	file mark
	seed maphash.Seed
	is   preflight.Drift
}

// drift compares redis.conf with what runs.
func (s *reporter) drift(ctx context.Context, m mark, d gate.Details, redis *preflight.Redis, secrets gather.Secrets, anew bool) (*preflight.Drift, []preflight.Gap) {
	if redis == nil || secrets.Config == nil {
		return nil, []preflight.Gap{{What: "redis.conf", Why: "what runs was not read"}}
	}
	c := &s.compared
	if c.at == 0 {
		c.seed = maphash.MakeSeed()
	}
	now, sum := agent.Boottime(), sumOf(c.seed, secrets)
	file := mark{runID: redis.Info["run_id"], file: m.file, written: m.written, size: m.size, rules: m.rules, originals: d.Recorded}
	if !anew && c.at != 0 && sum == c.sum && file == c.file && now.Sub(c.at) < driftKept {
		kept := c.is
		return &kept, nil
	}
	rules := s.newestRules()
	o := drift.Options{
		Running: secrets.Config, Info: redis.Info, Users: secrets.Users, Ignore: rules.ignore, Shadow: rules.shadow,
	}
	o.CommandLine = s.started
	if v := d.Recorded; v.Known {
		o.Unwritten = v.Dirty || v.FileFenced
		o.Originals = map[string]string{
			watchdog.ParameterLock: v.MinReplicasToWrite, watchdog.ParameterLag: v.MinReplicasMaxLag,
			watchdog.ParameterVeto: v.ReplicaPriority, watchdog.ParameterStale: v.ReplicaServeStale,
		}
	}
	found, err := read(ctx, s.files, m.file+" and what it includes", func() preflight.Drift {
		o.PID = processOf(d)
		o.Service = s.service(ctx, o.PID)
		// A shadow run that is out of time leaves some to compare without it.
		until, _ := ctx.Deadline()
		ctx, cancel := context.WithDeadline(ctx, until.Add(-shadowSpare))
		defer cancel()
		return drift.Read(ctx, o)
	})
	if s.told(err) != nil {
		return nil, []preflight.Gap{{What: "redis.conf", Why: err.Error()}}
	}
	c.is, c.at, c.sum, c.file = found, now, sum, file
	return &found, nil
}

// sumOf tells one set of values from another, in any order.
func sumOf(seed maphash.Seed, secrets gather.Secrets) (sum uint64) {
	for name, value := range secrets.Config {
		sum += maphash.String(seed, name+"\x00"+value)
	}
	return sum + maphash.String(seed, strings.Join(secrets.Users, "\n"))
}

// service is what its service manager starts our Redis with; nil: that is not
// known, or the operator says it.
func (s *reporter) service(ctx context.Context, pid int) []string {
	if pid == 0 || s.started != nil {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, hostTimeout)
	defer cancel()
	words, err := s.units.commandLine(ctx, pid)
	if err != nil {
		s.x.log.Debug("service of redis not read", "error", err)
		return nil
	}
	return words
}
