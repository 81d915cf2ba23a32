package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/hashicorp/go-hclog"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/redis-watchdog/redis-watchdog/cmd/redis-watchdog/internal/config"
	"github.com/redis-watchdog/redis-watchdog/cmd/redis-watchdog/internal/orders"
	"github.com/redis-watchdog/redis-watchdog/cmd/redis-watchdog/internal/report"
	"github.com/redis-watchdog/redis-watchdog/cmd/redis-watchdog/internal/web"
	"github.com/redis-watchdog/redis-watchdog/fencing/grant"
	"github.com/redis-watchdog/redis-watchdog/preflight"
	"github.com/redis-watchdog/redis-watchdog/watchdog"
	"github.com/redis-watchdog/redis-watchdog/watchdog/agent"
)

// stage is a watchdog and an etcd as the command line sees them.
type stage struct {
	coordinator // nil: what no test of this file asks for
	mu          sync.Mutex
	nodes       []agent.Status
	group       grant.Group
	away        error // of etcd
	events      []string
	onSend      func(*stage) // what the watchdog does about an order; mu is held

	history []string
	lost    int // so many compare-and-swaps are lost first

	kept      []grant.KeptError // what forget is refused for
	sentinels []preflight.Sentinel
}

func (s *stage) Status() []agent.Status {
	s.mu.Lock()
	defer s.mu.Unlock()
	return append([]agent.Status(nil), s.nodes...)
}
func (s *stage) Roles() []agent.Status                { return s.Status() }
func (s *stage) Records(context.Context) []web.Record { return nil }
func (s *stage) Fleet() string                        { return "" }
func (s *stage) Alive() bool                          { return true }

func (s *stage) send(event string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.lost > 0 {
		s.lost--
		return grant.ErrChanged
	}
	if s.away == nil {
		s.events = append(s.events, event)
		if s.onSend != nil {
			s.onSend(s)
		}
	}
	return s.away
}

func (s *stage) Read(_ context.Context, group string) (grant.Group, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	g := s.group
	g.Name = group
	return g, s.away
}
func (s *stage) ReadHistory(context.Context, string, int) ([]string, error) { return s.history, s.away }
func (s *stage) Fence(_ context.Context, _ string, n watchdog.Address, _ grant.Order) error {
	return s.send("fence " + string(n))
}
func (s *stage) Unfence(_ context.Context, _ string, n watchdog.Address, _ grant.Order, force bool) error {
	if force {
		return s.send("force " + string(n))
	}
	return s.send("unfence " + string(n))
}
func (s *stage) Release(_ context.Context, _ string, n watchdog.Address, _ grant.Order) error {
	return s.send("release " + string(n))
}
func (s *stage) Unrelease(_ context.Context, _ string, n watchdog.Address) error {
	return s.send("unrelease " + string(n))
}
func (s *stage) Adopt(_ context.Context, _ string, n watchdog.Address, epoch uint64, _ grant.Order) (watchdog.Agreement, error) {
	return watchdog.Agreement{Term: watchdog.Term{Generation: 2, Epoch: epoch}, Master: n}, s.send("adopt " + string(n))
}
func (s *stage) AdoptCluster(context.Context, string, grant.Order) error {
	return s.send("adopt cluster")
}
func (s *stage) SetMaintenance(_ context.Context, _ string, d time.Duration, _ grant.Order) error {
	return s.send("maintenance " + d.String())
}
func (s *stage) EndMaintenance(context.Context, string) error { return s.send("maintenance off") }
func (s *stage) Close() error                                 { return nil }

func guarded() agent.Status {
	return agent.Status{Group: "m1", Node: "default", Address: "10.0.0.1:6379", Role: "master", Answer: "up", Phase: "serve", Wanted: "serve",
		Row: 9, Reason: "granted", Guarded: true, GrantOurs: true, GrantRemaining: 3, Deadline: 2, SentinelsKnown: 3, SentinelsAgreeing: 3,
		Sentinels: []agent.SentinelStatus{{Address: "10.0.0.1:26379", Answering: true, Master: "10.0.0.1:6379", Epoch: 7}}}
}

// play runs one command line against the stage.
func play(t *testing.T, s *stage, running bool, args ...string) (code int, out, state string) {
	t.Helper()
	path, state, run := writeConfig(t, validConfig)
	if running {
		server, err := web.Listen(s, web.Options{Socket: filepath.Join(run, web.SocketName), Gatherer: prometheus.NewRegistry(), Log: hclog.NewNullLogger()})
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithCancel(context.Background())
		ended := make(chan error, 1)
		go func() { ended <- server.Run(ctx) }()
		defer func() {
			cancel()
			<-ended
		}()
	}
	var buffer bytes.Buffer
	a := &app{out: &buffer, errOut: &buffer, env: func(string) string { return "" },
		open: func(*config.Config) (coordinator, error) { return s, nil }, sentinels: s.askSentinels}
	code = execute(t.Context(), a, append(args, "-c", path))
	return code, buffer.String(), state
}

func expect(t *testing.T, code, wantCode int, out string, want ...string) {
	t.Helper()
	if code != wantCode {
		t.Errorf("got exit code %d, want %d\n%s", code, wantCode, out)
	}
	for _, w := range want {
		if !strings.Contains(out, w) {
			t.Errorf("got\n%s\nwant %q", out, w)
		}
	}
}

func TestStatusVerdicts(t *testing.T) {
	edit := func(f func(*stage)) *stage {
		s := &stage{nodes: []agent.Status{guarded()}}
		f(s)
		return s
	}
	for _, test := range []struct {
		name    string
		stage   *stage
		running bool
		code    int
		want    []string
	}{
		{"fine", edit(func(*stage) {}), true, 0, []string{"OK ", "m1", "10.0.0.1:6379", "serve", "3/3 agree", "granted (row 9)"}},
		{"a fault", edit(func(s *stage) {
			s.nodes[0].Faults = []agent.Fault{{ID: "timing", Severity: "warning", Text: "too short", Remedy: "SENTINEL SET"}}
		}), true, 1, []string{"FAULT", "timing", "too short", "SENTINEL SET"}},
		{"a remedy of several commands", edit(func(s *stage) {
			s.nodes[0].Faults = []agent.Fault{{ID: "two_groups", Severity: "error", Text: "both", Remedy: "# where it is ours:\nRESET m1\nsleep 20\nRESET m1"}}
		}), true, 1, []string{"\n    # where it is ours:\n    RESET m1\n    sleep 20\n    RESET m1\n"}},
		{"not guarded", edit(func(s *stage) { s.nodes[0].Guarded = false }), true, 1, []string{"FAULT", "NO"}},
		{"etcd away", edit(func(s *stage) { s.away = errors.New("no route") }), true, 2, []string{"UNKNOWN", "no route"}},
		{"a fault and etcd away", edit(func(s *stage) { s.away, s.nodes[0].Guarded = errors.New("no route"), false }), true, 1, []string{"FAULT", "no route"}},
		{"no watchdog", edit(func(*stage) {}), false, 2, []string{"UNKNOWN", "systemctl status redis-watchdog"}},
		{"a node the watchdog does not know", edit(func(s *stage) { s.nodes = []agent.Status{} }), true, 2, []string{"m1/default is in", "systemctl restart"}},
		{"another host's fault", edit(func(s *stage) {
			s.group.Nodes = map[string]string{"10.0.0.2:6379": `{"node":"default","role":"replica","phase":"follow","guarded":false,"reason":"replica","faults":[{"id":"timing","severity":"warning","text":"too short"}]}`}
		}), true, 1, []string{"OTHER HOSTS", "m1 10.0.0.2:6379: warning: timing: too short"}},
		{"another host is fine", edit(func(s *stage) {
			s.group.Nodes = map[string]string{"10.0.0.2:6379": `{"role":"replica","phase":"follow","guarded":true}`, "10.0.0.1:6379": `{}`}
		}), true, 0, []string{"OTHER HOSTS"}},
		{"a silent node", edit(func(s *stage) { s.group.Record.Nodes = []watchdog.Address{"10.0.0.1:6379", "10.0.0.3:6379"} }), true, 1, []string{"10.0.0.3:6379: its watchdog does not report"}},
		{"a node that is gone", edit(func(s *stage) {
			s.group.Record.Nodes = []watchdog.Address{"10.0.0.1:6379", "10.0.0.3:6379"}
			s.group.Gone = []watchdog.Address{"10.0.0.3:6379", "10.0.0.4:6379"} // the latter is in no record
		}), true, 0, []string{"OK ", "10.0.0.3:6379: gone:", "redis-watchdog forget m1 10.0.0.3:6379"}},
		{"a report that is garbage", edit(func(s *stage) { s.group.Nodes = map[string]string{"10.0.0.2:6379": `[`} }), true, 2, []string{"cannot be understood"}},
		{"control characters", edit(func(s *stage) { s.nodes[0].Reason = "a\x1b[2Jb\u202e" }), true, 0, []string{"a?[2Jb?"}},
	} {
		t.Run(test.name, func(t *testing.T) {
			code, out, _ := play(t, test.stage, test.running, "status")
			expect(t, code, test.code, out, test.want...)
			jsonCode, asJSON, _ := play(t, test.stage, test.running, "status", "-o", "json")
			var said report.Report
			if err := json.Unmarshal([]byte(asJSON), &said); err != nil {
				t.Errorf("%v in %s", err, asJSON)
			}
			if jsonCode != test.code {
				t.Errorf("-o json: got exit code %d, want %d", jsonCode, test.code)
			}
		})
	}
}

func TestStatusLocalAsksNoEtcd(t *testing.T) {
	code, out, _ := play(t, &stage{nodes: []agent.Status{guarded()}, away: errors.New("no route")}, true, "status", "--local")
	expect(t, code, 0, out, "OK")
}

func TestOrdersWaitUntilSeen(t *testing.T) {
	fence := func(s *stage) {
		s.nodes[0].FencedByHand, s.nodes[0].Phase, s.nodes[0].Reason, s.nodes[0].Row = true, "refuse", "fenced_by_hand", 1
	}
	fenced := guarded()
	fenced.FencedByHand, fenced.Phase = true, "refuse"
	for _, test := range []struct {
		name   string
		args   []string
		before agent.Status
		onSend func(*stage)
		code   int
		event  string
		want   string
	}{
		{"fence", []string{"fence", "m1"}, guarded(), fence, 0, "fence 10.0.0.1:6379", "seen: refuse (row 1, fenced_by_hand)"},
		{"fence by address", []string{"fence", "m1", "--node", "10.0.0.1:6379"}, guarded(), fence, 0, "fence 10.0.0.1:6379", "DONE"},
		{"fence not seen", []string{"fence", "m1", "--timeout", "300ms"}, guarded(), nil, 2, "fence 10.0.0.1:6379", "the order is in force, but was not seen done"},
		{"fence of a host without a watchdog", []string{"fence", "m1", "--node", "10.0.0.9:6379", "--timeout", "300ms"}, guarded(), nil, 2, "fence 10.0.0.9:6379", "no watchdog reports"},
		{"unfence", []string{"unfence", "m1"}, fenced, func(s *stage) { s.nodes[0] = guarded() }, 0, "unfence 10.0.0.1:6379", "seen: serve"},
		{"unfence, data behind", []string{"unfence", "m1", "--timeout", "300ms"}, fenced, func(s *stage) {
			s.nodes[0].FencedByHand, s.nodes[0].Reason = false, "data_behind"
		}, 1, "unfence 10.0.0.1:6379", "unfence m1 --force"},
		{"unfence, local order left", []string{"unfence", "m1", "--timeout", "300ms"}, fenced, nil, 1, "unfence 10.0.0.1:6379", "--local"},
		{"unfence by force", []string{"unfence", "m1", "--force"}, fenced, func(s *stage) { s.nodes[0] = guarded() }, 0, "force 10.0.0.1:6379", "DONE"},
		{"release", []string{"release", "m1"}, guarded(), func(s *stage) { s.nodes[0].Reason, s.nodes[0].Deadline = "released", -1 }, 0, "release 10.0.0.1:6379", "released"},
		{"maintenance", []string{"maintenance", "on", "m1", "--for", "1h"}, guarded(), func(s *stage) { s.nodes[0].Maintenance = 3600 }, 0, "maintenance 1h0m0s", "heard by every node"},
		{"maintenance off", []string{"maintenance", "off", "m1"}, guarded(), nil, 0, "maintenance off", "DONE"},
		{"adopt", []string{"adopt", "m1", "--to", "10.0.0.1:6379"}, guarded(), func(s *stage) {
			s.nodes[0].AgreedMaster, s.nodes[0].Generation, s.nodes[0].Epoch = "10.0.0.1:6379", 2, 7
		}, 0, "adopt 10.0.0.1:6379", "DONE"},
		{"adopt whom nobody names", []string{"adopt", "m1", "--to", "10.0.0.5:6379"}, guarded(), nil, 1, "", "no answering Sentinel names 10.0.0.5:6379"},
		{"adopt this etcd", []string{"adopt", "m1", "--this-etcd"}, guarded(), nil, 0, "adopt cluster", "DONE"},
		{"unknown node", []string{"fence", "m1", "--node", "b"}, guarded(), nil, 64, "", "neither a node of group"},
	} {
		t.Run(test.name, func(t *testing.T) {
			s := &stage{nodes: []agent.Status{test.before}, onSend: test.onSend, lost: 2}
			code, out, _ := play(t, s, true, test.args...)
			expect(t, code, test.code, out, test.want)
			if got := strings.Join(s.events, ", "); got != test.event {
				t.Errorf("got %q in etcd, want %q", got, test.event)
			}
		})
	}
}

func TestOrdersWithoutEtcdSayWhatToDo(t *testing.T) {
	s := &stage{nodes: []agent.Status{guarded()}, away: errors.New("no route")}
	code, out, _ := play(t, s, true, "fence", "m1")
	expect(t, code, 2, out, "no route", "--local")
}

func TestLocalOrderNeedsNeitherEtcdNorWatchdog(t *testing.T) {
	s := &stage{away: errors.New("no route")}
	code, out, state := play(t, s, false, "fence", "m1", "--local", "--reason", "fire", "--timeout", "100ms")
	expect(t, code, 2, out, "could not be found out")
	o, err := orders.Read(state, "m1", "default")
	if err != nil || !o.Fence || o.Reason != "fire" || o.By == "" {
		t.Errorf("got %+v, %v", o, err)
	}
	if got := o.Over(watchdog.Orders{Released: true}); !got.Fence || !got.Released {
		t.Errorf("got %+v", got)
	}
	if err := orders.Write(state, "m1", "default", orders.Order{}); err != nil {
		t.Fatal(err)
	}
	if o, err = orders.Read(state, "m1", "default"); err != nil || o != (orders.Order{}) {
		t.Errorf("taken back: got %+v, %v", o, err)
	}
}

func TestUnfenceTakesReleaseBack(t *testing.T) {
	s := &stage{nodes: []agent.Status{guarded()}}
	s.group.Control.Released = map[watchdog.Address]grant.Order{"10.0.0.1:6379": {}}
	code, out, _ := play(t, s, true, "unfence", "m1")
	expect(t, code, 0, out, "DONE")
	if got := strings.Join(s.events, ", "); got != "unfence 10.0.0.1:6379, unrelease 10.0.0.1:6379" {
		t.Errorf("got %q", got)
	}
}

func TestHistory(t *testing.T) {
	s := &stage{history: []string{`{"time":"2026-01-02T03:04:05Z","address":"10.0.0.1:6379","from":"serve","to":"refuse","row":7,"reason":"deposed","term":"1/5","votes":3,"known":3}`, "garbage\x1b"}}
	code, out, _ := play(t, s, false, "history", "m1")
	expect(t, code, 0, out, "10.0.0.1:6379", "deposed", "1/5", "not understood: garbage?")
	code, out, _ = play(t, s, false, "history", "m1", "-o", "json")
	var records []any
	if err := json.Unmarshal([]byte(out), &records); err != nil || code != 0 || len(records) != 2 {
		t.Errorf("got %d, %v: %s", code, err, out)
	}
	s.away = errors.New("no route")
	code, out, _ = play(t, s, false, "history", "m1")
	expect(t, code, 2, out, "no route", "journalctl")
}

func TestDocumentHasEveryCommandAndFlag(t *testing.T) {
	doc, err := os.ReadFile("../../docs/cli.md")
	if err != nil {
		t.Fatal(err)
	}
	a := newApp()
	for _, c := range a.command().Commands() {
		if c.Name() == "help" || c.Name() == "completion" {
			continue
		}
		if !strings.Contains(string(doc), "redis-watchdog "+c.Name()) {
			t.Errorf("docs/cli.md has no %s", c.Name())
		}
		for _, sub := range append(c.Commands(), c) {
			for _, line := range strings.Split(sub.LocalFlags().FlagUsages(), "\n") {
				if _, flag, ok := strings.Cut(line, "--"); ok {
					if name := strings.Fields(flag)[0]; !strings.Contains(string(doc), "`--"+name) {
						t.Errorf("docs/cli.md has no --%s of %s", name, sub.Name())
					}
				}
			}
		}
	}
}
