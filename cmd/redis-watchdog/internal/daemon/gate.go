package daemon

import (
	"errors"
	"fmt"
	"net"
	"os"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/redis-watchdog/redis-watchdog/cmd/redis-watchdog/internal/config"
	"github.com/redis-watchdog/redis-watchdog/fencing/gate"
	"github.com/redis-watchdog/redis-watchdog/systemd"
	"github.com/redis-watchdog/redis-watchdog/watchdog"
	"github.com/redis-watchdog/redis-watchdog/watchdog/agent"
	"github.com/redis-watchdog/redis-watchdog/watchdog/statedir"
)

// openGate makes the node's gate, with the armed fences that an earlier life
// has left.
func (x *node) openGate(d *Daemon, n config.Node, from inherited) error {
	tls, err := n.TLS.Client()
	if err != nil {
		return fmt.Errorf("tls: %w", err)
	}
	var originals gate.Originals
	if err := x.records.Load("originals", &originals); err != nil {
		x.log.Error("record of the operator's values not read: starting without", "error", err)
	}
	x.stored = &nodeStore{fds: d.fds, prefix: storePrefix(x.group, x.name)}
	armed, err := x.stored.take(from.stored)
	if err != nil {
		x.log.Error("armed fence of an earlier run not taken over", "error", err)
	}
	armed = append(armed, from.armed[n.Name]...)
	x.stop = &redisStop{control: d.units.redis(x.group+"/"+x.name, n.Unit), unit: n.Unit, log: x.log}
	x.gate, err = gate.New(gate.Config{
		Address: n.Address, Socket: n.Socket, Username: n.Username, Password: string(n.Password), TLS: tls,
		Commands: n.Commands, Now: agent.Boottime, Log: x.log.Named("gate"),
		Killer: x.stop, Store: x.stored, Adopted: armed,
		Originals: originals,
		Record:    func(o gate.Originals) error { return x.records.Save("originals", o) },
		Failpoint: failpoint, Stalled: x.stalled, Late: d.armedLate,
		Same: x.watcher.Same, Spelled: x.watcher.Spelled,
		NoRewrite: "what it would write is not known yet", // the first node report tells
	})
	return err
}

// nodeStore is the service manager's descriptor store, seen by one node: the
// store is the service's, and holds the fences of all of its Redis.
type nodeStore struct {
	fds    *systemd.Store
	prefix string
}

func storePrefix(group, node string) string {
	return strings.TrimSuffix(statedir.FileName(group, node), ".json") + "."
}

func (s *nodeStore) Store(name string, f *os.File) error { return s.fds.Store(s.prefix+name, f) }

// Remove takes it that nothing is left in a store that is not there.
func (s *nodeStore) Remove(name string) error {
	if err := s.fds.Remove(s.prefix + name); !errors.Is(err, systemd.ErrNoStore) {
		return err
	}
	return nil
}

// take moves this node's descriptors out of what was handed back.
func (s *nodeStore) take(adopted map[string][]*os.File) (mine []*os.File, err error) {
	for name, files := range adopted {
		own, ok := strings.CutPrefix(name, s.prefix)
		if !ok {
			continue
		}
		for _, f := range files {
			// A File cannot be renamed; a duplicate can be named.
			fd, e := unix.FcntlInt(f.Fd(), unix.F_DUPFD_CLOEXEC, 0)
			if e == nil {
				mine = append(mine, os.NewFile(uintptr(fd), own))
			}
			err = errors.Join(err, e, f.Close())
		}
		delete(adopted, name)
	}
	return mine, err
}

// disarm lets go of the armed fences that our gate has left, of a Redis that
// nobody guards any more.
func (x *node) disarm(left []*os.File) {
	for _, f := range left {
		if err := errors.Join(f.Close(), x.stored.Remove(f.Name())); err != nil {
			x.log.Error("armed fence not taken down", "error", err)
		}
	}
}

// announcedBy is the address Redis announces, where it is told to; empty: it
// is not.
func announcedBy(d gate.Details) watchdog.Address {
	if d.AnnounceIP == "" || d.AnnouncePort == 0 {
		return ""
	}
	return watchdog.Address(net.JoinHostPort(d.AnnounceIP, strconv.Itoa(d.AnnouncePort)))
}
