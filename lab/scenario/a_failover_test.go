package scenario

import (
	"testing"

	"github.com/redis-watchdog/redis-watchdog/lab"
	"github.com/redis-watchdog/redis-watchdog/lab/watched"
)

func TestMasterKilled(t *testing.T) {
	w := watched.Start(t, watched.Options{})
	writer := w.Hosts[1].Writer(lab.LoadConfig{Sentinels: w.Group.Sentinels})
	before := w.Record().Agreement
	killed := w.Group.Redis[0].Kill()
	master := w.Group.WaitMaster(w.Group.Redis[1:]...)
	rec := w.WaitAgreed(master)
	writer.WaitOK(killed, 20e9)
	if rec.Epoch <= before.Epoch {
		t.Errorf("epoch %d, was %d", rec.Epoch, before.Epoch)
	}
	writer.Stop()
}
