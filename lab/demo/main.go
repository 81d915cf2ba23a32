// Command demo brings up a group of three hosts with their watchdogs, breaks it
// three ways before your eyes, and then breaks the same group once more with
// Sentinel alone. Run it by `make demo`; it needs root, for its namespaces.
package main

import (
	"flag"
	"fmt"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/redis-watchdog/redis-watchdog/lab"
	"github.com/redis-watchdog/redis-watchdog/lab/watched"
	"github.com/redis-watchdog/redis-watchdog/watchdog"
)

const (
	downAfter = 3 * time.Second
	outage    = 10 * time.Second
	cut       = 15 * time.Second
	rate      = 500 // writes a second, each writer
)

func main() {
	keep := flag.Bool("keep", false, "leave the group up until ctrl-C")
	flag.Parse()
	os.Exit(lab.NewProgram("demo", os.Stdout).Run(func(p *lab.Program) { demo(p, *keep) }))
}

func demo(p *lab.Program, keep bool) {
	p.Logf("Three hosts a, b and c, each with redis-server, redis-sentinel, etcd and redis-watchdog.")
	p.Logf("down-after-milliseconds is %v. It takes a few seconds to come up.\n", downAfter)
	w := watched.Start(p, watched.Options{Group: lab.GroupConfig{DownAfter: downAfter}})
	w.Follow(func(m lab.Moment) { p.Logf("  %s", w.Format(m)) })
	w.Narrate()

	failover(p, w)
	coordinatorOutage(p, w)
	with := partition(p, w)
	if !keep {
		w.Follow(nil)
	}

	p.Logf("\n== 4. The same cut, with Sentinel alone ==")
	alone := watched.Start(p, watched.Options{Unguarded: true, Group: lab.GroupConfig{DownAfter: downAfter}})
	alone.Follow(func(m lab.Moment) { p.Logf("  %s", alone.Format(m)) })
	without := partitionOf(p, alone)
	alone.Follow(nil)

	p.Logf("\n== The cut, with and without ==\n")
	p.Logf("%-52s %14s %16s", "", "with watchdog", "Sentinel alone")
	row := func(what string, a, b int) { p.Logf("%-52s %14d %16d", what, a, b) }
	row("writes acknowledged beside the cut-off master", with.acked, without.acked)
	row("of them lost", with.lost, without.lost)
	row("writes acknowledged by both sides at once (overlap)", with.overlap, without.overlap)
	row("reads answered by the old master after the promotion", with.reads, without.reads)
	if keep {
		stay(p, w)
	}
}

// failover kills the master's process.
func failover(p *lab.Program, w *watched.World) {
	p.Logf("\n== 1. The master is killed: Sentinel promotes, the grant opens ==")
	old := w.WaitServing()
	client := w.Others(old)[0].Host
	writer := client.Writer(lab.LoadConfig{Sentinels: w.Group.Sentinels, Rate: rate})
	w.Pause(time.Second)
	killed := old.Redis.Kill()
	w.WaitServing(w.Others(old)...)
	writer.WaitOK(killed, time.Minute)
	old.Redis.Restart()
	old.WaitPhase("follow")
	w.Group.WaitReplicas()
	trace := writer.Stop()
	_, wait := trace.LongestWait()
	p.Logf("\n  Clients waited %v; %d writes acknowledged, %d of them not on the new master", wait.Round(10*time.Millisecond), len(trace.OK()), len(lab.Lost(trace, w.Group.Master())))
	p.Logf("  (replication is asynchronous: what was acknowledged in the last instant may be).")
}

// coordinatorOutage kills all of etcd: the Sentinels certify the master.
func coordinatorOutage(p *lab.Program, w *watched.World) {
	p.Logf("\n== 2. etcd is killed for %v, Sentinels and Redis are well ==", outage)
	master := w.WaitServing()
	writer := w.Others(master)[0].Host.Writer(lab.LoadConfig{To: master.Redis, Rate: rate})
	reader := w.Others(master)[1].Host.Reader(lab.LoadConfig{To: master.Redis, Rate: rate})
	w.Pause(time.Second)
	w.Etcd.Kill()
	w.Pause(outage)
	w.Etcd.Restart()
	w.WaitServing(master)
	writes, reads := writer.Stop(), reader.Stop()
	p.Logf("\n  %d writes, %d failed; %d reads, %d failed; slowest write %v.", len(writes), len(writes.Failed()), len(reads), len(reads.Failed()),
		took(writes.Slowest()).Round(time.Millisecond))
}

func took(a lab.Answer) time.Duration { return a.Received.Sub(a.Sent) }

type outcome struct{ acked, lost, overlap, reads int }

func partition(p *lab.Program, w *watched.World) outcome {
	p.Logf("\n== 3. The master's host is cut off with clients beside it, for %v ==", cut)
	w.WaitServing()
	return partitionOf(p, w)
}

func partitionOf(p *lab.Program, w *watched.World) outcome {
	roles := w.Group.WatchRoles()
	old := w.Group.Master()
	var rest []*lab.Redis
	for i, r := range w.Group.Redis {
		if r != old {
			rest = append(rest, w.Group.Redis[i])
		}
	}
	inside := old.Host.Writer(lab.LoadConfig{Name: "inside", To: old, Rate: rate})
	reader := old.Host.Reader(lab.LoadConfig{Name: "inside reader", To: old, Rate: rate})
	outside := rest[0].Host.Writer(lab.LoadConfig{Name: "outside", Sentinels: w.Group.Sentinels, Rate: rate})
	outsideReader := rest[0].Host.Reader(lab.LoadConfig{Name: "outside reader", Sentinels: w.Group.Sentinels, Rate: rate})
	w.Pause(time.Second)
	at := w.Mark("cut: host %s sees nobody", old.Host.Name)
	w.Isolate(old.Host)
	master := w.Group.WaitMaster(rest...)
	outside.WaitOK(at, time.Minute)
	w.Pause(cut - lab.Now().Sub(at))
	w.Heal()
	w.Group.WaitReplicas()
	in, out, reads := inside.Stop(), outside.Stop(), reader.Stop()
	outsideReader.Stop()

	var o outcome
	acked := in.AckedAfter(at)
	o.acked, o.lost = len(acked), len(lab.Lost(acked, master))
	o.overlap = len(lab.OverlappingWrites(in, out.On(master.Address)))
	for i, r := range w.Group.Redis {
		if r != master {
			continue
		}
		for j, old2 := range w.Group.Redis {
			if old2 == old {
				o.reads = len(lab.OverlappingReads(reads, old, roles[j], roles[i].BecameMaster(at)))
			}
		}
	}
	p.Logf("\n  After the cut %d writes were acknowledged beside the old master, the last %v after it; %d are lost.",
		o.acked, lastAfter(acked, at), o.lost)
	return o
}

func lastAfter(t lab.Trace, at watchdog.Instant) time.Duration {
	if len(t) == 0 {
		return 0
	}
	return t.LastOK().Received.Sub(at).Round(10 * time.Millisecond)
}

func stay(p *lab.Program, w *watched.World) {
	p.Logf("\nThe guarded group stays up until ctrl-C. Look around from another terminal:\n")
	for _, d := range w.Watchdogs {
		p.Logf("  host %s:  nsenter -t %d -n bash", d.Host.Name, d.PID())
		p.Logf("           redis-cli -h %s -p %d; redis-cli -p 26379; curl http://%s/status", d.Host.IP, d.Redis.Port, d.HTTP)
		p.Logf("           bin/redis-watchdog status --watch --config %s", d.ConfigFile)
	}
	p.Logf("\n  Break it:  kill -STOP, kill -9, DEBUG SLEEP, or take down the network of a host.")
	p.Logf("  Logs and configurations: %s\n", w.Dir())
	ended := make(chan os.Signal, 1)
	signal.Notify(ended, os.Interrupt, syscall.SIGTERM)
	<-ended
	fmt.Println()
}
