package memory

import (
	"os"
	"regexp"
	"runtime"
	"strconv"
	"strings"
	"testing"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"

	"github.com/redis-watchdog/redis-watchdog/lab/need"
)

// left is what a report leaves: more than any does.
const left = 64 << 20

// afterReport is memory that was in use and that nobody uses any more. It is kept
// as a number: a pointer would be a use.
func afterReport(t *testing.T) (at uintptr) {
	t.Helper()
	report := make([]byte, left)
	for i := 0; i < left; i += os.Getpagesize() {
		report[i] = 1
	}
	at = uintptr(unsafe.Pointer(&report[0]))
	if n := resident(t, at); n < left*3/4 {
		t.Fatalf("of %d MiB in use %d are resident", left>>20, n>>20)
	}
	runtime.KeepAlive(report)
	return at
}

// resident is how many bytes of what a report left are in memory: these pages,
// and no others, for the process allocates meanwhile, and under the race
// detector, which remembers every word of it, it takes more than it gives back.
func resident(t *testing.T, at uintptr) int {
	t.Helper()
	page := os.Getpagesize()
	at = (at + uintptr(page) - 1) &^ (uintptr(page) - 1)
	pages := make([]byte, left/page-1)
	if _, _, errno := unix.Syscall(unix.SYS_MINCORE, at, uintptr(len(pages)*page), uintptr(unsafe.Pointer(&pages[0]))); errno != 0 {
		t.Fatalf("ask which pages are resident: %v", errno)
	}
	n := 0
	for _, p := range pages {
		n += int(p&1) * page
	}
	return n
}

// goesBy takes a few turns until most of what a report left has gone. Go's own
// scavenger may look into four of its megabytes at the same moment as we, and
// then neither gives back the rest of those.
func goesBy(t *testing.T, at uintptr, turn func()) {
	t.Helper()
	for range 3 {
		turn()
		if resident(t, at) < left/4 {
			return
		}
	}
	t.Errorf("of %d MiB that nobody uses %d are still resident", left>>20, resident(t, at)>>20)
}

// mapped is how many bytes of the program are mapped that were never written,
// counted page by page: RssFile of /proc/self/status is about right only.
func mapped(t *testing.T) int {
	t.Helper()
	self, err := os.Readlink("/proc/self/exe")
	if err != nil {
		t.Fatal(err)
	}
	maps, err := os.ReadFile("/proc/self/smaps")
	if err != nil {
		t.Fatal(err)
	}
	n, ours := 0, false
	for line := range strings.Lines(string(maps)) {
		words := strings.Fields(line)
		switch {
		case strings.Contains(words[0], "-"):
			ours = words[len(words)-1] == self && words[1][1] == '-'
		case ours && words[0] == "Rss:":
			kib, err := strconv.Atoi(words[1])
			if err != nil {
				t.Fatal(err)
			}
			n += kib << 10
		}
	}
	return n
}

// What a report leaves goes, and so do pages of the program nobody needs now.
func TestTrimGivesMemoryBack(t *testing.T) {
	at, before := afterReport(t), mapped(t)
	goesBy(t, at, func() {
		if err := trim(); err != nil {
			t.Fatal(err)
		}
	})
	if after := mapped(t); after >= before {
		t.Errorf("pages of the program: %d KiB, %d before", after>>10, before>>10)
	}
}

// takeTurn takes one in which the host was not short of memory: it may be for a
// moment, and then rightly nothing is given back.
func takeTurn(t *testing.T, careful *Thrift) {
	t.Helper()
	for deadline := time.Now().Add(time.Minute); ; time.Sleep(50 * time.Millisecond) {
		tight, err := careful.Turn()
		if err != nil {
			t.Fatal(err)
		}
		if !tight {
			return
		}
		if time.Now().After(deadline) {
			t.Fatal("this host has been short of memory for a minute")
		}
	}
}

// Where there is no limit to it all is locked, and what nobody uses is given back
// all the same.
func TestWhatIsKeptIsLocked(t *testing.T) {
	need.Root(t)
	t.Cleanup(func() {
		if err := unix.Munlockall(); err != nil {
			t.Error(err)
		}
	})
	if may, err := mayLock(); !may || err != nil {
		t.Fatalf("may lock memory: %v, %v; run the tests as root, by make test", may, err)
	}
	var careful Thrift
	takeTurn(t, &careful)
	takeTurn(t, &careful)
	locked := func() bool {
		status, err := os.ReadFile("/proc/self/status")
		if err != nil {
			t.Fatal(err)
		}
		return !regexp.MustCompile(`VmLck:\s+0 kB`).Match(status)
	}
	if !locked() {
		t.Error("nothing is locked")
	}
	goesBy(t, afterReport(t), func() { takeTurn(t, &careful) })
	if !locked() {
		t.Error("nothing is locked after memory was given back")
	}
}

func TestHostShortOfMemoryIsSeen(t *testing.T) {
	t.Cleanup(func() {
		if err := unix.Munlockall(); err != nil {
			t.Error(err)
		}
	})
	stalled, left, err := memoryOfHost()
	if err != nil || stalled < 0 || left <= 0 || left > 1 {
		t.Errorf("memory of this host: stalled %v, %v left, %v", stalled, left, err)
	}
	was := Thrift{looked: true, stalled: stalled - stallIsTight}
	if tight, err := was.Turn(); !tight || err != nil {
		t.Errorf("processes stood still for want of memory: short %v, %v", tight, err)
	}
}

func BenchmarkTrim(b *testing.B) {
	for b.Loop() {
		if err := trim(); err != nil {
			b.Fatal(err)
		}
	}
}
