package gather

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strings"

	"github.com/redis-watchdog/redis-watchdog/watchdog/redisclient"
)

// LetsIn says whether the server is reached and takes our user and password;
// nil: it does. What it answers beyond that, such as LOADING, is not asked.
func (s Server) LetsIn(ctx context.Context) error {
	replies, err := s.ask(ctx, []string{"ping"})
	if err != nil {
		return err
	}
	if err := replies[0].Err; err != nil && strings.HasPrefix(err.Error(), "NOAUTH") {
		return fmt.Errorf("%s: %w", s, err)
	}
	return nil
}

// Speaks says whether a Redis or a Sentinel answers there, whatever it answers: it
// may want a password, let nobody in, or have renamed PING.
func (s Server) Speaks(ctx context.Context) bool {
	_, err := s.ask(ctx, []string{"PING"})
	_, refused := redisclient.Refusal(err)
	return err == nil || refused
}

// Do sends one command and returns its answer as text; of the name and value
// that CONFIG GET answers it is the value. An error answer is an error. It is
// for whoever carries out a remedy: reading a group never uses it.
func (s Server) Do(ctx context.Context, command ...string) (string, error) {
	if len(command) == 0 {
		return "", errors.New("no command is given")
	}
	replies, err := s.ask(ctx, command)
	if err != nil {
		return "", err
	}
	re := replies[0]
	if re.Err != nil {
		return "", fmt.Errorf("%s: %w", s, re.Err)
	}
	list, is := re.Value.([]any)
	switch {
	case !is:
		return re.Text(), nil
	case len(list) == 2:
		return redisclient.Text(list[1]), nil
	}
	return "", fmt.Errorf("%s answered %s with %d elements", s, command[0], len(list))
}

// Monitors is the master that a Sentinel names for a group, host:port; empty: it
// monitors no group of that name.
func (s Server) Monitors(ctx context.Context, group string) (master string, err error) {
	replies, err := s.ask(ctx, []string{"SENTINEL", "GET-MASTER-ADDR-BY-NAME", group})
	if err != nil {
		return "", err
	}
	re := replies[0]
	if re.Err != nil {
		return "", fmt.Errorf("%s: %w", s, re.Err)
	}
	at := re.List()
	switch {
	case re.Value == nil:
		return "", nil
	case len(at) == 2:
		return net.JoinHostPort(redisclient.Text(at[0]), redisclient.Text(at[1])), nil
	}
	return "", fmt.Errorf("%s answered SENTINEL with %d elements", s, len(at))
}
