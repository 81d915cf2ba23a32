package why

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/redis-watchdog/redis-watchdog/watchdog"
	"github.com/redis-watchdog/redis-watchdog/watchdog/agent"
)

func TestCauseOfAStall(t *testing.T) {
	del := Slow{Age: time.Second, Took: 6100 * time.Millisecond, Command: "DEL", Key: "user:lastbuy"}
	valid := func() Stood { return Stood{For: 6200 * time.Millisecond, Since: time.Second, Slow: []Slow{del}} }
	for _, c := range []struct {
		name string
		edit func(*Stood)
		want Kind
	}{
		{"a command as long", func(*Stood) {}, Command},
		{"of half of it", func(s *Stood) { s.Slow[0].Took = 3100 * time.Millisecond }, Command},
		{"shorter than half", func(s *Stood) { s.Slow[0].Took = 3099 * time.Millisecond }, Stall},
		{"much longer: another stall's", func(s *Stood) { s.Slow[0].Took = 9 * time.Second }, Stall},
		{"ended before", func(s *Stood) { s.Slow[0].Age = 3*time.Second + 1 }, Stall},
		{"read late", func(s *Stood) { s.Slow[0].Age, s.Since = 20*time.Second, 19*time.Second }, Command},
		{"nothing in the slow log", func(s *Stood) { s.Slow = nil }, Stall},
		{"a fork", func(s *Stood) { s.Slow, s.Forks, s.Fork = nil, 1, 6*time.Second }, Fork},
		{"a short fork", func(s *Stood) { s.Slow, s.Forks, s.Fork = nil, 1, time.Second }, Stall},
		{"an older fork", func(s *Stood) { s.Slow, s.Forks, s.Fork = nil, 0, 6*time.Second }, Stall},
		{"forks not known", func(s *Stood) { s.Slow, s.Forks, s.Fork = nil, -1, 6*time.Second }, Stall},
		{"a paused host, whatever a command seems to have taken", func(s *Stood) { s.Slept = 6 * time.Second }, Host},
		{"a watchdog that was late for a moment", func(s *Stood) { s.Slept = time.Second }, Command},
	} {
		s := valid()
		c.edit(&s)
		if got := OfStall(s); got.Kind != c.want {
			t.Errorf("%s: got %+v, want %q", c.name, got, c.want)
		}
	}
	s := valid()
	s.Slow = append(s.Slow, Slow{Age: time.Second, Took: 4 * time.Second, Command: "KEYS"})
	if got := OfStall(s); got.Slow.Command != "DEL" {
		t.Errorf("of two the longest: got %+v", got)
	}
}

const old, next = "10.0.0.11:6379", "10.0.0.12:6379"

// told is a history; every record is so many seconds after the first.
type told struct{ records []string }

func (h *told) add(at float64, record any) *told {
	text, err := json.Marshal(record)
	if err != nil {
		panic(err)
	}
	var fields map[string]any
	if err := json.Unmarshal(text, &fields); err != nil {
		panic(err)
	}
	fields["time"] = time.Unix(1e9, 0).Add(time.Duration(at * float64(time.Second))).UTC().Format(time.RFC3339Nano)
	if text, err = json.Marshal(fields); err != nil {
		panic(err)
	}
	h.records = append(h.records, string(text))
	return h
}

func serves(self string) agent.Step {
	return agent.Step{Self: self, From: "lock", To: "serve", Role: "master", Answer: "up", Row: int(watchdog.RowServe), Reason: "granted"}
}

func fenced(self, reason string, row watchdog.Row) agent.Step {
	return agent.Step{Self: self, From: "serve", To: "refuse", Role: "master", Answer: "up", Row: int(row), Reason: reason, Answering: 1, Known: 3, CoordinatorAge: 2.5}
}

func stall(self string, seconds, slept float64) map[string]any {
	return map[string]any{"kind": "stall", "address": self, "seconds": seconds, "watchdog_not_run_seconds": slept}
}

func TestCauseOfAFailover(t *testing.T) {
	when := time.Unix(1e9-86400, 0)
	del := Record{Kind: RecordKind, Self: old, Seconds: 6.2, Cause: Command, Took: 6.1, Command: "DEL", Key: "user:lastbuy", Type: "hash", Elements: 12_100_000, Audited: &when}
	for _, c := range []struct {
		name  string
		story func(*told)
		want  Kind
		text  []string
	}{
		{"a command", func(h *told) { h.add(108, stall(old, 6.2, 0)).add(109, del) }, Command, []string{"6.2 s", `DEL "user:lastbuy"`, "6.1 s", "hash of 12100000 elements"}},
		{"a command, and the old master's fence", func(h *told) {
			h.add(107, fenced(old, "deposed", watchdog.RowDeposed)).add(108, stall(old, 6.2, 0)).add(109, del)
		}, Command, []string{"DEL"}},
		{"hashed names", func(h *told) {
			d := del
			d.Key, d.KeyHash, d.Audited = "", "beef", nil
			h.add(109, d)
		}, Command, []string{"hash beef"}},
		{"a fork", func(h *told) { h.add(109, Record{Kind: RecordKind, Self: old, Seconds: 6, Cause: Fork, Took: 5.5}) }, Fork, []string{"a fork took 5.5 s"}},
		{"a paused host", func(h *told) { h.add(108, stall(old, 6.2, 6)) }, Host, []string{"paused"}},
		{"a stall of which nothing is known", func(h *told) {
			h.add(108, stall(old, 6.2, 0)).add(109, Record{Kind: RecordKind, Self: old, Seconds: 6.2, Cause: Stall})
		}, Stall, []string{"not known"}},
		{"Redis ended", func(h *told) {
			s := fenced(old, "redis_silent", watchdog.RowFenced)
			s.Answer = "absent"
			h.add(95, s)
		}, Ended, []string{"had ended"}},
		{"Redis hung until it was killed", func(h *told) {
			s := fenced(old, "nobody_vouches", watchdog.RowElse)
			s.From, s.Answer = "hold", "silent"
			h.add(98, s)
		}, Stall, []string{"hung", "not known"}},
		{"an operator", func(h *told) {
			h.add(99, map[string]any{"kind": "failover", "from": old, "to": next, "outcome": "done"})
		}, Planned, []string{"operator"}},
		{"nothing recorded", func(*told) {}, Unknown, []string{"not known", old}},
		{"another node's stall", func(h *told) { h.add(99, stall(next, 6, 0)) }, Unknown, nil},
		{"a stall of an hour ago", func(h *told) { h.add(-3600, stall(old, 6, 0)) }, Unknown, nil},
	} {
		h := (&told{}).add(0, serves(old)).add(100, serves(next))
		c.story(h)
		answers := Explain(h.records)
		got, ok := answers[1]
		if !ok || got.Kind != c.want {
			t.Errorf("%s: got %+v, want %q", c.name, answers, c.want)
		}
		for _, text := range c.text {
			if !strings.Contains(got.Text, text) {
				t.Errorf("%s: it does not say %q: %s", c.name, text, got.Text)
			}
		}
		if _, ok := answers[0]; ok {
			t.Errorf("%s: the first master is taken for a failover's", c.name)
		}
	}
	// The network: Redis answered, and the fence came before the failover.
	h := (&told{}).add(0, serves(old)).add(97, fenced(old, "isolated", watchdog.RowIsolated)).add(100, serves(next))
	for i := range 2 {
		if got := Explain(h.records)[i+1]; got.Kind != Network || !strings.Contains(got.Text, "1 of 3 Sentinels") {
			t.Errorf("the network: got %+v", got)
		}
	}
	// What an operator fenced needs no explaining; what serves again is no failover.
	h = (&told{}).add(0, serves(old)).add(1, fenced(old, "fenced_by_hand", watchdog.RowManual)).add(2, serves(old))
	if got := Explain(h.records); len(got) != 0 {
		t.Errorf("got %+v", got)
	}
}

// One record that makes no sense does not keep the others from being explained.
func FuzzExplain(f *testing.F) {
	f.Add(`{"kind":5}`, 1)
	f.Add(`{"kind":"cause","cause":7}`, 0)
	f.Add(`null`, 2)
	f.Add(`{"row":"x"}`, 3)
	f.Fuzz(func(t *testing.T, record string, at int) {
		h := (&told{}).add(0, serves(old)).add(100, serves(next)).add(108, stall(old, 6.2, 0))
		at = max(0, min(at, len(h.records)))
		with := append(append(append([]string{}, h.records[:at]...), record), h.records[at:]...)
		answers := Explain(with)
		i := 1
		if at <= 1 {
			i = 2
		}
		if _, ok := answers[i]; !ok && read(record).self == "" {
			t.Errorf("with %q at %d: got %+v", record, at, fmt.Sprint(answers))
		}
	})
}
