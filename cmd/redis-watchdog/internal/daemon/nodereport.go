package daemon

// What a judgement needs to know of this node: read here, published in etcd,
// and judged here for the node's own standing.

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"time"

	"github.com/redis-watchdog/redis-watchdog/cmd/redis-watchdog/internal/config"
	"github.com/redis-watchdog/redis-watchdog/fencing/gate"
	"github.com/redis-watchdog/redis-watchdog/preflight"
	"github.com/redis-watchdog/redis-watchdog/preflight/drift"
	"github.com/redis-watchdog/redis-watchdog/preflight/gather"
	"github.com/redis-watchdog/redis-watchdog/systemd"
	"github.com/redis-watchdog/redis-watchdog/watchdog"
	"github.com/redis-watchdog/redis-watchdog/watchdog/agent"
	"github.com/redis-watchdog/redis-watchdog/watchdog/signal"
)

const (
	reportEvery   = time.Minute     // the one CONFIG GET * a minute that standing guard costs Redis
	reportLook    = time.Second     // how often it is looked whether something changed
	reportApart   = 5 * time.Second // changes bring no more reports than this; requests do
	reportTimeout = 5 * time.Second
	nodeTimeout   = 4 * time.Second // of all that is read of this node; what is left is for the master's report
	filesTimeout  = 2 * time.Second // of that, for what no shadow run is in
	hostTimeout   = time.Second
	masterTimeout = time.Second
)

// reporter makes one node's reports.
type reporter struct {
	x       *node
	version string
	server  gather.Server
	units   unitControl
	started []string // what Redis is started with, as the operator says; nil: that is found out
	asked   signal.Signal

	// onReport is handed every report of a replica with the newest one of its
	// master, and what the node's own checks make of them. A master's report
	// that is not there is a Node with an address and nothing else. Nil: nobody
	// is.
	onReport func(own, master preflight.Node, findings []preflight.Finding)

	mu      sync.Mutex
	request string // the newest of a preflight
	confirm string // the newest for a veto of another node; empty: it was answered
	since   requests
	askedAt watchdog.Instant // of the last that was answered; 0: none was
	last    reported
	stalls  preflight.Stalls

	audit audited

	stallsNew bool // there are some that are not on disk
	puzzles   []puzzle
	rules     reportRules

	// Of the one goroutine that reports:
	rates       rates
	published   preflight.Lasting // of the report that was published last
	publishedAt watchdog.Instant
	compared    comparison
	peer        peer
	files       *reading
	silent      bool // a file of this host does not answer
	facing      facing
	refused     preflight.Refused
	forked      map[string]string // INFO of the last report
}

// reportRules are what the operator asks of a report.
type reportRules struct {
	made   int // counts the reloads that changed them
	policy preflight.Policy
	ignore []string // names that may differ from redis.conf
	shadow bool     // redis-server may be started on a copy of it
}

func reportRulesOf(p config.Preflight) reportRules {
	return reportRules{policy: p.Policy(), ignore: append(drift.DefaultIgnore(), p.DriftIgnore...), shadow: p.Shadow == config.ShadowAuto}
}

// setRules has other rules followed, by a report that is soon.
func (s *reporter) setRules(r reportRules) {
	s.mu.Lock()
	defer s.mu.Unlock()
	r.made = s.rules.made + 1
	s.rules = r
}

func (s *reporter) newestRules() reportRules {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.rules
}

func newReporter(d *Daemon, x *node, g config.Group, n config.Node) (*reporter, error) {
	tls, err := n.TLS.Client()
	if err != nil {
		return nil, fmt.Errorf("tls: %w", err)
	}
	return &reporter{
		x: x, version: d.version, rules: reportRulesOf(g.Preflight), units: d.units, started: n.CommandLine, asked: signal.New(), files: newReading(), peer: peer{key: rand.Text()},
		server: gather.Server{Address: n.Address, Socket: n.Socket, Username: n.Username, Password: string(n.Password), TLS: tls, Commands: n.Commands},
	}, nil
}

// ask is told of a request that somebody made in etcd. It never blocks.
func (s *reporter) ask(id string) {
	s.mu.Lock()
	s.since.heard(id)
	switch {
	case id == s.since.own: // it is for the others
	case confirms(id):
		s.confirm = id
	default:
		s.request = id
	}
	s.mu.Unlock()
	s.asked.Raise()
}

// mark is what a report is made anew for.
type mark struct {
	runID, role, following, phase, file string
	policy                              string // maxmemory-policy
	data                                string
	written                             time.Time // redis.conf
	size                                int64
	maxMemory, refused                  int64
	missing, faults, rules              int
	originals                           gate.Originals
}

// mark is of now. A redis.conf that does not answer counts as unchanged.
func (s *reporter) mark(ctx context.Context, st agent.Status, d gate.Details, last mark) mark {
	m := mark{
		runID: st.RunID, role: st.Role, following: st.Following, phase: st.Phase, data: st.Data,
		file: d.ConfigFile, policy: d.MaxMemoryPolicy, maxMemory: d.MaxMemory, refused: s.refused.Count, missing: len(d.Missing), faults: len(st.Faults), rules: s.newestRules().made, originals: d.Recorded,
	}
	if d.ConfigFile == "" {
		return m
	}
	ctx, cancel := context.WithTimeout(ctx, filesTimeout)
	defer cancel()
	info, err := read(ctx, s.files, d.ConfigFile, func() os.FileInfo {
		info, err := os.Stat(d.ConfigFile)
		if err != nil {
			return nil // one that is not there is a mark like any other
		}
		return info
	})
	switch {
	case s.told(err) != nil:
		m.written, m.size = last.written, last.size
	case info != nil:
		m.written, m.size = info.ModTime(), info.Size()
	}
	return m
}

// told passes an error of reading on, and logs the first and the last of them.
func (s *reporter) told(err error) error {
	switch {
	case err != nil && !s.silent:
		s.x.log.Warn("files of this host not read: checks that need them are unknown", "error", err)
	case err == nil && s.silent:
		s.x.log.Info("files of this host are read again")
	}
	s.silent = err != nil
	return err
}

// run reports at the start, every minute, when something changed, and when
// asked, until ctx ends.
func (s *reporter) run(ctx context.Context) error {
	s.loadRefused()
	s.loadStalls()
	var seen mark
	var at watchdog.Instant
	later := patience{late: s.x.late}
	for {
		if at != 0 && s.pending() == "" && later.waits(agent.Boottime()) { // who asks is answered
			if err := s.pause(ctx); err != nil {
				return err
			}
			continue
		}
		st, d := s.x.status(), s.x.gate.Details()
		s.countRefused(d.Replication)
		s.solve(ctx)
		m := s.mark(ctx, st, d, seen)
		now := agent.Boottime()
		age := now.Sub(at)
		request := s.pending()
		if at == 0 || age >= reportEvery || request != "" || age >= reportApart && (m != seen || s.masterChanged(ctx, st)) {
			s.report(ctx, st, d, m, request)
			seen, at = m, now
		}
		if err := s.pause(ctx); err != nil {
			return err
		}
	}
}

// pause waits for the next look, or for a request.
func (s *reporter) pause(ctx context.Context) error {
	now := agent.Boottime()
	wait := time.NewTimer(now.Beat(reportLook).Sub(now))
	defer wait.Stop()
	select {
	case <-ctx.Done():
		return context.Cause(ctx)
	case <-s.asked:
	case <-wait.C:
	}
	return nil
}

// pending is a request that was not answered yet.
func (s *reporter) pending() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.request != s.last.answers {
		return s.request
	}
	return s.confirm
}

func (s *reporter) report(ctx context.Context, st agent.Status, d gate.Details, m mark, request string) {
	ctx, cancel := context.WithTimeout(ctx, reportTimeout+confirmTimeout)
	defer cancel()
	own := s.node(ctx, st, d, m, request)
	if own.Redis != nil {
		s.forked = own.Redis.Info
	}
	s.publish(own)
	var findings []preflight.Finding
	if st.Role == watchdog.Replica.String() && st.Master != "" && st.Master != st.Address {
		var master preflight.Node
		master, findings = s.judge(ctx, st, own)
		for _, f := range findings {
			if f.Outcome != preflight.Passed {
				s.x.log.Debug("node report", "check", f.Check, "outcome", f.Outcome, "reason", f.Reason)
			}
		}
		if s.onReport != nil {
			s.onReport(own, master, findings)
		}
	}
	s.keep(own, findings, request)
	s.allowRewrite(own)
	s.readAudit(ctx, own, request != "" && !confirms(request))
}

// publish writes a report to etcd: where it answers a request, or says something
// that the one that stands there does not.
func (s *reporter) publish(own preflight.Node) {
	lasting, now := own.Lasting(), agent.Boottime()
	switch s.published.News(lasting) {
	case preflight.NoNews:
		if own.Answers == "" {
			return
		}
	case preflight.Moved:
		if own.Answers == "" && now.Sub(s.publishedAt) < preflight.MovedApart {
			return
		}
	case preflight.Changed:
	}
	report, err := json.Marshal(own)
	if err != nil {
		s.x.log.Error("node report not encoded", "error", err)
		return
	}
	s.x.keeper.PublishReport(report)
	s.published, s.publishedAt = lasting, now
}

// node is all of this node.
func (s *reporter) node(ctx context.Context, st agent.Status, d gate.Details, m mark, request string) preflight.Node {
	ctx, cancel := context.WithTimeout(ctx, nodeTimeout)
	defer cancel()
	n := preflight.Node{Address: st.Address, Elsewhere: s.x.agent.State().Coordinator.Elsewhere, Answers: request, At: time.Now().UTC(), Watchdog: s.watchdog(st, d)}
	var secrets gather.Secrets
	n.Redis, secrets, n.Gaps = gather.RedisWithSecrets(ctx, gather.RedisConfig{
		Server: s.server, ReadBy: preflight.ReadWatchdog, Key: s.peer.key, Clients: request != "" && !confirms(request),
	})
	n.Rates = s.rates.add(n.Redis, agent.Boottime())
	refused, stalls := s.refused, s.stallsOf(time.Now())
	stalls.Bears = s.x.agent.Bears()
	n.Refused, n.Stalls = &refused, &stalls
	var gaps []preflight.Gap
	n.Host, gaps = s.host(ctx, d, secrets.Config)
	n.Gaps = append(n.Gaps, gaps...)
	n.Drift, gaps = s.drift(ctx, m, d, n.Redis, secrets, request != "")
	n.Gaps = append(n.Gaps, gaps...)
	return n
}

// host is what this host shows.
func (s *reporter) host(ctx context.Context, d gate.Details, running map[string]string) (*preflight.Host, []preflight.Gap) {
	ctx, cancel := context.WithTimeout(ctx, filesTimeout)
	defer cancel()
	type host struct {
		shows *preflight.Host
		gaps  []preflight.Gap
	}
	c := s.hostConfig(running)
	got, err := read(ctx, s.files, "/proc and the log of Redis", func() (h host) {
		c.PID = processOf(d)
		h.shows, h.gaps = gather.Host(ctx, c)
		return h
	})
	if s.told(err) != nil {
		return nil, []preflight.Gap{{What: "host", Why: err.Error()}}
	}
	return got.shows, got.gaps
}

func (s *reporter) hostConfig(running map[string]string) gather.HostConfig {
	c := gather.HostConfig{LogFile: running["logfile"]}
	if c.LogFile != "" && !filepath.IsAbs(c.LogFile) {
		c.LogFile = filepath.Join(running["dir"], c.LogFile)
	}
	if s.x.unit != "" {
		c.UnitName = s.x.unit
		c.Unit = func(ctx context.Context) (restart string, startTimeout time.Duration, err error) {
			ctx, cancel := context.WithTimeout(ctx, hostTimeout)
			defer cancel()
			unit, err := s.units.supervision(ctx, s.x.unit)
			return unit.Restart, unit.StartTimeout, err
		}
	}
	return c
}

// processOf is the number of Redis' process, if it is one of this host; else 0.
func processOf(d gate.Details) int {
	if d.PID == 0 {
		return 0
	}
	p, err := systemd.OpenProcess(systemd.Claim{PID: d.PID, Uptime: agent.Boottime().Sub(d.StartedAt), Executable: d.Executable})
	if err != nil {
		return 0
	}
	defer p.Close()
	return p.PID()
}

func (s *reporter) watchdog(st agent.Status, d gate.Details) *preflight.Watchdog {
	w := &preflight.Watchdog{
		Node: st.Node, User: s.server.Username, Version: s.version, Phase: st.Phase, Reason: st.Reason, Guarded: st.Guarded, Data: st.Data, GrantOurs: st.GrantOurs,
		Veto: st.Veto, VetoReasons: []string{}, Faults: []string{}, Missing: append([]string{}, d.Missing...), Unknown: d.Unknown, Maintenance: st.Maintenance > 0,
	}
	if o := d.Recorded; o.Known {
		w.OwnPriority, w.OwnMinReplicas = o.ReplicaPriority, o.MinReplicasToWrite
	}
	for _, f := range st.Faults {
		if f.Severity == agent.SeverityError {
			w.Faults = append(w.Faults, f.ID)
		}
	}
	if st.Veto {
		w.VetoReasons = s.vetoes()
	}
	return w
}

func (s *reporter) vetoes() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return append([]string{}, s.last.vetoes...)
}
