// Package pace stretches the times of the tests where the machine stands still.
//
// A watchdog that is not run for a second rightly fences its Redis. A machine
// that shares its processors may stop for that long, and often: there, tests
// with a down-after-milliseconds of 3 s would test the machine. What the tests
// assert is shares of down-after and the order of events, so it holds at any
// length of it. testguard measures how long the machine stands still and says
// so in the environment; without that nothing is stretched.
package pace

import (
	"fmt"
	"os"
	"strconv"
	"time"
)

// Variable is the factor's name in the environment; unset: 1.
const Variable = "LAB_PACE"

var factor = read(os.Getenv(Variable))

func read(text string) float64 {
	if text == "" {
		return 1
	}
	f, err := strconv.ParseFloat(text, 64)
	if err != nil || f < 1 || f > 10 {
		panic(fmt.Sprintf("%s=%s: want a number from 1 to 10", Variable, text))
	}
	return f
}

// Stretched is whether Of does anything: the machine then stands still for
// longer than the fixed times of the product, and of Redis, that are no share
// of down-after (a CLIENT PAUSE of ours, a look's timeout).
func Stretched() bool { return factor > 1 }

// LeftOut is how the reason begins of a test that Calm leaves out: the one kind of
// skip that testguard lets pass, and it says which.
const LeftOut = "left out: this machine stands still again and again"

// Calm leaves the test out on a machine that stands still. There a run of all
// scenarios takes hours instead of minutes, for the times are stretched and what
// a standstill has spoilt is run again; so of each case (docs/cases.md) one or two
// stand for the others.
func Calm(t interface {
	Helper()
	Skip(args ...any)
}) {
	t.Helper()
	if Stretched() {
		t.Skip(LeftOut)
	}
}

// Of is d, on a machine that stands still a longer one; whole milliseconds, as
// Sentinel counts.
func Of(d time.Duration) time.Duration {
	return time.Duration(float64(d) * factor).Round(time.Millisecond)
}
