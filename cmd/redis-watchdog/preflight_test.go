package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"reflect"
	"strings"
	"testing"

	"github.com/redis-watchdog/redis-watchdog/cmd/redis-watchdog/internal/config"
	"github.com/redis-watchdog/redis-watchdog/cmd/redis-watchdog/internal/terminal"
	"github.com/redis-watchdog/redis-watchdog/preflight"
)

// fewFacts is a group of which little is known, but the limits and the data.
func fewFacts(limit string) preflight.Facts {
	f := preflight.Facts{Group: "m1", Master: "10.0.0.1:6379"}
	for _, address := range []string{"10.0.0.1:6379", "10.0.0.2:6379"} {
		n := preflight.Node{Address: address, Watchdog: &preflight.Watchdog{Version: "1", Guarded: true}, Redis: &preflight.Redis{ReadBy: preflight.ReadLive,
			Info:   map[string]string{"used_memory": "6442450944", "mem_not_counted_for_evict": "0"},
			Config: map[string]string{"maxmemory": "7516192768"}},
			Host: &preflight.Host{MemoryTotal: 16 << 30, MemoryAvailable: 4 << 30}}
		f.Nodes = append(f.Nodes, n)
	}
	f.Nodes[1].Redis.Config["maxmemory"] = limit
	return f
}

// preflightStage is an app whose one replica has a limit that can be changed.
type preflightStage struct {
	limit string
	err   error // of the change
	sent  []string
	says  bool
	asked int
}

func (s *preflightStage) run(t *testing.T, args ...string) (int, string) {
	t.Helper()
	path, _, _ := writeConfig(t, validConfig)
	var out strings.Builder
	a := newApp()
	a.out, a.errOut, a.env = &out, &out, func(string) string { return "" }
	a.facts = func(context.Context, *config.Config, config.Group, bool) (preflight.Facts, error) {
		return fewFacts(s.limit), nil
	}
	a.change = func(*config.Config, config.Group) changer {
		return func(_ context.Context, address string, command ...string) (string, error) {
			s.sent = append(s.sent, address+" "+strings.Join(command, " "))
			switch {
			case s.err != nil:
				return "", s.err
			case command[1] == "SET":
				s.limit = command[3]
			case command[1] == "GET":
				return s.limit, nil
			}
			return "OK", nil
		}
	}
	a.ask = func() (bool, error) { s.asked++; return s.says, nil }
	code := execute(t.Context(), a, append([]string{"-c", path}, args...))
	return code, out.String()
}

const setLimit = "10.0.0.2:6379 CONFIG SET maxmemory 7516192768"

func TestPreflightNamesBothNumbersAndTheRemedy(t *testing.T) {
	s := &preflightStage{limit: "3221225472"}
	code, out := s.run(t, "preflight", "m1")
	expect(t, code, exitBlocked, out, "BLOCKED  m1: 10.0.0.1:6379 to 10.0.0.2:6379", "BLOCKS   memory_limit_running at 10.0.0.2:6379",
		"3221225472 (3.00 GiB)", "6442450944 (6.00 GiB)", "remedy: redis-cli -h 10.0.0.2 -p 6379 CONFIG SET maxmemory 7516192768")
	if !strings.HasPrefix(out, "BLOCKED") {
		t.Errorf("the verdict does not stand first: %s", out)
	}
	code, out = s.run(t, "preflight", "m1", "-o", "json")
	var report preflight.Report
	if err := json.Unmarshal([]byte(out), &report); err != nil || code != exitBlocked || report.Verdict != preflight.Blocked {
		t.Errorf("got %d, %v, %s", code, err, report.Verdict)
	}
}

func TestPreflightThatCannotFindOutEndsWithTwo(t *testing.T) {
	s := &preflightStage{limit: "7516192768"}
	code, out := s.run(t, "preflight", "m1")
	expect(t, code, exitUnknown, out, "UNKNOWN")
}

func TestPreflightFixAsksChangesReadsBackAndJudgesAnew(t *testing.T) {
	s := &preflightStage{limit: "3221225472"}
	code, out := s.run(t, "preflight", "m1", "--fix")
	if len(s.sent) > 0 || s.asked == 0 {
		t.Errorf("answered no, and %v was sent; asked %d times", s.sent, s.asked)
	}
	expect(t, code, exitBlocked, out, "FIX      CONFIG SET maxmemory 7516192768 at 10.0.0.2:6379", "undo: CONFIG SET maxmemory 3221225472", "nothing was changed")

	s.says = true
	code, out = s.run(t, "preflight", "m1", "--fix")
	if len(s.sent) == 0 || s.sent[0] != setLimit || s.limit != "7516192768" {
		t.Errorf("sent %v", s.sent)
	}
	expect(t, code, exitUnknown, out, "done, and read back")
}

func TestPreflightFixForMachinesSaysWhatItDid(t *testing.T) {
	s := &preflightStage{limit: "3221225472"}
	code, out := s.run(t, "preflight", "m1", "--fix", "--yes", "-o", "json")
	var got preflightOutput
	if err := json.Unmarshal([]byte(out), &got); err != nil || code != exitUnknown {
		t.Fatalf("got %d, %v: %s", code, err, out)
	}
	if len(got.Fixed) == 0 || !got.Fixed[0].Done || got.Fixed[0].Check != "memory_limit_running" || got.Fixed[0].Was != "3221225472" || got.Fixed[0].Value != "7516192768" {
		t.Errorf("fixed: %+v", got.Fixed)
	}
	if got.Verdict != preflight.Unsure {
		t.Errorf("judged anew it is %s", got.Verdict)
	}
	s = &preflightStage{limit: "3221225472", err: errors.New("NOPERM this user has no permissions")}
	code, out = s.run(t, "preflight", "m1", "--fix", "--yes", "-o", "json")
	got = preflightOutput{}
	if err := json.Unmarshal([]byte(out), &got); err != nil || code != exitBlocked || len(got.Fixed) == 0 || got.Fixed[0].Done || !strings.HasPrefix(got.Fixed[0].Error, "NOPERM") {
		t.Errorf("got %d, %v: %+v", code, err, got.Fixed)
	}
}

func TestExplainForMachines(t *testing.T) {
	s := &preflightStage{}
	var all []preflight.Check
	code, out := s.run(t, "preflight", "--explain", "list", "-o", "json")
	if err := json.Unmarshal([]byte(out), &all); err != nil || code != exitFine || !reflect.DeepEqual(all, preflight.Catalogue()) {
		t.Errorf("list ended with %d, %v: %d checks", code, err, len(all))
	}
	for _, want := range preflight.Catalogue() { // every id, for machines and for people
		var got preflight.Check
		code, out := s.run(t, "preflight", "--explain", want.ID, "-o", "json")
		if err := json.Unmarshal([]byte(out), &got); err != nil || code != exitFine || got != want {
			t.Errorf("%s ended with %d, %v: %s", want.ID, code, err, out)
		}
		code, out = s.run(t, "preflight", "--explain", want.ID)
		expect(t, code, exitFine, out, want.ID, want.Title)
	}
}

func TestPreflightFixThatFailsSaysSo(t *testing.T) {
	s := &preflightStage{limit: "3221225472", err: errors.New("NOPERM this user has no permissions")}
	code, out := s.run(t, "preflight", "m1", "--fix", "--yes")
	expect(t, code, exitBlocked, out, "not done: NOPERM")
	if s.asked != 0 {
		t.Error("asked in spite of --yes")
	}
}

func TestPreflightUsage(t *testing.T) {
	s := &preflightStage{}
	for _, c := range []struct {
		args []string
		want string
	}{
		{[]string{"preflight"}, "no group given"},
		{[]string{"preflight", "m1", "--yes"}, "--yes is for --fix"},
		{[]string{"preflight", "m1", "--fix", "-o", "json"}, "give --yes too"},
		{[]string{"preflight", "--explain", "memory_limit"}, "memory_limit_running"},
		{[]string{"preflight", "nope"}, "no group"},
	} {
		code, out := s.run(t, c.args...)
		expect(t, code, exitUsage, out, c.want)
	}
	code, out := s.run(t, "preflight", "--explain", "memory_limit_file")
	expect(t, code, exitFine, out, "Otherwise", "CONFIG REWRITE", "standing veto")
	code, out = s.run(t, "preflight", "--explain", "list")
	for _, c := range preflight.Catalogue() {
		expect(t, code, exitFine, out, c.ID)
	}
}

// The golden page; UPDATE=1 writes it.
func TestPreflightTextIsGolden(t *testing.T) {
	for _, verbose := range []bool{false, true} {
		var out strings.Builder
		printReport(terminal.New(&out, "1"), preflight.Judge(preflight.DefaultPolicy(), fewFacts("3221225472"), ""), verbose)
		path := fmt.Sprintf("testdata/preflight-verbose-%t.txt", verbose)
		if os.Getenv("UPDATE") != "" {
			if err := os.MkdirAll("testdata", 0o755); err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(path, []byte(out.String()), 0o644); err != nil {
				t.Fatal(err)
			}
		}
		want, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		if out.String() != string(want) {
			t.Errorf("%s: got\n%s\nwant\n%s", path, out.String(), want)
		}
	}
}

func TestPreflightMigrateSaysWhatItNeeds(t *testing.T) {
	for args, want := range map[string]string{
		"m1 --migrate 359":                                     `"359" is no slot: codis:N is one of codis`,
		"m1 --migrate codis:1024":                              "there are 0 to 1023",
		"m1 --migrate cluster:5":                               "name one of its nodes with --cluster",
		"--migrate cluster:5":                                  "name one of its nodes with --cluster",
		"m1 --migrate cluster:5 --cluster 127.0.0.1:1":         "not of a group",
		"m1 --migrate codis:5 --cluster 127.0.0.1:1":           "which has no slots of codis",
		"--migrate cluster:5 --cluster localhost":              "missing port in address",
		"m1 --migrate codis:5 --fix":                           "are for a failover",
		"m1 --cluster 127.0.0.1:1":                             "--cluster is for --migrate",
		"m1 --user x":                                          "are for --cluster",
		"other --migrate codis:5":                              `"other"`,
		"--migrate cluster:5 --cluster 127.0.0.1:1 --user x y": "not of a group",
	} {
		code, out := (&preflightStage{limit: "1"}).run(t, append([]string{"preflight"}, strings.Fields(args)...)...)
		expect(t, code, exitUsage, out, want)
	}
	code, out := (&preflightStage{limit: "1"}).run(t, "preflight", "--migrate", "codis:5")
	expect(t, code, exitUnknown, out, "UNKNOWN  codis:5: not everything could be found out", "m1: the key space of m1 could not be found out: no audit was kept", "--keep m1")
	code, out = (&preflightStage{limit: "1"}).run(t, "preflight", "--migrate", "cluster:5", "--cluster", "127.0.0.1:1", "-o", "json")
	var m preflight.Migration
	if err := json.Unmarshal([]byte(out), &m); err != nil || code != exitUnknown || m.Verdict != preflight.Unsure || !strings.Contains(m.Findings[0].Reason, "connection refused") {
		t.Errorf("got %d, %v: %s", code, err, out)
	}
}

// TestOneAnswerThatIsLackingIsToldOnce: with CONFIG renamed, every check that reads a
// parameter is unknown for one reason, and there is one remedy.
func TestOneAnswerThatIsLackingIsToldOnce(t *testing.T) {
	for why, remedy := range map[string]string{
		"ERR unknown command 'CONFIG'":                                               "rename-command",
		"NOPERM this user has no permissions to run the 'config|get' command":        "ACL SETUSER default '+config|get'",
		"read tcp 10.0.0.9:40000->10.0.0.2:6379: read: connection reset by peer (3)": "CONFIG GET ",
	} {
		f := fewFacts("1")
		f.Nodes[1].Redis.Config, f.Nodes[1].Gaps = nil, []preflight.Gap{{What: "config", Why: why}}
		r := preflight.Judge(preflight.DefaultPolicy(), f, "")
		want := 0
		for _, found := range r.Findings {
			if found.Lacks != "" {
				want++
			}
		}
		if want < 10 {
			t.Fatalf("%d checks lack it: %+v", want, r.Findings)
		}
		for _, verbose := range []bool{false, true} {
			var out strings.Builder
			printReport(terminal.New(&out, ""), r, verbose)
			one := fmt.Sprintf("UNKNOWN  %d checks", want)
			if n := strings.Count(out.String(), why); n != map[bool]int{false: 1, true: want}[verbose] {
				t.Errorf("%s is told %d times of %d (-v: %t):\n%s", why, n, want, verbose, out.String())
			}
			if strings.Contains(out.String(), one) == verbose || !strings.Contains(out.String(), remedy) {
				t.Errorf("no %q with %q (-v: %t):\n%s", one, remedy, verbose, out.String())
			}
		}
	}
}

// TestTheUserThatLacksARightIsTheWatchdogs: without a name it is Redis's own.
func TestTheUserThatLacksARightIsTheWatchdogs(t *testing.T) {
	for _, c := range []struct {
		of   *preflight.Watchdog
		want string
	}{
		{&preflight.Watchdog{}, "default"},
		{&preflight.Watchdog{User: "ha"}, "ha"},
		{&preflight.Watchdog{User: "it's"}, `'it'\''s'`},
		{nil, "<user>"},
	} {
		f := fewFacts("1")
		f.Nodes[1].Watchdog, f.Nodes[1].Redis.Config, f.Nodes[1].Gaps = c.of, nil, []preflight.Gap{{What: "config", Why: "NOPERM this user has no permissions"}}
		var out strings.Builder
		printReport(terminal.New(&out, ""), preflight.Judge(preflight.DefaultPolicy(), f, ""), false)
		if want := "redis-cli -h 10.0.0.2 -p 6379 ACL SETUSER " + c.want + " '+config|get'"; !strings.Contains(out.String(), want) {
			t.Errorf("no %q:\n%s", want, out.String())
		}
	}
}

// TestWhatBlocksStandsAboveWhatIsLacking, and that above the warnings.
func TestWhatBlocksStandsAboveWhatIsLacking(t *testing.T) {
	r := preflight.Report{Verdict: preflight.Blocked}
	for range alike {
		r.Findings = append(r.Findings, preflight.Finding{Check: "lacks", Severity: preflight.Blocks, Outcome: preflight.Unknown, Lacks: "CONFIG GET"})
	}
	r.Findings = append(r.Findings, preflight.Finding{Check: "warned_of", Severity: preflight.Warns, Outcome: preflight.Failed}, preflight.Finding{Check: "broken", Severity: preflight.Blocks, Outcome: preflight.Failed})
	var out strings.Builder
	printReport(terminal.New(&out, ""), r, false)
	at := -1
	for _, want := range []string{"BLOCKS   broken", "UNKNOWN  3 checks", "warns    warned_of"} {
		now := strings.Index(out.String(), want)
		if now <= at {
			t.Errorf("%q stands at %d, behind %d:\n%s", want, now, at, out.String())
		}
		at = now
	}
}
