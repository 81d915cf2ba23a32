package memory

import (
	"os"
	"regexp"
	"runtime"
	"strconv"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// resident is the process's own pages, and those of files, in bytes.
func resident(t *testing.T) (own, files int) {
	t.Helper()
	status, err := os.ReadFile("/proc/self/status")
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(status)) {
		words := strings.Fields(line)
		if len(words) != 3 {
			continue
		}
		n, err := strconv.Atoi(words[1])
		switch words[0] {
		case "RssAnon:":
			own = n << 10
		case "RssFile:":
			files = n << 10
		default:
			continue
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	return own, files
}

// left is what a survey leaves: more than any does.
const left = 64 << 20

// whileSurveying is what was resident while it was in use; nobody uses it any more.
func whileSurveying(t *testing.T) (own, files int) {
	t.Helper()
	survey := make([]byte, left)
	for i := 0; i < left; i += os.Getpagesize() {
		survey[i] = 1
	}
	own, files = resident(t)
	runtime.KeepAlive(survey)
	return own, files
}

// What a survey leaves goes, and so do pages of the program nobody needs now.
func TestTrimGivesMemoryBack(t *testing.T) {
	own, files := whileSurveying(t)
	if err := trim(); err != nil {
		t.Fatal(err)
	}
	ownAfter, filesAfter := resident(t)
	t.Logf("own %d to %d KiB, of files %d to %d KiB", own>>10, ownAfter>>10, files>>10, filesAfter>>10)
	if own-ownAfter < left*3/4 {
		t.Errorf("of %d MiB that nobody uses %d were given back", left>>20, (own-ownAfter)>>20)
	}
	if filesAfter >= files {
		t.Errorf("pages of the program: %d KiB, %d before", filesAfter>>10, files>>10)
	}
}

// Where there is no limit to it all is locked, and what nobody uses is given back
// all the same.
func TestWhatIsKeptIsLocked(t *testing.T) {
	t.Cleanup(func() {
		if err := unix.Munlockall(); err != nil {
			t.Error(err)
		}
	})
	if may, err := mayLock(); !may || err != nil {
		t.Fatalf("may lock memory: %v, %v; run the tests as root, by make test", may, err)
	}
	var careful Thrift
	for range 2 {
		if tight, err := careful.Turn(); tight || err != nil {
			t.Fatalf("short of memory: %v, %v", tight, err)
		}
	}
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
	own, _ := whileSurveying(t)
	if _, err := careful.Turn(); err != nil {
		t.Fatal(err)
	}
	if after, _ := resident(t); own-after < left*3/4 {
		t.Errorf("of %d MiB that nobody uses %d were given back", left>>20, (own-after)>>20)
	}
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
