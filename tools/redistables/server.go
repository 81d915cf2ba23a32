package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/redis/go-redis/v9/maintnotifications"
)

// server is a binary in a root, to be started again and again.
type server struct {
	root, binary string
}

// startTimeout bounds one start; the server is up after some 30 ms.
const startTimeout = 20 * time.Second

// refused is what a server said that did not start.
type refused string

func (r refused) Error() string { return string(r) }

// on starts the server on a file of these lines and hands over a client and the
// file's name; a refused error says why it did not start.
func (s *server) on(ctx context.Context, lines string, use func(*redis.Client, string) error) error {
	ctx, cancel := context.WithTimeout(ctx, startTimeout)
	defer cancel()
	dir, err := os.MkdirTemp(filepath.Join(s.root, "tmp"), "t")
	if err != nil {
		return fmt.Errorf("make directory: %w", err)
	}
	defer os.RemoveAll(dir)
	inside, err := filepath.Rel(s.root, dir)
	if err != nil {
		return fmt.Errorf("name directory: %w", err)
	}
	inside = "/" + inside
	file := filepath.Join(dir, "redis.conf")
	text := "unixsocket " + inside + "/s\ndir " + inside + "\n" + lines + "\n"
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		return fmt.Errorf("write file: %w", err)
	}
	var output bytes.Buffer
	cmd := exec.CommandContext(ctx, s.binary, inside+"/redis.conf")
	cmd.Stdout, cmd.Stderr = &output, &output
	cmd.Dir = "/"
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL, Cloneflags: syscall.CLONE_NEWNET, Chroot: s.root}
	if err := cmd.Start(); err != nil {
		return fmt.Errorf("start: %w", err)
	}
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	client := redis.NewClient(&redis.Options{
		Network: "unix", Addr: filepath.Join(dir, "s"), MaxRetries: -1, PoolSize: 1, ContextTimeoutEnabled: true,
		Protocol: 2, DisableIdentity: true,
		MaintNotificationsConfig: &maintnotifications.Config{Mode: maintnotifications.ModeDisabled},
	})
	defer client.Close()
	if err := s.wait(ctx, filepath.Join(dir, "s"), ended); err != nil {
		if errors.Is(err, errEnded) {
			return refused(output.String())
		}
		cmd.Process.Kill()
		<-ended
		return err
	}
	err = use(client, file)
	cmd.Process.Kill()
	<-ended
	return err
}

var errEnded = errors.New("the server ended")

func (s *server) wait(ctx context.Context, socket string, ended <-chan error) error {
	tick := time.NewTicker(2 * time.Millisecond)
	defer tick.Stop()
	for {
		if conn, err := net.Dial("unix", socket); err == nil {
			return conn.Close()
		}
		select {
		case <-ended:
			return errEnded
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-tick.C:
		}
	}
}

// get is CONFIG GET.
func get(ctx context.Context, c *redis.Client, pattern string) (map[string]string, error) {
	values, err := c.ConfigGet(ctx, pattern).Result()
	if err != nil {
		return nil, fmt.Errorf("config get %s: %w", pattern, err)
	}
	return values, nil
}

func readFile(name string) (string, error) {
	text, err := os.ReadFile(name)
	if err != nil {
		return "", fmt.Errorf("read file: %w", err)
	}
	return string(text), nil
}
