package daemon

// What the newest audit of the group's key space would do to this node, for the
// metrics. Nothing is decided by it.

import (
	"context"
	"time"

	"github.com/redis-watchdog/redis-watchdog/cmd/redis-watchdog/internal/metrics"
	"github.com/redis-watchdog/redis-watchdog/cmd/redis-watchdog/internal/web"
	"github.com/redis-watchdog/redis-watchdog/preflight"
	"github.com/redis-watchdog/redis-watchdog/preflight/keyspace"
	"github.com/redis-watchdog/redis-watchdog/watchdog"
	"github.com/redis-watchdog/redis-watchdog/watchdog/agent"
)

const (
	auditEvery   = 10 * time.Minute // it has up to 64 kB
	auditTimeout = time.Second
)

// audited is the newest audit as far as it is known.
type audited struct {
	tried  watchdog.Instant // 0: never
	kept   *keyspace.Kept   // nil: none is known
	left   int              // entries of it that make no sense
	stalls map[string]float64
	keys   []time.Duration // of each of kept.Worst; nil: not known
	silent bool            // the last try failed, and it was logged
}

// readAudit reads the newest audit, every ten minutes and after every preflight, and
// reckons what it means for the node as it is set now. Where it cannot be read the
// one before stands, and its age tells.
func (s *reporter) readAudit(ctx context.Context, own preflight.Node, asked bool) {
	s.mu.Lock()
	a := s.audit
	s.mu.Unlock()
	if now := agent.Boottime(); a.tried == 0 || asked || now.Sub(a.tried) >= auditEvery {
		a.tried = now
		kept, left, err := s.newestAudit(ctx)
		switch {
		case err != nil && !a.silent:
			s.x.log.Warn("audit of the key space not read", "error", err)
		case err == nil:
			a.kept, a.left = kept, left
		}
		a.silent = err != nil
	}
	a.stalls, a.keys = nil, nil
	if a.kept != nil {
		a.keys = preflight.KeyStalls(*a.kept, own)
		for op, longest := range preflight.LongestStalls(*a.kept, own) {
			if a.stalls == nil {
				a.stalls = map[string]float64{}
			}
			a.stalls[string(op)] = longest.Seconds()
		}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.audit = a
}

// newestAudit is the one that is kept in etcd, and how many entries of it make no
// sense; nil: none is.
func (s *reporter) newestAudit(ctx context.Context) (kept *keyspace.Kept, left int, err error) {
	ctx, cancel := context.WithTimeout(ctx, auditTimeout)
	defer cancel()
	text, err := s.x.store.Audit(ctx, s.x.group)
	if err != nil || text == nil {
		return nil, 0, err
	}
	k, left, err := keyspace.ReadKept(text)
	if err != nil {
		return nil, 0, err
	}
	return &k, left, nil
}

// page is it for the status page; nil: there is none.
func (s *reporter) page() *web.Audit {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.audit.kept == nil {
		return nil
	}
	return &web.Audit{Kept: *s.audit.kept, Longest: s.audit.keys, Left: s.audit.left}
}

// metrics is it in figures; nil: there is none.
func (a audited) metrics() *metrics.Keyspace {
	if a.kept == nil {
		return nil
	}
	return &metrics.Keyspace{Age: time.Since(a.kept.At).Seconds(), Keys: float64(a.kept.Keys), Bytes: float64(a.kept.Bytes), Stalls: a.stalls}
}
