package statedir

import (
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"
)

// How is how a file is written. The zero How is a file of our own, which nobody
// else reads and a power cut may undo.
type How struct {
	Mode  os.FileMode // whatever our umask is; zero: 0600
	Owner *Owner      // nil: ours
	// Sync makes it outlive a power cut: it costs some milliseconds of waiting for
	// the disk.
	Sync bool
}

// Owner is whom a file belongs to.
type Owner struct{ UID, GID int }

// unfinished is what the name of a file that is being written begins with: no
// pattern that Redis (conf.d/*.conf), systemd or we look for finds it.
const unfinished = ".redis-watchdog-"

// Write puts a file in the place of the one that stands there, or of none, as a
// whole or not at all.
func Write(name string, content []byte, how How) error {
	dir, err := os.Open(filepath.Dir(name))
	if err != nil {
		return err
	}
	return errors.Join(WriteIn(dir, filepath.Base(name), content, how), dir.Close())
}

// WriteIn is Write in a directory that is open, wherever its name leads by now.
// No link in the place of the file is followed: it is replaced.
func WriteIn(dir *os.File, name string, content []byte, how How) error {
	full := filepath.Join(dir.Name(), name)
	if name == "" || name != filepath.Base(name) {
		return fmt.Errorf("%q is no name of a file", name)
	}
	fd, temporary := int(dir.Fd()), unfinished+rand.Text()
	opened, err := unix.Openat(fd, temporary, unix.O_WRONLY|unix.O_CREAT|unix.O_EXCL|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0o600)
	if err != nil {
		return &os.PathError{Op: "create", Path: filepath.Join(dir.Name(), temporary), Err: err}
	}
	f := os.NewFile(uintptr(opened), filepath.Join(dir.Name(), temporary))
	err = errors.Join(how.fill(f, content), f.Close())
	if err == nil {
		if err = unix.Renameat(fd, temporary, fd, name); err != nil {
			err = &os.PathError{Op: "rename", Path: full, Err: err}
		}
	}
	if err != nil {
		return errors.Join(err, unix.Unlinkat(fd, temporary, 0))
	}
	if !how.Sync {
		return nil
	}
	// The name, too: without it a power cut leaves the file that was there before.
	// A file system that cannot do that for a directory says so by EINVAL.
	if err := unix.Fsync(fd); err != nil && err != unix.EINVAL {
		return &os.PathError{Op: "sync", Path: dir.Name(), Err: err}
	}
	return nil
}

func (how How) fill(f *os.File, content []byte) error {
	if _, err := f.Write(content); err != nil {
		return err
	}
	if how.Owner != nil {
		if err := f.Chown(how.Owner.UID, how.Owner.GID); err != nil {
			return err
		}
	}
	// After chown, which takes bits away.
	mode := how.Mode
	if mode == 0 {
		mode = 0o600
	}
	if err := f.Chmod(mode); err != nil {
		return err
	}
	if !how.Sync {
		return nil
	}
	return f.Sync()
}

// WriteJSON is Write of a value.
func WriteJSON(name string, from any, how How) error {
	b, err := json.Marshal(from)
	if err != nil {
		return fmt.Errorf("encode %q: %w", name, err)
	}
	return Write(name, b, how)
}

// ReadJSON reads what WriteJSON wrote. One that is not there is fs.ErrNotExist.
func ReadJSON(name string, into any) error {
	b, err := os.ReadFile(name)
	if err != nil {
		return err
	}
	if err := json.Unmarshal(b, into); err != nil {
		return fmt.Errorf("parse %q: %w", name, err)
	}
	return nil
}
