package startgate

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/redis-watchdog/redis-watchdog/lab/need"
	"github.com/redis-watchdog/redis-watchdog/systemd/trusted"
)

const redisUser = 4321

// laid is a directory of Redis' user in one of root's, with a file of root's
// beside it that nobody else may touch.
func laid(t *testing.T) (dir, victim string) {
	t.Helper()
	need.Root(t)
	root := t.TempDir()
	victim = write(t, filepath.Join(root, "victim"), "root's own\n")
	dir = filepath.Join(root, "redis")
	if err := errors.Join(os.Chmod(root, 0o755), os.Chmod(victim, 0o600), os.Mkdir(dir, 0o755), os.Chown(dir, redisUser, redisUser)); err != nil {
		t.Fatal(err)
	}
	return dir, victim
}

// as is what may be done by the user of Redis.
func as(t *testing.T, do func() error) {
	t.Helper()
	if err := do(); err != nil {
		t.Fatal(err)
	}
}

func owner(t *testing.T, name string) (uid uint32, mode os.FileMode) {
	t.Helper()
	info, err := os.Lstat(name)
	if err != nil {
		t.Fatal(err)
	}
	return info.Sys().(*syscall.Stat_t).Uid, info.Mode()
}

// untouched fails where root's file is not as it was.
func untouched(t *testing.T, victim string) {
	t.Helper()
	uid, mode := owner(t, victim)
	if got := text(t, victim); got != "root's own\n" || uid != 0 || mode != 0o600 {
		t.Errorf("root's file: %q, owner %d, mode %v", got, uid, mode)
	}
}

func TestRootWritesNowhereThatALinkOfRedisLeadsTo(t *testing.T) {
	dir, victim := laid(t)
	file := filepath.Join(dir, "redis.conf")
	as(t, func() error { return errors.Join(os.Symlink(victim, file), os.Lchown(file, redisUser, redisUser)) })
	if _, err := StartFenced(file); err != nil {
		t.Fatal(err)
	}
	untouched(t, victim)
	// The link was replaced, and what is there now is as closed as what it led to.
	if uid, mode := owner(t, file); uid != 0 || mode != 0o600 || !strings.Contains(text(t, file), comment[0]) {
		t.Errorf("in its place: owner %d, mode %v\n%s", uid, mode, text(t, file))
	}
	if err := Undo(file); err != nil {
		t.Fatal(err)
	}
	untouched(t, victim)
}

func TestRootIsNotLedIntoAnotherDirectory(t *testing.T) {
	dir, victim := laid(t)
	kept := filepath.Join(filepath.Dir(victim), "kept")
	if err := os.Mkdir(kept, 0o755); err != nil {
		t.Fatal(err)
	}
	there := write(t, filepath.Join(kept, "redis.conf"), "root's own\n")
	if err := os.Chmod(there, 0o600); err != nil {
		t.Fatal(err)
	}
	link := filepath.Join(dir, "conf")
	as(t, func() error { return errors.Join(os.Symlink(kept, link), os.Lchown(link, redisUser, redisUser)) })
	if _, err := StartFenced(filepath.Join(link, "redis.conf")); !errors.Is(err, trusted.ErrLaid) || !strings.Contains(err.Error(), link) {
		t.Errorf("got %v, want %v of %s", err, trusted.ErrLaid, link)
	}
	untouched(t, there)
	if names, err := os.ReadDir(kept); err != nil || len(names) != 1 {
		t.Errorf("left behind: %v, %v", names, err)
	}
}

// A file of many names is written under this one alone.
func TestRootWritesNoFileThatHasAnotherName(t *testing.T) {
	dir, victim := laid(t)
	file := filepath.Join(dir, "redis.conf")
	as(t, func() error { return os.Link(victim, file) })
	if _, err := StartFenced(file); err != nil {
		t.Fatal(err)
	}
	untouched(t, victim)
}

func TestRootIsHeldUpByNoPipe(t *testing.T) {
	dir, _ := laid(t)
	file := filepath.Join(dir, "redis.conf")
	as(t, func() error { return unix.Mkfifo(file, 0o666) })
	if _, err := StartFenced(file); !errors.Is(err, trusted.ErrLaid) {
		t.Errorf("got %v", err)
	}
	if err := os.Remove(file); err != nil {
		t.Fatal(err)
	}
	pipe := filepath.Join(dir, "pipe")
	as(t, func() error { return unix.Mkfifo(pipe, 0o666) })
	write(t, file, "include "+pipe+"\n")
	if _, err := StartFenced(file); err == nil {
		t.Error("a pipe was included")
	}
}

// Root's own links are followed, and stay.
func TestRootsOwnLinksAreFollowed(t *testing.T) {
	dir, _ := laid(t)
	root := filepath.Dir(dir)
	real := write(t, filepath.Join(dir, "redis.conf"), "maxmemory 1gb\n")
	if err := errors.Join(os.Chown(real, redisUser, redisUser), os.Chmod(real, 0o640)); err != nil {
		t.Fatal(err)
	}
	for name, to := range map[string]string{"redis.conf": "redis/redis.conf", "absolute.conf": real, "up.conf": "redis/../redis/./redis.conf", "twice.conf": "redis.conf"} {
		link := filepath.Join(root, name)
		if err := os.Symlink(to, link); err != nil {
			t.Fatal(err)
		}
	}
	for _, name := range []string{"redis.conf", "absolute.conf", "up.conf", "twice.conf"} {
		link := filepath.Join(root, name)
		if _, err := StartFenced(link); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		if uid, mode := owner(t, real); uid != redisUser || mode != 0o640 || !strings.Contains(text(t, real), comment[0]) {
			t.Errorf("%s: owner %d, mode %v\n%s", name, uid, mode, text(t, real))
		}
		if _, mode := owner(t, link); mode&os.ModeSymlink == 0 {
			t.Errorf("%s is a link no more", name)
		}
		if err := Undo(link); err != nil || text(t, real) != "maxmemory 1gb\n" {
			t.Errorf("%s: undone: %v\n%s", name, err, text(t, real))
		}
	}
	circle := filepath.Join(root, "circle")
	if err := os.Symlink("circle", circle); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{circle, "relative.conf", "/", root, filepath.Join(root, "none.conf"), filepath.Join(root, "none", "redis.conf")} {
		if _, err := StartFenced(name); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
	if names, err := filepath.Glob(filepath.Join(dir, ".redis-watchdog-*")); err != nil || len(names) > 0 {
		t.Errorf("left behind: %v, %v", names, err)
	}
}
