package main

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"strings"
	"testing"

	"github.com/redis-watchdog/redis-watchdog/cmd/redis-watchdog/internal/config"
	"github.com/redis-watchdog/redis-watchdog/fencing/grant"
	"github.com/redis-watchdog/redis-watchdog/preflight/keyspace/fleet"
	"github.com/redis-watchdog/redis-watchdog/watchdog"
)

// fleetStage is an etcd with a work list as the command line sees it; what a real one
// makes of it is shown in fencing/grant and in lab/scenario.
type fleetStage struct {
	stage
	run      []byte
	units    map[string][]byte
	claimed  map[string]bool
	reports  map[string]string // "group/address"
	modified int64
	unheard  error // of Reporting
}

func (s *fleetStage) ReadFleet(context.Context) (grant.FleetEntry, []grant.FleetUnit, error) {
	var all []grant.FleetUnit
	for key, text := range s.units {
		all = append(all, grant.FleetUnit{FleetEntry: grant.FleetEntry{Value: text, Modified: 1}, Key: key, Claimed: s.claimed[key]})
	}
	return grant.FleetEntry{Value: s.run, Modified: s.modified}, all, s.away
}

func (s *fleetStage) StartFleet(_ context.Context, was grant.FleetEntry, _, run []byte, units map[string][]byte) error {
	if was.Modified != s.modified {
		return grant.ErrChanged
	}
	s.run, s.units, s.modified = run, units, s.modified+1
	return nil
}

func (s *fleetStage) ChangeFleet(_ context.Context, was grant.FleetEntry, run []byte) error {
	return s.StartFleet(context.Background(), was, nil, run, s.units)
}

func (s *fleetStage) Reporting(_ context.Context, each func(group string, address watchdog.Address, report []byte)) error {
	for key, text := range s.reports {
		group, address, _ := strings.Cut(key, "/")
		each(group, watchdog.Address(address), []byte(text))
	}
	return cmp.Or(s.unheard, s.away)
}

func (s *fleetStage) play(t *testing.T, args ...string) (code int, out string) {
	t.Helper()
	path, _, _ := writeConfig(t, validConfig)
	var buffer bytes.Buffer
	a := &app{out: &buffer, errOut: &buffer, env: func(string) string { return "" }, open: func(*config.Config) (coordinator, error) { return s, nil }}
	code = execute(t.Context(), a, append(append([]string{"keyspace", "fleet"}, args...), "-c", path))
	return code, buffer.String()
}

func (s *fleetStage) becomes(t *testing.T, key string, change func(*fleet.Unit)) {
	t.Helper()
	u, err := fleet.ReadUnit(s.units[key])
	if err != nil {
		t.Fatal(err)
	}
	change(&u)
	if s.units[key], err = json.Marshal(u); err != nil {
		t.Fatal(err)
	}
}

func TestFleetIsOrderedAndTold(t *testing.T) {
	s := &fleetStage{claimed: map[string]bool{}, reports: map[string]string{
		"pay-a/10.0.0.1:6379": `{"role":"master"}`, "pay-a/10.0.0.2:6379": `{"role":"replica"}`, "pay-a/10.0.0.3:6379": `{"role":"replica"}`,
		"pay-b/10.0.0.1:6380": `{"role":"master"}`, "web/10.0.0.4:6379": `{"role":"replica"}`, "web/10.0.0.5:6379": `garbage`,
	}}
	said := func(wantCode int, args string, want ...string) {
		t.Helper()
		code, out := s.play(t, strings.Fields(args)...)
		expect(t, code, wantCode, out, want...)
	}
	said(0, "status", "there is no run")
	said(1, "pause", "there is no run")
	said(64, "start --parallel 0", "none of 1 to 1000")
	said(64, "start --groups [", "groups", "syntax error")
	said(64, "start --max-load -1", "load")
	said(64, "status -o csv", "neither text nor json")
	said(64, "", "one of start")
	said(1, "start --groups none-*", "nothing to audit")
	said(0, "start --groups pay-* --parallel 3", "1 audits", "at most 3", "1 groups are left out")
	said(1, "start", "a run is running", "fleet stop")
	said(0, "status", "running: one replica of each group pay-*, at most 3", "of 1 audits 0 are done", "too few")
	said(0, "pause", "paused")
	said(0, "pause", "it is paused already")
	said(0, "status", "paused: ", "not known: it is paused")
	said(0, "resume", "running")
	waits := func(args, report string, want ...string) {
		t.Helper()
		was := s.reports["pay-a/10.0.0.2:6379"]
		s.reports["pay-a/10.0.0.2:6379"] = report
		said(0, args, want...)
		s.reports["pay-a/10.0.0.2:6379"] = was
	}
	other := s.reports["pay-a/10.0.0.3:6379"]
	said(0, "status", "1 wait: its turn has not come (turn)")
	s.reports["pay-a/10.0.0.3:6379"] = `{"role":"replica","unaudited":"maintenance"}`
	said(0, "status", "1 wait: its turn has not come (turn)") // of the other one
	waits("status", `{"role":"replica","unaudited":"load"}`, "1 wait: its host's load", "10.0.0.2:6379")
	waits("status", `{"role":"replica","unaudited":"maintenance"}`, "1 wait: its group is in maintenance (maintenance)", "waiting")
	waits("status -o json", `{"role":"replica","unaudited":"maintenance"}`, `"waits": {`, `"maintenance": 1`, `"waits_by": "10.0.0.`)
	s.reports["pay-a/10.0.0.3:6379"] = `{"role":"replica","reason":"stopped"}`
	waits("status", `{"role":"master","unaudited":"master"}`, "none of its nodes that report is a replica")
	master := s.reports["pay-a/10.0.0.1:6379"]
	delete(s.reports, "pay-a/10.0.0.1:6379")
	waits("status", `{"role":"replica","reason":"stopped"}`, "no watchdog of it reports (unwatched)")
	s.reports["pay-a/10.0.0.1:6379"], s.reports["pay-a/10.0.0.3:6379"] = master, other
	s.unheard = errors.New("no leader")
	said(1, "status", "running: one replica of each group pay-*", "of 1 audits 0 are done, 0 failed, 0 left out, 0 running, 1 waiting", "why they wait is not known: no leader")
	said(1, "status -o json", `"waiting": 1`, `"waits": {}`, `"waits_unknown": "no leader"`)
	s.unheard = nil
	s.claimed["pay-a"] = true
	said(0, "status", "its last audit broke")
	s.becomes(t, "pay-a", func(u *fleet.Unit) { *u = fleet.Begin(*u, "10.0.0.2:6379") })
	said(0, "status", "1 running", "10.0.0.2:6379")
	said(0, "stop", "stopped")
	said(1, "resume", "the run is stopped")
	said(1, "start", "are ending")
	s.claimed["pay-a"] = false
	said(0, "start --every-replica", "3 audits", "1 groups are left out")
	if len(s.units) != 3 || s.units["web/10.0.0.4:6379"] == nil {
		t.Errorf("units %s", s.units)
	}
	s.becomes(t, "web/10.0.0.4:6379", func(u *fleet.Unit) { u.State, u.Tries, u.Reason = fleet.Failed, 3, "SYNC: NOPERM" })
	said(1, "status", "1 failed", "web/10.0.0.4:6379", "NOPERM")
	for _, key := range []string{"pay-a/10.0.0.2:6379", "pay-a/10.0.0.3:6379"} {
		s.becomes(t, key, func(u *fleet.Unit) { u.State, u.Took, u.Keys, u.Bytes = fleet.Done, 5, 1000, 1<<20 })
	}
	said(1, "status", "finished: every replica", "2000 keys, 2.0 MiB")
	code, out := s.play(t, "status", "-o", "json")
	var told fleetStatus
	if err := json.Unmarshal([]byte(out), &told); err != nil || code != 1 || told.Run == nil || !told.Progress.Finished || len(told.Units) != 3 {
		t.Errorf("got %d, %v: %s", code, err, out)
	}
	s.units["pay-a/10.0.0.2:6379"] = []byte("garbage")
	said(1, "status", "fleet/units/pay-a/10.0.0.2:6379: read unit", "of 3 audits 1 are done")
	said(1, "start", "a run is running")
	s.run = []byte(`{"schema":9}`)
	said(2, "status", "begun by another version")
	said(2, "pause", "begun by another version")
	said(0, "start", "2 audits") // what nobody understands holds nobody up
	s.away = errors.New("no route")
	said(2, "status", "no route")
	said(2, "start", "no route")
}
