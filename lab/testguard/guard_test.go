package main

import (
	"fmt"
	"io"
	"slices"
	"strings"
	"testing"
	"time"
)

// story is what go test says of one package: a failing test from second 1 to
// 2, and a good one from 3 to 4.
func story(start time.Time, extra ...string) string {
	at := func(s float64) string {
		return start.Add(time.Duration(s * float64(time.Second))).Format(time.RFC3339Nano)
	}
	lines := []string{
		`{"Time":"` + at(1) + `","Action":"run","Package":"p","Test":"TestBad"}`,
		`{"Time":"` + at(2) + `","Action":"fail","Package":"p","Test":"TestBad/part"}`,
		`{"Time":"` + at(2) + `","Action":"fail","Package":"p","Test":"TestBad"}`,
		`{"Time":"` + at(3) + `","Action":"run","Package":"p","Test":"TestGood"}`,
		`{"Time":"` + at(4) + `","Action":"pass","Package":"p","Test":"TestGood"}`,
	}
	lines = append(lines, extra...)
	return strings.Join(append(lines, `{"Time":"`+at(5)+`","Action":"fail","Package":"p"}`), "\n")
}

// told is a guard that was told the story by the command.
func told(t *testing.T, out io.Writer, m *meter, lines string) *guard {
	t.Helper()
	g := newGuard(out, m)
	g.command = []string{"go", "test", "-count=1", "-parallel=4", "./..."}
	if err := g.read(strings.NewReader(lines)); err != nil {
		t.Fatal(err)
	}
	return g
}

func TestAFailureIsRunAgainAloneOnce(t *testing.T) {
	var many []string
	for i := range mostAgain {
		many = append(many, fmt.Sprintf(`{"Action":"fail","Package":"p","Test":"TestToo%d"}`, i))
	}
	for _, tt := range []struct {
		name  string
		extra []string
		want  int
	}{
		{"one", nil, 1},
		{"too many for flakes", many, 0},
		{"a panic hides what did not run", []string{`{"Action":"output","Package":"p","Test":"TestBad","Output":"panic: boom\n"}`}, 0},
	} {
		g := told(t, io.Discard, newMeter(), story(time.Now(), tt.extra...))
		again := g.again()
		if len(again) != tt.want {
			t.Errorf("%s: %d tests to be run again, want %d", tt.name, len(again), tt.want)
		}
		for _, f := range again {
			want := []string{"go", "test", "-json", "-count=1", "-parallel=4", "-run=^TestBad$", "p"}
			if got := rerun(f); !slices.Equal(got, want) {
				t.Errorf("%s: run again by %v, want %v", tt.name, got, want)
			}
		}
		if g.verdict() != 1 {
			t.Errorf("%s: a failure that was not run again is green", tt.name)
		}
	}
}

func TestWhatPassesOnlyWhenRunAgainIsNamedFlaky(t *testing.T) {
	for last, want := range map[string]struct {
		code int
		says string
	}{
		"pass": {0, "FLAKY p TestBad\n0 failed, 1 flaky\n"},
		"fail": {1, "FAIL p TestBad\nFAIL p\n2 failed, 0 flaky\n"},
	} {
		var out strings.Builder
		g := told(t, &out, newMeter(), story(time.Now()))
		g.forget(g.again()[0])
		again := fmt.Sprintf(`{"Action":"%s","Package":"p","Test":"TestBad"}`+"\n"+`{"Action":"%[1]s","Package":"p"}`, last)
		if err := g.read(strings.NewReader(again)); err != nil {
			t.Fatal(err)
		}
		if got := g.verdict(); got != want.code || !strings.HasSuffix(out.String(), want.says) {
			t.Errorf("last attempt %s: exit code %d, want %d, and it ended\n%s\nwant\n%s", last, got, want.code, out.String(), want.says)
		}
	}
}

func TestNothingMayBeSkipped(t *testing.T) {
	var out strings.Builder
	g := told(t, &out, newMeter(), `{"Action":"skip","Package":"p","Test":"TestLong"}
{"Action":"pass","Package":"p","Test":"TestGood"}
{"Action":"pass","Package":"p"}`)
	if got := g.verdict(); got != 1 || !strings.Contains(out.String(), "SKIP p TestLong") {
		t.Errorf("exit code %d, want 1, and it said\n%s", got, out.String())
	}
}

func TestAStandstillIsSaidOfTheTestThatItTouched(t *testing.T) {
	start := time.Now()
	for second, want := range map[float64]bool{1.5: true, 0.2: false, 3.2: false} {
		m := newMeter()
		from := start.Add(time.Duration(second * float64(time.Second)))
		m.last = from
		m.tick(from.Add(300 * time.Millisecond))
		var out strings.Builder
		told(t, &out, m, story(start)).verdict()
		if got := strings.Contains(out.String(), "FAIL p TestBad (the machine stood still for 300ms while it ran)"); got != want {
			t.Errorf("at second %g: said of it %v, want %v:\n%s", second, got, want, out.String())
		}
	}
}

func TestCommandsRunOneAfterAnother(t *testing.T) {
	got := split(strings.Fields("go test -race a -- go test b"))
	if len(got) != 2 || strings.Join(got[0], " ") != "go test -race a" || strings.Join(got[1], " ") != "go test b" {
		t.Errorf("got %v", got)
	}
}
