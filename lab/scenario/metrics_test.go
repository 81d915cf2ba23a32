package scenario

import (
	"errors"
	"fmt"
	"regexp"
	"strconv"
	"testing"
	"time"

	"github.com/redis-watchdog/redis-watchdog/lab"
	"github.com/redis-watchdog/redis-watchdog/lab/watched"
)

// TestMetricsCountWhatHappens: a cut makes every counter move that docs/metrics.md
// says counts it, at the watchdog it happened to. (Bad answers and dropped
// records are not made by a cut.)
func TestMetricsCountWhatHappens(t *testing.T) {
	t.Parallel()
	w := watched.Start(t, shortFailover(watched.Options{}))
	old := w.WaitServing()
	others := w.Others(old)
	writer := others[0].Host.Writer(lab.LoadConfig{Sentinels: w.Group.Sentinels})
	cut := w.Mark("cut off: %s", old.Host.Name)
	w.Isolate(old.Host)
	master := w.WaitServing(others...)
	writer.WaitOK(cut, time.Minute)
	old.WaitPhase("refuse")
	w.Heal()
	old.WaitPhase("follow")

	for _, c := range []struct {
		daemon *watched.Watchdog
		name   string
		pick   string // of the labels; empty: any
	}{
		{old, "holds_total", `reason="isolated"`},
		{old, "fences_total", ""},
		{old, "fence_duration_seconds_count", ""},
		{old, "transitions_total", `to="refuse"`},
		{old, "transitions_total", `from="refuse"`},
		{old, "renewals_total", `result="good"`},
		{old, "renewals_total", `result="failed"`},
		{old, "armed_fences_total", `result="armed"`},
		{old, "switches_total", ""},
		{master, "switches_total", ""},
		{master, "transitions_total", `to="serve"`},
		{master, "renewals_total", `result="good"`},
		{master, "armed_fences_total", `result="armed"`},
		{master, "steps_total", ""},
		{master, "decision_duration_seconds_count", ""},
	} {
		w.Eventually(c.daemon.Name+" counts "+c.name+c.pick, time.Minute, func() error {
			return counted(c.daemon.Metrics(), c.name, c.pick)
		})
	}
	// Whoever of those left hears the majority first writes it down.
	w.Eventually("one counts agreement_duration_seconds", time.Minute, func() error {
		var errs []error
		for _, d := range others {
			err := counted(d.Metrics(), "agreement_duration_seconds_count", "")
			if err == nil {
				return nil
			}
			errs = append(errs, err)
		}
		return errors.Join(errs...)
	})
}

// counted says whether a series of that name, with these labels next to each
// other, is above zero.
func counted(exposition, name, labels string) error {
	line := regexp.MustCompile(`(?m)^redis_watchdog_` + name + `\{[^}]*` + regexp.QuoteMeta(labels) + `[^}]*\} (\S+)$`)
	for _, found := range line.FindAllStringSubmatch(exposition, -1) {
		if v, err := strconv.ParseFloat(found[1], 64); err == nil && v > 0 {
			return nil
		}
	}
	return fmt.Errorf("no %s{%s} above zero", name, labels)
}
