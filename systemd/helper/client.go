package helper

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"time"

	"github.com/redis-watchdog/redis-watchdog/systemd"
)

// Client asks the helper that listens at a path. It holds nothing open and is
// safe for concurrent use.
type Client struct{ path string }

// New asks the helper at path; nothing is dialled before it is needed.
func New(path string) *Client { return &Client{path: path} }

// Supervision is what the service manager does with the unit: see
// systemd.Units.Supervision.
func (c *Client) Supervision(ctx context.Context, unit string) (s systemd.Supervision, err error) {
	text, err := c.ask(ctx, request{Op: opSupervision, Unit: unit})
	if err != nil {
		return s, err
	}
	if err := json.Unmarshal([]byte(text), &s); err != nil {
		return s, fmt.Errorf("ask the helper: %w", err)
	}
	return s, nil
}

// CommandLine is what the unit starts whose main process, a Redis, that is: see
// systemd.Units.CommandLine.
func (c *Client) CommandLine(ctx context.Context, pid int) (words []string, err error) {
	text, err := c.ask(ctx, request{Op: opCommand, PID: pid})
	if err != nil {
		return nil, err
	}
	if err := json.Unmarshal([]byte(text), &words); err != nil {
		return nil, fmt.Errorf("ask the helper: %w", err)
	}
	return words, nil
}

// Redis is one Redis of this host, which the caller calls name; unit is that
// which runs it, empty where none does.
func (c *Client) Redis(name, unit string) *Redis { return &Redis{client: c, name: name, unit: unit} }

// Redis is killed, and kept down, by the helper. See systemd.Redis, which it
// stands for.
type Redis struct {
	client     *Client
	name, unit string
}

// Prepare readies Kill for the Redis that says c of itself. Call it at the
// start, for every new run id, and now and then: a helper that was started anew
// knows of no Redis without a unit.
func (r *Redis) Prepare(ctx context.Context, c systemd.Claim) error {
	_, err := r.client.ask(ctx, request{Op: opPrepare, Redis: r.name, Unit: r.unit, PID: c.PID, Uptime: c.Uptime, Executable: c.Executable})
	return err
}

// Kill kills Redis and returns nil when it was seen to be gone. pid is what
// Redis said last of its process, 0 if nothing.
func (r *Redis) Kill(ctx context.Context, pid int, _ string) error {
	_, err := r.client.ask(ctx, request{Op: opKill, Redis: r.name, Unit: r.unit, PID: pid})
	return err
}

// StartBlock is the file that keeps a killed Redis from being started; "" when nothing
// does, as always without a unit.
func (r *Redis) StartBlock(ctx context.Context) (file string, err error) {
	if r.unit == "" {
		return "", nil
	}
	return r.client.ask(ctx, request{Op: opStartBlock, Redis: r.name, Unit: r.unit})
}

// Restore lets the Redis serve again after Kill; without a unit it does nothing.
func (r *Redis) Restore(ctx context.Context) error {
	if r.unit == "" {
		return nil
	}
	_, err := r.client.ask(ctx, request{Op: opRestore, Redis: r.name, Unit: r.unit})
	return err
}

// Close has nothing to give back: what was prepared is the helper's.
func (r *Redis) Close() error { return nil }

// ask is bounded by ctx, which ends, else by maxWithin.
func (c *Client) ask(ctx context.Context, r request) (text string, err error) {
	ctx, cancel := context.WithTimeout(ctx, maxWithin)
	defer cancel()
	deadline, _ := ctx.Deadline()
	r.Within = time.Until(deadline)
	var d net.Dialer
	conn, err := d.DialContext(ctx, "unix", c.path)
	if err != nil {
		return "", fmt.Errorf("ask the helper (systemctl status redis-watchdog-helper.socket): %w", err)
	}
	defer conn.Close()
	stop := context.AfterFunc(ctx, func() { _ = conn.SetDeadline(time.Now()) })
	defer stop()
	line, err := json.Marshal(r)
	if err == nil {
		_, err = conn.Write(append(line, '\n'))
	}
	var a answer
	if err == nil {
		line, err = bufio.NewReader(io.LimitReader(conn, maxLine)).ReadBytes('\n')
	}
	if err == nil {
		err = json.Unmarshal(line, &a)
	}
	switch {
	case err != nil:
		return "", fmt.Errorf("ask the helper: %w", errors.Join(err, context.Cause(ctx)))
	case a.Error != "":
		return "", errors.New(a.Error)
	}
	return a.Text, nil
}
