package gather

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strings"
)

// LetsIn says whether the server is reached and takes our user and password;
// nil: it does. What it answers beyond that, such as LOADING, is not asked.
func (s Server) LetsIn(ctx context.Context) error {
	replies, err := s.ask(ctx, []string{"ping"})
	if err != nil {
		return err
	}
	if err := replies[0].Err(); err != nil && strings.HasPrefix(err.Error(), "NOAUTH") {
		return fmt.Errorf("%s: %w", s, err)
	}
	return nil
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
	if err := re.Err(); err != nil {
		return "", fmt.Errorf("%s: %w", s, err)
	}
	switch {
	case re.Kind != '*':
		return re.Text, nil
	case len(re.Elems) == 2:
		return re.Elems[1].Text, nil
	}
	return "", fmt.Errorf("%s answered %s with %d elements", s, command[0], len(re.Elems))
}

// Monitors is the master that a Sentinel names for a group, host:port; empty: it
// monitors no group of that name.
func (s Server) Monitors(ctx context.Context, group string) (master string, err error) {
	replies, err := s.ask(ctx, []string{"SENTINEL", "GET-MASTER-ADDR-BY-NAME", group})
	if err != nil {
		return "", err
	}
	re := replies[0]
	if err := re.Err(); err != nil {
		return "", fmt.Errorf("%s: %w", s, err)
	}
	switch {
	case re.Null:
		return "", nil
	case len(re.Elems) == 2:
		return net.JoinHostPort(re.Elems[0].Text, re.Elems[1].Text), nil
	}
	return "", fmt.Errorf("%s answered SENTINEL with %d elements", s, len(re.Elems))
}
