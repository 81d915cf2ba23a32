package main

import (
	"fmt"
	"io"
	"strings"
	"testing"
	"time"

	"github.com/redis-watchdog/redis-watchdog/lab/pace"
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

// stood is a meter of a machine that stood still for 300 ms from then on.
func stood(start time.Time, second float64) *meter {
	m := newMeter()
	from := start.Add(time.Duration(second * float64(time.Second)))
	m.last = from
	m.tick(from.Add(300 * time.Millisecond))
	return m
}

func TestOnlyAFailureOfAStandstillIsRunAgain(t *testing.T) {
	start := time.Now()
	for _, tt := range []struct {
		name  string
		still float64
		extra string
		want  int
	}{
		{"while the failed test ran", 1.5, "", 1},
		{"before it", 0.2, "", 0},
		{"while another ran", 3.2, "", 0},
		{"a panic hides what did not run", 1.5, `{"Action":"output","Package":"p","Test":"TestBad","Output":"panic: boom\n"}`, 0},
	} {
		g := newGuard(io.Discard)
		if err := g.read(strings.NewReader(story(start, tt.extra))); err != nil {
			t.Fatal(err)
		}
		if got := len(g.disturbed(stood(start, tt.still))); got != tt.want {
			t.Errorf("%s: %d tests to be run again, want %d", tt.name, got, tt.want)
		}
		if g.verdict() != 1 {
			t.Errorf("%s: a failure that was not run again is green", tt.name)
		}
	}
}

func TestOnlyWhatPaceLeavesOutMayBeSkipped(t *testing.T) {
	for reason, want := range map[string]int{pace.LeftOut: 0, "no root here": 1} {
		var out strings.Builder
		g := newGuard(&out)
		said := fmt.Sprintf(`{"Action":"output","Package":"p","Test":"TestLong","Output":"    x_test.go:1: %s\\n"}`, reason)
		good := `{"Action":"pass","Package":"p","Test":"TestGood"}` + "\n" + `{"Action":"pass","Package":"p"}`
		if err := g.read(strings.NewReader(said + "\n" + `{"Action":"skip","Package":"p","Test":"TestLong"}` + "\n" + good)); err != nil {
			t.Fatal(err)
		}
		if got := g.verdict(); got != want || !strings.Contains(out.String(), "TestLong") {
			t.Errorf("skipped for %q: exit code %d, want %d, and it named:\n%s", reason, got, want, out.String())
		}
	}
}

func TestVerdictIsThatOfTheLastAttempt(t *testing.T) {
	start := time.Now()
	for _, last := range []string{"pass", "fail"} {
		var out strings.Builder
		g := newGuard(&out)
		if err := g.read(strings.NewReader(story(start))); err != nil {
			t.Fatal(err)
		}
		g.forget(g.disturbed(stood(start, 1.5))[0])
		again := fmt.Sprintf(`{"Action":"%s","Package":"p","Test":"TestBad"}`+"\n"+`{"Action":"%[1]s","Package":"p"}`, last)
		if err := g.read(strings.NewReader(again)); err != nil {
			t.Fatal(err)
		}
		want := map[string]int{"pass": 0, "fail": 1}[last]
		if got := g.verdict(); got != want {
			t.Errorf("last attempt %s: exit code %d, want %d:\n%s", last, got, want, out.String())
		}
	}
}

func TestTimesAreStretchedByTheLongestStandstill(t *testing.T) {
	for _, tt := range []struct {
		worst time.Duration
		want  float64
	}{
		{0, 1}, {fair, 1}, {fair + time.Millisecond, 1.5}, {660 * time.Millisecond, 3.5}, {time.Minute, maxPace},
	} {
		if got := stretch(tt.worst); got != tt.want {
			t.Errorf("stood still for %v: stretched by %g, want %g", tt.worst, got, tt.want)
		}
	}
}
