package watched

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/redis-watchdog/redis-watchdog/lab"
)

// Without a store an armed fence is gone with the watchdog; with one it stands
// on, and the next life takes it over.
func TestManagerKeepsArmedFenceOverKill(t *testing.T) {
	t.Parallel()
	w := Start(t, Options{Systemd: true, Hosts: 2, Group: lab.GroupConfig{DownAfter: 5 * time.Second}})
	d, r := w.Watchdogs[0], w.Group.Redis[0]
	w.Eventually("an armed fence is kept", 10*time.Second, func() error {
		if kept := d.Systemd.Kept(); !strings.Contains(fmt.Sprint(kept), "armed-") {
			return fmt.Errorf("kept: %q", kept)
		}
		return nil
	})
	d.Kill()
	if n := ArmedFences(r); n < 1 {
		t.Errorf("after the kill %d armed fences stand, want 1; kept: %q", n, d.Systemd.Kept())
	}
	d.Restart()
	w.WaitGuarded()
	if !strings.Contains(d.Text(), "armed fence taken over") {
		t.Errorf("%s did not take the fence over", d.Name)
	}
	d.Kill()
	d.Systemd.Empty()
	w.Eventually("no armed fence", 10*time.Second, func() error {
		if n := ArmedFences(r); n != 0 {
			return fmt.Errorf("%d armed fences stand with an empty store", n)
		}
		return nil
	})
	if role := r.Role().Name; role != "master" {
		t.Errorf("the master is %s: it was fenced on the way", role)
	}
}
