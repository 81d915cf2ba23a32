package shadow

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"net"
	"strconv"
	"strings"
)

// errGarbage is what is not RESP2.
var errGarbage = errors.New("not the Redis protocol")

const (
	maxText  = 32 << 20
	maxElems = 1 << 16
)

// ask asks for everything at once.
func ask(conn net.Conn, password string) (*Result, error) {
	commands := [][]string{{"AUTH", user, password}, {"CONFIG", "GET", "*"}, {"INFO", "server"}, {"ACL", "LIST"}}
	var request strings.Builder
	for _, words := range commands {
		fmt.Fprintf(&request, "*%d\r\n", len(words))
		for _, w := range words {
			fmt.Fprintf(&request, "$%d\r\n%s\r\n", len(w), w)
		}
	}
	if _, err := io.WriteString(conn, request.String()); err != nil {
		return nil, fmt.Errorf("ask the shadow: %w", err)
	}
	in := bufio.NewReader(conn)
	answers := make([][]string, len(commands))
	for i, words := range commands {
		answer, err := reply(in)
		if said := serverError(""); errors.As(err, &said) && words[0] == "ACL" {
			break
		}
		if err != nil {
			return nil, fmt.Errorf("ask the shadow %s: %w", words[0], err)
		}
		answers[i] = answer
	}
	if len(answers[1])%2 != 0 || len(answers[2]) != 1 {
		return nil, fmt.Errorf("ask the shadow: %w", errGarbage)
	}
	r := &Result{Config: map[string]string{}}
	for i := 0; i < len(answers[1]); i += 2 {
		r.Config[answers[1][i]] = answers[1][i+1]
	}
	for line := range strings.SplitSeq(answers[2][0], "\r\n") {
		name, value, _ := strings.Cut(line, ":")
		switch name {
		case "redis_version", "valkey_version":
			r.Version = value // valkey's own comes second
		case "redis_build_id":
			r.BuildID = value
		}
	}
	for _, line := range answers[3] {
		if !strings.HasPrefix(line, "user "+user+" ") {
			r.Users = append(r.Users, line)
		}
	}
	return r, nil
}

// serverError is an error reply's code: the rest may quote.
type serverError string

func (e serverError) Error() string { return string(e) }

// reply reads one answer: the texts of an array, or one text.
func reply(in *bufio.Reader) ([]string, error) {
	head, err := in.ReadString('\n')
	if err != nil {
		return nil, err
	}
	head = strings.TrimSuffix(head, "\r\n")
	if head == "" {
		return nil, errGarbage
	}
	switch rest := head[1:]; head[0] {
	case '+', ':':
		return []string{rest}, nil
	case '-':
		code, _, _ := strings.Cut(rest, " ")
		return nil, serverError(code)
	case '$':
		n, err := strconv.Atoi(rest)
		if err != nil || n < 0 || n > maxText {
			return nil, errGarbage
		}
		text := make([]byte, n+2)
		if _, err := io.ReadFull(in, text); err != nil {
			return nil, err
		}
		return []string{string(text[:n])}, nil
	case '*':
		n, err := strconv.Atoi(rest)
		if err != nil || n < 0 || n > maxElems {
			return nil, errGarbage
		}
		var texts []string
		for range n {
			one, err := reply(in)
			if err != nil || len(one) != 1 {
				return nil, errors.Join(err, errGarbage)
			}
			texts = append(texts, one...)
		}
		return texts, nil
	}
	return nil, errGarbage
}
