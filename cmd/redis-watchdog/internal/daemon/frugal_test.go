package daemon

import (
	"os"
	"runtime"
	"strconv"
	"strings"
	"testing"
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

// What a survey leaves goes, and so do pages of the program nobody needs now.
func TestTrimGivesMemoryBack(t *testing.T) {
	const left = 64 << 20
	survey := make([]byte, left)
	for i := 0; i < left; i += os.Getpagesize() {
		survey[i] = 1
	}
	own, files := resident(t)
	runtime.KeepAlive(survey)
	survey = nil
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

func BenchmarkTrim(b *testing.B) {
	for b.Loop() {
		if err := trim(); err != nil {
			b.Fatal(err)
		}
	}
}
