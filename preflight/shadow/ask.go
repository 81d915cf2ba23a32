package shadow

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/redis-watchdog/redis-watchdog/preflight"
	"github.com/redis-watchdog/redis-watchdog/watchdog/redisclient"
)

var errStrange = errors.New("an answer no Redis gives")

// ask asks for everything at once.
func ask(ctx context.Context, client *redisclient.Client) (*Result, error) {
	const mayFail = 2 // from here on
	commands := [][]string{{"CONFIG", "GET", "*"}, {"INFO", "server"}, {"ACL", "LIST"},
		// Last, for it changes the shadow.
		{"CONFIG", "SET", "min-replicas-max-lag", "10"}, {"CONFIG", "SET", "min-replicas-to-write", "1"}, {"EVAL", lockedScript, "0"}}
	answers, err := client.Ask(ctx, commands...)
	if err != nil {
		return nil, fmt.Errorf("ask the shadow: %w", err)
	}
	for i, a := range answers[:mayFail] {
		if a.Err != nil {
			// Its code only: the rest may quote.
			code, _, _ := strings.Cut(a.Err.Error(), " ")
			return nil, fmt.Errorf("ask the shadow %s: %s", commands[i][0], code)
		}
	}
	r := &Result{Config: answers[0].Pairs(), LockedScript: locked(answers[len(answers)-1].Text())}
	if len(r.Config) == 0 || answers[1].Text() == "" {
		return nil, fmt.Errorf("ask the shadow: %w", errStrange)
	}
	for line := range strings.SplitSeq(answers[1].Text(), "\r\n") {
		name, value, _ := strings.Cut(line, ":")
		switch name {
		case "redis_version", "valkey_version":
			r.Version = value // valkey's own comes second
		case "redis_build_id":
			r.BuildID = value
		}
	}
	for _, e := range answers[2].List() {
		if line := redisclient.Text(e); !strings.HasPrefix(line, "user "+user+" ") {
			r.Users = append(r.Users, line)
		}
	}
	return r, nil
}

// lockedScript writes nothing that would need memory, and tells what became of it.
const lockedScript = `local r = redis.pcall('del', 'redis-watchdog:probe')
if type(r) == 'table' and r.err then return r.err end
return 'executed'`

func locked(answer string) string {
	switch {
	case answer == preflight.ScriptExecuted:
		return preflight.ScriptExecuted
	case strings.Contains(answer, "NOREPLICAS"):
		return preflight.ScriptRefused
	}
	return ""
}
