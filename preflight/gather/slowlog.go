package gather

import (
	"context"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/redis-watchdog/redis-watchdog/preflight"
	"github.com/redis-watchdog/redis-watchdog/watchdog/redisclient"
)

// SlowEntry is one of the slow log.
type SlowEntry struct {
	Age     time.Duration // since it was written, when the command had ended; by that Redis' clock, in whole seconds
	Took    time.Duration
	Command string // in upper case
	Key     string // the first key that it names; empty: none, not known, or cut off
}

// slowLogEntries are asked for: what explains a stall is the newest but for what
// came in the moment after it.
const slowLogEntries = 64

// SlowLog asks one Redis for the newest entries of its slow log, and for INFO.
// No argument of a command is taken but the name of a key.
func SlowLog(ctx context.Context, s Server) (entries []SlowEntry, info map[string]string, err error) {
	re, err := s.ask(ctx, []string{"INFO", "all"}, []string{"SLOWLOG", "GET", strconv.Itoa(slowLogEntries)})
	if err != nil {
		return nil, nil, err
	}
	for i, what := range []string{"INFO", "SLOWLOG GET"} {
		if err := re[i].Err; err != nil {
			return nil, nil, fmt.Errorf("%s: %s: %w", s, what, err)
		}
	}
	facts := &preflight.Redis{}
	now := readInfo(re[0].Text(), facts, time.Now())
	return slowEntriesOf(re[1].List(), now), facts.Info, nil
}

// slowEntriesOf reads SLOWLOG GET; what makes no sense is left out.
func slowEntriesOf(list []any, now time.Time) []SlowEntry {
	var all []SlowEntry
	for _, e := range list {
		entry := redisclient.List(e)
		if len(entry) < 4 {
			continue
		}
		at, there := entry[1].(int64)
		usec, there2 := entry[2].(int64)
		said := redisclient.List(entry[3])
		if !there || !there2 || len(said) == 0 || usec < 0 || usec > int64(time.Hour/time.Microsecond)*24*365 {
			continue
		}
		var words []string
		for _, w := range said {
			words = append(words, redisclient.Text(w))
		}
		all = append(all, SlowEntry{Age: max(0, now.Sub(time.Unix(at, 0))), Took: time.Duration(usec) * time.Microsecond,
			Command: strings.ToUpper(fmt.Sprintf("%.40s", words[0])), Key: firstKey(words)})
	}
	return all
}

// keyFirst are commands whose first argument is a key, of those that may take long.
const keyFirst = " del unlink rename renamenx copy restore dump sort sort_ro expire expireat pexpire pexpireat " +
	"get getrange setrange bitcount bitpos bitfield lrange lrem ltrim lindex linsert lpos lset " +
	"smembers sinter sunion sdiff sinterstore sunionstore sdiffstore spop srandmember srem sadd sscan " +
	"hgetall hkeys hvals hscan hdel hset hmset hmget hrandfield " +
	"zrange zrangebyscore zrevrange zrevrangebyscore zrangebylex zrevrangebylex zrangestore zunionstore zinterstore zdiffstore zremrangebyscore zremrangebyrank zremrangebylex zcount zlexcount zscan zadd zrem " +
	"georadius georadiusbymember geosearch geosearchstore pfcount pfmerge xrange xrevrange xtrim xdel "

// cutOff ends a word that the slow log has not kept whole (slowlog.c,
// SLOWLOG_ENTRY_MAX_STRING).
const cutOff = " more bytes)"

// firstKey is the first key that a command of the slow log names.
func firstKey(words []string) string {
	at := 0
	switch name := strings.ToLower(words[0]); {
	case strings.Contains(keyFirst, " "+name+" "):
		at = 1
	case (name == "eval" || name == "evalsha" || name == "eval_ro" || name == "evalsha_ro" || name == "fcall" || name == "fcall_ro") && len(words) > 3 && words[2] != "0":
		at = 3
	}
	if at == 0 || at >= len(words) || strings.HasSuffix(words[at], cutOff) || strings.HasPrefix(words[at], "... (") {
		return ""
	}
	return words[at]
}
