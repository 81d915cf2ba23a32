package shadow

import (
	"bufio"
	"errors"
	"fmt"
	"net"
	"strings"

	"github.com/redis-watchdog/redis-watchdog/preflight"
	"github.com/redis-watchdog/redis-watchdog/watchdog/resp"
)

// ask asks for everything at once.
func ask(conn net.Conn, password string) (*Result, error) {
	commands := [][]string{{"AUTH", user, password}, {"CONFIG", "GET", "*"}, {"INFO", "server"}, {"ACL", "LIST"},
		// Last, for it changes the shadow.
		{"CONFIG", "SET", "min-replicas-max-lag", "10"}, {"CONFIG", "SET", "min-replicas-to-write", "1"}, {"EVAL", lockedScript, "0"}}
	const mayFail = 3 // from here on
	var request []byte
	for _, words := range commands {
		request = resp.Append(request, words...)
	}
	if _, err := conn.Write(request); err != nil {
		return nil, fmt.Errorf("ask the shadow: %w", err)
	}
	in := bufio.NewReader(conn)
	answers := make([][]string, len(commands))
	for i, words := range commands {
		answer, err := texts(in)
		if said := serverError(""); errors.As(err, &said) && i >= mayFail {
			continue
		}
		if err != nil {
			return nil, fmt.Errorf("ask the shadow %s: %w", words[0], err)
		}
		answers[i] = answer
	}
	if len(answers[1])%2 != 0 || len(answers[2]) != 1 {
		return nil, fmt.Errorf("ask the shadow: %w", resp.ErrGarbage)
	}
	r := &Result{Config: map[string]string{}, LockedScript: locked(answers[len(answers)-1])}
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

// lockedScript writes nothing that would need memory, and tells what became of it.
const lockedScript = `local r = redis.pcall('del', 'redis-watchdog:probe')
if type(r) == 'table' and r.err then return r.err end
return 'executed'`

func locked(answer []string) string {
	switch {
	case len(answer) != 1:
	case answer[0] == preflight.ScriptExecuted:
		return preflight.ScriptExecuted
	case strings.Contains(answer[0], "NOREPLICAS"):
		return preflight.ScriptRefused
	}
	return ""
}

// serverError is an error reply's code: the rest may quote.
type serverError string

func (e serverError) Error() string { return string(e) }

// texts reads one answer: the texts of an array, or one text.
func texts(in *bufio.Reader) ([]string, error) {
	r, err := resp.Read(in)
	switch {
	case err != nil:
		return nil, err
	case r.IsError():
		code, _, _ := strings.Cut(r.Text, " ")
		return nil, serverError(code)
	case r.Null:
		return nil, resp.ErrGarbage
	case r.Kind != '*':
		return []string{r.Text}, nil
	}
	all := make([]string, len(r.Elems))
	for i, e := range r.Elems {
		if e.Kind == '*' || e.Null || e.IsError() {
			return nil, resp.ErrGarbage
		}
		all[i] = e.Text
	}
	return all, nil
}
