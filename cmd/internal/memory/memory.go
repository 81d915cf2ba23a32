// Package memory is what a program that stands beside a database does not take
// from it: processors it does not need, memory it does not use, and the time to
// page in again what it does.
package memory

import (
	"bufio"
	"errors"
	"fmt"
	"os"
	"runtime"
	"runtime/debug"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

const (
	// heapGrowth is GOGC: a megabyte lives, and Go would let it grow to four.
	heapGrowth = 50
	// heapInAHurry is GOGC of a process that is run late: what a collection takes
	// is what the renewals wait for.
	heapInAHurry = 200
)

// Small has Go run on that many processors, and collect early. GOMAXPROCS and
// GOGC in the environment win.
func Small(processors int) {
	if os.Getenv("GOMAXPROCS") == "" {
		runtime.GOMAXPROCS(min(runtime.NumCPU(), processors))
	}
	if os.Getenv("GOGC") == "" {
		debug.SetGCPercent(heapGrowth)
	}
}

// Hurry has the memory collected seldomer for as long as it is on, at the price of
// more of it. GOGC in the environment wins. It is for one goroutine at a time.
func (h *Heap) Hurry(on bool) {
	if on == h.hurried || os.Getenv("GOGC") != "" {
		return
	}
	h.hurried = on
	growth := heapGrowth
	if on {
		growth = heapInAHurry
	}
	debug.SetGCPercent(growth)
}

// Heap is how the heap may grow. The zero value is what Small has made of it.
type Heap struct{ hurried bool }

// TrimEvery is how often memory is given back by a program that is never idle:
// what was left of the heap, which Go keeps for minutes, and the program's pages.
// The kernel maps sixteen of those for one that is needed, so that in the end all
// are mapped.
const TrimEvery = 5 * time.Second

// Thrift is memory given back while the host has enough of it. What is left is
// locked: a watchdog that is paged out is late with the next renewal. The zero
// value is ready; it is for one goroutine at a time.
type Thrift struct {
	looked  bool
	stalled time.Duration // of all processes of the host for want of memory, since its boot
	tight   bool
	locked  bool // we have locked it
}

// Tight says whether the host was short of memory at the last Turn.
func (t *Thrift) Tight() bool { return t.tight }

// Turn gives back what nobody needs, unless the host is short of memory: what
// it then took from us would have to be read from disk.
func (t *Thrift) Turn() (tight bool, err error) {
	stalled, left, err := memoryOfHost()
	grown := stalled - t.stalled
	t.tight = t.looked && grown >= stallIsTight || left < leftIsTight
	t.stalled, t.looked = stalled, true
	if t.tight {
		return true, errors.Join(err, t.lock())
	}
	if t.locked { // what is locked cannot be given back
		if e := unix.Munlockall(); e != nil {
			err = errors.Join(err, fmt.Errorf("unlock own memory: %w", e))
		}
	}
	return false, errors.Join(err, trim(), t.lock())
}

const (
	stallIsTight = 10 * time.Millisecond // since the last Turn
	leftIsTight  = 0.05                  // of the host's memory
)

// lock keeps the pages that are there, and those that come, from being paged
// out: each from its first use on, so that it costs nothing.
func (t *Thrift) lock() error {
	may, err := mayLock()
	if err != nil || !may {
		return err
	}
	if err := unix.Mlockall(unix.MCL_CURRENT | unix.MCL_FUTURE | unix.MCL_ONFAULT); err != nil {
		return fmt.Errorf("lock own memory: %w", err)
	}
	t.locked = true
	return nil
}

// mayLock says that there is no limit to it (as LimitMEMLOCK=infinity of the
// unit has it, or CAP_IPC_LOCK): under one that is reached later, an allocation
// fails and takes us down.
func mayLock() (bool, error) {
	var limit unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_MEMLOCK, &limit); err != nil {
		return false, fmt.Errorf("read limit of locked memory: %w", err)
	}
	if limit.Cur == unix.RLIM_INFINITY {
		return true, nil
	}
	var sets [2]unix.CapUserData
	if err := unix.Capget(&unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}, &sets[0]); err != nil {
		return false, fmt.Errorf("read own capabilities: %w", err)
	}
	return sets[0].Effective&(1<<unix.CAP_IPC_LOCK) != 0, nil
}

// memoryOfHost is for how long processes have stood still for want of memory
// (zero where the kernel does not count it), and how much of it is available.
func memoryOfHost() (stalled time.Duration, left float64, err error) {
	text, err := os.ReadFile("/proc/pressure/memory")
	switch {
	case errors.Is(err, os.ErrNotExist), errors.Is(err, unix.EOPNOTSUPP): // psi=0
	case err != nil:
		return 0, 1, fmt.Errorf("read memory pressure: %w", err)
	default:
		var a, b, c float64
		var us int64
		if _, err := fmt.Sscanf(string(text), "some avg10=%f avg60=%f avg300=%f total=%d", &a, &b, &c, &us); err != nil {
			return 0, 1, fmt.Errorf("read memory pressure: %q: %w", text, err)
		}
		stalled = time.Duration(us) * time.Microsecond
	}
	text, err = os.ReadFile("/proc/meminfo")
	if err != nil {
		return stalled, 1, fmt.Errorf("read memory of host: %w", err)
	}
	var total, available float64
	for line := range strings.Lines(string(text)) {
		var kib float64
		if n, _ := fmt.Sscanf(line, "MemTotal: %f kB", &kib); n == 1 {
			total = kib
		}
		if n, _ := fmt.Sscanf(line, "MemAvailable: %f kB", &kib); n == 1 {
			available = kib
		}
	}
	if total == 0 {
		return stalled, 1, errors.New("read memory of host: no MemTotal")
	}
	return stalled, available / total, nil
}

// trim gives back the free heap, which costs a collection, and unmaps the
// program's own pages. What is needed again comes from the page cache: two
// hundred faults, a third of a millisecond in all.
func trim() error {
	debug.FreeOSMemory()
	self, err := os.Readlink("/proc/self/exe")
	if err != nil {
		return fmt.Errorf("find own program: %w", err)
	}
	maps, err := os.Open("/proc/self/maps")
	if err != nil {
		return fmt.Errorf("read own mappings: %w", err)
	}
	defer maps.Close()
	var errs []error
	lines := bufio.NewScanner(maps)
	for lines.Scan() {
		var start, end uintptr
		var rights string
		line := lines.Text()
		if _, err := fmt.Sscanf(line, "%x-%x %s", &start, &end, &rights); err != nil {
			return fmt.Errorf("read own mappings: %q: %w", line, err)
		}
		if strings.HasSuffix(line, " "+self) && rights[1] == '-' { // never written: the file has it all
			if _, _, errno := unix.Syscall(unix.SYS_MADVISE, start, end-start, unix.MADV_DONTNEED); errno != 0 {
				errs = append(errs, fmt.Errorf("drop %x-%x: %w", start, end, errno))
			}
		}
	}
	return errors.Join(append(errs, lines.Err())...)
}
