package gather

// What one Redis says of itself.

import (
	"context"
	"fmt"
	"net"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/redis-watchdog/redis-watchdog/preflight"
	"github.com/redis-watchdog/redis-watchdog/watchdog/redisclient"
)

// slowEntries is how much of the slow log is asked for.
const slowEntries = 32

// ReadRights are the rights, as arguments of ACL SETUSER, that the questions to
// Redis take beyond those of the fence. A user without them leaves Gaps.
const ReadRights = "+acl|list +slowlog|get"

// RedisConfig is one Redis that is asked.
type RedisConfig struct {
	Server
	ReadBy string // preflight.ReadLive or ReadWatchdog
	// Key is what digests of passwords are made with: random, the same for all
	// whose passwords shall be compared, and known to nobody but the caller.
	// Empty: none are made.
	Key string
	// Clients asks for CLIENT LIST too, which tells what Sentinel is logged in
	// as. It costs Redis some microseconds a client.
	Clients bool
}

// Redis asks one Redis, in one round trip, for everything. What it does not
// tell is a Gap. Nil: it told nothing, and the Gap "redis" says why.
func Redis(ctx context.Context, c RedisConfig) (*preflight.Redis, []preflight.Gap) {
	facts, _, gaps := RedisWithSecrets(ctx, c)
	return facts, gaps
}

// Secrets are answers as they stand, passwords and all. They are for whoever
// compares them with redis.conf on this host, and must be neither kept, nor
// sent, nor logged.
type Secrets struct {
	Config map[string]string // CONFIG GET *; nil: not read
	Users  []string          // ACL LIST; nil: not read
}

// RedisWithSecrets is Redis, and what it was made from.
func RedisWithSecrets(ctx context.Context, c RedisConfig) (*preflight.Redis, Secrets, []preflight.Gap) {
	what := []string{"info", "config", "acl", "slowlog"}
	questions := [][]string{
		{"INFO", "everything"}, {"CONFIG", "GET", "*"}, {"ACL", "LIST"}, {"SLOWLOG", "GET", strconv.Itoa(slowEntries)},
	}
	if c.Clients {
		what = append(what, "sentinel_rights")
		questions = append(questions, []string{"CLIENT", "LIST"})
	}
	re, err := c.ask(ctx, questions...)
	gaps := missing(what, re, err)
	if len(gaps) == len(what) {
		return nil, Secrets{}, []preflight.Gap{{What: "redis", Why: gaps[0].Why}}
	}
	facts := &preflight.Redis{ReadBy: c.ReadBy}
	read := func(i int) (redisclient.Answer, bool) {
		if i >= len(re) || re[i].Err != nil {
			return redisclient.Answer{}, false
		}
		return re[i], true
	}
	now := time.Now()
	if r, ok := read(0); ok {
		now = readInfo(r.Text(), facts, now)
		if len(facts.Info) == 0 {
			gaps = append(gaps, preflight.Gap{What: "info", Why: "the answer to INFO has no line that can be read"})
		}
	}
	var secrets Secrets
	if r, ok := read(1); ok {
		if secrets.Config = r.Pairs(); len(secrets.Config) == 0 {
			gaps = append(gaps, preflight.Gap{What: "config", Why: "CONFIG GET * named no parameter"})
		}
		facts.Config = masked(secrets.Config)
	}
	if r, ok := read(2); ok {
		facts.Users = users(r.List(), c.Key)
		for _, e := range r.List() {
			secrets.Users = append(secrets.Users, redisclient.Text(e))
		}
	}
	if r, ok := read(3); ok {
		facts.Slow = slow(r.List(), now)
	}
	if r, ok := read(4); ok && facts.Users != nil {
		facts.SentinelLacks = sentinelLacks(r.Text(), facts.Users)
	}
	if stops, known := preflight.LockStopsScripts(facts.Info["redis_version"]); known && !stops {
		facts.Scripts = scripts(ctx, c.Server, facts.Users)
	}
	return facts, secrets, gaps
}

// Users asks one Redis for its users alone, with digests of their passwords made
// with the key (see RedisConfig.Key).
func Users(ctx context.Context, s Server, key string) ([]preflight.User, error) {
	replies, err := s.ask(ctx, []string{"ACL", "LIST"})
	if err != nil {
		return nil, err
	}
	if err := replies[0].Err; err != nil {
		return nil, fmt.Errorf("%s: %w", s, err)
	}
	return users(replies[0].List(), key), nil
}

// scripts is who can run scripts at a Redis whose lock does not stop them. The
// commands are tried without their arguments, which Redis misses before it looks
// at rights. Nil: it did not answer.
func scripts(ctx context.Context, s Server, users []preflight.User) *preflight.Scripts {
	re, err := s.ask(ctx, []string{"EVAL"}, []string{"EVALSHA"})
	if err != nil || len(re) != 2 {
		return nil
	}
	found := &preflight.Scripts{Commands: []string{}, Users: scriptUsers(users)}
	for i, command := range []string{"eval", "evalsha"} {
		if !re[i].UnknownCommand() {
			found.Commands = append(found.Commands, command)
		}
	}
	return found
}

// missing are the Gaps of questions that were refused or not answered.
func missing(what []string, re []redisclient.Answer, err error) (gaps []preflight.Gap) {
	for i, name := range what {
		switch {
		case i >= len(re):
			gaps = append(gaps, preflight.Gap{What: name, Why: err.Error()})
		case re[i].Err != nil:
			gaps = append(gaps, preflight.Gap{What: name, Why: re[i].Err.Error()})
		}
	}
	return gaps
}

// readInfo takes INFO in and returns the time by Redis' own clock, or now where
// it does not tell (before 6.2).
func readInfo(text string, facts *preflight.Redis, now time.Time) time.Time {
	facts.Info = make(map[string]string, 256)
	lines(text, func(key, value string) {
		switch {
		case key == "# modules":
			facts.Modules = []string{}
		case key[0] == '#':
		case key == "module":
			facts.Modules = append(facts.Modules, moduleName(value))
		case strings.HasPrefix(key, "cmdstat_"), strings.HasPrefix(key, "latency_percentiles_usec_"):
			// Hundreds of lines that no check reads.
		default:
			facts.Info[key] = value
		}
	})
	slices.Sort(facts.Modules)
	facts.Replicas = replicaLines(facts.Info)
	if us, err := strconv.ParseInt(facts.Info["server_time_usec"], 10, 64); err == nil {
		return time.UnixMicro(us)
	}
	return now
}

// fields are the "name=value" of an INFO line.
func fields(value string) map[string]string {
	m := map[string]string{}
	for part := range strings.SplitSeq(value, ",") {
		if k, v, ok := strings.Cut(part, "="); ok {
			m[k] = v
		}
	}
	return m
}

func moduleName(value string) string {
	m := fields(value)
	return m["name"] + "@" + m["ver"]
}

// replicaLines reads slave0, slave1 and so on of a master.
func replicaLines(info map[string]string) (all []preflight.ReplicaLine) {
	for i := 0; ; i++ {
		value, ok := info["slave"+strconv.Itoa(i)]
		if !ok {
			return all
		}
		m := fields(value)
		line := preflight.ReplicaLine{Address: net.JoinHostPort(m["ip"], m["port"]), State: m["state"], Offset: -1, LagSeconds: -1}
		if n, err := strconv.ParseInt(m["offset"], 10, 64); err == nil {
			line.Offset = n
		}
		if n, err := strconv.ParseFloat(m["lag"], 64); err == nil {
			line.LagSeconds = n
		}
		all = append(all, line)
	}
}

// slow reads SLOWLOG GET: id, unix time, microseconds, the command's words, and
// since 4.0 who sent it. Only the command's name is taken.
func slow(list []any, now time.Time) []preflight.Slow {
	all := make([]preflight.Slow, 0, len(list))
	for _, e := range list {
		entry := redisclient.List(e)
		if len(entry) < 4 {
			continue
		}
		at, there := entry[1].(int64)
		took, there2 := entry[2].(int64)
		words := redisclient.List(entry[3])
		if !there || !there2 || len(words) == 0 {
			continue
		}
		all = append(all, preflight.Slow{
			AgeSeconds: max(now.Sub(time.Unix(at, 0)).Seconds(), 0), Microseconds: took,
			Command: strings.ToLower(fmt.Sprintf("%.40s", redisclient.Text(words[0]))),
		})
	}
	return all
}
