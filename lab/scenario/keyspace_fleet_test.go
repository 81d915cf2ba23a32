package scenario

// The fleet's audits, made by watchdogs beside real groups.

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/redis-watchdog/redis-watchdog/lab"
	"github.com/redis-watchdog/redis-watchdog/lab/watched"
	"github.com/redis-watchdog/redis-watchdog/preflight/keyspace/fleet"
	"github.com/redis-watchdog/redis-watchdog/watchdog/agent"
)

const auditBegins = 8 * time.Second // of repl-diskless-sync-delay: it is under way for so long at least

// fleetSays is the output of keyspace fleet status -o json.
type fleetSays struct {
	Run      *fleet.Run
	Progress fleet.Progress
	Units    []struct {
		fleet.Unit
		Running bool
	}
}

func fleetStatus(d *watched.Watchdog) (s fleetSays, err error) {
	text, code := d.CLI("keyspace", "fleet", "status", "-o", "json")
	if err := json.Unmarshal([]byte(text), &s); err != nil {
		return s, fmt.Errorf("status ended with %d: %s", code, text)
	}
	return s, nil
}

// TestFleetOfSixNodesIsAudited: two groups on three hosts, so that one host has two
// replicas. While they are audited a watchdog is killed in the middle of one, and
// another node is promoted in the middle of its own.
func TestFleetOfSixNodesIsAudited(t *testing.T) {
	t.Parallel()
	delay := lab.RedisConfig{Lines: []string{fmt.Sprintf("repl-diskless-sync-delay %d", auditBegins/time.Second)}}
	w := watched.Start(t, watched.Options{Paused: true, Group: lab.GroupConfig{Redis: delay}})
	other := delay
	other.Port = 7001
	second := w.Lab.Group(lab.GroupConfig{Name: "other", Hosts: []*lab.Host{w.Hosts[1], w.Hosts[0], w.Hosts[2]}, DownAfter: 3 * time.Second, Redis: other, Sentinel: lab.SentinelConfig{Port: 26479}})
	at := map[*lab.Host]*lab.Redis{}
	for _, r := range second.Redis {
		at[r.Host] = r
	}
	for _, g := range []*lab.Group{w.Group, second} {
		for i := range 200 {
			g.Redis[0].Do("SET", fmt.Sprintf("user:%d:name", i), strings.Repeat("x", 100))
		}
		g.WaitReplicas()
	}
	var sentinels []string
	for _, s := range second.Sentinels {
		sentinels = append(sentinels, s.Address)
	}
	for _, d := range w.Watchdogs {
		c := d.Config()
		c.Groups = append(c.Groups, map[string]any{"name": "other", "sentinels": sentinels, "nodes": []map[string]any{{"name": "default", "address": at[d.Host].Address}}})
		d.Write(c)
		d.Restart()
	}
	waitReady(w)
	w.Eventually("all six report", time.Minute, func() error {
		for _, g := range []string{w.Group.Name, "other"} {
			got, err := w.Store(w.Hosts[0]).Read(t.Context(), g)
			if err != nil {
				return err
			}
			replicas := 0
			for _, report := range got.Nodes {
				if strings.Contains(report, `"role":"replica"`) {
					replicas++
				}
			}
			if replicas != 2 {
				return fmt.Errorf("%s has %d replicas that report", g, replicas)
			}
		}
		return nil
	})

	// What the processors of a test machine have to do says nothing of an idle host.
	if text, code := w.Watchdogs[0].CLI("keyspace", "fleet", "start", "--every-replica", "--parallel", "2", "--max-load", "0"); code != 0 || !strings.Contains(text, "4 audits") {
		t.Fatalf("start ended with %d: %s", code, text)
	}
	if text, code := w.Watchdogs[1].CLI("keyspace", "fleet", "start"); code != 1 || !strings.Contains(text, "fleet stop") {
		t.Errorf("a second start ended with %d: %s", code, text)
	}

	all := append(slices.Clone(w.Group.Redis), second.Redis...)
	began, audited := waitAudit(w, all, "")
	fleetOrder(t, w.Watchdogs[1], "pause") // so that two are left to begin later
	w.Mark("the watchdog that audits %s is killed", began.Key())
	killed := w.Watchdogs[slices.Index(w.Hosts, audited.Host)]
	killed.Kill()
	w.Eventually("the audit ends with its watchdog", 30*time.Second, func() error {
		if i := audited.Info(); i["connected_slaves"] != "0" {
			return fmt.Errorf("%s has %s replicas", audited.Name, i["connected_slaves"])
		}
		return nil
	})
	killed.Restart()
	waitReady(w)
	fleetOrder(t, w.Watchdogs[2], "resume")

	promoted, to := waitAudit(w, all, began.Key())
	w.Mark("%s is promoted while it is audited", promoted.Key())
	if out, code := planned(t, w.Watchdogs[0], promoted.Group, to); code != 0 {
		t.Fatalf("the failover ended with %d: %+v", code, out)
	}

	var s fleetSays
	w.Eventually("all is done", 4*time.Minute, func() (err error) {
		w.Pause(time.Second)
		if s, err = fleetStatus(w.Watchdogs[2]); err == nil && !s.Progress.Finished {
			err = fmt.Errorf("%+v of %+v", s.Progress, s.Units)
		}
		return err
	})
	for _, u := range s.Units {
		switch u.Key() {
		case promoted.Key():
			if u.State != fleet.LeftOut {
				t.Errorf("the promoted node: %+v", u)
			}
		case began.Key():
			if u.State != fleet.Done || u.Tries != 2 || u.Keys != 200 {
				t.Errorf("the node whose watchdog was killed: %+v", u)
			}
		default:
			// On a test machine that does not run a group for a second its master is fenced,
			// and then the stream of an audit breaks: it is tried again.
			if u.State != fleet.Done || u.Keys != 200 {
				t.Errorf("a node that nothing happened to: %+v", u)
			}
			if u.Tries != 1 {
				t.Logf("%s took %d tries", u.Key(), u.Tries)
			}
		}
	}
	if s.Progress.Done != 3 || s.Progress.LeftOut != 1 {
		t.Errorf("%+v", s.Progress)
	}
	if text, code := w.Watchdogs[1].CLI("keyspace", "fleet", "status"); code != 0 || !strings.Contains(text, "finished: every replica") {
		t.Errorf("status ended with %d: %s", code, text)
	}
	for _, g := range []*lab.Group{w.Group, second} {
		text, err := w.Store(w.Hosts[0]).Audit(t.Context(), g.Name)
		if err != nil || !strings.Contains(string(text), `"keys":200`) || !strings.Contains(string(text), `"complete":true`) {
			t.Errorf("kept of %s: %v %.300s", g.Name, err, text)
		}
		// The page has the newest one after each preflight that asks.
		d := w.Watchdogs[1]
		w.Eventually("the status page shows the audit of "+g.Name, time.Minute, func() error {
			d.CLI("preflight", g.Name)
			var kept struct {
				Keys   int    `json:"keys"`
				Source string `json:"source"`
			}
			if err := d.JSON("/keyspace/"+g.Name, &kept); err != nil {
				return err
			}
			if kept.Keys != 200 || !strings.HasPrefix(kept.Source, "stream of ") {
				return fmt.Errorf("it is %+v", kept)
			}
			return nil
		})
		for _, sentinel := range g.Sentinels {
			if replicas := fmt.Sprint(sentinel.Do("SENTINEL", "REPLICAS", g.Name)); strings.Contains(replicas, ":0 ") {
				t.Errorf("%s knows a replica that is none: %s", sentinel.Name, replicas)
			}
		}
	}
}

func fleetOrder(t *testing.T, d *watched.Watchdog, order string) {
	t.Helper()
	if text, code := d.CLI("keyspace", "fleet", order); code != 0 {
		t.Fatalf("%s ended with %d: %s", order, code, text)
	}
}

// waitReady waits until every Redis of every watchdog is guarded.
func waitReady(w *watched.World) {
	w.T.Helper()
	w.Eventually("all nodes are guarded", time.Minute, func() error {
		for _, d := range w.Watchdogs {
			var all []agent.Status
			if err := d.JSON("/status", &all); err != nil {
				return err
			}
			for _, s := range all {
				if !s.Ready {
					return fmt.Errorf("%s of %s: phase %s, row %d %s, faults %v", s.Group, d.Name, s.Phase, s.Row, s.Reason, s.Faults)
				}
			}
		}
		return nil
	})
}

// waitAudit waits until a unit, but not that one, is under way: its Redis has somebody
// who follows it.
func waitAudit(w *watched.World, all []*lab.Redis, but string) (found fleet.Unit, of *lab.Redis) {
	w.T.Helper()
	w.Eventually("an audit is under way", 3*time.Minute, func() error {
		s, err := fleetStatus(w.Watchdogs[0])
		if err != nil {
			return err
		}
		for _, u := range s.Units {
			for _, r := range all {
				if u.Running && u.Key() != but && r.Address == u.Address && r.Info()["connected_slaves"] == "1" {
					found, of = u.Unit, r
					return nil
				}
			}
		}
		return fmt.Errorf("%+v", s.Units)
	})
	return found, of
}
