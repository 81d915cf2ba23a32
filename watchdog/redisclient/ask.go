package redisclient

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/redis/go-redis/v9"
)

// Answer is what a server answered to one command.
type Answer struct {
	// Value is a string, an int64, a []any of those, of errors and of nil, or nil.
	Value any
	Err   error // what was answered is an error, or the command was not sent: ErrRemoved
}

// Text is a string or a number; empty: it is neither.
func (a Answer) Text() string { return Text(a.Value) }

// List is the elements; nil: it has none.
func (a Answer) List() []any { return List(a.Value) }

// Pairs is a list of names and values as a map.
func (a Answer) Pairs() map[string]string { return Pairs(a.Value) }

// UnknownCommand says whether the server does not know the command (it is
// renamed, removed, or newer than this server).
func (a Answer) UnknownCommand() bool {
	return a.Err != nil && strings.HasPrefix(strings.ToLower(a.Err.Error()), "err unknown command")
}

// Text is a value of an Answer that is a string or a number; else it is empty.
func Text(value any) string {
	switch v := value.(type) {
	case string:
		return v
	case int64:
		return strconv.FormatInt(v, 10)
	}
	return ""
}

// List is the elements of a value of an Answer; nil: it has none.
func List(value any) []any {
	list, _ := value.([]any)
	return list
}

// Pairs is a list of names and values as a map. A name without a value is left
// out.
func Pairs(value any) map[string]string {
	list := List(value)
	m := make(map[string]string, len(list)/2)
	for i := 0; i+1 < len(list); i += 2 {
		m[Text(list[i])] = Text(list[i+1])
	}
	return m
}

// Command is a command of a pipeline that knows whether it was answered. After an
// error of the connection the library stamps it on the commands that were answered
// before it too; and on none where it had no connection because of what a server
// answered earlier, so that they look as if they had been answered nil.
type Command struct {
	*redis.Cmd
	answered bool
}

// NewCommand makes one for Process of a Pipeliner.
func NewCommand(ctx context.Context, words ...any) *Command {
	return &Command{Cmd: redis.NewCmd(ctx, words...)}
}

// SetErr is called by the library with what came of the command; the first answer
// stands.
func (c *Command) SetErr(err error) {
	if c.answered {
		return
	}
	_, answered := err.(redis.Error) // itself: one that wraps it says why there was no connection
	c.answered = err == nil || answered
	c.Cmd.SetErr(err)
}

var errNotSent = errors.New("it was not sent")

// Answer is what was answered; an error: nothing was, and it says why.
func (c *Command) Answer() (Answer, error) {
	value, err := c.Result()
	switch {
	case !c.answered && err == nil:
		return Answer{}, errNotSent
	case !c.answered:
		return Answer{}, err
	case err == nil || errors.Is(err, redis.Nil):
		return Answer{Value: value}, nil
	}
	return Answer{Err: err}, nil
}

// Pipelined sends the commands in one write and reads what is answered to each. An
// error says why the first that is missing is: the answers before it come with it.
func Pipelined(ctx context.Context, pipe redis.Pipeliner, commands [][]any) ([]Answer, error) {
	sent := make([]*Command, len(commands))
	for i, words := range commands {
		sent[i] = NewCommand(ctx, words...)
		_ = pipe.Process(ctx, sent[i]) // queues it
	}
	_, failed := pipe.Exec(ctx)
	answers := make([]Answer, 0, len(sent))
	for _, cmd := range sent {
		answer, err := cmd.Answer()
		if errors.Is(err, errNotSent) && failed != nil {
			err = failed
		}
		if err != nil {
			return answers, err
		}
		answers = append(answers, answer)
	}
	return answers, nil
}

// Ask opens a connection, sends every command in one write, and returns an answer
// to each. An error says that the server was not reached, refused us or did not
// answer before ctx ended; what it had answered by then comes with it, and nil where
// nothing can have been sent. A command that was taken away is not sent: its answer
// is ErrRemoved.
func Ask(ctx context.Context, s Server, commands ...[]string) ([]Answer, error) {
	// Two, though one is used: at one the library would answer a dial that failed
	// by dialling again in the background.
	c := Open(s, 2)
	defer c.Close()
	return c.Ask(ctx, commands...)
}

// Ask is the function of that name over a connection of the client's. If ctx ends
// before the answers have come the client is of no more use.
func (c *Client) Ask(ctx context.Context, commands ...[]string) ([]Answer, error) {
	// A context that is cancelled does not end a read of the library's.
	defer context.AfterFunc(ctx, func() { c.Client.Close() })()
	sent := make([][]any, 0, len(commands))
	for _, words := range commands {
		name, there := c.server.named(words[0])
		if !there {
			continue
		}
		args := []any{name}
		for _, word := range words[1:] {
			args = append(args, word)
		}
		sent = append(sent, args)
	}
	got, err := Pipelined(ctx, c.Pipeline(), sent)
	if err != nil && !c.Reached() {
		return nil, c.where(ctx, "", err)
	}
	answers := make([]Answer, 0, len(commands))
	for _, words := range commands {
		switch _, there := c.server.named(words[0]); {
		case !there:
			answers = append(answers, Answer{Err: ErrRemoved})
		case len(got) == 0:
			return answers, c.where(ctx, words[0], err)
		default:
			answers, got = append(answers, got[0]), got[1:]
		}
	}
	return answers, nil
}

// Named sends one command by what the server calls it. It ends with ctx's deadline,
// and not with a cancel (Ask does).
func (c *Client) Named(ctx context.Context, command string, words ...any) *redis.Cmd {
	name, there := c.server.named(command)
	if !there {
		cmd := redis.NewCmd(ctx, command)
		cmd.SetErr(ErrRemoved)
		return cmd
	}
	return c.Do(ctx, append([]any{name}, words...)...)
}

// Receive waits for what is published, so long. The library takes every message for
// what it should be, and panics at some that are not: that is an ErrGarbage here.
func Receive(ctx context.Context, pubsub *redis.PubSub, within time.Duration) (message any, err error) {
	return guarded(func() (any, error) { return pubsub.ReceiveTimeout(ctx, within) })
}

func guarded(receive func() (any, error)) (message any, err error) {
	defer func() {
		if r := recover(); r != nil {
			message, err = nil, fmt.Errorf("%w: a message that is none: %v", ErrGarbage, r)
		}
	}()
	return receive()
}
