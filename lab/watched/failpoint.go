package watched

import (
	"errors"
	"os"
	"path/filepath"
	"syscall"
	"time"
)

// failpointFile names the failpoint at which a watchdog kills itself; it is
// taken away by the death, so that the next life passes there unharmed.
const failpointFile = "failpoint"

// DieAt makes the watchdog kill itself (SIGKILL) when it next passes a
// failpoint, running or not. Empty: it shall not.
func (d *Watchdog) DieAt(name string) {
	d.t.Helper()
	path := filepath.Join(d.Dir, failpointFile)
	if name == "" {
		if err := os.Remove(path); err != nil && !errors.Is(err, os.ErrNotExist) {
			d.t.Fatalf("disarm failpoint of %s: %v", d.Name, err)
		}
		return
	}
	// Whole at once: it is read at every failpoint.
	err := os.WriteFile(path+".new", []byte(name), 0o600)
	if err == nil {
		err = os.Rename(path+".new", path)
	}
	if err != nil {
		d.t.Fatalf("arm failpoint of %s: %v", d.Name, err)
	}
}

// died says that it killed itself at its failpoint.
func (d *Watchdog) died() bool {
	if d.Running() {
		return false
	}
	_, err := os.Stat(filepath.Join(d.Dir, failpointFile))
	return errors.Is(err, os.ErrNotExist) && d.Wait() == -int(syscall.SIGKILL)
}

// Crash makes these watchdogs (none: all) die at a failpoint, does what leads
// them there, and starts each that died at once again, as a service manager
// does. It ends with the first death (and start), and is who died; the others
// are spared. Nil: nobody passed there.
func (w *World) Crash(failpoint string, do func(), among ...*Watchdog) *Watchdog {
	w.T.Helper()
	if len(among) == 0 {
		among = w.Watchdogs
	}
	for _, d := range among {
		d.DieAt(failpoint)
	}
	do()
	var first *Watchdog
	end := time.Now().Add(30 * time.Second)
	for first == nil && time.Now().Before(end) {
		w.Pause(2 * time.Millisecond)
		first = w.revive(among)
	}
	for _, d := range among {
		d.DieAt("")
	}
	w.revive(among) // who died before it was spared
	return first
}

func (w *World) revive(among []*Watchdog) *Watchdog {
	var first *Watchdog
	for _, d := range among {
		if d.died() {
			d.Restart()
			first = d
		}
	}
	return first
}
