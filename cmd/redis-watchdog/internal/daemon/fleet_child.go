package daemon

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"syscall"
	"time"

	"github.com/redis-watchdog/redis-watchdog/cmd/redis-watchdog/internal/auditor"
	"github.com/redis-watchdog/redis-watchdog/fencing/grant"
	"github.com/redis-watchdog/redis-watchdog/preflight/keyspace/fleet"
	"github.com/redis-watchdog/redis-watchdog/watchdog/redisclient"
)

const (
	// childMemory is what the Go runtime of an audit keeps its heap below; 29 MiB were
	// measured, whatever the size of the data.
	childMemory  = "GOMEMLIMIT=64MiB"
	childKilled  = 2 * time.Second // how long what is left of a killed one may hold its pipes
	maxChildSays = 1 << 10         // bytes of its complaint that are kept
)

// Audit has it made by this same program, as a process of its own: what it takes in
// memory and time is not the watchdog's, it lowers its own priority before it does
// anything, and the kernel kills it first when memory is short, and with us. It reads
// the configuration itself, so that no password is handed over.
func (f fleetHost) Audit(ctx context.Context, n fleet.Node, hashed bool) (auditor.Audit, error) {
	x := f.node(n)
	if x == nil {
		return auditor.Audit{}, errNotHere
	}
	x.reporter.mu.Lock()
	before := x.reporter.audit.kept
	x.reporter.mu.Unlock()
	in, err := json.Marshal(before)
	if err != nil {
		return auditor.Audit{}, err
	}
	args := []string{"--config", f.d.configFile, "keyspace", "fleet", "audit", x.group, x.name}
	if hashed {
		args = append(args, "--hash-names")
	}
	out, complaint := &bounded{most: grant.MaxAudit + 1024}, &bounded{most: maxChildSays}
	// Not os.Executable: that one may have been replaced by a package since.
	cmd := exec.CommandContext(ctx, "/proc/self/exe", args...)
	cmd.Env = childEnvironment()
	cmd.Stdin, cmd.Stdout, cmd.Stderr, cmd.Dir = bytes.NewReader(in), out, complaint, "/"
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) }
	cmd.WaitDelay = childKilled
	// It dies with the thread that began it, which must not end before.
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	err = cmd.Run()
	if exit, is := errors.AsType[*exec.ExitError](err); is && exit.ExitCode() > 0 {
		// It goes into etcd: no password may be in it.
		err = errors.New(redisclient.WithoutWords(strings.TrimPrefix(strings.TrimSpace(complaint.b.String()), "redis-watchdog: ")))
	}
	if err != nil {
		return auditor.Audit{}, err
	}
	var a FleetAudit
	if err := json.Unmarshal(out.b.Bytes(), &a); err != nil || len(a.Kept) == 0 {
		return auditor.Audit{}, fmt.Errorf("what the audit said makes no sense: %w", err)
	}
	return auditor.Audit{Kept: a.Kept, Keys: a.Keys, Bytes: a.Bytes}, nil
}

// FleetAudit is what such a process says.
type FleetAudit struct {
	Kept  json.RawMessage `json:"kept"` // keyspace.Kept
	Keys  uint64          `json:"keys"`
	Bytes uint64          `json:"bytes"`
}

// childEnvironment has nothing of the service manager's but where files are.
func childEnvironment() []string {
	env := []string{"LANG=C.UTF-8", "GOMAXPROCS=1", childMemory}
	for _, name := range []string{"PATH", "CREDENTIALS_DIRECTORY", "STATE_DIRECTORY", "RUNTIME_DIRECTORY"} {
		if v := os.Getenv(name); v != "" {
			env = append(env, name+"="+v)
		}
	}
	return env
}

// bounded takes so many bytes, and then is full.
type bounded struct {
	b    bytes.Buffer
	most int
}

func (w *bounded) Write(p []byte) (int, error) {
	if w.b.Len()+len(p) > w.most {
		return 0, io.ErrShortBuffer
	}
	return w.b.Write(p)
}
