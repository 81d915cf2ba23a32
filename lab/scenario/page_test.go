package scenario

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/redis-watchdog/redis-watchdog/lab"
	"github.com/redis-watchdog/redis-watchdog/lab/watched"
	"github.com/redis-watchdog/redis-watchdog/watchdog/agent"
)

// TestPageSaysWhatStatusSays: the page, its JSON and `status` say the same of a
// healthy group, of a cut-off host, and of the failover that came of it.
func TestPageSaysWhatStatusSays(t *testing.T) {
	t.Parallel()
	w := watched.Start(t, watched.Options{Systemd: true, Group: lab.GroupConfig{DownAfter: 10 * time.Second, FailTimeout: 20 * time.Second}})
	old := w.WaitServing()
	others := w.Others(old)
	for _, d := range w.Watchdogs {
		sameAsStatus(t, w, d, "ok")
	}

	w.Isolate(old.Host)
	master := w.WaitServing(others...)
	old.WaitPhase("refuse")
	// It shows itself although etcd is away, and says that the rest is old.
	w.Eventually("the page of the host cut off says so", time.Minute, func() error {
		return shows(old.Page(), "refuse", "etcd", "The other hosts and the history")
	})
	w.Heal()
	old.WaitPhase("follow")
	w.WaitGuarded()
	w.Eventually("the page tells the failover", time.Minute, func() error {
		return shows(master.Page(), "Failover: "+old.Redis.Address+" → "+master.Redis.Address, "isolated")
	})
	for _, d := range w.Watchdogs {
		sameAsStatus(t, w, d, "")
	}
	var told struct{ Steps []agent.Step }
	if err := master.JSON("/history/"+w.Group.Name, &told); err != nil {
		t.Fatal(err)
	}
	out, code := master.CLI("history", w.Group.Name, "-n", "0", "-o", "json")
	var kept []agent.Step
	if err := json.Unmarshal([]byte(out), &kept); err != nil || code != 0 {
		t.Fatalf("history: exit code %d, %v: %s", code, err, out)
	}
	if len(told.Steps) == 0 || len(kept) < len(told.Steps) {
		t.Fatalf("the page has %d records, `history` %d", len(told.Steps), len(kept))
	}
	// Newer ones may have come between the two.
	first := told.Steps[0]
	for i, s := range kept {
		if s == first {
			for j, told := range told.Steps {
				if i+j < len(kept) && kept[i+j] != told {
					t.Errorf("record %d: the page has %+v, `history` %+v", j, told, kept[i+j])
				}
			}
			return
		}
	}
	t.Errorf("`history` does not have the page's first record %+v", first)
}

func shows(page string, words ...string) error {
	for _, word := range words {
		if !strings.Contains(page, word) {
			return fmt.Errorf("it does not say %q", word)
		}
	}
	return nil
}

// sameAsStatus compares what does not change by itself: status and page are
// asked one after the other.
func sameAsStatus(t *testing.T, w *watched.World, d *watched.Watchdog, verdict string) {
	t.Helper()
	w.Eventually(d.Name+": page and status say the same", time.Minute, func() error {
		out, _ := d.CLI("status", "-o", "json")
		var said struct {
			Verdict string
			Nodes   []agent.Status
			Groups  []struct {
				Nodes  []agent.Status
				Silent []string
			}
		}
		if err := json.Unmarshal([]byte(out), &said); err != nil {
			return fmt.Errorf("status: %w: %s", err, out)
		}
		if verdict != "" && said.Verdict != verdict {
			return fmt.Errorf("status says %s, not %s", said.Verdict, verdict)
		}
		var groups []struct {
			Nodes  []agent.Status
			Silent []string
		}
		if err := d.JSON("/groups", &groups); err != nil {
			return err
		}
		if len(groups) != 1 || len(said.Groups) != 1 || len(groups[0].Nodes) != len(said.Groups[0].Nodes) || len(groups[0].Silent) != len(said.Groups[0].Silent) {
			return fmt.Errorf("/groups: %+v, status: %+v", groups, said.Groups)
		}
		page := d.Page()
		words := []string{`data-verdict="` + said.Verdict + `"`}
		for i, n := range said.Groups[0].Nodes {
			if m := groups[0].Nodes[i]; m.Address != n.Address || m.Phase != n.Phase || m.Guarded != n.Guarded {
				return fmt.Errorf("/groups has %+v, status %+v", m, n)
			}
		}
		for _, n := range append(said.Nodes, said.Groups[0].Nodes...) {
			words = append(words, n.Address, `<b class="tag `+n.Phase+`">`, fmt.Sprintf("%s (row %d)", n.Reason, n.Row))
			for _, f := range n.Faults {
				words = append(words, "<b>"+f.ID+"</b>")
			}
		}
		return shows(page, words...)
	})
}

// TestPageAnswersAtOnceWhileCoordinatorHangs: the page is for the moment when
// something is wrong with etcd, too.
func TestPageAnswersAtOnceWhileCoordinatorHangs(t *testing.T) {
	t.Parallel()
	w := watched.Start(t, watched.Options{Group: lab.GroupConfig{DownAfter: 10 * time.Second}})
	d := w.WaitServing()
	other := w.Others(d)[0].Redis.Address
	w.Eventually("the page has read etcd", time.Minute, func() error { return shows(d.Page(), other, "What happened") })
	for _, m := range w.Etcd.Members {
		m.Stop()
	}
	defer func() {
		for _, m := range w.Etcd.Members {
			m.Cont()
		}
	}()
	// With etcd healthy the page takes a few milliseconds; hung, it must not take
	// the seconds that a request to etcd is given.
	w.Eventually("the page says that etcd does not answer", time.Minute, func() error {
		begun := lab.Now()
		page := d.Page()
		if took := lab.Now().Sub(begun); took > 2*time.Second {
			t.Errorf("the page took %v", took)
		}
		return shows(page, "The other hosts and the history are as they were", d.Redis.Address, other)
	})
}
