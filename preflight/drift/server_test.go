package drift

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/redis/go-redis/v9/maintnotifications"

	"github.com/redis-watchdog/redis-watchdog/lab/need"
	"github.com/redis-watchdog/redis-watchdog/lab/slot"
)

// target is a server binary, in a root of its own or in ours ("/").
type target struct{ root, binary string }

func local() target { return target{"/", "/usr/bin/redis-server"} }

// older says whether it is Redis 6.0.
func (tg target) older() bool { return strings.Contains(tg.root, "bullseye") }

// running is a real server started on a file.
type running struct {
	*redis.Client
	t       testing.TB
	target  target
	dir     string // as the server sees it
	outside string // as we see it
	cmd     *exec.Cmd
	under   bool // another program, which is cmd
	ended   chan struct{}
	output  bytes.Buffer // to be read once it has ended
}

// errRefused says that the server ended instead of listening.
var errRefused = errors.New("the server did not start")

// prepare makes a directory for a server.
func (tg target) prepare(t testing.TB) *running {
	t.Helper()
	need.Servers(t)
	slot.Take(t)
	outside, err := os.MkdirTemp(filepath.Join(tg.root, "tmp"), "drift-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(outside) })
	inside := "/" + strings.TrimPrefix(strings.TrimPrefix(outside, strings.TrimSuffix(tg.root, "/")), "/")
	return &running{t: t, target: tg, dir: inside, outside: outside}
}

func (r *running) write(name, text string) {
	r.t.Helper()
	name = filepath.Join(r.outside, name)
	if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
		r.t.Fatal(err)
	}
	if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
		r.t.Fatal(err)
	}
}

// start starts it with these arguments and waits until it listens on its
// socket "s".
func (r *running) start(password string, args ...string) error {
	r.t.Helper()
	return r.startUnder(nil, password, args...)
}

// startUnder starts it as what another program is told to start.
func (r *running) startUnder(parent []string, password string, args ...string) error {
	r.t.Helper()
	words := append(append(parent, r.target.binary), args...)
	r.under = len(parent) > 0
	r.cmd = exec.Command(words[0], words[1:]...)
	r.cmd.Dir = r.dir
	r.cmd.Stdout, r.cmd.Stderr = &r.output, &r.output
	r.cmd.Env = []string{"PATH=/usr/bin:/bin", "PWD=" + r.dir}
	r.cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if r.target.root != "/" {
		r.cmd.SysProcAttr.Chroot = r.target.root
	}
	if err := r.cmd.Start(); err != nil {
		r.t.Fatal(err)
	}
	ended := make(chan struct{})
	r.ended = ended
	go func() {
		defer close(ended)
		_ = r.cmd.Wait()
	}()
	r.t.Cleanup(r.stop)
	ctx, cancel := context.WithTimeout(r.t.Context(), 30*time.Second)
	defer cancel()
	socket := filepath.Join(r.outside, "s")
	for {
		if conn, err := net.Dial("unix", socket); err == nil {
			conn.Close()
			break
		}
		select {
		case <-ended:
			return fmt.Errorf("%w: %s", errRefused, r.output.String())
		case <-ctx.Done():
			r.t.Fatal("the server does not listen")
		case <-time.After(2 * time.Millisecond):
		}
	}
	r.Client = clientOf(socket, password)
	return nil
}

func clientOf(socket, password string) *redis.Client {
	return redis.NewClient(&redis.Options{
		Network: "unix", Addr: socket, Password: password, MaxRetries: -1, PoolSize: 1, ContextTimeoutEnabled: true,
		Protocol: 2, DisableIdentity: true,
		MaintNotificationsConfig: &maintnotifications.Config{Mode: maintnotifications.ModeDisabled},
	})
}

func (r *running) mustStart(password string, args ...string) {
	r.t.Helper()
	if err := r.start(password, args...); err != nil {
		r.t.Fatal(err)
	}
}

func (r *running) stop() {
	if r.Client != nil {
		r.Client.Close()
		r.Client = nil
	}
	_ = r.cmd.Process.Kill()
	<-r.ended
}

func (r *running) config() map[string]string {
	r.t.Helper()
	values, err := r.ConfigGet(r.t.Context(), "*").Result()
	if err != nil {
		r.t.Fatal(err)
	}
	return values
}

func (r *running) set(name, value string) {
	r.t.Helper()
	if err := r.ConfigSet(r.t.Context(), name, value).Err(); err != nil {
		r.t.Fatalf("config set %s: %v", name, err)
	}
}

func (r *running) info() map[string]string {
	r.t.Helper()
	text, err := r.Info(r.t.Context(), "server").Result()
	if err != nil {
		r.t.Fatal(err)
	}
	info := map[string]string{}
	for line := range strings.SplitSeq(text, "\r\n") {
		if name, value, ok := strings.Cut(line, ":"); ok {
			info[name] = value
		}
	}
	return info
}

// pid is the number of the server's process.
func (r *running) pid() int {
	if !r.under {
		return r.cmd.Process.Pid
	}
	pid, err := strconv.Atoi(r.info()["process_id"])
	if err != nil {
		r.t.Fatal(err)
	}
	return pid
}

func (r *running) users() []string {
	r.t.Helper()
	users, err := r.Do(r.t.Context(), "ACL", "LIST").StringSlice()
	if err != nil {
		r.t.Fatal(err)
	}
	return users
}

// options is what an adapter would hand over of a server whose operator says
// what it is started with.
func (r *running) options(shadow bool) Options {
	o := Options{Running: r.config(), Info: r.info(), Users: r.users(), Shadow: shadow, PID: r.pid()}
	for i, word := range r.cmd.Args { // it may be started by way of another program
		if base := filepath.Base(word); base == "redis-server" || base == "valkey-server" {
			o.CommandLine = append([]string{}, r.cmd.Args[i+1:]...)
		}
	}
	return o
}

// richPassword is the requirepass of the rich file.
const richPassword = "open sesame"

// writeRich lays the rich file out, with more lines behind it.
func (r *running) writeRich(more ...string) {
	r.t.Helper()
	copied := map[string]string{
		"relative.conf": "data/relative.conf", "nested.conf": "data/nested.conf", "10-first.conf": "conf.d/10-first.conf",
		"20-second.conf": "conf.d/20-second.conf", "30-third.conf": "conf.d/30-third.conf", "rich.conf": "redis.conf",
	}
	for from, to := range copied {
		text, err := os.ReadFile(filepath.Join("testdata", from))
		if err != nil {
			r.t.Fatal(err)
		}
		all := strings.ReplaceAll(string(text), "DIRECTORY", r.dir)
		if r.target.older() { // it knows no patterns
			all = strings.ReplaceAll(all, "include ../conf.d/*.conf\ninclude ../nothing/*.here", "include ../conf.d/10-first.conf")
		}
		if to == "redis.conf" {
			all += strings.Join(append(more, "unixsocket "+r.dir+"/s", ""), "\n")
		}
		r.write(to, all)
	}
}
