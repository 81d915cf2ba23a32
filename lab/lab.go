package lab

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/redis-watchdog/redis-watchdog/lab/need"
	"github.com/redis-watchdog/redis-watchdog/lab/slot"
)

// T is what a Lab needs of a test. *testing.T and *testing.B are T, and so is
// *Program outside of tests.
type T interface {
	Helper()
	Name() string
	Logf(format string, args ...any)
	Fatalf(format string, args ...any)
	Failed() bool
	Cleanup(func())
}

// Lab is a set of hosts and what runs on them. It ends with its T.
type Lab struct {
	t        T
	dir      string // every process has its directory in it; short, because of sun_path
	threads  *starter
	reaper   *reaper
	network  *network // nil: loopback
	timeline *timeline

	// ctx ends when the lab is being closed; background is what must have
	// ended before it is.
	ctx        context.Context
	cancel     context.CancelFunc
	background sync.WaitGroup

	mu        sync.Mutex
	hosts     []*Host
	nameless  bool // no host's name is in the hosts file
	processes []*Process
	ports     []func() // gives one back
}

// New makes a lab whose hosts are network namespaces. It needs root. With
// -short a test that asks for one is skipped.
func New(t T) *Lab {
	t.Helper()
	if t, ok := t.(testing.TB); ok {
		need.Root(t)
	}
	if os.Geteuid() != 0 {
		t.Fatalf("lab: network namespaces need root")
	}
	return open(t, true)
}

// Loopback makes a lab whose hosts share 127.0.0.1. Nothing can be cut.
func Loopback(t T) *Lab {
	t.Helper()
	if t, ok := t.(testing.TB); ok {
		need.Servers(t)
	}
	return open(t, false)
}

func open(t T, namespaces bool) *Lab {
	t.Helper()
	l := &Lab{t: t, timeline: newTimeline()}
	l.ctx, l.cancel = context.WithCancel(context.Background())
	if t, ok := t.(testing.TB); ok {
		slot.Take(t)
	}
	// Registered first, so that a T that dies half-way through is cleaned up.
	t.Cleanup(l.close)
	var err error
	if l.dir, err = makeDirectory(); err != nil {
		t.Fatalf("lab: %v", err)
	}
	if l.reaper, err = startReaper(l.dir); err != nil {
		t.Fatalf("lab: %v", err)
	}
	hosts := ""
	if namespaces {
		hosts = filepath.Join(l.dir, "hosts")
	}
	if l.threads, err = newStarter(hosts); err != nil {
		t.Fatalf("lab: %v", err)
	}
	if namespaces {
		if l.network, err = newNetwork(l.threads); err != nil {
			t.Fatalf("lab: %v", err)
		}
	}
	return l
}

// Dir is where configurations, data, sockets and logs are.
func (l *Lab) Dir() string { return l.dir }

// Context ends when the lab does.
func (l *Lab) Context() context.Context { return l.ctx }

// Host is the host of that name; it is made when first asked for.
func (l *Lab) Host(name string) *Host {
	l.t.Helper()
	l.mu.Lock()
	for _, h := range l.hosts {
		if h.Name == name {
			l.mu.Unlock()
			return h
		}
	}
	h := &Host{Name: name, lab: l, IP: "127.0.0.1", index: len(l.hosts) + 1, running: closedChannel()}
	l.hosts = append(l.hosts, h)
	l.mu.Unlock()
	if l.network == nil {
		return h
	}
	var err error
	if h.IP, h.namespace, err = l.network.attach(h.index); err != nil {
		l.t.Fatalf("lab: attach host %q: %v", name, err)
	}
	if err := l.writeHosts(); err != nil {
		l.t.Fatalf("lab: %v", err)
	}
	return h
}

// Hosts makes or finds several.
func (l *Lab) Hosts(names ...string) []*Host {
	l.t.Helper()
	hosts := make([]*Host, 0, len(names))
	for _, name := range names {
		hosts = append(hosts, l.Host(name))
	}
	return hosts
}

// writeHosts rewrites, in place because it is bind-mounted, the /etc/hosts
// that the processes of the lab see.
func (l *Lab) writeHosts() error {
	var b strings.Builder
	b.WriteString("127.0.0.1 localhost\n")
	l.mu.Lock()
	for _, h := range l.hosts {
		if !l.nameless {
			fmt.Fprintf(&b, "%s %s\n", h.IP, h.Name)
		}
	}
	l.mu.Unlock()
	if err := os.WriteFile(filepath.Join(l.dir, "hosts"), []byte(b.String()), 0o644); err != nil {
		return fmt.Errorf("write hosts file: %w", err)
	}
	return nil
}

// NamesAway has no process of the lab resolve the name of any host from now on,
// as if the name server were gone; what looked one up before may remember it (Go
// looks at /etc/hosts every five seconds).
func (l *Lab) NamesAway() { l.setNameless(true) }

// NamesBack undoes NamesAway.
func (l *Lab) NamesBack() { l.setNameless(false) }

func (l *Lab) setNameless(away bool) {
	l.t.Helper()
	if l.network == nil {
		l.t.Fatalf("lab: on loopback every host is localhost")
	}
	l.mu.Lock()
	l.nameless = away
	l.mu.Unlock()
	if err := l.writeHosts(); err != nil {
		l.t.Fatalf("lab: %v", err)
	}
	l.Mark("names of hosts resolve: %v", !away)
}

// patience is the least that Eventually waits for. A limit says when to give up,
// and asserts nothing: on a busy machine all takes longer.
const patience = 30 * time.Second

// Eventually asks done every few milliseconds until it returns nil. It ends
// the test when that has not happened within limit (half a minute at least),
// with done's last error.
func (l *Lab) Eventually(what string, limit time.Duration, done func() error) {
	l.t.Helper()
	limit = max(limit, patience)
	deadline := time.NewTimer(limit)
	defer deadline.Stop()
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for {
		err := done()
		if err == nil {
			return
		}
		select {
		case <-deadline.C:
			l.t.Fatalf("lab: %s: not within %v: %v", what, limit, err)
			return
		case <-l.ctx.Done():
			l.t.Fatalf("lab: %s: the lab was closed", what)
			return
		case <-tick.C:
		}
	}
}

// Pause lets d pass, for a cut or a freeze to last. Never wait for an event
// with it: that is what Eventually is for.
func (l *Lab) Pause(d time.Duration) {
	select {
	case <-time.After(d):
	case <-l.ctx.Done():
	}
}

// close ends everything. It may find a half-made lab.
func (l *Lab) close() {
	l.t.Helper()
	l.cancel()
	l.mu.Lock()
	processes, hosts, ports := l.processes, l.hosts, l.ports
	l.mu.Unlock()
	for _, p := range processes {
		p.destroy()
	}
	l.background.Wait()
	for _, h := range hosts {
		if h.namespace != nil {
			h.namespace.Close()
		}
	}
	if l.network != nil {
		l.network.close()
	}
	if l.threads != nil {
		l.threads.close()
	}
	for _, release := range ports {
		release()
	}
	keep := l.t.Failed() || keepAlways()
	if keep {
		l.report(processes)
	}
	if l.reaper != nil {
		if err := l.reaper.close(keep); err != nil {
			l.t.Logf("lab: %v", err)
		}
	}
}

// report is what a person wants to see first after a failure.
func (l *Lab) report(processes []*Process) {
	l.t.Helper()
	var b bytes.Buffer
	l.WriteTimeline(&b)
	_ = os.WriteFile(filepath.Join(l.dir, "timeline"), b.Bytes(), 0o644)
	l.t.Logf("timeline:\n%s", b.String())
	for _, p := range processes {
		l.t.Logf("log of %s (%s):\n%s", p.Name, p.Log, tail(p.Log, 15))
	}
	l.t.Logf("lab: everything is kept in %s", l.dir)
}

// tail is the last n lines of a file, or why there are none.
func tail(path string, n int) string {
	data, err := os.ReadFile(path)
	if err != nil {
		return err.Error()
	}
	lines := strings.Split(strings.TrimRight(string(data), "\n"), "\n")
	if len(lines) > n {
		lines = lines[len(lines)-n:]
	}
	return "    " + strings.Join(lines, "\n    ")
}

func closedChannel() chan struct{} {
	c := make(chan struct{})
	close(c)
	return c
}
