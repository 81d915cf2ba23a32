package gate

// Armed fences that outlive us: given to the store, and taken over from it.

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/redis-watchdog/redis-watchdog/watchdog"
)

// adopt takes over the sockets that the store kept. Their names say which
// client of Redis they are and when they fire; Redis is asked before that is
// believed.
func (g *Gate) adopt(files []*os.File) {
	for _, f := range files {
		nc, err := net.FileConn(f)
		name := f.Name()
		f.Close()
		if err != nil {
			g.log.Warn("adopted descriptor is no socket", "name", name, "error", err)
			g.remove(name)
			continue
		}
		a := &armed{adopted: nc, name: name}
		if parts := strings.Split(strings.TrimPrefix(name, namePrefix), "-"); len(parts) == 2 || len(parts) == 3 {
			if len(parts) == 3 {
				a.opens, _ = strconv.Atoi(parts[2])
			}
			a.id, _ = strconv.ParseInt(parts[0], 10, 64)
			at, _ := strconv.ParseInt(parts[1], 10, 64)
			a.deadline = watchdog.Instant(at)
		}
		g.fences = append(g.fences, a)
	}
}

// watchAdopted reads the adopted sockets: anything that comes means that they
// have fired or are closed, but for the answers to an opening (or those to XREAD and
// as much of the fence: it tells of the rest).
func (g *Gate) watchAdopted() {
	for _, a := range g.fences {
		g.conns.Go(func() {
			var b [1]byte
			n, err := a.adopted.Read(b[:])
			for lines := 0; err == nil && lines < a.opens; {
				if b[0] == '\n' {
					lines++
				}
				n, err = a.adopted.Read(b[:])
			}
			now := int64(g.conf.Now())
			if n > 0 && b[0] != '-' {
				g.firedAt.Store(now)
			}
			g.lostAt.Store(now)
			a.gone.Store(true)
			g.ObserveNow()
		})
	}
}

// LeaveArmed has Run, when it ends, keep the sockets of the fences that are armed, for
// another Gate of the same Redis in this process: Left. It is called before
// Run's ctx ends.
func (g *Gate) LeaveArmed() {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.leavesArmed = true
}

// Left gives away, once, what Run has kept: for Config.Adopted of the next Gate.
// Whoever does not adopt one closes it, and removes its name from the Store too:
// that disarms it.
func (g *Gate) Left() []*os.File {
	g.mu.Lock()
	defer g.mu.Unlock()
	left := g.left
	g.left = nil
	return left
}

// leave copies the sockets of the fences that are armed, if LeaveArmed was called.
func (g *Gate) leave() {
	g.mu.Lock()
	defer g.mu.Unlock()
	if !g.leavesArmed {
		return
	}
	for _, a := range g.fences {
		if !a.mayFire() {
			continue
		}
		f, err := a.file()
		if err != nil {
			g.log.Error("armed fence not left to the next gate", "error", err)
			continue
		}
		g.left = append(g.left, f)
	}
}

// file is a copy of the socket, under the name by which adopt knows it.
func (a *armed) file() (*os.File, error) {
	name := a.name
	if name == "" { // no store has it
		name = a.storedAs()
	}
	if a.c != nil {
		return a.c.file(name)
	}
	raw, err := a.adopted.(syscall.Conn).SyscallConn()
	if err != nil {
		return nil, err
	}
	return duplicate(raw, name)
}

func (a *armed) storedAs() string {
	name := fmt.Sprintf("%s%d-%d", namePrefix, a.id, int64(a.deadline))
	if a.opens != 0 {
		name += "-" + strconv.Itoa(a.opens)
	}
	return name
}

func (g *Gate) remove(name string) {
	if g.conf.Store == nil || name == "" {
		return
	}
	g.storeJobs.do(func() {
		if err := g.conf.Store.Remove(name); err != nil {
			g.log.Warn("descriptor not removed from the store", "name", name, "error", err)
		}
	})
}

// store hands a copy of the socket to systemd, and waits for that only so long
// that the former fence does not fire.
func (g *Gate) store(ctx context.Context, a *armed) {
	if g.conf.Store == nil {
		return
	}
	a.name = a.storedAs()
	f, err := a.c.file(a.name)
	if err == nil {
		var failed error
		done := g.storeJobs.do(func() {
			failed = g.conf.Store.Store(a.name, f)
			f.Close()
			a.c.unblock()
			if failed != nil {
				g.storeFault(failed)
			} else {
				g.clearFault("armed_not_kept")
			}
		})
		t := time.NewTimer(storeWait)
		defer t.Stop()
		select {
		case <-done:
		case <-t.C:
			err = errors.New("systemd has not taken it in time")
		case <-ctx.Done():
		}
	}
	if err != nil {
		g.storeFault(err)
	}
	g.fail("gate.arm.stored")
}

func (g *Gate) storeFault(err error) {
	g.setFault(Fault{
		ID: "armed_not_kept", Severity: watchdog.SeverityWarning, Text: "the fence is armed only while the watchdog lives: keep its socket: " + err.Error(),
		Remedy: "run the watchdog as the shipped unit (FileDescriptorStoreMax=, NotifyAccess=main)",
	})
}

// checkAdopted asks Redis about adopted fences that nobody has checked yet.
func (g *Gate) checkAdopted(ctx context.Context) {
	all, _ := g.sortArmed()
	for _, a := range all {
		if a.checked || a.id == 0 {
			continue
		}
		flags, err := g.clientFlags(ctx, a.id)
		if err != nil {
			continue
		}
		g.mu.Lock()
		a.checked = true
		if a.opens != 0 { // when Redis executed the opening is not known: by now at the latest
			a.deadline = g.conf.Now().Add(openFor + armSlack)
		}
		a.had = 4 * max(a.deadline.Sub(g.conf.Now()), 0) // so that it is put off soon
		g.mu.Unlock()
		if !strings.Contains(flags, "b") {
			a.gone.Store(true)
		} else {
			g.log.Info("armed fence taken over", "left", a.deadline.Sub(g.conf.Now()).String())
			g.ObserveNow() // it is reported with the next look
		}
	}
}
