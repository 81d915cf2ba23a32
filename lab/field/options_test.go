package field

// Redis that is started with options, as containers and supervisors do.

import (
	"fmt"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/redis-watchdog/redis-watchdog/lab"
	"github.com/redis-watchdog/redis-watchdog/lab/watched"
)

// TestOptionsOnTheCommandLineAreNoDrift: every Redis has its maxmemory from an
// option, which its title hides. What a restart gives is not known then, which
// vetoes nobody; nothing is offered that would do harm; and once the operator
// says it, it is known.
func TestOptionsOnTheCommandLineAreNoDrift(t *testing.T) {
	args := []string{"--maxmemory", "200mb", "--maxmemory-policy", "allkeys-lru"}
	w := start(t, watched.Options{Group: lab.GroupConfig{FailTimeout: 10 * time.Second, Redis: lab.RedisConfig{Args: args}}})
	s := begin(t, w)
	others := w.Others(s.master)
	judged := func(what string, good func(text string, code int) bool) {
		t.Helper()
		w.Eventually(what, time.Minute, func() error {
			text, code := s.master.CLI("preflight", w.Group.Name, "--to", others[0].Redis.Address)
			if strings.Contains(text, "redis-cli") && strings.Contains(text, "CONFIG SET maxmemory 0") {
				t.Errorf("a limit of nothing is offered:\n%s", text)
			}
			if !good(text, code) {
				return fmt.Errorf("it ended with %d: %s", code, text)
			}
			return nil
		})
	}
	judged("preflight does not know what a restart gives, and says what to do", func(text string, code int) bool {
		return code == 2 && strings.Contains(text, "UNKNOWN  drift_running") && strings.Contains(text, "options that its title hides") &&
			strings.Contains(text, "command_line of this node")
	})
	for _, d := range others {
		if st := d.Status(); st.Veto || len(st.VetoReasons) > 0 {
			t.Errorf("%s is vetoed for %v", d.Name, st.VetoReasons)
		}
	}
	s.undisturbed()

	s.done("the operator says what Redis is started with")
	for _, d := range w.Watchdogs {
		c := d.Config()
		c.Groups[0]["nodes"].([]map[string]any)[0]["command_line"] = append([]string{"redis.conf"}, args...)
		d.Write(c)
		d.Signal(syscall.SIGHUP)
	}
	judged("a planned failover may go", func(text string, code int) bool { return code == 0 && !strings.Contains(text, "drift_running") })

	s.done("the master dies")
	s.master.Redis.Kill()
	w.Group.WaitMaster(others[0].Redis, others[1].Redis)
	w.WaitServing(others...)
}
