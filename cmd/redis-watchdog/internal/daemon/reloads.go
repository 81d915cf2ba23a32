package daemon

import (
	"errors"
	"fmt"
	"strings"
	"sync"

	"github.com/redis-watchdog/redis-watchdog/cmd/redis-watchdog/internal/config"
)

// reloads is what became of the last reload, for the faults of every node.
type reloads struct {
	mu  sync.Mutex
	why string // it was refused; empty: it was not
}

const faultsShown = 3 // of a refused file, in a status that goes to etcd

func (r *reloads) accept() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.why = ""
}

// refuse keeps places, keys and problems. Values are for the log on this host
// alone: the status is read by more people, and somebody may have written a
// password where the name of its file belongs.
func (r *reloads) refuse(err error) {
	why := fmt.Sprintf("it cannot be read: %v", err)
	if faults, known := errors.AsType[config.Faults](err); known {
		var shown []string
		for _, f := range faults[:min(len(faults), faultsShown)] {
			f.Value, f.Remedy = "", ""
			shown = append(shown, f.Error())
		}
		if more := len(faults) - len(shown); more > 0 {
			shown = append(shown, fmt.Sprintf("and %d more", more))
		}
		why = strings.Join(shown, "; ")
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.why = why
}

// refused is the fault's text and remedy; empty: nothing was refused.
func (r *reloads) refused() (text, remedy string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.why == "" {
		return "", ""
	}
	return "the configuration on disk was refused, and the one read before stays in force: " + r.why,
		"mend what redis-watchdog check-config and journalctl -u redis-watchdog name, then: systemctl reload redis-watchdog"
}
