package daemon

import (
	"context"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

// A file that never answers costs one goroutine and one wait, however often it
// is asked for; once it answers, everything is read again.
func TestReadingThatHangsHoldsNobodyUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newReading()
		answer := make(chan struct{})
		var hangs atomic.Int64
		look := func(what string) (int, time.Duration, error) {
			ctx, cancel := context.WithTimeout(t.Context(), time.Second)
			defer cancel()
			began := time.Now()
			got, err := read(ctx, r, what, func() int {
				hangs.Add(1)
				<-answer
				return 7
			})
			return got, time.Since(began), err
		}
		if _, took, err := look("redis.conf"); err == nil || took != time.Second || !strings.Contains(err.Error(), "redis.conf") {
			t.Errorf("a file that hangs: %v after %v", err, took)
		}
		for range 3 {
			if _, took, err := look("the log"); err == nil || took != 0 || !strings.Contains(err.Error(), "redis.conf") {
				t.Errorf("while it hangs: %v after %v, want the one that hangs, at once", err, took)
			}
		}
		if hangs.Load() != 1 {
			t.Errorf("%d reads were begun, want one", hangs.Load())
		}
		close(answer)
		synctest.Wait()
		if got, _, err := look("redis.conf"); err != nil || got != 7 {
			t.Errorf("once it answers: %d, %v", got, err)
		}
	})
}
