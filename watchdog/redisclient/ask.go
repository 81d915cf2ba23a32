package redisclient

import (
	"context"
	"errors"
	"strconv"
	"strings"

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

// AnswerTo is what was answered to a command; an error: nothing was, and it says
// why.
func AnswerTo(cmd *redis.Cmd) (Answer, error) {
	value, err := cmd.Result()
	if err == nil || errors.Is(err, redis.Nil) {
		return Answer{Value: value}, nil
	}
	if _, answered := errors.AsType[redis.Error](err); answered {
		return Answer{Err: err}, nil
	}
	return Answer{}, err
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
	pipe := c.Pipeline()
	sent := make([]*redis.Cmd, len(commands))
	for i, words := range commands {
		name, there := c.server.named(words[0])
		if !there {
			continue
		}
		args := make([]any, len(words))
		args[0] = name
		for j, word := range words[1:] {
			args[j+1] = word
		}
		sent[i] = pipe.Do(ctx, args...)
	}
	_, err := pipe.Exec(ctx)
	if err != nil && !c.Reached() {
		return nil, c.where(ctx, "", err)
	}
	answers := make([]Answer, 0, len(commands))
	for i, cmd := range sent {
		if cmd == nil {
			answers = append(answers, Answer{Err: ErrRemoved})
			continue
		}
		answer, err := AnswerTo(cmd)
		if err != nil {
			return answers, c.where(ctx, commands[i][0], err)
		}
		answers = append(answers, answer)
	}
	return answers, nil
}
