package daemon

// A group with strict: true is not guarded at all where the timing of its
// Sentinels does not allow the promise: said before anything is touched.

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/hashicorp/go-hclog"

	"github.com/redis-watchdog/redis-watchdog/cmd/redis-watchdog/internal/config"
	"github.com/redis-watchdog/redis-watchdog/sentinel"
	"github.com/redis-watchdog/redis-watchdog/watchdog"
)

// strictFor is how long a start waits for the Sentinels' own settings. If none
// answers by then the start goes on, and the fault "timing" is an error once
// one does: a host that boots before the network must not stay unguarded.
const strictFor = 2 * time.Second

// CheckTiming asks the Sentinels of the strict groups for down-after, and names
// everything that does not go with it (config.Faults).
func CheckTiming(ctx context.Context, cfg *config.Config, log hclog.Logger) error {
	var faults config.Faults
	for i, g := range cfg.Groups {
		if !g.Policy.Strict {
			continue
		}
		d, err := askDownAfter(ctx, g)
		if err != nil {
			return fmt.Errorf("group %q: %w", g.Name, err)
		}
		if d == 0 {
			log.Warn("no sentinel answers: timing not checked before the start", "group", g.Name)
			continue
		}
		for _, f := range g.Timing(d) {
			f.File, f.Key = cfg.File, fmt.Sprintf("groups[%d].%s", i, f.Key)
			faults = append(faults, f)
		}
	}
	if len(faults) == 0 {
		return nil
	}
	return faults
}

// askDownAfter is the smallest down-after that the Sentinels tell before all
// known have answered or the time is up; zero: none answered.
func askDownAfter(ctx context.Context, g config.Group) (time.Duration, error) {
	_, heard, err := hear(ctx, g, func(s watchdog.Sentinels) bool { return s.Known > 0 && s.Answering == s.Known })
	return heard.DownAfter, err
}

// hear listens to a group's Sentinels until enough says so or the time is up.
func hear(ctx context.Context, g config.Group, enough func(watchdog.Sentinels) bool) (*sentinel.Watcher, watchdog.Sentinels, error) {
	var heard watchdog.Sentinels // of Run's goroutine, which is this one
	tls, err := g.SentinelTLS.Client()
	if err != nil {
		return nil, heard, fmt.Errorf("sentinel_tls: %w", err)
	}
	w, err := sentinel.New(sentinelsOf(g, tls, hclog.NewNullLogger()))
	if err != nil {
		return nil, heard, err
	}
	ctx, cancel := context.WithTimeout(ctx, strictFor)
	defer cancel()
	w.Local("", func(s watchdog.Sentinels) {
		heard = s
		if enough(s) {
			cancel()
		}
	}, func(watchdog.Announcement) {})
	if err := w.Run(ctx); err != nil && !errors.Is(err, context.Canceled) && !errors.Is(err, context.DeadlineExceeded) {
		return nil, heard, err
	}
	return w, heard, nil
}
