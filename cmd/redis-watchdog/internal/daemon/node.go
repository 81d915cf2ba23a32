package daemon

// One local Redis: its gate, its keeper of the grant, its voice among the
// Sentinels, and the loop that decides.

import (
	"context"
	"fmt"
	"path/filepath"
	"sync"
	"sync/atomic"
	"time"

	"github.com/hashicorp/go-hclog"

	"github.com/redis-watchdog/redis-watchdog/cmd/redis-watchdog/internal/auditor"
	"github.com/redis-watchdog/redis-watchdog/cmd/redis-watchdog/internal/config"
	"github.com/redis-watchdog/redis-watchdog/cmd/redis-watchdog/internal/hooks"
	"github.com/redis-watchdog/redis-watchdog/cmd/redis-watchdog/internal/metrics"
	"github.com/redis-watchdog/redis-watchdog/fencing/gate"
	"github.com/redis-watchdog/redis-watchdog/fencing/grant"
	"github.com/redis-watchdog/redis-watchdog/sentinel"
	"github.com/redis-watchdog/redis-watchdog/sentinel/pings"
	"github.com/redis-watchdog/redis-watchdog/watchdog"
	"github.com/redis-watchdog/redis-watchdog/watchdog/agent"
	"github.com/redis-watchdog/redis-watchdog/watchdog/signal"
	"github.com/redis-watchdog/redis-watchdog/watchdog/statedir"
)

type node struct {
	group, name string
	log         hclog.Logger
	agent       *agent.Node
	gate        *gate.Gate
	stored      *nodeStore
	stop        *redisStop
	keeper      *grant.Keeper
	watcher     *sentinel.Watcher
	local       *sentinel.Local
	pings       *pings.Listener
	pace        *pacer
	recorder    *statedir.Recorder
	records     statedir.Records
	orders      *localOrders
	metrics     *metrics.Node
	reporter    *reporter
	store       *grant.Store
	reloads     *reloads
	hooks       *hooks.Runner
	faultLog    faultLog
	flaps       *flaps
	shut        shut
	unheard     func() error     // why nobody is answered over HTTP
	late        *lateness        // of the process
	turned      atomic.Bool      // the phase has changed since the last status was made
	announced   watchdog.Address // as configured
	unit        string
	fencedAt    watchdog.Instant // of the last fence counted; publish's own
	newRunID    signal.Signal    // Redis has another run id
	// woke is the run id of a Redis whose armed fence fired while it stood still,
	// and that is not opened yet; nil: there is none.
	woke atomic.Pointer[string]

	mu          sync.Mutex
	coordinator watchdog.Coordinator // as the keeper last reported it, without the local orders
	order       agent.GrantOrder     // the newest
	runID       string
	heard       watchdog.Sentinels              // the newest tally
	left        bool                            // its stop is announced: nothing else is reported
	verdict     vetoRecord                      // the standing veto
	lastReplica string                          // the policy when every replica is vetoed
	fleetOff    bool                            // no part in audits of the fleet
	auditing    *atomic.Pointer[auditor.Runner] // of this host; nil, or of nil: there is none yet
	polls       time.Duration                   // how often the gate looks when all is idle; zero: not told yet
	planned     watchdog.PlannedFailover        // the order that was last heard
	ordersNow   watchdog.Orders                 // the coordinator's and the local ones
}

func (d *Daemon) newNode(g config.Group, n config.Node, w *sentinel.Watcher, pace *pacer, from inherited, log hclog.Logger) (*node, error) {
	x := &node{
		group: g.Name, name: n.Name, log: log, watcher: w, pace: pace, store: d.etcd.store, reloads: &d.reloads, hooks: d.hooks, unheard: d.unheard, late: &d.late,
		faultLog: faultLog{log: log}, metrics: d.counts.Node(g.Name, n.Name), announced: watchdog.Address(n.Announced),
		records: statedir.Records{Dir: d.cfg.StateDir, Group: g.Name, Node: n.Name},
		unit:    n.Unit, lastReplica: g.Preflight.LastReplica, fleetOff: !g.Keyspace.Fleet, auditing: &d.auditing, newRunID: signal.New(),
		orders: &localOrders{stateDir: d.cfg.StateDir, group: g.Name, node: n.Name, log: log},
	}
	x.flaps = newFlaps(agent.Boottime, x.tellStep)
	var err error
	if x.recorder, err = statedir.NewRecorder(filepath.Join(d.cfg.StateDir, "nodes"), d.cfg.RuntimeDir, g.Name, n.Name, log); err != nil {
		return nil, err
	}
	memory, err := x.recorder.Load()
	if err != nil {
		// A record that cannot be read is no reason to leave Redis unguarded:
		// without it the node is as if it were new here.
		log.Error("record of an earlier run not read: starting without", "error", err)
	}
	if m, known := from.memories[n.Name]; known {
		memory = m
	}
	if err := x.openGate(d, n, from); err != nil {
		return nil, err
	}
	if x.reporter, err = newReporter(d, x, g, n); err != nil {
		return nil, err
	}
	if err := x.openKeeper(d); err != nil {
		return nil, err
	}
	x.pings = pings.New(pings.Config{
		Clients: func(ctx context.Context) (string, error) { return x.reporter.server.Do(ctx, "CLIENT", "LIST") },
		Report:  func(p []watchdog.Ping) { x.local.Pinged(p) }, Now: agent.Boottime, Log: log.Named("sentinel"),
	})
	x.local = w.Local(n.Name, x.hearSentinels, func(a watchdog.Announcement) {
		x.agent.Post(watchdog.Announced{Announcement: a})
	})
	x.local.Recall(memory.Self)
	x.agent = agent.New(agent.Config{
		Group: g.Name, Name: n.Name, Policy: g.Policy.Core(), Now: agent.Boottime, Memory: memory,
		Gate: x.gate, Grant: x, Sentinels: x,
		Remember: x.recorder.Remember, OnStep: x.onStep, OnTurn: x.onTurn, Log: log,
	})
	x.reporter.onReport = x.judged
	x.loadVeto()
	return x, nil
}

func (x *node) openKeeper(d *Daemon) error {
	var id grant.Identity
	if err := x.records.Load("coordinator", &id); err != nil {
		x.log.Error("record of the coordinator not read: starting without", "error", err)
	}
	boot, err := statedir.BootID()
	if err != nil {
		return err
	}
	x.keeper = d.etcd.store.Keeper(grant.KeeperConfig{
		Group: x.group, Node: x.name, BootID: boot, Identity: id,
		Save:    func(id grant.Identity) error { return x.records.Save("coordinator", id) },
		OnRound: x.onRound, OnAsk: x.reporter.ask, Failpoint: failpoint, Log: d.log.Named("etcd"),
	})
	return nil
}

// parts are what has to run for this node.
func (x *node) parts(add func(string, func(context.Context) error)) {
	add("record", x.recorder.Run)
	add("gate", func(ctx context.Context) error { return x.gate.Run(ctx, x.seeRedis) })
	add("pings", x.pings.Run)
	add("coordinator", func(ctx context.Context) error { return x.keeper.Run(ctx, x.seeCoordinator) })
	add("decision", x.agent.Run)
	add("orders", func(ctx context.Context) error { return x.orders.run(ctx, x.mergeOrders) })
	add("stop of redis", func(ctx context.Context) error { return x.stop.prepare(ctx, x.newRunID, x.gate.Details) })
	add("killed redis", func(ctx context.Context) error {
		return x.stop.watch(ctx, func() agent.Status { return x.agent.Status(agent.Extras{}) })
	})
	add("start of redis", x.watchStart)
	add("status", x.publish)
	add("flaps", x.flaps.run)
	add("report", x.reporter.run)
}

func (x *node) seeRedis(r watchdog.Redis) {
	x.keeper.See(r)
	x.agent.Post(r)
	x.answerPlannedFailover(r)
}

func (x *node) hearSentinels(s watchdog.Sentinels) {
	x.mu.Lock()
	x.heard = s
	x.mu.Unlock()
	x.agent.Post(s)
	x.pings.Want(x.watcher.Sentinels())
}

// seeCoordinator takes the keeper's report, and tells it anew what our
// Sentinels know by now.
func (x *node) seeCoordinator(c watchdog.Coordinator) {
	if c.Known > 0 {
		x.watcher.SetKnown(c.Known)
	}
	x.mu.Lock()
	before, majority := x.coordinator.Agreement, x.heard
	renewed := c.Grant.RenewedAt != 0 && c.Grant.RenewedAt != x.coordinator.Grant.RenewedAt
	trying := x.order.Grant == watchdog.GrantRenew
	x.coordinator = c
	x.mu.Unlock()
	if trying {
		x.metrics.Renewed(renewed)
	}
	x.countAgreement(before, c.Agreement, majority)
	x.mergeOrders()
	x.followPlannedFailover(c.Orders.PlannedFailover)
	x.notifyKeeper()
}

// mergeOrders posts the coordinator's fact with the local orders on top: they
// stand while etcd is away.
func (x *node) mergeOrders() {
	x.mu.Lock()
	c := x.coordinator
	x.mu.Unlock()
	c.Orders = x.orders.current().Over(c.Orders)
	x.mu.Lock()
	x.ordersNow = c.Orders
	x.mu.Unlock()
	x.agent.Post(c)
}

// Want takes the loop's order for the coordinator. It is part of agent.Grant.
func (x *node) Want(o agent.GrantOrder) {
	x.mu.Lock()
	x.order = o
	x.mu.Unlock()
	x.notifyKeeper()
}

const idleRound = time.Second // while nothing here depends on the coordinator's speed

func (x *node) notifyKeeper() {
	x.mu.Lock()
	o, runID := x.order, x.runID
	x.mu.Unlock()
	w := grant.Want{
		Self: o.Self, Known: x.watcher.Addresses(),
		View: o.View, Grant: o.Grant, Propose: o.Propose, Opened: o.Opened, Disk: o.Disk, Rests: o.Rests,
		TTL: o.Timing.LeaseTTL, Margin: o.Timing.Margin, Round: o.Timing.Round,
	}
	if o.Idle {
		w.Round = idleRound
	}
	for _, a := range w.Known {
		w.Listed = append(w.Listed, grant.Listed{Address: a, RunID: x.watcher.RunID(a)})
	}
	w.Evidence.RunID = runID
	if p := o.Propose; p != (watchdog.Proposal{}) {
		v := x.watcher.View()
		w.Evidence.Sentinels, w.Evidence.MasterRunID = v.Saying(p.Master, p.Epoch), x.watcher.RunID(p.Master)
		w.Evidence.Known, w.Evidence.Votes = v.Known, len(w.Evidence.Sentinels)
	}
	x.keeper.Want(w)
}

// PollNow, Pace, Known and Identify are agent.Sentinels.

// PollNow asks every Sentinel now.
func (x *node) PollNow() { x.watcher.PollNow() }

// Pace sets how often they are asked, and our Redis beside them.
func (x *node) Pace(poll time.Duration) {
	x.pace.pace(x.name, poll)
	x.mu.Lock()
	x.polls = poll
	x.mu.Unlock()
	x.followPlannedFailover(x.ordered())
}

// Identify tells how the Sentinels may know our Redis.
func (x *node) Identify(runID string) {
	x.mu.Lock()
	x.runID = runID
	x.mu.Unlock()
	announced := x.announced
	if announced == "" {
		announced = announcedBy(x.gate.Details())
	}
	x.local.Identify(runID, announced)
	x.newRunID.Raise()
}

// onStep tells everybody who keeps a record of decisions, and not too often.
func (x *node) onStep(s agent.Step) { x.flaps.take(s) }

func (x *node) tellStep(s agent.Step) {
	log := x.log.Info
	switch watchdog.Row(s.Row) {
	case watchdog.RowDeposed, watchdog.RowUncertified, watchdog.RowIsolated, watchdog.RowElse, watchdog.RowFenced:
		log = x.log.Warn
	}
	args := []any{"row", s.Row, "reason", s.Reason, "from", s.From, "to", s.To, "grant", s.Grant,
		"role", s.Role, "answer", s.Answer, "master", s.Master, "term", s.Term,
		"sentinels", fmt.Sprintf("%d/%d", s.Votes, s.Known), "coordinator_age_seconds", s.CoordinatorAge,
		"fence_deadline_seconds", s.Left}
	if s.Would != "" {
		args = append(args, "would", s.Would)
	}
	if s.Before > 0 {
		args = append(args, "not_told_before", s.Before)
	}
	log("decision", args...)
	if err := x.keeper.History(s); err != nil {
		x.log.Warn("history record not queued", "error", err)
	}
}

// publishLook is how often it is looked whether there is something to publish.
const publishLook = time.Second

// announceStop says in etcd that nobody guards this node any more.
func (x *node) announceStop(ctx context.Context) {
	x.flaps.flush()
	s := x.status()
	s.Guarded, s.Ready = false, false
	s.Reason = "stopped"
	s.Faults = append(s.Faults, agent.Fault{
		ID: "stopped", Severity: agent.SeverityError, Text: "the watchdog of this node was stopped: nothing guards it",
		Remedy: "systemctl start redis-watchdog", Since: time.Now(),
	})
	x.mu.Lock()
	x.left = true
	err := x.keeper.PublishStatus(s.Lasting())
	x.mu.Unlock()
	if err == nil {
		err = x.keeper.Flush(ctx)
	}
	if err != nil {
		x.log.Warn("etcd not told that this node is left unguarded", "error", err)
	}
}

// report queues the node's report, unless it has taken its leave: the last word
// stands.
func (x *node) report(s agent.Status) error {
	x.mu.Lock()
	defer x.mu.Unlock()
	if x.left {
		return nil
	}
	return x.keeper.PublishStatus(s)
}

// publish keeps this node's report in etcd: what stands there is written anew
// when it is not so any more.
func (x *node) publish(ctx context.Context) error {
	var said agent.Told
	later := patience{late: x.late}
	x.turned.Store(true) // the first is told as well
	for {
		x.countTotals()
		if x.turned.Swap(false) || !later.waits(agent.Boottime()) { // what changes for clients is told
			s := x.status()
			x.faultLog.observe(s.Faults, time.Now())
			if lasting := s.Lasting(); said.Due(lasting, time.Now()) {
				if err := x.report(lasting); err != nil {
					x.log.Warn("report not queued", "error", err)
				}
			}
		}
		if err := untilBeat(ctx, publishLook); err != nil {
			return err
		}
	}
}
