package preflight

import (
	"encoding/json"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"testing"
)

// FuzzJudge takes facts away and spoils them, and asks again. Whatever is
// missing: nothing panics, and no blocking check that did not pass before
// passes now that less is known.
func FuzzJudge(f *testing.F) {
	for seed := range uint64(50) {
		f.Add(seed, uint8(seed), "")
	}
	f.Add(uint64(1), uint8(9), "-9223372036854775808")
	f.Add(uint64(2), uint8(9), "NaN")
	f.Fuzz(func(t *testing.T, seed uint64, cuts uint8, value string) {
		r := rand.New(rand.NewPCG(seed, 1))
		facts := spoiled(r, value)
		to := []string{"", a, b, c, value}[r.IntN(5)]
		before := outcomes(Judge(DefaultPolicy(), facts, to))
		less := clone(t, facts)
		for range cuts%32 + 1 {
			cut(r, &less)
		}
		report := Judge(DefaultPolicy(), less, to)
		for key, f := range outcomes(report) {
			was, asked := before[key]
			if asked && f.Severity == Blocks && f.Outcome == Passed && was.Outcome != Passed {
				t.Errorf("%s: %s (%s) became passed (%s) with less known", key, was.Outcome, was.Reason, f.Reason)
			}
		}
		if _, err := json.Marshal(report); err != nil {
			t.Errorf("marshal: %v", err)
		}
		if report.Verdict == MayGo && VerdictOf(report.Findings) != MayGo {
			t.Error("may go, and a finding blocks")
		}
		PostSwitch(facts, less)
		for _, n := range less.Nodes {
			Own(Policy{}, "shop", less.Nodes[0], n)
		}
	})
}

func outcomes(r Report) map[string]Finding {
	all := map[string]Finding{}
	for _, f := range r.Findings {
		all[f.Check+" of "+f.Node] = f
	}
	// The chosen one may change with what is known: every candidate counts.
	for _, c := range r.Candidates {
		for _, f := range c.Findings {
			all[f.Check+" of candidate "+f.Node] = f
		}
	}
	return all
}

func clone(t *testing.T, f Facts) (out Facts) {
	t.Helper()
	data, err := json.Marshal(f)
	if err == nil {
		err = json.Unmarshal(data, &out)
	}
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// spoiled is a healthy group with some values changed at random.
func spoiled(r *rand.Rand, value string) Facts {
	f := healthy()
	texts := []string{value, "", "0", "-1", "1", "99999999999999999999", "yes", "no", "down", "3221225472", "keys=1,expires=9", Masked}
	for range r.IntN(12) {
		n := &f.Nodes[r.IntN(len(f.Nodes))]
		text := texts[r.IntN(len(texts))]
		switch r.IntN(6) {
		case 0:
			n.Redis.Info[pick(r, n.Redis.Info)] = text
		case 1:
			n.Redis.Config[pick(r, n.Redis.Config)] = text
		case 2:
			n.Drift.FileConfig[pick(r, n.Drift.FileConfig)] = text
		case 3:
			n.Drift.Drifted = append(n.Drift.Drifted, Parameter{Name: text, Running: text, File: "x", Where: text})
		case 4:
			n.Address = text
		case 5:
			f.Sentinels[r.IntN(len(f.Sentinels))].Master = text
		}
	}
	if r.IntN(10) == 0 {
		f.Master = value
	}
	return f
}

func pick(r *rand.Rand, m map[string]string) string {
	keys := slices.Sorted(maps.Keys(m))
	return keys[r.IntN(len(keys))]
}

// cut takes one fact away.
func cut(r *rand.Rand, f *Facts) {
	n := &f.Nodes[r.IntN(len(f.Nodes))]
	switch r.IntN(12) {
	case 0, 1, 2:
		if n.Redis != nil && len(n.Redis.Info) > 0 {
			delete(n.Redis.Info, pick(r, n.Redis.Info))
		}
	case 3, 4, 5:
		if n.Redis != nil && len(n.Redis.Config) > 0 {
			delete(n.Redis.Config, pick(r, n.Redis.Config))
		}
	case 6:
		n.Redis = nil
	case 7:
		n.Drift = nil
	case 8:
		n.Host = nil
	case 9:
		n.Watchdog = nil
	case 10:
		f.Sentinels[r.IntN(len(f.Sentinels))].Error = "no answer"
	case 11:
		f.Coordinator.Error = "no answer"
	}
}

// Every fact that a blocking check reads is needed: without it, it does not
// pass. What a check reads shows as its evidence.
func TestABlockingCheckDoesNotPassWithoutWhatItRead(t *testing.T) {
	whole := healthy()
	for _, f := range Judge(DefaultPolicy(), whole, b).Findings {
		if f.Severity != Blocks {
			continue
		}
		for _, e := range f.Evidence {
			for i := range whole.Nodes {
				for _, command := range []string{"INFO", "CONFIG GET"} {
					if e.From != command+" on "+whole.Nodes[i].Address {
						continue
					}
					less := clone(t, whole)
					from := less.Nodes[i].Redis.Info
					if command == "CONFIG GET" {
						from = less.Nodes[i].Redis.Config
					}
					if _, ok := from[e.What]; !ok || absentIn60[e.What] {
						continue
					}
					delete(from, e.What)
					got := outcomes(Judge(DefaultPolicy(), less, b))[f.Check+" of "+f.Node]
					if got.Outcome == Passed && e.What != "db0" {
						t.Errorf("%s passed without %s of %s", f.Check, e.What, less.Nodes[i].Address)
					}
				}
			}
		}
	}
}

// absentIn60 is what servers of 6.0 do not have, with a meaning of its own.
var absentIn60 = map[string]bool{"async_loading": true, "master_failover_state": true, "tls-port": true, "tls-auth-clients": true}

func TestBlockingChecksNeedEachPartOfTheFacts(t *testing.T) {
	for name, take := range map[string]func(*Facts){
		"the candidate's Redis":    func(f *Facts) { node(f, b).Redis = nil },
		"its redis.conf":           func(f *Facts) { node(f, b).Drift = nil },
		"its redis.conf, rubbish":  func(f *Facts) { node(f, b).Drift = &Drift{File: "/x", Problem: "line 3: unbalanced quotes"} },
		"its host":                 func(f *Facts) { node(f, b).Host = nil },
		"its watchdog":             func(f *Facts) { node(f, b).Watchdog = nil },
		"an answer to the request": func(f *Facts) { node(f, b).Answers = "" },
		"the master's Redis":       func(f *Facts) { node(f, a).Redis = nil },
		"the master's watchdog":    func(f *Facts) { node(f, a).Watchdog = nil },
		"etcd":                     func(f *Facts) { f.Coordinator = Coordinator{Error: "context deadline exceeded"} },
		"the Sentinels":            func(f *Facts) { f.Sentinels = nil },
		"users":                    func(f *Facts) { node(f, b).Redis.Users = nil },
		"modules":                  func(f *Facts) { node(f, b).Redis.Modules = nil },
		"the group": func(f *Facts) {
			for i := range f.Sentinels {
				f.Sentinels[i].Error = "ERR No such master with that name"
			}
		},
	} {
		f := healthy()
		take(&f)
		if r := Judge(DefaultPolicy(), f, b); r.Verdict == MayGo {
			t.Errorf("without %s: may go", name)
		} else if len(r.Blocking()) == 0 || r.Blocking()[0].Remedy == "" {
			t.Errorf("without %s: %s, and no remedy is named: %+v", name, r.Verdict, r.Blocking())
		}
	}
}

func TestEveryFindingThatDoesNotPassSaysWhatToDo(t *testing.T) {
	for seed := range uint64(300) {
		r := rand.New(rand.NewPCG(seed, 2))
		f := spoiled(r, fmt.Sprint(seed))
		cut(r, &f)
		for _, finding := range Judge(DefaultPolicy(), f, b).Findings {
			if finding.Outcome != Passed && (finding.Reason == "" || finding.Remedy == "" && finding.Severity == Blocks) {
				t.Fatalf("seed %d: %s: %s: reason %q, remedy %q", seed, finding.Check, finding.Outcome, finding.Reason, finding.Remedy)
			}
		}
	}
}
