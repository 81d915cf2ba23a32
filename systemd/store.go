package systemd

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// ErrNoStore is a Store without a service manager behind it.
var ErrNoStore = errors.New("no file-descriptor store")

// probeName is the descriptor that Probe puts into the store for a moment.
const probeName = "redis-watchdog-probe"

// Store is the service manager's file-descriptor store: what is in it stays
// open when this process dies, and is handed to the next one. An orderly stop
// of the unit empties it; an automatic or ordered restart does not.
//
// The manager drops a descriptor by itself when its other end hangs up (EPOLLHUP
// or EPOLLERR), which a unix socket does as soon as Redis closes it. It is safe
// for concurrent use. A nil *Store has nothing and keeps nothing.
type Store struct {
	notifier  *Notifier
	available atomic.Bool

	mu      sync.Mutex
	adopted map[string][]*os.File
}

// OpenStore takes over what the manager kept for us (LISTEN_FDS and
// LISTEN_FDNAMES) and takes the variables out of the environment. Call it once,
// early, and after OpenNotifier.
//
// systemd 254 and later say in FDSTORE how many descriptors they keep; for
// older ones only Probe can tell.
func OpenStore(n *Notifier) *Store {
	s := &Store{notifier: n, adopted: make(map[string][]*os.File)}
	for _, f := range Passed() {
		if f.Name() == probeName { // a Probe that was cut short
			f.Close()
			_ = s.Remove(probeName) // it costs a place at worst
			continue
		}
		s.adopted[f.Name()] = append(s.adopted[f.Name()], f)
	}
	max, err := strconv.Atoi(os.Getenv("FDSTORE"))
	os.Unsetenv("FDSTORE")
	s.available.Store(n.Enabled() && err == nil && max > 0)
	return s
}

// Available says whether descriptors are known to be kept. While it is false an
// armed fence stands only as long as this process lives.
func (s *Store) Available() bool { return s != nil && s.available.Load() }

// Adopted hands over, once, what an earlier process of this service had stored,
// by name. The files are the caller's; they are second descriptors of what
// stays in the store: closing one does not close what it refers to, Remove is
// needed too. Use net.FileConn to make a connection of one.
func (s *Store) Adopted() map[string][]*os.File {
	if s == nil {
		return nil
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	adopted := s.adopted
	s.adopted = nil
	return adopted
}

// Store has the manager keep a duplicate of f under name, beside any other of
// that name. It does not wait for the manager to have read it, and need not:
// the message itself holds the descriptor from here on, and the manager reads
// the messages of a process before it looks at that process' death.
func (s *Store) Store(name string, f *os.File) error {
	return s.StoreConn(name, f)
}

// StoreConn is Store for a connection, without a duplicate to be closed.
func (s *Store) StoreConn(name string, c syscall.Conn) error {
	if s == nil || !s.notifier.Enabled() {
		return ErrNoStore
	}
	if err := checkName(name); err != nil {
		return err
	}
	raw, err := c.SyscallConn()
	if err != nil {
		return fmt.Errorf("store %q: reach descriptor: %w", name, err)
	}
	var sendErr error
	// Control and not Fd: Fd would make a file of the poller blocking.
	err = raw.Control(func(fd uintptr) {
		sendErr = s.notifier.socket.send("FDSTORE=1\nFDNAME="+name, int(fd))
	})
	if err := errors.Join(err, sendErr); err != nil {
		return fmt.Errorf("store %q: %w", name, err)
	}
	return nil
}

// Remove has the manager close every descriptor it keeps under name. It is no
// error when there is none.
func (s *Store) Remove(name string) error {
	if s == nil || !s.notifier.Enabled() {
		return ErrNoStore
	}
	if err := checkName(name); err != nil {
		return err
	}
	if err := s.notifier.socket.send("FDSTOREREMOVE=1\nFDNAME=" + name); err != nil {
		return fmt.Errorf("remove %q from store: %w", name, err)
	}
	return nil
}

// Barrier waits until the manager has done all that was asked before, or until
// ctx ends.
func (s *Store) Barrier(ctx context.Context) error {
	if s == nil {
		return nil
	}
	return s.notifier.Barrier(ctx)
}

// Probe finds out whether the store keeps anything, by storing one end of a
// pipe: if that end is still open when the manager has read the message and our
// own is closed, it is kept. It needs no rights and works with every systemd; a
// full store shows as none. Available says the same from then on.
func (s *Store) Probe(ctx context.Context) (bool, error) {
	if s == nil || !s.notifier.Enabled() {
		return false, nil
	}
	r, w, err := os.Pipe()
	if err != nil {
		return false, fmt.Errorf("probe store: %w", err)
	}
	defer r.Close()
	storeErr := s.Store(probeName, w)
	w.Close()
	if storeErr != nil {
		return false, fmt.Errorf("probe store: %w", storeErr)
	}
	if err := s.Barrier(ctx); err != nil {
		return false, fmt.Errorf("probe store: %w", err)
	}
	var closed bool
	raw, err := r.SyscallConn()
	if err == nil {
		var pollErr error
		err = raw.Control(func(fd uintptr) { closed, pollErr = pollReadable(int(fd), time.Duration(0)) })
		err = errors.Join(err, pollErr)
	}
	if err != nil {
		return false, fmt.Errorf("probe store: %w", err)
	}
	s.available.Store(!closed)
	if err := s.Remove(probeName); err != nil {
		return !closed, fmt.Errorf("probe store: %w", err)
	}
	return !closed, nil
}

// checkName is what systemd accepts as FDNAME (fdname_is_valid in
// src/basic/fd-util.c): it ignores another silently and calls the descriptor
// "stored".
func checkName(name string) error {
	printable := func(r rune) bool { return r >= ' ' && r < 0x7f && r != ':' }
	if name == "" || len(name) > 255 || strings.IndexFunc(name, func(r rune) bool { return !printable(r) }) >= 0 {
		return fmt.Errorf("descriptor name %q: 1 to 255 printable ASCII characters without a colon", name)
	}
	return nil
}

// Passed takes over the descriptors that the manager gives to a process it
// starts (sd_listen_fds(3)), each under its name, and takes the variables that
// say so out of the environment. go-systemd's own brings TLS with it, which the
// helper, being root, had better not contain.
func Passed() []*os.File {
	defer func() {
		for _, name := range []string{"LISTEN_PID", "LISTEN_FDS", "LISTEN_FDNAMES", "LISTEN_PIDFDID"} {
			os.Unsetenv(name)
		}
	}()
	pid, err := strconv.Atoi(os.Getenv("LISTEN_PID"))
	if err != nil || pid != os.Getpid() {
		return nil
	}
	n, err := strconv.Atoi(os.Getenv("LISTEN_FDS"))
	if err != nil || n <= 0 {
		return nil
	}
	const first = 3 // SD_LISTEN_FDS_START
	names := strings.Split(os.Getenv("LISTEN_FDNAMES"), ":")
	files := make([]*os.File, n)
	for i := range files {
		name := "unknown"
		if i < len(names) && names[i] != "" {
			name = names[i]
		}
		unix.CloseOnExec(first + i)
		files[i] = os.NewFile(uintptr(first+i), name)
	}
	return files
}
