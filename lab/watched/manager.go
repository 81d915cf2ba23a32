package watched

import (
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/redis-watchdog/redis-watchdog/lab"
)

// Manager stands in for the service manager's descriptor store, where a lab
// has no systemd: what a watchdog stores there outlives its SIGKILL, and is
// handed to its next life. That real systemd does so is shown in package
// systemd's tests. Like Debian 12's, it does not say that it has a store; it
// has to be tried.
type Manager struct {
	path string
	conn *net.UnixConn
	done chan struct{}

	mu     sync.Mutex
	kept   []*os.File // by name, in the order they came
	ready  bool       // READY=1 was said in this life
	status string     // the last STATUS=
	synced chan struct{}
}

// sync is a message of our own: all before it has been read then.
const syncWord = "X_LAB_SYNC=1"

func newManager(t lab.T, dir string) *Manager {
	t.Helper()
	m := &Manager{path: filepath.Join(dir, "notify"), done: make(chan struct{}), synced: make(chan struct{}, 1)}
	var err error
	if m.conn, err = net.ListenUnixgram("unixgram", &net.UnixAddr{Name: m.path, Net: "unixgram"}); err != nil {
		t.Fatalf("stand in for the service manager: %v", err)
	}
	go m.run()
	t.Cleanup(func() {
		m.conn.Close()
		<-m.done
		m.Empty()
	})
	return m
}

func (m *Manager) run() {
	defer close(m.done)
	text, rights := make([]byte, 1<<16), make([]byte, 4096)
	for {
		n, r, _, _, err := m.conn.ReadMsgUnix(text, rights)
		if err != nil {
			return
		}
		m.hear(strings.Split(string(text[:n]), "\n"), descriptors(rights[:r]))
	}
}

func descriptors(rights []byte) (fds []int) {
	messages, err := unix.ParseSocketControlMessage(rights)
	if err != nil {
		return nil
	}
	for _, message := range messages {
		if some, err := unix.ParseUnixRights(&message); err == nil {
			fds = append(fds, some...)
		}
	}
	for _, fd := range fds {
		unix.CloseOnExec(fd)
	}
	return fds
}

func (m *Manager) hear(lines []string, fds []int) {
	m.mu.Lock()
	defer m.mu.Unlock()
	name := "stored" // systemd's own default
	for _, line := range lines {
		if v, ok := strings.CutPrefix(line, "FDNAME="); ok {
			name = v
		}
		if v, ok := strings.CutPrefix(line, "STATUS="); ok {
			m.status = v
		}
	}
	switch {
	case slices.Contains(lines, "FDSTORE=1"):
		for _, fd := range fds {
			m.kept = append(m.kept, os.NewFile(uintptr(fd), name))
		}
		return
	case slices.Contains(lines, "FDSTOREREMOVE=1"):
		m.drop(func(f *os.File) bool { return f.Name() == name })
	case slices.Contains(lines, "READY=1"):
		m.ready = true
	case slices.Contains(lines, syncWord):
		m.synced <- struct{}{}
	}
	for _, fd := range fds { // a barrier's among them: its end is the answer
		unix.Close(fd)
	}
}

// drop closes and forgets what is asked for.
func (m *Manager) drop(these func(*os.File) bool) {
	m.kept = slices.DeleteFunc(m.kept, func(f *os.File) bool {
		gone := these(f)
		if gone {
			f.Close()
		}
		return gone
	})
}

// Empty is what an orderly stop of the service does to the store.
func (m *Manager) Empty() {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.drop(func(*os.File) bool { return true })
}

// Kept is the names of what it keeps.
func (m *Manager) Kept() []string {
	m.mu.Lock()
	defer m.mu.Unlock()
	var names []string
	for _, f := range m.kept {
		names = append(names, f.Name())
	}
	return names
}

// Said is whether the watchdog has said in this life that protection is in
// force, and its status line.
func (m *Manager) Said() (ready bool, status string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.ready, m.status
}

// before hands what is kept to the next life, which runs under a shell that
// knows its own pid. Nil: there is no manager.
func (m *Manager) before(cmd *exec.Cmd) (after func(), err error) {
	if m == nil {
		return nil, nil
	}
	if err := m.sync(); err != nil {
		return nil, err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	m.ready = false
	m.drop(hungUp)
	var names []string
	var lent []*os.File // the new life may have some removed before we are back from its start
	after = func() {
		for _, f := range lent {
			f.Close()
		}
	}
	for _, f := range m.kept {
		fd, err := unix.FcntlInt(f.Fd(), unix.F_DUPFD_CLOEXEC, 0)
		if err != nil {
			after()
			return nil, fmt.Errorf("lend %s: %w", f.Name(), err)
		}
		names, lent = append(names, f.Name()), append(lent, os.NewFile(uintptr(fd), f.Name()))
	}
	cmd.ExtraFiles = lent
	cmd.Env = append(cmd.Env, "NOTIFY_SOCKET="+m.path)
	if len(names) > 0 {
		cmd.Env = append(cmd.Env, fmt.Sprintf("LISTEN_FDS=%d", len(names)), "LISTEN_FDNAMES="+strings.Join(names, ":"))
	}
	shell, err := exec.LookPath("sh")
	if err != nil {
		after()
		return nil, err
	}
	cmd.Args = append([]string{shell, "-c", `LISTEN_PID=$$ exec "$0" "$@"`, cmd.Path}, cmd.Args[1:]...)
	cmd.Path = shell
	return after, nil
}

// sync waits until everything the last life said has been heard.
func (m *Manager) sync() error {
	conn, err := net.Dial("unixgram", m.path)
	if err != nil {
		return err
	}
	defer conn.Close()
	if _, err := conn.Write([]byte(syncWord)); err != nil {
		return err
	}
	select {
	case <-m.synced:
		return nil
	case <-m.done:
		return errors.New("the manager's socket is closed")
	case <-time.After(10 * time.Second):
		return errors.New("the manager hears nothing")
	}
}

// hungUp says whether the other end is gone: systemd drops such a one too.
func hungUp(f *os.File) bool {
	raw, err := f.SyscallConn()
	if err != nil {
		return true
	}
	gone := false
	err = raw.Control(func(fd uintptr) {
		fds := []unix.PollFd{{Fd: int32(fd)}}
		for {
			_, err := unix.Poll(fds, 0)
			if !errors.Is(err, syscall.EINTR) {
				break
			}
		}
		gone = fds[0].Revents&(unix.POLLHUP|unix.POLLERR) != 0
	})
	return gone || err != nil
}
