package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/redis-watchdog/redis-watchdog/cmd/redis-watchdog/internal/config"
	"github.com/redis-watchdog/redis-watchdog/fencing/grant"
	"github.com/redis-watchdog/redis-watchdog/preflight"
	"github.com/redis-watchdog/redis-watchdog/watchdog"
)

// Forget is kept for what stands in kept, one attempt after the other, and then done.
func (s *stage) Forget(_ context.Context, _ string, n watchdog.Address, _ grant.Order) error {
	s.mu.Lock()
	if len(s.kept) > 0 && s.lost == 0 {
		k := s.kept[0]
		if k.Kept.Passes() {
			s.kept = s.kept[1:]
		}
		s.mu.Unlock()
		return &k
	}
	s.mu.Unlock()
	return s.send("forget " + string(n))
}

func TestForget(t *testing.T) {
	const gone = "10.0.0.9:6379"
	sentinel := func(address, master string, replicas ...string) preflight.Sentinel {
		one := preflight.Sentinel{Address: address, Master: master}
		for _, r := range replicas {
			one.Replicas = append(one.Replicas, preflight.SentinelView{Address: r})
		}
		return one
	}
	silent := preflight.Sentinel{Address: "10.0.0.3:26379", Error: "connection refused"}
	fine := []preflight.Sentinel{sentinel("10.0.0.1:26379", "10.0.0.1:6379", "10.0.0.2:6379"), silent}
	kept := func(all ...grant.Kept) (e []grant.KeptError) {
		for _, k := range all {
			e = append(e, grant.KeptError{Node: gone, Kept: k, By: "10.0.0.1:6379", Nodes: []watchdog.Address{"10.0.0.1:6379"}})
		}
		return e
	}
	for _, test := range []struct {
		name      string
		args      []string
		sentinels []preflight.Sentinel
		kept      []grant.KeptError
		code      int
		event     string
		want      []string
	}{
		{"done, though one Sentinel does not answer", nil, fine, nil, 0, "forget " + gone, []string{"DONE", "m1 " + gone, "history m1"}},
		{"what was said lapses", nil, fine, kept(grant.KeptReports, grant.KeptListed), 0, "forget " + gone, []string{"DONE"}},
		{"it goes on reporting", []string{"--timeout", "10ms"}, fine, kept(grant.KeptReports, grant.KeptReports, grant.KeptReports), 1, "", []string{"BLOCKED", "disable --now redis-watchdog"}},
		{"the master", nil, fine, kept(grant.KeptMaster), 1, "", []string{"redis-watchdog failover m1"}},
		{"it holds the grant", nil, fine, kept(grant.KeptGrant), 1, "", []string{"redis-watchdog failover m1"}},
		{"nobody is granted", nil, fine, kept(grant.KeptNobody), 1, "", []string{"nobody holds the grant", "10.0.0.1:6379"}},
		{"the data is its own", []string{"--timeout", "1ms"}, fine, kept(grant.KeptData, grant.KeptData), 1, "", []string{"the newest that etcd knows"}},
		{"fenced by hand", nil, fine, kept(grant.KeptFenced), 1, "", []string{"redis-watchdog unfence m1 --node " + gone}},
		{"a watchdog says that it is listed", []string{"--timeout", "1ms"}, fine, kept(grant.KeptListed, grant.KeptListed), 1, "", []string{"the watchdog of 10.0.0.1:6379", "SENTINEL RESET m1"}},
		{"not there", nil, fine, kept(grant.KeptNotThere), 1, "", []string{"etcd holds nothing of it", "10.0.0.1:6379"}},
		{"two Sentinels list it", nil, []preflight.Sentinel{sentinel("10.0.0.1:26379", "10.0.0.1:6379", gone), sentinel("[fd00::2]:26380", "10.0.0.1:6379", gone), silent}, nil, 1, "",
			[]string{"10.0.0.1:26379, [fd00::2]:26380 list it", "\n    redis-cli -h 10.0.0.1 -p 26379 SENTINEL RESET m1\n    sleep 20\n    redis-cli -h fd00::2 -p 26380 SENTINEL RESET m1\n"}},
		{"listed with a name that cannot be found", nil, []preflight.Sentinel{{Address: "10.0.0.1:26379", Master: "10.0.0.1:6379", Unread: []preflight.Unread{{Name: gone}}}}, nil, 1, "", []string{"SENTINEL RESET m1"}},
		{"a Sentinel names it as the master", nil, []preflight.Sentinel{sentinel("10.0.0.1:26379", gone)}, nil, 1, "", []string{"redis-watchdog failover m1"}},
		{"no Sentinel answers", nil, []preflight.Sentinel{silent}, nil, 2, "", []string{"no Sentinel of m1 answers", "connection refused"}},
	} {
		t.Run(test.name, func(t *testing.T) {
			s := &stage{lost: 2, kept: test.kept, sentinels: test.sentinels}
			if len(test.kept) > 0 {
				s.lost = 0
			}
			code, out, _ := play(t, s, false, append([]string{"forget", "m1", gone}, test.args...)...)
			expect(t, code, test.code, out, test.want...)
			if got := strings.Join(s.events, ", "); got != test.event {
				t.Errorf("got %q in etcd, want %q", got, test.event)
			}
		})
	}
	t.Run("etcd away", func(t *testing.T) {
		s := &stage{away: errors.New("no route"), sentinels: fine}
		code, out, _ := play(t, s, false, "forget", "m1", gone)
		expect(t, code, 2, out, "no route")
	})
	t.Run("as JSON", func(t *testing.T) {
		s := &stage{sentinels: fine}
		_, out, _ := play(t, s, false, "forget", "m1", gone, "-o", "json")
		var d done
		if err := json.Unmarshal([]byte(out), &d); err != nil || !d.Done || d.Order != "forget" || d.Group != "m1" {
			t.Errorf("got %+v, %v: %s", d, err, out)
		}
	})
	for _, args := range [][]string{{"forget", "m1"}, {"forget", "m1", "no-port"}, {"forget", "no-group", gone}} {
		code, out, _ := play(t, &stage{sentinels: fine}, false, args...)
		expect(t, code, 64, out)
	}
}

func TestHistoryTellsWhoWasForgotten(t *testing.T) {
	s := &stage{history: []string{`{"kind":"forget","time":"2026-01-02T03:04:05Z","address":"10.0.0.9:6379","by":"ops@a","reason":"sold"}`}}
	code, out, _ := play(t, s, false, "history", "m1")
	expect(t, code, 0, out, "10.0.0.9:6379", "forgotten by ops@a: sold")
}

func (s *stage) askSentinels(context.Context, *config.Config, config.Group) ([]preflight.Sentinel, error) {
	if s.sentinels == nil {
		return nil, fmt.Errorf("no Sentinel is on this stage")
	}
	return s.sentinels, nil
}
