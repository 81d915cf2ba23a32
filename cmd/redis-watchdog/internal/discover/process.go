// Package discover finds out what runs on this host and writes the configuration
// for it: redis-watchdog init.
package discover

import (
	"bufio"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/redis-watchdog/redis-watchdog/systemd"
	"github.com/redis-watchdog/redis-watchdog/watchdog/sorted"
)

// Process is a Redis or a Sentinel that runs on this host, in this network
// namespace: one in a container has its own, and is not found.
type Process struct {
	PID      int
	Sentinel bool
	Listens  []netip.AddrPort // where; in no order that means anything
	Sockets  []string         // unix sockets it listens on
	Unit     string           // its own systemd service; empty: none
	Shared   string           // the service that runs it and more (a supervisor, cron, a container's runtime); empty: none
	Dir      string           // it works in; empty: not known
	Args     []string         // without the program; a process title hides them
}

// Processes are those of them there are, by their ports. An error is one of
// /proc as a whole: a process that ended meanwhile is left out.
func Processes() ([]Process, error) {
	entries, err := os.ReadDir("/proc")
	if err != nil {
		return nil, fmt.Errorf("list processes: %w", err)
	}
	own, err := os.Readlink("/proc/self/ns/net")
	if err != nil {
		return nil, fmt.Errorf("find our network namespace: %w", err)
	}
	tcp, unix, err := listening()
	if err != nil {
		return nil, err
	}
	var found []Process
	for _, e := range entries {
		pid, err := strconv.Atoi(e.Name())
		if err != nil {
			continue
		}
		proc := filepath.Join("/proc", e.Name())
		name, err := os.ReadFile(proc + "/comm")
		if err != nil {
			continue
		}
		p := Process{PID: pid}
		switch strings.TrimSpace(string(name)) {
		case "redis-server", "valkey-server":
		case "redis-sentinel", "valkey-sentinel":
			p.Sentinel = true
		default:
			continue
		}
		if other, err := os.Readlink(proc + "/ns/net"); err != nil || other != own {
			continue
		}
		p.look(proc, tcp, unix)
		if len(p.Listens)+len(p.Sockets) > 0 {
			found = append(found, p)
		}
	}
	sorted.By(found, func(a, b Process) int { return a.port() - b.port() })
	return found, nil
}

// port is the first it listens on; 0: on a unix socket only.
func (p Process) port() int {
	if len(p.Listens) == 0 {
		return 0
	}
	return int(p.Listens[0].Port())
}

// look reads what /proc shows of it. A title in place of the arguments tells a
// Sentinel that was started as "redis-server --sentinel".
func (p *Process) look(proc string, tcp map[string]netip.AddrPort, unix map[string]string) {
	if text, err := os.ReadFile(proc + "/cmdline"); err == nil {
		words := strings.Split(strings.TrimRight(string(text), "\x00"), "\x00")
		p.Args = words[1:]
		p.Sentinel = p.Sentinel || slices.Contains(words, "--sentinel") || strings.Contains(words[0], "[sentinel]")
	}
	if unit, err := systemd.Alone(p.PID); err == nil {
		p.Unit = unit
	} else if errors.Is(err, systemd.ErrShared) {
		p.Shared = unit
	}
	if dir, err := os.Readlink(proc + "/cwd"); err == nil {
		p.Dir = dir
	}
	links, err := os.ReadDir(proc + "/fd")
	if err != nil {
		return
	}
	for _, l := range links {
		to, err := os.Readlink(filepath.Join(proc, "fd", l.Name()))
		if err != nil {
			continue
		}
		inode, isSocket := strings.CutPrefix(to, "socket:[")
		inode = strings.TrimSuffix(inode, "]")
		if at, ok := tcp[inode]; isSocket && ok {
			p.Listens = append(p.Listens, at)
		}
		if path, ok := unix[inode]; isSocket && ok {
			p.Sockets = append(p.Sockets, path)
		}
	}
	sorted.By(p.Listens, func(a, b netip.AddrPort) int { return a.Compare(b) })
	slices.Sort(p.Sockets)
}

// listening are the listening sockets of this network namespace, by inode.
func listening() (tcp map[string]netip.AddrPort, unix map[string]string, err error) {
	tcp, unix = map[string]netip.AddrPort{}, map[string]string{}
	for _, file := range []string{"/proc/self/net/tcp", "/proc/self/net/tcp6"} {
		err := fields(file, 10, func(f []string) {
			const listen = "0A"
			if at, ok := address(f[1]); ok && f[3] == listen {
				tcp[f[9]] = at
			}
		})
		if err != nil && !os.IsNotExist(err) { // no IPv6
			return nil, nil, fmt.Errorf("list sockets: %w", err)
		}
	}
	err = fields("/proc/self/net/unix", 8, func(f []string) {
		const accepts = "00010000" // __SO_ACCEPTCON
		if f[3] == accepts {
			unix[f[6]] = f[7]
		}
	})
	if err != nil {
		return nil, nil, fmt.Errorf("list sockets: %w", err)
	}
	return tcp, unix, nil
}

// fields gives every line of a table in /proc that has so many fields or more.
func fields(file string, least int, take func([]string)) error {
	f, err := os.Open(file)
	if err != nil {
		return err
	}
	defer f.Close()
	lines := bufio.NewReader(f)
	for {
		line, err := lines.ReadString('\n')
		if words := strings.Fields(line); len(words) >= least {
			take(words)
		}
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return err
		}
	}
}

// address reads "0100007F:18EB": words of 32 bits in the order of a
// little-endian host, which every one is that Go has builds of redis-watchdog
// for.
func address(text string) (netip.AddrPort, bool) {
	host, port, _ := strings.Cut(text, ":")
	raw, err := hex.DecodeString(host)
	n, portErr := strconv.ParseUint(port, 16, 16)
	if err != nil || portErr != nil || len(raw)%4 != 0 {
		return netip.AddrPort{}, false
	}
	for word := range slices.Chunk(raw, 4) {
		slices.Reverse(word)
	}
	ip, ok := netip.AddrFromSlice(raw)
	return netip.AddrPortFrom(ip.Unmap(), uint16(n)), ok
}
