package lab

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"
)

// Disk is a small file system of a directory's own. Only what the lab started
// sees it.
type Disk struct {
	lab *Lab
	dir string
}

// SmallDisk mounts an empty file system of 2 MB on a directory, makes that if
// need be, and gives it the files of these names that were there. What is open
// there stays where it was: do it before a process is started. The lab needs a
// mount namespace of its own, so not one on loopback.
func (l *Lab) SmallDisk(dir string, keep ...string) *Disk {
	l.t.Helper()
	if l.network == nil {
		l.t.Fatalf("lab: on loopback a mount would be everybody's")
	}
	err := l.threads.do(func() error {
		kept := map[string][]byte{}
		for _, name := range keep {
			text, err := os.ReadFile(filepath.Join(dir, name))
			if err != nil {
				return err
			}
			kept[name] = text
		}
		if err := os.MkdirAll(dir, 0o700); err != nil {
			return err
		}
		if err := unix.Mount("small", dir, "tmpfs", 0, "size=2m,mode=700"); err != nil {
			return fmt.Errorf("mount: %w", err)
		}
		for name, text := range kept {
			if err := os.WriteFile(filepath.Join(dir, name), text, 0o644); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		l.t.Fatalf("lab: small disk on %s: %v", dir, err)
	}
	return &Disk{lab: l, dir: dir}
}

// Fill writes a file until there is no room for another byte.
func (d *Disk) Fill() {
	d.lab.t.Helper()
	err := d.lab.threads.do(func() error {
		f, err := os.Create(filepath.Join(d.dir, filler))
		if err != nil {
			return err
		}
		if _, err = io.Copy(f, zeros{}); !errors.Is(err, unix.ENOSPC) {
			return errors.Join(fmt.Errorf("it is not full: %v", err), f.Close())
		}
		return f.Close()
	})
	if err != nil {
		d.lab.t.Fatalf("lab: fill the disk on %s: %v", d.dir, err)
	}
	d.lab.Mark("the disk on %s is full", d.dir)
}

// Clear removes what Fill wrote.
func (d *Disk) Clear() {
	d.lab.t.Helper()
	if err := d.lab.threads.do(func() error { return os.Remove(filepath.Join(d.dir, filler)) }); err != nil {
		d.lab.t.Fatalf("lab: clear the disk on %s: %v", d.dir, err)
	}
	d.lab.Mark("the disk on %s has room", d.dir)
}

const filler = "core.dump"

// zeros is never at its end.
type zeros struct{}

func (zeros) Read(p []byte) (int, error) { clear(p); return len(p), nil }
