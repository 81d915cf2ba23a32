package preflight

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/redis-watchdog/redis-watchdog/preflight"
)

// slowSync is a disk that takes its time as long as a file is there.
const slowSync = `
#include <stdlib.h>
#include <sys/syscall.h>
#include <unistd.h>
static long slowly(int number, int fd) {
	if (getenv("SLOW_DISK") && access(getenv("SLOW_DISK"), F_OK) == 0) sleep(4);
	return syscall(number, fd);
}
int fdatasync(int fd) { return slowly(SYS_fdatasync, fd); }
int fsync(int fd) { return slowly(SYS_fsync, fd); }
`

// onSlowDisk is redis-server on such a disk: its directory's, while "slow-disk"
// is in there.
func onSlowDisk(t *testing.T) string {
	t.Helper()
	script := filepath.Join(t.TempDir(), "redis-server")
	text := fmt.Sprintf("#!/bin/sh\nSLOW_DISK=$PWD/slow-disk LD_PRELOAD=%s exec redis-server \"$@\"\n", compile(t, slowSync))
	if err := os.WriteFile(script, []byte(text), 0o755); err != nil {
		t.Fatal(err)
	}
	return script
}

// slowDisk is an AOF that waits for the disk: an fsync that takes longer than
// the two seconds for which Redis holds a write back (aof.c,
// flushAppendOnlyFile).
func slowDisk() failure {
	file := func(w *world) string { return filepath.Join(w.candidate().Dir, "slow-disk") }
	settled := func(w *world, fields ...string) {
		w.lab.Eventually("the AOF is written", 20*time.Second, func() error {
			info := w.candidate().Info()
			for _, name := range fields {
				if info[name] != "0" {
					return fmt.Errorf("%s is %q", name, info[name])
				}
			}
			return nil
		})
	}
	return failure{check: "persistence_fsync", shows: []string{"aof_delayed_fsync", "wait for the disk"},
		spoil: func(w *world) {
			w.candidate().Do("CONFIG", "SET", "appendonly", "yes")
			settled(w, "aof_rewrite_in_progress", "aof_rewrite_scheduled", "aof_pending_bio_fsync")
			w.write("/", file(w), "")
			w.edit = func(*preflight.Facts) { w.master().Do("INCR", "written") }
		},
		mend: func(w *world) {
			w.edit = nil
			if err := os.Remove(file(w)); err != nil && !errors.Is(err, os.ErrNotExist) {
				w.t.Fatal(err)
			}
			settled(w, "aof_pending_bio_fsync", "aof_buffer_length")
			w.candidate().Do("CONFIG", "RESETSTAT")
		}}
}
