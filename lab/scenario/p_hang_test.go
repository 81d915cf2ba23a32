package scenario

import (
	"fmt"
	"os"
	"strconv"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/redis-watchdog/redis-watchdog/lab"
	"github.com/redis-watchdog/redis-watchdog/lab/watched"
	"github.com/redis-watchdog/redis-watchdog/preflight/gather"
)

// hungMount is a directory whose file system never answers, as that of a server
// which is gone: FUSE, and nobody behind it. end has it fail everybody who waits.
func hungMount(t *testing.T) (dir string, end func()) {
	t.Helper()
	dir = t.TempDir()
	fd, err := unix.Open("/dev/fuse", unix.O_RDWR|unix.O_CLOEXEC, 0)
	if err != nil {
		t.Fatalf("open /dev/fuse: %v", err)
	}
	end = func() {
		if fd >= 0 {
			unix.Close(fd)
			fd = -1
		}
	}
	t.Cleanup(end)
	options := fmt.Sprintf("fd=%d,rootmode=40000,user_id=0,group_id=0", fd)
	if err := unix.Mount("hung", dir, "fuse", unix.MS_NODEV|unix.MS_NOSUID, options); err != nil {
		t.Fatalf("mount: %v", err)
	}
	t.Cleanup(func() {
		end()
		if err := unix.Unmount(dir, unix.MNT_DETACH); err != nil {
			t.Errorf("unmount: %v", err)
		}
	})
	return dir, end
}

// filesThatHang: redis.conf includes a file that never answers. Its watchdog
// reports all the same, of the files that they are not known, and one read
// stands still, however often it is asked.
func filesThatHang(t *testing.T, w *watched.World, c gather.Config, r *lab.Redis, d *watched.Watchdog) {
	t.Helper()
	good, err := os.ReadFile(r.ConfigFile)
	if err != nil {
		t.Fatal(err)
	}
	dir, end := hungMount(t)
	replace(t, r.ConfigFile, string(good)+"\ninclude "+dir+"/more.conf\n")
	w.Mark("redis.conf of %s includes a file that hangs", r.Name)
	unknown := func() error {
		n := nodeOf(read(t, c), r)
		file, host := gapOf(n.Gaps, "redis.conf"), gapOf(n.Gaps, "host")
		if n.Answers == "" || n.Redis == nil || n.Drift != nil || n.Host != nil || !strings.Contains(file, "does not answer") || !strings.Contains(host, r.ConfigFile) {
			return fmt.Errorf("answers %q, drift %+v, gaps %+v", n.Answers, n.Drift, n.Gaps)
		}
		return nil
	}
	w.Eventually("the file that hangs is told", 20*time.Second, unknown)
	before := goroutines(t, d)
	for range 20 {
		read(t, c)
	}
	w.Eventually("it is told still", 20*time.Second, unknown)
	if after := goroutines(t, d); after > before+10 {
		t.Errorf("goroutines went from %d to %d in 20 reports", before, after)
	}

	end()
	replace(t, r.ConfigFile, string(good))
	w.Eventually("the files are read again", 20*time.Second, func() error {
		n := nodeOf(read(t, c), r)
		if n.Drift == nil || n.Drift.Problem != "" || n.Host == nil {
			return fmt.Errorf("drift %+v, gaps %+v", n.Drift, n.Gaps)
		}
		return nil
	})
}

func replace(t *testing.T, file, text string) {
	t.Helper()
	if err := os.WriteFile(file+".new", []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(file+".new", file); err != nil {
		t.Fatal(err)
	}
}

func goroutines(t *testing.T, d *watched.Watchdog) int {
	t.Helper()
	for line := range strings.Lines(d.Metrics()) {
		if value, ok := strings.CutPrefix(line, "go_goroutines "); ok {
			if n, err := strconv.Atoi(strings.TrimSpace(value)); err == nil {
				return n
			}
		}
	}
	t.Fatal("no go_goroutines among the metrics")
	return 0
}
