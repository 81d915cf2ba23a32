package shadow

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/redis-watchdog/redis-watchdog/preflight/redisconf"
	"github.com/redis-watchdog/redis-watchdog/watchdog/redisclient"
)

// Config is one shadow to be run.
type Config struct {
	Binary string // of the server, as seen in Root
	Root   string // to change into before; empty: none. Needs the rights for it
	// Credential is whom to run as; nil: as the caller.
	Credential *syscall.Credential
	Temporary  string // where the shadow's directory is made, as seen from here; empty: os.TempDir
	Build      *redisconf.Build
	Known      map[string]string // names the build shows in CONFIG GET *; nil: as in Build
	Read       *redisconf.Config // the configuration as it was read
	ACL        []byte            // content of the ACL file; nil: there is none
	Deadline   time.Duration     // of the whole run; 0: 10 s
}

// Result is what the shadow answered.
type Result struct {
	Config  map[string]string // CONFIG GET *; secrets in clear
	Users   []string          // ACL LIST without the shadow's own user; nil: it would not say
	Version string            // redis_version of INFO
	BuildID string            // redis_build_id of INFO
	// LockedScript is what became of a script's write under the write lock:
	// preflight.ScriptRefused or ScriptExecuted; empty: neither is certain.
	LockedScript string
}

// Refused says that the server would not start on the configuration.
type Refused struct {
	At     redisconf.Position // zero: not on a line of the configuration
	Reason string             // the server's, without what it quotes: that may be a secret
}

func (r *Refused) Error() string {
	if r.At == (redisconf.Position{}) {
		return "the server did not start: " + r.Reason
	}
	return fmt.Sprintf("the server does not start on %s: %s", r.At, r.Reason)
}

const (
	defaultDeadline = 10 * time.Second
	// maxOutput of the shadow is kept; a start writes some 2 kB.
	maxOutput = 64 << 10
)

// Run starts the shadow, asks it and kills it. A *Refused tells that it would
// not start on the configuration; any other error that it could not be tried.
// Nothing is left behind: not the process, not its directory.
func Run(ctx context.Context, c Config) (result *Result, err error) {
	err = Use(ctx, c, func(ctx context.Context, client *redisclient.Client) error {
		result, err = ask(ctx, client)
		return err
	})
	return result, err
}

// Use starts the shadow, lets use speak to it as a user who may do everything,
// and kills it. The context ends with the deadline. What use returns, and what Run
// returns, is what it returns; a use that asks nothing has not waited for the
// shadow to listen.
func Use(ctx context.Context, c Config, use func(context.Context, *redisclient.Client) error) error {
	if c.Deadline == 0 {
		c.Deadline = defaultDeadline
	}
	ctx, cancel := context.WithTimeout(ctx, c.Deadline)
	defer cancel()
	// The kernel kills the shadow when the thread that started it ends.
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()

	dir, err := c.makeDir()
	if err != nil {
		return fmt.Errorf("make the shadow's directory: %w", err)
	}
	defer os.RemoveAll(dir)
	p, err := c.start(ctx, dir)
	if err != nil {
		return err
	}
	defer p.stop()
	client := redisclient.Open(redisclient.Server{Socket: p.socket, Username: user, Password: p.password,
		Dial: func(ctx context.Context, _, _ string) (net.Conn, error) { return p.dial(ctx) }}, 2)
	defer client.Close()
	err = use(ctx, client)
	if refused, ok := errors.AsType[*Refused](err); ok {
		return refused // and not that it could not be connected to
	}
	return err
}

// makeDir makes a directory that only the shadow's user can enter.
func (c Config) makeDir() (string, error) {
	parent := c.Temporary
	if parent == "" {
		parent = filepath.Join(c.Root, os.TempDir())
	}
	dir, err := os.MkdirTemp(parent, "redis-watchdog-shadow-")
	if err != nil {
		return "", err
	}
	if c.Credential != nil {
		if err := os.Chown(dir, int(c.Credential.Uid), int(c.Credential.Gid)); err != nil {
			return "", errors.Join(err, os.RemoveAll(dir))
		}
	}
	return dir, nil
}

// process is a shadow that runs.
type process struct {
	cmd      *exec.Cmd
	lines    []line // of its configuration
	socket   string // as seen from here
	password string
	output   *bounded
	ended    chan struct{} // closed when it has ended and its output is whole
}

func (c Config) start(ctx context.Context, dir string) (*process, error) {
	p := &process{
		lines: copyOf(c.Build, c.Read), socket: filepath.Join(dir, "s"), password: rand.Text(),
		output: &bounded{limit: maxOutput}, ended: make(chan struct{}),
	}
	inside := "/" + strings.TrimPrefix(strings.TrimPrefix(p.socket, strings.TrimSuffix(c.Root, "/")), "/")
	p.cmd = exec.CommandContext(ctx, c.Binary, "-") // read the configuration from standard input
	// The name decides what it is: Debian's binary is called redis-check-rdb, and
	// the server's name is a link to it.
	p.cmd.Args[0] = "redis-server"
	aclfile := ""
	if c.ACL != nil {
		users, err := memoryFile(append(append(c.ACL[:len(c.ACL):len(c.ACL)], '\n'), userLine(p.password)+"\n"...))
		if err != nil {
			return nil, fmt.Errorf("copy the ACL file: %w", err)
		}
		defer users.Close()
		p.cmd.ExtraFiles = []*os.File{users}
		aclfile = "/proc/self/fd/3"
	}
	p.lines = append(p.lines, c.overrides(inside, aclfile, p.password)...)
	var text strings.Builder
	for _, l := range p.lines {
		text.WriteString(l.text + "\n")
	}
	p.cmd.Stdin = strings.NewReader(text.String())
	p.cmd.Stdout, p.cmd.Stderr = p.output, p.output
	p.cmd.Dir = "/"
	p.cmd.Env = []string{"LC_ALL=C", "PATH=/usr/bin:/bin"} // nothing that would make it report to a supervisor
	p.cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL, Chroot: c.Root, Credential: c.Credential, Setpgid: true}
	p.cmd.WaitDelay = time.Second
	if err := p.cmd.Start(); err != nil {
		return nil, fmt.Errorf("start %s: %w", c.Binary, err)
	}
	bound(p.cmd.Process.Pid)
	go func() {
		defer close(p.ended)
		_ = p.cmd.Wait() // how it ended does not matter: it is killed, or its output tells why
	}()
	return p, nil
}

// stop kills the shadow and waits until it is gone.
func (p *process) stop() {
	_ = p.cmd.Process.Kill() // an error says that it has ended
	<-p.ended
}

// bound keeps a shadow that goes mad small. Where it is not allowed the
// deadline is what bounds it.
func bound(pid int) {
	for resource, most := range map[int]uint64{
		unix.RLIMIT_CPU: 10, unix.RLIMIT_FSIZE: 16 << 20, unix.RLIMIT_CORE: 0, unix.RLIMIT_AS: 4 << 30,
	} {
		_ = unix.Prlimit(pid, resource, &unix.Rlimit{Cur: most, Max: most}, nil)
	}
}

// dial waits until the shadow listens.
func (p *process) dial(ctx context.Context) (net.Conn, error) {
	tick := time.NewTicker(2 * time.Millisecond)
	defer tick.Stop()
	for {
		var d net.Dialer
		conn, err := d.DialContext(ctx, "unix", p.socket)
		if err == nil {
			return conn, nil
		}
		select {
		case <-p.ended:
			return nil, p.refused()
		case <-ctx.Done():
			return nil, fmt.Errorf("wait for the shadow: %w", context.Cause(ctx))
		case <-tick.C:
		}
	}
}

// memoryFile is a file of the kernel's memory, open for reading.
func memoryFile(content []byte) (*os.File, error) {
	fd, err := unix.MemfdCreate("users.acl", unix.MFD_CLOEXEC)
	if err != nil {
		return nil, err
	}
	f := os.NewFile(uintptr(fd), "users.acl")
	if _, err := f.WriteAt(content, 0); err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return f, nil
}
