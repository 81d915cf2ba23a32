package fit

import (
	"context"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/redis-watchdog/redis-watchdog/lab/need"
	"github.com/redis-watchdog/redis-watchdog/lab/slot"
	"github.com/redis-watchdog/redis-watchdog/preflight/keyspace/stall"
)

func config(t *testing.T) Config {
	t.Helper()
	need.Servers(t)
	slot.Take(t)
	binary, err := exec.LookPath("redis-server")
	if err != nil {
		t.Fatal(err)
	}
	said, err := exec.Command(binary, "--version").Output()
	if err != nil {
		t.Fatal(err)
	}
	_, version, _ := strings.Cut(string(said), "v=")
	version, _, _ = strings.Cut(version, " ")
	return Config{Binary: binary, Server: "redis " + version, Temporary: t.TempDir(), Deadline: 2 * time.Minute}
}

func TestFitMeasuresEveryClassAndLeavesNothing(t *testing.T) {
	c := config(t)
	begun := time.Now()
	rates, err := Run(t.Context(), c)
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("in %v: %+v", time.Since(begun), rates)
	if !rates.Fitted {
		t.Error("it is not said to be fitted")
	}
	for _, class := range stall.Classes() {
		for what, all := range map[string]map[stall.Class]stall.Rate{"free": rates.Free, "dump": rates.Dump, "restore": rates.Restore} {
			r := all[class]
			if r.Few < 0 || r.Few > r.Low || r.Low > r.High || r.High == 0 {
				t.Errorf("%s of %s: %+v", what, class, r)
			}
		}
	}
	if left, err := os.ReadDir(c.Temporary); err != nil || len(left) > 0 {
		t.Errorf("left behind: %v, %v", left, err)
	}
}

func TestFitRefusesAnotherVersionAndEndsWithItsContext(t *testing.T) {
	c := config(t)
	other := c
	other.Server = "redis 6.0.16"
	if _, err := Run(t.Context(), other); err == nil || !strings.Contains(err.Error(), "6.0.16") {
		t.Errorf("got %v", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	c.Progress = func(int64, int64) { cancel() }
	if _, err := Run(ctx, c); err == nil {
		t.Error("it went on")
	}
	if left, err := os.ReadDir(c.Temporary); err != nil || len(left) > 0 {
		t.Errorf("left behind: %v, %v", left, err)
	}
}
