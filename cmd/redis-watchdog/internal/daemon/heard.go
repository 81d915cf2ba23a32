package daemon

// What a group's watcher has heard of its Sentinels, kept over a restart in the
// runtime directory: those that only their PINGs speak for would have to be heard
// anew, and until then count as down. Beside it, in the state directory, what the
// names of hosts were found to be: the name server may be away at the next start.

import (
	"context"
	"errors"
	"io/fs"
	"path/filepath"
	"reflect"
	"time"

	"github.com/hashicorp/go-hclog"

	"github.com/redis-watchdog/redis-watchdog/sentinel"
	"github.com/redis-watchdog/redis-watchdog/watchdog/statedir"
)

// heardEvery is how often it is looked whether there is something new. An older
// record is an earlier PING, and so a safe one.
const heardEvery = 500 * time.Millisecond

type heard struct {
	file, boot string
	names      string // the file of the names
	log        hclog.Logger
}

// namesRecord is what names of hosts were found to be.
type namesRecord struct {
	Names map[string]string `json:"names"`
}

type heardRecord struct {
	Boot   string          `json:"boot_id"`
	Memory sentinel.Memory `json:"sentinels"`
}

func newHeard(dir, stateDir, group string, log hclog.Logger) (*heard, error) {
	boot, err := statedir.BootID()
	if err != nil {
		return nil, err
	}
	return &heard{
		file: filepath.Join(dir, "sentinels."+statedir.FileName(group, "")), boot: boot,
		names: filepath.Join(stateDir, "names."+statedir.FileName(group, "")), log: log,
	}, nil
}

// load is what was kept; nothing of it holds on another boot. A record that
// cannot be read is none.
func (h *heard) load() sentinel.Memory {
	var r heardRecord
	err := statedir.ReadJSON(h.file, &r)
	switch {
	case errors.Is(err, fs.ErrNotExist), err == nil && r.Boot != h.boot:
		return sentinel.Memory{}
	case err != nil:
		h.log.Warn("record of the sentinels not read: starting without", "error", err)
		return sentinel.Memory{}
	}
	return r.Memory
}

// loadNames is what names were found to be. A record that cannot be read is none.
func (h *heard) loadNames() map[string]string {
	var r namesRecord
	if err := statedir.ReadJSON(h.names, &r); err != nil && !errors.Is(err, fs.ErrNotExist) {
		h.log.Warn("record of the names of hosts not read: starting without", "error", err)
	}
	return r.Names
}

// run keeps both until ctx ends.
func (h *heard) run(ctx context.Context, w *sentinel.Watcher) error {
	var kept sentinel.Memory
	failing, failingNames := false, false
	keptNames := uint64(0) // a Watcher that found none has no news
	for {
		err := untilBeat(ctx, heardEvery)
		if w.NamesNews() != keptNames {
			names, news := w.Names()
			if e := statedir.WriteJSON(h.names, namesRecord{names}, statedir.How{Sync: true}); e == nil {
				keptNames, failingNames = news, false
			} else if !failingNames {
				failingNames = true
				h.log.Warn("record of the names of hosts not written: a restart while none resolves would not know whose they are", "error", e)
			}
		}
		if now := w.Remember(); !reflect.DeepEqual(now, kept) {
			if e := statedir.WriteJSON(h.file, heardRecord{h.boot, now}, statedir.How{}); e == nil {
				kept, failing = now, false
			} else if !failing {
				failing = true
				h.log.Warn("record of the sentinels not written", "error", e)
			}
		}
		if err != nil {
			return err
		}
	}
}
