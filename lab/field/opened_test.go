package field

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"
)

// The whole host of a master stands still in the moment in which its fence is opened,
// its watchdog first, and until another is master. When it wakes, Redis before its
// watchdog, no read is answered there, neither one that was sent meanwhile nor a new
// one: it was never open without a fence armed in it.
func TestHostStandsStillAsItsMasterIsOpened(t *testing.T) {
	t.Parallel()
	w := moments(t)
	s := begin(t, w)
	master, others := s.master, w.Others(s.master)
	master.Redis.Do("SET", "moment", "before")
	s.done("fence, unfence")
	if out, code := master.CLI("fence", w.Group.Name); code != 0 {
		t.Fatalf("fence: exit code %d: %s", code, out)
	}
	master.WaitPhase("refuse")
	s.writer.Stop()
	s.reader.Stop()

	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Minute)
	defer cancel()
	client := master.Redis.Client()
	poll := client.Conn()
	defer poll.Close()
	opened := make(chan error, 1)
	go func() {
		for {
			re, err := poll.Do(ctx, "ROLE").Slice()
			if err == nil && len(re) > 0 && re[0] == "master" {
				master.Stop()
				opened <- nil
				return
			}
			if ctx.Err() != nil {
				opened <- fmt.Errorf("it is not opened: %v, %w", re, ctx.Err())
				return
			}
		}
	}()
	ordered := make(chan string, 1)
	go func() { // from another host: whether it is done cannot be found out of one that stands still
		out, code := others[0].CLI("unfence", w.Group.Name, "--node", master.Redis.Address)
		ordered <- fmt.Sprintf("%d: %s", code, out)
	}()
	if err := <-opened; err != nil {
		t.Fatal(err)
	}
	s.done("the watchdog stands still, and its host")
	reader := client.Conn()
	defer reader.Close()
	if got, err := reader.Get(ctx, "moment").Result(); err == nil {
		t.Logf("it was open: %s", got)
	}
	master.Host.Freeze()
	asked := make(chan error, 1)
	go func() {
		got, err := reader.Get(ctx, "moment").Result()
		if err == nil {
			err = fmt.Errorf("answered %q", got)
		} else {
			err = nil
		}
		asked <- err
	}()
	next := w.WaitServing(others...)
	w.Pause(time.Second)
	s.done(next.Name + " serves; the old master wakes, without its watchdog")
	master.Redis.Cont()
	if err := <-asked; err != nil {
		t.Errorf("a read that was sent while it stood still: %v, although %s serves", err, next.Name)
	}
	for end := time.Now().Add(2 * time.Second); time.Now().Before(end); time.Sleep(10 * time.Millisecond) {
		if got, err := master.Redis.Try("GET", "moment"); err == nil {
			t.Errorf("it answers a read (%v) although %s serves", got, next.Name)
			break
		} else if !strings.Contains(err.Error(), "MASTERDOWN") {
			t.Logf("a read: %v", err)
		}
	}
	master.Host.Thaw()
	t.Logf("unfence ended with %s", <-ordered)
	w.Eventually("it follows the master", time.Minute, func() error { return follows(master, next) })
	w.Group.WaitReplicas()
	w.WaitGuarded()
}
