package main

import (
	"strings"
	"testing"
)

// A history of a stall, its cause and the failover tells all three, in text as in
// JSON, where the record's own fields stay as they were written.
func TestHistoryTellsTheLikelyCause(t *testing.T) {
	records := []string{
		`{"time":"2026-11-29T08:00:00Z","address":"10.0.0.11:6379","from":"lock","to":"serve","role":"master","answer":"up","row":9,"reason":"granted"}`,
		`{"time":"2026-11-29T09:00:00Z","address":"10.0.0.12:6379","from":"lock","to":"serve","role":"master","answer":"up","row":9,"reason":"granted","newer":{"x":1}}`,
		`{"kind":"stall","time":"2026-11-29T09:00:02Z","address":"10.0.0.11:6379","seconds":6.2,"fence_fired":true}`,
		`{"kind":"cause","time":"2026-11-29T09:00:03Z","address":"10.0.0.11:6379","seconds":6.2,"cause":"command","took_seconds":6.1,"command":"DEL","key":"user:lastbuy"}`,
		`not JSON`,
	}
	for _, asJSON := range []bool{false, true} {
		var out strings.Builder
		a := newApp()
		a.out = &out
		if err := a.printHistory(records, asJSON); err != nil {
			t.Fatal(err)
		}
		wants := []string{"likely cause: 10.0.0.11:6379: Redis stood still for 6.2 s: SLOWLOG has DEL \"user:lastbuy\", which took 6.1 s", "past its armed fence"}
		if asJSON {
			wants = []string{`"likely_cause"`, `"cause": "command"`, `"newer": {`, "not JSON"}
		}
		for _, want := range wants {
			if !strings.Contains(out.String(), want) {
				t.Errorf("it does not show %q:\n%s", want, out.String())
			}
		}
		if n := strings.Count(out.String(), "SLOWLOG has DEL"); !asJSON && n != 2 {
			t.Errorf("the cause is told %d times, want by its own record and beside the failover:\n%s", n, out.String())
		}
	}
}
