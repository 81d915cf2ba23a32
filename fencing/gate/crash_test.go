package gate

// Crashes at every step: a child process works the gate and kills itself at a
// failpoint; another gate finishes or undoes what it left.

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"github.com/redis-watchdog/redis-watchdog/watchdog"
)

func TestMain(m *testing.M) {
	if os.Getenv("GATE_CRASH_AT") != "" {
		crash()
		os.Exit(3) // the failpoint was not reached
	}
	os.Exit(m.Run())
}

// crash walks up and down the ladder until it dies.
func crash() {
	at, dir := os.Getenv("GATE_CRASH_AT"), os.Getenv("GATE_DIR")
	seen := make(chan watchdog.Redis, 1)
	g, err := New(Config{
		Socket: os.Getenv("GATE_SOCKET"), Now: bootTime,
		Record: func(o Originals) error {
			b, err := json.Marshal(o)
			if err == nil {
				err = os.WriteFile(filepath.Join(dir, "new"), b, 0o600)
			}
			if err == nil {
				err = os.Rename(filepath.Join(dir, "new"), filepath.Join(dir, "originals"))
			}
			return err
		},
		Failpoint: func(name string) {
			if name == at {
				syscall.Kill(os.Getpid(), syscall.SIGKILL)
				select {}
			}
		},
	})
	if err != nil {
		panic(err)
	}
	go g.Run(context.Background(), func(r watchdog.Redis) {
		select {
		case <-seen:
		default:
		}
		seen <- r
	})
	until := func(ok func(watchdog.Redis) bool) {
		for end := time.Now().Add(patience); !ok(<-seen); {
			if time.Now().After(end) {
				panic(fmt.Sprintf("stuck on the way to %s: %+v", at, g.Details()))
			}
		}
	}
	for !g.capabilities().Checked || !g.Details().Recorded.Known {
		time.Sleep(time.Millisecond)
	}
	arm := func() watchdog.Instant { return bootTime().Add(time.Minute) }
	g.Want(watchdog.Gate{Access: watchdog.Lock, Arm: arm()})
	until(func(r watchdog.Redis) bool { return r.Locked && r.ArmedFor != 0 })
	g.Want(watchdog.Gate{Access: watchdog.Serve, Arm: arm()})
	until(func(r watchdog.Redis) bool { return !r.Locked })
	g.Want(watchdog.Gate{Access: watchdog.Hold, Arm: arm()})
	until(func(r watchdog.Redis) bool { return r.Held })
	g.Want(watchdog.Gate{Access: watchdog.Serve, Arm: arm()})
	until(func(r watchdog.Redis) bool { return !r.Held })
	g.Want(refuse())
	until(func(r watchdog.Redis) bool { return r.Refusing })
	g.Want(watchdog.Gate{Access: watchdog.Lock, Open: true})
	until(func(r watchdog.Redis) bool { return r.Role == watchdog.Master && !r.Refusing })
	g.Want(watchdog.Gate{Access: watchdog.Serve, Arm: arm()})
	until(func(r watchdog.Redis) bool { return !r.Locked && r.ArmedFor != 0 })
	g.Want(refuse())
	until(func(r watchdog.Redis) bool { return r.Refusing })
	g.Want(watchdog.Gate{Access: watchdog.Follow, Veto: true, Master: watchdog.Address(os.Getenv("GATE_MASTER"))})
	until(func(r watchdog.Redis) bool { return r.Role == watchdog.Replica && r.LinkUp })
	for g.Details().Recorded.Veto == false {
		time.Sleep(time.Millisecond)
	}
	time.Sleep(time.Second)
}

func TestCrashAtEveryStepIsMended(t *testing.T) {
	master := startRedis(t)
	for _, at := range []string{
		"gate.lock.begun", "gate.lock.sent", "gate.unlock.begun", "gate.unlock.sent",
		"gate.hold.sent", "gate.hold.lifted",
		"gate.arm.begun", "gate.arm.blocked", "gate.arm.queued", "gate.arm.killed",
		"gate.fence.sent", "gate.fence.answered", "gate.rewrite.sent",
		"gate.unfence.begun", "gate.unfence.sent", "gate.restore.begun", "gate.restore.sent",
		"gate.rejoin.begun", "gate.rejoin.sent",
	} {
		t.Run(at, func(t *testing.T) {
			s := startRedis(t, "replica-priority 33")
			c := exec.Command(os.Args[0])
			c.Env = append(os.Environ(), "GATE_CRASH_AT="+at, "GATE_DIR="+s.dir, "GATE_SOCKET="+s.socket, "GATE_MASTER="+master.address())
			c.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
			out, err := c.CombinedOutput()
			if status, ok := c.ProcessState.Sys().(syscall.WaitStatus); !ok || status.Signal() != syscall.SIGKILL {
				t.Fatalf("child: %v\n%s", err, out)
			}
			var o Originals
			if b, err := os.ReadFile(filepath.Join(s.dir, "originals")); err == nil {
				if err := json.Unmarshal(b, &o); err != nil {
					t.Fatal(err)
				}
			}
			l := startGate(t, s, func(c *Config) { c.Originals = o })
			r := l.sees("Redis", func(r watchdog.Redis) bool { return r.Answer == watchdog.Up && r.Role != watchdog.RoleUnknown })
			if r.Role == watchdog.Nowhere {
				l.Want(watchdog.Gate{Access: watchdog.Lock, Open: true})
				l.sees("a locked master", func(r watchdog.Redis) bool { return r.Role == watchdog.Master && r.Locked })
			}
			l.Want(watchdog.Gate{Access: watchdog.Leave, Release: true})
			checkOriginals(t, s, "33")
			if f := l.fault("originals_unknown"); f != nil {
				t.Errorf("fault: %+v", f)
			}
		})
	}
}
