package scenario

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/redis-watchdog/redis-watchdog/lab"
	"github.com/redis-watchdog/redis-watchdog/lab/watched"
)

// Case q: what stands in front.

// masterByShell is what the line of docs/clients.md prints.
func masterByShell(t *testing.T, w *watched.World) string {
	t.Helper()
	doc, err := os.ReadFile("../../docs/clients.md")
	if err != nil {
		t.Fatal(err)
	}
	etcdctl, err := lab.EtcdctlBinary()
	if err != nil {
		t.Fatal(err)
	}
	var line string
	for l := range strings.Lines(string(doc)) {
		if l = strings.TrimSpace(l); strings.HasPrefix(l, "etcdctl get ") {
			line = l
		}
	}
	p := w.Hosts[1].Run(lab.Command{Name: "shell", Path: "/bin/sh", Args: []string{"-c", line},
		Env: []string{"PATH=" + filepath.Dir(etcdctl) + ":/usr/bin:/bin", "ETCDCTL_ENDPOINTS=" + strings.Join(w.Etcd.Endpoints(), ",")}})
	if code := p.Wait(); code != 0 {
		t.Fatalf("%s ended with %d: %s", line, code, p.Text())
	}
	return strings.TrimSpace(p.Text())
}

// TestHAProxyFollowsTheGrant writes through HAProxy while the master is killed,
// and while the next is cut off from all but HAProxy: its connections are moved
// both times, those of the fenced master are cut, and nothing that was
// acknowledged after the promotion is lost.
func TestHAProxyFollowsTheGrant(t *testing.T) {
	t.Parallel()
	w := watched.Start(t, watched.Options{Group: lab.GroupConfig{FailTimeout: 10 * time.Second},
		Config: func(c *watched.Config) { c.HTTP["listen"] = "0.0.0.0:26380" }})
	front := w.Lab.Host("front")
	writer := front.Writer(lab.LoadConfig{Address: front.HAProxy("../../docs/http.md", w.Hosts[0].IP, w.Hosts[1].IP, w.Hosts[2].IP), Timeout: 20 * time.Second})
	writer.WaitOK(lab.Now(), 20*time.Second)

	first := w.WaitServing()
	killed := first.Redis.Kill()
	w.Mark("the master is killed")
	next := w.Group.WaitMaster(w.Group.Replicas(first.Redis)...)
	writer.WaitOK(w.Mark("another is promoted"), time.Minute)
	first.Redis.Restart()
	w.WaitGuarded()
	w.Group.WaitReplicas()

	if got := masterByShell(t, w); got != next.Address {
		t.Errorf("the line of docs/clients.md says the master is %q, want %s", got, next.Address)
	}

	second := watchdogOf(w, next)
	watches := w.Group.WatchRoles()
	cut := w.Mark("the master is cut off from all but HAProxy")
	w.Isolate(second.Host, front)
	last := w.Group.WaitMaster(w.Group.Replicas(next)...)
	promoted := watches[indexOf(w, last)].BecameMaster(cut)
	writer.WaitOK(w.Mark("another is promoted"), time.Minute)
	w.Pause(shortOutage)
	if code := second.Get("/master"); code != 503 {
		t.Errorf("/master of the fenced one answers %d, want 503", code)
	}
	w.Mark("heal")
	w.Heal()
	w.WaitGuarded()
	w.Group.WaitReplicas()
	writes := writer.Stop()
	lost := lab.Lost(writes, last)
	_, longest := writes.LongestWait()
	t.Logf("%s; %d lost, the longest wait was %v", writes, len(lost), longest)
	if n := lost.Sent(promoted.After, lab.Now()); len(n) != 0 {
		t.Errorf("%d writes are lost that were sent after the promotion", len(n))
	}
	if n := lost.Received(killed.Add(downAfter), cut); len(n) != 0 {
		t.Errorf("%d writes are lost that the second master acknowledged before it was cut off", len(n))
	}
	if len(writes.Received(cut, promoted.After).Failed()) == 0 {
		t.Error("no connection to the fenced master was cut")
	}
}
