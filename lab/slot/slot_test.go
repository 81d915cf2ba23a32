package slot

import (
	"os"
	"os/exec"
	"strings"
	"sync/atomic"
	"testing"
	"time"
)

// However many tests there are, in however many processes, no more of them hold a
// slot at a time than there are.
func TestNoMoreThanThereAre(t *testing.T) {
	most := many()
	var now, peak atomic.Int64
	t.Run("all", func(t *testing.T) {
		for range 2 * most {
			t.Run("", func(t *testing.T) {
				t.Parallel()
				one := &single{TB: t}
				Take(one)
				for n := now.Add(1); ; {
					if p := peak.Load(); n <= p || peak.CompareAndSwap(p, n) {
						break
					}
				}
				time.Sleep(time.Millisecond)
				now.Add(-1)
			})
		}
	})
	if p := peak.Load(); p == 0 || p > int64(most) {
		t.Errorf("%d held a slot at a time, want 1 to %d", p, most)
	}
}

// single makes a part of a test look like a test of its own.
type single struct{ testing.TB }

func (s *single) Name() string { return strings.ReplaceAll(s.TB.Name(), "/", " ") }

// The parts of a test share its slot: with none left it would wait for itself.
func TestPartsShareTheSlot(t *testing.T) {
	for range 2 * many() {
		Take(t)
	}
	t.Run("part", func(t *testing.T) { Take(t) })
	ours.Lock()
	defer ours.Unlock()
	if n := len(ours.slots); n != 1 {
		t.Errorf("%d slots are held by one test", n)
	}
}

// A slot is free again when its owner is killed.
func TestSlotVanishesWithItsOwner(t *testing.T) {
	if os.Getenv("SLOT_CHILD") != "" {
		Take(t)
		os.Stdout.WriteString("taken\n")
		time.Sleep(time.Minute)
	}
	for range many() + 1 { // else they would be used up
		child := exec.Command(os.Args[0], "-test.run=^TestSlotVanishesWithItsOwner$")
		child.Env = append(os.Environ(), "SLOT_CHILD=1")
		out, err := child.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := child.Start(); err != nil {
			t.Fatal(err)
		}
		line := make([]byte, 6)
		_, readErr := out.Read(line)
		child.Process.Kill()
		child.Wait()
		if readErr != nil || string(line) != "taken\n" {
			t.Fatalf("the child said %q: %v", line, readErr)
		}
	}
}
