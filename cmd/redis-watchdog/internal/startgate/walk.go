package startgate

// The start gate is root, and redis.conf lies where Redis may write: what is
// there may have been laid for root. So a name is walked a directory at a time,
// and only root's own links are followed. What another may have put in the place
// of redis.conf itself is read, and replaced, as CONFIG REWRITE does it: nothing
// is written anywhere else, and the new file is as closed as what was read.

import (
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"
)

// errLaid is something that another than root may have put in root's way.
var errLaid = errors.New("not followed as root")

const (
	maxLinks = 40      // as the kernel has it
	maxFile  = 4 << 20 // of a redis.conf with all its comments there are 100 kB
)

// place is a file of a directory that was reached without following a link that
// another than root could have laid. What happens to names on the way later does
// not matter.
type place struct {
	dir  *os.File
	name string
	full string // for messages
	// ours is whether nobody but root can put a name into the directory.
	ours bool
}

func (p *place) close() error { return p.dir.Close() }

// find walks to a file by its absolute name. The file need not be there.
func find(file string) (*place, error) {
	if !filepath.IsAbs(file) {
		return nil, fmt.Errorf("%s: not an absolute name", file)
	}
	at, err := openRoot()
	if err != nil {
		return nil, err
	}
	rest := words(file)
	for links := 0; ; {
		if len(rest) == 0 {
			return nil, errors.Join(fmt.Errorf("%s: %w", file, unix.EISDIR), at.close())
		}
		at.name, at.full = rest[0], filepath.Join(at.dir.Name(), rest[0])
		target, link, err := at.link()
		switch {
		case err != nil:
		case link && links == maxLinks:
			err = fmt.Errorf("%s: %w", file, unix.ELOOP)
		case link && !at.ours && len(rest) == 1:
			return at, nil // it is replaced itself
		case link && !at.ours:
			err = fmt.Errorf("%s is a link, and others than root may put one there: %w", at.full, errLaid)
		case link:
			links++
			if filepath.IsAbs(target) {
				err = at.move("/")
			}
			rest = append(words(target), rest[1:]...)
			if err == nil {
				continue
			}
		case len(rest) == 1:
			return at, nil
		default:
			if err = at.move(rest[0]); err == nil {
				rest = rest[1:]
				continue
			}
		}
		return nil, errors.Join(err, at.close())
	}
}

// words are the elements of a name; those that are ".." stay, and are gone to.
func words(name string) (all []string) {
	for word := range strings.SplitSeq(name, "/") {
		if word != "" && word != "." {
			all = append(all, word)
		}
	}
	return all
}

func openRoot() (*place, error) {
	p := &place{}
	return p, p.open(unix.AT_FDCWD, "/", "/")
}

// link is what the name in the directory points to, if it is a link.
func (p *place) link() (target string, is bool, err error) {
	buffer := make([]byte, unix.PathMax)
	n, err := unix.Readlinkat(int(p.dir.Fd()), p.name, buffer)
	switch {
	case errors.Is(err, unix.EINVAL), errors.Is(err, unix.ENOENT): // no link; or nothing
		return "", false, nil
	case err != nil:
		return "", false, &os.PathError{Op: "readlink", Path: p.full, Err: err}
	}
	return string(buffer[:n]), true, nil
}

// move goes into a directory.
func (p *place) move(name string) error {
	was, full := p.dir, filepath.Join(p.dir.Name(), name)
	if name == "/" {
		full = "/"
	}
	if err := p.open(int(was.Fd()), name, full); err != nil {
		return err
	}
	return was.Close()
}

func (p *place) open(at int, name, full string) error {
	fd, err := unix.Openat(at, name, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
	if err != nil {
		return &os.PathError{Op: "open", Path: full, Err: err}
	}
	dir := os.NewFile(uintptr(fd), full)
	var stat unix.Stat_t
	if err := unix.Fstat(fd, &stat); err != nil {
		return errors.Join(&os.PathError{Op: "stat", Path: full, Err: err}, dir.Close())
	}
	p.dir, p.ours = dir, stat.Uid == 0 && stat.Mode&0o022 == 0
	return nil
}

// read reads the file, or what a link in its place leads to; no pipe or device,
// which would hold root up.
func (p *place) read() (content []byte, stat unix.Stat_t, err error) {
	fd, err := unix.Openat(int(p.dir.Fd()), p.name, unix.O_RDONLY|unix.O_NONBLOCK|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, stat, &os.PathError{Op: "open", Path: p.full, Err: err}
	}
	f := os.NewFile(uintptr(fd), p.full)
	defer f.Close()
	if err := unix.Fstat(fd, &stat); err != nil {
		return nil, stat, &os.PathError{Op: "stat", Path: p.full, Err: err}
	}
	switch {
	case stat.Mode&unix.S_IFMT != unix.S_IFREG:
		return nil, stat, fmt.Errorf("%s is no file: %w", p.full, errLaid)
	case stat.Size > maxFile:
		return nil, stat, fmt.Errorf("%s: %d bytes, a redis.conf has less than %d", p.full, stat.Size, maxFile)
	}
	content, err = io.ReadAll(io.LimitReader(f, maxFile))
	return content, stat, err
}

// replace puts a new file in the place of the one that was read, with its owner
// and mode: whole, or not at all.
func (p *place) replace(content []byte, was unix.Stat_t) (err error) {
	dir, unfinished := int(p.dir.Fd()), ".redis-watchdog-"+rand.Text()
	fd, err := unix.Openat(dir, unfinished, unix.O_WRONLY|unix.O_CREAT|unix.O_EXCL|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0o600)
	if err != nil {
		return &os.PathError{Op: "create", Path: filepath.Join(p.dir.Name(), unfinished), Err: err}
	}
	f := os.NewFile(uintptr(fd), unfinished)
	defer func() {
		if err != nil {
			err = errors.Join(err, unix.Unlinkat(dir, unfinished, 0))
		}
	}()
	_, err = f.Write(content)
	if err == nil {
		err = f.Chown(int(was.Uid), int(was.Gid))
	}
	if err == nil {
		err = f.Chmod(os.FileMode(was.Mode & 0o777))
	}
	if err == nil {
		err = f.Sync()
	}
	if err = errors.Join(err, f.Close()); err != nil {
		return err
	}
	if err := unix.Renameat(dir, unfinished, dir, p.name); err != nil {
		return &os.PathError{Op: "rename", Path: p.full, Err: err}
	}
	return nil
}
