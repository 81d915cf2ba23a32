package lab

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/redis-watchdog/redis-watchdog/lab/freeport"
	"github.com/redis-watchdog/redis-watchdog/watchdog"
)

// Command is what Host.Run starts. Path may be a name to be found in PATH.
type Command struct {
	Name string // of the process, unique on its host (a number is appended where it is not); empty: the base of Path
	Path string
	Args []string
	Env  []string // added to the owner's

	// Before is called before every start and may add to it what only then is
	// known, such as files to be inherited; what it returns is called after it
	// (nil: nothing). Nil: nothing.
	Before func(*exec.Cmd) (after func(), err error)
}

// Process is one that the lab started. It can be killed and started again any
// number of times; its directory and log go on.
type Process struct {
	Name string // "host/name"
	Host *Host
	Dir  string // its working directory, its own
	Log  string // standard output and error of all its runs

	command Command

	mu   sync.Mutex
	cmd  *exec.Cmd
	done chan struct{} // closed when the present run is over
	code int           // of the last run: exit code, or minus the signal
}

// Start runs a command on the host under a name.
func (h *Host) Start(name, path string, args ...string) *Process {
	h.lab.t.Helper()
	return h.Run(Command{Name: name, Path: path, Args: args})
}

// Run is Start with all there is to say. What a process needs in files can be
// put into its directory before, by Prepare.
func (h *Host) Run(c Command) *Process {
	h.lab.t.Helper()
	p := h.Prepare(c)
	p.start()
	return p
}

// Prepare makes the process and its directory and does not start it yet:
// Restart does.
func (h *Host) Prepare(c Command) *Process {
	h.lab.t.Helper()
	l := h.lab
	l.mu.Lock()
	defer l.mu.Unlock()
	if c.Name == "" {
		c.Name = filepath.Base(c.Path)
	}
	name := h.Name + "/" + c.Name
	taken := func(name string) bool {
		return slices.ContainsFunc(l.processes, func(p *Process) bool { return p.Name == name })
	}
	for n := 2; taken(name); n++ {
		name = fmt.Sprintf("%s/%s%d", h.Name, c.Name, n)
	}
	dir := filepath.Join(l.dir, strings.ReplaceAll(name, "/", "-"))
	if err := os.Mkdir(dir, 0o755); err != nil {
		l.t.Fatalf("lab: make directory of %s: %v", name, err)
	}
	p := &Process{Name: name, Host: h, Dir: dir, Log: filepath.Join(dir, "log"), command: c, done: closedChannel()}
	l.processes = append(l.processes, p)
	return p
}

func (p *Process) start() {
	l := p.Host.lab
	l.t.Helper()
	if err := p.launch(); err != nil {
		l.t.Fatalf("lab: start %s: %v", p.Name, err)
	}
}

func (p *Process) launch() error {
	l := p.Host.lab
	p.mu.Lock()
	defer p.mu.Unlock()
	select {
	case <-p.done:
	default:
		return errors.New("it is running")
	}
	log, err := os.OpenFile(p.Log, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
	if err != nil {
		return fmt.Errorf("open log: %w", err)
	}
	defer log.Close()
	cmd := exec.Command(p.command.Path, p.command.Args...)
	cmd.Dir, cmd.Env = p.Dir, append(os.Environ(), p.command.Env...)
	cmd.Stdout, cmd.Stderr = log, log
	if p.command.Before != nil {
		after, err := p.command.Before(cmd)
		if err != nil {
			return fmt.Errorf("prepare start: %w", err)
		}
		if after != nil {
			defer after()
		}
	}
	// A group of its own: the reaper ends it with all its children.
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL, Setpgid: true}
	if err := l.threads.start(cmd, p.Host.namespace); err != nil {
		return err
	}
	pid := cmd.Process.Pid
	done := make(chan struct{})
	p.cmd, p.done = cmd, done
	go func() {
		defer close(done)
		err := cmd.Wait()
		// Children that outlived it; there are none most of the time.
		_ = syscall.Kill(-pid, syscall.SIGKILL)
		l.reaper.ended(pid)
		l.MarkAt(Now(), p.Name, "ended: %s", p.ended(cmd, err))
	}()
	l.MarkAt(Now(), p.Name, "started, pid %d", pid)
	line := fmt.Sprintf("%d %s\n", pid, startTime(pid))
	return errors.Join(l.reaper.started(pid), os.WriteFile(filepath.Join(p.Dir, "pid"), []byte(line), 0o644))
}

// ended keeps and names how a run ended.
func (p *Process) ended(cmd *exec.Cmd, err error) string {
	state := cmd.ProcessState
	if state == nil {
		return err.Error()
	}
	code := state.ExitCode()
	if status, ok := state.Sys().(syscall.WaitStatus); ok && status.Signaled() {
		code = -int(status.Signal())
	}
	p.mu.Lock()
	p.code = code
	p.mu.Unlock()
	return state.String()
}

// PID of the present or last run; 0: it never ran.
func (p *Process) PID() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.cmd == nil {
		return 0
	}
	return p.cmd.Process.Pid
}

// Done is closed when the present run is over.
func (p *Process) Done() <-chan struct{} {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.done
}

// Running says whether it has been started and not ended.
func (p *Process) Running() bool {
	select {
	case <-p.Done():
		return false
	default:
		return true
	}
}

// Kill sends SIGKILL, waits for the end and returns when it was sent.
func (p *Process) Kill() watchdog.Instant {
	p.Host.lab.t.Helper()
	at := p.Signal(syscall.SIGKILL)
	p.Wait()
	return at
}

// Term sends SIGTERM and waits for the end, half a minute at most.
func (p *Process) Term() watchdog.Instant {
	p.Host.lab.t.Helper()
	at := p.Signal(syscall.SIGTERM)
	p.Wait()
	return at
}

// Stop sends SIGSTOP and waits until it has really stopped. Cont ends it.
func (p *Process) Stop() watchdog.Instant {
	p.Host.lab.t.Helper()
	at := p.Signal(syscall.SIGSTOP)
	p.Host.lab.awaitStopped(p.PID())
	return at
}

// Cont sends SIGCONT.
func (p *Process) Cont() watchdog.Instant {
	p.Host.lab.t.Helper()
	return p.Signal(syscall.SIGCONT)
}

// Signal sends any signal. A process that is not running ends the test.
func (p *Process) Signal(s syscall.Signal) watchdog.Instant {
	l := p.Host.lab
	l.t.Helper()
	at := Now()
	if err := p.signal(s); err != nil {
		l.t.Fatalf("lab: send %s to %s: %v", unix.SignalName(s), p.Name, err)
	}
	l.MarkAt(at, p.Name, "%s", unix.SignalName(s))
	return at
}

func (p *Process) signal(s syscall.Signal) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.cmd == nil {
		return errors.New("it was never started")
	}
	// os.Process knows when it has been waited for: no stranger's pid is hit.
	return p.cmd.Process.Signal(s)
}

// Wait waits for the end of the present run, half a minute at most, and is its
// exit code, or minus the signal that ended it.
func (p *Process) Wait() int {
	l := p.Host.lab
	l.t.Helper()
	select {
	case <-p.Done():
	case <-time.After(30 * time.Second):
		l.t.Fatalf("lab: %s has not ended after 30s", p.Name)
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.code
}

// Restart starts it again, the same command in the same directory; one that
// still runs is killed first.
func (p *Process) Restart() {
	p.Host.lab.t.Helper()
	if p.Running() {
		p.Kill()
	}
	p.start()
}

// Text is what it has logged so far.
func (p *Process) Text() string {
	data, err := os.ReadFile(p.Log)
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		p.Host.lab.t.Fatalf("lab: read log of %s: %v", p.Name, err)
	}
	return string(data)
}

// destroy is the lab's end for it: no mark, no mercy.
func (p *Process) destroy() {
	_ = p.signal(syscall.SIGKILL)
	<-p.Done()
}

// Port is a free TCP port for a process of the host: the wanted one in a
// network namespace, where all are free, any on loopback (see package freeport).
func (h *Host) Port(wanted int) int {
	h.lab.t.Helper()
	if h.namespace != nil {
		return wanted
	}
	port, release, err := freeport.Take()
	if err != nil {
		h.lab.t.Fatalf("lab: %v", err)
	}
	h.lab.mu.Lock()
	h.lab.ports = append(h.lab.ports, release)
	h.lab.mu.Unlock()
	return port
}
