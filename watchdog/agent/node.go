package agent

// Node: the loop of one local Redis.

import (
	"context"
	"sync"
	"time"

	"github.com/hashicorp/go-hclog"

	"github.com/redis-watchdog/redis-watchdog/watchdog"
	"github.com/redis-watchdog/redis-watchdog/watchdog/signal"
)

// Gate brings about what the local Redis shall do. None of its methods block.
type Gate interface {
	Want(watchdog.Gate)
}

// GrantOrder is what the coordinator's adapter shall bring about.
type GrantOrder struct {
	Self    watchdog.Address
	Grant   watchdog.GrantWant
	Propose watchdog.Proposal
	View    watchdog.Agreement // the record this was decided on: a claim or a renewal rests on it
	Opened  bool               // our Redis serves under this grant
	Disk    bool               // its data came from disk and has not been in step since
	Rests   watchdog.Record    // of the last holder's data, on which a claim rests; zero: it rests on none
	Timing  watchdog.Timing
	Idle    bool // nothing here depends on the coordinator's speed: ask seldom
}

// Grant brings a GrantOrder about. Want does not block.
type Grant interface {
	Want(GrantOrder)
}

// Sentinels is asked for polls. None of its methods block.
type Sentinels interface {
	PollNow()
	Pace(poll time.Duration)
	Identify(runID string)
}

// Config is what a Node is made of. Every field is needed but those that say
// otherwise.
type Config struct {
	Group, Name string          // the Sentinel master name, and the node's in the configuration
	Policy      watchdog.Policy // until SetPolicy
	Now         func() watchdog.Instant
	Memory      watchdog.Memory // of an earlier life; zero: none

	Gate      Gate
	Grant     Grant
	Sentinels Sentinels

	Remember func(watchdog.Memory) // called by the loop when the memory changed; must not block
	OnStep   func(Step)            // called by the loop when the verdict changed; must not block
	OnTurn   func(Turn)            // called by the loop after every decision; must not block
	Log      hclog.Logger
}

// Turn is one turn of the loop, for the metrics.
type Turn struct {
	Waited   time.Duration // from the oldest event it took in to the wants told; zero: none came, time passed
	From, To string        // the phase seen before and after
	Reason   string        // of the verdict
	RunID    string        // of the Redis seen last
}

// Node owns the State of one local Redis.
type Node struct {
	cfg  Config
	wake signal.Signal

	mu     sync.Mutex // guards what follows; never held over a call to an adapter
	policy watchdog.Policy
	inbox  inbox
	state  watchdog.State
	turn   watchdog.Instant // when the loop last turned
	since  time.Time        // of the phase seen, for people
	phase  string
}

// inbox holds the newest fact of each kind: an older one says nothing that
// the newer does not. Announcements are few and each is one Sentinel's.
type inbox struct {
	oldest      watchdog.Instant // when the first of these came; zero: none did
	redis       *watchdog.Redis
	sentinels   *watchdog.Sentinels
	coordinator *watchdog.Coordinator
	announced   []watchdog.Announcement
	veto        *bool
}

// maxAnnouncements bounds the inbox: hints may get lost, a poll follows anyway.
const maxAnnouncements = 16

// New makes a Node. It does nothing until Run.
func New(cfg Config) *Node {
	n := &Node{cfg: cfg, policy: cfg.Policy, wake: signal.New(), since: time.Now(), phase: "unknown"}
	n.state = watchdog.New(cfg.Now(), cfg.Memory)
	n.turn = n.state.StartedAt
	return n
}

// Post hands in a fact. It never blocks.
func (n *Node) Post(e watchdog.Event) {
	n.mu.Lock()
	if n.inbox.oldest == 0 {
		n.inbox.oldest = n.cfg.Now()
	}
	switch e := e.(type) {
	case watchdog.Redis:
		n.inbox.redis = &e
	case watchdog.Sentinels:
		n.inbox.sentinels = &e
	case watchdog.Coordinator:
		n.inbox.coordinator = &e
	case watchdog.Announced:
		if len(n.inbox.announced) < maxAnnouncements {
			n.inbox.announced = append(n.inbox.announced, e.Announcement)
		}
	case watchdog.Vetoed:
		n.inbox.veto = &e.Veto
	}
	n.mu.Unlock()
	n.wake.Raise()
}

// SetPolicy is what the operator has chosen anew; the loop decides by it at
// once. It never blocks.
func (n *Node) SetPolicy(p watchdog.Policy) {
	n.mu.Lock()
	n.policy = p
	n.mu.Unlock()
	n.wake.Raise()
}

// Bears is how long our Redis may stand still and is not fenced; 0 before any
// Sentinel told its down-after-milliseconds.
func (n *Node) Bears() time.Duration {
	n.mu.Lock()
	defer n.mu.Unlock()
	d := n.state.Sentinels.DownAfter
	if d <= 0 {
		return 0
	}
	return n.policy.Timing(d).Bears()
}

// Run turns the loop until ctx ends, and returns its cause.
func (n *Node) Run(ctx context.Context) error {
	out := dispatcher{cfg: n.cfg}
	due := n.cfg.Now()
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-n.wake:
		case <-timer.C:
		}
		now := n.cfg.Now()
		state, policy, turn, steps := n.turnOnce(now, due)
		out.bring(policy, state)
		if turn.oldest != 0 {
			turn.Waited = n.cfg.Now().Sub(turn.oldest)
		}
		n.cfg.OnTurn(turn.Turn)
		for _, s := range steps {
			n.cfg.OnStep(s)
		}
		rest := pause(policy, state, now)
		due = now.Add(rest)
		timer.Reset(rest)
	}
}

// turned is a Turn before it is known how long it took.
type turned struct {
	Turn
	oldest watchdog.Instant
}

// turnOnce folds everything in the inbox into the state, the witnesses before
// the Redis they speak of, and lets time pass. It was to turn at due, or when
// something came.
func (n *Node) turnOnce(now, due watchdog.Instant) (watchdog.State, watchdog.Policy, turned, []Step) {
	n.mu.Lock()
	defer n.mu.Unlock()
	in := n.inbox
	n.inbox = inbox{}
	var events []watchdog.Event
	if since := in.oldest; since != 0 && now.Sub(since) > lateLeast || now.Sub(due) > lateLeast {
		events = append(events, watchdog.Late{})
	}
	if in.sentinels != nil {
		events = append(events, *in.sentinels)
	}
	if in.coordinator != nil {
		events = append(events, *in.coordinator)
	}
	if in.redis != nil {
		events = append(events, *in.redis)
	}
	for _, a := range in.announced {
		events = append(events, watchdog.Announced{Announcement: a})
	}
	if in.veto != nil {
		events = append(events, watchdog.Vetoed{Veto: *in.veto})
	}
	before := n.state
	n.state = watchdog.Next(n.policy, n.state, now, events...)
	n.turn = now
	turn := turned{Turn{From: n.phase, Reason: n.state.Verdict.Reason, RunID: n.state.Redis.RunID}, in.oldest}
	if p := phaseOf(n.state.Redis); p != n.phase {
		n.phase, n.since = p, time.Now()
	}
	var steps []Step
	if s, changed := n.step(before, n.state, now); changed {
		steps = append(steps, s)
	}
	turn.To = n.phase
	return n.state, n.policy, turn, steps
}

// pause is how long the loop may sleep: until the next instant at which the
// passing of time alone could change the verdict, and never long.
func pause(p watchdog.Policy, s watchdog.State, now watchdog.Instant) time.Duration {
	next := now.Beat(longestPause).Min(watchdog.NextEdge(p, s, now))
	return max(next.Sub(now), time.Millisecond)
}

const longestPause = time.Second

// lateLeast is how late a turn is by which the host is short of processor: one that is
// merely busy runs us within some ten milliseconds.
const lateLeast = 100 * time.Millisecond

// State is a copy of what the node knows.
func (n *Node) State() watchdog.State {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.state
}

// Turned says when the loop last turned: an old one is a loop that hangs.
func (n *Node) Turned() watchdog.Instant {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.turn
}
