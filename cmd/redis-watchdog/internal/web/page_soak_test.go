//go:build soak

package web

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/hashicorp/go-hclog"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/redis-watchdog/redis-watchdog/lab"
	"github.com/redis-watchdog/redis-watchdog/lab/browser"
	"github.com/redis-watchdog/redis-watchdog/watchdog/agent"
)

// scene is a Source that can be changed.
type scene struct{ now atomic.Pointer[fake] }

func (s *scene) Status() []agent.Status               { return s.now.Load().nodes }
func (s *scene) Roles() []agent.Status                { return s.now.Load().nodes }
func (s *scene) Alive() bool                          { return !s.now.Load().stuck }
func (s *scene) Fleet() string                        { return s.now.Load().fleet }
func (s *scene) Records(ctx context.Context) []Record { return s.now.Load().records }

// TestBrowserRunsNothingWrittenIntoNames: with names that are markup, Chromium
// shows them as text and runs nothing, when the page is loaded and when it is
// brought up to date; and the page stays as wide as its window. With
// SCREENSHOTS=DIRECTORY it leaves pictures to be looked at.
func TestBrowserRunsNothingWrittenIntoNames(t *testing.T) {
	if !browser.Installed() {
		t.Fatal("no chromium here: `make soak` installs it")
	}
	l := lab.Loopback(t)
	clean, dirty := busy(), called(evil)
	s := &scene{}
	s.now.Store(&clean)
	server, err := Listen(s, Options{Listen: "127.0.0.1:0", Host: "redis1", Version: "1.2.3", Gatherer: prometheus.NewRegistry(), Log: hclog.NewNullLogger()})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancelCause(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- server.Run(ctx) }()
	over := errors.New("the test is over")
	defer func() {
		cancel(over)
		if err := <-ended; !errors.Is(err, over) {
			t.Errorf("serve: %v", err)
		}
	}()

	b := browser.Start(l, t, l.Host("a"))
	b.Size(1400, 900, false)
	b.Open("http://" + server.Addr().String() + "/")
	// Anything that runs would be noticed here.
	b.Eval(`window.ran = ""; window.alert = (x) => { window.ran += x; }; window.same = "yes"`)
	shows := func(what string) {
		t.Helper()
		l.Eventually("the page shows "+what, time.Minute, func() error {
			if text := b.Eval(`document.body.innerText`); !strings.Contains(text, what) {
				return fmt.Errorf("it shows %s", text)
			}
			return nil
		})
	}
	shows("names another; holds the Redis here down")
	looked(t, b, "busy")
	for what, kept := range map[string]*Audit{"keyspace": audited("user:lastbuy", "session:{4711}:cart", strings.Repeat("a:very:long:name:", 15)), "keyspace-hashed": audited("5f3ac1d29b7be04c", "91d2e0c47a6fb318")} {
		f := withAudit(kept, "Audit of the fleet, begun by eve@redis1: running, 3 of 9 done")
		s.now.Store(&f)
		shows("3 of 9 done")
		b.Eval(`document.getElementById("g0-audit").open = true`)
		shows(kept.Kept.Worst[1].Name)
		if got := b.Eval(`String(document.querySelectorAll(".map rect").length >= 4) + " " + [...document.querySelectorAll(".map rect")].every((r) => r.getBoundingClientRect().width > 0)`); got != "true true" {
			t.Errorf("%s: boxes are on the map, and each has a width: %q", what, got)
		}
		b.Eval(`document.getElementById("g0-keyspace").scrollIntoView()`)
		looked(t, b, what)
	}
	s.now.Store(&dirty)
	shows("<script>alert(1)</script>")
	looked(t, b, "names")
	if ran, same := b.Eval(`window.ran`), b.Eval(`window.same`); ran != "" || same != "yes" {
		t.Errorf("brought up to date: ran %q; the same page: %q", ran, same)
	}
	b.Open("http://" + server.Addr().String() + "/?loaded")
	shows("<script>alert(1)</script>")
	if got := b.Eval(`String(document.scripts.length) + " " + document.images.length + " " + document.querySelectorAll("[onerror]").length`); got != "1 0 0" {
		t.Errorf("loaded: got %q scripts, images and handlers", got)
	}
	for _, complaint := range b.Complaints() {
		t.Errorf("the console says %s", complaint)
	}
}

// looked looks at the page on a phone and on a desk, by day and by night.
func looked(t *testing.T, b *browser.Browser, what string) {
	t.Helper()
	for _, size := range []struct {
		name          string
		width, height int
	}{{"phone", 390, 844}, {"desk", 1400, 900}} {
		b.Size(size.width, size.height, size.name == "phone")
		if got := b.Eval(`document.documentElement.scrollWidth`); got != fmt.Sprint(size.width) {
			t.Errorf("%s: on a %s the page is %s wide, the window %d", what, size.name, got, size.width)
		}
		for _, dark := range []bool{false, true} {
			b.Dark(dark)
			if dir := os.Getenv("SCREENSHOTS"); dir != "" {
				b.Screenshot(filepath.Join(dir, fmt.Sprintf("%s-%s-dark=%v.png", what, size.name, dark)))
			}
		}
	}
}
