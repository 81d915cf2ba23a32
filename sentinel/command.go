package sentinel

// One command to one Sentinel, for an operator.

import (
	"context"
	"errors"
	"fmt"

	"github.com/redis-watchdog/redis-watchdog/watchdog/resp"
)

// ErrNotSent is a command that the Sentinel cannot have heard.
var ErrNotSent = errors.New("not sent")

// RefusedError is a Sentinel's own word against a command: nothing was done.
type RefusedError struct{ Text string }

func (e *RefusedError) Error() string { return e.Text }

// Command has one Sentinel do something, on a connection of its own. Errors:
// ErrNotSent, a *RefusedError, or another, after which it may have been done or
// not. It takes at most two seconds.
func (w *Watcher) Command(ctx context.Context, address string, words ...string) error {
	ctx, cancel := context.WithTimeout(ctx, connectTimeout)
	defer cancel()
	conn, err := dial(ctx, address)
	if err == nil && w.cfg.TLS != nil {
		conn, err = secure(ctx, conn, w.cfg.TLS, address)
	}
	if err != nil {
		return fmt.Errorf("connect to sentinel %s: %w: %w", address, ErrNotSent, err)
	}
	defer conn.Close()
	r := &replies{src: conn}
	if err := authenticate(conn, r, w.cfg.Username, w.cfg.Password); err != nil {
		return fmt.Errorf("sentinel %s: %w: %w", address, ErrNotSent, err)
	}
	if err := send(conn, connectTimeout, resp.Append(nil, words...)); err != nil {
		return fmt.Errorf("sentinel %s: %w", address, err)
	}
	r.reset()
	at, err := r.next()
	if err != nil {
		return fmt.Errorf("sentinel %s: read answer: %w", address, err)
	}
	if v := r.vals[at]; v.kind == '-' {
		return fmt.Errorf("sentinel %s: %w", address, &RefusedError{string(r.text(v))})
	}
	return nil
}
