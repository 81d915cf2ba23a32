// Package trusted goes where the names of files lead as root may: it follows no
// link that another than root could have laid, and says of a program whether
// another could have put it there.
package trusted

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

	"github.com/redis-watchdog/redis-watchdog/watchdog/statedir"
	"golang.org/x/sys/unix"
)

// ErrLaid is something that another than root may have put in root's way.
var ErrLaid = errors.New("not to be trusted as root")

const (
	maxLinks = 40 // as the kernel has it
	// MaxFile bounds what is read: a redis.conf with all its comments has 100 kB.
	MaxFile = 4 << 20
)

// Place is a file of a directory that was reached without following a link that
// another than root could have laid. What happens to names on the way later does
// not matter. Close it.
type Place struct {
	root *os.File
	dir  *os.File
	name string
	full string // for messages
	ours bool   // nobody but root can put a name into the directory
	// foreign is the first directory on the way that another than root can put
	// names into; empty: there is none.
	foreign string
}

// Close lets go of the directory.
func (p *Place) Close() error { return p.dir.Close() }

// Find walks to a file by its absolute name. The file need not be there. A link
// in the place of the file itself is followed only where nobody but root could
// have put it there; else the place is the link's.
func Find(file string) (*Place, error) {
	root, err := os.Open("/")
	if err != nil {
		return nil, err
	}
	defer root.Close()
	return find(root, file)
}

// find is Find in a root directory.
func find(root *os.File, file string) (*Place, error) {
	if !filepath.IsAbs(file) {
		return nil, fmt.Errorf("%s: not an absolute name", file)
	}
	at := &Place{root: root}
	if err := at.toRoot(); err != nil {
		return nil, err
	}
	rest := words(file)
	for links := 0; ; {
		if len(rest) == 0 {
			return nil, errors.Join(fmt.Errorf("%s: %w", file, unix.EISDIR), at.Close())
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
			err = fmt.Errorf("%s is a link, and others than root may put one there: %w", at.full, ErrLaid)
		case link:
			links++
			rest = append(words(target), rest[1:]...)
			if filepath.IsAbs(target) {
				err = at.toRoot()
			}
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
		return nil, errors.Join(err, at.Close())
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

// link is what the name in the directory points to, if it is a link.
func (p *Place) link() (target string, is bool, err error) {
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

// move goes into a directory; above the root there is none.
func (p *Place) move(name string) error {
	if name == ".." && p.dir.Name() == "/" {
		return nil
	}
	return p.open(int(p.dir.Fd()), name, filepath.Join(p.dir.Name(), name))
}

func (p *Place) toRoot() error { return p.open(int(p.root.Fd()), ".", "/") }

func (p *Place) open(at int, name, full string) error {
	fd, err := unix.Openat(at, name, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
	if err != nil {
		return &os.PathError{Op: "open", Path: full, Err: err}
	}
	dir := os.NewFile(uintptr(fd), full)
	var stat unix.Stat_t
	if err := unix.Fstat(fd, &stat); err != nil {
		return errors.Join(&os.PathError{Op: "stat", Path: full, Err: err}, dir.Close())
	}
	if p.dir != nil {
		_ = p.dir.Close() // a directory that was only looked through
	}
	p.dir, p.ours = dir, onlyRoots(stat)
	if !p.ours && p.foreign == "" {
		p.foreign = full
	}
	return nil
}

// onlyRoots is whether nobody but root may write.
func onlyRoots(stat unix.Stat_t) bool { return stat.Uid == 0 && stat.Mode&0o022 == 0 }

// Read reads the file, or what a link in its place leads to; no pipe or device,
// which would hold root up.
func (p *Place) Read() (content []byte, stat unix.Stat_t, err error) {
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
		return nil, stat, fmt.Errorf("%s is no file: %w", p.full, ErrLaid)
	case stat.Size > MaxFile:
		return nil, stat, fmt.Errorf("%s: %d bytes, a redis.conf has less than %d", p.full, stat.Size, MaxFile)
	}
	content, err = io.ReadAll(io.LimitReader(f, MaxFile))
	return content, stat, err
}

// Replace puts a new file in the place of the one that was read, with its owner
// and mode: whole, or not at all.
func (p *Place) Replace(content []byte, was unix.Stat_t) error {
	return statedir.WriteIn(p.dir, p.name, content, statedir.How{
		Mode: os.FileMode(was.Mode & 0o777), Owner: &statedir.Owner{UID: int(was.Uid), GID: int(was.Gid)}, Sync: true,
	})
}

// Program says whether a file is a program that nobody but root can have put
// there: it and every directory and link that leads to it are root's, and nobody
// else may write them. root is what its process has for "/"; nil: our own. The
// result is its name with all links followed, as seen in root.
func Program(root *os.File, file string) (resolved string, err error) {
	if root == nil {
		if root, err = os.Open("/"); err != nil {
			return "", err
		}
		defer root.Close()
	}
	p, err := find(root, file)
	if err != nil {
		return "", err
	}
	defer func() { err = errors.Join(err, p.Close()) }()
	if p.foreign != "" {
		return "", fmt.Errorf("%s: others than root may write %s: %w", file, p.foreign, ErrLaid)
	}
	var stat unix.Stat_t
	if err := unix.Fstatat(int(p.dir.Fd()), p.name, &stat, unix.AT_SYMLINK_NOFOLLOW); err != nil {
		return "", &os.PathError{Op: "stat", Path: p.full, Err: err}
	}
	switch {
	case stat.Mode&unix.S_IFMT != unix.S_IFREG || stat.Mode&0o111 == 0:
		return "", fmt.Errorf("%s is no program: %w", p.full, ErrLaid)
	case !onlyRoots(stat):
		return "", fmt.Errorf("%s belongs to %d with mode %04o, not to root alone: %w", p.full, stat.Uid, stat.Mode&0o7777, ErrLaid)
	}
	return p.full, nil
}
