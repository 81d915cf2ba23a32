package pings

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/hashicorp/go-hclog"

	"github.com/redis-watchdog/redis-watchdog/watchdog"
	"github.com/redis-watchdog/redis-watchdog/watchdog/signal"
)

const (
	lookEvery  = 25 * time.Millisecond  // Sentinel acts every 53 to 100 ms
	idleEvery  = 250 * time.Millisecond // while there is nothing to look at
	tellEvery  = 200 * time.Millisecond
	listEvery  = 100 * time.Millisecond // and seldomer and seldomer while it brings nothing new
	listAtMost = 10 * time.Second
	// A list of many clients keeps Redis busy: for no more than this part of its
	// time. By the size of the list, for how long we waited says how busy the host
	// is (Redis 7.0.15: 3,500 clients, 0.9 MB, 2 to 9 ms).
	listShare   = 100
	listPerByte = 10 * time.Nanosecond
	listTimeout = 2 * time.Second
	overdue     = 3 * time.Second // a PING that has not come for so long may come on another connection
)

// Config is what a Listener is made of. All but Log must be set.
type Config struct {
	Clients func(ctx context.Context) (string, error) // CLIENT LIST of our Redis
	Report  func([]watchdog.Ping)                     // of those that are of interest and were seen; must not block
	Now     func() watchdog.Instant
	Log     hclog.Logger // nil: none
}

// Listener hears the PINGs at one local Redis, of the Sentinels that cannot be
// asked. While there are none it does nothing.
type Listener struct {
	cfg  Config
	wake signal.Signal

	mu    sync.Mutex
	known []Sentinel
	why   string
}

// New makes a Listener; it does nothing before Run.
func New(cfg Config) *Listener {
	if cfg.Log == nil {
		cfg.Log = hclog.NewNullLogger()
	}
	return &Listener{cfg: cfg, wake: signal.New()}
}

// Want tells which Sentinels there are. It never blocks; the newest wins.
func (l *Listener) Want(known []Sentinel) {
	l.mu.Lock()
	changed := !slices.Equal(l.known, known)
	l.known = known
	l.mu.Unlock()
	if changed {
		l.wake.Raise()
	}
}

// Why is why one that is of interest is not heard; empty: all are, or none is
// of interest.
func (l *Listener) Why() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.why
}

func (l *Listener) wanted() []Sentinel {
	l.mu.Lock()
	defer l.mu.Unlock()
	return slices.Clone(l.known)
}

func (l *Listener) say(why string) {
	l.mu.Lock()
	was := l.why
	l.why = why
	l.mu.Unlock()
	switch {
	case why != "" && was == "":
		l.cfg.Log.Warn("PINGs of sentinels that cannot be asked are not heard", "why", why)
	case why == "" && was != "":
		l.cfg.Log.Info("PINGs of sentinels that cannot be asked are heard")
	}
}

// Run listens until ctx ends, and returns its cause.
func (l *Listener) Run(ctx context.Context) error {
	for {
		known := l.wanted()
		if slices.ContainsFunc(known, func(s Sentinel) bool { return s.Unasked }) {
			l.listen(ctx)
			l.say("")
			l.cfg.Report(nil)
		}
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-l.wake:
		}
	}
}

// ear is where the PINGs of one Sentinel come in: on more than one connection
// for a moment, while one takes the place of another.
type ear struct {
	id       string
	client   client
	track    track
	placedAt watchdog.Instant
}

// listen follows the connections of those that are of interest, until none is.
func (l *Listener) listen(ctx context.Context) {
	socks, err := openSockets()
	if err != nil {
		l.say(err.Error())
		select { // it is tried again when somebody else is of interest
		case <-ctx.Done():
		case <-l.wake:
		}
		return
	}
	defer func() {
		if err := socks.close(); err != nil {
			l.cfg.Log.Warn("sock_diag not closed", "error", err)
		}
	}()
	lists := lister{cfg: l.cfg, done: make(chan listed, 1)}
	defer lists.wait()
	tick := time.NewTimer(0)
	defer tick.Stop()
	var ears []ear
	var told []watchdog.Ping
	var toldAt watchdog.Instant
	for {
		known := l.wanted()
		if !slices.ContainsFunc(known, func(s Sentinel) bool { return s.Unasked }) {
			return
		}
		select {
		case <-ctx.Done():
			return
		case r := <-lists.done:
			lists.ended(r)
			if r.err == nil {
				before := len(ears)
				if ears = l.place(ears, r, socks); len(ears) > before {
					lists.fruitless = 0
				}
			}
		case <-tick.C:
		}
		tick.Reset(idleEvery)
		if len(ears) > 0 {
			tick.Reset(lookEvery)
		}
		var missing []string
		var lost error
		ears, missing, lost = l.look(ears, known, socks)
		if missing != nil {
			lists.ask(ctx, known)
		}
		if lists.asked {
			l.say(reason(missing, lost, lists.err))
		}
		now := l.cfg.Now()
		if p := pingsOf(ears); !slices.EqualFunc(p, told, func(a, b watchdog.Ping) bool { return a.Sentinel == b.Sentinel && a.At == b.At }) || now.Sub(toldAt) >= tellEvery {
			told, toldAt = p, now
			l.cfg.Report(p)
		}
	}
}

// place has an ear for every connection of those that are of interest; those
// that are there go on.
func (l *Listener) place(ears []ear, r listed, socks *sockets) []ear {
	var all []ear
	for _, c := range clientsOf(r.text, r.known) {
		s := r.known[c.sentinel]
		if !s.Unasked {
			continue
		}
		if i := slices.IndexFunc(ears, func(e ear) bool { return e.id == s.ID && e.client.remote == c.remote }); i >= 0 {
			all = append(all, ears[i])
			continue
		}
		if !c.local.Addr().IsValid() { // Redis 6.0
			_, local, err := socks.counters(c.local, c.remote)
			if err != nil {
				l.cfg.Log.Debug("connection of a sentinel not found", "sentinel", s.ID, "from", c.remote, "error", err)
				continue
			}
			c.local = local
		}
		all = append(all, ear{id: s.ID, client: c, placedAt: l.cfg.Now()})
	}
	return all
}

// look asks the kernel about every connection. Those that are gone are
// forgotten; missing are the Sentinels that are not heard.
func (l *Listener) look(ears []ear, known []Sentinel, socks *sockets) (left []ear, missing []string, lost error) {
	left = ears[:0]
	now := l.cfg.Now()
	for _, e := range ears {
		if !slices.ContainsFunc(known, func(s Sentinel) bool { return s.Unasked && s.ID == e.id }) {
			continue
		}
		at := l.cfg.Now()
		c, _, err := socks.counters(e.client.local, e.client.remote)
		if err == nil {
			e.track.see(c, at)
		} else {
			lost = err
		}
		if !errors.Is(err, errNoSocket) {
			left = append(left, e)
		}
	}
	for _, s := range known {
		heard := slices.ContainsFunc(left, func(e ear) bool {
			return e.id == s.ID && now.Sub(e.track.at.Max(e.placedAt)) < overdue
		})
		if s.Unasked && !heard {
			missing = append(missing, s.shown())
		}
	}
	return left, missing, lost
}

func reason(missing []string, lost, list error) string {
	switch {
	case missing == nil:
		return ""
	case list != nil:
		return fmt.Sprintf("CLIENT LIST: %v", list)
	case lost != nil:
		return lost.Error()
	}
	return "no PING of theirs comes in and is answered with PONG: " + strings.Join(missing, ", ")
}

// pingsOf is one Ping of each Sentinel that was heard. Of two connections the
// one that was heard last counts: the other has ended, and its end has not come.
func pingsOf(ears []ear) (all []watchdog.Ping) {
	for _, e := range ears {
		if e.track.at == 0 {
			continue
		}
		p := watchdog.Ping{Sentinel: e.id, At: e.track.at, SeenAt: e.track.seenAt}
		i := slices.IndexFunc(all, func(o watchdog.Ping) bool { return o.Sentinel == p.Sentinel })
		switch {
		case i < 0:
			all = append(all, p)
		case all[i].At < p.At:
			all[i] = p
		}
	}
	slices.SortFunc(all, func(a, b watchdog.Ping) int { return strings.Compare(a.Sentinel, b.Sentinel) })
	return all
}

// lister asks for the clients, in a goroutine of its own: Redis may hang.
type lister struct {
	cfg       Config
	done      chan listed // capacity 1
	asking    sync.WaitGroup
	busy      bool
	asked     bool
	err       error // of the last time
	fruitless int   // in a row
	notTill   watchdog.Instant
	spareTill watchdog.Instant // whatever there is to find
	known     []Sentinel       // that were asked for last
}

type listed struct {
	text  string
	known []Sentinel // as they were then
	err   error
	took  time.Duration
}

func (s *lister) ask(ctx context.Context, known []Sentinel) {
	now := s.cfg.Now()
	if !slices.Equal(known, s.known) { // what there was to find says nothing of these
		s.fruitless, s.notTill = 0, s.spareTill
	}
	if s.busy || now < s.notTill {
		return
	}
	s.busy, s.known = true, known
	s.asking.Go(func() {
		ctx, cancel := context.WithTimeout(ctx, listTimeout)
		defer cancel()
		text, err := s.cfg.Clients(ctx)
		s.done <- listed{text, known, err, s.cfg.Now().Sub(now)}
	})
}

func (s *lister) ended(r listed) {
	s.busy, s.asked, s.err = false, true, r.err
	now := s.cfg.Now()
	s.spareTill = now.Add(listShare * min(r.took, time.Duration(len(r.text))*listPerByte))
	s.notTill = now.Add(min(listEvery<<min(s.fruitless, 8), listAtMost)).Max(s.spareTill)
	s.fruitless++
}

func (s *lister) wait() { s.asking.Wait() }
