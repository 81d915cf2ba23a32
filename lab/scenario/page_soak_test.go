//go:build soak

package scenario

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/redis-watchdog/redis-watchdog/lab"
	"github.com/redis-watchdog/redis-watchdog/lab/browser"
	"github.com/redis-watchdog/redis-watchdog/lab/watched"
)

// TestPageInBrowser looks at the status page with Chromium while a group fails
// over: it comes up to date by itself, is never wider than its window, says when
// the watchdog does not answer, and no complaint reaches the console. With
// SCREENSHOTS=DIRECTORY it leaves pictures to be looked at.
func TestPageInBrowser(t *testing.T) {
	if !browser.Installed() {
		t.Fatal("no chromium here: `make soak` installs it")
	}
	w := watched.Start(t, watched.Options{Systemd: true, Group: lab.GroupConfig{DownAfter: 10 * time.Second, FailTimeout: 20 * time.Second}})
	old := w.WaitServing()
	b := browser.Start(w.Lab, t, old.Host)
	b.Size(1400, 900, false)
	b.Open("http://" + old.HTTP + "/")
	looks := onlooker{t: t, w: w, b: b}
	looks.says("OK", "Every Redis is guarded", "live", old.Redis.Address, "3 of 3 Sentinels agree")
	b.Eval(`window.here = "the same page"`)
	looks.at("healthy")

	w.Isolate(old.Host)
	old.WaitPhase("refuse")
	looks.says("refuse", "FAULT")
	looks.at("fenced")
	w.Group.WaitMaster(w.Group.Replicas(old.Redis)...)
	w.Heal()
	w.WaitGuarded()
	master := w.WaitServing()
	looks.says("Failover: "+old.Redis.Address+" → "+master.Redis.Address, "Every Redis is guarded")
	looks.at("after a failover")
	if got := b.Eval(`window.here`); got != "the same page" {
		t.Errorf("the page was loaded anew meanwhile")
	}

	old.Stop()
	looks.says("This watchdog does not answer", "old:")
	looks.at("watchdog frozen")
	old.Cont()
	looks.says("live", "Every Redis is guarded")
	looks.saysNot("This watchdog does not answer")

	old.Kill()
	looks.says("This watchdog does not answer")
	old.Restart()
	looks.says("live")
	w.WaitGuarded()
	for _, complaint := range b.Complaints() {
		// That a request failed while there was nobody to ask is the browser's to say.
		if !strings.Contains(complaint, "net::ERR_") {
			t.Errorf("the console says %s", complaint)
		}
	}
}

// onlooker looks at a page.
type onlooker struct {
	t *testing.T
	w *watched.World
	b *browser.Browser
}

func (o onlooker) says(words ...string) {
	o.t.Helper()
	o.w.Eventually("the page says "+strings.Join(words, ", "), time.Minute, func() error {
		text := o.b.Eval(`document.body.innerText`)
		if err := shows(text, words...); err != nil {
			return fmt.Errorf("%w: %s", err, text)
		}
		return nil
	})
}

func (o onlooker) saysNot(words string) {
	o.t.Helper()
	o.w.Eventually("the page does not say "+words, time.Minute, func() error {
		if shows(o.b.Eval(`document.body.innerText`), words) == nil {
			return fmt.Errorf("it does")
		}
		return nil
	})
}

// at looks at the page on a phone and on a desk, by day and by night.
func (o onlooker) at(what string) {
	o.t.Helper()
	for _, size := range []struct {
		name          string
		width, height int
	}{{"phone", 390, 844}, {"desk", 1400, 900}} {
		o.b.Size(size.width, size.height, size.name == "phone")
		if got := o.b.Eval(`document.documentElement.scrollWidth`); got != fmt.Sprint(size.width) {
			o.t.Errorf("%s: on a %s the page is %s wide, the window %d", what, size.name, got, size.width)
		}
		for _, dark := range []bool{false, true} {
			o.b.Dark(dark)
			if dir := os.Getenv("SCREENSHOTS"); dir != "" {
				o.b.Screenshot(filepath.Join(dir, fmt.Sprintf("%s-%s-dark=%v.png", strings.ReplaceAll(what, " ", "-"), size.name, dark)))
			}
		}
	}
}
