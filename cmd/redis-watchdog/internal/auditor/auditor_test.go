package auditor

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/hashicorp/go-hclog"

	"github.com/redis-watchdog/redis-watchdog/fencing/grant"
	"github.com/redis-watchdog/redis-watchdog/lab"
	"github.com/redis-watchdog/redis-watchdog/preflight/keyspace/fleet"
)

// patience bounds every wait; it is never what is measured.
const patience = 4 * time.Minute

func open(t *testing.T, e *lab.Etcd) *grant.Store {
	t.Helper()
	s, err := grant.Open(grant.Config{Endpoints: e.Endpoints(), Now: lab.Now})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Errorf("Close: %v", err)
		}
	})
	return s
}

// world is the hosts of a fleet whose Redis are played and whose etcd is real.
type world struct {
	t        *testing.T
	parallel int

	mu      sync.Mutex
	hosts   []*host
	running int
	most    int
	begun   map[string]int // by unit
	excused map[string]int // of them, those that could not end
	quiet   bool           // nothing may begin
	wrong   []string
}

// host plays one.
type host struct {
	w        *world
	name     string
	nodes    []fleet.Node
	busy     atomic.Bool
	auditing string // the unit; of the world's lock
	dead     *atomic.Bool
	lose     *atomic.Int32
	config   func(*Config) // nil: as start has it
	runner   *Runner
	stop     func()
}

func (h *host) Nodes() []fleet.Node {
	h.w.mu.Lock()
	defer h.w.mu.Unlock()
	return slices.Clone(h.nodes)
}

func (h *host) Load(context.Context, fleet.Node) (fleet.Load, error) {
	l := fleet.Load{Processors: 2, Available: 8 << 30, Total: 16 << 30, UsedMemory: 1 << 30, LinkUp: true}
	if h.busy.Load() {
		l.Average = 20
	}
	return l, nil
}

func (h *host) Audit(ctx context.Context, n fleet.Node, _ bool) (Audit, error) {
	w, unit := h.w, n.Group+"/"+n.Address
	w.mu.Lock()
	if h.auditing != "" {
		w.wrong = append(w.wrong, fmt.Sprintf("%s audits %s beside %s", h.name, unit, h.auditing))
	}
	if w.quiet {
		w.wrong = append(w.wrong, unit+" was begun though the run is paused")
	}
	if !n.Replica {
		w.wrong = append(w.wrong, unit+" is no replica")
	}
	if h.busy.Load() {
		w.wrong = append(w.wrong, h.name+" is busy")
	}
	h.auditing = unit
	w.begun[unit]++
	w.running++
	w.most = max(w.most, w.running)
	w.mu.Unlock()
	defer func() {
		w.mu.Lock()
		defer w.mu.Unlock()
		h.auditing = ""
		w.running--
	}()
	select {
	case <-ctx.Done():
		return Audit{}, context.Cause(ctx)
	case <-time.After(20*time.Millisecond + rand.N(60*time.Millisecond)):
		return Audit{Kept: []byte(`{}`), Keys: 1000, Bytes: 1 << 20}, nil
	}
}

// mortal is a Store whose user dies: nothing that it asks for reaches etcd any more.
type mortal struct {
	*grant.Store
	dead *atomic.Bool
	lose *atomic.Int32 // so many answers to a claim are lost; nil: none
}

func (m mortal) ClaimFleet(ctx context.Context, c grant.FleetClaim) (*grant.FleetHold, error) {
	h, err := m.Store.ClaimFleet(ctx, c)
	if err == nil && m.lose != nil && m.lose.Add(-1) >= 0 {
		return h, context.DeadlineExceeded
	}
	return h, err
}

func (m mortal) EndFleet(ctx context.Context, h grant.FleetHold, unit []byte, group string, audit []byte, rest bool) error {
	if m.dead.Load() {
		return grant.ErrChanged // so that he does not try again
	}
	return m.Store.EndFleet(ctx, h, unit, group, audit, rest)
}

// start has the host's watchdog run; it ends with stop, or without a word with kill.
func (h *host) start(s *grant.Store) {
	h.dead = &atomic.Bool{}
	ctx, cancel := context.WithCancel(context.Background())
	m := mortal{s, h.dead, h.lose}
	c := Config{Store: func() Store { return m }, Host: h, Key: h.name, Name: h.name, Now: lab.Now, Log: hclog.NewNullLogger(),
		Idle: time.Second, Look: 2 * time.Second, Beat: 50 * time.Millisecond}
	if h.config != nil {
		h.config(&c)
	}
	r := New(c)
	h.runner = r
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		if err := r.Run(ctx); !errors.Is(err, context.Canceled) {
			h.w.t.Errorf("Run: %v, want it to end with its context", err)
		}
	}()
	h.stop = func() { cancel(); <-ended }
}

// begin writes a run as the command does.
func begin(t *testing.T, s *grant.Store, run fleet.Run, units []fleet.Unit) {
	t.Helper()
	was, err := s.FleetRun(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	run.Units = len(units)
	list := map[string][]byte{}
	for _, u := range units {
		list[u.Key()] = text(t, u)
	}
	preparing := run
	preparing.State = fleet.Preparing
	if err := s.StartFleet(t.Context(), was, text(t, preparing), text(t, run), list); err != nil {
		t.Fatal(err)
	}
}

func text(t *testing.T, v any) []byte {
	t.Helper()
	b, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func change(t *testing.T, s *grant.Store, to fleet.State) {
	t.Helper()
	was, err := s.FleetRun(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	run, err := fleet.ReadRun(was.Value)
	if err != nil {
		t.Fatal(err)
	}
	run.State = to
	if err := s.ChangeFleet(t.Context(), was, text(t, run)); err != nil {
		t.Fatal(err)
	}
}

func progress(t *testing.T, s *grant.Store) (fleet.Progress, []fleet.Known) {
	t.Helper()
	entry, found, err := s.ReadFleet(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	run, err := fleet.ReadRun(entry.Value)
	if err != nil {
		t.Fatal(err)
	}
	var units []fleet.Known
	for _, f := range found {
		u, err := fleet.ReadUnit(f.Value)
		if err != nil {
			t.Fatal(err)
		}
		units = append(units, fleet.Known{Unit: u, Claimed: f.Claimed})
	}
	return fleet.ProgressOf(run, units, 0), units
}

func until(t *testing.T, what string, is func() (bool, string)) {
	t.Helper()
	for end := time.Now().Add(patience); ; time.Sleep(100 * time.Millisecond) {
		ok, seen := is()
		if ok {
			t.Logf("%s: %s", what, seen)
			return
		}
		if time.Now().After(end) {
			t.Fatalf("%s: not within %v: %s", what, patience, seen)
		}
	}
}

// TestAThousandNodesAreAuditedOnceEach: 250 hosts with four replicas each share a
// list in a real etcd. Some are busy for a while, some die in the middle of an audit,
// the run is paused and goes on, one Redis is promoted; whoever began the run is gone
// from the first moment on.
func TestAThousandNodesAreAuditedOnceEach(t *testing.T) {
	const hosts, each = 250, 4
	w := &world{t: t, parallel: fleet.DefaultParallel, begun: map[string]int{}, excused: map[string]int{}}
	l := lab.Loopback(t)
	etcd := l.Etcd(lab.EtcdConfig{}, l.Host("a"))
	t.Log("etcd answers")
	var stores []*grant.Store
	for range 10 {
		stores = append(stores, open(t, etcd))
	}
	var units []fleet.Unit
	for i := range hosts {
		h := &host{w: w, name: fmt.Sprintf("host%03d", i)}
		for j := range each {
			n := fleet.Node{Group: fmt.Sprintf("g%03d", (i+j*hosts/2)%(2*hosts)), Address: fmt.Sprintf("10.0.%d.%d:%d", i/100, i%100, 6379+j), Replica: true}
			h.nodes = append(h.nodes, n)
			units = append(units, fleet.Unit{Group: n.Group, Address: n.Address, State: fleet.Waiting})
		}
		h.busy.Store(i%10 == 7)
		w.hosts = append(w.hosts, h)
	}
	// The fourth node of host 249 becomes the master before its turn.
	promoted := w.hosts[hosts-1].nodes[each-1]
	w.hosts[hosts-1].nodes[each-1].Replica, w.hosts[hosts-1].nodes[each-1].Master = false, true
	command, err := grant.Open(grant.Config{Endpoints: etcd.Endpoints(), Now: lab.Now})
	if err != nil {
		t.Fatal(err)
	}
	begin(t, command, fleet.Run{Schema: fleet.Schema, ID: "r1", State: fleet.Running, Parallel: w.parallel, Every: true, MaxLoad: fleet.DefaultMaxLoad}, units)
	if err := command.Close(); err != nil {
		t.Fatal(err)
	}
	for i, h := range w.hosts {
		h.start(stores[i%len(stores)])
	}
	defer func() {
		var all sync.WaitGroup
		for _, h := range w.hosts {
			all.Go(h.stop)
		}
		all.Wait()
	}()

	look := open(t, etcd)
	until(t, "200 are done", func() (bool, string) {
		p, _ := progress(t, look)
		return p.Done >= 200, fmt.Sprintf("%+v", p)
	})
	killed := w.kill(t, 5)
	change(t, look, fleet.Paused)
	// What had been claimed goes on; then it is quiet.
	until(t, "what runs has ended", func() (bool, string) {
		w.mu.Lock()
		defer w.mu.Unlock()
		return w.running == 0, fmt.Sprint(w.running)
	})
	p, _ := progress(t, look)
	if p.Left != nil || !strings.Contains(p.Unknown, "paused") {
		t.Errorf("a paused run has a time left: %+v", p)
	}
	w.mu.Lock()
	w.quiet = true
	w.mu.Unlock()
	time.Sleep(3 * time.Second) // longer than most wait before they look again
	w.mu.Lock()
	w.quiet = false
	w.mu.Unlock()
	change(t, look, fleet.Running)
	for i, h := range killed {
		h.start(stores[i]) // its watchdog is started again, and finds its own claim
	}
	until(t, "700 are done", func() (bool, string) {
		p, _ := progress(t, look)
		return p.Done >= 700, fmt.Sprintf("%+v", p)
	})
	p, _ = progress(t, look)
	t.Logf("%+v, left %+v", p, p.Left)
	for _, h := range w.hosts {
		h.busy.Store(false)
	}
	until(t, "all are done", func() (bool, string) {
		p, _ := progress(t, look)
		return p.Finished, fmt.Sprintf("%+v", p)
	})
	w.judge(t, look, promoted)
}

// kill ends watchdogs in the middle of an audit.
func (w *world) kill(t *testing.T, n int) (killed []*host) {
	t.Helper()
	until(t, "watchdogs in the middle of an audit", func() (bool, string) {
		w.mu.Lock()
		var dying []*host
		for _, h := range w.hosts {
			if h.auditing != "" && len(killed)+len(dying) < n && !slices.Contains(killed, h) {
				h.dead.Store(true)
				dying = append(dying, h)
			}
		}
		w.mu.Unlock()
		for _, h := range dying {
			h.stop()
		}
		killed = append(killed, dying...)
		return len(killed) == n, fmt.Sprint(len(killed))
	})
	return killed
}

func (w *world) judge(t *testing.T, look *grant.Store, promoted fleet.Node) {
	t.Helper()
	p, units := progress(t, look)
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, wrong := range w.wrong {
		t.Error(wrong)
	}
	if w.most > w.parallel || w.most < w.parallel/2 {
		t.Errorf("%d audits at one time, want about and at most %d", w.most, w.parallel)
	}
	if p.Done != 999 || p.LeftOut != 1 || p.Failed != 0 || p.Keys != 999*1000 {
		t.Errorf("progress %+v, want 999 done and the promoted one left out", p)
	}
	again := 0
	for _, u := range units {
		n := w.begun[u.Key()]
		switch {
		case u.Address == promoted.Address:
			if u.State != fleet.LeftOut || n != 0 {
				t.Errorf("the promoted %s: %+v, begun %d times", u.Key(), u.Unit, n)
			}
		case u.State != fleet.Done || u.Tries != n || n < 1:
			t.Errorf("%s: %+v, begun %d times", u.Key(), u.Unit, n)
		case n > 1:
			again++
		}
	}
	// One that died may have died just behind the end of its audit.
	if again > 5 {
		t.Errorf("%d were audited more than once, and 5 watchdogs died", again)
	}
	if left := slices.Collect(maps.Keys(w.begun)); len(left) != 999 {
		t.Errorf("%d units were begun, want 999", len(left))
	}
}
