package sentinel

// The Watcher: all conversations of a group, and the State they feed.

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"

	"github.com/hashicorp/go-hclog"

	"github.com/redis-watchdog/redis-watchdog/watchdog"
	"github.com/redis-watchdog/redis-watchdog/watchdog/signal"
)

const (
	pollMin     = 100 * time.Millisecond
	pollMax     = 500 * time.Millisecond
	pollGap     = 20 * time.Millisecond // events nearer to each other than this make one poll
	listEvery   = 5 * time.Second       // how often a quiet Sentinel is asked for its lists
	defaultRate = 0.001
)

// Config is what a Watcher needs to know.
type Config struct {
	Group     string   // the Sentinel master name
	Sentinels []string // host:port; the others are learnt from them

	Username string // for AUTH at the Sentinels; empty: the default user
	Password string // empty: no AUTH
	TLS      *tls.Config

	// Conversations are those of all groups of the process; nil: this Watcher has
	// its own.
	Conversations *Conversations

	ClockRateError float64       // how far the rate of the Sentinels' clocks may be off; zero: 0.001
	PollEvery      time.Duration // zero: D/8, at least 100 ms and at most 500 ms

	Memory Memory            // of an earlier life of this boot
	Names  map[string]string // names of hosts and the IPs they were found to be in any earlier life

	Now func() watchdog.Instant
	Log hclog.Logger // nil: none
}

// Watcher hears the Sentinels of one group.
type Watcher struct {
	cfg        Config
	log        hclog.Logger
	names      *resolver
	end        context.CancelFunc // of the resolver's lookups
	lean, full poll

	talks   *Conversations
	mail    signal.Signal // there is something in the box
	pollNow signal.Signal
	again   signal.Signal // tally anew
	every   atomic.Int64  // the poll period in force
	fixed   atomic.Int64  // as set by SetPollEvery; zero: none

	boxMu sync.Mutex
	box   []heard // of each conversation and kind the last one only

	mu      sync.Mutex
	state   State
	locals  []*Local
	parties map[string]*party // by the Sentinel's key
	notes   map[string]*note
	nowAt   watchdog.Instant // of the last Settle

	wg sync.WaitGroup // of lookups

	// Of Run alone.
	letters  []heard         // the box, emptied
	pending  map[*party]bool // asked in this round, not yet heard
	reported bool            // in this round
	fullAt   watchdog.Instant
	lastPoll watchdog.Instant
}

// note is what the Watcher remembers of a conversation for people.
type note struct {
	err           string // of the last poll; empty: it was answered
	kind          errorKind
	polls         uint64
	failures      uint64
	garbage       uint64
	subscriptions uint64
	deaf          string // why the last subscription was refused; empty: it was not
}

type errorKind uint8

const (
	errorNone errorKind = iota
	errorAway           // no connection, or no answer in time
	errorTLS            // no handshake, or our certificate was not taken
	errorRefused
	errorGarbage
)

// New checks the configuration; it talks to nobody.
func New(cfg Config) (*Watcher, error) {
	var errs []error
	if cfg.Group == "" {
		errs = append(errs, errors.New("no group"))
	}
	if len(cfg.Sentinels) == 0 {
		errs = append(errs, errors.New("no sentinels"))
	}
	for _, s := range cfg.Sentinels {
		if _, port, err := net.SplitHostPort(s); err != nil {
			errs = append(errs, fmt.Errorf("sentinel %q: %w", s, err))
		} else if n, ok := number(port); !ok || n < 1 || n > 65535 {
			errs = append(errs, fmt.Errorf("sentinel %q: port %q is not in 1 to 65535", s, port))
		}
	}
	if cfg.ClockRateError < 0 || cfg.ClockRateError >= 1 {
		errs = append(errs, fmt.Errorf("clock_rate_error %v is not in 0 to 1", cfg.ClockRateError))
	}
	if cfg.Now == nil {
		errs = append(errs, errors.New("no clock"))
	}
	if len(errs) > 0 {
		return nil, fmt.Errorf("check sentinels of group %q: %w", cfg.Group, errors.Join(errs...))
	}
	if cfg.ClockRateError == 0 {
		cfg.ClockRateError = defaultRate
	}
	if cfg.Log == nil {
		cfg.Log = hclog.NewNullLogger()
	}
	w := &Watcher{
		cfg: cfg, log: cfg.Log,
		talks: cfg.Conversations,
		mail:  signal.New(), pollNow: signal.New(), again: signal.New(),
		parties: make(map[string]*party), notes: make(map[string]*note),
		pending: make(map[*party]bool),
	}
	if w.talks == nil {
		w.talks = NewConversations(cfg.Now)
	}
	var ctx context.Context
	ctx, w.end = context.WithCancel(context.Background())
	w.names = newResolver(ctx, cfg.Now)
	w.names.Recall(cfg.Names)
	w.lean, w.full = polls(cfg.Group)
	w.state.ClockRateError, w.state.Began = cfg.ClockRateError, cfg.Now()
	for _, s := range cfg.Sentinels {
		host, port, _ := net.SplitHostPort(s)
		at := watchdog.Address("")
		if ip, err := netip.ParseAddr(host); err == nil {
			at = w.names.Address(ip.String(), port)
		}
		w.state.Add(s, at)
	}
	w.state.Recall(cfg.Memory)
	w.fixed.Store(int64(cfg.PollEvery))
	w.pace()
	w.state.Settle(cfg.Now())
	return w, nil
}

// SetKnown tells how many Sentinels the agreement knows.
func (w *Watcher) SetKnown(n int) {
	w.mu.Lock()
	w.state.SetKnown(n)
	w.mu.Unlock()
	w.again.Raise()
}

// SetPollEvery overrides the poll period, such as with a slower one on a node
// that has only replicas; zero: as configured.
func (w *Watcher) SetPollEvery(d time.Duration) {
	if d == 0 {
		d = w.cfg.PollEvery
	}
	w.fixed.Store(int64(d))
	w.again.Raise()
}

// PollNow makes every Sentinel be asked now, in full.
func (w *Watcher) PollNow() { w.pollNow.Raise() }

// pace sets the period, and what counts as fresh, from D. Under w.mu.
func (w *Watcher) pace() {
	every := time.Duration(w.fixed.Load())
	if every == 0 {
		every = pollMax
		for i := range w.state.Members {
			if d := w.state.Members[i].Last.Master.DownAfter; d > 0 {
				every = min(every, d/8)
			}
		}
	}
	every = max(every, pollMin)
	w.every.Store(int64(every))
	w.state.FreshFor = 2*every + w.pollTimeout()
	w.state.ListFor = w.state.FreshFor + listEvery + every
}

func (w *Watcher) pollTimeout() time.Duration {
	return min(2*time.Duration(w.every.Load()), 500*time.Millisecond)
}

// Run talks to the Sentinels until ctx ends. It may be called once.
func (w *Watcher) Run(ctx context.Context) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer func() {
		cancel(nil)
		w.leave()
		w.end()
		w.wg.Wait()
		w.names.wait()
	}()
	w.reconcile()
	timer := time.NewTimer(0)
	defer timer.Stop()
	round := w.cfg.Now() // when the next one begins
	for {
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-w.mail:
			w.read()
		case <-w.again:
			w.publish(true)
		case <-w.pollNow:
			// Not more often than every pollGap.
			if wait := pollGap - w.cfg.Now().Sub(w.lastPoll); wait > 0 {
				w.fullAt = 0
				timer.Reset(wait)
				break
			}
			w.ask(true)
		case <-timer.C:
			now := w.cfg.Now()
			if now >= round {
				w.publish(!w.reported) // silence is news as well
				round = now.Beat(time.Duration(w.every.Load()))
			}
			timer.Reset(round.Sub(now))
			w.ask(now.Sub(w.fullAt) >= listEvery)
		}
	}
}

func (w *Watcher) ask(full bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.lastPoll = w.cfg.Now()
	if full = full || w.state.Relies(w.lastPoll); full {
		w.fullAt = w.lastPoll
	}
	clear(w.pending)
	w.reported = false
	for _, p := range w.parties {
		if p.poll(full) {
			w.pending[p] = true
		}
	}
}

// publish settles the state and reports to the locals: always if always, else
// only where more than times has changed.
func (w *Watcher) publish(always bool) {
	w.mu.Lock()
	now := w.cfg.Now()
	w.state.Settle(now)
	w.pace()
	w.nowAt = now
	var room [4]watchdog.Sentinels
	tallies := room[:0]
	locals := w.locals
	for _, l := range locals {
		l.self = w.state.Self(l.runID, w.names.Same(string(l.announced))) // waits for no name server
		for _, id := range l.former {                                     // a Sentinel may just have met any of them
			if l.self == "" {
				l.self = w.state.lastAddress(id)
			}
		}
		tallies = append(tallies, w.state.Tally(l.self, now))
	}
	w.mu.Unlock()
	w.reported = w.reported || always
	for i, l := range locals {
		if t := tallies[i]; always || news(l.last, t) {
			l.last = t
			l.report(t)
		}
	}
}

// news says whether more has changed than that time went by. An E that comes
// nearer is news, and so is younger evidence behind it: told only with the next
// round (a poll of a dead Sentinel keeps this one open), it would be two polls
// old before it is replaced, too old to certify.
func news(old, t watchdog.Sentinels) bool {
	if t.E < old.E || t.RoleTerm < old.RoleTerm || t.EFrom > old.EFrom {
		return true
	}
	old.SentAt, old.E, old.EFrom, old.RoleTerm, old.TiltAt = t.SentAt, t.E, t.EFrom, t.RoleTerm, t.TiltAt
	old.EAsked, old.EAskedFrom, old.EOnce, old.Vouched, old.EByPings = t.EAsked, t.EAskedFrom, t.EOnce, t.Vouched, t.EByPings
	return old != t
}
