package field

// Hosts, Sentinels and etcd members are added, removed, replaced and moved: what
// docs/members.md tells an operator to type, taken from there and from nowhere else.

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/redis-watchdog/redis-watchdog/lab"
	"github.com/redis-watchdog/redis-watchdog/lab/watched"
	"github.com/redis-watchdog/redis-watchdog/watchdog"
	"github.com/redis-watchdog/redis-watchdog/watchdog/agent"
)

// walk follows the page, on the hosts of a story.
type walk struct {
	*story
	page  string
	hosts map[string]*lab.Host // by the address that the page has
	// does is what systemctl does on a host of the page, "10.0.0.14: start etcd": no
	// host of the lab has a service manager of its own.
	does map[string]func()
}

// follow is a walk; fourth is the host that the page brings in, nil: none.
func follow(s *story, fourth *lab.Host) *walk {
	s.t.Helper()
	page, err := os.ReadFile("../../docs/members.md")
	if err != nil {
		s.t.Fatal(err)
	}
	if s.master != s.Watchdogs[0] {
		s.t.Fatalf("the page has the master on its first host, and %s serves", s.master.Name)
	}
	k := &walk{story: s, page: string(page), does: map[string]func(){},
		hosts: map[string]*lab.Host{"10.0.0.11": s.Hosts[0], "10.0.0.12": s.Hosts[1], "10.0.0.13": s.Hosts[2]}}
	if fourth != nil {
		k.hosts["10.0.0.14"] = fourth
	}
	return k
}

// through does what the page has under a heading, line by line.
func (k *walk) through(title string) {
	k.t.Helper()
	_, section, ok := strings.Cut(k.page, "\n### "+title+"\n")
	if !ok {
		k.t.Fatalf("the page has no %q", title)
	}
	section, _, _ = strings.Cut(section, "\n#")
	on, done := "", 0
	for line := range strings.Lines(section) {
		text, indented := strings.CutPrefix(strings.TrimRight(line, "\n"), "    ")
		if !indented {
			continue
		}
		if address, ok := strings.CutPrefix(text, "# on "); ok {
			on = address
			continue
		}
		if k.hosts[on] == nil {
			k.t.Fatalf("%q is to be typed on %q, which is no host of the page", text, on)
		}
		k.line(on, text)
		done++
	}
	if done == 0 {
		k.t.Fatalf("the page has no command under %q", title)
	}
	k.done(title + ", as written")
}

func (k *walk) line(on, text string) {
	k.t.Helper()
	if unit, ok := strings.CutPrefix(text, "systemctl "); ok {
		do := k.does[on+": "+unit]
		if do == nil {
			k.t.Fatalf("%s: nobody does %q", on, text)
		}
		do()
		return
	}
	command := text
	for address, host := range k.hosts {
		command = strings.ReplaceAll(command, address, host.IP)
	}
	if fourth := k.hosts["10.0.0.14"]; fourth != nil { // the lab's name of the member
		command = strings.ReplaceAll(command, "member add new ", "member add "+fourth.Name+"-etcd ")
	}
	p := k.hosts[on].Run(lab.Command{Name: "typed", Path: "sh", Args: []string{"-ec", command},
		Env: []string{"PATH=" + k.tools(k.hosts[on]) + ":" + os.Getenv("PATH"), "ETCDCTL_ENDPOINTS=" + strings.Join(k.Etcd.Endpoints(), ",")}})
	k.Eventually(on+": "+text, 4*patience, func() error {
		if p.Running() {
			return fmt.Errorf("it runs, and says %s", last(p.Text(), 3000))
		}
		return nil
	})
	if code := p.Wait(); code != 0 {
		k.t.Fatalf("%s: %s: it ended with %d: %s", on, text, code, p.Text())
	}
}

// tools is a directory with what a host has in its PATH besides.
func (k *walk) tools(h *lab.Host) string {
	k.t.Helper()
	dir := k.t.TempDir()
	binary, err := watched.Binary()
	etcdctl, noEtcdctl := lab.EtcdctlBinary()
	if err = errors.Join(err, noEtcdctl); err == nil {
		for _, d := range k.Watchdogs {
			if d.Host == h {
				err = os.WriteFile(filepath.Join(dir, "redis-watchdog"), fmt.Appendf(nil, "#!/bin/sh\nexec %s \"$@\" --config %s\n", binary, d.ConfigFile), 0o700)
			}
		}
	}
	if err = errors.Join(err, os.Symlink(etcdctl, filepath.Join(dir, "etcdctl"))); err != nil {
		k.t.Fatal(err)
	}
	return dir
}

func last(text string, n int) string { return text[max(0, len(text)-n):] }

// reloads has systemctl reload do so at every watchdog, with its file written anew.
func (k *walk) reloads() {
	for address, host := range k.hosts {
		for _, d := range k.Watchdogs {
			if d.Host == host {
				k.does[address+": reload redis-watchdog"] = func() {
					from := len(d.Text())
					d.Write(d.Config())
					d.Signal(syscall.SIGHUP)
					d.WaitLogged("has taken its configuration over", from, func(line string) bool { return strings.Contains(line, "configuration taken over") })
				}
			}
		}
	}
}

// unhurried is a group with Sentinel's own down-after-milliseconds: nobody fails over,
// and a machine that stands still for a second is no partition to it.
func unhurried() watched.Options {
	return watched.Options{Systemd: true, Group: lab.GroupConfig{DownAfter: 30 * time.Second}}
}

func stop(p *lab.Process) func() {
	return func() {
		p.Term()
		p.Wait()
	}
}

func TestRedisIsReplacedAsWritten(t *testing.T) {
	t.Parallel()
	o := unhurried()
	w := start(t, o)
	k := follow(begin(t, w), w.Lab.Host("d"))
	old := w.Watchdogs[2]
	var fresh *lab.Redis
	k.does["10.0.0.14: enable --now redis-server"] = func() {
		fresh = k.hosts["10.0.0.14"].Redis(lab.RedisConfig{ReplicaOf: k.master.Redis, Lines: []string{"replica-priority 0"}})
	}
	k.does["10.0.0.14: enable --now redis-watchdog"] = func() { w.Guard(fresh, o) }
	k.does["10.0.0.13: disable --now redis-server"] = stop(old.Redis.Process)
	k.does["10.0.0.13: disable --now redis-watchdog"] = stop(old.Process)

	k.through("Add a Redis")
	w.Watchdogs[3].WaitFor("is a replica that may be promoted", func(st agent.Status) bool {
		return st.Guarded && st.LinkUp && st.Data == "in_step" && !st.Veto && st.PromotableReplicas == 3
	})
	k.through("Remove a Redis")
	if g := w.Record(); slices.Contains(g.Record.Nodes, watchdog.Address(old.Redis.Address)) || !slices.Contains(g.Record.Nodes, watchdog.Address(fresh.Address)) {
		t.Errorf("the nodes in etcd are %v", g.Record.Nodes)
	}
	for _, d := range []*watched.Watchdog{w.Watchdogs[0], w.Watchdogs[1], w.Watchdogs[3]} {
		k.clean(d)
	}
	k.unrefused()
}

func TestRedisIsMovedAsWritten(t *testing.T) {
	t.Parallel()
	w := start(t, unhurried())
	k := follow(begin(t, w), w.Lab.Host("d"))
	moved := w.Watchdogs[2]
	k.does["10.0.0.13: stop redis-server"] = stop(moved.Redis.Process)
	k.does["10.0.0.13: stop redis-watchdog"] = stop(moved.Process)
	k.does["10.0.0.13: start redis-server"] = func() {
		conf, err := os.ReadFile(moved.Redis.ConfigFile)
		if err == nil {
			err = os.WriteFile(moved.Redis.ConfigFile, regexp.MustCompile(`(?m)^port \d+$`).ReplaceAll(conf, []byte("port 6380")), 0o644)
		}
		if err != nil {
			t.Fatal(err)
		}
		moved.Redis.Port, moved.Redis.Address = 6380, moved.Host.IP+":6380"
		moved.Write(moved.Config())
		moved.Redis.Restart()
	}
	k.does["10.0.0.13: start redis-watchdog"] = moved.Restart

	k.through("Move a Redis")
	var nodes []string
	for _, n := range w.Record().Record.Nodes {
		nodes = append(nodes, string(n))
	}
	slices.Sort(nodes)
	if want := []string{w.Watchdogs[0].Redis.Address, w.Watchdogs[1].Redis.Address, moved.Redis.Address}; !slices.Equal(nodes, want) {
		t.Errorf("the nodes in etcd are %v, want %v", nodes, want)
	}
	moved.WaitFor("is a replica that may be promoted", func(st agent.Status) bool {
		return st.Address == moved.Redis.Address && st.Guarded && st.Data == "in_step" && !st.Veto && st.PromotableReplicas == 2
	})
	for _, d := range w.Watchdogs {
		k.clean(d)
	}
	k.unrefused()
}

func TestRedisIsRebuiltAsWritten(t *testing.T) {
	t.Parallel()
	o := unhurried()
	w := start(t, o)
	k := follow(begin(t, w), w.Hosts[2]) // the page adds one on its last host
	old := w.Watchdogs[2]
	stop(old.Process)()
	old.Redis.Kill()
	k.done("the host of a replica is set up anew: nothing is left of its Redis and of its watchdog")
	var fresh *lab.Redis
	k.does["10.0.0.14: enable --now redis-server"] = func() {
		fresh = old.Host.Redis(lab.RedisConfig{ReplicaOf: k.master.Redis, Lines: []string{"replica-priority 0"}})
	}
	k.does["10.0.0.14: enable --now redis-watchdog"] = func() { w.Guard(fresh, o) }
	k.through("Add a Redis")
	if fresh.Address != old.Redis.Address {
		t.Fatalf("it is at %s, and was at %s", fresh.Address, old.Redis.Address)
	}
	w.Watchdogs[3].WaitFor("is a replica that may be promoted", func(st agent.Status) bool {
		return st.Guarded && st.LinkUp && st.Data == "in_step" && !st.Veto && st.PromotableReplicas == 2
	})
	for _, d := range []*watched.Watchdog{w.Watchdogs[0], w.Watchdogs[1], w.Watchdogs[3]} {
		k.clean(d)
	}
	k.unrefused()
}
