package lab

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"

	"golang.org/x/sys/unix"
)

// starter starts every process of a lab from one OS thread that lives as long
// as the lab: Pdeathsig fires at the death of the *thread* that forked
// (prctl(2), PR_SET_PDEATHSIG), and a namespace the thread is in is inherited.
type starter struct {
	jobs chan func()
	done chan struct{}
	home *os.File // the network namespace of the owner
}

// newStarter starts the thread. With a hosts file, the thread and with it all
// it starts get a mount namespace of their own in which that file is
// /etc/hosts, and no name server is asked.
func newStarter(hosts string) (*starter, error) {
	s := &starter{jobs: make(chan func()), done: make(chan struct{})}
	ready := make(chan error, 1)
	go func() {
		defer close(s.done)
		// Never unlocked: the thread must not serve anything else, and ends
		// with this goroutine.
		runtime.LockOSThread()
		var err error
		if s.home, err = currentNamespace(); err == nil && hosts != "" {
			err = mountHosts(hosts)
		}
		ready <- err
		if err != nil {
			return
		}
		for job := range s.jobs {
			job()
		}
	}()
	if err := <-ready; err != nil {
		return nil, err
	}
	return s, nil
}

func (s *starter) close() {
	close(s.jobs)
	<-s.done
	s.home.Close()
}

// do runs f on the thread.
func (s *starter) do(f func() error) error {
	result := make(chan error, 1)
	s.jobs <- func() { result <- f() }
	return <-result
}

// start starts cmd in a network namespace (nil: the owner's).
func (s *starter) start(cmd *exec.Cmd, namespace *os.File) error {
	return s.do(func() error {
		if namespace == nil {
			return cmd.Start()
		}
		if err := unix.Setns(int(namespace.Fd()), unix.CLONE_NEWNET); err != nil {
			return fmt.Errorf("enter network namespace: %w", err)
		}
		err := cmd.Start()
		if back := unix.Setns(int(s.home.Fd()), unix.CLONE_NEWNET); back != nil {
			return errors.Join(err, fmt.Errorf("leave network namespace: %w", back))
		}
		return err
	})
}

// newNamespace makes a network namespace that lives as long as the returned
// file is open or a process is in it. It has no name and no mount, so nothing
// has to be removed.
func (s *starter) newNamespace() (file *os.File, err error) {
	err = s.do(func() error {
		if err := unix.Unshare(unix.CLONE_NEWNET); err != nil {
			return fmt.Errorf("make network namespace: %w", err)
		}
		if file, err = currentNamespace(); err != nil {
			return err
		}
		if err := unix.Setns(int(s.home.Fd()), unix.CLONE_NEWNET); err != nil {
			return fmt.Errorf("leave network namespace: %w", err)
		}
		return nil
	})
	return file, err
}

func currentNamespace() (*os.File, error) {
	file, err := os.Open("/proc/thread-self/ns/net")
	if err != nil {
		return nil, fmt.Errorf("open network namespace: %w", err)
	}
	return file, nil
}

func mountHosts(hosts string) error {
	empty := filepath.Join(filepath.Dir(hosts), "resolv.conf")
	for _, path := range []string{hosts, empty} {
		if err := os.WriteFile(path, nil, 0o644); err != nil {
			return fmt.Errorf("write %s: %w", filepath.Base(path), err)
		}
	}
	if err := unix.Unshare(unix.CLONE_FS | unix.CLONE_NEWNS); err != nil {
		return fmt.Errorf("make mount namespace: %w", err)
	}
	if err := unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, ""); err != nil {
		return fmt.Errorf("make mounts private: %w", err)
	}
	for source, target := range map[string]string{hosts: "/etc/hosts", empty: "/etc/resolv.conf"} {
		err := unix.Mount(source, target, "", unix.MS_BIND, "")
		if err != nil && !errors.Is(err, unix.ENOENT) {
			return fmt.Errorf("mount %s: %w", target, err)
		}
	}
	return nil
}
