package daemon

// What a daemon that stands beside a database does not take from it.

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

// nodesAProcessor is how many local Redis share one processor: what is done for
// one of them takes some hundred microseconds twice a second.
const nodesAProcessor = 8

// heapGrowth is GOGC: a megabyte lives, and Go would let it grow to four.
const heapGrowth = 50

// beFrugal has Go schedule on one processor as long as that is plenty: waking
// a second one for work that is over in a moment costs more than the work.
// GOMAXPROCS and GOGC in the environment win.
func beFrugal(nodes int) {
	if os.Getenv("GOMAXPROCS") == "" {
		runtime.GOMAXPROCS(min(runtime.NumCPU(), 1+(nodes-1)/nodesAProcessor))
	}
	if os.Getenv("GOGC") == "" {
		debug.SetGCPercent(heapGrowth)
	}
}

// trimEvery is how often memory is given back: what the last survey left of the
// heap, which Go keeps for minutes, and the program's pages. The kernel maps
// sixteen of those for one that is needed, so that in the end all are mapped.
const trimEvery = 5 * time.Second

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
