package sentinel

// One command to one Sentinel, for an operator.

import (
	"context"
	"errors"
	"fmt"
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
	conn, err := dial(ctx, address, address, w.cfg.TLS)
	if err != nil {
		return fmt.Errorf("%w: %w", ErrNotSent, err)
	}
	l := newLink(conn, w.cfg.Username, w.cfg.Password, false)
	defer l.close()
	defer context.AfterFunc(ctx, func() { l.raw.Close() })()
	command := make([]any, len(words))
	for i, word := range words {
		command[i] = word
	}
	answers, err := l.ask(ctx, connectTimeout, command)
	switch {
	case err != nil && answers == nil:
		return fmt.Errorf("sentinel %s: %w: %w", address, ErrNotSent, err)
	case err != nil:
		return fmt.Errorf("sentinel %s: %w", address, err)
	case answers[0].Err != nil:
		return fmt.Errorf("sentinel %s: %w", address, &RefusedError{answers[0].Err.Error()})
	}
	return nil
}
