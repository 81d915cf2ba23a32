package grant

import (
	"context"
	"sync/atomic"
	"testing"
)

// TestWhatANewerOneTookThePlaceOfIsCounted: a value counts as passed over if and
// only if it was never dealt with, whenever the newer one came.
func TestWhatANewerOneTookThePlaceOfIsCounted(t *testing.T) {
	for _, tt := range []struct {
		name  string
		steps string // s: set, t: take, d: settled, f: settled as failed, a: again
		want  uint64
	}{
		{"the first", "s", 0},
		{"one after the other", "stdstdstd", 0},
		{"never taken", "ss", 1},
		{"two never taken", "sss", 2},
		{"in time, though a newer one came meanwhile", "stsdtd", 0},
		{"failed, and done when tried again", "stftdstd", 0},
		{"failed, then a newer one", "stfs", 1},
		{"a newer one came meanwhile, and it failed", "stsf", 1},
		{"two newer ones came meanwhile, and it failed", "stssf", 2},
		{"two newer ones came meanwhile, and it was done", "stssd", 1},
		{"written, to be written again, then a newer one", "stdas", 0},
		{"to be written again while it is written", "stads", 0},
		{"written again in vain, then a newer one", "stdatsf", 0},
		{"nothing said yet, asked for again", "atds", 0},
	} {
		var passed atomic.Uint64
		n := newNewest[int]()
		n.passed = &passed
		for i, step := range tt.steps {
			switch step {
			case 's':
				n.set(i)
			case 'a':
				n.again()
			case 't':
				n.ready.Raise()
				if _, err := n.take(t.Context()); err != nil {
					t.Fatal(err)
				}
			case 'd', 'f':
				n.settle(step == 'd')
			}
		}
		if got := passed.Load(); got != tt.want {
			t.Errorf("%s (%s): %d were passed over, want %d", tt.name, tt.steps, got, tt.want)
		}
	}
}

// TestNobodyNeedCount: the newest of values that nobody counts.
func TestNobodyNeedCount(t *testing.T) {
	n := newNewest[int]()
	n.set(1)
	n.set(2)
	got, err := n.take(context.Background())
	if err != nil || got != 2 {
		t.Errorf("got %d, %v", got, err)
	}
}
