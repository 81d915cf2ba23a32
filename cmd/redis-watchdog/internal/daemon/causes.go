package daemon

// Why a Redis stood still, found out by the reporter once it answers again, for the
// history. Nothing is decided by it.

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"strconv"
	"time"

	"github.com/redis-watchdog/redis-watchdog/cmd/redis-watchdog/internal/why"
	"github.com/redis-watchdog/redis-watchdog/fencing/gate"
	"github.com/redis-watchdog/redis-watchdog/preflight/gather"
	"github.com/redis-watchdog/redis-watchdog/preflight/keyspace"
	"github.com/redis-watchdog/redis-watchdog/watchdog"
	"github.com/redis-watchdog/redis-watchdog/watchdog/agent"
)

const (
	// puzzlesKept are stalls not yet explained; more are not explained.
	puzzlesKept = 8
	// puzzleFor is for how long a Redis is asked for its slow log after a stall:
	// what it writes later pushes out what explains it.
	puzzleFor     = 30 * time.Second
	puzzleTimeout = time.Second
)

// puzzle is a stall whose cause is not known yet.
type puzzle struct {
	stall gate.Stall
	over  watchdog.Instant // when it was told
}

// puzzled takes one in. It never blocks.
func (s *reporter) puzzled(one gate.Stall) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.puzzles) < puzzlesKept {
		s.puzzles = append(s.puzzles, puzzle{one, agent.Boottime()})
	}
}

// solve looks for the causes of the stalls that were told, and records them. A Redis
// that does not answer is asked again with the next look.
func (s *reporter) solve(ctx context.Context) {
	s.mu.Lock()
	waiting := s.puzzles
	s.puzzles = nil
	s.mu.Unlock()
	for i, p := range waiting {
		if s.solved(ctx, p) {
			continue
		}
		s.mu.Lock()
		s.puzzles = append(waiting[i:], s.puzzles...)
		s.mu.Unlock()
		return
	}
}

// solved is whether nothing more is to be asked about a stall.
func (s *reporter) solved(ctx context.Context, p puzzle) bool {
	ctx, cancel := context.WithTimeout(ctx, puzzleTimeout)
	defer cancel()
	slow, info, err := gather.SlowLog(ctx, s.server)
	since := agent.Boottime().Sub(p.over)
	if err != nil && since < puzzleFor {
		return false
	}
	if err != nil {
		s.x.log.Info("cause of a stall not read", "error", err)
	}
	stood := why.Stood{For: p.stall.For, Slept: p.stall.Slept, Since: since, Forks: -1}
	if err == nil && info["run_id"] == p.stall.RunID {
		for _, e := range slow {
			stood.Slow = append(stood.Slow, why.Slow{Age: e.Age, Took: e.Took, Command: e.Command, Key: e.Key})
		}
		stood.Forks, stood.Fork = s.forks(info)
	}
	cause := why.OfStall(stood)
	r := why.Record{Kind: why.RecordKind, Time: time.Now().UTC(), Group: s.x.group, Node: s.x.name, Self: string(s.x.local.Self()),
		Seconds: p.stall.For.Seconds(), Cause: cause.Kind, Took: max(cause.Slow.Took, cause.Fork).Seconds(), Command: cause.Slow.Command}
	if cause.Slow.Key != "" {
		s.name(ctx, &r, cause.Slow.Key)
	}
	s.x.log.Warn("likely cause of a stall", "cause", string(r.Cause), "text", r.Text())
	if err := s.x.keeper.History(r); err != nil {
		s.x.log.Warn("history record not queued", "error", err)
	}
	return true
}

// forks is how many there were since the last report, -1 where that is not known,
// and how long the newest took.
func (s *reporter) forks(info map[string]string) (more int64, took time.Duration) {
	usec, err := strconv.ParseInt(info["latest_fork_usec"], 10, 64)
	now, err2 := strconv.ParseInt(info["total_forks"], 10, 64) // 6.2 and later
	was, err3 := strconv.ParseInt(s.forked["total_forks"], 10, 64)
	if err != nil || err2 != nil || err3 != nil || s.forked["run_id"] != info["run_id"] {
		return -1, 0
	}
	return now - was, time.Duration(usec) * time.Microsecond
}

// name puts in what may be said of a key: its hash, and its name where whoever
// audited the group has kept names in clear; and what that audit knows of it.
func (s *reporter) name(ctx context.Context, r *why.Record, key string) {
	sum := sha256.Sum256([]byte(key))
	r.KeyHash = hex.EncodeToString(sum[:16])
	text, err := s.x.store.Audit(ctx, s.x.group)
	if err != nil {
		s.x.log.Info("audit of the key space not read", "error", err)
	}
	if err != nil || text == nil {
		return
	}
	kept, _, err := keyspace.ReadKept(text)
	if err != nil {
		s.x.log.Info("audit of the key space not understood", "error", err)
		return
	}
	if !kept.Hashed {
		r.Key = key
	}
	if k, ok := kept.Find(key, r.KeyHash); ok {
		r.Type, r.Elements, r.Bytes, r.Audited = k.Type, k.Elements, k.Bytes, &kept.At
	}
}
