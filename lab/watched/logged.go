package watched

import (
	"errors"
	"strings"
	"time"
)

// WaitLogged waits until the watchdog has logged such a line, counted from a
// length its log (Text) had before.
func (d *Watchdog) WaitLogged(what string, from int, is func(line string) bool) {
	d.t.Helper()
	d.lab.Eventually(d.Name+" has logged: "+what, 20*time.Second, func() error {
		for line := range strings.Lines(d.Text()[from:]) {
			if is(line) {
				return nil
			}
		}
		return errors.New("no such line")
	})
}
